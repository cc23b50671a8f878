//! A daemon of this program that misbehaves, on a Unix socket of its own.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pkgswarm::digest::Sha256;
use pkgswarm::socket::{Connection, Listener};

use crate::support::server::eventually;

/// What it does when it is asked for a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Daemon {
    /// Delivers what it has.
    Honest,
    /// Accepts and says nothing.
    Silent,
    /// Says that it looks, and nothing more.
    Searching,
    /// Hangs up at once.
    HangsUp,
    /// Speaks no sense.
    Babbling,
    /// Delivers other bytes.
    Lying,
    /// Delivers half of it and stalls.
    Stalling,
    /// Delivers half of it and hangs up.
    Dying,
    /// Promises more than the file holds.
    Boasting,
    /// Says how it stands: it trusts nothing, or nothing that is here.
    Idle,
}

/// A daemon that has one file.
pub struct FakeDaemon {
    dir: tempfile::TempDir,
    asked: Arc<Mutex<Vec<String>>>,
}

impl FakeDaemon {
    /// Has these bytes, and behaves like this.
    pub fn holding(bytes: &[u8], manner: Daemon) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, bytes, asked) = (dir.path().join("socket"), bytes.to_vec(), Arc::default());
        let noted: Arc<Mutex<Vec<String>>> = Arc::clone(&asked);
        let at = path.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = Listener::at(&at).expect("a socket");
                let bytes = Arc::new(bytes);
                while let Ok(connection) = listener.accept().await {
                    let (bytes, noted) = (Arc::clone(&bytes), Arc::clone(&noted));
                    tokio::spawn(async move { serve(&connection, &bytes, manner, &noted).await });
                }
            });
        });
        eventually("the fake daemon listens", || path.exists());
        // Whoever runs the test is one of several users.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(dir.path(), mode).expect("our directory");
        Self { dir, asked }
    }

    /// Where it is asked.
    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("socket")
    }

    /// What it was asked.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("a list").clone()
    }
}

async fn serve(connection: &Connection, bytes: &[u8], manner: Daemon, noted: &Mutex<Vec<String>>) -> Option<()> {
    let (request, _) = connection.receive().await.ok()??;
    noted.lock().expect("a list").push(request.clone());
    let say = async |text: &str, file: Option<&File>| connection.send(text, file).await.ok();
    let hang = || tokio::time::sleep(Duration::from_secs(60));
    match manner {
        Daemon::Silent => hang().await,
        Daemon::HangsUp => return None,
        Daemon::Babbling => return say("good evening", None).await,
        _ => {}
    }
    if manner == Daemon::Idle {
        let document = br#"{"agent":"pkgswarm/0","networks":[{"network":"10.1.0.0/16","used":false}]}"#;
        return say("answer", Some(&file_of(document, Path::new("/tmp")))).await;
    }
    say("looking", None).await?;
    if manner == Daemon::Searching {
        hang().await;
    }
    if !request.contains(&Sha256::of(bytes).to_string()) {
        return say("absent no neighbour has it", None).await;
    }
    let half = bytes.len() / 2;
    let (sent, told) = match manner {
        Daemon::Lying => (bytes.iter().map(|byte| !byte).collect(), bytes.len()),
        Daemon::Stalling | Daemon::Dying => (bytes[..half].to_vec(), half),
        Daemon::Boasting => (bytes[..half].to_vec(), bytes.len()),
        _ => (bytes.to_vec(), bytes.len()),
    };
    let file = file_of(&sent, Path::new("/tmp"));
    say("coming", Some(&file)).await?;
    say(&format!("have {}", told / 3), None).await?;
    say(&format!("have {told}"), None).await?;
    match manner {
        Daemon::Stalling => hang().await,
        Daemon::Dying => return None,
        _ => {}
    }
    say("done", None).await
}

fn file_of(bytes: &[u8], dir: &Path) -> File {
    let mut file = tempfile::tempfile_in(dir).expect("a file");
    file.write_all(bytes).expect("its bytes");
    file
}
