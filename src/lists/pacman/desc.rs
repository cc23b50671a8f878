//! One `desc` entry of a sync database, read line by line as libalpm reads it (`sync_db_read` in `lib/libalpm/be_sync.c`).
//!
//! A different reading would let one file mean one thing to pacman and another to us. Hence: a known single field
//! uses the next line, whatever it is; any other line begins a field that ends at the next blank line.

use data_encoding::BASE64_NOPAD;

use crate::base::digest::Sha256;
use crate::base::name::FileName;
use crate::base::size::SIGNATURE_MOST;
use crate::lists::system::Signature;

use super::package::Package;

// READ_NEXT and READ_AND_STORE in sync_db_read.
const SINGLE: [&[u8]; 14] = [
    b"FILENAME",
    b"NAME",
    b"BASE",
    b"VERSION",
    b"DESC",
    b"URL",
    b"ARCH",
    b"BUILDDATE",
    b"PACKAGER",
    b"CSIZE",
    b"ISIZE",
    b"MD5SUM",
    b"SHA256SUM",
    b"PGPSIG",
];

/// Reads `text`, the entry in the directory `directory` (`name-version`); the error describes what is wrong.
pub(super) fn parse(directory: &str, text: &[u8]) -> Result<Package, String> {
    // For libalpm a zero byte ends the line, which may then be another one.
    if text.contains(&0) {
        return Err("it holds a zero byte".to_owned());
    }
    let mut fields = DescFields::default();
    let mut lines = text.split(|byte| *byte == b'\n');
    while let Some(line) = lines.next() {
        if line.ends_with(b"\r") {
            return Err("its lines end in carriage returns".to_owned());
        }
        let key = line.strip_prefix(b"%").and_then(|rest| rest.strip_suffix(b"%")).filter(|key| SINGLE.contains(key));
        match key {
            Some(key) => fields.set(key, lines.next().unwrap_or_default())?,
            None if line.is_empty() => {}
            None => while lines.next().is_some_and(|line| !line.is_empty()) {},
        }
    }
    fields.package(directory)
}

#[derive(Default)]
struct DescFields<'a> {
    values: [Option<&'a [u8]>; SINGLE.len()],
}

impl<'a> DescFields<'a> {
    fn set(&mut self, key: &[u8], value: &'a [u8]) -> Result<(), String> {
        let at = SINGLE.iter().position(|known| *known == key).expect("only known keys are set");
        if self.values[at].replace(value).is_some() {
            return Err(format!("%{}% appears twice", String::from_utf8_lossy(key)));
        }
        Ok(())
    }

    fn text(&self, key: &str) -> Result<Option<&'a str>, String> {
        let at = SINGLE.iter().position(|known| *known == key.as_bytes()).expect("only known keys are asked for");
        match self.values[at] {
            None | Some([]) => Ok(None),
            Some(value) if value.ends_with(b"\r") => Err("its lines end in carriage returns".to_owned()),
            Some(value) => std::str::from_utf8(value).map(Some).map_err(|_| format!("%{key}% is not UTF-8")),
        }
    }

    fn needed(&self, key: &str) -> Result<&'a str, String> {
        self.text(key)?.ok_or_else(|| format!("%{key}% is missing"))
    }

    fn number(&self, key: &str) -> Result<Option<u64>, String> {
        self.text(key)?
            .map(|value| number(value).ok_or_else(|| format!("%{key}% is not a size: {value:?}")))
            .transpose()
    }

    fn package(&self, directory: &str) -> Result<Package, String> {
        let file = self.needed("FILENAME")?;
        // libalpm's _alpm_validate_filename refuses hidden names as well.
        let file = match FileName::new(file) {
            Ok(name) if !file.starts_with('.') => name,
            _ => return Err(format!("%FILENAME% is not a plain file name: {file:?}")),
        };
        let (name, version) = (self.needed("NAME")?, self.needed("VERSION")?);
        let matches = directory.strip_prefix(name).and_then(|rest| rest.strip_prefix('-')) == Some(version);
        if !matches {
            return Err(format!("it describes {name}-{version}"));
        }
        let sha256 = self.text("SHA256SUM")?.map(|value| {
            value.parse::<Sha256>().map_err(|_| format!("%SHA256SUM% is not 64 hexadecimal digits: {value:?}"))
        });
        let signature = self.text("PGPSIG")?.map(|value| {
            let bytes = base64(value.as_bytes()).filter(|bytes| !bytes.is_empty() && bytes.len() <= SIGNATURE_MOST);
            bytes.ok_or("%PGPSIG% is not the base64 of at most 16 KiB")
        });
        let signature = signature.transpose()?;
        Ok(Package {
            file,
            name: name.to_owned(),
            version: version.to_owned(),
            base: self.text("BASE")?.map(str::to_owned),
            arch: self.text("ARCH")?.map(str::to_owned),
            size: self.number("CSIZE")?,
            installed_size: self.number("ISIZE")?,
            sha256: sha256.transpose()?,
            signature: signature.map(|bytes| Signature { size: bytes.len() as u32, sha256: Sha256::of(&bytes) }),
            build_date: self.text("BUILDDATE")?.and_then(number),
        })
    }
}

/// Reads plain decimal digits, at most the value of a signed 64-bit file offset.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|n| digits && *n <= i64::MAX as u64)
}

/// Reads RFC 4648 section 4, with padding and without line breaks.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    // BASE64 of this crate allows several padded texts one after the other.
    let digits = text.len() - text.iter().rev().take_while(|byte| **byte == b'=').count();
    let is_whole = text.len().is_multiple_of(4) && text.len() - digits <= 2;
    BASE64_NOPAD.decode(&text[..digits]).ok().filter(|_| is_whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn desc(more: &str) -> String {
        format!("%FILENAME%\na-1-1-any.pkg.tar.zst\n\n%NAME%\na\n\n%VERSION%\n1-1\n\n{more}")
    }

    #[test]
    fn all_fields_are_read_and_unknown_ones_skipped() {
        let text = desc(&format!(
            "%DESC%\n%NAME%\n\n%NEW%\none\n%CSIZE%\n\n%BASE%\nb\n\n%CSIZE%\n7\n\n%ISIZE%\n9\n\n%SHA256SUM%\n{SUM}\n\n\
             %PGPSIG%\niQEz\n\n%ARCH%\nany\n\n%BUILDDATE%\n1714636031\n\n%DEPENDS%\nglibc\nbash"
        ));
        let package = parse("a-1-1", text.as_bytes()).unwrap();
        assert_eq!((package.size, package.installed_size, package.build_date), (Some(7), Some(9), Some(1714636031)));
        assert_eq!((package.base.as_deref(), package.arch.as_deref()), (Some("b"), Some("any")));
        assert_eq!(package.sha256, SUM.parse().ok());
        assert_eq!(package.signature, Some(Signature { size: 3, sha256: Sha256::of(&[0x89, 0x01, 0x33]) }));
    }

    #[test]
    fn the_last_field_needs_no_blank_line_and_no_newline() {
        let package = parse("a-1-1", desc("%CSIZE%\n7").as_bytes()).unwrap();
        assert_eq!(package.size, Some(7));
        let tight = "%FILENAME%\na.pkg.tar\n%NAME%\na\n%VERSION%\n1-1\n%CSIZE%\n1";
        assert_eq!(parse("a-1-1", tight.as_bytes()).unwrap().size, Some(1), "as libalpm reads it");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, problem) in [
            ("".to_owned(), "%FILENAME% is missing"),
            ("%FILENAME%\n\n%NAME%\na\n".to_owned(), "%FILENAME% is missing"),
            ("%FILENAME%\na.pkg.tar\n\n%NAME%\na\n".to_owned(), "%VERSION% is missing"),
            ("%FILENAME%\n../a\n".to_owned(), "%FILENAME% is not a plain file name: \"../a\""),
            ("%FILENAME%\n.a\n".to_owned(), "%FILENAME% is not a plain file name: \".a\""),
            (desc("").replace('\n', "\r\n"), "its lines end in carriage returns"),
            (desc("%CSIZE%\n-7\n"), "%CSIZE% is not a size: \"-7\""),
            (desc("%CSIZE%\n+7\n"), "%CSIZE% is not a size: \"+7\""),
            (desc("%CSIZE%\n9223372036854775808\n"), "%CSIZE% is not a size: \"9223372036854775808\""),
            (desc("%SHA256SUM%\nxyz\n"), "%SHA256SUM% is not 64 hexadecimal digits: \"xyz\""),
            (desc("%PGPSIG%\n====\n"), "%PGPSIG% is not the base64 of at most 16 KiB"),
            (desc("%CSIZE%\n1\n\n%CSIZE%\n2\n"), "%CSIZE% appears twice"),
            (desc("%CSIZE%\0\n1\n"), "it holds a zero byte"),
            (desc("").replace("%NAME%\na", "%NAME%\nb"), "it describes b-1-1"),
        ] {
            assert_eq!(parse("a-1-1", text.as_bytes()).unwrap_err(), problem, "{text}");
        }
        assert_eq!(parse("a-1-1", b"%FILENAME%\n\xff\n").unwrap_err(), "%FILENAME% is not UTF-8");
    }

    #[test]
    fn base64_decodes_the_vectors_of_rfc_4648_and_nothing_else() {
        for (text, bytes) in [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYmE=", "fooba")] {
            assert_eq!(base64(text.as_bytes()).as_deref(), Some(bytes.as_bytes()), "{text}");
        }
        for bad in ["Z", "Zg=", "Zg===", "Z===", "Zh==", "Zm9\n", "Zg==Zg=="] {
            assert_eq!(base64(bad.as_bytes()), None, "{bad}");
        }
    }
}
