//! The page of an index for people: `index.html` at the top of the tree, and of the plain copy.
//!
//! It is made when a publication is sealed, from what is published and nothing else, so that it changes with the tree
//! alone. It has no script, refers to nothing but the tree, and is readable through every gateway, whatever stands before
//! its path (`the_page_refers_to_the_tree_alone_and_escapes_what_it_shows`).

use data_encoding::BASE64;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::tree::{NewestFile, RepoState, Tree};
use crate::base::digest::Sha256;
use crate::base::name::shown;
use crate::config::value::show_size;
use crate::index::ipns::Name;
use crate::index::manifest::{Manifest, Table};
use crate::index::time;

/// Its name; no repository is called so.
pub(super) const PAGE: &str = "index.html";

const STYLE: &str = include_str!("page.css");

/// The contents of the page.
pub(super) struct IndexPage<'a> {
    pub(super) manifest: &'a Manifest,
    pub(super) tree: &'a Tree,
    /// The IPNS name; `None` where none is published.
    pub(super) name: Option<&'a Name>,
    /// The minisign public key.
    pub(super) signer: Option<&'a str>,
    /// True where the packages stand beside it.
    pub(super) has_files: bool,
    /// The page for those who would hold a copy, where it stands beside this one.
    pub(super) joining: Option<&'a str>,
}

/// Puts a page of the tree together. It may show text and refer to its neighbours, and nothing else.
pub(super) fn document(title: &str, body: &Markup) -> String {
    let style = BASE64.encode(&Sha256::of(STYLE.as_bytes()).0);
    let policy = format!("default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'");
    let whole = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    };
    whole.into_string()
}

impl IndexPage<'_> {
    /// Makes the page.
    pub(super) fn html(&self) -> String {
        let manifest = self.manifest;
        let title = format!("{}: an index of packages", shown(&manifest.publisher));
        let body = html! {
            h1 { (title) }
            p {
                "A signed list of packages with their content ids. With it, pkgswarm has pacman take each of them from \
                 neighbours, from IPFS or from any mirror, and proves every MiB of it."
            }
            (self.adding())
            (self.repos())
            (self.newest())
            (self.files())
            footer {
                "Sequence " (manifest.sequence) ", made " (moment(manifest.created)) ", valid until "
                (moment(manifest.expires)) ". What counts is the signature, not this page."
            }
        };
        document(&title, &body)
    }

    fn adding(&self) -> Markup {
        let key = self.name.map(ToString::to_string);
        let words = match (&key, self.signer) {
            (Some(name), Some(signer)) => Some(format!("{name} --minisign {signer}")),
            (Some(name), None) => Some(name.clone()),
            (None, Some(signer)) => Some(format!("{signer} --url THE_ADDRESS_OF_THIS_PAGE")),
            (None, None) => None,
        };
        html! {
            h2 { "Use it" }
            @match words {
                Some(words) => {
                    pre { "sudo pkgswarm index add " (local_name(&self.manifest.publisher)) " " (words) }
                    p {
                        "Compare the key with what the publisher says elsewhere: a page can be copied, and the key is all \
                         that your trust rests on. Adding it gives the publisher a say about the repositories below, beside \
                         pacman's own signatures."
                    }
                }
                None => p { "It has neither a name nor a signature, so it cannot be proven, and pkgswarm does not use it." }
            }
        }
    }

    fn repos(&self) -> Markup {
        let rows = || self.manifest.tables.iter().zip(&self.tree.states);
        html! {
            h2 { "Repositories" }
            div.wide {
                table {
                    thead {
                        tr {
                            th { "Repository" } th { "Architecture" } th.figure { "Packages" } th.figure { "Size" }
                            th { "As upstream had it" }
                        }
                    }
                    tbody { @for (table, state) in rows() { (self.repo(table, *state)) } }
                }
            }
            @let backlog = self.tree.backlog();
            @if backlog.packages > 0 {
                p {
                    "Not listed yet: " (backlog.packages) " packages that upstream has (" (show_size(backlog.bytes)) "). They \
                     come little by little; until then, pacman takes them from its mirrors."
                }
            }
        }
    }

    fn repo(&self, table: &Table, state: RepoState) -> Markup {
        let place = href(&format!("{}/", table.place()));
        let dated = table.databases.iter().filter_map(|database| database.modified).max();
        html! {
            tr {
                td { @if self.has_files { a href=(place) { (table.repo) } } @else { (table.repo) } }
                td { (table.arch) }
                td.figure { (state.packages) }
                td.figure { (show_size(state.size)) }
                td { @if let Some(at) = dated.max(state.lastupdate) { (moment(at)) } @else { "not told" } }
            }
        }
    }

    fn newest(&self) -> Markup {
        let row = |file: &NewestFile| {
            html! {
                tr {
                    td { @if self.has_files && file.is_kept { a href=(href(&file.path)) { (name_in(&file.path)) } } @else { (name_in(&file.path)) } }
                    td { (file.path.split('/').next().unwrap_or_default()) }
                    td.figure { (show_size(file.size)) }
                    td { (moment(file.built)) }
                }
            }
        };
        html! {
            @if !self.tree.newest.is_empty() {
                h2 { "Newest packages" }
                div.wide {
                    table {
                        thead { tr { th { "Package" } th { "Repository" } th.figure { "Size" } th { "Built" } } }
                        tbody { @for file in &self.tree.newest { (row(file)) } }
                    }
                }
            }
        }
    }

    /// Tells what is remembered of files that the repositories have no more.
    fn archived(&self) -> Option<Markup> {
        let states = || self.tree.states.iter().filter_map(|state| state.archive);
        let since = states().map(|archive| archive.since).max()?;
        let (files, kept): (u64, u64) =
            states().fold((0, 0), |(files, kept), one| (files + one.files, kept + one.kept));
        Some(html! {
            (files) @if files == 1 { " superseded file" } @else { " superseded files" } " can be proven still"
            @if self.has_files && kept > 0 { ", " (kept) " of them with their bytes in this tree" }
            ": " code { "pkgswarm fetch NAME-VERSION" } ", or " code { "--as-of DATE" } " of any day since " (moment(since)) "."
        })
    }

    fn files(&self) -> Markup {
        html! {
            h2 { "For programs" }
            p {
                a href="pkgswarm.json" { "pkgswarm.json" } " is the signed manifest"
                @if self.signer.is_some() {
                    ", " a href="pkgswarm.json.minisig" { "pkgswarm.json.minisig" } " its signature"
                }
                "; the manual page pkgswarm-index(5) is the format. The tables: "
                @for (at, table) in self.manifest.tables.iter().enumerate() {
                    @if at > 0 { ", " }
                    a href=(table.path()) { (table.repo) " " (table.arch) }
                }
                "."
            }
            @if let Some(joining) = self.joining {
                p { a href=(joining) { "Hold a copy" } " of all of it, and serve it to others." }
            }
            @if let Some(archived) = self.archived() { p { (archived) } }
            p {
                @if self.has_files {
                    @if self.tree.bare == 0 {
                        "The packages stand in this tree as on a mirror: through any gateway, it is a Server for pacman \
                         without pkgswarm too."
                    } @else {
                        "Of " (self.tree.bare) " packages this tree has what proves them, and not their bytes: those come from \
                         mirrors and neighbours. So it is no Server for pacman without pkgswarm."
                    }
                } @else {
                    "The packages themselves are not in this copy. They come from mirrors, neighbours and IPFS, and what is \
                     here proves them."
                }
            }
        }
    }
}

/// Returns a name for the index on the user's machine: what `index add` accepts.
pub(super) fn local_name(publisher: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
    publisher.chars().map(plain).collect()
}

/// Writes a path for a link; what a URL gives another meaning is escaped.
fn href(path: &str) -> String {
    path.replace('%', "%25").replace('?', "%3F").replace('#', "%23")
}

fn name_in(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Writes a time: the day and the minute, in UTC.
fn moment(at: u64) -> Markup {
    let full = time::to_rfc3339(at);
    let short = full.get(..16).unwrap_or(&full).replace('T', " ");
    html! { time datetime=(full) { (short) } }
}

#[cfg(test)]
mod tests {
    use super::super::collect::collect;
    use super::super::seal::seal;
    use super::super::tests::{NOW, RepoFixture, package};
    use super::super::{PublishOptions, Tree};
    use std::collections::BTreeMap;

    #[test]
    fn the_page_refers_to_the_tree_alone_and_escapes_what_it_shows() {
        let made = RepoFixture::at(
            "mirror/core/os/x86_64",
            "core",
            &[package("a-1-1-any", 10), package("b-1-1-any", 3 << 20)],
        );
        let publisher = "<b>\"me\" & you</b>".to_owned();
        let options = PublishOptions { publisher, ..made.options(NOW) };
        let tree =
            Tree::of(&options, collect(&options.dirs, None).unwrap(), Default::default(), &mut |_, _, _| {}).unwrap();
        let name: crate::index::ipns::Name =
            "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8".parse().unwrap();
        let sealed = seal(&options, &tree, 7, &BTreeMap::new(), Some(&name)).unwrap();
        let page = super::IndexPage {
            manifest: &sealed.manifest,
            tree: &tree,
            name: Some(&name),
            signer: None,
            has_files: true,
            joining: None,
        };
        let html = page.html();
        assert!(html.contains("&lt;b&gt;&quot;me&quot; &amp; you&lt;/b&gt;: an index of packages"), "{html}");
        assert!(html.contains(&format!("sudo pkgswarm index add -b--me----you--b- {name}</pre>")), "{html}");
        for bad in ["<script", "<b>", "http://", "https://", "src=", "url(", "@import", "href=\"/"] {
            assert!(!html.contains(bad), "{bad}: {html}");
        }
        let links: Vec<&str> = html.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        let expected = [
            "core/os/x86_64/",
            "core/os/x86_64/a-1-1-any.pkg.tar.zst",
            "core/os/x86_64/b-1-1-any.pkg.tar.zst",
            "pkgswarm.json",
            "tables/core-x86_64.ndjson.zst",
        ];
        assert_eq!(links, expected);
        assert!(html.len() < 64 << 10, "one block");
        // The page is in the tree: its block is among those that are sent, and the same content makes the same page.
        let block = sealed.blocks.iter().find(|block| block.bytes == html.as_bytes()).expect("the page's block");
        assert!(block.cid.proves(&block.bytes));
        let again = seal(&options, &tree, 7, &BTreeMap::new(), Some(&name)).unwrap();
        assert_eq!(again.root, sealed.root);
        let copy = &sealed.page;
        assert!(!copy.contains("href=\"core/") && copy.contains("not in this copy"), "{copy}");
    }
}
