//! One large file from several mirrors at a time, if the user allows that.

use crate::support::*;

const MIB: u64 = 1 << 20;
const SIZE: usize = 40 * MIB as usize + 777;

/// Makes a large package on so many mirrors, each of which sends no faster than a middling line.
fn scene(count: usize) -> (Package, Vec<FakeMirror>, World) {
    let big = Package::new("big", SIZE);
    let mirrors: Vec<FakeMirror> = (0..count).map(|_| FakeMirror::serving(&[big.file()]).slow(16 * MIB)).collect();
    let world = World::new().repo("core", &[&big], &mirrors.iter().collect::<Vec<_>>());
    // The fakes read all of a file before they answer, and may be slow on a busy machine: neither must cause another
    // mirror to be asked.
    let world = world.set("PKGSWARM_DOWNLOAD_CONNECT", "60 s").set("PKGSWARM_DOWNLOAD_STALL", "60 s");
    (big, mirrors, world)
}

fn total(mirrors: &[FakeMirror]) -> u64 {
    mirrors.iter().map(FakeMirror::bytes).sum()
}

#[test]
fn mirrors_are_guests_unless_the_user_says_otherwise() {
    let (big, mirrors, world) = scene(2);
    let out = world.out(&big.file_name());
    world.xfer(&mirrors[0].url("core", &big.file_name()), &out).succeeds();
    world.has(&out, &big.bytes);
    assert_eq!((mirrors[0].requests().len(), mirrors[1].requests().len()), (1, 0));
}

#[test]
fn several_mirrors_share_a_large_file_and_send_next_to_nothing_twice() {
    let (big, mirrors, world) = scene(2);
    // What is under way when a part ends is sent for nothing, and a busy client leaves much in the kernel.
    let mirrors: Vec<FakeMirror> = mirrors.into_iter().map(FakeMirror::in_step).collect();
    let world = world.set("PKGSWARM_MIRRORS_SPLIT", "2");
    let out = world.out(&big.file_name());
    world.xfer(&mirrors[0].url("core", &big.file_name()), &out).succeeds();
    world.has(&out, &big.bytes);
    world.store_is_settled();
    // Each is asked for 16 MiB at least, however slow it is.
    for mirror in &mirrors {
        assert!(mirror.bytes() >= 16 * MIB, "it sent {} bytes", mirror.bytes());
    }
    let wasted = total(&mirrors) - SIZE as u64;
    assert!(wasted <= SIZE as u64 / 50, "{wasted} bytes were sent for nothing");
}

#[test]
fn a_mirror_that_dies_leaves_its_part_to_the_other() {
    let (big, mirrors, world) = scene(2);
    let world = world.set("PKGSWARM_MIRRORS_SPLIT", "2");
    let mut mirrors = mirrors;
    let second = mirrors.pop().unwrap().status(503).on(&big.file_name()).slow(16 * MIB).cut_after(MIB).times(1);
    let out = world.out(&big.file_name());
    world.xfer(&mirrors[0].url("core", &big.file_name()), &out).succeeds();
    world.has(&out, &big.bytes);
    assert!(second.bytes() >= MIB, "it had begun");
}

#[test]
fn a_lie_in_a_shared_file_costs_one_leaf_where_its_root_is_known() {
    let (big, mirrors, world) = scene(2);
    let mut mirrors = mirrors;
    // The last byte of the file comes from the second one, and is wrong.
    let liar = mirrors.pop().unwrap().lying();
    let kubo = FakeKubo::empty().holding(&big.bytes);
    let root = pkgswarm::dag::build::build(&big.bytes[..]).unwrap().root;
    let kubo = kubo.on(&format!("ipfs/{root}")).status(404);
    let world = FakeIndex::called("arch").listing(&big).in_use(world.kubo(&kubo)).set("PKGSWARM_MIRRORS_SPLIT", "2");
    let out = world.out(&big.file_name());
    let run = world.xfer(&mirrors[0].url("core", &big.file_name()), &out);
    run.succeeds();
    world.has(&out, &big.bytes);
    assert!(run.said.contains("sends another leaf than its CID says"), "{}", run.said);
    let sent = mirrors[0].bytes() + liar.bytes();
    assert!(sent <= SIZE as u64 + 3 * MIB, "{} bytes were sent for nothing", sent - SIZE as u64);
}

#[test]
fn a_lie_in_a_shared_file_without_a_root_is_found_at_the_end_and_the_file_fetched_from_one() {
    let (big, mirrors, world) = scene(2);
    let mut mirrors = mirrors;
    let liar = mirrors.pop().unwrap().lying();
    let world = world.set("PKGSWARM_MIRRORS_SPLIT", "2");
    let out = world.out(&big.file_name());
    world.xfer(&mirrors[0].url("core", &big.file_name()), &out).succeeds();
    world.has(&out, &big.bytes);
    assert!(liar.bytes() > 0, "it had a part in it");
}

#[test]
fn a_lie_of_the_only_sender_costs_one_leaf_where_the_plain_copy_of_an_index_has_the_root() {
    let (big, mirrors, world) = scene(2);
    let mut mirrors = mirrors;
    let honest = mirrors.pop().unwrap();
    let liar = mirrors.pop().unwrap().lying();
    let publisher = Publisher::of(&world, &[&big]);
    publisher.add_to(&world);
    let out = world.out(&big.file_name());
    let run = world.xfer(&liar.url("core", &big.file_name()), &out);
    run.succeeds();
    world.has(&out, &big.bytes);
    assert!(run.said.contains("sends another leaf than its CID says"), "{}", run.said);
    assert!(liar.bytes() >= SIZE as u64, "it sent all of it");
    assert!(honest.bytes() <= MIB, "the honest one sent {} bytes, and one leaf was wrong", honest.bytes());
    let root = pkgswarm::dag::build::build(&big.bytes[..]).unwrap().root;
    let asked = publisher.copy.requests();
    let roots = asked.iter().filter(|request| request.path() == format!("index/ipfs/{root}")).count();
    assert_eq!(roots, 1, "the root was asked for once");
}
