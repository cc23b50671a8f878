//! Several hosts on one machine: network namespaces on a bridge, with working multicast DNS.

use super::{command, run};
use rustix::thread::LinkNameSpaceType;
use std::cell::Cell;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;

/// The prefix of these tests' namespaces; the process that made them follows.
const PREFIX: &str = "pks";

/// A network of its own, with a bridge in a namespace of its own; this machine is not on it.
pub struct Lan {
    switch: Rc<Namespace>,
    /// The first three numbers of its addresses.
    range: &'static str,
    hosts: Cell<u8>,
}

/// One host on it.
pub struct Host {
    name: String,
    address: String,
    /// The bridge that it is plugged into, and the port. A distant host has none.
    port: Option<(Rc<Namespace>, String)>,
    // Dropped last: its interfaces go with it.
    namespace: Namespace,
}

impl Lan {
    /// Makes an empty network, 10.77.0.0/24.
    pub fn new() -> Lan {
        Lan::of("10.77.0")
    }

    /// Makes an empty network with addresses that begin so.
    pub fn of(range: &'static str) -> Lan {
        let switch = Namespace::new(&format!("{}-switch", network()));
        switch.ip("link add br0 type bridge");
        switch.ip("link set br0 up");
        Lan { switch: Rc::new(switch), range, hosts: Cell::new(0) }
    }

    /// Adds a host, with an address, a loopback interface and no route out of this network.
    pub fn host(&self) -> Host {
        let name = self.switch.name.replace("switch", &format!("host{}", self.hosts.get() + 1));
        let namespace = Namespace::new(&name);
        let (port, address) = self.cable(&name, "eth0");
        Host::up(namespace, address, Some((Rc::clone(&self.switch), port)))
    }

    /// Plugs a host of another network into this one as well, as `interface`. It has no address there yet; returns one.
    pub fn plug_in(&self, host: &Host, interface: &str) -> String {
        self.cable(host.name(), interface).1
    }

    /// Makes a cable to a namespace: the port here, and an address to use there.
    fn cable(&self, name: &str, interface: &str) -> (String, String) {
        let number = self.hosts.get() + 1;
        self.hosts.set(number);
        let port = format!("port{number}");
        self.switch.ip(&format!("link add {port} type veth peer name {interface} netns {name}"));
        self.switch.ip(&format!("link set {port} master br0 up"));
        (port, format!("{}.{number}", self.range))
    }
}

impl Host {
    /// Makes a host of which only the interface `eth0` exists.
    pub(super) fn up(namespace: Namespace, address: String, port: Option<(Rc<Namespace>, String)>) -> Host {
        namespace.ip("link set lo up");
        namespace.ip(&format!("addr add {address}/24 dev eth0"));
        namespace.ip("link set eth0 up");
        Host { name: namespace.name.clone(), address, port, namespace }
    }

    /// Returns its namespace.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns its first address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Builds a command that runs on it.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut inside = command("ip");
        inside.args(["netns", "exec", &self.name]).arg(program.as_ref());
        inside
    }

    /// Counts the bytes that have left it on its cable, headers and all.
    pub fn bytes_sent(&self) -> u64 {
        let counter = "/sys/class/net/eth0/statistics/tx_bytes";
        run(self.command("cat").arg(counter)).ok().stdout.trim().parse().expect("a number")
    }

    /// Returns the words to put before a command line.
    pub fn prefix(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.name]
    }

    /// Runs `work` on it, in a thread of its own.
    pub fn inside<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        let namespace = File::open(Path::new("/run/netns").join(&self.name)).expect("a namespace");
        std::thread::spawn(move || {
            let kind = Some(LinkNameSpaceType::Network);
            rustix::thread::move_into_link_name_space(namespace.as_fd(), kind).expect("root may go there");
            work()
        })
    }

    /// Limits it to so many bytes a second from now on.
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

    /// Replaces its IPv4 address by one of IPv6.
    pub fn move_to_ipv6(&self, address: &str) {
        self.namespace.ip("addr flush dev eth0");
        self.namespace.ip(&format!("addr add {address}/64 dev eth0 nodad"));
    }

    /// Replaces its IPv4 address by one of IPv6, beside the link's own.
    pub fn add_ipv6(&self, address: &str) {
        self.namespace.ip("-4 addr flush dev eth0");
        self.namespace.ip(&format!("addr add {address}/64 dev eth0 nodad"));
    }

    /// Gives one of its interfaces an address, and sets it up.
    pub fn set_address(&self, interface: &str, address: &str) {
        self.namespace.ip(&format!("addr add {address}/24 dev {interface}"));
        self.namespace.ip(&format!("link set {interface} up"));
    }

    /// Counts from now on the packets of multicast DNS that it sends, by interface.
    pub fn count_mdns(&self, interfaces: &[&str]) {
        let rules = interfaces.iter().map(|interface| format!("oifname {interface} udp dport 5353"));
        self.count(&rules.collect::<Vec<_>>());
    }

    /// Returns how many of them went out of this interface.
    pub fn mdns_sent(&self, interface: &str) -> u64 {
        self.counted(&format!("oifname \"{interface}\""))
    }

    /// Counts from now on the connections over TCP that it tries to make.
    pub fn count_dials(&self) {
        self.count(&["tcp flags & (syn | ack) == syn".to_owned()]);
    }

    /// Counts from now on those to one address.
    pub fn count_dials_to(&self, address: &str) {
        self.count(&[format!("ip daddr {address} tcp flags & (syn | ack) == syn")]);
    }

    /// Counts the connections that it tried to make.
    pub fn dials(&self) -> u64 {
        self.counted("tcp flags")
    }

    fn count(&self, rules: &[String]) {
        let nft = |words: &str| run(self.command("nft").args(words.split(' '))).ok();
        nft("add table inet pks");
        nft("add chain inet pks sent { type filter hook output priority 0 ; }");
        rules.iter().for_each(|rule| drop(nft(&format!("add rule inet pks sent {rule} counter"))));
    }

    fn counted(&self, rule: &str) -> u64 {
        let listing = run(self.command("nft").args(["list", "table", "inet", "pks"])).ok().stdout;
        let line = listing.lines().find(|line| line.contains(rule)).expect("its rule");
        let count = line.split("packets ").nth(1).and_then(|rest| rest.split(' ').next());
        count.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("no count: {line}"))
    }

    /// Pulls its cable.
    pub fn unplug(&self) {
        self.set_cable("down");
    }

    /// Plugs it in again.
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

/// Returns a name for one more network of this process, after removing left-over ones.
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

/// Ends the processes in a namespace of these tests, and removes it.
fn delete(name: &str) {
    let running = run(command("ip").args(["netns", "pids", name])).stdout;
    if !running.trim().is_empty() {
        run(command("kill").arg("-KILL").args(running.split_whitespace()));
    }
    run(command("ip").args(["netns", "del", name]));
}

/// Removes left-overs of test processes that were killed.
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
