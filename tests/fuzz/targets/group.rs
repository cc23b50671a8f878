//! The file of a closed group: what is read is written and read alike, and no error repeats a key.
#![no_main]

use pkgswarm::config::group_file::GroupFile;

pkgswarm_fuzz::fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match GroupFile::parse(text) {
        Ok(group) => {
            assert!(!group.name.contains('/') && !group.name.starts_with('.'));
            assert!((1..=64).contains(&group.kubo.len()) && (1..=64).contains(&group.cluster.len()));
            assert_eq!(GroupFile::parse(&group.text()).as_ref(), Ok(&group));
            assert!(!format!("{group:?}").contains(&hex(&group.swarm_key.0)));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
