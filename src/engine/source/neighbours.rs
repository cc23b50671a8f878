//! Requests to neighbours through this machine's daemon that are no part of a race: single blocks, for callers
//! that walk a DAG themselves; copies of a signed index. In a race, `source/lan.rs` asks.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::base::cid::Cid;
use crate::base::size::BLOCK_MOST;
use crate::engine::source::Miss;
use crate::engine::source::lan::{ask, connect, refusal, said};
use crate::net::socket::Connection;

/// Most answers about one index that are read: more neighbours than a daemon has.
const ANSWERS_MOST: usize = 256;

/// Longest answer about an index in bytes, as pkgswarm-protocol(7) has it.
const ANSWER_MOST: usize = 32 << 10;

/// Longest silence of the daemon once it has acknowledged: it gives up a silent block after seconds itself.
const PATIENCE: Duration = Duration::from_secs(35);

/// The neighbours, reached through the daemon at a socket.
pub(crate) struct LanClient {
    socket: PathBuf,
    /// True while the daemon is told that no other source can be asked.
    is_patient: Cell<bool>,
    /// Connections without a pending request. For each, the daemon remembers the peer that had the last block.
    idle: RefCell<Vec<Connection>>,
}

impl LanClient {
    /// Reaches them through the daemon at `socket`.
    pub(crate) fn at(socket: &Path) -> Self {
        Self { socket: socket.to_owned(), is_patient: Cell::new(false), idle: RefCell::default() }
    }

    /// Waits for seconds until a neighbour on a busy line says whether it has a block: no other source can be asked.
    #[must_use]
    pub(crate) fn alone(self) -> Self {
        Self { is_patient: Cell::new(true), ..self }
    }

    /// Fetches one block, proven. `moved` is called with the number of bytes that have come, each time some do;
    /// with 0 while they come to the daemon.
    ///
    /// # Errors
    /// The reason why it does not come; after `Absent` and `Stalled` a neighbour may have it later.
    pub(crate) async fn block(&self, cid: Cid, moved: &dyn Fn(u64)) -> Result<Vec<u8>, Miss> {
        match self.ask_for_block(cid, moved).await {
            // A daemon that was started before an upgrade takes the word for a part of the CID.
            Err(Miss::Broken(_)) if self.is_patient.replace(false) => self.ask_for_block(cid, moved).await,
            answer => answer,
        }
    }

    async fn ask_for_block(&self, cid: Cid, moved: &dyn Fn(u64)) -> Result<Vec<u8>, Miss> {
        let idle = self.idle.borrow_mut().pop();
        let connection = idle.map_or_else(|| connect(&self.socket), Ok)?;
        let asked = async {
            let patient_word = if self.is_patient.get() { " patient" } else { "" };
            ask(&connection, &format!("block {cid}{patient_word}")).await?;
            loop {
                let (text, _) = patient(async { said(connection.receive().await) }).await?;
                // Said again as long as a neighbour sends.
                if text == "looking" {
                    moved(0);
                    continue;
                }
                let bytes = patient(async {
                    connection.receive_bytes(&text, BLOCK_MOST).await.map_err(|e| Miss::Broken(e.to_string()))
                });
                let block = bytes.await?.ok_or_else(|| refusal(&text))?;
                moved(block.len() as u64);
                return Ok(block);
            }
        };
        let answer = asked.await;
        // After a malformed answer the connection is not used again.
        if matches!(answer, Ok(_) | Err(Miss::Absent(_))) {
            self.idle.borrow_mut().push(connection);
        }
        answer.and_then(|block| match cid.proves(&block) {
            true => Ok(block),
            false => Err(Miss::Corrupt(format!("sent another block than {cid}"))),
        })
    }

    /// Returns the neighbours' answers about the index with this key (`ipns:…`, `minisign:…`), not decoded.
    ///
    /// # Errors
    /// Those of the daemon; a neighbour that does not answer gives none.
    pub(crate) async fn index(&self, key: &str) -> Result<Vec<Vec<u8>>, Miss> {
        let asked = async {
            let connection = connect(&self.socket)?;
            ask(&connection, &format!("index {key}")).await?;
            let mut answers = Vec::new();
            while answers.len() < ANSWERS_MOST {
                let (text, _) = said(connection.receive().await)?;
                match connection.receive_bytes(&text, ANSWER_MOST).await {
                    Ok(Some(answer)) => answers.push(answer),
                    Ok(None) if text == "done" => break,
                    Ok(None) => return Err(refusal(&text)),
                    Err(e) => return Err(Miss::Broken(e.to_string())),
                }
            }
            Ok(answers)
        };
        patient(asked).await
    }
}

async fn patient<T>(answer: impl Future<Output = Result<T, Miss>>) -> Result<T, Miss> {
    tokio::time::timeout(PATIENCE, answer).await.unwrap_or(Err(Miss::Stalled(PATIENCE)))
}
