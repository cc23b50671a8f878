use super::*;

const MIB: u64 = 1 << 20;

fn ms(count: u64) -> Time {
    Duration::from_millis(count)
}

fn pace() -> Pace {
    Pace {
        head_start: ms(300),
        budget: ms(300),
        overlap: ms(1000),
        stall: ms(5000),
        patience: ms(30_000),
        floor: 10 << 10,
        mirrors: 1,
        least: Pace::LEAST,
        border: Pace::BORDER,
    }
}

fn board<'l>(pace: Pace, kinds: &[SourceKind], size: u64, log: &'l mut Log) -> Board<'l> {
    Board::new(pace, kinds.iter().map(|kind| (*kind, SourceRecord::default(), false)), Some(size), 0, log)
}

/// Returns the request that is made at `now`: its number, source and bytes.
fn asked(board: &mut Board<'_>, now: Time) -> (u32, usize, u64, Option<u64>) {
    match board.next(now) {
        Move::Ask { lane, source, from, until } => (lane, source, from, until),
        other => panic!("{other:?} at {now:?}"),
    }
}

/// Answers a request, and sends `len` bytes.
fn sends(board: &mut Board<'_>, lane: u32, start: u64, len: u64, now: Time) -> Take {
    assert!(board.answered(lane, start, now));
    board.arrived(lane, len, now)
}

#[test]
fn a_mirror_is_asked_when_the_head_start_of_a_peer_is_over_and_the_first_sender_goes_on() {
    let mut log = Log::default();
    let mut board = board(pace(), &[SourceKind::Kubo, SourceKind::Mirror], 4 * MIB, &mut log);
    let (kubo, ..) = asked(&mut board, ms(0));
    assert_eq!(board.next(ms(10)), Move::Wait(ms(300)));
    let (mirror, source, from, until) = asked(&mut board, ms(300));
    assert_eq!((source, from, until), (1, 0, None));
    assert_eq!(sends(&mut board, mirror, 0, MIB, ms(350)), Take::Write { at: 0, skip: 0, len: MIB as usize });
    assert_eq!(board.arrived(kubo, MIB, ms(360)), Take::Late);
    assert!(!board.is_wanted(kubo) && board.is_wanted(mirror));
    assert_eq!((log.head_start_spent, log.misses), (ms(300), vec![(0, Miss::Stalled(ms(350)))]));
}

#[test]
fn without_budget_the_mirror_is_asked_at_once_and_a_peer_without_time_is_not_called_slow() {
    let mut log = Log::default();
    let mut board = board(Pace { budget: ms(0), ..pace() }, &[SourceKind::Kubo, SourceKind::Mirror], MIB, &mut log);
    asked(&mut board, ms(0));
    let (mirror, source, ..) = asked(&mut board, ms(0));
    assert_eq!(source, 1);
    sends(&mut board, mirror, 0, MIB, ms(20));
    assert_eq!(board.next(ms(20)), Move::Judge);
    assert_eq!(log.misses, []);
}

#[test]
fn a_silent_source_is_overlapped_and_goes_on_when_it_sends_before_the_other() {
    let mut log = Log::default();
    let mut board = board(pace(), &[SourceKind::Mirror, SourceKind::Mirror], 4 * MIB, &mut log);
    let (first, ..) = asked(&mut board, ms(0));
    sends(&mut board, first, 0, MIB, ms(100));
    assert_eq!(board.next(ms(100)), Move::Wait(ms(5100)));
    let (second, source, from, _) = asked(&mut board, ms(5100));
    assert_eq!((source, from), (1, MIB));
    assert!(matches!(board.arrived(first, MIB, ms(5200)), Take::Write { .. }), "it is still listened to");
    assert!(board.answered(second, MIB, ms(5250)));
    assert_eq!(board.arrived(second, 100, ms(5300)), Take::Late, "the first one is well again");
    assert_eq!(log.misses, []);
}

#[test]
fn a_silent_source_is_left_when_the_other_one_sends_and_nothing_is_written_twice() {
    let mut log = Log::default();
    let mut board = board(pace(), &[SourceKind::Mirror, SourceKind::Mirror], 4 * MIB, &mut log);
    let (first, ..) = asked(&mut board, ms(0));
    sends(&mut board, first, 0, MIB, ms(100));
    let (second, ..) = asked(&mut board, ms(5100));
    assert!(matches!(sends(&mut board, second, MIB, MIB, ms(5400)), Take::Write { at, .. } if at == MIB));
    assert_eq!(board.arrived(first, MIB, ms(5500)), Take::Late);
    board.arrived(second, 2 * MIB, ms(6000));
    assert_eq!(board.next(ms(6000)), Move::Judge);
    assert_eq!(log.misses, [(0, Miss::Stalled(ms(5300)))]);
}

#[test]
fn a_source_below_the_floor_is_overlapped_only_when_another_is_left() {
    for others in [0, 1] {
        let mut log = Log::default();
        let kinds = vec![SourceKind::Mirror; 1 + others];
        let mut board = board(pace(), &kinds, 4 * MIB, &mut log);
        let (first, ..) = asked(&mut board, ms(0));
        sends(&mut board, first, 0, 100, ms(0));
        for tenth in 1..=60 {
            board.arrived(first, 100, ms(tenth * 100));
        }
        let overlapped = matches!(board.next(ms(6000)), Move::Ask { source: 1, .. });
        assert_eq!(overlapped, others == 1);
    }
}

#[test]
fn the_last_one_has_as_long_as_patience_goes_and_then_no_source_is_left() {
    let mut log = Log::default();
    let mut board = board(pace(), &[SourceKind::Mirror], MIB, &mut log);
    asked(&mut board, ms(0));
    assert_eq!(board.next(ms(1000)), Move::Wait(ms(30_000)));
    assert_eq!(board.next(ms(30_000)), Move::GiveUp);
    assert_eq!(log.misses, [(0, Miss::Stalled(ms(30_000)))]);
}

#[test]
fn a_file_is_split_over_mirrors_in_equal_parts_when_that_is_allowed() {
    let (mut one, mut three) = (Log::default(), Log::default());
    for (mirrors, log) in [(1, &mut one), (3, &mut three)] {
        let mut board = board(Pace { mirrors, ..pace() }, &[SourceKind::Mirror; 4], 300 * MIB, log);
        let (first, ..) = asked(&mut board, ms(0));
        sends(&mut board, first, 0, 1000, ms(10));
        if mirrors == 1 {
            assert!(matches!(board.next(ms(10)), Move::Wait(_)), "mirrors are guests");
            continue;
        }
        let (second, source, from, until) = asked(&mut board, ms(10));
        assert_eq!((source, from / MIB, until), (1, 200, None));
        sends(&mut board, second, from, 1000, ms(20));
        let (third, source, from, until) = asked(&mut board, ms(20));
        assert_eq!((source, from / MIB, until), (2, 100, Some(200 * MIB)));
        sends(&mut board, third, from, 1000, ms(30));
        assert!(matches!(board.next(ms(30)), Move::Wait(_)), "the fourth one is not needed");
        // The source that is done first helps the one with the most left.
        let rest = 100 * MIB - 1000;
        board.arrived(third, rest, ms(2000));
        let (_, source, from, _) = asked(&mut board, ms(2000));
        assert_eq!((source, from % MIB), (2, 0), "at a border between leaves");
    }
}

#[test]
fn a_mirror_is_never_asked_for_less_than_its_least_part() {
    let mut log = Log::default();
    let mut board = board(Pace { mirrors: 3, ..pace() }, &[SourceKind::Mirror; 3], 31 * MIB, &mut log);
    let (first, ..) = asked(&mut board, ms(0));
    sends(&mut board, first, 0, 1000, ms(10));
    assert!(matches!(board.next(ms(10)), Move::Wait(_)));
}

#[test]
fn a_part_that_is_not_taken_over_stays_with_its_sender() {
    let mut log = Log::default();
    let mut board = board(Pace { mirrors: 2, ..pace() }, &[SourceKind::Mirror; 2], 100 * MIB, &mut log);
    let (first, ..) = asked(&mut board, ms(0));
    sends(&mut board, first, 0, 1000, ms(10));
    let (second, ..) = asked(&mut board, ms(10));
    board.failed(second, Miss::Unreachable("refused".to_owned()), ms(20));
    assert!(matches!(board.next(ms(20)), Move::Wait(_)));
    assert!(matches!(board.arrived(first, 100 * MIB - 1000, ms(30)), Take::Write { .. }));
    assert_eq!(board.next(ms(30)), Move::Judge);
}

#[test]
fn a_mirror_helps_a_peer_that_is_far_slower_than_itself_where_leaves_can_be_proven() {
    for (has_leaves, rate, helps) in [(true, 40 * MIB, true), (false, 40 * MIB, false), (true, 3 * MIB, false)] {
        let mut log = Log::default();
        let mut record = SourceRecord::default();
        record.delivered(rate, ms(1000));
        let sources = [(SourceKind::Kubo, SourceRecord::default(), false), (SourceKind::Mirror, record, false)];
        let mut board = Board::new(pace(), sources, Some(200 * MIB), 0, &mut log);
        board.leaves(has_leaves);
        let (kubo, ..) = asked(&mut board, ms(0));
        sends(&mut board, kubo, 0, MIB, ms(10));
        board.arrived(kubo, MIB, ms(1510));
        match board.next(ms(1510)) {
            Move::Ask { source: 1, from, .. } => assert!(helps && from < 20 * MIB, "it takes by far the larger part"),
            other => assert!(!helps, "{other:?}"),
        }
    }
}

#[test]
fn the_last_resort_is_asked_when_all_others_have_failed() {
    let mut log = Log::default();
    let sources =
        [(SourceKind::Kubo, SourceRecord::default(), true), (SourceKind::Mirror, SourceRecord::default(), false)];
    let mut board = Board::new(pace(), sources, Some(MIB), 0, &mut log);
    let (mirror, source, ..) = asked(&mut board, ms(0));
    assert_eq!(source, 1);
    assert!(matches!(board.next(ms(2000)), Move::Wait(_)), "the mirror may still answer");
    board.failed(mirror, Miss::Absent("HTTP 404".to_owned()), ms(2100));
    assert_eq!(asked(&mut board, ms(2100)).1, 0);
}

#[test]
fn a_server_that_cannot_send_parts_is_not_used_beside_others() {
    let mut log = Log::default();
    let mut board = board(Pace { mirrors: 2, ..pace() }, &[SourceKind::Mirror; 2], 100 * MIB, &mut log);
    let (first, ..) = asked(&mut board, ms(0));
    sends(&mut board, first, 0, 1000, ms(10));
    let (second, ..) = asked(&mut board, ms(10));
    assert!(!board.answered(second, 0, ms(20)));
    assert!(!board.is_wanted(second) && board.is_wanted(first));
}

#[test]
fn of_a_file_of_which_nothing_is_known_every_answer_begins_anew() {
    let mut log = Log::default();
    let sources = [SourceKind::Mirror, SourceKind::Mirror].map(|kind| (kind, SourceRecord::default(), false));
    let mut board = Board::new(pace(), sources, None, 0, &mut log);
    let (first, _, from, until) = asked(&mut board, ms(0));
    assert_eq!((from, until), (0, None));
    sends(&mut board, first, 0, 100, ms(10));
    let (second, source, from, _) = asked(&mut board, ms(5010));
    assert_eq!((source, from), (1, 0), "not from where the first one stopped");
    assert_eq!(sends(&mut board, second, 0, 70, ms(5020)), Take::Write { at: 0, skip: 0, len: 70 });
    assert_eq!(board.arrived(second, 30, ms(5030)), Take::Write { at: 70, skip: 0, len: 30 });
    assert_eq!(board.arrived(first, 30, ms(5040)), Take::Late);
}

/// Returns the first moment after `from` with nothing left to wait for.
fn gives_up(board: &mut Board<'_>, mut now: Time) -> Time {
    loop {
        match board.next(now) {
            Move::Wait(until) => now = until,
            Move::GiveUp => return now,
            other => panic!("{other:?} at {now:?}"),
        }
    }
}

#[test]
fn the_last_source_that_drips_is_given_up_and_not_asked_again() {
    let mut log = Log::default();
    let mut board = board(pace(), &[SourceKind::Mirror], 4 * MIB, &mut log);
    let (lane, ..) = asked(&mut board, ms(0));
    assert!(board.answered(lane, 0, ms(20_000)), "what it says it will do does not count");
    board.arrived(lane, 1, ms(29_000));
    assert_eq!(gives_up(&mut board, ms(29_000)), ms(30_000));
    assert_eq!(log.misses, [(0, Miss::Slow(0))]);
}

#[test]
fn the_last_source_that_answers_and_then_is_silent_has_no_longer_than_one_that_does_not_answer() {
    for answers in [false, true] {
        let mut log = Log::default();
        let mut board = board(pace(), &[SourceKind::Mirror], 4 * MIB, &mut log);
        let (lane, ..) = asked(&mut board, ms(0));
        assert!(!answers || board.answered(lane, 0, ms(20_000)));
        assert_eq!(gives_up(&mut board, ms(20_000)), ms(30_000), "answers: {answers}");
        assert_eq!(log.misses, [(0, Miss::Stalled(ms(30_000)))]);
    }
}

#[test]
fn the_last_source_is_kept_as_long_as_a_byte_a_second_comes() {
    let mut log = Log::default();
    // Without a floor, so that no other rule applies to its rate.
    let mut board = board(Pace { floor: 0, ..pace() }, &[SourceKind::Mirror], 4 * MIB, &mut log);
    let (lane, ..) = asked(&mut board, ms(0));
    assert!(board.answered(lane, 0, ms(0)));
    for lump in 1..=10 {
        board.arrived(lane, 29, ms(lump * 29_000 - 1000));
        assert!(matches!(board.next(ms(lump * 29_000 - 1000)), Move::Wait(_)), "{lump}");
    }
    // One byte every four seconds is neither silence nor below a floor of nothing.
    let mut now = ms(289_000);
    while board.is_wanted(lane) {
        now += ms(4000);
        assert!(now < ms(289_000 + 60_000), "it drips for ever");
        board.arrived(lane, 1, now);
        let _ = board.next(now);
    }
    assert_eq!(log.misses, [(0, Miss::Slow(0))]);
}

#[test]
fn one_whose_blocks_are_on_their_way_is_not_silent_and_has_not_sent() {
    let mut log = Log::default();
    let mut board = board(pace(), &[SourceKind::Gateway, SourceKind::Mirror], 4 * MIB, &mut log);
    let (gateway, ..) = asked(&mut board, ms(0));
    assert_eq!(sends(&mut board, gateway, 0, MIB, ms(200)), Take::Write { at: 0, skip: 0, len: MIB as usize });
    // 1 MiB over 1.6 Mbit/s: no byte of it counts before it is proven.
    for at in [2200, 4200, 6200] {
        assert_eq!(board.arrived(gateway, 0, ms(at)), Take::Write { at: MIB, skip: 0, len: 0 });
        assert_eq!(board.next(ms(at)), Move::Wait(ms(at + 5000)), "it is not overlapped");
    }
    assert_eq!(board.arrived(gateway, MIB, ms(6400)), Take::Write { at: MIB, skip: 0, len: MIB as usize });
    assert_eq!(board.next(ms(6400)), Move::Wait(ms(11_400)));
    // After a real silence the mirror is asked; that more is coming does not take the file back from it.
    let (mirror, source, ..) = asked(&mut board, ms(11_400));
    assert_eq!(
        (source, sends(&mut board, mirror, 2 * MIB, MIB, ms(11_500))),
        (1, Take::Write { at: 2 * MIB, skip: 0, len: MIB as usize })
    );
    assert_eq!(board.arrived(gateway, 0, ms(11_600)), Take::Late);
}

#[test]
fn no_mirror_joins_a_source_that_fetches_the_file_itself_until_that_has_failed() {
    let mut log = Log::default();
    let mut board = board(pace(), &[SourceKind::Lan, SourceKind::Mirror], MIB, &mut log);
    let (house, ..) = asked(&mut board, ms(0));
    assert!(board.promised(house, 0, ms(100)) && board.is_promised());
    assert_eq!(board.next(ms(300)), Move::Wait(ms(10_100)));
    board.failed(house, Miss::Absent("HTTP 404".to_owned()), ms(4000));
    assert!(!board.is_promised());
    let (_, source, ..) = asked(&mut board, ms(4000));
    assert_eq!((source, log.head_start_spent), (1, ms(0)), "later files are asked of it first again");
}

#[test]
fn the_other_endpoints_of_the_house_are_asked_beside_one_that_fetches_the_file_and_mirrors_are_not() {
    let mut log = Log::default();
    let mut board = board(pace(), &[SourceKind::Lan, SourceKind::Lan, SourceKind::Mirror], MIB, &mut log);
    let (fetching, ..) = asked(&mut board, ms(0));
    assert!(board.promised(fetching, 0, ms(100)));
    assert_eq!(board.next(ms(100)), Move::Wait(ms(300)));
    let (having, source, ..) = asked(&mut board, ms(300));
    assert_eq!((source, board.next(ms(700))), (1, Move::Wait(ms(10_100))));
    assert_eq!(sends(&mut board, having, 0, 9, ms(800)), Take::Write { at: 0, skip: 0, len: 9 });
    assert!(!board.is_wanted(fetching) && !board.is_promised());
    assert_eq!((log.head_start_spent, log.misses), (ms(0), Vec::new()), "neither was slow");
}

#[test]
fn a_house_has_a_time_of_its_own_where_no_head_start_is_left() {
    let mut log = Log::default();
    let mut board = board(Pace { budget: ms(0), ..pace() }, &[SourceKind::Lan, SourceKind::Mirror], MIB, &mut log);
    board.give(0, ms(280));
    asked(&mut board, ms(0));
    assert_eq!(board.next(ms(0)), Move::Wait(ms(280)));
    assert_eq!(asked(&mut board, ms(280)).1, 1);
}
