//! `pacman -Sy` when nothing has changed, over a link with a delay.

use std::fs;
use std::time::Duration;

use super::measure::{BenchRun, Outcome, Skipped};
use super::wire;
use crate::real::{Mirror, PacmanRoot, Parts, Release, Repo, Swarm, scratch};

/// Packages in each repository, as Arch Linux had them in 2025.
const REPOS: [(&str, usize); 3] = [("core", 270), ("extra", 14_500), ("multilib", 300)];

/// Measures seconds of `-Sy` with three unchanged databases, with pkgswarm and with this pacman's own downloader.
pub fn unchanged(run: &BenchRun, release: Release) -> Result<Vec<Outcome>, Skipped> {
    let [client, server] = wire::far()?;
    let (parts, tree) = (Parts::demand(), scratch("tree"));
    let mirror = Mirror::serve_on(&server, tree.path(), "");
    let mut swarm = Swarm::install().on(&client);
    // Five connections at a time, as Arch Linux configures it.
    let mut ours = PacmanRoot::new(&parts, release, &swarm.xfer_command()).parallel(5);
    let mut theirs = PacmanRoot::new(&parts, release, "").parallel(5).through(&client.prefix());
    for (name, count) in REPOS {
        let repo = Repo::new(&parts, tree.path(), name);
        let path = repo.dir().join(format!("{name}.db"));
        fs::write(&path, large_database(name, count)).expect("a database");
        // A date of this very second would equal that of a change within it.
        let hour_ago = std::time::SystemTime::now() - Duration::from_secs(3600);
        fs::File::options().write(true).open(&path).and_then(|file| file.set_modified(hour_ago)).expect("a date");
        let server = format!("{}/{name}", mirror.url());
        (ours, theirs) = (ours.repo(&repo, &[&server]), theirs.repo(&repo, &[&server]));
    }
    swarm.set("PKGSWARM_PACMAN_CONF", &ours.config().display().to_string());
    let ours = swarm.around(ours);
    let refresh = |pacman: &PacmanRoot| pacman.run(&["-Sy"]).ok().took.as_secs_f64();
    refresh(&ours);
    refresh(&theirs);
    let before = mirror.bytes_served();
    let outcomes = run.pairs(|| refresh(&ours), || refresh(&theirs));
    assert_eq!(mirror.bytes_served(), before, "nothing has changed");
    Ok(outcomes)
}

/// Makes a database of the size of a real one: about 550 bytes a package, which do not compress.
fn large_database(name: &str, count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut noise = |digits: usize| -> String {
        let mut text = String::new();
        while text.len() < digits {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            text += &format!("{state:016x}");
        }
        text.truncate(digits);
        text
    };
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(gzip);
    for n in 0..count {
        let (file, sha256, more) = (format!("{name}-{n:05}-1.0-1-any.pkg.tar.zst"), noise(64), noise(900));
        let desc = format!(
            "%FILENAME%\n{file}\n\n%NAME%\n{name}-{n:05}\n\n%VERSION%\n1.0-1\n\n%DESC%\n{more}\n\n%CSIZE%\n12345\n\n\
             %ISIZE%\n54321\n\n%SHA256SUM%\n{sha256}\n\n%ARCH%\nany\n\n%BUILDDATE%\n1748858400\n\n"
        );
        let mut header = tar::Header::new_ustar();
        header.set_size(desc.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, format!("{name}-{n:05}-1.0-1/desc"), desc.as_bytes()).expect("memory");
    }
    tar.into_inner().and_then(flate2::write::GzEncoder::finish).expect("memory")
}
