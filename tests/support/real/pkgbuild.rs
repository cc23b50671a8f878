//! Packages to install: made by makepkg itself, or by hand in the same shape for tests that need many.

use super::parts::{USER, give_to_user};
use super::{command, run, scratch};
use pkgswarm::dag::build::build;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The properties of a package.
#[derive(Clone, Debug)]
pub struct Pkgbuild {
    name: String,
    version: String,
    size: u64,
    depends: Vec<String>,
    says: Vec<(String, String)>,
}

impl Pkgbuild {
    /// Describes a package of 8 KiB; the version has a release and may have an epoch, as in `1:2.0-1`.
    pub fn new(name: &str, version: &str) -> Pkgbuild {
        Pkgbuild { name: name.into(), version: version.into(), size: 8 << 10, depends: Vec::new(), says: Vec::new() }
    }

    /// Sets the size, in bytes that do not compress.
    pub fn size(self, size: u64) -> Pkgbuild {
        Pkgbuild { size, ..self }
    }

    /// Adds a dependency.
    pub fn depends(mut self, on: &str) -> Pkgbuild {
        self.depends.push(on.into());
        self
    }

    /// Adds one more line of its `.PKGINFO`: `provides`, `conflict`, `replaces`, `group`.
    pub fn says(mut self, key: &str, value: &str) -> Pkgbuild {
        self.says.push((key.into(), value.into()));
        self
    }

    /// Returns pacman's name for it.
    pub fn name(&self) -> String {
        self.name.clone()
    }

    /// Returns its file name.
    pub fn file_name(&self) -> String {
        format!("{}-{}-any.pkg.tar.zst", self.name, self.version)
    }

    /// Makes it by hand, in a few milliseconds: `.PKGINFO`, `.MTREE` and one file of noise.
    pub fn pack(&self, into: &Path) -> PathBuf {
        let tree = scratch("pack");
        let info: String = [
            ("pkgname", self.name.as_str()),
            ("pkgbase", &self.name),
            ("pkgver", &self.version),
            ("pkgdesc", "a package for the tests"),
            ("url", "https://example.invalid/"),
            ("builddate", "1700000000"),
            ("packager", "Tests <tests@example.invalid>"),
            ("size", &self.size.to_string()),
            ("arch", "any"),
            ("license", "MIT"),
        ]
        .into_iter()
        .chain(self.depends.iter().map(|on| ("depend", on.as_str())))
        .chain(self.says.iter().map(|(key, value)| (key.as_str(), value.as_str())))
        .map(|(key, value)| format!("{key} = {value}\n"))
        .collect();
        fs::write(tree.path().join(".PKGINFO"), info).expect(".PKGINFO");
        let data = tree.path().join("usr/share").join(&self.name);
        fs::create_dir_all(&data).expect("the package's tree");
        noise_file(&data.join("data.bin"), self.size);

        let bsdtar = || {
            let mut bsdtar = command("bsdtar");
            bsdtar.current_dir(tree.path()).args(["--uid", "0", "--gid", "0", "-cf"]);
            bsdtar
        };
        let fields = "!all,use-set,type,uid,gid,mode,time,size,sha256,link";
        run(bsdtar().args([".MTREE", "--gzip", "--format=mtree", "--options", fields, ".PKGINFO", "usr"])).ok();
        let file = into.join(self.file_name());
        run(bsdtar().arg(&file).args(["--zstd", ".PKGINFO", ".MTREE", "usr"])).ok();
        file
    }

    /// Makes a file of noise of its name and size in a directory, unless it is there.
    pub fn write_noise(&self, into: &Path) {
        let path = into.join(self.file_name());
        if !path.exists() {
            noise_file(&path, self.size);
        }
    }

    /// Returns the path and text of its entry in a database, for its file in this directory.
    pub fn entry(&self, at: &Path) -> (String, String) {
        let (name, version, file) = (&self.name, &self.version, self.file_name());
        let built = build(fs::File::open(at.join(&file)).expect("its file")).expect("its digest");
        let desc = format!(
            "%FILENAME%\n{file}\n\n%NAME%\n{name}\n\n%BASE%\n{name}\n\n%VERSION%\n{version}\n\n%CSIZE%\n{}\n\n\
             %ISIZE%\n{}\n\n%SHA256SUM%\n{}\n\n%ARCH%\nany\n\n%BUILDDATE%\n1700000000\n\n",
            built.size, self.size, built.sha256
        );
        (format!("{name}-{version}/desc"), desc)
    }

    /// Makes it by makepkg from a PKGBUILD, which takes a second or two.
    pub fn makepkg(&self, into: &Path) -> PathBuf {
        let work = scratch("makepkg");
        noise_file(&work.path().join("data.bin"), self.size);
        fs::write(work.path().join("PKGBUILD"), self.pkgbuild()).expect("PKGBUILD");
        give_to_user(work.path());
        // makepkg refuses to run as root.
        let mut makepkg = command("setpriv");
        makepkg.args(["--reuid", USER, "--regid", USER, "--init-groups", "makepkg", "--nodeps", "--noconfirm"]);
        makepkg.env("HOME", work.path()).env("PKGEXT", ".pkg.tar.zst").env("PKGDEST", work.path());
        makepkg.env("PACKAGER", "Tests <tests@example.invalid>");
        run(makepkg.current_dir(work.path())).ok();
        let file = into.join(self.file_name());
        fs::copy(work.path().join(self.file_name()), &file).expect("what makepkg made");
        file
    }

    fn pkgbuild(&self) -> String {
        let (epoch, rest) = self.version.split_once(':').unwrap_or(("0", &self.version));
        let (version, release) = rest.rsplit_once('-').expect("a version with a release");
        format!(
            "pkgname='{name}'\nepoch={epoch}\npkgver={version}\npkgrel={release}\narch=(any)\nlicense=(MIT)\n\
             pkgdesc='a package for the tests'\nurl='https://example.invalid/'\ndepends=({depends})\n\
             source=(data.bin)\nsha256sums=(SKIP)\n\
             package() {{ install -Dm644 data.bin \"$pkgdir/usr/share/$pkgname/data.bin\"; }}\n",
            name = self.name,
            depends = self.depends.join(" "),
        )
    }
}

/// Makes a file of bytes that do not compress.
pub fn noise_file(path: &Path, size: u64) {
    let source = fs::File::open("/dev/urandom").expect("/dev/urandom");
    let mut file = fs::File::create(path).expect("a file");
    std::io::copy(&mut source.take(size), &mut file).expect("noise");
}
