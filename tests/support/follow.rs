//! A publication that follows mirrors, and what can be seen of it.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::World;
use super::mirror::FakeMirror;
use super::repo::Package;
use super::run::Run;
use super::tier1::Upstream;

/// Larger than one leaf, so that it has a root block of its own.
pub const BIG: usize = (2 << 20) + 77;

/// Two repositories with five packages, two of them larger than one leaf.
pub fn upstream() -> Upstream {
    let core = [Package::new("glibc", BIG), Package::new("bash", 20_000), Package::new("zlib", 5_000)];
    let extra = [Package::new("git", 60_000), Package::new("vim", BIG)];
    Upstream::of(&[("core", &core), ("extra", &extra)])
}

/// A world with a publication `arch` that follows these mirrors, without Kubo.
pub fn following(mirrors: &[&FakeMirror], more: &str) -> World {
    let urls = mirrors.iter().map(|mirror| format!("http://{}/$repo/os/$arch", mirror.address()));
    following_at(&urls.collect::<Vec<_>>(), more)
}

/// The same for mirrors at these URLs, with `$repo` and `$arch`.
pub fn following_at(urls: &[String], more: &str) -> World {
    let world = World::new();
    let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    fs::write(world.path("secret"), pair.sk.to_box(None).unwrap().to_string()).unwrap();
    fs::set_permissions(world.path("secret"), Permissions::from_mode(0o600)).unwrap();
    fs::create_dir_all(world.path("config/publish.d")).unwrap();
    let urls: Vec<String> = urls.iter().map(|url| format!("\"{url}\"")).collect();
    let text = format!(
        "[keys]\nminisign = \"{at}/secret\"\n[targets]\nkubo = false\nout = \"{at}/plain\"\n[sources]\nmirrors = [{urls}]\n\
         repos = [\"core\", \"extra\"]\narchitectures = \"x86_64\"\n{more}",
        at = world.base(),
        urls = urls.join(", "),
    );
    fs::write(world.path("config/publish.d/arch.toml"), text.replace("$WORLD", world.base())).unwrap();
    fs::write(world.path("keyring"), "keys").unwrap();
    world
}

/// Adds a line to the sources of the publication; `$WORLD` is the directory of the world, whose `keyring` is a file.
pub fn add_line(world: &World, line: &str) {
    let file = world.path("config/publish.d/arch.toml");
    let text = fs::read_to_string(&file).unwrap() + &line.replace("$WORLD", world.base());
    fs::write(file, text).unwrap();
}

/// Runs the publication `arch`.
pub fn publish(world: &World) -> Run {
    world.run(&["publish", "arch", "--json"])
}

/// Runs it, and returns its line.
///
/// # Panics
/// When it fails.
#[track_caller]
pub fn published(world: &World) -> serde_json::Value {
    let run = publish(world);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    serde_json::from_str(&run.stdout).unwrap()
}

/// Lists what the plain copy in `out` names: file name and sha256, each table proven by the manifest.
#[track_caller]
pub fn listed(out: &Path) -> BTreeMap<String, String> {
    seen(out).expect("tables that are those of the manifest")
}

/// Works as [`listed`]; `None` where a table is another one than the manifest names.
pub fn seen(out: &Path) -> Option<BTreeMap<String, String>> {
    let read = |path: &str| fs::read(out.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    let manifest: serde_json::Value = serde_json::from_slice(&read("pkgswarm.json")).unwrap();
    let mut listed = BTreeMap::new();
    for table in manifest["tables"].as_array().unwrap() {
        let text = |key: &str| table[key].as_str().unwrap();
        let packed = read(&format!("tables/{}-{}.ndjson.zst", text("repo"), text("arch")));
        let plain = zstd::decode_all(&packed[..]).unwrap();
        if pkgswarm::base::digest::Sha256::of(&plain).to_string() != text("sha256") {
            return None;
        }
        for line in plain.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let entry: serde_json::Value = serde_json::from_slice(line).unwrap();
            listed.insert(entry["name"].as_str().unwrap().to_owned(), entry["sha256"].as_str().unwrap().to_owned());
        }
    }
    Some(listed)
}

/// Lists what upstream's databases name: file name and sha256.
pub fn wanted(upstream: &Upstream) -> BTreeMap<String, String> {
    upstream.packages().map(|package| (package.file_name(), package.sha256().to_string())).collect()
}

/// Counts the requests whose path ends like this.
pub fn requests(mirrors: &[&FakeMirror], what: &str) -> usize {
    let paths = mirrors.iter().flat_map(|mirror| mirror.requests()).map(|request| request.path());
    paths.filter(|path| path.ends_with(what)).count()
}

/// Changes what the publication remembers of its mirrors.
pub fn remembering(world: &World, change: impl FnOnce(&mut serde_json::Value)) {
    let memory = world.path("state-publish/arch/follow/followed.json");
    let mut kept: serde_json::Value = serde_json::from_slice(&fs::read(&memory).unwrap()).unwrap();
    change(&mut kept);
    fs::write(&memory, kept.to_string()).unwrap();
}

/// Says in the file of the publication what is kept.
pub fn keeping(world: &World, text: &str) {
    let file = world.path("config/publish.d/arch.toml");
    let before = fs::read_to_string(&file).unwrap();
    let before = before.split_once("[keys]").map(|(_, rest)| format!("[keys]{rest}")).unwrap();
    fs::write(file, format!("{text}\n{before}")).unwrap();
}

/// Returns the public key of a publication's plain copy.
pub fn key_of(publisher: &World) -> String {
    let secret = fs::read_to_string(publisher.path("secret")).unwrap();
    let secret = minisign::SecretKeyBox::from_string(&secret).unwrap().into_unencrypted_secret_key().unwrap();
    minisign::PublicKey::from_secret_key(&secret).unwrap().to_base64()
}
