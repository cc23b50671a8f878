//! A secret of a publication, by its place: what is written in the file of a publication is where it is, never the secret
//! itself.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::base::env::Env;
use crate::base::error::Error;

/// Most characters of a credential's name.
const NAME_MOST: usize = 64;

/// A secret, by its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Secret {
    /// A credential that systemd passes to the service.
    Credential(String),
    /// A file that only its owner may read.
    File(PathBuf),
}

/// Where an alarm is posted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Webhook {
    /// The URL itself.
    Url(String),
    /// The secret that holds it.
    Secret(Secret),
}

impl Secret {
    /// Reads the place of a secret: a path has a slash, the name of a credential has none.
    ///
    /// # Errors
    /// For a path that is not absolute, and for what can be no name. What was written is not repeated, here or in
    /// [`read`](Self::read): it may be the secret itself, and mistakes go to the journal and the alarm's host.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@:".contains(&byte);
        match (text.contains('/'), text.starts_with('/')) {
            (false, _) if text.len() <= NAME_MOST && text.bytes().all(is_plain) => {
                Ok(Self::Credential(text.to_owned()))
            }
            (true, true) => Ok(Self::File(PathBuf::from(text))),
            _ => {
                Err("expected the absolute path of a file, or the name of a credential, which has no slash".to_owned())
            }
        }
    }

    /// Returns its place, as [`parse`](Self::parse) reads it.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Credential(name) => name.clone(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// Reads the secret.
    ///
    /// # Errors
    /// Usage errors: a credential that this process was not given, and a file that others may read.
    pub(crate) fn read(&self, env: &Env) -> Result<String, Error> {
        let path = match self {
            Self::File(path) => path.clone(),
            Self::Credential(name) => match env.var("CREDENTIALS_DIRECTORY") {
                Some(dir) => Path::new(dir).join(name),
                None => {
                    return Err(Error::usage("a credential", "this process was given none by systemd").hint(
                        "start the service, pkgswarm-publish@NAME.service, or name the absolute path of a file",
                    ));
                }
            },
        };
        let shown = match self {
            Self::File(path) => path.display().to_string(),
            Self::Credential(_) => "a credential".to_owned(),
        };
        let failed = |e: std::io::Error| Error::usage(&shown, format!("the secret cannot be read: {e}"));
        let mut file = File::open(&path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.mode() & 0o777;
        // systemd shows an access list as the group's rights, so a credential's mode tells nothing.
        if matches!(self, Self::File(_)) && mode & 0o077 != 0 {
            return Err(Error::usage(path.display(), format!("others than its owner may open it (mode {mode:04o})"))
                .hint(format!("chmod 600 {}", path.display())));
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed)?;
        Ok(text)
    }
}

impl Webhook {
    /// Reads a URL, or the place of a secret that holds one.
    ///
    /// # Errors
    /// For a URL of another scheme, and for a path that is not absolute.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text.contains("://") {
            true if text.starts_with("https://") || text.starts_with("http://") => Ok(Self::Url(text.to_owned())),
            true => Err("expected an http or https URL".to_owned()),
            false => Secret::parse(text).map(Self::Secret),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_that_others_may_read_is_refused_and_a_credential_comes_from_systemd() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        std::fs::write(&path, "secret").unwrap();
        let mut env = Env::from_process();
        env.vars = BTreeMap::new();
        for (mode, is_read) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false), (0o644, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let read = Secret::File(path.clone()).read(&env);
            assert_eq!(read.is_ok(), is_read, "{mode:o}: {read:?}");
        }
        let credential = Secret::Credential("key".to_owned());
        assert!(credential.read(&env).unwrap_err().to_string().contains("this process was given none"));
        env.vars.insert("CREDENTIALS_DIRECTORY".to_owned(), dir.path().display().to_string());
        assert_eq!(credential.read(&env).unwrap(), "secret");
    }
}
