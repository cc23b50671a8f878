//! The contract that every `Source` keeps, run over each of them and over the fakes that stand for them.

use std::time::Duration;

use futures_util::StreamExt as _;
use pkgswarm::base::digest::Sha256;
use pkgswarm::base::miss::Miss;
use pkgswarm::base::runtime::block_on;
use pkgswarm::dag::build::build;
use pkgswarm::engine::source::file::LocalFile;
use pkgswarm::engine::source::gateway::GatewayFile;
use pkgswarm::engine::source::kubo::{KuboFile, KuboReach};
use pkgswarm::engine::source::lan::LanFile;
use pkgswarm::engine::source::mirror::Mirror;
use pkgswarm::engine::source::{FetchRequest, Source, SourceAnswer};
use pkgswarm::net::http::Http;
use reqwest::Url;

use crate::support::daemon::{Daemon, FakeDaemon};
use crate::support::repo::noise;
use crate::support::*;

/// Three leaves and a bit, so that sources that work in leaves show it.
const SIZE: usize = (3 << 20) + 4711;
const MOST: u64 = 64 << 20;

/// A source that has the file and one that does not.
type Pair<'a> = (&'static str, Box<dyn Source + 'a>, Box<dyn Source + 'a>);

/// Runs `check` over every kind of source.
fn for_every_source(check: impl Fn(&str, &dyn Source, &dyn Source, &[u8])) {
    let bytes = noise("contract", SIZE);
    let cid = build(&bytes[..]).unwrap().root;
    let other = build(&b"no source has this"[..]).unwrap().root;
    let http = Http::new(Duration::from_secs(5));
    let mirror = FakeMirror::serving(&[("file", &bytes)]);
    let kubo = FakeKubo::empty().holding(&bytes);
    let gateway = Url::parse(&kubo.gateway_url()).unwrap();
    // A searching source continues for 30 s before it reports that.
    let without = FakeKubo::empty().status(404);
    let poor = Url::parse(&without.gateway_url()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), &bytes).unwrap();
    let at_mirror = |name: &str| Url::parse(&mirror.url("core", name)).unwrap();
    let size = Some(bytes.len() as u64);
    let daemon = FakeDaemon::holding(&bytes, Daemon::Honest);
    let neighbour = |sha256| LanFile::new(&daemon.socket(), sha256, None, bytes.len() as u64, "file");
    let pairs: [Pair; 5] = [
        ("lan", Box::new(neighbour(Sha256::of(&bytes))), Box::new(neighbour(Sha256::of(b"no source has this")))),
        (
            "file",
            Box::new(LocalFile::new(dir.path().join("file"), MOST)),
            Box::new(LocalFile::new(dir.path().join("none"), MOST)),
        ),
        (
            "mirror",
            Box::new(Mirror::new(&http, at_mirror("file"), size, MOST)),
            Box::new(Mirror::new(&http, at_mirror("none"), size, MOST)),
        ),
        (
            "kubo",
            Box::new(KuboFile::new(&http, &gateway, cid, KuboReach::Near, size, MOST)),
            Box::new(KuboFile::new(&http, &poor, other, KuboReach::Anywhere, size, MOST)),
        ),
        (
            "gateway",
            Box::new(GatewayFile::new(&http, &gateway, cid, MOST)),
            Box::new(GatewayFile::new(&http, &poor, other, MOST)),
        ),
    ];
    for (name, has, has_not) in &pairs {
        check(name, has.as_ref(), has_not.as_ref(), &bytes);
    }
}

/// Opens the source. A busy machine makes a daemon late, which is then skipped: it is asked again.
async fn open<'s>(source: &'s dyn Source, question: FetchRequest) -> Result<SourceAnswer<'s>, Miss> {
    for _ in 0..100 {
        match source.open(question).await {
            Err(Miss::Stalled(_)) => {}
            answered => return answered,
        }
    }
    source.open(question).await
}

/// Opens and reads to the end: the offset of the first byte, the reported size, and the bytes.
fn read(source: &dyn Source, from: u64) -> Result<(u64, Option<u64>, Vec<u8>), Miss> {
    ask(source, FetchRequest { from, ..FetchRequest::default() })
}

fn ask(source: &dyn Source, question: FetchRequest) -> Result<(u64, Option<u64>, Vec<u8>), Miss> {
    let read = async {
        let SourceAnswer::Bytes { start, size, mut body, .. } = open(source, question).await? else {
            panic!("unchanged, though no date was named");
        };
        let mut bytes = Vec::new();
        while let Some(piece) = body.next().await {
            bytes.extend_from_slice(&piece?);
        }
        Ok((start, size, bytes))
    };
    block_on(read).expect("a test is not interrupted")
}

#[test]
fn every_source_gives_the_whole_file_and_tells_its_size() {
    for_every_source(|name, has, _, bytes| {
        let (start, size, read) = read(has, 0).unwrap_or_else(|miss| panic!("{name}: {miss}"));
        assert_eq!((start, size), (0, Some(bytes.len() as u64)), "{name}");
        assert!(read == bytes, "{name}: other bytes");
    });
}

#[test]
fn every_source_starts_where_it_is_asked_to_or_at_zero() {
    for_every_source(|name, has, _, bytes| {
        for from in [1, 1 << 20, bytes.len() as u64 - 1] {
            let (start, _, read) = read(has, from).unwrap_or_else(|miss| panic!("{name}: {miss}"));
            assert!(start == from || start == 0, "{name}: starts at {start}, asked from {from}");
            assert!(read == bytes[start as usize..], "{name}: other bytes");
        }
    });
}

#[test]
fn every_source_ends_where_it_is_asked_to() {
    const MIB: u64 = 1 << 20;
    for_every_source(|name, has, _, bytes| {
        let end = bytes.len() as u64;
        let parts =
            [(0, 1), (0, MIB), (1, 2 * MIB), (MIB, 3 * MIB), (MIB + 5, MIB + 6), (2 * MIB + 7, end), (end - 1, end)];
        for (from, until) in parts {
            let question = FetchRequest { from, until: Some(until), ..FetchRequest::default() };
            let (start, size, read) = ask(has, question).unwrap_or_else(|miss| panic!("{name}: {miss}"));
            assert_eq!((start, size), (from, Some(end)), "{name}: {from} to {until}");
            assert!(read == bytes[from as usize..until as usize], "{name}: {from} to {until}: {} bytes", read.len());
        }
    });
}

#[test]
fn every_source_says_that_it_has_no_such_file() {
    for_every_source(|name, _, has_not, _| {
        let miss = read(has_not, 0).expect_err(name);
        assert!(matches!(miss, Miss::Absent(_)), "{name}: {miss}");
    });
}

#[test]
fn every_source_can_be_left_and_asked_again() {
    for_every_source(|name, has, _, bytes| {
        let left = async {
            let Ok(SourceAnswer::Bytes { mut body, .. }) = open(has, FetchRequest::default()).await else {
                panic!("{name}")
            };
            body.next().await.map(|piece| piece.map(|bytes| bytes.len()))
        };
        let first = block_on(left).unwrap().expect("a first piece").unwrap_or_else(|miss| panic!("{name}: {miss}"));
        assert!(first > 0, "{name}");
        assert!(read(has, 0).is_ok_and(|(_, _, read)| read == bytes), "{name}: not the whole file the second time");
    });
}

#[test]
fn no_source_shows_secrets_in_its_place() {
    let http = Http::new(Duration::from_secs(5));
    let url = Url::parse("https://user:secret@mirror.example/core/file?token=secret").unwrap();
    assert_eq!(Mirror::new(&http, url, None, MOST).location(), "mirror.example");
}

#[test]
fn a_kubo_that_is_to_ask_others_later_says_at_once_what_it_has_itself() {
    let (near, far) = (noise("near", 5000), noise("far", 5000));
    let kubo = FakeKubo::empty().holding(&near).finding(&far);
    let (http, gateway) = (Http::new(Duration::from_secs(5)), Url::parse(&kubo.gateway_url()).unwrap());
    let of = |bytes: &[u8], later| {
        let cid = build(bytes).unwrap().root;
        let size = Some(bytes.len() as u64);
        KuboFile::new(&http, &gateway, cid, KuboReach::Anywhere, size, MOST).asking_others_after(later)
    };
    let asked = || kubo.requests().iter().map(|request| request.method.clone()).collect::<Vec<_>>();
    let (hour, moment) = (Duration::from_secs(3600), Duration::from_millis(1));
    assert!(read(&of(&near, hour), 0).unwrap().2 == near);
    assert_eq!(asked(), ["HEAD", "GET"]);
    let waits = of(&far, hour);
    let patience = Duration::from_millis(300);
    let opened = block_on(async { tokio::time::timeout(patience, waits.open(FetchRequest::default())).await.is_ok() });
    assert_eq!((opened, asked()), (Some(false), ["HEAD", "GET", "HEAD"].map(str::to_owned).to_vec()));
    assert!(read(&of(&far, moment), 0).unwrap().2 == far);
}
