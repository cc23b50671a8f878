//! How a real Kubo announces the files of a share, and how the holders of a file are counted: three nodes with a
//! distributed hash table of their own.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use pkgswarm::base::cid::Cid;
use pkgswarm::pins::keeper::holders::{HolderLimits, count_holders};
use serde_json::{Value, json};

use super::pins::wait;
use super::real::{Kubo, Parts, noise_file, scratch, until};

/// Starts nodes that announce by this strategy, all connected to the first one.
fn nodes<const N: usize>(parts: &Parts, strategy: &str) -> [Kubo; N] {
    let nodes = std::array::from_fn(|_| {
        Kubo::naming(parts, |config| {
            config["Provide"] = json!({"Enabled": true, "Strategy": strategy, "DHT": {"Interval": "22h"}});
        })
    });
    nodes[1..].iter().for_each(|node| node.connect(&nodes[0]));
    nodes
}

fn client(node: &Kubo) -> pkgswarm::net::kubo::Kubo {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let url = |text: String| text.parse().expect("a URL");
    let (api, gateway) = (Some(url(node.api())), url(node.gateway()));
    pkgswarm::net::kubo::Kubo { api, gateway, client, door: Default::default() }
}

/// Counts the other holders of these files as the program does; what is unknown is not in it.
fn holders(node: &Kubo, files: &[Cid]) -> BTreeMap<Cid, u32> {
    let (kubo, mut counts) = (client(node), BTreeMap::new());
    let limits = HolderLimits { each: Duration::from_secs(20), ..HolderLimits::default() };
    wait(count_holders(&kubo, files, limits, |cid, others| _ = counts.insert(cid, others.len() as u32)))
        .expect("a count");
    counts
}

/// Adds a file that nothing pins and nothing announces but the strategy; returns its root, and a leaf of it.
fn unpinned(node: &Kubo, path: &Path, size: u64) -> (Cid, Option<Cid>) {
    noise_file(path, size);
    let file = path.display().to_string();
    let add =
        ["add", "--quieter", "--cid-version=1", "--raw-leaves", "--pin=false", "--fast-provide-root=false", &file];
    let root = node.ipfs(&add).ok().stdout.trim().to_owned();
    let links = node.ipfs(&["refs", &root]).ok().stdout;
    (root.parse().expect("a CID"), links.lines().next().map(|leaf| leaf.parse().expect("a CID")))
}

fn dag_cbor(node: &Kubo, links: &[String]) -> String {
    let path = node.path().join("node.json");
    let list: Vec<Value> = links.iter().map(|cid| json!({"/": cid})).collect();
    fs::write(&path, Value::from(list).to_string()).expect("a file of ours");
    let put = ["dag", "put", "--store-codec=dag-cbor", "--input-codec=dag-json", "--pin=false"];
    node.ipfs(&[&put[..], &[&path.display().to_string()]].concat()).ok().stdout.trim().to_owned()
}

#[test]
fn the_pin_of_a_share_announces_the_roots_of_its_files_at_once_and_none_of_their_leaves() {
    let parts = Parts::demand();
    let dir = scratch("files");
    let [keeper, _, reader] = nodes(&parts, "pinned+entities");
    let (big, leaf) = unpinned(&keeper, &dir.path().join("big"), 3_000_000);
    let (small, none) = unpinned(&keeper, &dir.path().join("small"), 1000);
    let (leaf, files) = (leaf.expect("a file of several leaves"), [big, small]);
    assert!(none.is_none(), "a small file is one leaf");
    let known = |node: &Kubo| holders(node, &[big, small, leaf]);
    let expected = |files: u32, leaves: u32| BTreeMap::from([(big, files), (small, files), (leaf, leaves)]);
    until("the nodes answer each other", Duration::from_secs(60), || (known(&reader).len() == 3).then_some(()));
    assert_eq!(known(&reader), expected(0, 0), "what is not pinned is announced by no strategy of pins");

    // A pin alone announces its root, the files only in the next turn, up to 22 hours later.
    let list = dag_cbor(&keeper, &files.map(|cid| cid.to_string()));
    let above = dag_cbor(&keeper, &[list]);
    keeper.ipfs(&["pin", "add", &above]).ok();
    let announced = |cid: &str| reader.ipfs(&["routing", "findprovs", cid]).ok().stdout.contains(&keeper.id());
    until("the root is announced", Duration::from_secs(30), || announced(&above).then_some(()));
    assert_eq!(known(&reader), expected(0, 0));

    // Through a list of links in dag-cbor as through a directory.
    keeper.ipfs(&["pin", "rm", &above]).ok();
    keeper.ipfs(&["pin", "add", "--fast-provide-dag", &above]).ok();
    until("the files are announced", Duration::from_secs(30), || (known(&reader)[&big] == 1).then_some(()));
    until("the small one too", Duration::from_secs(30), || (known(&reader)[&small] == 1).then_some(()));
    assert_eq!(known(&reader), expected(1, 0), "a leaf is not announced");
    assert_eq!(known(&keeper), expected(0, 0), "the keeper itself is none of the others");

    let (third, _) = unpinned(&keeper, &dir.path().join("third"), 5000);
    keeper.ipfs(&["files", "mkdir", "/share"]).ok();
    keeper.ipfs(&["files", "cp", &format!("/ipfs/{third}"), "/share/third"]).ok();
    let directory = keeper.ipfs(&["files", "stat", "--hash", "/share"]).ok().stdout.trim().to_owned();
    keeper.ipfs(&["pin", "add", "--fast-provide-dag", &directory]).ok();
    let count = || holders(&reader, &[third]).get(&third).copied();
    until("a file in a pinned directory is announced", Duration::from_secs(30), || (count() == Some(1)).then_some(()));
}

#[test]
fn the_holders_of_a_share_are_counted_within_seconds_and_a_lone_node_knows_nothing() {
    let parts = Parts::demand();
    let dir = scratch("files");
    let [first, second, third] = nodes(&parts, "all");
    let files: Vec<Cid> = (0..200)
        .map(|n| unpinned(if n % 2 == 0 { &first } else { &second }, &dir.path().join(n.to_string()), 500).0)
        .collect();
    let shared = &files[..50];
    for cid in shared {
        third.ipfs(&["block", "get", &cid.to_string()]).ok();
    }
    let is_known =
        |counts: &BTreeMap<Cid, u32>| counts.len() == files.len() && counts.values().all(|others| *others >= 1);
    let began = Instant::now();
    until("each is announced", Duration::from_secs(120), || is_known(&holders(&third, &files)).then_some(()));
    println!("announced and counted after {:.1} s", began.elapsed().as_secs_f64());
    let began = Instant::now();
    assert!(holders(&third, &files).values().all(|others| *others == 1), "without the node itself");
    println!("{} files counted in {:.1} s", files.len(), began.elapsed().as_secs_f64());
    until("the copies are counted as well", Duration::from_secs(60), || {
        let counts = holders(&first, &files);
        let count = |n: usize| counts.get(&files[n]).copied();
        ((0..50).all(|n| count(n) == Some(1 + n as u32 % 2)) && count(51) == Some(1)).then_some(())
    });

    let [lone] = nodes(&parts, "all");
    assert_eq!(holders(&lone, &files), BTreeMap::new(), "a node without peers has not found that there are none");
}
