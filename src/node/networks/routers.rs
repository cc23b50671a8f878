//! The default routers of IPv4 with their hardware addresses, which tell networks of the same range apart.
//!
//! The kernel knows the hardware address of a router only while there is traffic with it: minutes after the start of
//! a machine, or for long on a quiet one, it may know none. So it is provoked with a datagram before it is read.

use std::fs;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};

/// The discard service (RFC 863): a router that runs one ignores what it gets.
const DISCARD: u16 = 9;

/// The group of messages about neighbours (rtnetlink(7): `RTMGRP_NEIGH`).
const NEIGHBOURS: u32 = 4;

/// Interval between looks where the kernel sends no messages.
const STEP: Duration = Duration::from_millis(20);

/// A default router.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Router {
    /// Its address.
    pub(super) address: Ipv4Addr,
    /// Its hardware address; `None` while the kernel does not know it.
    pub(super) hardware: Option<String>,
}

/// Lists the default routers.
pub(super) fn routers() -> Vec<Router> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    parse(&read("/proc/net/route"), &read("/proc/net/arp"))
}

/// Reads proc(5)'s `/proc/net/route` and `/proc/net/arp`.
fn parse(route: &str, arp: &str) -> Vec<Router> {
    let gateways = route.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_default = *fields.get(1)? == "00000000" && *fields.get(2)? != "00000000";
        // The number is in the byte order of the machine, as it lies in memory.
        let gateway = u32::from_str_radix(fields[2], 16).ok()?.to_ne_bytes();
        is_default.then(|| Ipv4Addr::from(gateway))
    });
    let hardware = |gateway: Ipv4Addr| {
        let is_of_it = |line: &&str| line.split_whitespace().next() == Some(&gateway.to_string());
        let fields: Vec<&str> = arp.lines().skip(1).find(is_of_it)?.split_whitespace().collect();
        let flags = u32::from_str_radix(fields.get(2)?.strip_prefix("0x")?, 16).ok()?;
        let mac = fields.get(3)?.to_ascii_lowercase();
        // ATF_COM (linux/if_arp.h): a router that does not answer any more leaves an old address without it.
        (flags & 2 != 0 && mac != "00:00:00:00:00:00").then_some(mac)
    };
    let mut routers: Vec<Router> = gateways.map(|address| Router { address, hardware: hardware(address) }).collect();
    routers.dedup();
    routers
}

/// Sends one byte to each default router of which the kernel does not know the hardware address, so that it asks for
/// it. Does not wait.
pub(crate) fn provoke() {
    for router in routers().iter().filter(|router| router.hardware.is_none()) {
        // Fails where no route leads there; then there is nothing to learn either.
        let _ = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
            socket.set_nonblocking(true)?;
            socket.send_to(&[0], (router.address, DISCARD))
        });
    }
}

/// Waits until the hardware address of every default router is known, and no longer than `patience`.
pub(crate) fn await_hardware(patience: Duration) {
    let until = Instant::now() + patience;
    let are_known = || routers().iter().all(|router| router.hardware.is_some());
    if are_known() {
        return;
    }
    // Before the question, so that no answer is missed.
    let news = news();
    provoke();
    while !are_known() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        match (&news, Timespec::try_from(left)) {
            (Some(news), Ok(left)) => {
                let _ = poll(&mut [PollFd::new(news, PollFlags::IN)], Some(&left));
                while rustix::net::recv(news, &mut [0_u8; 4096], RecvFlags::DONTWAIT).is_ok() {}
            }
            _ => thread::sleep(STEP.min(left)),
        }
    }
}

/// Opens a socket to which the kernel writes about every change of a neighbour's state.
fn news() -> Option<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None).ok()?;
    rustix::net::bind(&socket, &SocketAddrNetlink::new(0, NEIGHBOURS)).ok()?;
    Some(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_router_is_found_with_its_hardware_address_once_it_has_answered() {
        let route =
            "Iface\tDestination\tGateway\tFlags\neth0\t00000000\t0101A8C0\t0003\neth0\t0001A8C0\t00000000\t0001\n";
        let arp = |flags: &str| {
            format!(
                "IP address HW type Flags HW address Mask Device\n192.168.1.1 0x1 {flags} AA:bb:cc:00:11:22 * eth0\n"
            )
        };
        let of = |arp: &str| parse(route, arp).into_iter().map(|it| (it.address.to_string(), it.hardware)).collect();
        let found: [Vec<(String, Option<String>)>; 3] = [of(&arp("0x2")), of(&arp("0x0")), of("")];
        if cfg!(target_endian = "little") {
            let router = |mac: Option<&str>| vec![("192.168.1.1".to_owned(), mac.map(str::to_owned))];
            assert_eq!(found, [router(Some("aa:bb:cc:00:11:22")), router(None), router(None)]);
        }
    }

    #[test]
    fn waiting_for_a_router_ends() {
        let begun = Instant::now();
        await_hardware(Duration::from_millis(100));
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
}
