//! The cases: each with its rivals, and the bar it must reach.

use super::bar::Bar;
use super::measure::{BenchRun, Outcome, Skipped};
use super::mirrors::{LIES_SECONDS, STALL_SECONDS};
use super::scene::Who;
use super::{
    cost, crowd, databases, door, haiku, index, large, lines, mirrors, miss, node, pending, publish, room, small, tls,
};
use crate::real::Release;

/// One comparison.
pub struct Case {
    /// Its name for `--case`.
    pub name: &'static str,
    /// One line for `--list`.
    pub what: &'static str,
    /// The unit of ours and theirs.
    pub unit: &'static str,
    /// Its rivals.
    pub rivals: &'static [Rival],
    /// The measurement; gives as many outcomes as there are rivals.
    pub run: fn(&BenchRun) -> Result<Vec<Outcome>, Skipped>,
}

/// A rival to compare with.
pub struct Rival {
    /// Its name in a word or two.
    pub name: &'static str,
    /// The bar to reach.
    pub bar: Bar,
}

impl Case {
    /// Measures it, one outcome for each rival.
    pub fn outcomes(&self, run: &BenchRun) -> Vec<Outcome> {
        let outcomes = match (self.run)(run) {
            Ok(outcomes) => outcomes,
            Err(why) => self.rivals.iter().map(|_| Err(why.clone())).collect(),
        };
        assert_eq!(outcomes.len(), self.rivals.len(), "{}", self.name);
        outcomes
    }
}

const fn against(name: &'static str, bar: Bar) -> Rival {
    Rival { name, bar }
}

/// All cases. The one that sums up the others is last.
pub const CASES: &[Case] = &[
    Case {
        name: "prefetch",
        what: "200 pending packages and their signatures, mirror 30 ms away, against pacman -Swu with 5 streams",
        unit: "s",
        rivals: &[against("pacman", Bar::RatioAtMost(1.0))],
        run: pending::prefetch,
    },
    Case {
        name: "small-rtt",
        what: "pacman -Sw of 50 packages of 8 to 400 KiB and their signatures, mirror 30 ms away",
        unit: "s",
        rivals: &[
            against("pacman", Bar::RatioAtMost(1.0)),
            against("curl", Bar::RatioAtMost(0.15)),
            against("aria2c", Bar::None),
        ],
        run: small::far,
    },
    Case {
        name: "small-rtt-h2",
        what: "pacman -Sw of 500 packages of 8 to 47 KiB, mirror 30 ms away that speaks HTTP/2",
        unit: "s",
        rivals: &[against("pacman", Bar::RatioAtMost(0.7))],
        run: small::far_multiplexed,
    },
    Case {
        name: "small-loopback",
        what: "the same with the mirror on loopback",
        unit: "s",
        rivals: &[
            against("pacman", Bar::AtMost { times: 1.0, plus: 0.25 }),
            against("curl", Bar::RatioAtMost(1.0)),
            against("aria2c", Bar::None),
        ],
        run: small::loopback,
    },
    Case {
        name: "xfer-floor",
        what: "`pacman -Sw` of 500 small packages on loopback, one process a file, against a static C program that copies \
               each file from the mirror's disk: the limit of any XferCommand",
        unit: "s",
        rivals: &[against("copy in C", Bar::RatioAtMost(1.35)), against("no launcher", Bar::None)],
        run: small::floor,
    },
    Case {
        name: "small-lan",
        what: "the same packages from a neighbour: from its Kubo, or from an nginx cache as pacman's server",
        unit: "s",
        rivals: &[against("nginx cache", Bar::None)],
        run: small::lan,
    },
    Case {
        name: "small-gateway",
        what: "the same packages from the local Kubo, or from its gateway as pacman's server",
        unit: "s",
        rivals: &[against("Kubo as Server", Bar::None)],
        run: small::gateway,
    },
    Case {
        name: "kubo-local",
        what: "fetch of a 200 MiB package that the local Kubo has, proven, against curl from its gateway",
        unit: "MB/s",
        rivals: &[against("curl", Bar::RatioAtLeast(0.9))],
        run: |run| Ok(large::kubo_local(run, Who::User)),
    },
    Case {
        name: "kubo-local-root",
        what: "the same as root, who proves a copy of his own once more",
        unit: "MB/s",
        rivals: &[against("curl", Bar::None)],
        run: |run| Ok(large::kubo_local(run, Who::Root)),
    },
    Case {
        name: "kubo-local-cpu",
        what: "processor time of the same",
        unit: "s",
        rivals: &[against("curl", Bar::None)],
        run: large::kubo_local_cpu,
    },
    Case {
        name: "kubo-lan",
        what: "fetch of a 200 MiB package that a neighbour's Kubo has, against `ipfs cat` through the same two nodes",
        unit: "MB/s",
        rivals: &[against("ipfs cat", Bar::RatioAtLeast(0.9))],
        run: large::kubo_lan,
    },
    Case {
        name: "takeover",
        what: "xfer of a 200 MiB package whose mirror falls silent at half of it, a second one goes on, against one \
               that is not disturbed; 5 s are the stall clock",
        unit: "s",
        rivals: &[against("undisturbed", Bar::AtMost { times: 1.05, plus: STALL_SECONDS })],
        run: |run| Ok(mirrors::takeover(run)),
    },
    Case {
        name: "split",
        what: "xfer of a 200 MiB package shared by three mirrors of 10 MB/s each (mirrors.split), against one mirror",
        unit: "MB/s",
        rivals: &[against("one mirror", Bar::RatioAtLeast(2.7))],
        run: mirrors::split,
    },
    Case {
        name: "liar",
        what: "xfer of a 200 MiB package whose first mirror lies in 1 % of its leaves, against an honest one alone",
        unit: "s",
        rivals: &[against("honest", Bar::AtMost { times: 1.1, plus: LIES_SECONDS })],
        run: mirrors::liar,
    },
    Case {
        name: "miss-absent",
        what: "pacman -Sw of 50 small packages that only the mirror has, no Kubo answers, against not asking it",
        unit: "s",
        rivals: &[against("mirrors only", Bar::AtMost { times: 1.0, plus: 0.3 })],
        run: |run| Ok(miss::miss(run, |kubo| kubo.kill())),
    },
    Case {
        name: "miss-hung",
        what: "the same with a Kubo that accepts connections and says nothing",
        unit: "s",
        rivals: &[against("mirrors only", Bar::AtMost { times: 1.0, plus: 0.3 })],
        run: |run| Ok(miss::miss(run, |kubo| kubo.freeze())),
    },
    Case {
        name: "miss-empty",
        what: "the same with a Kubo that has nothing and knows no peer",
        unit: "s",
        rivals: &[against("mirrors only", Bar::AtMost { times: 1.0, plus: 0.3 })],
        run: |run| Ok(miss::miss(run, |_| ())),
    },
    Case {
        name: "store-hit",
        what: "xfer of a 64 KiB package that is in the store, start to exit, against curl from a mirror on loopback",
        unit: "ms",
        rivals: &[against("curl", Bar::OursAtMost(3.0))],
        run: |run| Ok(cost::store_hit(run, Who::User)),
    },
    Case {
        name: "store-hit-root",
        what: "the same as root, with the child that does the work",
        unit: "ms",
        rivals: &[against("curl", Bar::None)],
        run: |run| Ok(cost::store_hit(run, Who::Root)),
    },
    Case {
        name: "store-hit-more",
        what: "what each MiB of a larger package costs",
        unit: "ms",
        rivals: &[against("curl", Bar::OursAtMost(1.0))],
        run: |run| Ok(cost::store_hit_more(run)),
    },
    Case {
        name: "store-hit-memory",
        what: "peak memory of such a call",
        unit: "MB",
        rivals: &[against("curl", Bar::OursAtMost(12.0))],
        run: |_| cost::store_hit_memory(),
    },
    Case {
        name: "tls-start",
        what: "fetch of 1 kB over https from loopback, start to exit: the cost of a process that speaks TLS",
        unit: "ms",
        rivals: &[against("curl", Bar::AtMost { times: 1.0, plus: 5.0 })],
        run: |run| Ok(tls::start(run)),
    },
    Case {
        name: "memory-mirror",
        what: "peak memory of the largest process for a 1 GiB package from a mirror, against curl's",
        unit: "MB",
        rivals: &[against("curl", Bar::OursAtMost(30.0))],
        run: |_| Ok(cost::memory(false)),
    },
    Case {
        name: "memory-kubo",
        what: "the same from the local Kubo",
        unit: "MB",
        rivals: &[against("curl", Bar::OursAtMost(30.0))],
        run: |_| Ok(cost::memory(true)),
    },
    Case {
        name: "small-disk",
        what: "smallest disk for package cache and store on which -Sw succeeds: one package of 200 MiB, 50 small ones",
        unit: "MiB",
        rivals: &[
            against("curl, one", Bar::AtMost { times: 1.0, plus: 4.0 }),
            against("one, 6.0.2", Bar::AtMost { times: 1.0, plus: 4.0 }),
            against("curl, fifty", Bar::AtMost { times: 1.0, plus: 16.0 }),
            against("fifty, 6.0.2", Bar::AtMost { times: 1.0, plus: 16.0 }),
        ],
        run: |_| room::small_disk(),
    },
    Case {
        name: "db-unchanged",
        what: "pacman -Sy with three unchanged databases of real size, mirror 30 ms away",
        unit: "s",
        rivals: &[against("pacman", Bar::AtMost { times: 1.0, plus: 0.1 })],
        run: |run| databases::unchanged(run, Release::New),
    },
    Case {
        name: "db-unchanged-old",
        what: "the same with pacman 6.0.2, for which root's unprivileged child does the work",
        unit: "s",
        rivals: &[against("pacman", Bar::AtMost { times: 1.0, plus: 0.1 })],
        run: |run| databases::unchanged(run, Release::Old),
    },
    Case {
        name: "index-lookup",
        what: "one name among 20,000 of an index, in a fresh process, against grep in the uncompressed table",
        unit: "ms",
        rivals: &[against("grep", Bar::OursAtMost(1.0))],
        run: |run| Ok(index::lookup(run)),
    },
    Case {
        name: "index-refresh",
        what: "bytes of a refresh after 2 % of 15,000 entries changed, against the compressed table",
        unit: "kB",
        rivals: &[against("whole table", Bar::RatioAtMost(0.03))],
        run: |_| Ok(index::refresh()),
    },
    Case {
        name: "lan-uplink",
        what: "package bytes over the uplink for three machines with daemons, against one machine",
        unit: "MB",
        rivals: &[against("one machine", Bar::RatioAtMost(1.05))],
        run: |_| Ok(node::uplink()),
    },
    Case {
        name: "node-lan",
        what: "a 200 MiB package from daemon to daemon over 1 Gbit/s, against curl from nginx over the same link",
        unit: "MB/s",
        rivals: &[against("curl", Bar::RatioAtLeast(0.9))],
        run: |run| Ok(node::shaped(run)),
    },
    Case {
        name: "node-veth",
        what: "the same over an unshaped link, against Kubo to Kubo",
        unit: "MB/s",
        rivals: &[against("Kubo", Bar::RatioAtLeast(0.8))],
        run: |run| Ok(node::unshaped(run)),
    },
    Case {
        name: "slow-lines",
        what: "fetch of a file by its CID from a neighbour's Kubo at 50, 16, 4 and 1.6 Mbit/s, by the daemon, against \
               `ipfs cat` through a Kubo of its own",
        unit: "s",
        rivals: &[
            against("cat at 50", Bar::RatioAtMost(1.05)),
            against("cat at 16", Bar::RatioAtMost(1.05)),
            against("cat at 4", Bar::RatioAtMost(1.05)),
            against("cat at 1.6", Bar::RatioAtMost(1.05)),
        ],
        run: |run| lines::by_daemon(run),
    },
    Case {
        name: "slow-lines-kubo",
        what: "the same through the local Kubo, which is also that of `ipfs cat`",
        unit: "s",
        rivals: &[
            against("cat at 50", Bar::RatioAtMost(1.05)),
            against("cat at 16", Bar::RatioAtMost(1.05)),
            against("cat at 4", Bar::RatioAtMost(1.05)),
            against("cat at 1.6", Bar::RatioAtMost(1.05)),
        ],
        run: |run| lines::by_kubo(run),
    },
    Case {
        name: "node-idle",
        what: "resident memory of an idle daemon with 2,000 packages of 10 MiB, against an empty Kubo's",
        unit: "MB",
        rivals: &[against("Kubo", Bar::OursAtMost(25.0))],
        run: |_| Ok(node::idle()),
    },
    Case {
        name: "door-store",
        what: "pacman -Sw of 50 small packages, signatures required, from an endpoint as CacheServer that has them, \
               against nginx on loopback",
        unit: "s",
        rivals: &[against("nginx", Bar::RatioAtMost(1.1))],
        run: |run| Ok(door::store(run)),
    },
    Case {
        name: "door-store-3000",
        what: "the same with 3,000 packages",
        unit: "s",
        rivals: &[against("nginx", Bar::RatioAtMost(1.2))],
        run: |run| Ok(door::large_store(run)),
    },
    Case {
        name: "door-lan",
        what: "the same with 50 packages that a neighbour's daemon has, against an nginx cache on the neighbour's machine",
        unit: "s",
        rivals: &[against("nginx cache", Bar::RatioAtMost(1.3))],
        run: |run| Ok(door::lan(run)),
    },
    Case {
        name: "door-rtt",
        what: "the same from a mirror 30 ms away, through an endpoint as Server that pacman asks for as many at a time as \
               setup offers, against pacman with 5 streams",
        unit: "s",
        rivals: &[against("pacman", Bar::RatioAtMost(0.9))],
        run: door::far,
    },
    Case {
        name: "door-rtt-h2",
        what: "the same with 500 packages and no signatures from a mirror that speaks HTTP/2, over one connection to it",
        unit: "s",
        rivals: &[against("pacman", Bar::RatioAtMost(0.35))],
        run: door::far_multiplexed,
    },
    Case {
        name: "door-miss",
        what: "50 packages that an endpoint as CacheServer neither has nor may fetch, against not asking it",
        unit: "s",
        rivals: &[against("mirror only", Bar::AtMost { times: 1.0, plus: 0.1 })],
        run: |run| Ok(door::miss(run)),
    },
    Case {
        name: "door-large",
        what: "a 200 MiB package from a neighbour's daemon over 1 Gbit/s, through the endpoint, against curl from nginx over \
               the same link: listed by an index, and not",
        unit: "MB/s",
        rivals: &[against("nginx, index", Bar::RatioAtLeast(0.9)), against("nginx, none", Bar::None)],
        run: |run| Ok(crowd::large(run)),
    },
    Case {
        name: "door-memory",
        what: "peak memory of an endpoint whose 250 clients fetch at once, 200 of them one file of 50 MiB, 50 another one \
               each, none of which is here, against nginx with the same clients",
        unit: "MB",
        rivals: &[against("nginx", Bar::OursAtMost(60.0))],
        run: |_| Ok(crowd::memory()),
    },
    Case {
        name: "publish-idle",
        what: "a run of a publication that follows a mirror of 3,000 packages and finds nothing new, in at most 2 kB of HTTP, \
               against curl asking whether `lastupdate` is newer",
        unit: "s",
        rivals: &[against("curl", Bar::OursAtMost(2.0))],
        run: |run| Ok(publish::idle(run)),
    },
    Case {
        name: "publish-100",
        what: "the same with 100 new packages of 64 KiB to 4 MiB over 100 Mbit/s, without content, against curl fetching them, \
               their signatures and the database with 5 streams",
        unit: "s",
        rivals: &[against("curl", Bar::RatioAtMost(1.1))],
        run: |run| Ok(publish::hundred(run)),
    },
    Case {
        name: "haiku-list",
        what: "the list of a Haiku repository of 2,333 packages read in a fresh process, best of ten, against sha256sum of it",
        unit: "ms",
        rivals: &[against("sha256sum", Bar::OursAtMost(50.0))],
        run: |_| Ok(vec![haiku::reading().0]),
    },
    Case {
        name: "haiku-list-memory",
        what: "the most memory of that, against the same process before",
        unit: "MB",
        rivals: &[against("before", Bar::OursAtMost(20.0))],
        run: |_| Ok(vec![haiku::reading().1]),
    },
    Case {
        name: "wasted",
        what: "bytes that mirrors sent us in all cases of this run, against the sizes of the files asked for",
        unit: "MB",
        rivals: &[against("the files", Bar::RatioAtMost(1.02))],
        run: |run| Ok(vec![run.traffic.figures()]),
    },
];
