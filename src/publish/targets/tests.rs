//! Several targets at once, some of which fail.

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;

use super::super::FollowError;
use super::super::collect::collect;
use super::super::tests::{NOW, RepoFixture, package};
use super::kubo::KuboTarget;
use super::*;
use crate::net::kubo::script::{Script, ScriptedAnswer, ok};

/// The step at which a target fails.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fails {
    Never,
    Look,
    Check,
    Place,
}

struct FakeTarget<'a> {
    label: &'static str,
    fails: Fails,
    signs: Option<Name>,
    placed: &'a Cell<usize>,
}

fn failure(label: &str) -> PublishError {
    PublishError::Key(label.to_owned())
}

impl FakeTarget<'_> {
    fn at(&self, step: Fails) -> Result<(), PublishError> {
        if self.fails == step { Err(failure(self.label)) } else { Ok(()) }
    }
}

impl PublishTarget for FakeTarget<'_> {
    fn label(&self) -> String {
        self.label.to_owned()
    }

    fn look<'a>(
        &'a mut self,
        _tree: &'a Tree,
        _memory: &'a PublisherMemory,
    ) -> LocalBoxFuture<'a, Result<TargetView, PublishError>> {
        let view = TargetView { same: None, is_current: false, floor: NOW + 5, name: self.signs };
        let result = self.at(Fails::Look).map(|()| view);
        Box::pin(async { result })
    }

    fn check<'a>(
        &'a mut self,
        _sealed: &'a Sealed<'a>,
        _is_signed: bool,
        _progress: &'a mut dyn FnMut(Phase, u64, u64),
    ) -> LocalBoxFuture<'a, Result<(), PublishError>> {
        let result = self.at(Fails::Check);
        Box::pin(async { result })
    }

    fn place<'a>(&'a mut self, _offer: TargetOffer<'a>) -> LocalBoxFuture<'a, Result<Placement, PublishError>> {
        let result = self.at(Fails::Place);
        self.placed.set(self.placed.get() + usize::from(result.is_ok()));
        let signed = self.signs.map(|_| SignedRecord { bytes: Some(b"record".to_vec()) });
        Box::pin(async { result.map(|()| Placement { signed, ..Placement::default() }) })
    }
}

/// Publishes at fakes that fail so, and at a plain copy if one is configured. Returns the result, how many fakes were
/// served, and the memory.
fn publish_at(
    options: &PublishOptions,
    fakes: &[(&'static str, Fails)],
    signs: Option<Name>,
) -> (Result<PublishReport, PublishError>, usize, PublisherMemory) {
    let tree = Tree::of(options, collect(&options.dirs, None).unwrap(), Default::default(), &mut |_, _, _| {}).unwrap();
    let (mut memory, placed) = (PublisherMemory::open(&options.state_dir).unwrap(), Cell::new(0));
    let fake = |(label, fails): &(&'static str, Fails)| -> Box<dyn PublishTarget + '_> {
        Box::new(FakeTarget { label, fails: *fails, signs, placed: &placed })
    };
    let mut targets = with_copy(options, fakes.iter().map(fake).collect());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let work = async { publish(&mut targets, options, &tree, &mut memory, &mut |_, _, _| {}).await };
    let result = runtime.block_on(work);
    drop(targets);
    (result, placed.get(), memory)
}

#[test]
fn a_target_that_fails_leaves_the_others() {
    let made = RepoFixture::repo("custom", &[package("a-1-1-any", 10)]);
    let options = PublishOptions { out: None, ..made.options(NOW) };
    for fails in [Fails::Look, Fails::Check, Fails::Place] {
        let fakes = [("first", Fails::Never), ("second", fails), ("third", Fails::Never)];
        let (result, placed, _) = publish_at(&options, &fakes, None);
        let report = result.unwrap();
        assert_eq!(report.failed.iter().map(|failure| &*failure.target).collect::<Vec<_>>(), ["second"]);
        assert_eq!((placed, report.did), (2, Did::Published));
        assert!(report.sequence > NOW + 5, "higher than any target has seen");
    }
}

#[test]
fn where_no_target_can_be_served_the_first_says_why_and_no_sequence_is_used_up() {
    let made = RepoFixture::repo("custom", &[package("a-1-1-any", 10)]);
    let options = PublishOptions { out: None, ..made.options(NOW) };
    for (first, second) in [(Fails::Look, Fails::Look), (Fails::Check, Fails::Check), (Fails::Look, Fails::Check)] {
        let (result, placed, memory) = publish_at(&options, &[("first", first), ("second", second)], None);
        assert!(matches!(&result, Err(PublishError::Key(label)) if label == "first"), "{result:?}");
        assert_eq!((placed, memory.sequence), (0, 0));
    }
    let name: Name = "k51qzi5uqu5diu123go4ytnv221n8fpamszcdc63xnktmu2hcd5jfau5yv1dz4".parse().unwrap();
    for fails in [Fails::Look, Fails::Check] {
        let (result, _, memory) = publish_at(&options, &[("signer", fails)], Some(name));
        assert!(matches!(&result, Err(PublishError::Key(label)) if label == "signer"), "{result:?}");
        assert_eq!(memory.sequence, 0);
    }
    let (result, _, memory) = publish_at(&options, &[("only", Fails::Place)], None);
    assert!(result.is_err() && memory.sequence > NOW, "it may have been given out");
}

#[test]
fn a_plain_copy_never_has_a_manifest_that_its_record_does_not_lead_to() {
    let made = RepoFixture::repo("custom", &[package("a-1-1-any", 10)]);
    let name: Name = "k51qzi5uqu5diu123go4ytnv221n8fpamszcdc63xnktmu2hcd5jfau5yv1dz4".parse().unwrap();
    let manifest: PathBuf = made.root().join("out/pkgswarm.json");
    let (result, ..) = publish_at(&made.options(NOW), &[("signer", Fails::Never)], Some(name));
    let report = result.unwrap();
    assert_eq!((report.name, report.failed.len()), (Some(name), 0));
    assert_eq!(fs::read(made.root().join("out/pkgswarm.ipns-record")).unwrap(), b"record");
    let former = fs::read(&manifest).unwrap();
    made.add("custom", &[package("b-1-1-any", 10)]);
    for fails in [Fails::Look, Fails::Check, Fails::Place] {
        let (result, ..) = publish_at(&made.options(NOW + 10), &[("signer", fails)], Some(name));
        assert!(matches!(&result, Err(PublishError::Key(label)) if label == "signer"), "{result:?}");
        assert_eq!(fs::read(&manifest).unwrap(), former, "whole, as it was");
    }
    // Without a name the copy has no record, and the former one does not stay beside it.
    let (result, ..) = publish_at(&made.options(NOW + 15), &[], None);
    assert!(result.unwrap().failed.is_empty());
    assert!(manifest.exists() && !made.root().join("out/pkgswarm.ipns-record").exists());
    // A copy that cannot be written is said, and the signer has the publication.
    fs::remove_dir_all(made.root().join("out")).unwrap();
    fs::create_dir_all(manifest.join("in-its-way")).unwrap();
    let (result, placed, _) = publish_at(&made.options(NOW + 20), &[("signer", Fails::Never)], Some(name));
    let report = result.unwrap();
    assert_eq!((placed, report.failed.len()), (1, 1));
    assert!(matches!(report.failed[0].error, PublishError::Io { .. }));
    assert!(report.failed[0].target.starts_with("the plain copy in "), "{}", report.failed[0].target);
}

#[test]
fn a_package_of_a_mirror_that_is_not_here_is_at_kubo_or_lost_whatever_the_list_of_arrivals_says() {
    let packages = [package("a-1-1-any", 10)];
    let made = RepoFixture::repo("custom", &packages);
    // What is below the state directory is a mirror's.
    let options = PublishOptions { out: None, state_dir: made.root().to_owned(), ..made.options(NOW) };
    let tree =
        Tree::of(&options, collect(&options.dirs, None).unwrap(), Default::default(), &mut |_, _, _| {}).unwrap();
    fs::remove_file(made.path().join(&packages[0].0)).unwrap();
    let sealed = seal(&options, &tree, NOW, &Default::default(), None).unwrap();
    let absent = || ScriptedAnswer::Status(500, br#"{"Message":"ipld: could not find x","Type":"error"}"#.to_vec());
    for (block, is_there) in [(absent(), false), (ok(packages[0].1.clone()), true)] {
        let size = ok(r#"{"RepoSize":1,"StorageMax":10000000}"#);
        let script = Script::answering(vec![("block/get", block), ("repo/stat", size)]);
        let kubo = script.kubo();
        let mut target = KuboTarget::new(&options, &kubo, None);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let done = runtime.block_on(async { target.check(&sealed, false, &mut |_, _, _| {}).await });
        let is_lost = matches!(&done, Err(PublishError::Follow(FollowError::Damaged { path, .. }))
            if path.ends_with(&packages[0].0));
        assert_eq!((done.is_ok(), is_lost), (is_there, !is_there), "{done:?}");
    }
}
