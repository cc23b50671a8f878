//! `pkgswarm endpoint`: the files of this machine's repositories over HTTP, for pacman's own downloader (`CacheServer`),
//! for what is built on libalpm, and for other machines of a house. It needs no libp2p, and has no HTTP of its own:
//! hyper speaks it.
//!
//! One thread has the connections, and waits for nothing else: lists and small files are looked into at desks, transfers
//! have a thread each, pieces of files come from memory or another thread. So a disk that sleeps, or a large file that is
//! hashed, holds up the clients that want it and no other (`tests/cases/endpoint_slow.rs`).
//!
//! | file | what |
//! |---|---|
//! | `route`, `part` | what a request asks for: decided from its text alone |
//! | `access` | the clients that may ask, the names under which they do |
//! | `connections`, `patient` | bounds on connections and on their silence |
//! | `answer`, `reply`, `body` | the answer, its headers, its bytes |
//! | `means`, `desk`, `threads` | what threads share; those that look into lists; those that make transfers |
//! | `known`, `here` | the file in the lists of this machine; its bytes on this machine |
//! | `piece`, `held` | bytes of files for the thread of the connections, so many at a time |
//! | `copies` | files of other users that have no place in the store |
//! | `states`, `in_hand` | files that were proven; signatures that were fetched |
//! | `transfer`, `stream` | a file that is not here: through the hub, and to clients while it comes |
//! | `elsewhere` | the mirror to which a client is sent |
//! | `ahead`, `causes` | pending updates, before pacman asks for them |
//! | `house`, `lookups` | the endpoints of other machines of the house; their names |
//! | `dns_sd`, `links` | finding them, and being found, by multicast DNS: its messages; the networks where that happens |
//! | `signature`, `database` | what no list proves: signatures in hand, databases for a client without another server |
//! | `reach` | whether any mirror can be reached |
//! | `aged` | the databases that no mirror delivered |
//! | `haiku`, `haiku_repos` | the repositories of Haiku's pkgman, each of one proven snapshot |
//! | `haiku_index` | what indexes say of them: sizes, roots, snapshots |
//! | `haiku_look` | the looks at the servers, one for all clients that wait |
//! | `haiku_wait` | the wait for a Haiku package, which pkgman does not bound |
//! | `running` | the answers that are being sent, for the page and the journal |
//! | `page` | the page, the figures and the document about this machine |
//! | `tidy` | what leaves the store once pacman has it |
//! | `serve` | the life of the process |

#![cfg_attr(not(feature = "testing"), allow(unreachable_pub))]

mod access;
mod aged;
mod ahead;
mod answer;
mod body;
mod causes;
mod connections;
mod copies;
mod database;
mod desk;
#[cfg(feature = "node")]
pub mod dns_sd;
mod elsewhere;
mod haiku;
mod haiku_index;
mod haiku_look;
mod haiku_repos;
mod haiku_wait;
mod held;
mod here;
mod house;
mod in_hand;
mod known;
#[cfg(feature = "node")]
mod links;
mod lookups;
mod means;
mod page;
pub mod part;
mod patient;
mod piece;
mod reach;
mod reply;
pub mod route;
mod running;
mod serve;
mod signature;
mod states;
mod stream;
mod threads;
mod tidy;
mod transfer;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use access::AccessRules;
use connections::ClientConnections;
use desk::Desks;
use here::FilesInProof;
use means::EndpointMeans;
use page::LatestViews;
use reqwest::Url;
use running::AnswerRecords;
use transfer::SharedTransfers;

use crate::config::Settings;
use crate::machine::Machine;
use crate::report::log;

pub(crate) use page::{AnswerNow, EndpointNow, SeenViews, Viewer};
pub(crate) use serve::run;

/// What all requests share.
pub(crate) struct HttpEndpoint {
    machine: RefCell<Rc<Machine>>,
    access: RefCell<AccessRules>,
    connections: Rc<ClientConnections>,
    means: Arc<EndpointMeans>,
    desks: Desks,
    proving: FilesInProof,
    transfers: SharedTransfers,
    views: LatestViews,
}

impl HttpEndpoint {
    /// Starts its threads.
    fn start(
        (machine, means): (Rc<Machine>, Arc<EndpointMeans>),
        access: AccessRules,
        viewer: Viewer,
    ) -> io::Result<Self> {
        let views = LatestViews::new(viewer);
        views.running.record(AnswerRecords::start(&means.store)?);
        Ok(Self {
            machine: RefCell::new(machine),
            access: RefCell::new(access),
            connections: Rc::default(),
            desks: Desks::start(&means)?,
            proving: FilesInProof::default(),
            transfers: SharedTransfers::new(&means),
            means,
            views,
        })
    }

    /// Returns the machine with the settings of this moment.
    fn machine(&self) -> Rc<Machine> {
        Rc::clone(&self.machine.borrow())
    }

    /// Goes on with other settings.
    fn apply(&self, access: AccessRules, settings: Settings) {
        let machine = self.machine();
        if access.listen != self.access.borrow().listen || settings.store_dir != machine.settings.store_dir {
            log::warn("endpoint.listen and store.dir are read at the start alone: restart the endpoint");
        }
        let ports = self.access.borrow().ports.clone();
        *self.access.borrow_mut() = access.at(ports);
        self.means.apply(&settings);
        *self.machine.borrow_mut() = machine.with_settings(settings);
    }

    /// Returns true for a URL that leads to this endpoint: it is no source of its own files.
    fn is_itself(&self, url: &Url) -> bool {
        self.machine().settings.endpoint.is_at(url, &self.access.borrow().ports)
    }
}
