//! A publisher that follows mirrors of the size of a distribution, while they lag and lie and it is killed.
//!
//! Long: `tests/run nightly`. `PKGSWARM_FOLLOW_SEED` repeats a run; its seed is printed.

#[path = "real_follow/named.rs"]
mod named;
#[path = "support/real/mod.rs"]
mod real;
#[path = "real_follow/room.rs"]
mod room;
#[path = "real_follow/small.rs"]
mod small;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use named::NamedReader;
use pkgswarm::base::digest::Sha256;
use real::memory_repo::noise;
use real::{Archive, Kubo, Mirror, Parts, Process, Replica, Whole, command, digest_of_lines, run, scratch};
use serde_json::Value;
use tempfile::TempDir;

/// Chances that a seed decides.
struct Chances(Box<dyn Iterator<Item = u64>>);

impl Chances {
    fn of(seed: u64) -> Self {
        let bytes = noise(&format!("seed {seed}"), 1 << 20);
        let numbers: Vec<u64> =
            bytes.chunks_exact(8).map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap())).collect();
        Self(Box::new(numbers.into_iter()))
    }

    fn below(&mut self, most: u64) -> u64 {
        self.0.next().expect("enough of them") % most
    }
}

/// Returns the seed that the environment names, or this one.
fn seed(usual: u64) -> u64 {
    let given = std::env::var("PKGSWARM_FOLLOW_SEED").ok().map(|text| text.parse().expect("a number"));
    let seed = given.unwrap_or(usual);
    println!("PKGSWARM_FOLLOW_SEED={seed}");
    seed
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// A publication with a plain copy, and under a name where it has a node.
struct Follower {
    own: TempDir,
    key: minisign::PublicKey,
    kubo: Option<Kubo>,
}

impl Follower {
    fn of(urls: &[String], repos: &str, archs: &str, kubo: Option<Kubo>) -> Self {
        let own = scratch("follower");
        let pair = minisign::KeyPair::generate_unencrypted_keypair().expect("a key pair");
        let secret = own.path().join("secret");
        fs::write(&secret, pair.sk.to_box(None).unwrap().to_string()).expect("a file of ours");
        fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("a file of ours");
        fs::create_dir(own.path().join("publish.d")).expect("a directory of ours");
        let urls: Vec<String> = urls.iter().map(|url| format!("\"{url}/$repo/os/$arch\"")).collect();
        let text = format!(
            "[keys]\nminisign = \"{}\"\n[sources]\nmirrors = [{}]\nrepos = [{repos}]\narchitectures = [{archs}]\n\
             [targets]\nkubo = {}\nout = \"{}\"\n",
            secret.display(),
            urls.join(", "),
            kubo.is_some(),
            own.path().join("plain").display(),
        );
        fs::write(own.path().join("publish.d/arch.toml"), text).expect("a file of ours");
        Self { own, key: pair.pk, kubo }
    }

    fn command(&self) -> Command {
        let mut program = command(env!("CARGO_BIN_EXE_pkgswarm"));
        program.env("PKGSWARM_CONFIG_DIR", self.own.path()).env("PKGSWARM_STATE_DIR", self.own.path().join("state"));
        if let Some(kubo) = &self.kubo {
            program.env("PKGSWARM_KUBO_API", kubo.api()).env("PKGSWARM_KUBO_GATEWAY", kubo.gateway());
        }
        program.args(["publish", "arch", "--json"]);
        program
    }

    fn plain(&self) -> PathBuf {
        self.own.path().join("plain")
    }

    /// Has a client on another node follow the name.
    fn reader(&self) -> NamedReader {
        let status = fs::read(self.plain().join("status.json")).expect("a publication");
        let status: Value = serde_json::from_slice(&status).expect("a status");
        NamedReader::of(&Parts::demand(), self.kubo.as_ref().expect("a node"), status["name"].as_str().expect("a name"))
    }
}

/// Reads the plain copy as a client does, and compares it with what was whole upstream. `None` for a copy that a client
/// refuses, which is one in the middle of its renames; else the place of its state among those of upstream.
fn resolved(plain: &Path, key: &minisign::PublicKey, whole: &Whole) -> Option<usize> {
    let manifest = fs::read(plain.join("pkgswarm.json")).ok()?;
    let signature = fs::read_to_string(plain.join("pkgswarm.json.minisig")).ok()?;
    let signature = minisign::SignatureBox::from_string(&signature).ok()?;
    minisign::verify(key, &signature, std::io::Cursor::new(&manifest), true, false, false).ok()?;
    let manifest: Value = serde_json::from_slice(&manifest).expect("a manifest");
    let (mut databases, mut contents) = (BTreeMap::new(), Vec::new());
    for table in manifest["tables"].as_array().expect("tables") {
        let text = |key: &str| table[key].as_str().expect("a text");
        let name = format!("{}-{}", text("repo"), text("arch"));
        let packed = fs::read(plain.join(format!("tables/{name}.ndjson.zst"))).ok()?;
        let lines = zstd::decode_all(&packed[..]).ok()?;
        if Sha256::of(&lines).to_string() != text("sha256") {
            return None;
        }
        let database = table["databases"][0]["sha256"].as_str().expect("a database").to_owned();
        contents.push((database.clone(), lines));
        databases.insert(name, database);
    }
    // From here on a client takes it.
    let state = whole.states.iter().position(|state| *state == databases);
    let state = state.unwrap_or_else(|| panic!("a mixture of databases: {databases:?}"));
    for (database, lines) in contents {
        let entries: Vec<Value> = lines
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).expect("an entry"))
            .collect();
        let listed = entries.iter().map(|entry| {
            assert!(entry["sig_sha256"].is_string(), "without its signature: {entry}");
            (entry["name"].as_str().expect("a name"), entry["sha256"].as_str().expect("a digest"))
        });
        assert_eq!(digest_of_lines(listed), whole.contents[&database], "not what its database names");
    }
    Some(state)
}

const REPOS: [(&str, &str); 4] = [("core", "x86_64"), ("core", "aarch64"), ("extra", "x86_64"), ("extra", "aarch64")];

/// Has a publisher follow two mirrors, one of which lags and one of which lies, and a client look all the time.
fn follow(seed: u64, packages: usize, changes: usize, kills: usize) {
    Parts::demand();
    let mut chances = Chances::of(seed);
    let repos = REPOS.map(|(repo, arch)| (repo, arch, if repo == "core" { packages / 10 } else { packages * 4 / 10 }));
    let begun = Instant::now();
    // One change each 7 seconds, all in the past.
    let mut archive = Archive::of(&repos, now() - 100_000);
    println!("{packages} packages made in {:?}", begun.elapsed());
    let (mut lagging, mut lying) = (archive.replica(), archive.replica());
    for replica in [&mut lagging, &mut lying] {
        archive.bring(replica, archive.steps());
    }
    let mirrors = [Mirror::serve(lagging.dir.path()), Mirror::serve_at("127.0.0.2", lying.dir.path())];
    let served = |of: &dyn Fn(&str) -> bool| -> u64 {
        let requests = mirrors.iter().flat_map(Mirror::requests);
        requests.filter(|request| request.status < 300 && of(&request.path)).map(|request| request.body).sum()
    };
    // The liar is asked first.
    let [lagging_url, lying_url] = mirrors.each_ref().map(Mirror::url);
    let node = Kubo::naming(&Parts::demand(), |_| {});
    let urls = [lying_url, lagging_url];
    let follower = Follower::of(&urls, "\"core\", \"extra\"", "\"x86_64\", \"aarch64\"", Some(node));
    let begun = Instant::now();
    run(&mut follower.command()).ok();
    println!("published for the first time in {:?}, {} kB of HTTP", begun.elapsed(), served(&|_| true) / 1000);
    let begun = Instant::now();
    run(&mut follower.command()).ok();
    let idle = begun.elapsed();
    println!("nothing new: {idle:?}");

    let (whole, plain, key) = (Arc::clone(&archive.whole), follower.plain(), follower.key.clone());
    let stop = Arc::new(AtomicBool::new(false));
    let looking = looks(&stop, move || resolved(&plain, &key, &whole.lock().unwrap()));
    let (whole, mut reader) = (Arc::clone(&archive.whole), follower.reader());
    assert!(reader.resolved(&whole).is_some(), "the name that was published");
    let naming = looks(&stop, move || reader.resolved(&whole));

    let before = served(&|_| true);
    let (mut fresh, mut killed, mut lies, mut alarms) = (0, 0, Vec::new(), 0);
    let mut running = idle * 3 / 2;
    for change in 0..changes {
        assert!(!looking.is_finished() && !naming.is_finished(), "a client has found something wrong");
        let (repo, arch) = REPOS[chances.below(4) as usize];
        let most = if repo == "core" { packages / 10 } else { packages * 4 / 10 } as u64;
        let news: BTreeMap<String, (String, String, usize)> = (0..=chances.below(5))
            .map(|_| {
                let name = format!("{repo}-package{}", chances.below(most));
                let size = if chances.below(5) == 0 {
                    (1 << 20) + chances.below(2 << 20)
                } else {
                    500 + chances.below(300_000)
                };
                (name.clone(), (name, format!("{}.0-1", change + 2), size as usize))
            })
            .collect();
        let news: Vec<_> = news.into_values().collect();
        let gone = news.iter().map(|(name, ..)| archive.listed(repo, arch, name).file.clone());
        let gone: Vec<_> = gone.map(|file| (repo.to_owned(), arch.to_owned(), file)).collect();
        let start = archive.steps();
        fresh += archive.change(repo, arch, &news);
        // The mirror that is ahead shows a change by half at times.
        let half = start + chances.below((archive.steps() - start) as u64) as usize;
        archive.bring(&mut lying, half);
        let lie = (chances.below(100) < 30).then(|| archive.listed(repo, arch, &news[0].0).file.clone());
        if chances.below(100) < 40 {
            once(&follower, &mut killed, kills, running, &mut chances, &mut alarms);
        }
        archive.bring(&mut lying, archive.steps());
        if let Some(file) = lie {
            let size = archive.listed(repo, arch, &news[0].0).size as usize;
            lying.falsify(&format!("pool/packages/{file}"), &noise("a lie", size), archive.lastupdate);
            lies.push(file);
        }
        if chances.below(100) < 60 {
            archive.bring(&mut lagging, archive.steps());
        }
        // Once its database lies, at the same lastupdate.
        if change == changes / 2 {
            archive.bring(&mut lagging, archive.steps());
            lying_database(&archive, (repo, arch), &mut lying, &follower, &mut alarms);
        }
        let begun = Instant::now();
        if once(&follower, &mut killed, kills, running, &mut chances, &mut alarms) {
            running = begun.elapsed();
        }
        if chances.below(100) < 50 {
            archive.clean(&gone);
        }
    }
    archive.bring(&mut lagging, archive.steps());
    archive.bring(&mut lying, archive.steps());
    while killed < kills {
        cut_short(&follower, running, &mut chances);
        killed += 1;
    }
    run(&mut follower.command()).ok();
    stop.store(true, Ordering::SeqCst);
    let (looked, refused) = looking.join().expect("a client that saw nothing wrong");
    let (named, silent) = naming.join().expect("a client that saw nothing wrong");
    let newest = Some(archive.whole.lock().unwrap().states.len() - 1);
    let last = resolved(&follower.plain(), &follower.key, &archive.whole.lock().unwrap());
    assert_eq!(last, newest, "the newest state is published");
    assert_eq!(follower.reader().resolved(&archive.whole), newest, "and under its name");
    assert_eq!(alarms, 1, "the database that lied");

    let is_lie = |path: &str| lies.iter().any(|file| path.ends_with(file.as_str()));
    let is_database = |path: &str| path.ends_with(".db");
    let moved = served(&|_| true) - before;
    let lied: u64 =
        mirrors[1].requests().iter().filter(|request| is_lie(&request.path)).map(|request| request.body).sum();
    let read = served(&is_database);
    let each = REPOS.map(|(repo, arch)| archive.database_size(repo, arch)).into_iter().max().unwrap();
    println!(
        "{changes} changes, {killed} kills: {} kB moved for {} kB of new files; {} kB of databases, {} kB of lies; a client \
         looked {looked} times and refused {refused}; one looked the name up {named} times, {silent} in vain",
        moved / 1000,
        fresh / 1000,
        read / 1000,
        lied / 1000,
    );
    // Each of the two mirrors gives its database: one alone proves nothing.
    let most = fresh * 102 / 100 + 2 * (changes + killed) as u64 * each + lied;
    // In a short run on a busy machine, each pause is too many.
    let is_long = changes >= 100;
    assert!(!is_long || moved <= most, "{moved} bytes moved, {most} would be enough");
    assert!(!is_long || refused * 20 <= looked, "a copy that clients refuse is an exception");
    assert!(!is_long || silent * 20 <= named, "and so is a name that does not answer");
    assert_eq!(killed, kills);
}

/// Has a client look all the time, which sees a state of upstream or nothing, and no older one than before; counts how often
/// it looked, and how often it saw nothing.
fn looks(
    stop: &Arc<AtomicBool>,
    mut look: impl FnMut() -> Option<usize> + Send + 'static,
) -> thread::JoinHandle<(u64, u64)> {
    let stop = Arc::clone(stop);
    thread::spawn(move || {
        let (mut looked, mut nothing, mut newest) = (0, 0, 0);
        while !stop.load(Ordering::SeqCst) {
            match look() {
                Some(state) => {
                    assert!(state >= newest, "it went back from {newest} to {state}");
                    newest = state;
                }
                None => nothing += 1,
            }
            looked += 1;
            thread::sleep(Duration::from_millis(20));
        }
        (looked, nothing)
    })
}

/// Runs the publisher, and kills it at a random moment as long as there are kills left; true for a run that ended.
fn once(
    follower: &Follower,
    killed: &mut usize,
    kills: usize,
    usual: Duration,
    chances: &mut Chances,
    alarms: &mut usize,
) -> bool {
    if *killed < kills && chances.below(100) < 40 {
        cut_short(follower, usual, chances);
        *killed += 1;
        return false;
    }
    let ran = run(&mut follower.command());
    let is_alarm = ran.stderr.contains("differ at the same lastupdate");
    *alarms += usize::from(is_alarm);
    // A mirror that is ahead alone is waited for, and so is one that shows the database of a change and not its time.
    let is_waiting = ran.stderr.contains("in the middle of its synchronisation");
    assert!(ran.status.code() == Some(0) || is_alarm || is_waiting, "{ran}");
    true
}

/// Kills a run at a random moment of the time that one usually takes.
fn cut_short(follower: &Follower, usual: Duration, chances: &mut Chances) {
    let mut process = Process::start(&mut follower.command());
    let moment = Duration::from_micros(chances.below(usual.as_micros() as u64 + 1));
    let begun = Instant::now();
    while process.runs() && begun.elapsed() < moment {
        thread::sleep(Duration::from_millis(1));
    }
}

/// Has the liar give out another one of the database that has changed, at the same `lastupdate`: an alarm, and nothing is
/// published. Of one that has not changed, no bytes are asked for, by its date.
fn lying_database(
    archive: &Archive,
    (repo, arch): (&str, &str),
    lying: &mut Replica,
    follower: &Follower,
    alarms: &mut usize,
) {
    let path = &format!("{repo}/os/{arch}/{repo}.db.tar.gz");
    let honest = fs::read(lying.dir.path().join(path)).expect("a database");
    let text = zstd::encode_all(&gunzipped(&honest)[..], 1).expect("memory takes it all");
    // Dated as the honest one: a later date would be that of a mirror amid its synchronisation.
    let date = fs::metadata(lying.dir.path().join(path)).and_then(|found| found.modified()).expect("a date");
    lying.falsify(path, &text, date.duration_since(UNIX_EPOCH).unwrap().as_secs());
    let published = fs::read(follower.plain().join("pkgswarm.json")).expect("a manifest");
    let ran = run(&mut follower.command());
    assert!(ran.stderr.contains("differ at the same lastupdate"), "{ran}");
    *alarms += 1;
    assert_eq!(fs::read(follower.plain().join("pkgswarm.json")).expect("a manifest"), published);
    lying.falsify(path, &honest, archive.lastupdate);
}

fn gunzipped(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(bytes), &mut plain).expect("a database");
    plain
}

#[test]
#[ignore = "it takes minutes: `tests/run nightly` runs it"]
fn clients_see_whole_snapshots_of_3000_packages_while_mirrors_lag_and_lie_and_the_publisher_is_killed() {
    follow(seed(now()), 3000, 200, 50);
}

#[test]
fn clients_see_whole_snapshots_of_100_packages_while_mirrors_lag_and_lie_and_the_publisher_is_killed() {
    follow(seed(17), 100, 8, 3);
}
