//! The page for strangers who would hold a publication, as followers of the ipfs-cluster that pins it. Page and template stand
//! in the tree, where `ipfs-cluster-follow` reads the template through the gateway of its own Kubo at each start.

use maud::{Markup, html};

use super::follower::TEMPLATE;
use super::page;
use crate::base::name::shown;
use crate::config::peer_address::PeerAddress;
use crate::config::value::show_size;
use crate::index::ipns::Name;

/// Its name in the tree; no repository is called so.
pub(super) const JOIN_PAGE: &str = "pkgswarm-follower.html";

/// The contents of the page.
pub(super) struct JoinPage<'a> {
    pub(super) publisher: &'a str,
    /// The IPNS name, under which the template is found.
    pub(super) name: &'a Name,
    /// Bytes that a follower holds now.
    pub(super) size: u64,
    /// The publisher's own Kubo nodes.
    pub(super) peers: &'a [PeerAddress],
}

impl JoinPage<'_> {
    /// Makes the page.
    pub(super) fn html(&self) -> String {
        let title = format!("{}: hold a copy", shown(self.publisher));
        let name = self.name.to_string();
        page::document(&title, &self.body(&title, &name))
    }

    fn body(&self, title: &str, name: &str) -> Markup {
        let short = page::local_name(self.publisher);
        let url = format!("http://127.0.0.1:8080/ipns/{name}/{TEMPLATE}");
        html! {
            h1 { (title) }
            p {
                "A machine that follows this publication holds all of it, " (show_size(self.size)) " at present, and serves it \
                 to others by IPFS. It needs Kubo, ipfs-cluster-follow of ipfs-cluster 1.1 or later, and no open port."
            }
            h2 { "Join" }
            pre { "ipfs-cluster-follow " (short) " run --init " (url) }
            p { "It stays in the foreground, and ends with Ctrl-C. What it holds, seen from a second terminal:" }
            pre { "ipfs-cluster-follow " (short) " list" }
            p { "Or as a service of a machine with pkgswarm, which starts it again whatever has ended it:" }
            pre { "sudo systemctl enable --now pkgswarm-follow@" (name) }
            @if !self.peers.is_empty() {
                h2 { "Stay connected" }
                p { "With this, Kubo finds the publisher again within seconds of an outage:" }
                @for peer in self.peers { pre { "ipfs swarm peering add " (peer) } }
            }
            h2 { "What it means" }
            ul {
                li {
                    "It takes everything, also what comes later, and lets go of what the publisher lets go of. "
                    code { "Datastore.StorageMax" } " of Kubo does not hold it back: leave room, or keep a share instead."
                }
                li {
                    "What the publisher's cluster pins, and only that, is pinned here; whatever the publisher lets go of is \
                     unpinned, also where it was pinned by hand. Use a Kubo of its own for pins of your own."
                }
                li {
                    "The template names the peers that may write, and a secret that is public: it lets a machine join, and \
                     tell how much room it has, and not write."
                }
                li { "The template is read anew at each start, through your own Kubo, under the publisher's name." }
                li {
                    "After a crash it may say " code { "address already in use" } ": remove "
                    code { "~/.ipfs-cluster-follow/" (short) "/api-socket" } ". The service does so by itself."
                }
            }
            footer { a href=(page::PAGE) { "The index" } ", " a href=(TEMPLATE) { "the template" } "." }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_followers_refers_to_the_tree_and_this_machine_alone_and_escapes_what_it_shows() {
        let name: Name = "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8".parse().unwrap();
        let id = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5";
        let at = |host: &str| format!("/ip4/{host}/tcp/4001/p2p/{id}").parse().unwrap();
        let peers = ["81.2.69.160", "81.2.69.161"].map(at);
        let html = JoinPage { publisher: "<b>&", name: &name, size: 5 << 30, peers: &peers }.html();
        let init =
            format!("<pre>ipfs-cluster-follow -b-- run --init http://127.0.0.1:8080/ipns/{name}/{TEMPLATE}</pre>");
        assert!(html.contains(&init), "{html}");
        assert!(
            html.contains(&format!("pkgswarm-follow@{name}</pre>")) && html.contains(&show_size(5 << 30)),
            "{html}"
        );
        assert!(html.contains(&format!("ipfs swarm peering add {}", peers[1])), "{html}");
        for bad in ["<script", "<b>", "https://", "src=", "url(", "@import", "href=\"/"] {
            assert!(!html.contains(bad), "{bad}: {html}");
        }
        assert_eq!(html.matches("http://").count(), 1);
    }
}
