//! Package repositories, kept by the real `repo-add`.

use super::{Compression, Parts, Pkgbuild, Signer, command, run};
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// One directory with packages and their database.
#[derive(Clone)]
pub struct Repo {
    parts: Parts,
    name: String,
    dir: PathBuf,
    compression: Compression,
    signer: Option<Rc<Signer>>,
    sign_database: bool,
    inline_signatures: bool,
}

impl Repo {
    /// Makes an empty repository in a directory of its own below `root`, with a database that lists nothing.
    pub fn new(parts: &Parts, root: &Path, name: &str) -> Repo {
        let dir = root.join(name);
        fs::create_dir_all(&dir).expect("the repository's directory");
        Repo {
            parts: parts.clone(),
            name: name.into(),
            dir,
            compression: Compression::Gzip,
            signer: None,
            sign_database: false,
            inline_signatures: false,
        }
    }

    /// Sets the compression of the database.
    pub fn compressed(self, compression: Compression) -> Repo {
        Repo { compression, ..self }
    }

    /// Adds a signature beside every package.
    pub fn signed(self, signer: &Rc<Signer>) -> Repo {
        Repo { signer: Some(Rc::clone(signer)), ..self }
    }

    /// Adds a signature beside the database too.
    pub fn with_signed_database(self) -> Repo {
        Repo { sign_database: true, ..self }
    }

    /// Puts the packages' signatures into the database, as on Arch Linux.
    pub fn with_inline_signatures(self) -> Repo {
        Repo { inline_signatures: true, ..self }
    }

    /// Returns pacman's name for it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the directory of its files.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Packs these and lists them in the database, instead of other versions.
    pub fn add(&self, packages: &[Pkgbuild]) {
        let files: Vec<PathBuf> = packages.iter().map(|package| package.pack(&self.dir)).collect();
        self.add_files(&files);
    }

    /// Makes files of noise in place of these packages, those that are not there yet, and a database of them alone:
    /// thousands in seconds. They can be downloaded, and not installed.
    pub fn add_noise(&self, packages: &[Pkgbuild]) {
        packages.iter().for_each(|package| package.write_noise(&self.dir));
        if let Some(signer) = &self.signer {
            let files = packages.iter().map(|package| self.dir.join(package.file_name()));
            signer.sign_all(&files.collect::<Vec<_>>());
        }
        let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let mut database = tar::Builder::new(gzip);
        for package in packages {
            let (path, desc) = package.entry(&self.dir);
            let mut header = tar::Header::new_ustar();
            header.set_size(desc.len() as u64);
            header.set_mode(0o644);
            database.append_data(&mut header, path, desc.as_bytes()).expect("memory");
        }
        let bytes = database.into_inner().and_then(flate2::write::GzEncoder::finish).expect("memory");
        fs::write(self.dir.join(format!("{}.db", self.name)), bytes).expect("a database");
    }

    /// Lists files that already are in the directory.
    pub fn add_files(&self, files: &[PathBuf]) {
        if let Some(signer) = &self.signer {
            files.iter().for_each(|file| {
                signer.sign(file);
            });
        }
        let mut repo_add = command(self.parts.repo_add());
        repo_add.args(["--quiet", "--nocolor"]);
        if self.inline_signatures {
            repo_add.arg("--include-sigs");
        }
        if self.sign_database {
            let signer = self.signer.as_ref().expect("a signed database needs a signer");
            repo_add.args(["--sign", "--key", signer.fingerprint()]).env("GNUPGHOME", signer.home());
        }
        run(repo_add.arg(self.dir.join(self.archive())).args(files)).ok();
    }

    /// Copies the directory in its present state to another root, for a mirror to serve.
    pub fn copy_to(&self, root: &Path) -> Repo {
        fs::create_dir_all(root).expect("a directory");
        run(command("cp").arg("-a").arg(&self.dir).arg(root)).ok();
        Repo { dir: root.join(&self.name), ..self.clone() }
    }

    /// Changes the bytes of a file and keeps its size, like a lying mirror.
    pub fn falsify(&self, file: &str) {
        let path = self.dir.join(file);
        let mut bytes = fs::read(&path).expect("a file to falsify");
        bytes.iter_mut().for_each(|byte| *byte = !*byte);
        fs::write(&path, bytes).expect("a false file");
    }

    fn archive(&self) -> String {
        let extension = match self.compression {
            Compression::None => "",
            Compression::Gzip => ".gz",
            Compression::Zstd => ".zst",
            Compression::Xz => ".xz",
        };
        format!("{}.db.tar{extension}", self.name)
    }
}
