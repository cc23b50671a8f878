//! pkgswarm: a package downloader that stands in for curl.
//!
//! It fetches the files of a package manager by content id from the nearest source (this machine, neighbours, the
//! local Kubo daemon, gateways, HTTP mirrors), and lets none of them appear before it is proven, or accepted for a
//! reason with a name.
//!
//! There are two programs. `front.rs` is the command `pkgswarm`: it serves a file that is here already ([`hit`]),
//! which ends most calls of a pacman that has a `DownloadUser`, and becomes the other one for everything else.
//! `main.rs` is `pkgswarm-full`, whose command line is in [`cli`] and `cmd`. Both are made of this library.
//!
//! Below is the map; `CONTRIBUTING.md` has three walks, each through the files that one task passes.
//!
//! # The way of one file
//!
//! ```text
//! want (plan) -> deliver -> race over sources -> verify -> output
//!                   ^                              |
//!                 store  <-------------------------+
//! ```
//!
//! 1. [`want`] reads the URL that pacman passed: the file's name, the repository whose server it belongs to, its
//!    entries in the sync database and the indexes, and the sources to ask. It holds the plan of step 2.
//! 2. [`plan`] decides what is expected of the bytes and under which CID they can be asked for. It does no input
//!    or output and knows no clock.
//! 3. [`deliver`] looks in the [`store`] and in pacman's caches, locks the file in the store, and looks once more,
//!    for what another process has fetched meanwhile. Else the [`race`] asks one [`source`] after the other,
//!    overlaps slow ones, lets several share a file where its leaves are known, and goes on with the next where
//!    the last one stopped.
//! 4. [`verify`] hashes the received bytes. A proven file gets its place in the store.
//! 5. [`output`] copies it to the path that the caller named, under a name that it gets last of all. A file whose
//!    only user is the caller is not copied but gets its name there.
//!
//! What these steps need is in three parts, and each function takes the part that it needs: the
//! [`machine`] that all calls of a process share, the [`lists`](mod@lists) of pacman and the indexes,
//! and the single [`call`], which knows its run of pacman and what earlier calls learnt. Step 3 returns a
//! receipt beside its result, also when it failed; [`background::note`] writes the [`journal`] from it.
//!
//! Run by root, [`handover`] has an unprivileged child do 1 to 4. The child passes an open file; root does 5, and
//! checks that its copy has the sha256 and size that the child named.
//!
//! The rest of a pacman run is fetched [`ahead`], several files at a time, by [`gather`].
//!
//! `xfer`, `fetch`, read-ahead, prefetch and the refresh of indexes ask a [`hub`] for a file: one that is on its way
//! already is listened to, whatever it is for. Steps 3 and 4 print nothing and know of no signal; they tell a
//! [`listener`], and end when their call is cancelled.
//!
//! Databases go through [`database`], files that are asked for by CID alone ([`address`]) through [`content`].
//! Indexes are fetched by [`refresh`], away from this path, judged in [`index`](mod@index), and made in [`publish`].
//!
//! The files of neighbours come through the [`daemon`], a process of its own: the source `source/lan.rs` asks it
//! over the [`socket`] and reads the file while it grows. The daemon serves local users; the `node` in it is the
//! IPFS peer that fetches from neighbours and serves them.
//!
//! # Words
//!
//! | word | meaning |
//! |---|---|
//! | index | the signed list of files of one publisher, per repository; it has a sequence and an expiry |
//! | entry | one line of it: name, size, sha256, CID |
//! | route | how a refresh may reach an index: by neighbours, Kubo, a gateway, its plain copy |
//! | catalogue | one table of an index, or one sync database, compiled for look-ups without parsing |
//! | machine | what all calls of one process share: settings, store, HTTP clients |
//! | lists | what pacman.conf, the sync databases and the indexes say, as one run of pacman sees them |
//! | call | one call of this program that delivers files, for one run of pacman |
//! | run | one run of pacman (`pacman_run`), with at most one *transaction*; its name is the id and start time of the process |
//! | inspection | one look at this machine in parts, read by `doctor`, `status` and `setup`: pacman, stores, units, indexes, Kubo, the daemon |
//! | want | a file to fetch: name, repository, plan, sources to ask |
//! | waiver | the named reason why a file has no expectation, as with signatures |
//! | source | what may be asked for a file: package cache, the lan, Kubo, gateway, mirror |
//! | candidate | a source of one file before it is opened: its address, free to copy and to sort |
//! | standing | what a race, or the fetch of single blocks, holds of one source at the moment |
//! | miss | why a source did not deliver |
//! | race | asking several sources for one want, and changing over between them |
//! | hub | the transfers of a process, one for each expectation; a listener has a *ticket*, who makes one has the *duty* |
//! | receipt | what one delivery moved: bytes of each source, misses, files that Kubo cached; failed ones have it too |
//! | leaf | a piece of a file that can be proven by itself, 1 MiB in files of our own profile |
//! | store | our own staging: proven files and resumable partials, keyed by sha256; not a second package cache |
//! | request window | the number of blocks that are asked for at a time |
//! | read-ahead | fetching the rest of a run while pacman handles the first file |
//! | prefetch | fetching pending updates before the user runs pacman |
//! | publisher | the person or project that signs an index |
//! | mirror | an HTTP server from pacman's mirror list, nothing else |
//! | daemon | `pkgswarm daemon`, the one resident process; "the Kubo daemon" is the other one |
//! | node | the IPFS peer inside the daemon; a block with links is a *DAG node* (`dag/unixfs.rs`) |
//! | lan | the local network; as a source, the neighbours, asked through the daemon |
//! | neighbour | another machine of the local network that runs this daemon or Kubo |
//! | peer | any IPFS peer, known or not |
//! | shelf | the files that the node serves, by their blocks |
//! | journal | one line for each file that was delivered or fetched, with the bytes of each source |
//!
//! # Checking the trust
//!
//! Five files decide which bytes reach the package manager. Each has its own tests; those named here prove it from
//! outside.
//!
//! - `plan.rs`: the sync database decides, else an index, else a named waiver. Where both list a file and differ,
//!   and pacman demands no package signatures, the file is refused. (`tests/cases/xfer.rs`,
//!   `tests/cases/xfer_index.rs`)
//! - `verify.rs`: no other module can make a [`Verified`](verify::Verified) or [`Waived`](verify::Waived).
//!   (`tests/cases/xfer_mirror.rs`, `tests/cases/xfer_kubo.rs`)
//! - `output.rs`: a file gets its name in exchange for one of these, after its last byte.
//!   (`tests/cases/xfer_kill.rs`, `tests/cases/xfer_hostile.rs`)
//! - `dag/walk.rs`: a file that is asked for by its CID alone consists of blocks with the digests that the CID
//!   leads to. (`tests/cases/xfer_kubo.rs`)
//! - `index/accept.rs`: an index is accepted only with every configured proof, unexpired, and never backwards.
//!   (`src/refresh/tests.rs`, `tests/real_publish.rs`)
//!
//! `dag/proof.rs` proves single leaves. It decides which source is asked again and for what, not what is accepted:
//! a file with an expectation is always hashed whole at the end.
//!
//! # Order of the modules
//!
//! A module uses modules in lines above its own, and none in its own line or below. `tests/layers.rs` reads this
//! very list and fails where an import goes the other way.
//!
//! ```text
//! budget clock digest env fsx hedge interrupt listener miss name ordered protobuf public publisher users
//! cid columns program runtime
//! size
//! error distro health journal socket
//! address coming config dag catalogue look stats
//! http
//! verify source kubo report index
//! plan store output node
//! machine race publish
//! lists
//! call find
//! deliver
//! want content handover background hub
//! database gather daemon refresh
//! prefetch
//! inspect
//! doctor
//! setup
//! cli ahead
//! hit
//! cmd
//! ```
//!
//! So the way of a file and the imports run alike: wants use plans, the race uses plans, sources and proofs. Only
//! `cmd` and `main.rs` see [`cli`], the command line. Input from outside comes through few doors:
//! [`env`](mod@env) for the process, [`config`] for settings, [`distro`] for pacman's files, [`http`] and [`kubo`]
//! for the network, [`socket`] for the daemon, and inside the daemon `node` for its peers.

pub mod address;
pub mod ahead;
pub mod background;
pub mod budget;
pub mod call;
pub mod catalogue;
pub mod cid;
pub mod cli;
pub mod clock;
pub mod cmd;
pub mod columns;
pub mod coming;
pub mod config;
pub mod content;
pub mod daemon;
pub mod dag;
pub mod database;
pub mod deliver;
pub mod digest;
pub mod distro;
pub mod doctor;
pub mod env;
pub mod error;
pub mod find;
pub mod fsx;
pub mod gather;
pub mod handover;
pub mod health;
pub mod hedge;
pub mod hit;
pub mod http;
pub mod hub;
pub mod index;
pub mod inspect;
pub mod interrupt;
pub mod journal;
pub mod kubo;
pub mod listener;
pub mod lists;
pub mod look;
pub mod machine;
pub mod miss;
pub mod name;
#[cfg(feature = "node")]
pub mod node;
pub mod ordered;
pub mod output;
pub mod plan;
pub mod prefetch;
pub mod program;
pub mod protobuf;
pub mod public;
pub mod publish;
pub mod publisher;
pub mod race;
pub mod refresh;
pub mod report;
pub mod runtime;
pub mod setup;
pub mod size;
pub mod socket;
pub mod source;
pub mod stats;
pub mod store;
pub mod users;
pub mod verify;
pub mod want;
