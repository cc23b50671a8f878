//! The contract that the list of every package system keeps, run over pacman's and over that of another system; and the way
//! of a file of each from its URL through a delivery.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use pkgswarm::base::digest::Sha256;
use pkgswarm::base::error::{Error, ErrorKind};
use pkgswarm::base::fsx;
use pkgswarm::base::name::{FileName, RepoName};
use pkgswarm::engine::deliver::{self, Candidate, Delivery, Obtained, Purpose};
use pkgswarm::engine::find::find;
use pkgswarm::engine::want::Want;
use pkgswarm::lists::pacman::pacman_conf::PacmanConf;
use pkgswarm::lists::system::NameKind;
use pkgswarm::machine::Machine;
use pkgswarm::machine::call::Call;
use pkgswarm::machine::lists::{List, ListTable, Lists, NoRepos, PacmanList};
use pkgswarm::trust::look::ShapeError;
use pkgswarm::trust::plan::Expect;
use pkgswarm::trust::verify::Waiver;
use tempfile::TempDir;
use tokio::runtime::Builder;

use super::deliveries::means;
use crate::support::hpkg::{HpkgList, write_list};
use crate::support::repo::{database, noise};
use crate::support::*;

/// Two servers of a repository: the first one sends other bytes of the same length.
struct Servers {
    wrong: FakeMirror,
    right: FakeMirror,
}

/// A system on a machine of its own, with the repositories `main` (a file listed, on two servers), `open` (on a public
/// server, not fetched yet) and `bad` (on a public server; its list is malformed).
struct System {
    word: &'static str,
    dir: TempDir,
    list: Rc<dyn List>,
    servers: Servers,
    /// The name of the package that is listed, its parts, and its bytes.
    package: (&'static str, &'static str, &'static str),
    bytes: Vec<u8>,
    /// A package that no list has.
    unlisted: &'static str,
    /// A repository's own list, and its bytes at the servers.
    database: (&'static str, Vec<u8>),
    signature: &'static str,
    list_path: PathBuf,
}

impl System {
    fn machine(&self) -> Rc<Machine> {
        let (env, settings) = means(self.dir.path());
        Machine::open(&env, &settings, self.dir.path()).unwrap()
    }

    fn lists(&self) -> Lists {
        Lists::over(&self.machine(), Rc::clone(&self.list))
    }

    fn urls(&self, file: &str) -> Vec<String> {
        let (lists, name) = (self.lists(), name(file));
        let main = lists.repo(&repo("main")).unwrap();
        main.urls(&lists.read(&name).path).collect()
    }

    fn table(&self, repo: &str, is_anew: bool) -> Result<ListTable, Error> {
        self.list.table(&self.lists(), &self::repo(repo), is_anew)
    }

    fn deliver(&self, url: &str) -> Delivery<Obtained> {
        let lists = self.lists();
        let want = Want::of(&lists, url).unwrap();
        let mut call = Call::with(lists, self.dir.path());
        let delivering = deliver::fetch(&mut call, want.order(), Purpose::Caller);
        Builder::new_current_thread().enable_all().build().unwrap().block_on(delivering)
    }
}

fn name(text: &str) -> FileName {
    FileName::new(text).unwrap()
}

fn repo(text: &str) -> RepoName {
    RepoName::new(text).unwrap()
}

fn servers(package: &str, bytes: &[u8], database: (&str, &[u8])) -> Servers {
    let page = b"<!DOCTYPE html><html>please log in</html>".to_vec();
    let other: Vec<u8> = bytes.iter().rev().copied().collect();
    Servers {
        wrong: FakeMirror::serving(&[(package, other), (database.0, page)]),
        right: FakeMirror::serving(&[(package, bytes.to_vec()), (database.0, database.1.to_vec())]),
    }
}

fn pacman() -> System {
    let dir = tempfile::tempdir().unwrap();
    let package = Package::new("zlib", 70_000);
    let listed = database(&[&package], Compression::Gzip);
    let servers = servers("zlib-1.0-1-x86_64.pkg.tar.zst", &package.bytes, ("main.db", &listed));
    let sync = dir.path().join("db/sync");
    std::fs::create_dir_all(&sync).unwrap();
    std::fs::write(sync.join("main.db"), &listed).unwrap();
    std::fs::write(sync.join("bad.db"), "no archive").unwrap();
    let dump = format!(
        "[options]\nRootDir = /\nDBPath = {db}\nArchitecture = x86_64\nSigLevel = PackageNever\n\
         [main]\nServer = {}\nServer = {}\n[open]\nServer = https://mirror.example.org/open\n\
         [bad]\nServer = https://mirror.example.org/bad\n",
        servers.wrong.repo("main"),
        servers.right.repo("main"),
        db = dir.path().join("db").display(),
    );
    let conf = PacmanConf::parse(&dump).unwrap();
    let env = means(dir.path()).0;
    System {
        word: "pacman",
        list: Rc::new(PacmanList::known(&env, conf)),
        servers,
        package: ("zlib-1.0-1-x86_64.pkg.tar.zst", "zlib", "1.0-1"),
        bytes: package.bytes,
        unlisted: "other-1.0-1-x86_64.pkg.tar.zst",
        database: ("main.db", listed),
        signature: "main.db.sig",
        list_path: sync.join("main.db"),
        dir,
    }
}

fn hpkg() -> System {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = noise("bonnie", 70_000);
    bytes[..4].copy_from_slice(b"hpkg");
    let listed = [b"hpkr".as_slice(), &noise("repo", 500)].concat();
    let file = "bonnie++-1.03e~beta-2-x86_64.hpkg";
    // At no other path.
    let servers =
        servers("main/os/x86_64/packages/bonnie++-1.03e~beta-2-x86_64.hpkg", &bytes, ("main/os/x86_64/repo", &listed));
    write_list(dir.path(), "main", &[(file, &bytes)]);
    std::fs::write(dir.path().join("bad.list"), "no list").unwrap();
    let at = |name: &str, servers: &[String]| pkgswarm::lists::system::Repository {
        name: repo(name),
        servers: servers.to_vec(),
        cache_servers: Vec::new(),
        signatures_required: false,
    };
    let repos = vec![
        at("main", &[servers.wrong.repo("main"), servers.right.repo("main")]),
        at("open", &["https://mirror.example.org/open".to_owned()]),
        at("bad", &["https://mirror.example.org/bad".to_owned()]),
    ];
    System {
        word: "hpkg",
        list: Rc::new(HpkgList { dir: dir.path().to_owned(), repos: Some(repos) }),
        servers,
        package: (file, "bonnie++", "1.03e~beta-2"),
        bytes,
        unlisted: "other-1.0-1-x86_64.hpkg",
        database: ("repo", listed),
        signature: "repo.minisig",
        list_path: dir.path().join("main.list"),
        dir,
    }
}

/// Runs `check` over the list of every system.
fn for_every_system(check: impl Fn(&System)) {
    for system in [pacman(), hpkg()] {
        println!("{}", system.word);
        check(&system);
    }
}

#[test]
fn a_name_tells_the_kind_the_parts_and_the_path_of_a_file() {
    for_every_system(|system| {
        let (file, package, version) = system.package;
        let of = |text: &str| system.list.read(&name(text)).shape.kind;
        assert_eq!(of(file), NameKind::Package);
        assert_eq!(of(system.database.0), NameKind::Database);
        assert_eq!(of(system.signature), NameKind::DatabaseSignature);
        assert_eq!(of("index.html"), NameKind::Other);
        let name = name(file);
        let reading = system.list.read(&name);
        let parts = reading.package.unwrap();
        assert_eq!((parts.name, parts.version, parts.arch), (package, version, "x86_64"));
        assert_eq!(reading.signed, None);
        let signature = FileName::new(system.signature).unwrap();
        let reading = system.list.read(&signature);
        assert_eq!(reading.signed.unwrap().as_str(), system.database.0);
        for text in [file, system.unlisted, system.database.0, system.signature, "index.html", ".x", "a b"] {
            let path = system.list.read(&self::name(text)).path;
            assert_eq!(path.rsplit('/').next(), Some(text), "the path ends with the name");
        }
    });
}

#[test]
fn no_web_page_and_no_text_passes_for_a_file_of_the_system() {
    for_every_system(|system| {
        let dir = system.dir.path();
        let look = |text: &str, bytes: &[u8]| {
            std::fs::write(dir.join("file"), bytes).unwrap();
            let file = std::fs::File::open(dir.join("file")).unwrap();
            system.list.read(&name(text)).shape.look(&file, bytes.len() as u64)
        };
        for text in [system.package.0, system.database.0, system.signature, "anything"] {
            assert!(matches!(look(text, b"<html>log in</html>"), Err(ShapeError::WebPage)), "{text}");
        }
        for text in [system.package.0, system.database.0, system.signature] {
            assert!(look(text, b"404 not found").is_err() && look(text, b"").is_err(), "{text}");
        }
        look(system.package.0, &system.bytes).unwrap();
        look(system.database.0, &system.database.1).unwrap();
        look("anything", b"404 not found").unwrap();
    });
}

#[test]
fn the_repositories_are_the_same_each_time_and_share_only_what_is_public() {
    for_every_system(|system| {
        let lists = system.lists();
        let names: Vec<&str> = lists.repos().unwrap().iter().map(|repo| repo.name.as_str()).collect();
        assert_eq!(names, ["main", "open", "bad"]);
        assert_eq!(lists.repos(), lists.repos());
        assert_eq!(["main", "open"].map(|name| lists.may_share(&repo(name))), [false, true], "main is on this machine");
    });
}

#[test]
fn a_list_is_compiled_missing_or_refused() {
    for_every_system(|system| {
        for is_anew in [false, true, false] {
            let Ok(ListTable::Compiled(table)) = system.table("main", is_anew) else { panic!("it is there") };
            let entry = table.find(&name(system.package.0)).unwrap().unwrap();
            assert_eq!((entry.size, entry.sha256), (system.bytes.len() as u64, Sha256::of(&system.bytes)));
            assert_eq!(table.find(&name(system.unlisted)).unwrap(), None);
        }
        assert!(matches!(system.table("open", false), Ok(ListTable::Missing)));
        assert!(matches!(system.table("none", false), Ok(ListTable::Missing)));
        assert_eq!(system.table("bad", false).unwrap_err().kind, ErrorKind::Usage);
        assert!(system.lists().take_warnings().is_empty(), "nothing is unreadable");
        // A closed directory would do as well, and is open to root.
        std::fs::remove_file(&system.list_path).unwrap();
        std::fs::create_dir(&system.list_path).unwrap();
        let lists = system.lists();
        let unread = system.list.table(&lists, &repo("main"), true);
        assert!(matches!(unread, Ok(ListTable::Unread(_))), "{unread:?}");
        assert_eq!(lists.take_warnings().len(), 1, "and the user is told");
    });
}

#[test]
fn a_listed_file_is_found_by_name_package_version_and_digest() {
    for_every_system(|system| {
        let lists = system.lists();
        std::fs::remove_file(bad_list(system)).unwrap();
        let (file, package, version) = system.package;
        let upstream = version.rsplit_once('-').unwrap().0;
        let digest = Sha256::of(&system.bytes).to_string();
        for what in [file, package, &format!("{package}-{version}"), &format!("{package}-{upstream}"), &digest] {
            let found = find(&lists, what).unwrap();
            assert_eq!((found.repo.as_str(), found.name.as_str()), ("main", file), "{what}");
        }
        assert_eq!(find(&lists, "other").unwrap_err().kind, ErrorKind::NoSource);
    });
}

fn bad_list(system: &System) -> PathBuf {
    let here: &Path = &system.list_path;
    here.with_file_name(here.file_name().unwrap().to_str().unwrap().replace("main", "bad"))
}

#[test]
fn a_url_of_any_server_leads_to_the_entry_and_to_all_servers() {
    for_every_system(|system| {
        let lists = system.lists();
        let urls = system.urls(system.package.0);
        assert_eq!(urls.len(), 2);
        for url in &urls {
            let want = Want::of(&lists, url).unwrap();
            assert_eq!(want.repo.as_ref().unwrap().name.as_str(), "main");
            let expected = (Sha256::of(&system.bytes), system.bytes.len() as u64);
            assert!(matches!(want.plan.expect, Expect::Exact { sha256, size } if (sha256, size) == expected));
            let asked: Vec<String> = want
                .candidates
                .iter()
                .map(|candidate| match candidate {
                    Candidate::Mirror(url) => url.to_string(),
                    other => panic!("{other:?}: its servers are not public"),
                })
                .collect();
            assert_eq!(asked.len(), 2, "{asked:?}");
            assert_eq!(&asked[0], url, "the one that was asked for comes first");
        }
        let waiver = |url: &str| match Want::of(&lists, url).unwrap().plan.expect {
            Expect::Waived(why) => why,
            Expect::Exact { .. } => panic!("{url} is not listed"),
        };
        assert_eq!(waiver(&system.urls(system.database.0)[0]), Waiver::MirrorDatabase);
        assert_eq!(waiver("http://other.example.org/x/y"), Waiver::NotARepoUrl);
        let beside = format!("{}/x/{}", system.servers.right.repo("main"), system.package.0);
        assert!(Want::of(&lists, &beside).unwrap().repo.is_none(), "no server has a file there");
        let [unlisted, _] = &system.urls(system.unlisted)[..] else { panic!("two servers") };
        assert_eq!(Want::of(&lists, unlisted).unwrap().repo.unwrap().name.as_str(), "main");
        assert_eq!(waiver(unlisted), Waiver::NotListed);
    });
}

#[test]
fn wrong_bytes_of_one_server_are_refused_and_the_next_one_delivers() {
    for_every_system(|system| {
        let got = system.deliver(&system.urls(system.package.0)[0]);
        let obtained = got.result.unwrap_or_else(|e| panic!("{}: {e}", system.word));
        assert!(fsx::read_part(&obtained.file, 0, obtained.accepted.size()).unwrap() == system.bytes);
        assert_eq!(obtained.waiver(), None);
        let (wrong, right) = (&system.servers.wrong, &system.servers.right);
        assert_eq!((wrong.requests().len(), right.requests().len()), (1, 1), "one question each");
        assert!(system.machine().store.has(Sha256::of(&system.bytes), system.bytes.len() as u64));
        // From here on it is on this machine.
        system.deliver(&system.urls(system.package.0)[1]).result.unwrap();
        assert_eq!((wrong.requests().len(), right.requests().len()), (1, 1));
    });
}

#[test]
fn a_login_page_is_no_list_and_the_next_server_is_asked() {
    for_every_system(|system| {
        let got = system.deliver(&system.urls(system.database.0)[0]);
        let obtained = got.result.unwrap_or_else(|e| panic!("{}: {e}", system.word));
        assert!(fsx::read_part(&obtained.file, 0, obtained.accepted.size()).unwrap() == system.database.1);
        assert_eq!(obtained.waiver(), Some(Waiver::MirrorDatabase.label()));
    });
}

#[test]
fn on_a_machine_without_the_system_no_file_is_its() {
    let system = hpkg();
    let list = HpkgList { dir: system.dir.path().to_owned(), repos: None };
    let lists = Lists::over(&system.machine(), Rc::new(list));
    assert_eq!(lists.repos(), Err(NoRepos::Absent));
    let want = Want::of(&lists, &system.urls(system.package.0)[1]).unwrap();
    assert!(want.repo.is_none() && matches!(want.plan.expect, Expect::Waived(Waiver::NotARepoUrl)));
    assert!(lists.take_warnings().is_empty() && lists.cache_dirs().is_empty());
}
