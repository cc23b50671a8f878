//! Clusters and pinning services as targets of pins, with the faults that users of real ones have met.

use std::path::{Path, PathBuf};
use std::time::Duration;

use pkgswarm::base::cid::Cid;
use pkgswarm::base::digest::Sha256;
use pkgswarm::net::http::Http;
use pkgswarm::net::pinning::{ApiSecret, ClusterApi, RemoteApi, ServiceApi};
use pkgswarm::pins::{ClusterPins, PinMark, ReconcileLimits, Reconciled, ServicePins, reconcile};

use crate::support::fake_pinning::{FakePinning, FakePinningState, TOKEN};
use crate::support::pins::{PinRig, keeps_the_contract, wait, wanted};

const UNBOUNDED: ReconcileLimits = ReconcileLimits { changes: usize::MAX, time: Duration::from_secs(600) };
const NAME: &str = "pkgswarm:arch";

fn cid(n: u16) -> Cid {
    Cid::raw(Sha256::of(&n.to_be_bytes()))
}

fn api(url: &str, secret: ApiSecret) -> RemoteApi {
    RemoteApi::new(url.parse().unwrap(), secret, Http::new(Duration::from_secs(5)).loopback().clone())
}

/// A service and the book of its publisher.
struct Place {
    fake: FakePinning,
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { fake: FakePinning::start(), dir: tempfile::tempdir().unwrap() }
    }

    fn book(&self) -> PathBuf {
        self.dir.path().join("requests.json")
    }

    fn pins(&self) -> ServicePins {
        pins(&self.fake, TOKEN, &self.book())
    }

    /// Has it hold `n`, as a run of the publisher does.
    fn roll(&self, n: u16) -> Reconciled {
        let desired = [wanted(cid(n), "")];
        wait(reconcile(&desired, &self.pins(), &PinMark::exactly(NAME), &UNBOUNDED)).expect("a service that lists")
    }

    /// Lists what it has, by number and state.
    fn has(&self) -> Vec<(u16, &'static str)> {
        let number = |text: &str| (0..2000).find(|n| cid(*n).to_string() == text).unwrap();
        self.fake.pins().iter().map(|(cid, _, status)| (number(cid), *status)).collect()
    }

    fn posts(&self) -> usize {
        self.fake.state().bodies.len()
    }
}

fn pins(fake: &FakePinning, token: &str, book: &Path) -> ServicePins {
    ServicePins::open(ServiceApi::new(api(&fake.url, ApiSecret::Bearer(token.to_owned()))), book.to_owned()).unwrap()
}

#[test]
fn the_pins_of_a_service_keep_the_contract() {
    let place = Place::new();
    place.fake.state().absent.insert(cid(9).to_string());
    let target = place.pins();
    keeps_the_contract(&PinRig {
        target: &target,
        hasty: &target,
        roots: [1, 2, 3, 4, 5].map(cid),
        absent: cid(9),
        looks_on: false,
        pin_by_hand: &|cid, name| place.fake.pin_by_hand(&cid.to_string(), name),
        all: &|| place.fake.pins().into_iter().map(|(cid, name, _)| (cid.parse().unwrap(), name)).collect(),
    });
}

#[test]
fn a_former_publication_stays_at_a_service_until_the_new_one_is_held() {
    let place = Place::new();
    assert_eq!(place.roll(1).added, [cid(1)]);
    place.fake.state().is_slow = true;
    let done = place.roll(2);
    assert_eq!((done.added.len(), done.left), (0, 1));
    assert_eq!(place.has(), [(1, "pinned"), (2, "queued")]);
    // One that was never held makes way for the next: otherwise a slow service would collect all of them.
    place.roll(3);
    assert_eq!(place.has(), [(1, "pinned"), (3, "queued")]);
    assert_eq!(place.roll(3).left, 1, "nothing is requested twice");
    assert_eq!(place.posts(), 3);
    place.fake.finish();
    place.roll(3);
    assert_eq!(place.has(), [(3, "pinned")]);
}

#[test]
fn a_request_whose_answer_was_lost_is_found_and_not_made_again() {
    let place = Place::new();
    place.fake.state().lost = 1;
    assert_eq!(place.roll(1).failed.len(), 1);
    assert!(place.roll(1).failed.is_empty());
    assert_eq!((place.has(), place.posts()), (vec![(1, "pinned")], 1));
}

#[test]
fn requests_that_the_lists_of_a_service_lose_are_known_by_their_ids() {
    let place = Place::new();
    place.roll(1);
    let lose: [fn(&mut FakePinningState); 2] = [|state| state.forgets = true, |state| state.is_nameless = true];
    for (n, lose) in (2..).zip(lose) {
        lose(&mut place.fake.state());
        place.roll(n);
        assert_eq!(place.has(), [(n, "pinned")], "the former one is gone");
        let mut state = place.fake.state();
        (state.forgets, state.is_nameless) = (false, false);
    }
    // And without the ids, by the lists: a state that was lost piles up no pins.
    std::fs::remove_file(place.book()).unwrap();
    place.roll(4);
    assert_eq!(place.has(), [(4, "pinned")]);
}

#[test]
fn a_request_that_failed_is_said_and_made_again() {
    let place = Place::new();
    place.fake.state().absent.insert(cid(1).to_string());
    let done = place.roll(1);
    let error = done.failed[0].error.to_string();
    assert!(error.contains("gave up on") && error.ends_with(": the reason"), "{error}");
    place.fake.state().absent.clear();
    assert_eq!(place.roll(1).added, [cid(1)]);
    // One that fails later, while it stands.
    place.fake.state().is_slow = true;
    place.roll(2);
    place.fake.state().requests.last_mut().unwrap().status = "failed";
    place.roll(2);
    assert_eq!(place.has(), [(1, "pinned"), (2, "queued")]);
}

#[test]
fn a_busy_service_is_asked_again_after_the_time_that_it_names_and_not_before_without_one() {
    let place = Place::new();
    place.fake.state().busy = vec!["1"];
    assert_eq!(place.roll(1).added, [cid(1)]);
    place.fake.state().busy = vec!["3600"];
    let refused = wait(reconcile(&[wanted(cid(2), "")], &place.pins(), &PinMark::exactly(NAME), &UNBOUNDED));
    assert!(refused.unwrap_err().to_string().contains("is busy (HTTP 429)"));
    assert_eq!(place.has(), [(1, "pinned")], "nothing was changed");
}

#[test]
fn an_answer_about_another_root_is_no_answer() {
    let place = Place::new();
    place.fake.state().is_mistaken = true;
    let error = place.roll(1).failed[0].error.to_string();
    assert!(error.contains("its answer is about another root"), "{error}");
    assert_eq!(place.roll(1).failed.len(), 0);
    assert_eq!(place.posts(), 1, "the request was made, and is found");
}

#[test]
fn a_thousand_pins_of_others_hide_none_of_ours_and_a_page_that_repeats_ends_the_list() {
    let place = Place::new();
    place.roll(1);
    for n in 0..1500 {
        place.fake.pin_by_hand(&cid(100 + n).to_string(), &format!("{NAME} of another"));
    }
    std::fs::remove_file(place.book()).unwrap();
    for repeats in [false, true] {
        place.fake.state().repeats = repeats;
        let found = wait(ServiceApi::new(api(&place.fake.url, ApiSecret::Bearer(TOKEN.to_owned()))).named(NAME, false));
        assert_eq!(found.unwrap().len(), if repeats { 1000 } else { 1501 });
    }
    place.roll(2);
    assert_eq!(place.has().iter().filter(|(n, _)| *n < 100).collect::<Vec<_>>(), [&(2, "pinned")]);
}

#[test]
fn a_refused_secret_changes_nothing_and_is_not_told() {
    let place = Place::new();
    place.roll(1);
    let asked = place.fake.state().asked.len();
    let target = pins(&place.fake, "wrong-token", &place.book());
    let refused = wait(reconcile(&[wanted(cid(2), "")], &target, &PinMark::exactly(NAME), &UNBOUNDED)).unwrap_err();
    let text = refused.to_string();
    assert!(text.contains("refuses the secret (HTTP 401: UNAUTHORIZED)") && !text.contains("wrong-token"), "{text}");
    assert_eq!(place.has(), [(1, "pinned")]);
    assert_eq!(place.fake.state().asked.len(), asked + 1, "it was asked once");
}

#[test]
fn a_service_that_leads_elsewhere_is_not_followed_and_its_words_cannot_move_the_cursor() {
    let place = Place::new();
    for (code, body, expected) in [
        (307, "", "leads elsewhere (HTTP 307), which is not followed"),
        (
            409,
            r#"{"error":{"reason":"INSUFFICIENT_FUNDS","details":"pay\u001b[2J"}}"#,
            r"INSUFFICIENT_FUNDS: pay\u{1b}[2J",
        ),
        (500, "<html>", "HTTP 500"),
        (200, "no JSON", "its answer is no list of pins"),
    ] {
        place.fake.state().refusal = Some((code, body));
        let refused = wait(reconcile(&[wanted(cid(2), "")], &place.pins(), &PinMark::exactly(NAME), &UNBOUNDED));
        let text = refused.unwrap_err().to_string();
        assert!(text.contains(expected), "{code}: {text}");
    }
    assert_eq!(place.posts(), 0);
}

#[test]
fn a_cluster_that_is_not_there_fails_and_changes_nothing() {
    let url = format!("http://{}", crate::support::dead_address());
    let target = ClusterPins {
        api: ClusterApi::new(api(&url, ApiSecret::None)),
        copies: None,
        origins: Vec::new(),
        patience: Duration::ZERO,
    };
    let failed = wait(reconcile(&[wanted(cid(1), "")], &target, &PinMark::exactly(NAME), &UNBOUNDED)).unwrap_err();
    assert!(failed.to_string().starts_with("127.0.0.1"), "{failed}");
}

#[test]
fn what_a_service_says_of_another_request_holds_nothing_and_ends_nothing() {
    let place = Place::new();
    place.roll(1);
    place.fake.pin_by_hand(&cid(7).to_string(), "the user's");
    place.fake.state().forgets = true;
    place.fake.state().is_slow = true;
    // It answers each question about a request with the user's.
    let users = place.fake.state().requests[1].clone();
    place.fake.state().instead = Some(users);
    let done = place.roll(2);
    assert!(done.added.is_empty() && done.held.is_empty(), "{done:?}");
    assert_eq!(place.has(), [(1, "pinned"), (7, "pinned"), (2, "queued")]);
}

#[test]
fn publishers_of_one_name_keep_their_pins_apart_at_one_service() {
    let place = Place::new();
    for (n, key) in [(1, "k51a"), (2, "k51b"), (1, "k51a")] {
        let book = place.dir.path().join(key);
        let mark = PinMark::exactly(format!("{NAME} {key}"));
        let target = pins(&place.fake, TOKEN, &book);
        wait(reconcile(&[wanted(cid(n), "")], &target, &mark, &UNBOUNDED)).expect("a service that lists");
    }
    assert_eq!(place.has(), [(1, "pinned"), (2, "pinned")]);
}

#[test]
fn a_request_of_which_a_service_says_nothing_useful_keeps_no_other_from_being_made_or_ended() {
    for code in [400, 403, 410, 500] {
        let place = Place::new();
        place.roll(1);
        // The service has forgotten it, or it is another account's.
        let former = place.fake.state().requests.remove(0);
        place.fake.state().odd.insert(former.id, code);
        assert_eq!(place.roll(2).added, [cid(2)], "{code}");
        assert_eq!(place.roll(3).removed.len(), 1, "{code}");
        assert_eq!(place.has(), [(3, "pinned")], "{code}");
    }
}

#[test]
fn a_service_that_answers_with_the_request_of_the_user_does_not_make_it_ours() {
    for name in ["the user's", ""] {
        let place = Place::new();
        place.fake.state().same_id = true;
        place.fake.state().is_slow = true;
        place.fake.pin_by_hand(&cid(1).to_string(), name);
        let done = place.roll(1);
        assert!(done.failed.is_empty() && done.pending == [cid(1)], "{done:?}");
        place.fake.finish();
        assert_eq!(place.roll(1).of_user, [cid(1)]);
        place.fake.state().is_slow = false;
        place.roll(2);
        assert_eq!(place.has(), [(1, "pinned"), (2, "pinned")], "the user's stays");
        place.fake.state().requests[0].status = "failed";
        place.roll(1);
        assert_eq!(place.fake.pins()[0], (cid(1).to_string(), name.to_owned(), "failed"), "even one that failed");
    }
}
