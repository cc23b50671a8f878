//! The third step: a tree gets its sequence, its expiry, the diffs since the last publication and its signature.

use std::collections::BTreeMap;

use super::chain::{Chain, ChainLink, table_key};
use super::follower::TEMPLATE;
use super::joining::{JOIN_PAGE, JoinPage};
use super::page::{IndexPage, PAGE};
use super::tree::{Tree, directory, entry};
use super::{PublishError, PublishOptions};
use crate::base::cid::Cid;
use crate::base::digest::Sha256;
use crate::dag::Block;
use crate::dag::dir::{self, DirectoryEntry as DirEntry};
use crate::index::ipns::Name;
use crate::index::manifest::Manifest;

/// A publication, ready to be placed.
pub(super) struct Sealed<'t> {
    /// The tree below it.
    pub(super) tree: &'t Tree,
    pub(super) manifest: Manifest,
    /// The manifest as signed.
    pub(super) bytes: Vec<u8>,
    pub(super) minisig: Option<String>,
    pub(super) root: Cid,
    /// The root's own block.
    pub(super) root_block: Vec<u8>,
    /// The page for people in a copy without the packages.
    pub(super) page: String,
    /// All blocks except those of files.
    pub(super) blocks: Vec<Block>,
    /// The state of each table, by [`table_key`].
    pub(super) links: BTreeMap<String, ChainLink>,
    /// The diffs, by their path in the tree.
    pub(super) diffs: BTreeMap<String, Vec<u8>>,
}

/// Makes the manifest of `tree` for `sequence`, with the diffs since `before`, signs it, and builds the root. Reads
/// the diffs that are kept in the state directory, and writes nothing. The page shows `name`.
pub(super) fn seal<'t>(
    options: &PublishOptions,
    tree: &'t Tree,
    sequence: u64,
    before: &BTreeMap<String, ChainLink>,
    name: Option<&Name>,
) -> Result<Sealed<'t>, PublishError> {
    let mut manifest = tree.manifest(options, sequence, options.now, options.now + options.lifetime.as_secs());
    let (mut links, mut diffs) = (BTreeMap::new(), BTreeMap::new());
    let mut top = tree.top.clone();
    let mut blocks = tree.blocks.clone();
    let mut dirs = Vec::new();
    for ((table, plain), state) in manifest.tables.iter_mut().zip(&tree.plain).zip(&tree.states) {
        table.lastupdate = state.lastupdate;
        let before = before.get(&table_key(table));
        let (link, bytes) = Chain::at(&options.state_dir).next(before, plain, table.packed.size, sequence);
        (table.changed, table.diffs) = (link.changed, link.diffs.clone());
        let mut entries = Vec::new();
        for (at, bytes) in bytes.into_iter().enumerate() {
            let (path, cid) = (table.diff_path(at), table.diffs[at].cid());
            let name = path.rsplit('/').next().unwrap_or_default().to_owned();
            entries.push(DirEntry { name, cid, dag_size: bytes.len() as u64 });
            blocks.push(Block { cid, bytes: bytes.clone() });
            diffs.insert(path, bytes);
        }
        if !entries.is_empty() {
            dirs.push(entry(&table_key(table), directory(&mut blocks, entries)?));
        }
        links.insert(table_key(table), link);
    }
    if !dirs.is_empty() {
        top.push(entry("diffs", directory(&mut blocks, dirs)?));
    }
    let bytes = manifest.encode();
    // A manifest that clients would refuse must not be published.
    Manifest::decode(&bytes)?;
    let minisig = options.minisign.as_ref().map(|key| key.sign(&bytes, sequence, manifest.expires));
    let signature = minisig.as_ref().map(|text| ("pkgswarm.json.minisig", text.as_bytes()));
    let signer = options.minisign.as_ref().map(|key| key.public().to_string());
    let followers = options.followers.as_ref().zip(name).map(|(template, name)| {
        let size = top.iter().map(|entry| entry.dag_size).sum();
        let page = JoinPage { publisher: &options.publisher, name, size, peers: &manifest.peers };
        (template.json(), page.html())
    });
    let joining = followers.as_ref().map(|_| JOIN_PAGE);
    let page = |has_files: bool| {
        let joining = joining.filter(|_| has_files);
        IndexPage { manifest: &manifest, tree, name, signer: signer.as_deref(), has_files, joining }.html()
    };
    let (shown, page) = (page(true), page(false));
    let template = followers.iter().flat_map(|(template, page)| [(TEMPLATE, template), (JOIN_PAGE, page)]);
    let template = template.map(|(name, text)| Some((name, text.as_bytes())));
    let files = [Some(("pkgswarm.json", &bytes[..])), signature, Some((PAGE, shown.as_bytes()))];
    for (name, bytes) in files.into_iter().chain(template).flatten() {
        let cid = Cid::raw(Sha256::of(bytes));
        top.push(DirEntry { name: name.to_owned(), cid, dag_size: bytes.len() as u64 });
        blocks.push(Block { cid, bytes: bytes.to_vec() });
    }
    top.sort_by(|a, b| a.name.cmp(&b.name));
    let root = dir::build(&top, |block| blocks.push(block))?.root;
    let root_block = blocks.last().map(|block| block.bytes.clone()).unwrap_or_default();
    Ok(Sealed { tree, manifest, bytes, minisig, root, root_block, page, blocks, links, diffs })
}

#[cfg(test)]
mod tests {
    use super::super::collect::collect;
    use super::super::tests::{NOW, RepoFixture, package};
    use super::*;

    #[test]
    fn a_tree_can_be_sealed_again_and_nothing_is_written() {
        let made = RepoFixture::repo("custom", &[package("a-1-1-any", 10)]);
        let options = PublishOptions { out: None, ..made.options(NOW) };
        let tree =
            Tree::of(&options, collect(&options.dirs, None).unwrap(), Default::default(), &mut |_, _, _| {}).unwrap();
        let files = || std::fs::read_dir(&options.state_dir).unwrap().count();
        let before = files();
        let [first, same, later] = [7, 7, 8].map(|n| seal(&options, &tree, n, &BTreeMap::new(), None).unwrap());
        assert_eq!((first.root, &first.bytes), (same.root, &same.bytes));
        assert_ne!(first.root, later.root);
        assert_eq!((first.manifest.sequence, first.manifest.expires), (7, NOW + options.lifetime.as_secs()));
        assert!(first.root.proves(&first.root_block));
        // The table changed with the sequence under which it was first published.
        let again = seal(&options, &tree, 9, &first.links, None).unwrap();
        assert_eq!((again.manifest.tables[0].changed, again.diffs.len()), (7, 0));
        assert_eq!(files(), before);
    }

    #[test]
    fn the_time_of_upstream_is_in_the_manifest_and_makes_no_publication_by_itself() {
        let made = RepoFixture::at("mirror/core/os/x86_64", "core", &[package("a-1-1-any", 10)]);
        let dirs = vec![made.root().join("mirror")];
        let options = PublishOptions { out: None, dirs, ..made.options(NOW) };
        let tree = |lastupdate: &str| {
            std::fs::write(made.root().join("mirror/lastupdate"), lastupdate).unwrap();
            Tree::of(&options, collect(&options.dirs, None).unwrap(), Default::default(), &mut |_, _, _| {}).unwrap()
        };
        let (first, second) = (tree("1790000000"), tree("1790000600"));
        assert_eq!(first.fingerprint, second.fingerprint);
        let sealed = seal(&options, &second, 7, &BTreeMap::new(), None).unwrap();
        assert_eq!(Manifest::decode(&sealed.bytes).unwrap().tables[0].lastupdate, Some(1_790_000_600));
    }

    #[test]
    fn what_clients_would_refuse_is_not_sealed() {
        let made = RepoFixture::repo("custom", &[]);
        let options = PublishOptions { publisher: "x".repeat(65), ..made.options(NOW) };
        let tree =
            Tree::of(&options, collect(&options.dirs, None).unwrap(), Default::default(), &mut |_, _, _| {}).unwrap();
        assert!(matches!(seal(&options, &tree, 7, &BTreeMap::new(), None), Err(PublishError::Manifest(_))));
    }
}
