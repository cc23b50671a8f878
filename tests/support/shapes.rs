//! pacman.conf files as found in practice. `AT` stands for the directory of the file.

/// Lists a name for each special case, and the text.
pub fn shapes() -> Vec<(&'static str, Vec<u8>)> {
    let text = |text: &str| text.as_bytes().to_vec();
    let crlf = ARCH.replace('\n', "\r\n").into_bytes();
    vec![
        ("as Arch ships it", text(ARCH)),
        ("as Debian ships it", text(DEBIAN)),
        ("CRLF", crlf),
        (
            "an XferCommand of its own",
            text(&DEBIAN.replace("#XferCommand = /usr/bin/curl", "XferCommand = /usr/bin/curl")),
        ),
        (
            "two XferCommands, of which the last one wins",
            text(
                "[options]\nXferCommand = /usr/bin/wget -O %o %u\nColor\n\tXferCommand=/usr/bin/curl -o %o %u\n[core]\nServer = https://m.example/$repo\n",
            ),
        ),
        (
            "ILoveCandy and no end of the last line",
            text("[options]\nColor\nILoveCandy\n[core]\nServer = https://m.example/core"),
        ),
        (
            "options at the end",
            text("# mine\n\n[core]\nServer = https://m.example/core\n\n[options]\nColor\nCheckSpace\n"),
        ),
        (
            "options twice, with a command in the second",
            text(
                "[options]\nColor\n[core]\nServer = https://m.example/core\n[options]\nXferCommand = /usr/bin/curl -o %o %u\nCheckSpace\n",
            ),
        ),
        (
            "includes in options and in repositories",
            text(
                "[options]\nInclude = AT/options.conf\nArchitecture = auto\nColor\n\n[core]\nInclude = AT/mirrorlist\n\n[extra]\nInclude = AT/mirrorlist\n",
            ),
        ),
        (
            "odd white space",
            text(
                "\n \t\n  [options]  \n\tColor\n   CheckSpace   \n#\tXferCommand\t=\t/x\n\n\n\t[core]\n  Server\t=\thttps://m.example/core  \n\n",
            ),
        ),
        (
            "Latin-1 in a comment",
            b"[options]\n# f\xfcr Umlaute \xe9\nColor\n[core]\nServer = https://m.example/core\n".to_vec(),
        ),
        ("no options", text("[core]\nServer = https://m.example/core\n")),
        ("a header and nothing else", text("[options]")),
        (
            "a command in the wrong section",
            text("[options]\nColor\n[core]\nServer = https://m.example/core\n#XferCommand = /usr/bin/curl -o %o %u\n"),
        ),
    ]
}

/// The files that the shapes include.
pub const INCLUDED: &[(&str, &str)] = &[
    ("options.conf", "VerbosePkgLists\n"),
    ("mirrorlist", "# mirrors\nServer = https://m.example/$repo/os/$arch\nServer = https://n.example/$repo/os/$arch\n"),
];

const ARCH: &str = "\
#
# /etc/pacman.conf
#
# See the pacman.conf(5) manpage for option and repository directives

#
# GENERAL OPTIONS
#
[options]
# The following paths are commented out with their default values listed.
# If you wish to use different paths, uncomment and update the paths.
#RootDir     = /
#DBPath      = /var/lib/pacman/
#CacheDir    = /var/cache/pacman/pkg/
#LogFile     = /var/log/pacman.log
#GPGDir      = /etc/pacman.d/gnupg/
#HookDir     = /etc/pacman.d/hooks/
HoldPkg     = pacman glibc
#XferCommand = /usr/bin/curl -L -C - -f -o %o %u
#XferCommand = /usr/bin/wget --passive-ftp -c -O %o %u
#CleanMethod = KeepInstalled
Architecture = auto

# Pacman won't upgrade packages listed in IgnorePkg and members of IgnoreGroup
#IgnorePkg   =
#IgnoreGroup =

#NoUpgrade   =
#NoExtract   =

# Misc options
#UseSyslog
#Color
#NoProgressBar
CheckSpace
#VerbosePkgLists
ParallelDownloads = 5
DownloadUser = nobody
#DisableSandbox

# By default, pacman accepts packages signed by keys that its local keyring
# trusts (see pacman-key and its man page), as well as unsigned packages.
SigLevel    = Required DatabaseOptional
LocalFileSigLevel = Optional
#RemoteFileSigLevel = Required

# NOTE: You must run `pacman-key --init` before first using pacman; the local
# keyring can then be populated with the keys of all official Arch Linux
# packagers with `pacman-key --populate archlinux`.

#[core-testing]
#Include = /etc/pacman.d/mirrorlist

[core]
Include = AT/mirrorlist

#[extra-testing]
#Include = /etc/pacman.d/mirrorlist

[extra]
Include = AT/mirrorlist

#[multilib]
#Include = /etc/pacman.d/mirrorlist

# An example of a custom package repository.  See the pacman manpage for
# tips on creating your own repositories.
#[custom]
#SigLevel = Optional TrustAll
#Server = file:///home/custompkgs
";

const DEBIAN: &str = "\
# /etc/pacman.conf
[options]
#RootDir     = /
HoldPkg     = pacman glibc
#XferCommand = /usr/bin/curl -L -C - -f -o %o %u
#XferCommand = /usr/bin/wget --passive-ftp -c -O %o %u
Architecture = auto
CheckSpace
ParallelDownloads = 5
#SigLevel = Optional

#[custom]
#Include = /etc/pacman.d/mirrorlist
";
