//! Haiku's repositories and images in an index: nothing is published that does not belong together, and what is published
//! serves pkgman when no server does.

use std::fs;
use std::path::{Path, PathBuf};

use pkgswarm::base::digest::Sha256;
use serde_json::Value;

use crate::support::endpoint::Endpoint;
use crate::support::haiku::{HaikuRepository, Pkgman, PkgmanError, file_of, hpkg};
use crate::support::hpkr::{HpkrPackage, HpkrWriter};
use crate::support::publisher::files_below;
use crate::support::*;

/// The repository below the directory of the publisher, at its servers and in the index.
const PATH: &str = "haikuports/master/x86_64/current";

/// A time at which lists are signed.
const SIGNED: u64 = 1_790_000_000;

type Listed = Vec<(HpkrPackage, Vec<u8>)>;

fn listed() -> Listed {
    vec![hpkg("Haze++", 3000), hpkg("vision", 3_300_000)]
}

/// A publisher's machine: a directory of repositories, and the keys.
struct HaikuPublisher {
    world: World,
    repository: HaikuRepository,
    /// The minisign key of its index, as `index add` takes it.
    key: String,
}

impl HaikuPublisher {
    /// Puts these packages into its repository.
    fn of(listed: &Listed) -> Self {
        let (world, repository) = (World::new(), HaikuRepository::new());
        let pair = minisign::KeyPair::generate_unencrypted_keypair().expect("a key pair");
        fs::write(world.path("secret.key"), pair.sk.to_box(None).expect("a key file").to_string()).expect("a key file");
        let made = Self { world, repository, key: pair.pk.to_base64() };
        made.put(PATH, listed);
        made
    }

    fn dir(&self) -> PathBuf {
        self.world.path("tree").join(PATH)
    }

    /// Writes a repository to this path below the tree.
    fn put(&self, path: &str, listed: &Listed) {
        self.repository.write_to(&self.world.path("tree").join(path), listed, SIGNED);
    }

    /// Publishes its tree into a plain copy, with the key of its repository unless these words say otherwise.
    fn publish(&self, words: &[&str]) -> run::Run {
        let key = self.repository.key();
        let paths = ["secret.key", "copy", "tree"].map(|path| self.world.path(path).to_str().unwrap().to_owned());
        let [secret, copy, tree] = &paths;
        let mut all = vec!["publish", "--offline", "--minisign-key", secret, "--out", copy, tree];
        if !words.contains(&"--haiku-key") {
            all.extend(["--haiku-key", &key]);
        }
        all.extend(words);
        self.world.run(&all)
    }

    /// Publishes, as above.
    fn published(&self, words: &[&str]) {
        let run = self.publish(words);
        assert_eq!(run.code(), 0, "{}", run.stderr);
    }

    /// Expects that nothing is published, and returns what is said.
    fn refused(&self) -> String {
        let run = self.publish(&[]);
        assert_eq!(run.code(), 3, "{}", run.stderr);
        assert!(run.stderr.contains("nothing was published"), "{}", run.stderr);
        assert!(!self.world.path("copy/pkgswarm.json").exists());
        run.stderr
    }

    /// Returns the table of its index with this path.
    fn table(&self, path: &str) -> Value {
        let manifest: Value =
            serde_json::from_slice(&fs::read(self.world.path("copy/pkgswarm.json")).unwrap()).unwrap();
        let tables = manifest["tables"].as_array().unwrap();
        tables.iter().find(|table| table["path"] == *path).unwrap_or_else(|| panic!("{manifest}")).clone()
    }

    /// Returns the entries of a table.
    fn entries(&self, table: &Value) -> Vec<Value> {
        let name =
            format!("copy/tables/{}-{}.ndjson.zst", table["repo"].as_str().unwrap(), table["arch"].as_str().unwrap());
        let plain = zstd::decode_all(&fs::read(self.world.path(&name)).unwrap()[..]).unwrap();
        String::from_utf8(plain).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Writes an image with its checksum and a signature by the key of `repository`.
fn image(dir: &Path, repository: &HaikuRepository, name: &str, bytes: &[u8]) {
    fs::create_dir_all(dir).expect("a directory of ours");
    fs::write(dir.join(name), bytes).expect("an image");
    fs::write(dir.join(format!("{name}.sha256")), format!("SHA256 ({name}) = {}\n", Sha256::of(bytes))).expect("a sum");
    fs::write(dir.join(format!("{name}.minisig")), repository.signature(bytes, name)).expect("a signature");
}

#[test]
fn a_haiku_repository_is_published_where_its_servers_have_it_beside_one_of_pacmans() {
    let listed = listed();
    let publisher = HaikuPublisher::of(&listed);
    let package = Package::new("a", 100);
    let core = publisher.world.path("tree/core/os/x86_64");
    fs::create_dir_all(&core).unwrap();
    fs::write(core.join("core.db"), database(&[&package], Compression::Gzip)).unwrap();
    fs::write(core.join(package.file_name()), &package.bytes).unwrap();
    fs::write(publisher.dir().join("packages/former-1-1-any.hpkg"), "of a former list").unwrap();
    publisher.published(&[]);
    let table = publisher.table(PATH);
    assert_eq!(
        (&table["repo"], &table["arch"], &table["system"]),
        (&"haikuports-master".into(), &"x86_64".into(), &"haiku".into())
    );
    let entries = publisher.entries(&table);
    let names: Vec<&str> = entries.iter().map(|entry| entry["name"].as_str().unwrap()).collect();
    let (haze, vision) = (file_of(&listed[0].0), file_of(&listed[1].0));
    assert_eq!(names, [haze.as_str(), "repo", "repo.info", "repo.minisig", "repo.sha256", vision.as_str()]);
    let large = &entries[5];
    assert_eq!(large["size"].as_u64(), Some(listed[1].1.len() as u64));
    assert_eq!(large["sha256"].as_str().unwrap(), Sha256::of(&listed[1].1).to_string());
    let root = publisher.world.path("copy/ipfs").join(large["cid"].as_str().unwrap());
    assert!(root.exists(), "each MiB of it can be proven");
    let page = fs::read_to_string(publisher.world.path("copy/index.html")).unwrap();
    assert!(page.contains("haikuports-master") && page.contains("core"), "{page}");
    assert!(publisher.publish(&[]).stderr.contains("unchanged"));
}

#[test]
fn without_content_a_haiku_package_has_its_entry_and_its_root_block() {
    let publisher = HaikuPublisher::of(&listed());
    let run = publisher.publish(&["--content", "none"]);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    assert!(run.stderr.contains("2 packages without their bytes"), "{}", run.stderr);
    let entries = publisher.entries(&publisher.table(PATH));
    assert_eq!(entries.len(), 6);
    assert!(publisher.world.path("copy/ipfs").join(entries[5]["cid"].as_str().unwrap()).exists());
}

#[test]
fn an_independent_reader_reads_an_index_with_tables_of_other_systems() {
    let publisher = HaikuPublisher::of(&listed());
    image(&publisher.world.path("tree/haiku/nightly/x86_64/images"), &publisher.repository, "haiku.iso", b"an image");
    publisher.published(&[]);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/verify_index.py");
    let now = keys::now().to_string();
    let copy = publisher.world.path("copy");
    let mut command = std::process::Command::new("python3");
    command.arg(script).args(["-", &publisher.key, &now]).arg(copy).args(["haikuports-master", "haiku-nightly-images"]);
    let Ok(done) = command.output() else { return };
    let (out, why) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    let lines: Vec<&str> = out.lines().skip(1).collect();
    assert_eq!(lines, ["haiku-nightly-images-x86_64 3", "haikuports-master-x86_64 6"], "{why}");
}

#[test]
fn a_package_that_is_not_what_the_list_says_stops_the_publication() {
    let listed = listed();
    let publisher = HaikuPublisher::of(&listed);
    let package = publisher.dir().join("packages").join(file_of(&listed[1].0));
    fs::write(&package, [&listed[1].1[..2_000_000], b"x"].concat()).unwrap();
    let said = publisher.refused();
    let sum = Sha256::of(&listed[1].1);
    assert!(said.contains(&package.display().to_string()) && said.contains(&format!("repo says {sum}")), "{said}");
    fs::remove_file(&package).unwrap();
    let said = publisher.refused();
    assert!(said.contains(&format!("{}: repo lists it and it is missing", package.display())), "{said}");
    fs::write(&package, &listed[1].1).unwrap();
    publisher.published(&[]);
}

#[test]
fn a_list_that_its_key_has_not_signed_stops_the_publication() {
    let publisher = HaikuPublisher::of(&listed());
    let dir = publisher.dir();
    let read = |name: &str| fs::read(dir.join(name)).unwrap();
    let (signature, list, sum) = (read("repo.minisig"), read("repo"), read("repo.sha256"));

    let other = HaikuRepository::new();
    fs::write(dir.join("repo.minisig"), other.signature(&list, "repo")).unwrap();
    assert!(publisher.refused().contains("repo is signed by another key than"));

    let evil = HpkrWriter::of(&[HpkrPackage::of("evil", b"evil")]).file();
    fs::write(dir.join("repo.minisig"), &signature).unwrap();
    fs::write(dir.join("repo"), &evil).unwrap();
    assert!(publisher.refused().contains("repo and repo.sha256 do not belong together"));
    fs::write(dir.join("repo.sha256"), Sha256::of(&evil).to_string()).unwrap();
    let said = publisher.refused();
    assert!(said.contains("repo is not what its key has signed") && said.contains("--haiku-key"), "{said}");

    fs::write(dir.join("repo"), &list).unwrap();
    fs::write(dir.join("repo.sha256"), &sum).unwrap();
    for name in ["repo.minisig", "repo.info", "repo.sha256"] {
        let bytes = read(name);
        fs::remove_file(dir.join(name)).unwrap();
        let said = publisher.refused();
        assert!(said.contains(&format!("{name}: it is missing")), "{said}");
        fs::write(dir.join(name), bytes).unwrap();
    }
    let run = publisher.publish(&["--haiku-key", "nonsense"]);
    assert!(run.code() == 2 && run.stderr.contains("expected a minisign public key or \"none\""), "{}", run.stderr);
    fs::remove_file(dir.join("repo.minisig")).unwrap();
    publisher.published(&["--haiku-key", "none"]);
    assert_eq!(publisher.entries(&publisher.table(PATH)).len(), 5);
}

#[test]
fn of_several_states_of_a_repository_the_one_that_is_served_is_published() {
    let publisher = HaikuPublisher::of(&listed());
    fs::rename(publisher.dir(), publisher.world.path("tree/haikuports/master/x86_64/r2")).unwrap();
    publisher.put("haikuports/master/x86_64/r1", &listed()[..1].to_vec());
    std::os::unix::fs::symlink("r2", publisher.dir()).unwrap();
    publisher.published(&[]);
    assert_eq!(publisher.entries(&publisher.table(PATH)).len(), 6);
    fs::remove_file(publisher.dir()).unwrap();
    let run = publisher.publish(&[]);
    assert!(run.code() == 2 && run.stderr.contains(&format!("{PATH} is there twice")), "{}", run.stderr);
}

#[test]
fn images_are_published_with_their_checksums_and_signatures_or_not_at_all() {
    let publisher = HaikuPublisher::of(&listed());
    let dir = publisher.world.path("tree/haiku/r1beta5/x86_64/images");
    let bytes = repo::noise("image", 1_200_000);
    image(&dir, &publisher.repository, "haiku.iso", &bytes);
    publisher.published(&[]);
    let path = "haiku/r1beta5/x86_64/images";
    let table = publisher.table(path);
    assert_eq!((&table["repo"], &table["system"]), (&"haiku-r1beta5-images".into(), &"files".into()));
    let names: Vec<String> =
        publisher.entries(&table).iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names, ["haiku.iso", "haiku.iso.minisig", "haiku.iso.sha256"]);
    fs::remove_file(publisher.world.path("copy/pkgswarm.json")).unwrap();

    let mut other = bytes.clone();
    other[7] ^= 1;
    image(&dir, &HaikuRepository::new(), "haiku.iso", &bytes);
    assert!(publisher.refused().contains("haiku.iso: it is signed by another key than"));
    image(&dir, &publisher.repository, "haiku.iso", &bytes);
    fs::write(dir.join("haiku.iso"), &other).unwrap();
    assert!(publisher.refused().contains("its .sha256 says"));
    fs::write(dir.join("haiku.iso.sha256"), Sha256::of(&other).to_string()).unwrap();
    assert!(publisher.refused().contains("haiku.iso: it is not what its key has signed"));
    fs::remove_file(dir.join("haiku.iso.minisig")).unwrap();
    assert!(publisher.refused().contains("haiku.iso: it has no signature beside it (.minisig)"));
    fs::remove_file(dir.join("haiku.iso.sha256")).unwrap();
    fs::write(dir.join("other.iso.sha256"), "").unwrap();
    assert!(publisher.refused().contains("haiku.iso"));
}

/// What the index of a publisher gives a client: the plain copy, which is served while this lives.
impl HaikuPublisher {
    /// Makes a machine that serves the repository of `server`, with the index of this publisher in use.
    fn client(&self, server: &str, key: &str) -> (World, FakeMirror) {
        let copy = FakeMirror::serving(&files_below(&self.world.path("copy")));
        let config = format!("[haiku.Ports]\nurls = [\"http://{server}/{PATH}\"]\nminisign = \"{key}\"\n");
        let world = World::new().config(&config);
        let url = format!("http://{}/index", copy.address());
        let add =
            world.run(&["index", "add", "test", &self.key, "--url", &url, "--repo", "haikuports-master", "--yes"]);
        assert_eq!(add.code(), 0, "{}", add.stderr);
        (world.run_by_user(), copy)
    }

    /// Makes a Kubo with all files of the repository.
    fn kubo(&self) -> FakeKubo {
        let below = files_below(&self.dir());
        below.iter().fold(FakeKubo::empty(), |kubo, (_, bytes)| kubo.holding(bytes))
    }

    /// Makes a server of the repository.
    fn server(&self, listed: &Listed, signed: u64) -> FakeMirror {
        let mirror = FakeMirror::serving::<&str, &[u8]>(&[]);
        self.repository.publish_on(&mirror, listed, signed);
        mirror
    }
}

#[test]
fn pkgman_gets_list_and_packages_by_an_index_when_no_server_is_left() {
    let listed = listed();
    let publisher = HaikuPublisher::of(&listed);
    publisher.published(&[]);
    let (world, _copy) = publisher.client(&dead_address().to_string(), &publisher.repository.key());
    let shown = world.run(&["index", "show", "test"]).stdout;
    assert!(shown.contains(&format!("haikuports-master x86_64: 6 entries, haiku at {PATH}")), "{shown}");
    let kubo = publisher.kubo();
    let (_world, endpoint) = Endpoint::of(world.kubo(&kubo));
    let mut pkgman = Pkgman::at(endpoint.address(), PATH);
    pkgman.add_repo().unwrap();
    for (package, bytes) in &listed {
        assert_eq!(&pkgman.install(&file_of(package)).unwrap(), bytes);
    }
    assert!(endpoint.log().contains("haiku Ports: the list is that of the index test"), "{}", endpoint.log());
}

#[test]
fn a_package_of_an_index_needs_no_server_even_to_tell_its_size() {
    let listed = listed();
    let publisher = HaikuPublisher::of(&listed);
    publisher.published(&[]);
    let server = publisher.server(&listed, SIGNED);
    let (world, _copy) = publisher.client(&server.address().to_string(), &publisher.repository.key());
    let kubo = publisher.kubo();
    let (_world, endpoint) = Endpoint::of(world.kubo(&kubo).set("PKGSWARM_ENDPOINT_MIRRORS", "false"));
    let mut pkgman = Pkgman::at(endpoint.address(), PATH);
    pkgman.add_repo().unwrap();
    for (package, bytes) in &listed {
        let file = file_of(package);
        assert_eq!(&pkgman.install(&file).unwrap(), bytes);
        assert_eq!(server.hits(&file), 0);
    }
}

#[test]
fn a_server_that_lies_about_a_package_of_an_index_costs_one_leaf() {
    const MIB: usize = 1 << 20;
    let listed = vec![hpkg("vision", 6 * MIB + 11)];
    let publisher = HaikuPublisher::of(&listed);
    publisher.published(&[]);
    let file = file_of(&listed[0].0);
    let (liar, honest) = (publisher.server(&listed, SIGNED).on(&file).lying(), publisher.server(&listed, SIGNED));
    let servers = format!("{}/{PATH}\", \"http://{}", liar.address(), honest.address());
    let (world, copy) = publisher.client(&servers, &publisher.repository.key());
    let (_world, endpoint) = Endpoint::of(world);
    let mut pkgman = Pkgman::at(endpoint.address(), PATH);
    pkgman.add_repo().unwrap();
    assert_eq!(pkgman.install(&file).unwrap(), listed[0].1);
    let of_honest = honest.bytes();
    assert!(of_honest <= MIB as u64 + 4096, "{of_honest} bytes for one leaf");
    let is_head = |mirror: &FakeMirror| {
        mirror.requests_of(&format!("{PATH}/packages/{file}")).iter().any(|asked| asked.method == "HEAD")
    };
    assert!(!is_head(&liar) && !is_head(&honest), "the index tells the size");
    assert!(copy.requests().iter().any(|asked| asked.path().starts_with("index/ipfs/")), "the root block");
}

#[test]
fn a_list_of_an_index_counts_by_the_key_of_the_repository_alone() {
    let (listed, honest) = (listed(), HaikuRepository::new());
    let publisher = HaikuPublisher::of(&listed);
    publisher.published(&[]);
    let kubo = publisher.kubo();
    let (world, _copy) = publisher.client(&dead_address().to_string(), &honest.key());
    let (_world, endpoint) = Endpoint::of(world.kubo(&kubo));
    assert_eq!(Pkgman::at(endpoint.address(), PATH).add_repo(), Err(PkgmanError::Status(403)));
    let said = "haiku Ports: index test: repo is signed by another key than";
    eventually(said, || endpoint.log().contains(said));
}

#[test]
fn a_list_of_an_index_that_was_signed_earlier_is_not_gone_back_to() {
    let listed = listed();
    let publisher = HaikuPublisher::of(&listed[..1].to_vec());
    publisher.published(&[]);
    let (kubo, server) = (publisher.kubo(), publisher.server(&listed, SIGNED + 100));
    let (world, _copy) = publisher.client(&server.address().to_string(), &publisher.repository.key());
    let (world, endpoint) = Endpoint::of(world.kubo(&kubo));
    Pkgman::at(endpoint.address(), PATH).add_repo().unwrap();
    let facts = world.path("state/haiku/Ports/snapshot.json");
    eventually("the snapshot is kept", || facts.exists());
    drop(endpoint);
    ["repo", "repo.sha256", "repo.info", "repo.minisig"].iter().for_each(|name| server.publish(name, b""));
    let mut aged: Value = serde_json::from_slice(&fs::read(&facts).unwrap()).unwrap();
    aged["checked"] = (keys::now() - 7200).into();
    fs::write(&facts, aged.to_string()).unwrap();
    let (_world, endpoint) = Endpoint::of(world);
    let mut pkgman = Pkgman::at(endpoint.address(), PATH);
    pkgman.add_repo().unwrap();
    assert_eq!(pkgman.install(&file_of(&listed[1].0)).unwrap(), listed[1].1, "of the newer list");
    let said = "haiku Ports: index test: repo was signed at";
    eventually(said, || endpoint.log().contains(said));
}

#[test]
fn an_index_that_goes_on_listing_an_old_list_does_not_keep_it_in_use() {
    let listed = listed();
    let publisher = HaikuPublisher::of(&listed);
    publisher.published(&[]);
    let (kubo, server) = (publisher.kubo(), publisher.server(&listed, SIGNED));
    let (world, _copy) = publisher.client(&server.address().to_string(), &publisher.repository.key());
    let (world, endpoint) = Endpoint::of(world.kubo(&kubo));
    Pkgman::at(endpoint.address(), PATH).add_repo().unwrap();
    let facts = world.path("state/haiku/Ports/snapshot.json");
    eventually("the snapshot is kept", || facts.exists());
    drop(endpoint);
    server.clear();
    let mut aged: Value = serde_json::from_slice(&fs::read(&facts).unwrap()).unwrap();
    aged["checked"] = (keys::now() - 15 * 24 * 3600).into();
    fs::write(&facts, aged.to_string()).unwrap();
    let (_world, endpoint) = Endpoint::of(world);
    assert_eq!(Pkgman::at(endpoint.address(), PATH).add_repo(), Err(PkgmanError::Status(403)));
    let said = "the last one that a server had is 15 d old";
    eventually(said, || endpoint.log().contains(said));
}
