use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

use futures_util::FutureExt as _;
use tokio::time::sleep;

use super::*;
use crate::base::digest::Sha256;
use crate::base::size::CHUNK;
use crate::dag::build::build_blocks;

pub(in crate::engine::content) const CLOCKS: Clocks =
    Clocks { stall: Duration::from_secs(5), patience: Duration::from_secs(30), floor: 10 << 10 };

/// A line that all transfers over it share, in pieces of 16 KiB.
pub(in crate::engine::content) struct Line {
    rate: f64,
    /// Until when it is busy. Timers wait for whole milliseconds, and a piece takes parts of one.
    turn: tokio::sync::Mutex<Instant>,
}

impl Line {
    /// Of so many bytes a second.
    pub(in crate::engine::content) fn of(rate: f64) -> Rc<Self> {
        Rc::new(Self { rate, turn: tokio::sync::Mutex::new(Instant::now()) })
    }

    async fn carry(&self, bytes: usize, moved: impl Fn(u64)) {
        for piece in vec![0; bytes].chunks(16 << 10) {
            let mut until = self.turn.lock().await;
            let takes = Duration::from_secs_f64(piece.len() as f64 / self.rate);
            // Behind by less than a timer's tick, it was not idle.
            let begun = if until.elapsed() < Duration::from_millis(2) { *until } else { Instant::now() };
            *until = begun + takes;
            tokio::time::sleep_until(*until).await;
            moved(piece.len() as u64);
        }
    }
}

/// What a source does with one question.
#[derive(Clone)]
pub(in crate::engine::content) enum Does {
    Delivers,
    Says(Miss),
    Hangs,
    /// Sends a byte a second for ever.
    Drips,
    /// Sends a part, and then this.
    Breaks(Miss),
}

/// A source that does what it is told, over a line.
pub(in crate::engine::content) struct Fake {
    name: &'static str,
    blocks: HashMap<Cid, Vec<u8>>,
    line: Rc<Line>,
    is_flowing: bool,
    /// By how often this block was asked for before.
    does: Box<dyn Fn(Cid, usize) -> Does>,
    pub(crate) asked: RefCell<Vec<Cid>>,
    pub(crate) open: Cell<usize>,
    pub(crate) open_most: Cell<usize>,
}

impl Fake {
    pub(in crate::engine::content) fn new(name: &'static str, blocks: &HashMap<Cid, Vec<u8>>, line: &Rc<Line>) -> Self {
        Self {
            name,
            blocks: blocks.clone(),
            line: Rc::clone(line),
            is_flowing: true,
            does: Box::new(|_, _| Does::Delivers),
            asked: RefCell::default(),
            open: Cell::new(0),
            open_most: Cell::new(0),
        }
    }

    /// The same, where a block comes whole, once the source has it.
    pub(in crate::engine::content) fn at_a_time(self) -> Self {
        Self { is_flowing: false, ..self }
    }

    pub(in crate::engine::content) fn doing(self, does: impl Fn(Cid, usize) -> Does + 'static) -> Self {
        Self { does: Box::new(does), ..self }
    }

    async fn answer(&self, cid: Cid, moved: &dyn Fn(u64)) -> Result<Vec<u8>, Miss> {
        let before = self.asked.borrow().iter().filter(|other| **other == cid).count();
        self.asked.borrow_mut().push(cid);
        self.open.set(self.open.get() + 1);
        self.open_most.set(self.open_most.get().max(self.open.get()));
        let _left = scopeguard(|| self.open.set(self.open.get() - 1));
        let block = self.blocks.get(&cid).cloned().ok_or_else(|| Miss::Absent("HTTP 404".to_owned()));
        match (self.does)(cid, before) {
            Does::Delivers => {
                let block = block?;
                sleep(Duration::from_millis(10)).await;
                self.line
                    .carry(block.len(), |bytes| {
                        if self.is_flowing {
                            moved(bytes)
                        }
                    })
                    .await;
                moved(block.len() as u64);
                Ok(block)
            }
            Does::Says(miss) => Err(miss),
            Does::Breaks(miss) => {
                self.line.carry(block?.len() / 2, moved).await;
                Err(miss)
            }
            Does::Hangs => std::future::pending().await,
            Does::Drips => loop {
                sleep(Duration::from_secs(1)).await;
                moved(1);
            },
        }
    }
}

/// Does something when it is dropped.
fn scopeguard<F: Fn()>(f: F) -> impl Drop {
    struct Guard<F: Fn()>(F);
    impl<F: Fn()> Drop for Guard<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    Guard(f)
}

impl BlockSource for Fake {
    fn label(&self) -> String {
        self.name.to_owned()
    }
    fn line(&self, miss: &Miss) -> String {
        format!("{}  {miss}", self.name)
    }
    fn is_flowing(&self) -> bool {
        self.is_flowing
    }
    fn block<'a>(&'a self, cid: Cid, moved: &'a dyn Fn(u64)) -> Local<'a, Result<Vec<u8>, Miss>> {
        self.answer(cid, moved).boxed_local()
    }
}

/// A file of so many leaves of 1 MiB, each another: its root, and its blocks.
pub(in crate::engine::content) fn file(leaves: usize) -> (Cid, HashMap<Cid, Vec<u8>>) {
    let bytes: Vec<u8> = (0..leaves * CHUNK).map(|i| ((i / CHUNK + i) % 251) as u8).collect();
    let mut blocks = HashMap::new();
    let built = build_blocks(&bytes[..], |cid, block| {
        blocks.insert(cid, block.to_vec());
        Ok(())
    });
    (built.unwrap().root, blocks)
}

fn one() -> (Cid, HashMap<Cid, Vec<u8>>) {
    let block = vec![7; 300_000];
    let cid = Cid::raw(Sha256::of(&block));
    (cid, HashMap::from([(cid, block)]))
}

fn fast() -> Rc<Line> {
    Line::of(1e9)
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_busy_breaks_off_or_resets_is_asked_again() {
    let misses = [
        (Miss::Busy("HTTP 429".to_owned(), Duration::from_secs(7)), 7),
        (Miss::Busy("HTTP 503".to_owned(), Duration::ZERO), 0),
        (Miss::Broken("connection reset".to_owned()), 0),
        (Miss::Broken("HTTP 500".to_owned()), 0),
        (Miss::Unreachable("connection reset".to_owned()), 0),
        (Miss::Corrupt("sent another block".to_owned()), 0),
    ];
    for (miss, waits) in misses {
        for cut in [false, true] {
            let ((cid, blocks), begun, first) = (one(), Instant::now(), miss.clone());
            let gateway = Fake::new("gateway", &blocks, &fast()).doing(move |_, before| match (before, cut) {
                (0, false) => Does::Says(first.clone()),
                (0, true) => Does::Breaks(first.clone()),
                _ => Does::Delivers,
            });
            let sources = BlockSources::new(vec![gateway], CLOCKS);
            let came = sources.block(cid).await.unwrap_or_else(|misses| panic!("{miss}: {misses:?}"));
            assert_eq!(came.block, blocks[&cid]);
            let waited = begun.elapsed().as_secs();
            assert!((waits..waits + 2).contains(&waited), "{miss}: waited {waited} s");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn tries_are_few_and_an_hour_is_not_waited_for() {
    for (miss, most, secs) in [
        (Miss::Broken("cut".to_owned()), 4, 10),
        (Miss::Busy("HTTP 429".to_owned(), Duration::from_secs(60)), 4, 200),
        (Miss::Busy("HTTP 429".to_owned(), Duration::from_secs(3600)), 1, 0),
        (Miss::Unreachable("refused".to_owned()), 2, 1),
        (Miss::Absent("HTTP 404".to_owned()), 1, 0),
        (Miss::Corrupt("lies".to_owned()), 2, 1),
    ] {
        let ((cid, blocks), begun, said) = (one(), Instant::now(), miss.clone());
        let gateway = Fake::new("gateway", &blocks, &fast()).doing(move |_, _| Does::Says(said.clone()));
        let sources = BlockSources::new(vec![gateway], CLOCKS);
        assert_eq!(sources.block(cid).await.unwrap_err(), [(0, miss.clone())]);
        assert_eq!(sources.list[0].asked.borrow().len(), most, "{miss}");
        assert!(begun.elapsed() <= Duration::from_secs(secs), "{miss}: {:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn while_one_rests_another_one_is_asked() {
    let ((cid, blocks), begun) = (one(), Instant::now());
    let busy = Miss::Busy("HTTP 429".to_owned(), Duration::from_secs(60));
    let tired = Fake::new("tired", &blocks, &fast()).doing(move |_, _| Does::Says(busy.clone()));
    let sources = BlockSources::new(vec![tired, Fake::new("other", &blocks, &fast())], CLOCKS);
    for _ in 0..3 {
        assert!(sources.block(cid).await.is_ok());
    }
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!((sources.list[0].asked.borrow().len(), sources.used()), (1, vec![1]), "it is left in peace");
}

#[tokio::test(start_paused = true)]
async fn a_silent_one_is_overlapped_after_the_stall_clock_and_heard_when_it_speaks() {
    let ((cid, blocks), begun) = (one(), Instant::now());
    // 300,000 bytes in 10 s, and not a byte before.
    let slow = || Fake::new("slow", &blocks, &Line::of(30_000.0)).at_a_time();
    let sources =
        BlockSources::new(vec![slow(), Fake::new("silent", &blocks, &fast()).doing(|_, _| Does::Hangs)], CLOCKS);
    assert!(sources.block(cid).await.is_ok());
    assert!((10..12).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert_eq!(sources.used(), [0]);
    let begun = Instant::now();
    let sources = BlockSources::new(vec![slow(), Fake::new("quick", &blocks, &fast())], CLOCKS);
    assert!(sources.block(cid).await.is_ok());
    assert_eq!((begun.elapsed().as_secs(), sources.used()), (5, vec![1]));
}

#[tokio::test(start_paused = true)]
async fn one_that_drips_is_overlapped_and_alone_it_is_given_up_in_the_end() {
    let ((cid, blocks), begun) = (one(), Instant::now());
    let drip = || Fake::new("drip", &blocks, &fast()).doing(|_, _| Does::Drips);
    let sources = BlockSources::new(vec![drip(), Fake::new("other", &blocks, &fast())], CLOCKS);
    assert!(sources.block(cid).await.is_ok());
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
    let sources = BlockSources::new(vec![drip()], CLOCKS);
    let begun = Instant::now();
    assert!(sources.block(cid).await.is_err());
    assert!(begun.elapsed() <= ANSWER_MOST, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn silence_of_all_is_given_up_after_the_patience() {
    let ((cid, blocks), begun) = (one(), Instant::now());
    let hangs = |name| Fake::new(name, &blocks, &fast()).doing(|_, _| Does::Hangs);
    let sources = BlockSources::new(vec![hangs("one"), hangs("two")], CLOCKS);
    let misses = sources.block(cid).await.unwrap_err();
    assert_eq!(misses.len(), 2, "{misses:?}");
    assert_eq!(begun.elapsed(), CLOCKS.stall + CLOCKS.patience);
}
