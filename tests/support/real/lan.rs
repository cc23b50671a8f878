//! Several hosts on one machine: network namespaces on a bridge, where real multicast DNS works.

use super::{command, run};
use std::cell::Cell;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Namespaces of these tests begin so, then comes the process that made them.
const PREFIX: &str = "pks";

/// A network of its own, with a bridge in a namespace of its own; this machine is not on it.
pub struct Lan {
    switch: Rc<Namespace>,
    hosts: Cell<u8>,
}

/// One host on it.
pub struct Host {
    name: String,
    address: String,
    /// The bridge that it is plugged into, and where. A host far away has none.
    port: Option<(Rc<Namespace>, String)>,
    // Dropped last: its interfaces go with it.
    namespace: Namespace,
}

impl Lan {
    /// An empty network.
    pub fn new() -> Lan {
        let switch = Namespace::new(&format!("{}-switch", network()));
        switch.ip("link add br0 type bridge");
        switch.ip("link set br0 up");
        Lan { switch: Rc::new(switch), hosts: Cell::new(0) }
    }

    /// One more host, with an address, a loopback interface and no way out of this network.
    pub fn host(&self) -> Host {
        let number = self.hosts.get() + 1;
        self.hosts.set(number);
        let name = self.switch.name.replace("switch", &format!("host{number}"));
        let namespace = Namespace::new(&name);
        let port = format!("port{number}");
        let address = format!("10.77.0.{number}");
        self.switch.ip(&format!("link add {port} type veth peer name eth0 netns {name}"));
        self.switch.ip(&format!("link set {port} master br0 up"));
        Host::up(namespace, address, Some((Rc::clone(&self.switch), port)))
    }
}

impl Host {
    /// A host of which only the interface `eth0` exists.
    pub(super) fn up(namespace: Namespace, address: String, port: Option<(Rc<Namespace>, String)>) -> Host {
        namespace.ip("link set lo up");
        namespace.ip(&format!("addr add {address}/24 dev eth0"));
        namespace.ip("link set eth0 up");
        Host { name: namespace.name.clone(), address, port, namespace }
    }

    /// Its namespace.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// A command that runs on it.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut inside = command("ip");
        inside.args(["netns", "exec", &self.name]).arg(program.as_ref());
        inside
    }

    /// The words to put before a command line.
    pub fn prefix(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.name]
    }

    /// Sends no faster than so many bytes a second from now on.
    pub fn throttle(&self, rate: u64) {
        let rate = format!("{}bit", rate * 8);
        let mut tc = self.command("tc");
        run(tc.args([
            "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", &rate, "burst", "64kb", "latency", "100ms",
        ]))
        .ok();
    }

    /// Gives it another address.
    pub fn renumber(&self, address: &str) {
        self.namespace.ip("addr flush dev eth0");
        self.namespace.ip(&format!("addr add {address}/24 dev eth0"));
    }

    /// Pulls its cable.
    pub fn unplug(&self) {
        self.set_cable("down");
    }

    /// Puts it back.
    pub fn plug(&self) {
        self.set_cable("up");
    }

    fn set_cable(&self, state: &str) {
        match &self.port {
            Some((switch, port)) => switch.ip(&format!("link set {port} {state}")),
            None => self.namespace.ip(&format!("link set eth0 {state}")),
        }
    }
}

/// A name for one more network of this process, after a look for what others left.
pub(super) fn network() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    sweep();
    format!("{PREFIX}{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

pub(super) struct Namespace {
    pub(super) name: String,
}

impl Namespace {
    pub(super) fn new(name: &str) -> Namespace {
        run(command("ip").args(["netns", "add", name])).ok();
        Namespace { name: name.into() }
    }

    pub(super) fn ip(&self, arguments: &str) {
        run(command("ip").args(["-n", &self.name]).args(arguments.split(' '))).ok();
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        delete(&self.name);
    }
}

/// Ends what runs in a namespace of these tests, and removes it.
fn delete(name: &str) {
    let running = run(command("ip").args(["netns", "pids", name])).stdout;
    if !running.trim().is_empty() {
        run(command("kill").arg("-KILL").args(running.split_whitespace()));
    }
    run(command("ip").args(["netns", "del", name]));
}

/// Removes what test processes left that were killed before they could tidy up.
fn sweep() {
    let listing = run(command("ip").args(["netns", "list"])).stdout;
    for name in listing.lines().filter_map(|line| line.split(' ').next()) {
        let maker = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        let Some(maker) = maker.and_then(|pid| pid.parse::<u32>().ok()) else { continue };
        if !Path::new(&format!("/proc/{maker}")).exists() {
            delete(name);
        }
    }
}
