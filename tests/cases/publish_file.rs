//! A publication that a file describes: what its name means, what is refused, the alarm.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use crate::support::repo::{Package, database};
use crate::support::world::listing;
use crate::support::{Compression, World};

/// A world with the repository `custom` in `repo/`, and a key that only its owner may read.
pub(super) fn world() -> World {
    let world = World::new();
    let package = Package::new("a", 100);
    fs::create_dir_all(world.path("repo")).unwrap();
    fs::create_dir_all(world.path("config/publish.d")).unwrap();
    fs::write(world.path("repo/custom.db"), database(&[&package], Compression::Gzip)).unwrap();
    fs::write(world.path("repo").join(package.file_name()), &package.bytes).unwrap();
    let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
    fs::write(world.path("secret"), pair.sk.to_box(None).unwrap().to_string()).unwrap();
    fs::set_permissions(world.path("secret"), Permissions::from_mode(0o600)).unwrap();
    world
}

/// Describes the publication `arch`, without Kubo, and returns its text.
pub(super) fn describe(world: &World, more: &str) {
    let at = world.base();
    let text = format!(
        "[keys]\nminisign = \"{at}/secret\"\n[sources]\ndirectories = [\"{at}/repo\"]\n[targets]\nkubo = false\n\
         out = \"{at}/plain\"\n{more}"
    );
    fs::write(world.path("config/publish.d/arch.toml"), text).unwrap();
}

#[test]
fn a_name_without_a_slash_means_the_file_and_a_second_run_finds_nothing_new() {
    let world = world();
    describe(&world, "");
    let run = world.run(&["publish", "arch", "--json"]);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    let said: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&said["did"], &said["files"]), (&"published".into(), &2.into()), "{said}");
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(world.path("plain/pkgswarm.json")).unwrap()).unwrap();
    assert_eq!(manifest["publisher"], "arch");
    assert!(world.path("plain/pkgswarm.json.minisig").exists() && world.path("state-publish/arch").is_dir());
    let again = world.run(&["publish", "arch", "--json"]);
    let said: serde_json::Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!((again.code(), &said["did"]), (0, &"unchanged".into()), "{}", again.stderr);
    // Packages that went into a Kubo which is no target any more.
    let cid = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";
    fs::create_dir_all(world.path("state-publish/arch/follow")).unwrap();
    fs::write(world.path("state-publish/arch/follow/arrived"), format!("ours {} {cid}\n", "ab".repeat(32))).unwrap();
    let told = world.run(&["publish", "arch"]);
    assert!(
        told.stderr.contains("packages of the publisher, 1 by its list, may still be pinned by themselves"),
        "{}",
        told.stderr
    );
    // What names a directory goes on meaning it.
    let out = world.path("other").display().to_string();
    let by_path = world.run(&["publish", "--offline", "--out", &out, "../repo"]);
    assert_eq!(by_path.code(), 0, "{}", by_path.stderr);
}

#[test]
fn a_name_that_is_a_directory_too_and_a_name_that_is_neither_are_refused() {
    let world = world();
    describe(&world, "");
    fs::create_dir(world.path("out/arch")).unwrap();
    world.run(&["publish", "arch"]).fails(
        2,
        "error: arch: is a directory here and a publication, in $WORLD/config/publish.d/arch.toml\nhint: `pkgswarm publish \
         ./arch` publishes the directory; for the publication, run it elsewhere\n",
    );
    world.run(&["publish", "extra"]).fails(
        2,
        "error: extra: neither a directory here nor a publication in $WORLD/config/publish.d/extra.toml\nhint: \
         pkgswarm-publish(1) lists the keys of such a file\n",
    );
    assert!(!world.path("plain").exists());
}

#[test]
fn a_mistake_in_the_file_names_file_and_line_and_options_are_the_files_to_decide() {
    let world = world();
    describe(&world, "[alarm]\ncomand = \"true\"\n");
    world.run(&["publish", "arch"]).fails(
        2,
        "error: $WORLD/config/publish.d/arch.toml:9: unknown key \"alarm.comand\"; did you mean \"alarm.command\"?\n",
    );
    describe(&world, "");
    world.run(&["publish", "arch", "--key", "other"]).fails(
        2,
        "error: --key: is not for a publication: $WORLD/config/publish.d/arch.toml decides\nhint: change the file, or \
         name directories instead of a publication\n",
    );
    assert!(!world.path("plain").exists());
}

#[test]
fn a_key_that_others_may_read_is_refused_and_the_alarm_hears_of_it() {
    let world = world();
    let heard = world.path("heard").display().to_string();
    describe(&world, &format!("[alarm]\ncommand = \"(echo $PKGSWARM_PUBLICATION; cat) > {heard}\"\n"));
    fs::set_permissions(world.path("secret"), Permissions::from_mode(0o640)).unwrap();
    let said = "error: $WORLD/secret: others than its owner may open it (mode 0640)\nhint: chmod 600 $WORLD/secret\n";
    world.run(&["publish", "arch"]).fails(2, said);
    assert_eq!(fs::read_to_string(&heard).unwrap(), format!("arch\n{}", said.replace("$WORLD", world.base())));
    assert_eq!(listing(&world.path("plain")), [""; 0]);
    fs::set_permissions(world.path("secret"), Permissions::from_mode(0o600)).unwrap();
    fs::remove_file(&heard).unwrap();
    assert_eq!(world.run(&["publish", "arch"]).code(), 0);
    assert!(!std::path::Path::new(&heard).exists(), "no alarm without a failure");
}

#[test]
fn a_credential_of_systemd_is_read_by_its_name_and_fewer_repositories_need_a_word() {
    let world = world();
    let at = world.base().to_owned();
    let credentials = format!("{at}/credentials");
    fs::create_dir(&credentials).unwrap();
    fs::rename(world.path("secret"), format!("{credentials}/arch.key")).unwrap();
    let file = world.path("config/publish.d/arch.toml");
    let text = |directories: &str| {
        format!(
            "[keys]\nminisign = \"arch.key\"\n[sources]\ndirectories = [{directories}]\n[targets]\nkubo = false\n\
             out = \"{at}/plain\"\n"
        )
    };
    fs::create_dir(world.path("more")).unwrap();
    fs::write(world.path("more/more.db"), database(&[], Compression::Gzip)).unwrap();
    fs::write(&file, text(&format!("\"{at}/repo\", \"{at}/more\""))).unwrap();
    world.run(&["publish", "arch"]).fails(
        2,
        "error: a credential: this process was given none by systemd\nhint: start the service, \
         pkgswarm-publish@NAME.service, or name the absolute path of a file\n",
    );
    let world = world.set("CREDENTIALS_DIRECTORY", &credentials);
    let run = world.run(&["publish", "arch"]);
    assert_eq!(run.code(), 0, "{}", run.stderr);
    fs::write(&file, text(&format!("\"{at}/repo\""))).unwrap();
    let left_out = world.run(&["publish", "arch"]);
    assert!(left_out.code() == 2 && left_out.stderr.contains("--drop more-x86_64"), "{}", left_out.stderr);
    assert_eq!(world.run(&["publish", "arch", "--drop", "more"]).code(), 0);
}

#[test]
fn a_secret_in_place_of_its_file_is_repeated_nowhere() {
    let hook = crate::support::FakeMirror::serving::<&str, &[u8]>(&[]);
    let heard = |world: &World| fs::read_to_string(world.path("heard")).unwrap_or_default();
    for mistake in [
        "[keys]\npassword = \"abc/s3cret+g==\"\n",
        "[keys]\npassword = \"s3cret+g==\"\n",
        "[keys]\npassword = \"hunter-s3cret\"\nminisign = \"s3cret\"\n",
        "[sources]\nmirrors = [\"https://user:s3cret@mirror.example/$repo\"]\nrepos = [\"a\"]\n",
        "[find]\ngateways = [\"https://user:s3cret@gateway.example\"]\n",
        "[pins.far]\ncluster = \"https://user:s3cret@cluster.example\"\n",
        "[pins.far]\nservice = \"https://service.example\"\ntoken = \"s3/cret\"\n",
    ] {
        let world = world();
        let alarm = format!(
            "[alarm]\ncommand = \"cat > {}\"\nwebhook = \"http://{}/\"\n",
            world.path("heard").display(),
            hook.address()
        );
        let directories = format!("directories = [\"{}/repo\"]\n", world.base());
        let (sources, rest) = match mistake.strip_prefix("[sources]\n") {
            Some(more) => (format!("[sources]\n{directories}{more}"), ""),
            None => (format!("[sources]\n{directories}"), mistake),
        };
        let text = format!("{sources}[targets]\nkubo = false\nout = \"{}/plain\"\n{alarm}{rest}", world.base());
        fs::write(world.path("config/publish.d/arch.toml"), text).unwrap();
        let run = world.run(&["publish", "arch"]);
        assert_eq!(run.code(), 2, "{mistake}{}", run.said);
        let record = fs::read_to_string(world.path("state-publish/arch/run.json")).unwrap();
        for told in [&run.said, &heard(&world), &record] {
            assert!(!told.is_empty() && !told.contains("s3cret") && !told.contains("s3/cret"), "{mistake}{told}");
        }
    }
}

#[test]
fn a_mistake_in_the_file_reaches_the_alarm_that_the_file_names() {
    let world = world();
    let heard = world.path("heard");
    let alarm = format!("[alarm]\ncommand = \"(echo $PKGSWARM_PUBLICATION; cat) > {}\"\n", heard.display());
    for (mistake, said) in [("[find]\npers = \"x\"\n", "unknown key"), ("comand\n[find", "arch.toml:")] {
        describe(&world, &format!("{alarm}{mistake}"));
        let run = world.run(&["publish", "arch"]);
        assert!(run.code() == 2 && run.stderr.contains(said), "{}", run.stderr);
        let told = fs::read_to_string(&heard).unwrap();
        assert!(told.starts_with("arch\nerror: ") && told.contains(said), "{told}");
        // Once a day while it stands, as for any other failure.
        fs::remove_file(&heard).unwrap();
        assert_eq!(world.run(&["publish", "arch"]).code(), 2);
        assert!(!heard.exists());
        describe(&world, &alarm);
        assert_eq!(world.run(&["publish", "arch"]).code(), 0);
        assert!(!heard.exists());
    }
}
