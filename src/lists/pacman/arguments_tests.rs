use super::*;

fn parse(line: &str) -> Arguments {
    Arguments::parse(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
}

fn kept(line: &str) -> String {
    let words: Vec<_> = parse(line)
        .again(|path| Some(path.to_owned()))
        .unwrap()
        .iter()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    words.join(" ")
}

#[test]
fn bundled_flags_tell_operation_and_refresh() {
    for (line, operation, refresh) in [
        ("-Syu", Some(Operation::Sync), 1),
        ("-Syyuu", Some(Operation::Sync), 2),
        ("-S -y -y -u", Some(Operation::Sync), 2),
        ("--sync --refresh --refresh", Some(Operation::Sync), 2),
        ("-Fy", Some(Operation::Files), 1),
        ("-U http://x/y-1-1-any.pkg.tar.zst", Some(Operation::Upgrade), 0),
        ("foo -S bar -y", Some(Operation::Sync), 1),
        ("-Sw foo", Some(Operation::Sync), 0),
        ("-S -- -y", Some(Operation::Sync), 0),
        ("-SU", None, 0),
        ("foo", None, 0),
    ] {
        let parsed = parse(line);
        assert_eq!((parsed.operation, parsed.refresh), (operation, refresh), "{line}");
    }
    assert!(parse("-Syy").is_refresh_forced() && !parse("-Sy").is_refresh_forced());
    assert!(parse("-Sw x").download_only);
}

#[test]
fn values_are_found_glued_apart_and_shortened() {
    for line in ["-b /d", "-b/d", "--dbpath /d", "--dbpath=/d", "--dbp=/d", "-Sb /d", "-Syb/d", "-b /x -b /d"] {
        assert_eq!(parse(line).db_path, Some("/d".into()), "{line}");
    }
    for line in ["--config /c", "--config=/c", "--conf=/c"] {
        // "conf" also begins "confirm": ambiguous, as getopt_long says.
        assert_eq!(parse(line).config, (!line.starts_with("--conf=")).then(|| "/c".into()), "{line}");
    }
    let all = parse("-r /r --sysroot /s --cachedir /1 --cachedir=/2 --arch a --arch=b --gpgdir /g -Sy foo -");
    assert_eq!((all.root, all.sysroot, all.gpg_dir), (Some("/r".into()), Some("/s".into()), Some("/g".into())));
    assert_eq!((all.cache_dirs, all.architectures), (vec!["/1".into(), "/2".into()], vec!["a".into(), "b".into()]));
    assert_eq!(all.targets, ["foo", "-"]);
}

#[test]
fn the_value_of_one_option_is_never_taken_for_another() {
    let line = parse("-S --ignore --dbpath --ask -y --color=auto --unknown --debug=1 -by --unknown=-y");
    assert_eq!((line.refresh, line.db_path), (0, Some("y".into())));
    assert_eq!(parse("-Sy --dbpath").db_path, None);
    assert_eq!(parse("--").targets, [""; 0]);
    assert!(parse("-S -").reads_stdin());
}

#[test]
fn the_words_without_refresh_ask_for_the_same_transaction() {
    for (line, want) in [
        ("-Syu foo", "-Su foo"),
        ("-S -yy -u --refresh --ref", "-S -u"),
        ("-y -S foo", "-S foo"),
        ("-Syb /y foo", "-S --dbpath=/y foo"),
        ("-yb /d", "--dbpath=/d"),
        ("-Sy --config /y -- -y", "-S --config=/y -- -y"),
        ("-Suby", "-Su --dbpath=y"),
        ("-Syb", "-Sb"),
        ("-Sy --ignore a --dbpath", "-S --ignore a --dbpath"),
        ("-y-S foo", "-S foo"),
        ("-y- foo", "foo"),
    ] {
        assert_eq!(kept(line), want, "{line}");
    }
}

#[test]
fn what_is_run_elsewhere_has_absolute_paths_or_none() {
    let asked = parse("-Syu -b d --cachedir=c foo --config /e");
    let below = |path: &Path| Some(Path::new("/at").join(path));
    let words = |words: Option<Vec<OsString>>| words.unwrap().join(" ".as_ref()).into_string().unwrap();
    assert_eq!(words(asked.again(below)), "-Su --dbpath=/at/d --cachedir=/at/c foo --config=/e");
    assert_eq!(words(asked.path_words(below)), "--dbpath=/at/d --cachedir=/at/c --config=/e");
    assert_eq!(asked.again(|_| None), None);
}

#[test]
fn words_behind_a_list_have_two_meanings() {
    let other = |line: &str| Arguments::parse_otherwise(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
    for (line, ignored, targets) in [
        ("-Su --ignore a b --noconfirm c", "a,b", "c"),
        ("-Su --ignore=a b c", "a,b,c", ""),
        ("-S x --overwrite * y --ignoreg g h --ignore a", "a", "x"),
        ("-S --ignore a b -- c d", "a,b", "c d"),
        ("-S --dbpath d --ignore a b -b d e", "a,b", "e"),
    ] {
        let read = other(line).unwrap();
        assert_eq!(
            (read.ignored.join(","), &*read.targets.join(" ".as_ref())),
            (ignored.into(), targets.as_ref()),
            "{line}"
        );
    }
    for plain in [
        "-Su a b",
        "-Su a --ignore b",
        "-Su --ignore a -y",
        "-S --dbpath d a",
        "-S --ignore",
        "-S -- --ignore a b",
        "-S -b --ignore a b",
    ] {
        assert_eq!(other(plain), None, "{plain}");
    }
}

#[test]
fn what_decides_about_questions_is_found() {
    let asked = parse("-Su --ignore a,b --ignore=c --ignoregroup g --noconfirm");
    assert_eq!((asked.ignored, asked.ignored_groups), (["a", "b", "c"].map(String::from).to_vec(), vec!["g".into()]));
    assert!(asked.upgrade && asked.no_confirm && !asked.turns_answers);
    assert!(!parse("-S --noconfirm --confirm").no_confirm && parse("-S --ask 4").turns_answers);
    assert!(parse("-S --sysupgrade").upgrade && !parse("-S upgrade").upgrade);
}
