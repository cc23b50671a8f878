//! User names and ids as `/etc/passwd` has them: the users in question are always local ones.

/// One user of this machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Its main group.
    pub gid: u32,
}

/// The user called `name`.
pub fn named(name: &str) -> Option<User> {
    find(&passwd(), |fields| fields[0] == name)
}

/// The user with this id.
pub fn with_id(uid: u32) -> Option<User> {
    find(&passwd(), |fields| fields[2].parse() == Ok(uid))
}

fn passwd() -> String {
    std::fs::read_to_string("/etc/passwd").unwrap_or_default()
}

/// passwd(5): name, password, uid, gid, and three more, with colons between.
fn find(text: &str, is_it: impl Fn(&[&str]) -> bool) -> Option<User> {
    text.lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .filter(|fields| fields.len() >= 4)
        .find(|fields| is_it(fields))
        .and_then(|fields| Some(User { uid: fields[2].parse().ok()?, gid: fields[3].parse().ok()? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_id() {
        let text = "root:x:0:0:root:/root:/bin/sh\nbroken\nalpm:x:946:945::/:/usr/bin/nologin\n";
        let alpm = Some(User { uid: 946, gid: 945 });
        assert_eq!(find(text, |fields| fields[0] == "alpm"), alpm);
        assert_eq!(find(text, |fields| fields[2] == "946"), alpm);
        assert_eq!(find(text, |fields| fields[0] == "broken"), None);
    }
}
