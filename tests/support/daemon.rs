//! A daemon of this program that misbehaves, on a Unix socket of its own.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pkgswarm::base::cid::Cid;
use pkgswarm::base::digest::Sha256;
use pkgswarm::net::socket::{Connection, SocketListener};

use crate::support::server::eventually;

/// The fake's behaviour when it is asked for a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Daemon {
    /// Delivers its file.
    Honest,
    /// Accepts and stays silent.
    Silent,
    /// Is silent about the first request, and delivers from then on.
    LateOnce,
    /// Is of a version before `obtain`.
    GetOnly,
    /// Answers that it is searching, and nothing more.
    Searching,
    /// Hangs up at once.
    HangsUp,
    /// Sends malformed replies.
    Babbling,
    /// Delivers other bytes.
    Lying,
    /// Delivers half of it and stalls.
    Stalling,
    /// Delivers half of it and hangs up.
    Dying,
    /// Promises more than the file holds.
    Boasting,
    /// Reports its standing: it trusts nothing, or no network of this machine.
    Idle,
    /// Tells of neighbours and of files that it offers, one with a name as long as names may be.
    Sharing,
    /// Says that it trusts a network and shares, and delivers what it has.
    Serving,
    /// Answers about an index for ever, with empty answers.
    Endless,
    /// Says that a block is coming, and never brings it.
    Trickling,
    /// Announces more bytes than were requested.
    Oversized,
    /// Delivers, and knows no request with a word more, as one that was started before an upgrade.
    Older,
}

/// What [`Daemon::Sharing`] says of itself.
const STATUS: &str = r#"{
    "id": "12D3KooWJBdepcV2kMyrGCDs2AzyDJ9aRMJ5196URfHfGEt5kTMQ", "agent": "pkgswarm/0.1.0",
    "listening": ["/ip4/10.78.0.2/tcp/4010/p2p/12D3KooWJBdepcV2kMyrGCDs2AzyDJ9aRMJ5196URfHfGEt5kTMQ"],
    "networks": [
        {"interface": "eth0", "address": "10.78.0.2", "network": "10.78.0.0/24@fa:36:00:00:00:01", "used": true,
         "stands": "trusted"},
        {"interface": "wlan0", "address": "192.168.1.9", "network": "192.168.1.0/24", "used": false,
         "stands": "not trusted"}
    ],
    "peers": [
        {"id": "12D3KooWRKviMVaut8XaVyn2nSr9SPdkuAUuz2RyjqZYtAqzB4kD", "address": "/ip4/10.78.0.1/tcp/4010",
         "agent": "pkgswarm/0.1.0", "bytes_sent": 0, "bytes_received": 999999999999},
        {"id": "12D3KooWGdjHYCyQfjyUuMuYWc8GEvaHGnmPs6mSXikxQuRxBXvB", "address": "/ip4/10.78.0.2/tcp/4001",
         "agent": "kubo/0.43.0", "bytes_sent": 2768, "bytes_received": 0}
    ],
    "known_peers": 3, "transfers": 1, "sharing": true, "shared_files": 2, "shared_bytes": 89000000,
    "trusted": ["10.78.0.0/24@fa:36:00:00:00:01"]
}"#;

/// The files that it offers.
const SHARED: &str = r#"{
    "sharing": true, "networks": ["10.78.0.0/24@fa:36:00:00:00:01"],
    "files": [
        {"path": "/var/cache/pacman/pkg/zlib-1:1.3.1-2-x86_64.pkg.tar.zst", "repo": "core", "size": 93022,
         "sha256": "00", "cid": "bafk", "name": null},
        {"path": "/var/cache/pkgswarm/files/0af0f686cd8a9197435333ab03bf5b4110bcfdb846bb3199416211f4e542625f",
         "name": "a-package-with-a-very-long-name-日本語のパッケージ-and-more-of-it-140.0-1-any.pkg.tar.zst", "repo": "extra",
         "size": 999999999999, "sha256": "01", "cid": "bafk"}
    ]
}"#;

/// The neighbours' files.
#[derive(Clone, Default)]
pub struct Stock {
    /// Whole files, by their sha256.
    pub files: Vec<Vec<u8>>,
    /// Single blocks.
    pub blocks: Vec<Vec<u8>>,
    /// Their answers about any index.
    pub answers: Vec<Vec<u8>>,
}

/// A daemon whose neighbours have files.
pub struct FakeDaemon {
    dir: tempfile::TempDir,
    asked: Arc<Mutex<Vec<String>>>,
}

impl FakeDaemon {
    /// Makes one with a file of these bytes, and this behaviour.
    pub fn holding(bytes: &[u8], manner: Daemon) -> Self {
        Self::with(Stock { files: vec![bytes.to_vec()], ..Stock::default() }, manner)
    }

    /// Makes one with this stock, and this behaviour.
    pub fn with(stock: Stock, manner: Daemon) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, asked) = (dir.path().join("socket"), Arc::default());
        let noted: Arc<Mutex<Vec<String>>> = Arc::clone(&asked);
        let at = path.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = SocketListener::at(&at).expect("a socket");
                let stock = Arc::new(stock);
                while let Ok(connection) = listener.accept().await {
                    let (stock, noted) = (Arc::clone(&stock), Arc::clone(&noted));
                    tokio::spawn(async move { while serve(&connection, &stock, manner, &noted).await.is_some() {} });
                }
            });
        });
        eventually("the fake daemon listens", || path.exists());
        // The tests run as one of several users.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(dir.path(), mode).expect("our directory");
        Self { dir, asked }
    }

    /// Returns its socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    /// Lists the requests it received.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("a list").clone()
    }
}

/// Answers one request; `None` when it hangs up after it.
async fn serve(connection: &Connection, stock: &Stock, manner: Daemon, noted: &Mutex<Vec<String>>) -> Option<()> {
    let (request, _) = connection.receive().await.ok()??;
    let is_first = {
        let mut noted = noted.lock().expect("a list");
        noted.push(request.clone());
        noted.len() == 1
    };
    let say = async |text: &str, file: Option<&File>| connection.send(text, file).await.ok();
    let hang = || tokio::time::sleep(Duration::from_secs(60));
    match manner {
        Daemon::Silent => hang().await,
        Daemon::LateOnce if is_first => hang().await,
        Daemon::GetOnly if request.starts_with("obtain ") => return say("failed there is no such request", None).await,
        Daemon::HangsUp => return None,
        Daemon::Babbling => {
            say("good evening", None).await?;
            return None;
        }
        _ => {}
    }
    if manner == Daemon::Idle {
        let document = br#"{"agent":"pkgswarm/0","networks":[{"network":"10.1.0.0/16","used":false}]}"#;
        return say("answer", Some(&file_of(document, Path::new("/tmp")))).await;
    }
    let is_about_itself = ["status", "shared"].contains(&request.as_str());
    if manner == Daemon::Sharing || (manner == Daemon::Serving && is_about_itself) {
        let document = if request.starts_with("shared") { SHARED } else { STATUS };
        return say("answer", Some(&file_of(document.as_bytes(), Path::new("/tmp")))).await;
    }
    say("looking", None).await?;
    if manner == Daemon::Searching {
        hang().await;
    }
    match request.split_once(' ') {
        Some(("index", _)) => return tell(connection, stock, manner).await,
        Some(("block", rest)) => {
            if manner == Daemon::Older && rest.contains(' ') {
                return say("failed malformed CID", None).await;
            }
            let cid = rest.strip_suffix(" patient").unwrap_or(rest);
            return pass(connection, stock, cid.parse().ok()?, manner).await;
        }
        _ => {}
    }
    let Some(bytes) = stock.files.iter().find(|bytes| request.contains(&Sha256::of(bytes).to_string())) else {
        return say("absent no neighbour has it", None).await;
    };
    let half = bytes.len() / 2;
    let (sent, told) = match manner {
        Daemon::Lying => (bytes.iter().map(|byte| !byte).collect(), bytes.len()),
        Daemon::Stalling | Daemon::Dying => (bytes[..half].to_vec(), half),
        Daemon::Boasting => (bytes[..half].to_vec(), bytes.len()),
        _ => (bytes.to_vec(), bytes.len()),
    };
    let file = file_of(&sent, Path::new("/tmp"));
    say("coming", Some(&file)).await?;
    if request.starts_with("obtain ") {
        say("from 10.78.0.1", None).await?;
    }
    say(&format!("have {}", told / 3), None).await?;
    say(&format!("have {told}"), None).await?;
    match manner {
        Daemon::Stalling => hang().await,
        Daemon::Dying => return None,
        _ => {}
    }
    say("done", None).await
}

/// Answers about an index.
async fn tell(connection: &Connection, stock: &Stock, manner: Daemon) -> Option<()> {
    if manner == Daemon::Endless {
        loop {
            connection.send_bytes(&[0x48, 1]).await.ok()?;
        }
    }
    if manner == Daemon::Oversized {
        connection.send(&format!("bytes {}", 1 << 30), None).await.ok()?;
    }
    for answer in &stock.answers {
        connection.send_bytes(answer).await.ok()?;
    }
    connection.send("done", None).await.ok()
}

/// Sends a block.
async fn pass(connection: &Connection, stock: &Stock, cid: Cid, manner: Daemon) -> Option<()> {
    match (stock.blocks.iter().find(|block| cid.proves(block)), manner) {
        (None, _) => connection.send("absent no neighbour has it", None).await.ok(),
        (Some(block), Daemon::Lying) => {
            let other: Vec<u8> = block.iter().map(|byte| !byte).collect();
            connection.send_bytes(&other).await.ok()
        }
        (Some(_), Daemon::Stalling) => {
            connection.send("bytes 100", None).await.ok()?;
            tokio::time::sleep(Duration::from_secs(60)).await;
            None
        }
        (Some(_), Daemon::Oversized) => connection.send(&format!("bytes {}", 1 << 30), None).await.ok(),
        (Some(_), Daemon::Trickling) => loop {
            connection.send("looking", None).await.ok()?;
            tokio::time::sleep(Duration::from_millis(100)).await;
        },
        (Some(block), _) => connection.send_bytes(block).await.ok(),
    }
}

fn file_of(bytes: &[u8], dir: &Path) -> File {
    let mut file = tempfile::tempfile_in(dir).expect("a file");
    file.write_all(bytes).expect("its bytes");
    file
}
