//! The endpoint's units: started by the first request, closed where it cannot start, ended where it hangs, and let out
//! to the mirrors that the daemon cannot reach.

use std::time::{Duration, Instant};

use super::real::{Systemd, until};

const SERVICE: &str = "pkgswarm-endpoint.service";
const SOCKET: &str = "pkgswarm-endpoint.socket";

/// An address that is public to every rule, on this machine's own network.
const PUBLIC: &str = "198.51.100.7";

fn enabled() -> Systemd {
    let machine = Systemd::boot();
    machine.ok(&[
        "sh",
        "-c",
        "mkdir -p /etc/pkgswarm/config.d && printf '[endpoint]\\nenabled = true\\n' \
                              >/etc/pkgswarm/config.d/endpoint.toml",
    ]);
    machine.ok(&["systemctl", "enable", "--now", SOCKET]);
    machine
}

/// Asks for a package as pacman does; returns the status, or that of curl in words.
fn asked(machine: &Systemd) -> String {
    let url = "http://127.0.0.1:4011/core/os/x86_64/zlib-1-1-x86_64.pkg.tar.zst";
    let run = machine.run(&[
        "curl",
        "--silent",
        "--output",
        "/dev/null",
        "--max-time",
        "30",
        "--write-out",
        "%{http_code}",
        url,
    ]);
    match run.status.code() {
        Some(0) => run.stdout,
        Some(7) => "refused".to_owned(),
        Some(52 | 56) => "closed".to_owned(),
        _ => format!("{run}"),
    }
}

#[test]
fn the_first_request_starts_the_endpoint_and_is_answered() {
    let machine = enabled();
    assert_eq!(machine.property(SERVICE, "ActiveState"), "inactive");
    let begun = Instant::now();
    // Of a file that no list knows.
    assert_eq!(asked(&machine), "404");
    let took = begun.elapsed();
    assert_eq!(machine.property(SERVICE, "ActiveState"), "active");
    println!("start to first answer, with nsenter and curl: {took:?}");
    let (from, to) = ("ExecMainStartTimestampMonotonic", "ActiveEnterTimestampMonotonic");
    let [from, to] = [from, to].map(|name| machine.property(SERVICE, name).parse::<u64>().expect("microseconds"));
    println!("start to readiness: {} ms", (to - from) / 1000);
    let first = machine.property(SERVICE, "MainPID");
    let process = machine.ok(&["cat", &format!("/proc/{first}/status")]);
    let field =
        |name: &str| process.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned();
    let own = machine.ok(&["id", "--user", "pkgswarm-endpoint"]);
    assert_eq!(field("Uid:").split_whitespace().next(), Some(own.trim()));
    assert_eq!([field("CapEff:"), field("CapBnd:")], ["0000000000000000"; 2]);
    assert_eq!((field("NoNewPrivs:"), field("Seccomp:")), ("1".to_owned(), "2".to_owned()));
    for dir in ["/var/cache/pkgswarm-endpoint", "/var/lib/pkgswarm-endpoint"] {
        assert_eq!(machine.ok(&["stat", "--format", "%U", dir]).trim(), "pkgswarm-endpoint", "{dir}");
    }
    // Killed, it is there again for the next request.
    machine.ok(&["kill", "-KILL", &first]);
    until("it is gone", Duration::from_secs(20), || (machine.property(SERVICE, "MainPID") != first).then_some(()));
    assert_eq!(asked(&machine), "404");
    assert_ne!(machine.property(SERVICE, "MainPID"), first);
    // Stopping its socket ends it.
    machine.ok(&["systemctl", "disable", "--now", SOCKET]);
    assert_eq!(
        (machine.property(SERVICE, "ActiveState"), asked(&machine)),
        ("inactive".to_owned(), "refused".to_owned())
    );
}

#[test]
fn an_endpoint_that_cannot_start_closes_its_address() {
    for (what, broken) in [
        (
            "a configuration with a mistake",
            "printf '[endpoint]\\nenabled = perhaps\\n' >/etc/pkgswarm/config.d/endpoint.toml",
        ),
        (
            "a crash at its start",
            "mkdir -p /etc/systemd/system/pkgswarm-endpoint.service.d && printf '[Service]\\nExecStart=\\nExecStart=/bin/sh -c \
             \"kill -SEGV $$$$\"\\n' >/etc/systemd/system/pkgswarm-endpoint.service.d/crash.conf && systemctl daemon-reload",
        ),
    ] {
        let machine = enabled();
        machine.ok(&["sh", "-c", broken]);
        // Those that came before it was closed are cut off, and cost no more than that.
        let first = asked(&machine);
        assert!(["refused", "closed"].contains(&&*first), "{what}: {first}");
        until("its socket is closed", Duration::from_secs(20), || {
            (machine.property(SOCKET, "ActiveState") == "failed").then_some(())
        });
        assert_eq!(asked(&machine), "refused", "{what}");
        let result = machine.property(SOCKET, "Result");
        assert!(["trigger-limit-hit", "service-start-limit-hit"].contains(&&*result), "{what}: {result}");
    }
}

#[test]
fn an_endpoint_that_hangs_is_ended_and_the_next_request_is_answered() {
    let machine = enabled();
    assert_eq!(asked(&machine), "404");
    let first = machine.property(SERVICE, "MainPID");
    machine.ok(&["kill", "-STOP", &first]);
    let begun = Instant::now();
    // It waits in the socket until the watchdog has ended the one that hangs.
    assert_eq!(asked(&machine), "404");
    println!("a request while the endpoint is stopped: {:?}", begun.elapsed());
    assert_ne!(machine.property(SERVICE, "MainPID"), first);
    assert!(begun.elapsed() < Duration::from_secs(10), "pacman would have given up: {:?}", begun.elapsed());
}

#[test]
fn the_endpoint_reaches_public_mirrors_and_the_daemon_does_not() {
    let machine = Systemd::boot();
    machine.ok(&["ip", "addr", "add", &format!("{PUBLIC}/32"), "dev", "eth0"]);
    let serve = "cd /usr/share/doc/pkgswarm && exec python3 -m http.server --bind 198.51.100.7 8080";
    machine.ok(&["systemd-run", "--unit", "mirror", "sh", "-c", serve]);
    let url = format!("http://{PUBLIC}:8080/README.md");
    let curl = ["curl", "--fail", "--silent", "--output", "/dev/null", "--max-time", "3"];
    until("the mirror answers", Duration::from_secs(30), || {
        machine.run(&[&curl[..], &[&url]].concat()).status.success().then_some(())
    });
    let fetched = |unit: &str| {
        // The unit's own fence, with curl in it.
        let dir = format!("/etc/systemd/system/{unit}.d");
        let part = format!(
            "[Unit]\\nRequires=\\n[Service]\\nType=oneshot\\nStandardInput=null\\nExecStart=\\nExecStart={} {url}\\n",
            curl.join(" ")
        );
        machine.ok(&[
            "sh",
            "-c",
            &format!("mkdir -p {dir} && printf '{part}' >{dir}/fence.conf && systemctl daemon-reload"),
        ]);
        machine.run(&["systemctl", "start", unit]).status.success()
    };
    assert!(fetched(SERVICE), "the endpoint's unit");
    assert!(!fetched("pkgswarm-daemon.service"), "the daemon's unit is fenced in");
}

#[test]
fn units_that_are_enabled_and_switched_off_are_no_failed_ones() {
    // As a distribution leaves it that enables the units of its packages.
    let machine = Systemd::boot();
    machine.ok(&["systemctl", "enable", "--now", SERVICE]);
    until("it has ended", Duration::from_secs(20), || {
        (machine.property(SERVICE, "ActiveState") == "inactive").then_some(())
    });
    assert_eq!(machine.property(SERVICE, "Result"), "success");
    // A client that asks all the same goes on at once.
    assert_eq!(asked(&machine), "closed");
    assert_eq!(machine.property(SERVICE, "Result"), "success");
    assert_eq!(machine.property(SOCKET, "ActiveState"), "active");
}

#[test]
fn a_refresh_through_the_endpoint_has_its_unit_refresh_due_indexes() {
    let machine = enabled();
    let mirror = format!("http://{PUBLIC}:8080");
    // Its key is that of no publisher: that the index is asked for is all that is looked at.
    let key = "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8";
    let index = format!("[index.test]\\nkey = \"{key}\"\\nurl = \"{mirror}/index\"\\nrepos = [\"core\"]\\n");
    let desc = "%%FILENAME%%\\na-1-1-any.pkg.tar.zst\\n\\n%%NAME%%\\na\\n\\n%%VERSION%%\\n1-1\\n\\n%%CSIZE%%\\n9\\n\\n%%SHA256SUM%%\\n";
    for line in [
        format!("ip addr add {PUBLIC}/32 dev eth0"),
        format!("printf '[core]\\nSigLevel = Never\\nServer = {mirror}\\n' >>/etc/pacman.conf"),
        format!("printf '{index}' >/etc/pkgswarm/config.d/index.toml"),
        format!("mkdir -p /srv/a-1-1 && printf '{desc}%064d\\n\\n' 0 >/srv/a-1-1/desc"),
        "cd /srv && tar czf core.db a-1-1".to_owned(),
        format!("systemd-run --unit mirror --working-directory /srv python3 -m http.server --bind {PUBLIC} 8080"),
    ] {
        machine.ok(&["sh", "-c", &line]);
    }
    let get = |url: &str| {
        let run = machine.run(&["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}", url]);
        (run.stdout == "200").then_some(())
    };
    until("the mirror answers", Duration::from_secs(30), || get(&format!("{mirror}/core.db")));
    until("the database comes", Duration::from_secs(30), || get("http://127.0.0.1:4011/core/os/x86_64/core.db"));
    until("the index is asked for", Duration::from_secs(60), || {
        machine
            .run(&["journalctl", "--no-pager", "-u", "mirror"])
            .stdout
            .contains("/index/pkgswarm.ipns-record")
            .then_some(())
    });
}

#[test]
fn an_endpoint_for_a_house_announces_itself_from_within_its_unit() {
    let machine = enabled();
    machine.ok(&["ip", "addr", "add", "10.55.0.1/24", "dev", "eth0"]);
    let config = "[endpoint]\\nenabled = true\\nlisten = \"127.0.0.1:4011 10.55.0.1:4011\"\\nallow = \"10.55.0.0/24\"\\n\
                  announce = true\\npeers = \"dns-sd\"\\n[lan]\\nnetworks = \"10.55.0.0/24\"\\n";
    let dir = format!("/etc/systemd/system/{SOCKET}.d");
    for line in [
        format!("printf '{config}' >/etc/pkgswarm/config.d/endpoint.toml"),
        format!("mkdir -p {dir} && printf '[Socket]\\nListenStream=10.55.0.1:4011\\n' >{dir}/house.conf"),
        format!("systemctl daemon-reload && systemctl enable {SERVICE} && systemctl restart {SOCKET} {SERVICE}"),
    ] {
        machine.ok(&["sh", "-c", &line]);
    }
    until("it is announced", Duration::from_secs(30), || {
        let said = machine.run(&["curl", "--silent", "http://127.0.0.1:4011/endpoint.json"]).stdout;
        said.contains("10.55.0.1:4011").then_some(())
    });
    // Multicast DNS of the network, by a process without any capability.
    assert!(machine.ok(&["ss", "-Hlun"]).contains(":5353"));
    assert_eq!(machine.property(SERVICE, "UnitFileState"), "enabled");
}
