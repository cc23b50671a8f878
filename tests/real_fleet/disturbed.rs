//! A keeper that is disturbed in one round after the other: killed, cut off, without its Kubo, on a disk that others fill, with a clock
//! that was wrong, with an index that is withdrawn. What the user has in the same Kubo stays.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::keepers::{KeeperFleet, Member, ROUND, ROUNDS_MOST, bytes_of};
use super::real::{Ran, noise_file, scratch, until};

/// What the user of a keeper's Kubo has there without the keeper.
struct OwnThings {
    pinned: String,
    listed: String,
    in_mfs: String,
    /// Neither pinned nor in MFS: it came before the keeper.
    loose: String,
}

impl OwnThings {
    /// Puts them there. One is a file that the index lists as well.
    fn put(keeper: &Member, listed: &Path) -> OwnThings {
        let dir = scratch("own");
        let noise = |name: &str| {
            noise_file(&dir.path().join(name), 50_000);
            keeper.kubo.add(&dir.path().join(name))
        };
        let (pinned, in_mfs, loose) = (noise("pinned"), noise("mfs"), noise("loose"));
        keeper.kubo.ipfs(&["files", "cp", &format!("/ipfs/{in_mfs}"), "/mine"]).ok();
        [&in_mfs, &loose].iter().for_each(|cid| drop(keeper.kubo.ipfs(&["pin", "rm", cid]).ok()));
        OwnThings { pinned, listed: keeper.kubo.add(listed), in_mfs, loose }
    }

    /// Asserts that they are there, whole and pinned as they were.
    fn are_there(&self, keeper: &Member) {
        let pins = keeper.kubo.ipfs(&["pin", "ls", "--type=recursive", "--quiet"]).ok().stdout;
        assert!([&self.pinned, &self.listed].iter().all(|cid| pins.contains(*cid)), "{pins}");
        for cid in [&self.pinned, &self.listed, &self.in_mfs, &self.loose] {
            keeper.kubo.ipfs(&["--offline", "dag", "stat", "--progress=false", cid]).ok();
        }
        keeper.kubo.ipfs(&["files", "stat", "/mine"]).ok();
    }
}

/// A disturbance: what it is called, and what happens.
type DisturbanceKind = (&'static str, fn(&mut Disturbed));

struct Disturbed {
    keeper: Member,
    fleet: KeeperFleet,
    own: OwnThings,
    /// Blocks of the index that are not the user's.
    names: HashSet<String>,
}

const AGAIN: [&str; 3] = ["keep", "run", "--now"];

impl Disturbed {
    fn new() -> Disturbed {
        let mut fleet = KeeperFleet::new(60, &[0.5]);
        let keeper = fleet.keepers.remove(0);
        let own = OwnThings::put(&keeper, &fleet.dir.join(&fleet.files[0].name));
        let names = fleet.files[1..].iter().map(|file| file.block.clone()).collect();
        Disturbed { keeper, fleet, own, names }
    }

    fn blocks(&self) -> PathBuf {
        self.keeper.kubo.path().join("blocks")
    }

    /// Sets the quota to this part of the index, and returns the words of that.
    fn sized(&self, part: f64, free: &str) -> Vec<String> {
        let quota = format!("{} B", (self.keeper.quota as f64 * 2.0 * part) as u64);
        ["keep", "tests", "--quota", &quota, "--min-free", free].map(str::to_owned).to_vec()
    }

    fn keeps(&self, words: &[impl AsRef<str>]) -> Ran {
        self.keeper.keeps(&words.iter().map(AsRef::as_ref).collect::<Vec<_>>())
    }

    /// Returns the files of the index that it keeps; what is the user's is there.
    fn kept(&self) -> HashSet<String> {
        self.own.are_there(&self.keeper);
        let all = self.keeper.kept();
        self.fleet.files.iter().map(|file| file.cid.to_string()).filter(|cid| all.contains(cid)).collect()
    }

    /// Makes rounds until a share is there again, of which nothing is missing.
    fn filled(&self, words: &[impl AsRef<str>]) -> HashSet<String> {
        for _ in 0..ROUNDS_MOST {
            let ran = self.keeps(words).ok();
            let share = self.kept();
            if share.len() > 15 && !(ran.stdout + &ran.stderr).contains("no source had") {
                return share;
            }
        }
        panic!("no share after {ROUNDS_MOST} rounds");
    }

    /// Kills a round in the middle.
    fn kill(&mut self) {
        let words = self.sized(0.2, "0");
        self.keeps(&words).ok();
        let before = bytes_of(&self.blocks(), &self.names);
        let words = self.sized(0.5, "0");
        let mut round = self.keeper.round(&words.iter().map(String::as_str).collect::<Vec<_>>());
        until("some files came", ROUND, || {
            (bytes_of(&self.blocks(), &self.names) > before || !round.runs()).then_some(())
        });
        round.kill();
        self.filled(&AGAIN);
    }

    fn unplug(&mut self) {
        let share = self.kept();
        self.keeper.host.unplug();
        self.keeps(&AGAIN).ok();
        assert_eq!(self.kept(), share, "without a network");
        self.keeper.host.plug();
        self.keeper.kubo.meets(&self.fleet.publisher.kubo);
    }

    fn without_kubo(&mut self) {
        let share = self.kept();
        self.keeper.kubo.kill();
        let failed = self.keeps(&AGAIN).failed();
        assert!(failed.stderr.contains("Kubo is not running"), "{failed}");
        self.keeper.kubo.start_again();
        self.keeper.kubo.meets(&self.fleet.publisher.kubo);
        self.keeps(&AGAIN).ok();
        assert!(self.kept().is_superset(&share), "it was all there");
    }

    /// Others fill the disk: what is needed least goes, and comes again with the room.
    fn nearly_full(&mut self) {
        let share = self.kept();
        let full = self.keeps(&self.sized(0.5, "9000G")).ok();
        assert!((full.stdout.clone() + &full.stderr).contains("nearly full"), "{full}");
        assert!(self.kept().len() < share.len());
        self.filled(&self.sized(0.5, "0"));
    }

    /// The clock stood ten years ahead in the last round.
    fn wrong_clock(&mut self) {
        let share = self.kept();
        let mut state: Value = serde_json::from_slice(&fs::read(self.keeper.state()).expect("a state")).expect("JSON");
        let at = state["last"]["at"].as_u64().expect("seconds");
        state["last"]["at"] = json!(at + 10 * 365 * 86_400);
        fs::write(self.keeper.state(), state.to_string()).expect("a state");
        self.keeper.swarm.run(&["keep", "status", "tests"]).ok();
        self.keeps(&AGAIN).ok();
        assert_eq!(self.kept(), share, "a clock decides nothing");
        let state: Value = serde_json::from_slice(&fs::read(self.keeper.state()).expect("a state")).expect("JSON");
        assert!(state["last"]["at"].as_u64() < Some(at + 86_400 * 365), "the next round writes the time of now");
    }

    /// The index is not in use for a round: what is kept stays.
    fn withdraw(&mut self) {
        let share = self.kept();
        self.keeper.swarm.run(&["index", "rm", "tests"]).ok();
        let without = self.keeps(&AGAIN);
        let said = without.stdout + &without.stderr;
        assert!(said.contains("nothing new is taken from index tests: it is not in use any more"), "{said}");
        assert_eq!(self.kept(), share);
        self.fleet.uses_index(&self.keeper);
    }
}

fn disturbed(rounds: usize) {
    let mut it = Disturbed::new();
    it.filled(&it.sized(0.5, "0"));
    let kinds: [DisturbanceKind; 6] = [
        ("killed", Disturbed::kill),
        ("unplugged", Disturbed::unplug),
        ("without Kubo", Disturbed::without_kubo),
        ("nearly full", Disturbed::nearly_full),
        ("wrong clock", Disturbed::wrong_clock),
        ("index withdrawn", Disturbed::withdraw),
    ];
    for (n, (name, disturb)) in kinds.iter().cycle().take(rounds).enumerate() {
        println!("-- {n}: {name}");
        disturb(&mut it);
        assert!(it.kept().len() > 15, "a share after it");
    }
    // The user ends it.
    it.keeper.swarm.run(&["keep", "stop", "tests"]).ok();
    it.own.are_there(&it.keeper);
    assert_eq!(bytes_of(&it.blocks(), &it.names), 0, "the room is given back");
}

#[test]
fn whatever_happens_to_a_keeper_costs_neither_its_share_nor_what_is_the_users() {
    disturbed(6);
}

#[test]
#[ignore = "minutes: `tests/run nightly`"]
fn twenty_disturbed_rounds_cost_a_keeper_neither_its_share_nor_what_is_the_users() {
    disturbed(20);
}
