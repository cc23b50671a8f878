//! Reconciling against a fake target: the contract, failures at every point, pins of the user.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::base::digest::Sha256;
use crate::net::kubo::script::{Script, ScriptedAnswer, ok};

#[path = "../../tests/support/pins.rs"]
mod contract;

use contract::{PinRig, keeps_the_contract, wait, wanted};

const UNBOUNDED: ReconcileLimits = ReconcileLimits { changes: usize::MAX, time: Duration::from_secs(600) };

fn cid(n: u8) -> Cid {
    Cid::raw(Sha256::of(&[n]))
}

fn fault(kind: KuboErrorKind) -> PinError {
    PinError::Kubo(KuboError::new("pin/add", kind, "scripted"))
}

/// A target in memory.
#[derive(Default)]
struct FakePins {
    pins: RefCell<BTreeMap<Cid, (String, PinState)>>,
    /// Roots that it cannot get.
    absent: RefCell<BTreeSet<Cid>>,
    /// Copies of roots, where it is one of many peers.
    copies: RefCell<BTreeMap<Cid, u32>>,
    /// Roots that it will need time for.
    slow: RefCell<BTreeSet<Cid>>,
    /// Changes after which it goes down.
    until_down: Cell<Option<usize>>,
}

impl FakePins {
    fn holding(pins: &[(Cid, &str)]) -> Self {
        let fake = Self::default();
        fake.pins.borrow_mut().extend(pins.iter().map(|(cid, name)| (*cid, ((*name).to_owned(), PinState::Held))));
        fake
    }

    fn names(&self) -> Vec<(Cid, String)> {
        self.pins.borrow().iter().map(|(cid, (name, _))| (*cid, name.clone())).collect()
    }

    fn is_up(&self) -> Result<(), PinError> {
        match self.until_down.get() {
            Some(0) => Err(fault(KuboErrorKind::Unreachable)),
            Some(left) => {
                self.until_down.set(Some(left - 1));
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl PinTarget for FakePins {
    fn list<'a>(&'a self, _mark: &'a PinMark) -> LocalBoxFuture<'a, Result<Vec<PresentPin>, PinError>> {
        let pins = self.pins.borrow();
        let of_peers = self.copies.borrow();
        let copies = |cid, state| of_peers.get(&cid).copied().unwrap_or(u32::from(state == PinState::Held));
        let pins = pins.iter().map(|(cid, (name, state))| PresentPin {
            cid: *cid,
            name: name.clone(),
            state: *state,
            copies: copies(*cid, *state),
        });
        let pins = pins.collect();
        Box::pin(async { Ok(pins) })
    }

    fn add<'a>(&'a self, wanted: &'a WantedPin, name: &'a str) -> LocalBoxFuture<'a, Result<Addition, PinError>> {
        Box::pin(async move {
            self.is_up()?;
            if self.absent.borrow().contains(&wanted.cid) {
                return Err(fault(KuboErrorKind::Deadline));
            }
            let is_slow = self.slow.borrow().contains(&wanted.cid);
            match self.pins.borrow().get(&wanted.cid) {
                Some((found, PinState::Held)) if found != name => return Ok(Addition::OfUser),
                _ => {}
            }
            let state = if is_slow { PinState::Pending } else { PinState::Held };
            self.pins.borrow_mut().insert(wanted.cid, (name.to_owned(), state));
            Ok(if is_slow { Addition::Pending } else { Addition::Held })
        })
    }

    fn remove<'a>(
        &'a self,
        pins: &'a [PresentPin],
        _until: Instant,
    ) -> LocalBoxFuture<'a, Vec<(PresentPin, Result<Removal, PinError>)>> {
        let remove = |pin: &PresentPin| {
            self.is_up()?;
            self.pins.borrow_mut().remove(&pin.cid);
            Ok(Removal::Gone)
        };
        let results = pins.iter().map(|pin| (pin.clone(), remove(pin))).collect();
        Box::pin(async { results })
    }
}

#[test]
fn the_fake_keeps_the_contract() {
    let fake = FakePins::default();
    fake.absent.borrow_mut().insert(cid(9));
    let by_hand = |cid, name: &str| {
        fake.pins.borrow_mut().insert(cid, (name.to_owned(), PinState::Held));
    };
    keeps_the_contract(&PinRig {
        target: &fake,
        hasty: &fake,
        roots: [1, 2, 3, 4, 5].map(cid),
        absent: cid(9),
        looks_on: false,
        pin_by_hand: &by_hand,
        all: &|| fake.names(),
    });
}

#[test]
fn a_predecessor_stays_until_its_successor_is_held() {
    let fake = FakePins::holding(&[(cid(1), "share")]);
    fake.slow.borrow_mut().insert(cid(2));
    let mark = PinMark::exactly("share");
    let roll = || wait(reconcile(&[wanted(cid(2), "")], &fake, &mark, &UNBOUNDED)).unwrap();
    for _ in 0..2 {
        let done = roll();
        assert_eq!((done.pending, done.left), (vec![cid(2)], 1));
        assert_eq!(fake.names().len(), 2, "accepted is not held");
    }
    // It gave up: the next run asks it again.
    fake.pins.borrow_mut().get_mut(&cid(2)).unwrap().1 = PinState::Failed;
    assert_eq!(roll().pending, [cid(2)]);
    fake.pins.borrow_mut().get_mut(&cid(2)).unwrap().1 = PinState::Held;
    assert_eq!(roll().removed.len(), 1);
    assert_eq!(fake.names(), [(cid(2), "share".to_owned())]);
}

#[test]
fn a_predecessor_with_no_more_copies_makes_way() {
    let fake = FakePins::holding(&[(cid(1), "share")]);
    let mark = PinMark::exactly("share");
    for n in 2..6 {
        fake.slow.borrow_mut().insert(cid(n));
        wait(reconcile(&[wanted(cid(n), "")], &fake, &mark, &UNBOUNDED)).unwrap();
        let mut expected = [1, n].map(cid);
        expected.sort();
        assert_eq!(fake.names().into_iter().map(|(cid, _)| cid).collect::<Vec<_>>(), expected);
    }
    // Where one of three peers stumbles over the former one, it is still what the others hold.
    fake.pins.borrow_mut().insert(cid(1), ("share".to_owned(), PinState::Failed));
    fake.copies.borrow_mut().extend([(cid(1), 2), (cid(5), 1)]);
    let roll = || wait(reconcile(&[wanted(cid(5), "")], &fake, &mark, &UNBOUNDED)).unwrap().removed.len();
    assert_eq!(roll(), 0);
    fake.copies.borrow_mut().insert(cid(5), 2);
    assert_eq!(roll(), 1);
    fake.copies.borrow_mut().clear();
    fake.pins.borrow_mut().insert(cid(1), ("share".to_owned(), PinState::Held));
    // One that the target does not even accept leaves everything as it is.
    fake.absent.borrow_mut().insert(cid(9));
    wait(reconcile(&[wanted(cid(9), "")], &fake, &mark, &UNBOUNDED)).unwrap();
    assert_eq!(fake.names().len(), 2);
}

#[test]
fn what_an_interrupted_run_left_without_a_name_goes_and_the_users_stays() {
    let fake = FakePins::holding(&[(cid(1), ""), (cid(2), ""), (cid(3), "mine")]);
    let mark = PinMark::exactly("share").with_roots(&[cid(1), cid(3)]);
    let done = wait(reconcile(&[wanted(cid(4), "")], &fake, &mark, &UNBOUNDED)).unwrap();
    assert_eq!(done.removed.iter().map(|pin| pin.cid).collect::<Vec<_>>(), [cid(1)]);
    let mut left: Vec<Cid> = fake.names().into_iter().map(|(cid, _)| cid).collect();
    let mut expected = [2, 3, 4].map(cid);
    left.sort();
    expected.sort();
    assert_eq!(left, expected);
}

#[test]
fn a_target_that_goes_down_is_asked_no_more() {
    let fake = FakePins::holding(&[(cid(1), "ours 1")]);
    fake.until_down.set(Some(1));
    let desired: Vec<WantedPin> = (2..6).map(|n| wanted(cid(n), &n.to_string())).collect();
    let done = wait(reconcile(&desired, &fake, &PinMark::beginning("ours "), &UNBOUNDED)).unwrap();
    assert_eq!((done.added.len(), done.failed.len(), done.left), (1, 1, 3), "two not tried, one not removed");
}

#[test]
fn the_first_half_removes_nothing() {
    let fake = FakePins::holding(&[(cid(1), "share")]);
    let done = wait(extend(&[wanted(cid(2), "")], &fake, &PinMark::exactly("share"), &UNBOUNDED)).unwrap();
    assert_eq!((done.added, fake.names().len()), (vec![cid(2)], 2));
}

#[test]
fn a_pinned_root_is_never_pinned_again() {
    let pinned = |name: &str| format!(r#"{{"Keys":{{"{}":{{"Type":"recursive","Name":"{name}"}}}}}}"#, cid(1));
    let none = || ScriptedAnswer::Status(500, br#"{"Message":"path 'x' is not pinned"}"#.into());
    let added = || ok(format!(r#"{{"Pins":["{}"]}}"#, cid(1)));
    let imported = || ok(r#"{"Stats":{"BlockCount":1,"BlockBytesCount":1}}"#);
    let content = || PinContent { size: 1, is_claimed: false, write: Arc::new(|put| put(cid(1), &[1])) };
    let ask = |present: ScriptedAnswer, content: Option<PinContent>| {
        let script = Script::answering(vec![("pin/ls", present), ("pin/add", added()), ("dag/import", imported())]);
        let kubo = script.kubo();
        let target = KuboPins { kubo: &kubo, ledger: None, patience: Duration::from_secs(60) };
        let added = wait(target.add(&WantedPin { content, ..wanted(cid(1), "") }, "ours")).unwrap();
        let calls: Vec<String> = script.asked().into_iter().map(|asked| asked.line).collect();
        let calls = calls.iter().map(|line| line.split(['/', '?']).skip(3).take(2).collect::<Vec<_>>().join("/"));
        (added, calls.collect::<Vec<_>>())
    };
    let expected = |added, calls: &[&str]| (added, calls.iter().map(|call| (*call).to_owned()).collect::<Vec<_>>());
    let bring = ["pin/ls", "dag/import", "pin/add"];
    assert_eq!(ask(none(), None), expected(Addition::Held, &["pin/ls", "pin/add"]));
    assert_eq!(ask(none(), Some(content())), expected(Addition::Held, &bring));
    for content in [None, Some(content())] {
        assert_eq!(ask(ok(pinned("ours")), content.clone()), expected(Addition::Held, &["pin/ls"]));
        assert_eq!(ask(ok(pinned("mine")), content.clone()), expected(Addition::OfUser, &["pin/ls"]));
        // Without a name it may be the user's as well.
        assert_eq!(ask(ok(pinned("")), content), expected(Addition::OfUser, &["pin/ls"]));
    }
    // Unless its root was written down before: then it lacks only its name.
    let claimed = PinContent { is_claimed: true, ..content() };
    assert_eq!(ask(ok(pinned("")), Some(claimed)), expected(Addition::Held, &["pin/ls", "pin/add"]));
}

/// Roots that are there (true: ours), those that are wanted, those that the target cannot get, and runs that are cut
/// short: the most changes of each, and those after which the target goes down.
type Troubles = (Vec<(u8, bool)>, BTreeSet<u8>, BTreeSet<u8>, Vec<(usize, usize)>);

fn troubles() -> impl Strategy<Value = Troubles> {
    let present = prop::collection::vec((0..12_u8, any::<bool>()), 0..12);
    let some = || prop::collection::btree_set(0..12_u8, 0..12);
    (present, some(), some(), prop::collection::vec((0..4_usize, 0..4_usize), 0..6))
}

proptest! {
    #[test]
    fn a_second_run_does_the_rest((present, desired, absent, cuts) in troubles()) {
        let fake = FakePins::default();
        for (n, is_ours) in &present {
            let name = if *is_ours { format!("ours {n}") } else { format!("mine {n}") };
            fake.pins.borrow_mut().insert(cid(*n), (name, PinState::Held));
        }
        let users: Vec<_> = fake.names().into_iter().filter(|(_, name)| name.starts_with("mine")).collect();
        let mark = PinMark::beginning("ours ");
        let wanted: Vec<_> = desired.iter().map(|n| wanted(cid(*n), &n.to_string())).collect();
        fake.absent.borrow_mut().extend(absent.iter().map(|n| cid(*n)));
        // Runs that are cut short, or whose target goes down.
        for (changes, until_down) in cuts {
            fake.until_down.set(Some(until_down));
            let before = fake.names().len();
            let done = wait(reconcile(&wanted, &fake, &mark, &ReconcileLimits { changes, ..UNBOUNDED })).unwrap();
            prop_assert!(done.added.len() + done.removed.len() + done.failed.len() <= changes);
            prop_assert_eq!(fake.names().len(), before + done.added.len() - done.removed.len());
        }
        fake.until_down.set(None);
        fake.absent.borrow_mut().clear();
        wait(reconcile(&wanted, &fake, &mark, &UNBOUNDED)).unwrap();
        let now = fake.names();
        prop_assert!(users.iter().all(|pin| now.contains(pin)), "the user's own stay as they are");
        let held: BTreeSet<Cid> = now.iter().map(|(cid, _)| *cid).collect();
        prop_assert!(desired.iter().all(|n| held.contains(&cid(*n))));
        let ours = now.iter().filter(|(_, name)| name.starts_with("ours"));
        prop_assert!(ours.map(|(root, _)| root).all(|root| desired.iter().any(|n| cid(*n) == *root)));
        let again = wait(reconcile(&wanted, &fake, &mark, &UNBOUNDED)).unwrap();
        prop_assert_eq!((again.added.len(), again.removed.len(), again.left), (0, 0, 0));
    }
}
