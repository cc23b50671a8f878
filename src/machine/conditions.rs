//! The conditions under which work in the background waits (prefetch, shares): a metered line, battery, a VPN, the wrong
//! time of day. Each has a setting.
//!
//! No condition may keep a machine without a desktop from being served: a missing source of facts (no
//! NetworkManager, no battery, no `ip`) is no objection. Tests: `tests/cases/prefetch_conditions.rs`, and below.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use jiff::Zoned;

use crate::base::program;
use crate::config::Settings;
use crate::config::time_window::TimeWindow;

/// Longest wait for `busctl` and `ip`; both answer in milliseconds.
const PATIENCE: Duration = Duration::from_secs(3);

/// Most bytes of their answers: one line.
const ANSWER_MOST: u64 = 64 << 10;

/// Reserved addresses (RFC 5737, RFC 3849): the route to them is the route to the Internet.
const FAR_AWAY: [&str; 2] = ["192.0.2.1", "2001:db8::1"];

/// The present conditions of this machine. `None` means unknown.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Surroundings {
    /// True if NetworkManager knows or guesses that the line is metered.
    pub(crate) metered: Option<bool>,
    /// True if no power supply is online and a battery is present.
    pub(crate) on_battery: Option<bool>,
    /// The interface to the Internet, if it is a tunnel.
    pub(crate) vpn: Option<String>,
    /// Minutes since midnight, local time.
    pub(crate) minute: u16,
}

impl Surroundings {
    /// Reads the present conditions.
    pub(crate) fn now() -> Self {
        let sys = Path::new("/sys");
        let now = Zoned::now();
        let minute = u16::from(now.hour().unsigned_abs()) * 60 + u16::from(now.minute().unsigned_abs());
        Self { metered: metered(), on_battery: on_battery(sys), vpn: vpn(sys), minute }
    }

    /// Returns the reason not to fetch what the user is about to ask for: the line alone counts.
    pub(crate) fn metered_objection(&self, settings: &Settings) -> Option<String> {
        let is_it = self.metered == Some(true) && !settings.prefetch.metered;
        is_it.then(|| "the connection is metered (prefetch.metered)".to_owned())
    }

    /// Returns the reason not to fetch now, with the setting that overrides it.
    pub(crate) fn objection(&self, settings: &Settings) -> Option<String> {
        if let Some(metered) = self.metered_objection(settings) {
            return Some(metered);
        }
        if self.on_battery == Some(true) && !settings.prefetch.battery {
            return Some("on battery (prefetch.battery)".to_owned());
        }
        if let (Some(vpn), false) = (&self.vpn, settings.prefetch.vpn) {
            return Some(format!("the Internet is reached through {vpn}, a VPN (prefetch.vpn)"));
        }
        match settings.prefetch.window {
            TimeWindow::From(from, until) if !is_within(self.minute, from, until) => {
                Some(format!("outside {} (prefetch.window)", settings.prefetch.window))
            }
            _ => None,
        }
    }
}

/// True if `minute` is in `from..until`, which may go over midnight.
fn is_within(minute: u16, from: u16, until: u16) -> bool {
    if from <= until { (from..until).contains(&minute) } else { minute >= from || minute < until }
}

/// Asks NetworkManager: NMMetered is 0 unknown, 1 yes, 2 no, 3 guessed yes, 4 guessed no (NetworkManager 1.52,
/// nm-dbus-types). A phone that shares its line is guessed to be metered. systemd-networkd has no such property.
fn metered() -> Option<bool> {
    let name = "org.freedesktop.NetworkManager";
    let mut busctl = Command::new("busctl");
    // Does not start NetworkManager when it does not run.
    busctl.args(["--system", "--auto-start=no", "--timeout=2", "get-property", name]);
    busctl.args(["/org/freedesktop/NetworkManager", name, "Metered"]);
    let answer = program::hear(busctl, b"", PATIENCE, ANSWER_MOST);
    match answer.ok()?.trim().strip_prefix("u ")? {
        "1" | "3" => Some(true),
        "2" | "4" => Some(false),
        _ => None,
    }
}

/// Reads `/sys/class/power_supply` (Linux, Documentation/ABI/testing/sysfs-class-power): a machine is on battery
/// if it has a system battery, and no other supply that is online.
fn on_battery(sys: &Path) -> Option<bool> {
    let supplies = fs::read_dir(sys.join("class/power_supply")).ok()?.flatten();
    let (mut battery, mut online) = (false, false);
    for supply in supplies {
        let says = |what: &str| fs::read_to_string(supply.path().join(what)).unwrap_or_default().trim().to_owned();
        match says("type").as_str() {
            // A mouse's battery has the scope Device.
            "Battery" => battery |= says("scope") != "Device",
            "" => {}
            _ => online |= says("online") == "1",
        }
    }
    battery.then_some(!online)
}

/// Returns the tunnel through which packets to the Internet leave, as the kernel itself decides: policies of
/// wg-quick included.
fn vpn(sys: &Path) -> Option<String> {
    let way = |to: &str| {
        let mut ip = Command::new("ip");
        ip.args(["-o", "route", "get", to]);
        let answer = program::hear(ip, b"", PATIENCE, ANSWER_MOST).ok()?;
        let mut words = answer.split_whitespace();
        words.find(|word| *word == "dev")?;
        words.next().map(str::to_owned)
    };
    FAR_AWAY.into_iter().filter_map(way).find(|device| is_tunnel(sys, device))
}

/// True for WireGuard, a TUN device, or a point-to-point link as of PPTP and L2TP. TAP devices carry virtual
/// machines.
fn is_tunnel(sys: &Path, device: &str) -> bool {
    if device.contains('/') {
        return false;
    }
    let says = |what: &str| fs::read_to_string(sys.join("class/net").join(device).join(what)).unwrap_or_default();
    let flags = says("tun_flags");
    let flags = u32::from_str_radix(flags.trim().trim_start_matches("0x"), 16).unwrap_or(0);
    // IFF_TUN (include/uapi/linux/if_tun.h); ARPHRD_PPP (include/uapi/linux/if_arp.h).
    says("uevent").lines().any(|line| line == "DEVTYPE=wireguard") || flags & 1 == 1 || says("type").trim() == "512"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sys(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join("class").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn on_battery_is_a_machine_with_one_and_no_supply_that_is_online() {
        let of = |files: &[(&str, &str)]| on_battery(sys(files).path());
        let battery = [("power_supply/BAT0/type", "Battery\n"), ("power_supply/AC/type", "Mains\n")];
        assert_eq!(of(&[battery[0], battery[1], ("power_supply/AC/online", "0\n")]), Some(true));
        assert_eq!(of(&[battery[0], battery[1], ("power_supply/AC/online", "1\n")]), Some(false));
        assert_eq!(of(&[battery[0]]), Some(true));
        assert_eq!(of(&[battery[1], ("power_supply/AC/online", "1\n")]), None, "a desktop machine");
        assert_eq!(of(&[("power_supply/mouse/type", "Battery\n"), ("power_supply/mouse/scope", "Device\n")]), None);
        assert_eq!(on_battery(Path::new("/nonexistent")), None);
    }

    #[test]
    fn tunnels_are_told_from_cables_and_virtual_machines() {
        let dir = sys(&[
            ("net/wg0/uevent", "DEVTYPE=wireguard\nINTERFACE=wg0\n"),
            ("net/tun0/tun_flags", "0x1001\n"),
            ("net/vnet0/tun_flags", "0x1002\n"),
            ("net/ppp0/type", "512\n"),
            ("net/eth0/type", "1\n"),
        ]);
        let tunnels =
            ["wg0", "tun0", "vnet0", "ppp0", "eth0", "gone", "../net/wg0"].map(|name| is_tunnel(dir.path(), name));
        assert_eq!(tunnels, [true, true, false, true, false, false, false]);
    }

    #[test]
    fn a_window_may_go_over_midnight() {
        assert!(is_within(90, 60, 120) && !is_within(120, 60, 120) && !is_within(59, 60, 120));
        assert!(is_within(1430, 1380, 360) && is_within(0, 1380, 360) && !is_within(360, 1380, 360));
        assert!(!is_within(5, 60, 60));
    }
}
