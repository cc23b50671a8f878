//! Package repositories, kept by the real `repo-add`.

use super::{Package, Parts, Signer, command, run};
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// How the database file is compressed.
#[derive(Clone, Copy, Debug)]
pub enum Compression {
    /// As Arch Linux does.
    Gzip,
    /// zstd.
    Zstd,
    /// xz.
    Xz,
    /// Not at all.
    Plain,
}

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
    /// An empty repository in a directory of its own below `root`, with a database that lists nothing.
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

    /// With a database of this compression.
    pub fn compressed(self, compression: Compression) -> Repo {
        Repo { compression, ..self }
    }

    /// With a signature beside every package.
    pub fn signed(self, signer: &Rc<Signer>) -> Repo {
        Repo { signer: Some(Rc::clone(signer)), ..self }
    }

    /// With a signature beside the database too.
    pub fn with_signed_database(self) -> Repo {
        Repo { sign_database: true, ..self }
    }

    /// With the packages' signatures inside the database, as Arch Linux has them.
    pub fn with_inline_signatures(self) -> Repo {
        Repo { inline_signatures: true, ..self }
    }

    /// What pacman calls it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where its files are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Packs these and lists them in the database, instead of any other versions of theirs.
    pub fn add(&self, packages: &[Package]) {
        let files: Vec<PathBuf> = packages.iter().map(|package| package.pack(&self.dir)).collect();
        self.add_files(&files);
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

    /// A copy of the directory as it is now, below another root, that a mirror can serve on.
    pub fn copy_to(&self, root: &Path) -> Repo {
        fs::create_dir_all(root).expect("a directory");
        run(command("cp").arg("-a").arg(&self.dir).arg(root)).ok();
        Repo { dir: root.join(&self.name), ..self.clone() }
    }

    /// Changes the bytes of a file and keeps its size, as a mirror that lies.
    pub fn falsify(&self, file: &str) {
        let path = self.dir.join(file);
        let mut bytes = fs::read(&path).expect("a file to falsify");
        bytes.iter_mut().for_each(|byte| *byte = !*byte);
        fs::write(&path, bytes).expect("a false file");
    }

    fn archive(&self) -> String {
        let extension = match self.compression {
            Compression::Gzip => ".gz",
            Compression::Zstd => ".zst",
            Compression::Xz => ".xz",
            Compression::Plain => "",
        };
        format!("{}.db.tar{extension}", self.name)
    }
}
