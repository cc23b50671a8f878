//! The output of pacman-conf: printed again from the parsed form, it parses the same; and each URL belongs to one
//! repository.
#![no_main]

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use pkgswarm::lists::pacman::pacman_conf::{PacmanConf, Repo, SigLevel, SignatureCheck};
use pkgswarm::machine::lists::read;
use pkgswarm::engine::want::{name_of, repos_at};
use pkgswarm_fuzz::parts;

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    let [url, dump] = parts(data);
    // pacman-conf writes no carriage returns; lines that end in several would lose one each time.
    let dump = String::from_utf8_lossy(dump).replace('\r', " ");
    let Ok(conf) = PacmanConf::parse(&dump) else { return };
    assert!(conf.parallel_downloads >= 1);
    let again = PacmanConf::parse(&printed(&conf));
    assert_eq!(again.as_ref(), Ok(&conf));
    let url = String::from_utf8_lossy(url);
    if let Ok(name) = name_of(&url) {
        let repos: Vec<_> = conf.repos.iter().map(|repo| &repo.common).collect();
        for repo in repos_at(&repos, &url, &read(&name)) {
            assert!(repos.contains(&repo) && url.ends_with(name.as_str()));
        }
    }
    for repo in &conf.repos {
        assert!(!repo.is_public(|_| false) || repo.servers.iter().all(|server| server.contains("://")));
        let first = conf.repo(&repo.name).expect("it is listed");
        assert_eq!(first.name, repo.name);
        assert!(conf.database(&repo.name).starts_with(conf.db_path.join("sync")));
    }
});

fn printed(conf: &PacmanConf) -> String {
    let mut out = String::from("[options]\n");
    let mut line = |key: &str, value: &str| out += &format!("{key} = {value}\n");
    line("RootDir", text(&conf.root_dir));
    line("DBPath", text(&conf.db_path));
    conf.cache_dirs.iter().for_each(|dir| line("CacheDir", text(dir)));
    conf.gpg_dir.iter().for_each(|dir| line("GPGDir", text(dir)));
    conf.architectures.iter().for_each(|arch| line("Architecture", arch));
    line("ParallelDownloads", &conf.parallel_downloads.to_string());
    conf.download_user.iter().for_each(|user| line("DownloadUser", user));
    conf.xfer_command.iter().for_each(|command| line("XferCommand", command));
    conf.ignored.iter().for_each(|name| line("IgnorePkg", name));
    conf.ignored_groups.iter().for_each(|name| line("IgnoreGroup", name));
    levels(conf.sig_level, &mut line);
    conf.flags.iter().for_each(|flag| out += &format!("{flag}\n"));
    conf.repos.iter().for_each(|repo| out += &of(repo));
    out
}

fn of(repo: &Repo) -> String {
    let mut out = format!("[{}]\n", repo.name);
    let mut line = |key: &str, value: &str| out += &format!("{key} = {value}\n");
    repo.servers.iter().for_each(|url| line("Server", url));
    repo.cache_servers.iter().for_each(|url| line("CacheServer", url));
    levels(repo.sig_level, &mut line);
    let usage = repo.usage;
    for (used, word) in
        [(usage.sync, "Sync"), (usage.search, "Search"), (usage.install, "Install"), (usage.upgrade, "Upgrade")]
    {
        if used {
            line("Usage", word);
        }
    }
    out
}

fn levels(level: SigLevel, line: &mut impl FnMut(&str, &str)) {
    for (what, check) in [("Package", level.package), ("Database", level.database)] {
        let check = match check {
            SignatureCheck::Never => "Never",
            SignatureCheck::Optional => "Optional",
            SignatureCheck::Required => "Required",
        };
        line("SigLevel", &format!("{what}{check}"));
    }
}

fn text(path: &Path) -> &str {
    std::str::from_utf8(path.as_os_str().as_bytes()).expect("it came from a text")
}
