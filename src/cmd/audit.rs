//! `pkgswarm index audit`: compares the packages on this machine with every list that names them.

use std::fs::File;
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use crate::base::cid::Cid;
use crate::base::clock;
use crate::base::digest::Sha256;
use crate::base::env::Env;
use crate::base::error::{Error, ErrorKind};
use crate::base::fsx;
use crate::base::name::FileName;
use crate::cmd::cli::AuditArgs;
use crate::config::{ProgressMode, Settings};
use crate::dag::build::{BuiltFile, build};
use crate::index::in_use;
use crate::lists::catalogue::Catalogue;
use crate::machine::Machine;
use crate::machine::lists::{self, Lists};
use crate::pacman::handover::{self, HandoverTarget};
use crate::report::{self, ProgressLine, counted};

/// Runs the command.
pub fn run(env: &Env, settings: &Settings, args: &AuditArgs) -> anyhow::Result<u8> {
    // Packages are untrusted bytes, and the indexes belong to the unprivileged user.
    handover::through(env, settings, &HandoverTarget::Nowhere, |settings| run_here(env, settings, args))
}

fn run_here(env: &Env, settings: &Settings, args: &AuditArgs) -> anyhow::Result<u8> {
    let lists = Lists::of(&Machine::open(env, settings, Path::new("/var/tmp"))?);
    let is_index = |word: &PathBuf| settings.indexes.iter().any(|index| Path::new(&index.name) == word);
    let (names, paths): (Vec<PathBuf>, Vec<PathBuf>) = args.what.iter().cloned().partition(is_index);
    let paths = if paths.is_empty() { lists.cache_dirs().to_vec() } else { paths };
    let voices = voices(&lists, &names);
    super::say_warnings(&lists);
    let voices = voices?;
    let files = files(&paths)?;
    let total = files.iter().filter_map(|path| path.metadata().ok()).map(|found| found.len()).sum();
    let mode = if settings.progress == ProgressMode::Bar { ProgressMode::Bar } else { ProgressMode::Silent };
    let progress = ProgressLine::new(mode, "audit", Some(total));
    let (mut count, mut done) = (Count::default(), 0);
    for path in &files {
        match audit(path, &voices, &mut done, &progress) {
            Ok(audited) => {
                count.add(&audited);
                progress.clear();
                audited.print(args.json)?;
            }
            Err(e) => {
                count.unread += 1;
                report::say(&format!("warning: {}: cannot be read: {e}", path.display()));
            }
        }
    }
    progress.clear();
    report::say(&count.line(&voices));
    Ok(count.status())
}

/// A list of files: a sync database or the table of an index.
struct Voice {
    list: String,
    table: Catalogue,
}

/// Returns the sync databases, and the tables of the indexes in use: those named, or all. Expired indexes are left
/// out.
fn voices(lists: &Lists, names: &[PathBuf]) -> Result<Vec<Voice>, Error> {
    let is_wanted = |index: &str| names.is_empty() || names.iter().any(|name| name == Path::new(index));
    let mut voices = Vec::new();
    for repo in lists.repo_names() {
        if let Some(table) = lists.repo(&repo).map(|_| lists.table(&repo)).transpose()?.flatten() {
            voices.push(Voice { list: format!("the sync database {repo}"), table });
        }
        let tables = lists.tables(repo.as_str()).into_iter().filter(|(index, _)| is_wanted(index));
        voices.extend(tables.map(|(index, table)| Voice { list: format!("index {index} for {repo}"), table }));
    }
    let now = clock::now();
    for index in lists.machine().settings.indexes.iter().filter(|index| is_wanted(&index.name)) {
        let expires = in_use::state(&lists.machine().settings).expires(&in_use::copy_name(index)).ok().flatten();
        match expires {
            Some(expires) if expires > now => {}
            Some(_) => report::say(&format!("warning: index {} is expired; it is not compared with", index.name)),
            None => report::say(&format!("warning: index {} was never fetched; pkgswarm index refresh", index.name)),
        }
    }
    Ok(voices)
}

/// Returns the files themselves, and the packages and signatures in directories, sorted by path within each.
fn files(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for path in paths {
        let failed = |e: io::Error| Error::local(path.display(), format!("cannot be read: {e}"));
        if !path.metadata().map_err(failed)?.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = path.read_dir().map_err(failed)?.collect::<io::Result<Vec<_>>>().map_err(failed)?;
        let mut packages: Vec<PathBuf> =
            entries.iter().map(|entry| entry.path()).filter(|path| is_package(path)).collect();
        packages.sort();
        files.extend(packages);
    }
    Ok(files)
}

fn is_package(path: &Path) -> bool {
    let is_of_package = |name| lists::read(&name).shape.kind.is_of_package();
    name_of(path).is_some_and(is_of_package) && path.is_file()
}

fn name_of(path: &Path) -> Option<FileName> {
    FileName::new(path.file_name()?.to_str()?).ok()
}

/// The statement of one list about one file.
struct Claim<'a> {
    list: &'a str,
    size: u64,
    sha256: Sha256,
    cid: Option<Cid>,
}

impl Claim<'_> {
    fn agrees(&self, here: &BuiltFile) -> bool {
        let same_cid = self.cid.is_none_or(|cid| cid == here.root);
        (self.size, self.sha256) == (here.size, here.sha256) && same_cid
    }
}

/// One file, and the lists that name it.
struct Audited<'a> {
    path: &'a Path,
    here: BuiltFile,
    said: Vec<Claim<'a>>,
}

fn audit<'a>(path: &'a Path, voices: &'a [Voice], done: &mut u64, progress: &ProgressLine) -> io::Result<Audited<'a>> {
    let file = fsx::open_followed(path)?;
    let name = name_of(path).ok_or_else(|| io::Error::other("its name cannot be that of a package"))?;
    let (shown, signed) = (name.to_string(), lists::read(&name).signed);
    let here = build(CountingReader { file, done, progress, name: &shown })?;
    let said = voices.iter().filter_map(|voice| {
        // A damaged table is skipped here; looking a package up reports the damage.
        let listed = voice.table.find_content(&name, signed.as_ref()).ok()??;
        // Nothing names the CID of a signature.
        let cid = if signed.is_some() { None } else { listed.cid() };
        Some(Claim { list: &voice.list, size: listed.size, sha256: listed.sha256, cid })
    });
    Ok(Audited { path, here, said: said.collect() })
}

impl Audited<'_> {
    fn disagreements(&self) -> impl Iterator<Item = &Claim<'_>> {
        self.said.iter().filter(|said| !said.agrees(&self.here))
    }

    /// Prints a line for each disagreement, or one object.
    fn print(&self, json: bool) -> io::Result<()> {
        let here = &self.here;
        if json {
            let disagreements: Vec<_> = self
                .disagreements()
                .map(|said| {
                    let cid = said.cid.map(|cid| cid.to_string());
                    serde_json::json!({"who": said.list, "size": said.size, "sha256": said.sha256, "cid": cid})
                })
                .collect();
            let line = serde_json::json!({
                "name": self.path.file_name().map(|name| name.to_string_lossy()), "path": self.path.to_string_lossy(),
                "size": here.size, "sha256": here.sha256, "cid": here.root.to_string(),
                "listed_by": self.said.iter().map(|said| said.list).collect::<Vec<_>>(), "disagreements": disagreements,
            });
            return writeln!(report::out(), "{line}");
        }
        for said in self.disagreements() {
            let (theirs, ours) = if said.sha256 != here.sha256 {
                (format!("sha256 {}", said.sha256), format!("sha256 {}", here.sha256))
            } else if said.size != here.size {
                (format!("{} bytes", said.size), format!("{} bytes", here.size))
            } else {
                let cid = said.cid.map(|cid| cid.to_string()).unwrap_or_default();
                (format!("CID {cid}"), format!("CID {}", here.root))
            };
            report::tell(&format!("{}: {} says {theirs}, here is {ours}", self.path.display(), said.list))?;
        }
        Ok(())
    }
}

#[derive(Default)]
struct Count {
    files: usize,
    listed: usize,
    disagreeing: usize,
    unread: usize,
}

impl Count {
    fn add(&mut self, audited: &Audited<'_>) {
        self.files += 1;
        self.listed += usize::from(!audited.said.is_empty());
        self.disagreeing += usize::from(audited.disagreements().next().is_some());
    }

    fn line(&self, voices: &[Voice]) -> String {
        let Self { files, listed, disagreeing, unread } = self;
        let unread = if *unread == 0 { String::new() } else { format!(", {unread} not read") };
        let lists: Vec<&str> = voices.iter().map(|voice| voice.list.as_str()).collect();
        let lists = if lists.is_empty() { "no list".to_owned() } else { lists.join(", ") };
        let files = counted(files, "file");
        format!("{files}, {listed} of them listed, {disagreeing} with disagreements{unread}; compared with {lists}")
    }

    fn status(&self) -> u8 {
        match (self.disagreeing, self.unread) {
            (0, 0) => 0,
            (0, _) => ErrorKind::Local.status(),
            _ => ErrorKind::Corrupt.status(),
        }
    }
}

/// A reader that counts bytes, for the progress of the whole.
struct CountingReader<'a> {
    file: File,
    done: &'a mut u64,
    progress: &'a ProgressLine,
    name: &'a str,
}

impl Read for CountingReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read(buffer)?;
        *self.done += got as u64;
        self.progress.at(*self.done, self.name);
        Ok(got)
    }
}
