//! What the commands about shares print.

use super::JsonOutput;

/// `keep run`.
pub(super) const RUN: JsonOutput = JsonOutput {
    page: "pkgswarm-keep-run",
    form: "One object a share.",
    fields: &[
        ("name", "The index."),
        ("postponed", "The reason why no round was made; null where one was."),
        ("quota", "The quota."),
        ("files", "Files that are kept."),
        ("bytes", "Bytes that they take on the disk at most."),
        ("taken", "Files that are new among them."),
        ("came", "Bytes that sources sent for these."),
        ("let_go", "Files that were let go."),
        ("missed", "Files that no source had."),
        ("notes", "What else there is to say, in words."),
    ],
};

/// `keep ls`.
pub(super) const LS: JsonOutput = JsonOutput {
    page: "pkgswarm-keep-ls",
    form: "One object a share.",
    fields: &[
        ("name", "The index."),
        ("system", "True where root keeps it, and this user only looks."),
        ("quota", "The quota."),
        ("files", "Files that are kept."),
        ("bytes", "Bytes that they take on the disk at most."),
        ("last", "Time at which the last round ended that did not fail."),
        ("failed", "The reason why a later one failed, in words; null where none did."),
        ("kept_in", "`kubo`, or `store` for the store of this machine."),
    ],
};

/// `keep status`.
pub(super) const STATUS: JsonOutput = JsonOutput {
    page: "pkgswarm-keep-status",
    form: "One object a share.",
    fields: &[
        ("name", "The index."),
        ("system", "True where root keeps it, and this user only looks."),
        ("quota", "The quota."),
        ("repos", "The repositories that are kept; empty for all."),
        ("min_free", "Room that stays free on Kubo's disk, as it is configured."),
        ("mirrors", "True where mirrors may be asked."),
        ("repo", "The path of Kubo's repository; null before the first round, and where it is not on this machine."),
        ("measured", "The path whose disk is measured for it; null where this user cannot look at that disk."),
        ("files", "Files that are kept."),
        ("bytes", "Bytes that they take on the disk at most."),
        ("root", "The pinned root; null where nothing is kept, and for a share in the store."),
        ("round", "The number of the last round; null before the first."),
        ("last", "Time at which the last round ended that did not fail."),
        ("failed", "The reason why a later one failed, in words; null where none did."),
        ("failures", "Rounds that failed since then."),
        ("notes", "What the last round had to say, in words."),
        ("index_files", "Files of the index that may be kept."),
        ("index_bytes", "Their bytes."),
        ("missing", "Files that no source had lately."),
        ("came", "Bytes that sources sent in all rounds."),
        (
            "kubo_sent",
            "Bytes that Kubo has sent since it started, of all that it has; null where it does not answer, and for a share in the store.",
        ),
        ("coverage.looked", "Files whose other holders were counted."),
        ("coverage.none", "Those of them with no other holder."),
        ("coverage.one", "Those with one."),
        ("coverage.two", "Those with two."),
        ("coverage.more", "Those with three or more."),
        ("kept_in", "`kubo`, or `store` for the store of this machine."),
        ("dir", "The directory there; null for a share in Kubo."),
        (
            "networks",
            "Trusted networks to which pkgswarm daemon serves a share in the store now; null where it serves none.",
        ),
        ("unserved", "The reason why it serves none, in words; null where it does, and for a share in Kubo."),
        ("offered", "Files of a share in the store that it offers; null where it does not tell."),
    ],
};

/// `keep stop`.
pub(super) const STOP: JsonOutput = JsonOutput {
    page: "pkgswarm-keep-stop",
    form: "One object.",
    fields: &[
        ("name", "The index."),
        ("files", "Files that were kept."),
        ("bytes", "Bytes that they took on the disk at most."),
        ("removed", "Those that came because of the share, and went with it."),
        ("left", "True where they stay, as the user's own."),
    ],
};
