//! Examples of each command: in its help, and in the manual as EXAMPLES.

/// The examples of one command: command lines, each with its purpose. The name is that of the manual page.
pub(crate) type Examples = (&'static str, &'static [(&'static str, &'static str)]);

/// All examples, in the order of the commands.
pub(crate) const EXAMPLES: &[Examples] = &[
    (
        "pkgswarm",
        &[
            ("sudo pkgswarm setup", "Have pacman use pkgswarm: shows each change and asks."),
            ("sudo pacman -Syu", "From then on pacman downloads with it."),
            ("pkgswarm status", "What is in use, shared and pending."),
            ("pkgswarm why firefox", "Where a package would come from, and by which proof."),
        ],
    ),
    (
        "pkgswarm-setup",
        &[
            ("sudo pkgswarm setup", "Ask about each part."),
            ("pkgswarm setup -n", "Show what it would change, and change nothing."),
            ("sudo pkgswarm setup -y --only pacman,prefetch", "Do these parts without asking."),
            ("sudo pkgswarm setup --undo", "Put everything back."),
        ],
    ),
    (
        "pkgswarm-status",
        &[
            ("pkgswarm status", "One line for each question, and the neighbours."),
            ("pkgswarm status --long", "Peer ids, addresses and every pending update too."),
        ],
    ),
    (
        "pkgswarm-doctor",
        &[
            ("pkgswarm doctor", "What to fix, with the commands."),
            ("pkgswarm doctor --notes", "What could be better, too."),
        ],
    ),
    (
        "pkgswarm-why",
        &[
            ("pkgswarm why firefox", "Of the newest version that is listed."),
            ("pkgswarm why --long zlib-1:1.3.1-2", "Of a version, with digests and paths."),
        ],
    ),
    ("pkgswarm-stats", &[("pkgswarm stats", "Of the last 30 days."), ("pkgswarm stats --days 1", "Of today.")]),
    (
        "pkgswarm-fetch",
        &[
            ("pkgswarm fetch firefox", "The newest version that is listed, into this directory."),
            ("pkgswarm fetch -d /tmp zlib xz", "Two packages, into another one."),
            ("pkgswarm fetch -o - ipfs://CID/README | less", "A file of a tree in IPFS."),
            ("pkgswarm fetch --source lan linux", "From neighbours or not at all."),
            (
                "pkgswarm fetch linux-6.17.9.arch1-1",
                "A version that the repository had before, if an index remembers it.",
            ),
            (
                "pkgswarm fetch --as-of 2026-11-20 --mirror https://archive.archlinux.org/packages/.all linux",
                "The version of that day, from a mirror that keeps old ones as well.",
            ),
        ],
    ),
    (
        "pkgswarm-prefetch",
        &[
            ("sudo pkgswarm prefetch", "Fetch what is pending."),
            ("sudo pkgswarm prefetch -n", "List what is pending, and fetch none."),
            ("sudo pkgswarm prefetch --only linux --now", "One package, whatever connection this is."),
        ],
    ),
    (
        "pkgswarm-store",
        &[
            ("pkgswarm store ls", "What is kept."),
            ("sudo pkgswarm store clean", "Make room in the store of pacman's downloads."),
        ],
    ),
    ("pkgswarm-store-ls", &[("pkgswarm store ls", "What is kept, its size, and why.")]),
    (
        "pkgswarm-store-clean",
        &[
            ("sudo pkgswarm store clean -n", "Show what would go from the store of pacman's downloads."),
            ("pkgswarm store clean", "Clean this user's own store."),
        ],
    ),
    (
        "pkgswarm-config",
        &[
            ("pkgswarm config --changed", "What is not the default, and where that was set."),
            ("pkgswarm config store.max", "One value."),
            ("pkgswarm --set kubo.enabled=false fetch zlib", "One setting for one run."),
        ],
    ),
    (
        "pkgswarm-lan",
        &[
            ("sudo pkgswarm lan trust", "Share with the network that this machine is in."),
            ("pkgswarm lan ls", "The networks here, and those that are trusted."),
        ],
    ),
    (
        "pkgswarm-lan-trust",
        &[
            ("sudo pkgswarm lan trust", "The networks that this machine is in."),
            ("sudo pkgswarm lan trust 192.168.1.0/24@aa:bb:cc:dd:ee:ff", "One that it is not in now."),
        ],
    ),
    ("pkgswarm-lan-ls", &[("pkgswarm lan ls", "The networks here, and those that are trusted.")]),
    (
        "pkgswarm-lan-forget",
        &[
            ("sudo pkgswarm lan forget", "The networks that this machine is in."),
            ("sudo pkgswarm lan forget 192.168.1.0/24", "One range, with every router."),
        ],
    ),
    (
        "pkgswarm-shared",
        &[("pkgswarm shared", "What is offered, and to whom."), ("sudo pkgswarm shared off", "Offer nothing.")],
    ),
    (
        "pkgswarm-daemon",
        &[("sudo systemctl enable --now pkgswarm-daemon", "As setup does it: at once, and at each boot.")],
    ),
    (
        "pkgswarm-endpoint",
        &[
            ("pkgswarm --set endpoint.enabled=true endpoint", "As this user, until ^C."),
            (
                "curl -I http://127.0.0.1:4011/core/os/x86_64/zlib-1:1.3.1-2-x86_64.pkg.tar.zst",
                "Ask whether it has a package.",
            ),
        ],
    ),
    (
        "pkgswarm-index",
        &[
            ("sudo pkgswarm index add arch k51…", "Use an index, for pacman's downloads too."),
            ("pkgswarm index ls", "Their ages, and how the last refresh went."),
        ],
    ),
    (
        "pkgswarm-index-add",
        &[
            ("sudo pkgswarm index add arch k51… --repo core", "By its IPNS name, for one repository."),
            ("sudo pkgswarm index add own RW… --url https://…", "A plain copy, signed by minisign."),
        ],
    ),
    ("pkgswarm-index-ls", &[("pkgswarm index ls", "Their ages, and how the last refresh went.")]),
    (
        "pkgswarm-index-refresh",
        &[("pkgswarm index refresh", "All of them."), ("pkgswarm index refresh --due arch", "One, if it is due.")],
    ),
    ("pkgswarm-index-show", &[("pkgswarm index show --entries arch", "Every file that it lists.")]),
    (
        "pkgswarm-index-audit",
        &[
            ("pkgswarm index audit", "pacman's caches against every list."),
            ("pkgswarm index audit arch ./built", "One directory against one index."),
            ("pkgswarm index audit --against arch other", "Two publishers of the same repositories."),
        ],
    ),
    ("pkgswarm-index-rm", &[("sudo pkgswarm index rm arch", "Stop using it.")]),
    (
        "pkgswarm-group",
        &[
            ("sudo pkgswarm group init --name lab", "Begin a group here; it writes lab.group."),
            ("sudo pkgswarm group join lab.group", "On another machine, with that file."),
            ("sudo pkgswarm group status", "Members, pins, and whether all know of the same ones."),
        ],
    ),
    (
        "pkgswarm-group-init",
        &[
            ("sudo pkgswarm group init --name lab", "At this machine's own addresses."),
            ("sudo pkgswarm group init --name lab --at lab.example.org", "Where a router forwards its ports."),
        ],
    ),
    ("pkgswarm-group-join", &[("sudo pkgswarm group join lab.group", "By the file that init has written.")]),
    ("pkgswarm-group-status", &[("sudo pkgswarm group status", "All groups of this machine.")]),
    ("pkgswarm-group-leave", &[("sudo pkgswarm group leave lab", "Remove it, with all that its Kubo holds.")]),
    (
        "pkgswarm-haiku",
        &[
            ("sudo pkgswarm haiku add HaikuPorts https://…/current", "Serve a repository, proven by Haiku's key."),
            ("pkgswarm haiku steps HaikuPorts", "What to type on Haiku."),
        ],
    ),
    (
        "pkgswarm-haiku-add",
        &[
            ("sudo pkgswarm haiku add HaikuPorts https://…/current", "One of Haiku's own."),
            ("sudo pkgswarm haiku add own https://… --minisign RW…", "One with a key of its own."),
        ],
    ),
    ("pkgswarm-haiku-ls", &[("pkgswarm haiku ls", "Their packages, and the age of their lists.")]),
    ("pkgswarm-haiku-refresh", &[("sudo pkgswarm haiku refresh", "All of them.")]),
    (
        "pkgswarm-haiku-steps",
        &[
            ("pkgswarm haiku steps HaikuPorts", "With this machine's address."),
            ("pkgswarm haiku steps HaikuPorts --address 10.0.0.5:4011", "With another one."),
        ],
    ),
    ("pkgswarm-haiku-rm", &[("sudo pkgswarm haiku rm HaikuPorts", "Stop serving it.")]),
    (
        "pkgswarm-keep",
        &[
            ("sudo pkgswarm keep arch --quota 40G", "Keep 40 GiB of the index arch alive."),
            ("sudo pkgswarm keep arch --quota 60G --mirrors", "More, from mirrors too."),
        ],
    ),
    ("pkgswarm-keep-run", &[("sudo pkgswarm keep run --now arch", "Make a round at once.")]),
    ("pkgswarm-keep-ls", &[("pkgswarm keep ls", "Their sizes, and how the last round went.")]),
    ("pkgswarm-keep-status", &[("pkgswarm keep status arch", "What is kept, and how well the index is covered.")]),
    (
        "pkgswarm-keep-stop",
        &[
            ("sudo pkgswarm keep stop arch", "Give the room back."),
            ("sudo pkgswarm keep stop --leave arch", "Keep the files, as your own."),
        ],
    ),
    (
        "pkgswarm-publish",
        &[
            ("pkgswarm publish core extra", "Under the Kubo key pkgswarm; made when there is none."),
            ("pkgswarm publish arch", "As /etc/pkgswarm/publish.d/arch.toml says."),
            ("pkgswarm publish --offline --out tree --minisign-key key core", "For a plain HTTP server, without Kubo."),
        ],
    ),
    (
        "pkgswarm-publish-status",
        &[
            ("pkgswarm publish status", "Whether all publications of this machine are well."),
            ("pkgswarm publish status arch || mail -s arch root", "For a monitor of your own."),
        ],
    ),
    ("pkgswarm-cid", &[("pkgswarm cid *.pkg.tar.zst", "As sha256sum prints digests.")]),
    (
        "pkgswarm-xfer",
        &[
            ("XferCommand = /usr/bin/pkgswarm xfer %u %o", "In pacman.conf; `pkgswarm setup` writes it."),
            ("DLAGENTS=('https::/usr/bin/pkgswarm xfer %u %o')", "In makepkg.conf."),
        ],
    ),
];

/// Returns the examples of a command, by the name of its manual page.
pub(crate) fn of(page: &str) -> &'static [(&'static str, &'static str)] {
    EXAMPLES.iter().find(|(name, _)| *name == page).map_or(&[], |(_, examples)| examples)
}
