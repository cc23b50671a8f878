//! The addresses of this machine.

use std::net::IpAddr;

use nix::ifaddrs::{InterfaceAddress, getifaddrs};

/// Returns true for an address of this machine; false also where the kernel does not list them.
pub(crate) fn is_own_address(ip: IpAddr) -> bool {
    getifaddrs().is_ok_and(|mut all| all.any(|it| of(&it) == Some(ip)))
}

/// Returns the address of an entry of the kernel's list.
pub(crate) fn of(it: &InterfaceAddress) -> Option<IpAddr> {
    let address = it.address?;
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_an_address_of_this_machine_and_one_for_documents_is_not() {
        assert!(is_own_address("127.0.0.1".parse().unwrap()));
        assert!(!is_own_address("192.0.2.1".parse().unwrap()));
    }
}
