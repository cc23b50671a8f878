//! The HTTP endpoint as a process.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

pub use super::client::{Answer, Client};
use super::server::PATIENCE;
use super::world::World;

/// An endpoint; killed when it is dropped.
pub struct Endpoint {
    child: Child,
    address: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl Endpoint {
    /// Starts one on a free port, and returns once it listens. A source may take its time: no miss is the machine's.
    pub fn of(world: World) -> (World, Self) {
        Self::hasty(world.set("PKGSWARM_ENDPOINT_WAIT", "8 s"))
    }

    /// Works as [`of`](Self::of), with the wait for a source that it has by default.
    pub fn hasty(world: World) -> (World, Self) {
        let world = world
            .set("PKGSWARM_ENDPOINT_ENABLED", "true")
            .set("PKGSWARM_ENDPOINT_LISTEN", "127.0.0.1:0")
            .set("PKGSWARM_DAEMON_LOG", "info");
        let endpoint = Self::started(world.command(&["endpoint"]));
        (world, endpoint)
    }

    /// Starts it by this command, which has it say where it listens.
    pub fn started(mut command: Command) -> Self {
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program");
        let log = Arc::<Mutex<String>>::default();
        let (lines, kept) = (BufReader::new(child.stderr.take().expect("piped")).lines(), Arc::clone(&log));
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                *kept.lock().unwrap() += &(line + "\n");
            }
        });
        let begun = Instant::now();
        let address = loop {
            let said = log.lock().unwrap().clone();
            if let Some((_, rest)) = said.split_once("listens on http://") {
                break rest.lines().next().unwrap().parse().expect("an address");
            }
            let ended = child.try_wait().expect("our child");
            assert!(ended.is_none() && begun.elapsed() < PATIENCE, "it does not listen: {said}");
            thread::sleep(Duration::from_millis(5));
        };
        Self { child, address, log }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns what it has written to its log.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Connects a client.
    pub fn client(&self) -> Client {
        Client::at(self.address)
    }

    /// Asks for a path over a connection of its own.
    pub fn get(&self, path: &str) -> Answer {
        self.client().get(path, &[])
    }

    /// Asks for a file of `core`.
    pub fn core(&self, name: &str) -> Answer {
        self.get(&format!("/core/os/x86_64/{name}"))
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
