//! One transfer for one key, in virtual time.

use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::*;
use crate::base::listener::Unheard;
use crate::engine::deliver::Receipt;
use crate::trust::verify::{self, Accepted};

const ONE: Sha256 = Sha256([1; 32]);
const TWO: Sha256 = Sha256([2; 32]);

fn hub(most: usize) -> Hub {
    Hub::new(most, CancellationToken::new())
}

/// A file with this text, which one listener may have alone.
fn it(text: &str) -> HubResult {
    let (file, bytes) = (fsx::in_memory(text.as_bytes()).unwrap(), text.as_bytes());
    let proof = verify::prove(&file, Sha256::of(bytes), bytes.len() as u64).unwrap();
    let obtained = Obtained::new(file, Accepted::Proven(proof), "m.example").loose();
    Delivery { result: Ok(Some(obtained)), receipt: Receipt::default() }
}

/// The text of a file, and true for a listener that has it alone.
fn read(made: Option<HubResult>) -> Option<(String, bool)> {
    let obtained = made?.result.unwrap().unwrap();
    let bytes = fsx::read_part(&obtained.file, 0, obtained.accepted.size()).unwrap();
    Some((String::from_utf8(bytes).unwrap(), obtained.loose.is_some()))
}

#[tokio::test(start_paused = true)]
async fn the_first_makes_it_and_all_get_it_but_only_a_sole_one_may_take_it() {
    let hub = hub(9);
    let (first, duty) = hub.join(Some(ONE)).unwrap();
    let (second, none) = hub.join(Some(ONE)).unwrap();
    assert!(none.is_none() && hub.count() == 1);
    let duty = duty.unwrap();
    tokio::spawn(async move {
        sleep(Duration::from_secs(5)).await;
        assert!(duty.finish(it("it")).is_none());
    });
    let begun = Instant::now();
    let (first, second) = tokio::join!(first.result(), second.result());
    let shared = Some(("it".to_owned(), false));
    assert_eq!((read(first), read(second)), (shared.clone(), shared));
    assert_eq!((begun.elapsed(), hub.count()), (Duration::from_secs(5), 0));
    let (sole, duty) = hub.join(Some(ONE)).unwrap();
    duty.expect("the other is over").finish(it("again"));
    assert_eq!(read(sole.result().await), Some(("again".to_owned(), true)));
}

#[tokio::test]
async fn the_last_listener_that_leaves_cancels_it_and_no_other_does() {
    let hub = hub(9);
    let (first, duty) = hub.join(Some(ONE)).unwrap();
    let (second, _) = hub.join(Some(ONE)).unwrap();
    let duty = duty.unwrap();
    drop(first);
    assert!(!duty.cancel().is_cancelled());
    drop(second);
    assert!(duty.cancel().is_cancelled());
    let (_ticket, anew) = hub.join(Some(ONE)).unwrap();
    let anew = anew.expect("one that was given up is not joined");
    let late = read(duty.finish(it("late")));
    assert_eq!(late, Some(("late".to_owned(), true)), "it belongs to the one that made it");
    assert!(hub.join(Some(ONE)).unwrap().1.is_none(), "the end of the old one does not end the new one");
    drop(anew);
}

#[tokio::test]
async fn a_duty_that_is_dropped_leaves_its_listeners_without_a_result() {
    let hub = hub(9);
    let (ticket, duty) = hub.join(Some(ONE)).unwrap();
    drop(duty);
    assert!(ticket.result().await.is_none());
    assert_eq!(hub.count(), 0);
}

#[test]
fn the_place_of_a_transfer_is_free_once_it_is_over() {
    let hub = hub(1);
    for _ in 0..2_000 {
        let (ticket, duty) = hub.join(Some(ONE)).unwrap();
        let over = ticket.progress();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.borrow().is_over {
                    std::hint::spin_loop();
                }
                assert!(hub.join(Some(TWO)).is_ok_and(|(_, duty)| duty.is_some()), "the only place is taken by none");
            });
            assert!(duty.unwrap().finish(it("it")).is_none());
        });
        assert_eq!(hub.count(), 0);
    }
}

#[tokio::test]
async fn what_has_no_key_is_shared_with_none_and_there_are_never_too_many() {
    let hub = hub(2);
    let (_one, duty) = hub.join(None).unwrap();
    let (_two, other) = hub.join(None).unwrap();
    assert!(duty.is_some() && other.is_some());
    assert_eq!(hub.join(Some(ONE)).unwrap_err(), HubFullError(2));
    drop(other);
    hub.cancel().cancel();
    assert!(hub.join(Some(ONE)).is_ok() && duty.unwrap().cancel().is_cancelled());
}

#[tokio::test]
async fn a_listener_reads_proven_leaves_and_nothing_else() {
    let hub = hub(9);
    let (ticket, duty) = hub.join(Some(ONE)).unwrap();
    let duty = duty.unwrap();
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(b"abcdefgh", 0).unwrap();
    let tell = duty.listener(Unheard);
    assert!(!tell.wants_leaves(), "no listener asked for them");
    ticket.want_leaves();
    assert!(tell.wants_leaves());
    tell.grows(&file);
    tell.arrived(8, "m.example");
    assert_eq!((ticket.read_proven(0, 9).unwrap(), ticket.progress().borrow().bytes), (Vec::new(), 8));
    tell.proven(5);
    assert_eq!((&*ticket.read_proven(0, 9).unwrap(), &*ticket.read_proven(3, 1).unwrap()), (&b"abcde"[..], &b"d"[..]));
    assert!(ticket.read_proven(5, 9).unwrap().is_empty());
    // Another file is begun, in which nothing is proven yet.
    tell.grows(&tempfile::tempfile().unwrap());
    assert!(ticket.read_proven(0, 9).unwrap().is_empty());
    tell.grows(&file);
    tell.proven(5);
    tell.withdrawn();
    assert!(ticket.read_proven(0, 9).unwrap().is_empty(), "they were the leaves of another file");
}

#[test]
fn the_bytes_of_a_transfer_are_in_one_receipt_also_where_no_listener_is_left_alone() {
    let mut receipt = Receipt::default();
    receipt.sent("m.example".to_owned(), 7);
    let mut made: HubResult = Delivery { result: Ok(None), receipt };
    let sum = |made: &Delivery<_>| made.receipt.contributions.iter().map(|one| one.bytes).sum::<u64>();
    assert_eq!((sum(&files::share(&mut made)), sum(&files::share(&mut made)), sum(&made)), (7, 0, 0));
}
