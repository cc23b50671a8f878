//! The page for strangers who would hold a publication, as followers of the ipfs-cluster that pins it. Page and template stand
//! in the tree, where `ipfs-cluster-follow` reads the template through the gateway of its own Kubo at each start.

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde_json::json;

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

    /// Writes the publisher's nodes as Kubo's `Peering.Peers` has them: each id once, with all its addresses.
    fn peering(&self) -> String {
        let mut nodes: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for peer in self.peers {
            let text = peer.to_string();
            let address = text.strip_suffix(&format!("/p2p/{}", peer.id())).unwrap_or(&text).to_owned();
            nodes.entry(peer.id()).or_default().push(address);
        }
        let all: Vec<_> = nodes.into_iter().map(|(id, at)| json!({ "ID": id, "Addrs": at })).collect();
        json!(all).to_string()
    }

    fn body(&self, title: &str, name: &str) -> Markup {
        // ipfs-cluster-follow would take a name that begins with a dash for an option.
        let short = page::local_name(self.publisher);
        let short = match short.trim_start_matches('-') {
            "" => "followed",
            name => name,
        };
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
            p { "What the service holds:" }
            pre {
                "sudo -u pkgswarm-follow env IPFS_CLUSTER_PATH=/var/lib/pkgswarm-follow ipfs-cluster-follow " (name) " list"
            }
            @if !self.peers.is_empty() {
                h2 { "Stay connected" }
                p { "With this, Kubo finds the publisher again within seconds of an outage, until it is started anew:" }
                @for peer in self.peers { pre { "ipfs swarm peering add " (peer) } }
                p { "For good, from its next start on:" }
                pre { "ipfs config --json Peering.Peers '" (self.peering()) "'" }
                p { "Where " code { "ipfs config Peering.Peers" } " shows some already, add these to them by hand." }
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
                     tell how much room it has. It does not let it write, as long as the publisher's own cluster trusts \
                     these peers alone."
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
            format!("<pre>ipfs-cluster-follow b-- run --init http://127.0.0.1:8080/ipns/{name}/{TEMPLATE}</pre>");
        assert!(html.contains(&init), "{html}");
        assert!(
            html.contains(&format!("pkgswarm-follow@{name}</pre>")) && html.contains(&show_size(5 << 30)),
            "{html}"
        );
        assert!(html.contains(&format!("ipfs swarm peering add {}", peers[1])), "{html}");
        let peering = r#"[{"Addrs":["/ip4/81.2.69.160/tcp/4001","/ip4/81.2.69.161/tcp/4001"],"ID":""#;
        assert!(html.contains(&format!("Peering.Peers '{}{id}", peering.replace('"', "&quot;"))), "{html}");
        let list = format!("IPFS_CLUSTER_PATH=/var/lib/pkgswarm-follow ipfs-cluster-follow {name} list</pre>");
        assert!(html.contains(&list), "{html}");
        let dashes = JoinPage { publisher: "--", name: &name, size: 0, peers: &[] }.html();
        assert!(dashes.contains("<pre>ipfs-cluster-follow followed list</pre>"), "{dashes}");
        for bad in ["<script", "<b>", "https://", "src=", "url(", "@import", "href=\"/"] {
            assert!(!html.contains(bad), "{bad}: {html}");
        }
        assert_eq!(html.matches("http://").count(), 1);
    }
}
