use std::sync::Arc;

use jiff::tz::TimeZone;
use serde_json::json;

use super::super::{EndpointFigures, Examined, Overview, RunningFile, TrafficSums, documents, metrics};
use super::*;
use crate::base::digest::Sha256;
use crate::base::env::Env;
use crate::base::name::FileName;
use crate::config::{KeepConfig, Settings};
use crate::host::doctor::{self, Finding};
use crate::host::inspect::Inspection;
use crate::host::inspect::daemon::{DaemonReport, DaemonView};
use crate::host::inspect::keep::ShareFacts;
use crate::host::inspect::store::StoreUse;
use crate::pacman::prefetch::state::{PendingUpdate, PrefetchState, UpdateStanding};
use crate::store::contents::Use;
use crate::store::journal::{By, Contribution, JournalRecord};
use crate::store::stats::Stats;

/// 2026-11-30T12:00:00Z.
const NOW: u64 = 1_796_040_000;
const DAY: u64 = 86_400;

/// Text that is markup, ends an attribute, and turns the direction of writing.
const EVIL: &str = "<script>alert(1)</script>\"'\u{202e}&amp;";

fn overview() -> Overview {
    let settings = Settings::read(
        &Env { vars: [("HOME".to_owned(), "/nowhere".to_owned())].into(), uid: 0, ..Env::from_process() },
        &[],
    )
    .expect("defaults");
    let found = Inspection { now: NOW, daemon: DaemonView::NotRunning, ..Inspection::default() };
    let found_nothing = doctor::checks().map(|check| (check, Vec::new())).collect();
    Overview {
        machine: "cellar".to_owned(),
        zone: TimeZone::UTC,
        settings,
        found,
        examined: Arc::new(Examined { at: NOW, found: found_nothing }),
        traffic: Arc::default(),
        running: Vec::new(),
        endpoint: EndpointFigures::default(),
    }
}

fn record(at: u64, shares: &[(&str, u64)]) -> JournalRecord {
    let shares = shares.iter().map(|(source, bytes)| Contribution { source: (*source).to_owned(), bytes: *bytes });
    let name = FileName::new("a-1-1-any.pkg.tar.zst").expect("a name");
    JournalRecord { at, took: 900, by: By::Xfer, repo: None, name, delivered: 90 << 20, shares: shares.collect() }
}

fn update(name: &str, stands: UpdateStanding) -> PendingUpdate {
    PendingUpdate {
        repo: "extra".to_owned(),
        name: name.to_owned(),
        old: Some("1.0-1".to_owned()),
        new: "1.1-1".to_owned(),
        file: format!("{name}-1.1-1-any.pkg.tar.zst"),
        size: 3 << 20,
        sha256: Some(Sha256::of(name.as_bytes())),
        since: NOW - DAY,
        stands,
        pinned: false,
    }
}

/// Makes a machine with much to show.
fn busy() -> Overview {
    let mut busy = overview();
    let report: DaemonReport = serde_json::from_value(json!({
        "agent": "pkgswarm/0.1.0", "sharing": true, "shared_files": 412, "shared_bytes": 5_u64 << 30, "known_peers": 3,
        "networks": [{"interface": "eth0", "address": "10.78.0.2", "network": "10.78.0.0/24", "used": true, "stands": "trusted"}],
        "peers": [
            {"id": "a", "address": "/ip4/10.78.0.1/tcp/4010", "agent": "pkgswarm/0.1.0", "bytes_sent": 1 << 20, "bytes_received": 612 << 20},
            {"id": "b", "address": "/ip6/fd12:3456:789a:1:aaaa:bbbb:cccc:dddd/tcp/4010", "agent": EVIL, "bytes_sent": 0, "bytes_received": 0},
        ],
    }))
    .expect("a report");
    busy.found.daemon = DaemonView::Answers(Box::new(report), json!({}));
    let mut stats = Stats::default();
    for back in [0, 1, 2, 4, 5, 9, 13, 14, 20, 27] {
        let of_lan = (back % 4) * (17 << 20);
        let shares = [("lan", of_lan), ("kubo", 6 << 20), ("mirror m.example", (90 << 20) - of_lan - (9 << 20))];
        let at = NOW - back * DAY;
        let day = jiff::Timestamp::from_second(at.cast_signed()).expect("a time").to_zoned(TimeZone::UTC).date();
        stats.add(&record(at, &shares), false, &day.to_string());
        stats.add(&record(at, &[]), false, &day.to_string());
    }
    stats.add(&record(NOW, &[(&format!("mirror {EVIL}"), 1 << 20)]), true, "2026-11-30");
    let received = [("lan".to_owned(), 7_u64), ("mirror".to_owned(), 9)].into();
    busy.traffic = Arc::new(TrafficSums { lately: Ok(stats), received, delivered: (99, 2) });
    let ready = (0..9).map(|at| update(&format!("lib{at}"), UpdateStanding::Here));
    let failed = UpdateStanding::Failed(format!("no source delivered it {EVIL}"));
    let rest = (0..6).map(|at| update(&format!("a-package-with-quite-a-long-name-{at}"), UpdateStanding::Pending));
    let updates = ready.chain([update("gone", failed)]).chain(rest).collect();
    busy.found.updates = PrefetchState { checked: NOW - 600, updates, ..PrefetchState::default() };
    let held = Use { files: 127, bytes: 1 << 30, partial: 40 << 20 };
    busy.found.stores = vec![StoreUse { dir: "/var/cache/pkgswarm".into(), held, kubo_cached: 0 }];
    let file = |name: &str, size, arrived, what: &str| RunningFile {
        name: name.to_owned(),
        size,
        arrived,
        what: what.to_owned(),
    };
    busy.running = vec![
        file("linux-6.18.1-1-x86_64.pkg.tar.zst", Some(140 << 20), 52 << 20, "from neighbour 10.78.0.1 for 3 readers"),
        file("extra.db", None, 3 << 20, EVIL),
    ];
    busy.endpoint = EndpointFigures { sent: 7 << 30, files: 812, ..EndpointFigures::default() };
    busy
}

/// Makes a machine where much is wrong.
fn failing() -> Overview {
    let mut failing = overview();
    failing.found.daemon = DaemonView::Silent("nothing within 1 s".to_owned());
    let all: Vec<_> = doctor::checks().collect();
    let found = vec![
        (
            all[0],
            vec![Finding::error(
                format!("/etc/pkgswarm/config.toml:3: unknown setting {EVIL}"),
                "sudoedit /etc/pkgswarm/config.toml",
            )],
        ),
        (
            all[1],
            vec![Finding::warning(
                "the disk has 312.0 MiB left: large packages do not fit",
                "sudo pacman -Sc makes room",
            )],
        ),
        (all[2], vec![Finding::note("a note is not shown", "nothing")]),
    ];
    failing.examined = Arc::new(Examined { at: NOW, found });
    failing.traffic = Arc::new(TrafficSums {
        lately: Err("/var/cache/pkgswarm/journal: Permission denied (os error 13)".to_owned()),
        ..TrafficSums::default()
    });
    failing
}

fn states() -> [(&'static str, Overview); 3] {
    [("empty", overview()), ("busy", busy()), ("failing", failing())]
}

/// Lists what follows each `name` in the text, up to a quote.
fn values<'t>(text: &'t str, name: &'t str) -> impl Iterator<Item = &'t str> {
    text.split(name).skip(1).filter_map(|rest| rest.split(['"', ' ', '>']).next())
}

#[test]
fn foreign_text_stays_text() {
    for (state, overview) in states() {
        let page = page(&overview);
        assert!(!page.contains("<script") && !page.contains('\u{202e}'), "{state}: {page}");
        assert_eq!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), state != "empty", "{state}: {page}");
    }
}

#[test]
fn the_page_refers_to_nothing_outside_and_its_policy_allows_nothing_else() {
    for (state, overview) in states() {
        let page = page(&overview);
        for place in values(&page, "href=\"").chain(values(&page, "src=\"")) {
            assert!(
                place.starts_with('#') || place.starts_with('/') || place.starts_with("data:image/svg"),
                "{state}: {place}"
            );
        }
        assert!(!page.contains(" style=\"") && !page.contains(" on") || !page.contains("onclick"), "{state}");
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
        // Each place that is linked to within the page is there.
        for id in values(&page, "href=\"#").chain(values(&page, "aria-labelledby=\"")) {
            assert!(page.contains(&format!("id=\"{id}\"")), "{state}: {id}");
        }
    }
    assert!(policy().starts_with("default-src 'none'; style-src 'sha256-"), "{}", policy());
    assert!(
        !policy().contains("script-src") && !policy().contains("unsafe") && !policy().contains('*'),
        "{}",
        policy()
    );
}

#[test]
fn what_is_missing_is_told_with_the_command_that_brings_it() {
    let page = page(&overview());
    for command in ["sudo pacman -Syu", "sudo pkgswarm setup", "sudo pkgswarm prefetch", "pkgswarm index add"] {
        assert!(page.contains(&format!("<code>{command}</code>")), "{command}: {page}");
    }
    assert!(page.contains("All is well"), "{page}");
}

#[test]
fn problems_come_first_and_the_worst_of_them_before_the_others() {
    let page = page(&failing());
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text}: {page}"));
    assert!(
        at("1 error and 1 warning") < at("unknown setting") && at("unknown setting") < at("the disk has"),
        "{page}"
    );
    assert!(at("the disk has") < at("At a glance") && !page.contains("a note is not shown"), "{page}");
}

#[test]
fn the_table_has_the_days_of_the_chart() {
    let page = page(&busy());
    assert_eq!(page.matches("<rect class=\"day\"").count(), 10, "{page}");
    assert!(page.contains("<title>2026-11-28: here already"), "{page}");
    assert!(page.contains("datetime=\"2026-11-28\">28\u{a0}Nov"), "{page}");
    assert!(page.contains("37\u{a0}%") && page.contains("value=\"54525952\""), "{page}");
}

#[test]
fn monitors_get_openmetrics_without_the_names_of_packages() {
    let text = metrics::metrics(Arc::new(busy()));
    for line in [
        "pkgswarm_updates_pending 16",
        "pkgswarm_updates_ready 9",
        "pkgswarm_received_bytes_total{source=\"lan\"} 7",
        "pkgswarm_endpoint_files_total 812",
        "pkgswarm_store_proven_bytes{dir=\"/var/cache/pkgswarm\"} 1073741824",
        "pkgswarm_doctor_findings{level=\"error\"} 0",
        "# TYPE pkgswarm_received_bytes counter",
        "# UNIT pkgswarm_received_bytes bytes",
    ] {
        assert!(text.lines().any(|known| known == line), "{line}:\n{text}");
    }
    assert!(text.ends_with("# EOF\n") && !text.contains("lib0") && !text.contains("{}"), "{text}");
    // No family twice, and none without a figure.
    let families: Vec<_> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
    let mut once = families.clone();
    once.dedup();
    assert_eq!(families, once);
}

#[test]
fn programs_get_the_documents_of_the_commands() {
    let document = documents::whole(&busy());
    for member in ["pacman", "kubo", "daemon", "indexes", "stores", "updates", "stats", "doctor", "running", "endpoint"]
    {
        assert!(document.get(member).is_some(), "{member}: {document}");
    }
    assert_eq!((document["machine"].as_str(), document["doctor"]["healthy"].as_bool()), (Some("cellar"), Some(true)));
    assert_eq!(document["running"][0]["arrived"], 54_525_952);
}

/// For the eye: writes the pages to the directory in `PKGSWARM_PAGES`.
#[test]
fn pages_are_written_where_the_reader_wants_them() {
    let Some(dir) = std::env::var_os("PKGSWARM_PAGES") else { return };
    for (state, overview) in states() {
        std::fs::write(std::path::Path::new(&dir).join(format!("{state}.html")), page(&overview)).expect("a file");
    }
}

#[test]
fn a_share_is_drawn_by_the_other_holders_of_its_files() {
    let mut overview = overview();
    assert!(!page(&overview).contains("id=\"shares\""));
    let fields = [("quota".to_owned(), "40 GiB".to_owned())];
    let keep = KeepConfig::of_fields("arch", &fields).unwrap();
    let state = json!({
        "key": Sha256::of(b"").to_string(), "round": 3, "root": null, "files": {}, "leaving": {}, "missing": {},
        "last": {"at": NOW - 3600, "failed": null, "notes": [], "index_files": 20, "index_bytes": 1, "failures": 0, "came": 0,
                 "coverage": [1, 2, 0, 9]},
    });
    let state = serde_json::from_value(state).unwrap();
    overview.found.keep.shares = vec![ShareFacts { keep, state: Some(state) }];
    let shown = page(&overview);
    assert!(shown.contains("arch: 0 files, 0 B of 40.0 GiB; 60 min ago"), "{shown}");
    assert!(
        shown.contains("viewBox=\"0 0 12 1\"") && shown.contains("<rect class=\"lan\" x=\"3\" y=\"0\" width=\"9\"")
    );
    assert!(
        shown.contains("no other holder: 1") && shown.contains("two: 0") && !shown.contains("<rect class=\"kubo\"")
    );
}
