//! What the file of a publication may say, for its reader and for the manual.

/// The keys of the file and their meaning, for the manual. Those with a dot stand in the table before it.
pub(crate) const PUBLICATION_KEYS: &[(&str, &str)] = &[
    ("publisher", "Name of the publisher in the index. Default: the name of the file."),
    (
        "lifetime",
        "How long the index is valid, a span of at least 10 min. Default: 48 h. A run renews it when half is over.",
    ),
    (
        "content",
        "What is kept of the packages: \"all\", \"recent\" or \"none\". Of those that are not kept, the index has the entry and, \
         above 1 MiB and up to 1 GiB, the root block: a client proves each MiB with it, whatever its source, mirrors \
         included. Their bytes are in no target and not in the plain tree. A smaller file is its own root block, and one that \
         is larger has two levels of them: of these, the entry alone stays. Default: \"all\".",
    ),
    (
        "recent.age",
        "Days since a package was built, like \"30 d\", for content = \"recent\": older ones are not kept. By the database's \
         date; one without a date is old.",
    ),
    (
        "recent.size",
        "Most bytes of packages that are kept, like \"50 GB\", for content = \"recent\": the newest first.",
    ),
    (
        "backfill",
        "Most bytes a day, like \"5 GB\", for packages that a mirror had before this publisher began: the index begins with \
         what is new, and lists the others as they come, the newest first. Default: everything comes with the first run.",
    ),
    (
        "retention.age",
        "Days for which a file that has left the databases stays in the archive, like \"90 d\": the index goes on proving it, \
         for pkgswarm fetch NAME-VERSION and --as-of DATE. Default: there is no archive.",
    ),
    (
        "retention.versions",
        "Most superseded files of one package in the archive, the last ones, like 3. With retention.age too, both hold.",
    ),
    (
        "retention.size",
        "Most bytes of archived files that Kubo keeps, like \"50 GB\": what left first goes first, and its entry and root \
         block stay. What content does not keep is not kept here either. Default: the bytes of all that is archived.",
    ),
    ("keys.kubo", "Name of the Kubo key to publish under; made when there is none. Default: the publisher's name."),
    (
        "keys.minisign",
        "Secret key of minisign to sign the manifest with: the name of a systemd credential, or the absolute path of a \
         file that only its owner may read (mode 0600).",
    ),
    ("keys.password", "Password of that key, where it has one: a credential or a file in the same way."),
    (
        "sources.directories",
        "Absolute paths of directories made by repo-add: databases, packages and signatures, a mirror kept by rsync \
         included; and of Haiku's repositories and images. What a list names must be there, else nothing is published.",
    ),
    (
        "sources.haiku_key",
        "minisign public key that must have signed the lists of Haiku's repositories, and images; \"none\" for those without \
         a signature, which do not count for clients of this program. Default: the key of Haiku's own.",
    ),
    (
        "sources.mirrors",
        "Mirrors to follow instead, as in pacman's mirror list: https://HOST/…/$repo/os/$arch. Databases count when they \
         came over https, or when two hosts have the same; packages may come from each.",
    ),
    ("sources.repos", "The repositories to follow."),
    ("sources.architectures", "Their architectures. Default: that of this machine."),
    (
        "sources.keyring",
        "A keyring of OpenPGP: every package that comes from a mirror needs a signature of a key in it, which gpgv checks, \
         and so does a database that has one. What was published without a keyring is fetched once more to be checked. gpgv \
         knows neither expiry nor revocation.",
    ),
    (
        "sources.files",
        "true: follow the lists of files (REPO.files, for pacman -F) as well; they are larger than databases and change as \
         often. Default: false.",
    ),
    ("targets.kubo", "false: build and sign without Kubo, into targets.out. Default: true."),
    (
        "targets.out",
        "Absolute path of a directory for manifest, signature, tables and root blocks: a plain copy for any HTTP server.",
    ),
    (
        "find.peers",
        "Addresses of the publisher's own IPFS nodes, /ip4/…/tcp/4001/p2p/12D3…: Kubo of each user keeps a connection to \
         them. Private ones are refused.",
    ),
    ("find.gateways", "https URLs of trustless gateways that have the index."),
    (
        "followers.secret",
        "The secret of an ipfs-cluster of [pins.NAME], from its service.json: a credential or a file, as for keys.minisign. \
         With it, the tree gets a template for ipfs-cluster-follow and a page that says how to use it, and so this secret \
         becomes public. Its holders can join the cluster and hold what it pins. They cannot write as long as trusted_peers \
         in that file names the writers: its default, *, lets all write.",
    ),
    ("followers.pins", "The NAME of that [pins.NAME]. Default: the only one with a cluster."),
    (
        "followers.cluster_name",
        "consensus.crdt.cluster_name of the same service.json: peers that have another one hear nothing of its pins. Default: \
         \"ipfs-cluster\", as there.",
    ),
    (
        "followers.writers",
        "Addresses of the cluster's peers that followers connect to, and whose pins they accept, /ip4/…/tcp/9096/p2p/12D3…. \
         Private ones are told to followers where they stand here. Default: the public addresses of the peer at that \
         cluster's REST API, and that peer alone.",
    ),
    (
        "alarm.command",
        "A shell command to run when runs begin to fail, when they fail in another way, and once a day while they do: with \
         the reason on its standard input and the name of the publication in $PKGSWARM_PUBLICATION. A mistake in this file is \
         told too, as far as this key can be read. Besides it, the exit status of every run tells, so that OnFailure= of \
         systemd works.",
    ),
    (
        "alarm.webhook",
        "An http or https URL that gets the same as a POST with a JSON body, and once more when all is well again; or the \
         credential or file, as for keys.minisign, that holds the URL. The body has publication, publisher, result (late, \
         partly, unheld, failed or alarm; else the word of a run that went well), why, hint, since and run, in Unix seconds.",
    ),
];
