//! pkgswarm: a package downloader that stands in for curl.
//!
//! It fetches the files of a package manager by content id from the nearest source (this machine, neighbours, the
//! local Kubo daemon, gateways, HTTP mirrors), and lets none of them appear before it is proven, or accepted for a
//! reason with a name.
//!
//! There are three programs. `front.rs` is the command `pkgswarm`: it serves a file that is here already
//! ([`pacman::hit`]), which ends most calls of a pacman that has a `DownloadUser`, and becomes the next one for
//! everything else. `main.rs` is `pkgswarm-full`, whose command line is in [`cmd::cli`]; for `pkgswarm daemon`
//! and `pkgswarm endpoint` it becomes `resident.rs`, `pkgswarm-daemon`, the only one with libp2p in it. All are made of this library.
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
//! 1. [`want`](engine::want) reads the URL that pacman passed: the file's name, the repository whose server it belongs to, its
//!    entries in the sync database and the indexes, and the sources to ask. It holds the plan of step 2.
//! 2. [`plan`](trust::plan) decides what is expected of the bytes and under which CID they can be asked for. It does no input
//!    or output and knows no clock.
//! 3. [`deliver`](engine::deliver) looks in the [`store`] and in pacman's caches, locks the file in the store, and looks once more,
//!    for what another process has fetched meanwhile. Else the [`race`](engine::race) asks one [`source`](engine::source) after the other,
//!    overlaps slow ones, lets several share a file where its leaves are known, and goes on with the next where
//!    the last one stopped.
//! 4. [`verify`](trust::verify) hashes the received bytes. A proven file gets its place in the store.
//! 5. [`output`](trust::output) copies it to the path that the caller named, under a name that it gets last of all. A file whose
//!    only user is the caller is not copied but gets its name there.
//!
//! What these steps need is in three parts, and each function takes the part that it needs: the
//! [`machine`] that all calls of a process share, the [`lists`](machine::lists) of the package system and the indexes,
//! and the single [`call`](machine::call), which knows its run of pacman and what earlier calls learnt. Step 3 returns a
//! receipt beside its result, also when it failed; [`background::note`](pacman::background::note) writes the [`journal`](store::journal) from it.
//!
//! Run by root, [`handover`](pacman::handover) has an unprivileged child do 1 to 4. The child passes an open file; root does 5, and
//! checks that its copy has the sha256 and size that the child named.
//!
//! The rest of a pacman run is fetched [`ahead`](pacman::ahead), several files at a time, by [`gather`](pacman::gather).
//!
//! `xfer`, `fetch`, read-ahead, prefetch, a refresh and the daemon ask a [`hub`](engine::hub) for a file, each one of its
//! own: one that is on its way already is listened to. Steps 3 and 4 print nothing and know of no signal; they tell a
//! [`listener`](base::listener), and end when their call is cancelled.
//!
//! Databases go through [`database`](pacman::database), files that are asked for by CID alone ([`address`](engine::address)) through [`content`](engine::content).
//! Indexes are fetched by [`refresh`], away from this path, judged in [`index`](mod@index), and made in [`publish`].
//!
//! What Kubo has pinned for us is kept in step by [`pins`]; what goes when a quota or a disk is full is decided by
//! [`budget`](base::budget).
//!
//! The files of neighbours come through the [`daemon`], a process of its own: the source `engine/source/lan.rs` asks it
//! over the [`socket`](net::socket) and reads the file while it grows. The daemon serves local users; the `node` in it is the
//! IPFS peer that fetches from neighbours and serves them.
//!
//! The second door is [`daemon::endpoint`], `pkgswarm endpoint`: it answers pacman's own downloader over HTTP. A request
//! names a file of a repository; the lists make a want of it, the hub a transfer for all clients that ask for it, and
//! proven leaves leave while the rest comes.
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
//! | list | what the repositories of one package system say exist: names, expectations, servers; pacman's is the one there is |
//! | lists | what that list and the indexes say, as one run of pacman sees them |
//! | call | one call of this program that delivers files, for one run of pacman |
//! | run | one run of pacman (`pacman_run`), with at most one *transaction*; its name is the id and start time of the process |
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
//! | inspection | one look at this machine in parts, read by `doctor`, `status`, `setup`, `why`, `audit` and `index`: pacman, stores, units, indexes, Kubo, the daemon |
//! | journal | one line for each file that was delivered or fetched, with the bytes of each source |
//!
//! # Checking the trust
//!
//! Five files decide which bytes reach the package manager. Each has its own tests; those named here prove it from
//! outside.
//!
//! - `trust/plan.rs`: the sync database decides, else an index, else a named waiver. Where both list a file and differ,
//!   and pacman demands no package signatures, the file is refused. (`tests/cases/xfer.rs`,
//!   `tests/cases/xfer_index.rs`)
//! - `trust/verify.rs`: no other module can make a [`Verified`](trust::verify::Verified) or [`Waived`](trust::verify::Waived).
//!   (`tests/cases/xfer_mirror.rs`, `tests/cases/xfer_kubo.rs`)
//! - `trust/output.rs`: a file gets its name in exchange for one of these, after its last byte.
//!   (`tests/cases/xfer_kill.rs`, `tests/cases/xfer_hostile.rs`)
//! - `dag/walk.rs`: a file that is asked for by its CID alone consists of blocks with the digests that the CID
//!   leads to. (`tests/cases/xfer_kubo.rs`)
//! - `index/accept.rs`: an index is accepted only with every configured proof, unexpired, and never backwards.
//!   (`src/refresh/tests.rs`, `tests/real_publish.rs`)
//!
//! `dag/proof.rs` proves single leaves. It decides which source is asked again and for what, not what is accepted:
//! a file with an expectation is always hashed whole at the end.
//!
//! # Rooms
//!
//! Each directory of `src/` is a room. Its `mod.rs` says what comes in, what goes out, which rooms it may use, and in
//! which order its parts stand; `tests/layers.rs` holds every import against that, and makes the picture in
//! `doc/rooms.md`. A room uses rooms in lines above its own:
//!
//! ```text
//! base
//! config dag lists
//! index net trust
//! store
//! machine report
//! engine
//! haiku node pins refresh
//! pacman publish
//! daemon
//! host
//! cmd
//! ```
//!
//! So the way of a file and the imports run alike: `engine` takes what `lists` and `index` say, decides with `trust`,
//! and keeps in `store`. The input of a download comes through few doors: [`base::env`](mod@base::env) for the process,
//! [`config`] for settings, [`lists`](mod@lists) for pacman's files, [`net`] for the network and the daemon's socket,
//! and inside the daemon `node` for its peers.

// Much is for the daemon alone.
#![cfg_attr(not(feature = "node"), allow(dead_code))]

// Contracts in tests/support are compiled into the unit tests as well.
#[cfg(test)]
extern crate self as pkgswarm;

#[cfg(feature = "node")]
pub use cmd::resident_program;
pub use cmd::{full_program, small_program};

// Rooms are private: so rustc sees what no program uses. Tests and fuzz targets are built with the feature `testing`, and
// name what is `pub` in them.
cfg_if::cfg_if! {
    if #[cfg(feature = "testing")] {
        pub mod base;
        pub mod cmd;
        pub mod config;
        pub mod daemon;
        pub mod dag;
        pub mod engine;
        pub mod haiku;
        pub mod host;
        pub mod index;
        pub mod lists;
        pub mod machine;
        pub mod net;
        #[cfg(feature = "node")]
        pub mod node;
        pub mod pacman;
        pub mod pins;
        pub mod publish;
        pub mod refresh;
        pub mod report;
        pub mod store;
        pub mod trust;
    } else {
        mod base;
        mod cmd;
        mod config;
        mod daemon;
        mod dag;
        mod engine;
        mod haiku;
        mod host;
        mod index;
        mod lists;
        mod machine;
        mod net;
        #[cfg(feature = "node")]
        mod node;
        mod pacman;
        mod pins;
        mod publish;
        mod refresh;
        mod report;
        mod store;
        mod trust;
    }
}
