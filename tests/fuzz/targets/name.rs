//! Names and URLs: every file name stays in its directory, and no printed text moves the cursor.
#![no_main]

use pkgswarm::lists::pacman::names;
use pkgswarm::base::name::{FileName, RepoName, shown};
use pkgswarm::lists::system::NameKind;
use pkgswarm::engine::want::{self, name_of};

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    let safe = shown(&text);
    assert!(!safe.chars().any(char::is_control) && safe.chars().count() <= 3100);
    assert_eq!(RepoName::new(&*text).is_ok(), FileName::new(&*text).is_ok());
    if let Ok(name) = FileName::new(&*text) {
        check(&name);
    }
    match name_of(&text) {
        Ok(name) => {
            check(&name);
            assert!(text.ends_with(name.as_str()));
        }
        Err(error) => assert!(!shows_password(&text, &error.subject), "{}", error.subject),
    }
    if let Err(error) = want::parse(&text) {
        assert!(!shows_password(&text, &error.subject), "{}", error.subject);
    }
});

fn check(name: &FileName) {
    is_plain(name.as_str());
    if let Some(signed) = names::signed(name) {
        is_plain(signed.as_str());
        assert_eq!(name.as_str(), format!("{signed}.sig"));
    }
    if let Some(repo) = names::repo(name) {
        is_plain(repo.as_str());
        assert!(matches!(names::kind(name), NameKind::Database | NameKind::DatabaseSignature));
    }
    if let Some(parts) = names::package(name) {
        assert!(name.as_str().starts_with(&format!("{}-{}-{}.pkg.tar", parts.name, parts.version, parts.arch)));
        assert!(!parts.arch.contains('-') && parts.version.matches('-').count() == 1);
    }
    if matches!(names::kind(name), NameKind::Package | NameKind::Database) {
        assert!(names::signed(name).is_none());
    }
}

fn is_plain(name: &str) {
    assert!((1..=255).contains(&name.len()) && !matches!(name, "." | ".."), "{name:?}");
    assert!(!name.contains('/') && !name.chars().any(char::is_control), "{name:?}");
}

/// True if the password is printed: the corpus has URLs with the password `hunter2` in the place of a password,
/// and only there.
fn shows_password(url: &str, said: &str) -> bool {
    if url.matches("hunter2").count() != 1 {
        return false;
    }
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let is_url =
        scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.bytes().all(|b| b.is_ascii_alphanumeric());
    let authority = rest.split(['/', '\\', '?', '#']).next().filter(|_| is_url);
    let secret = authority.and_then(|authority| Some(authority.rsplit_once('@')?.0)).and_then(|it| it.split_once(':'));
    secret.is_some_and(|(_, password)| password == "hunter2" && said.contains("hunter2@"))
}
