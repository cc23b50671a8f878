//! Many files at a time into the store: over few connections, in order, each with a result of its own.

use std::path::Path;

use pkgswarm::base::env::Env;
use pkgswarm::base::error::ErrorKind;
use pkgswarm::base::name::FileName;
use pkgswarm::config::Settings;
use pkgswarm::engine::deliver::Candidate;
use pkgswarm::engine::want::Want;
use pkgswarm::pacman::gather::{AtOnce, Gathered, gather, into_store};
use pkgswarm::store::Store;
use pkgswarm::store::journal::By;
use pkgswarm::trust::look::FileShape;
use pkgswarm::trust::plan::Known;

use crate::support::*;

fn means(dir: &Path) -> (Env, Settings) {
    let mut env = Env::from_process();
    env.vars.clear();
    env.vars.insert("PKGSWARM_CONFIG_DIR".to_owned(), dir.join("config").display().to_string());
    let set = [
        format!("store.dir={}", dir.join("store").display()),
        format!("state.dir={}", dir.join("state").display()),
        format!("pacman.conf={}", dir.join("pacman.conf").display()),
        "kubo.enabled=false".to_owned(),
        "download.patience=6 s".to_owned(),
    ];
    let settings = Settings::read(&env, &set).unwrap();
    (env, settings)
}

fn want(mirror: &FakeMirror, package: &Package) -> Want {
    let known = Known { size: package.bytes.len() as u64, sha256: package.sha256(), root: None };
    let url = reqwest::Url::parse(&mirror.url("core", &package.file_name())).unwrap();
    let name = FileName::new(package.file_name()).unwrap();
    Want {
        name,
        shape: FileShape::ANY,
        repo: None,
        plan: known.plan(),
        candidates: vec![Candidate::Mirror(url)],
        doubt: None,
    }
}

fn packages(count: usize) -> Vec<Package> {
    (0..count).map(|i| Package::new(&format!("p{i:02}"), 20_000 + i)).collect()
}

#[test]
fn gather_keeps_every_file_and_no_more_connections_than_it_may() {
    let packages = packages(24);
    let mirror = FakeMirror::serving(&packages.iter().map(Package::file).collect::<Vec<_>>());
    let dir = tempfile::tempdir().unwrap();
    let (env, settings) = means(dir.path());
    let wants: Vec<Want> = packages.iter().map(|package| want(&mirror, package)).collect();
    let gathered: Vec<Gathered> =
        gather(&env, &settings, By::Prefetch, wants.clone(), AtOnce::over(3), into_store).collect();
    assert_eq!(gathered.len(), 24);
    let store = Store::open(&dir.path().join("store"), env.uid, u64::MAX).unwrap();
    for package in &packages {
        assert!(store.find(package.sha256(), package.bytes.len() as u64).is_some(), "{}", package.file_name());
    }
    assert!(mirror.server().connections() <= 3, "{} connections", mirror.server().connections());
    assert_eq!(mirror.requests().len(), 24);
    let again = gather(&env, &settings, By::Prefetch, wants, AtOnce::over(3), into_store);
    assert!(again.into_iter().all(|file| file.result.is_ok()));
    assert_eq!(mirror.requests().len(), 24, "what is here is not fetched again");
}

#[test]
fn gather_goes_on_after_a_failure_and_names_it() {
    let packages = packages(6);
    let files: Vec<_> = packages.iter().map(Package::file).collect();
    let mirror = FakeMirror::serving(&files).on(&packages[2].file_name()).status(404);
    let dir = tempfile::tempdir().unwrap();
    let (env, settings) = means(dir.path());
    let wants = packages.iter().map(|package| want(&mirror, package)).collect();
    let (good, bad): (Vec<Gathered>, Vec<Gathered>) =
        gather(&env, &settings, By::Prefetch, wants, AtOnce::over(2), into_store).partition(|file| file.result.is_ok());
    assert_eq!((good.len(), bad.len()), (5, 1));
    assert_eq!(bad[0].want.name.as_str(), packages[2].file_name());
    assert_eq!(bad[0].result.as_ref().unwrap_err().kind, ErrorKind::NoSource);
}

#[test]
fn gather_begins_nothing_more_once_stopped() {
    let packages = packages(8);
    let files: Vec<_> = packages.iter().map(Package::file).collect();
    let mirror = FakeMirror::serving(&files);
    let dir = tempfile::tempdir().unwrap();
    let (env, settings) = means(dir.path());
    let wants = packages.iter().map(|package| want(&mirror, package)).collect();
    let mut gathering = gather(&env, &settings, By::Prefetch, wants, AtOnce::over(1), into_store);
    assert!(gathering.next().unwrap().result.is_ok());
    gathering.stop();
    let more = gathering.count();
    assert!(more <= 2, "one under way, and one that was done before: {more}");
    assert!(mirror.requests().len() <= 3, "{} files were asked for", mirror.requests().len());
}
