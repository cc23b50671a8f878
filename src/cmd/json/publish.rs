//! What `publish` and `publish status` print.

use super::JsonOutput;

/// `publish`.
pub(super) const RUN: JsonOutput = JsonOutput {
    page: "pkgswarm-publish",
    form: "One object.",
    fields: &[
        ("did", "published, renewed or unchanged."),
        ("root", "The content id of the tree."),
        ("name", "The IPNS name; null with --offline."),
        ("sequence", "The index's sequence."),
        ("expires", "Time at which it expires."),
        ("files", "Files in it."),
        ("without_bytes", "Packages of them that are listed without their bytes (content)."),
        ("unlisted", "Packages that the mirrors have and the index does not list yet (backfill)."),
        ("unlisted_bytes", "Their bytes."),
        ("new_files", "Those that the last one did not have."),
        ("sent", "Bytes of blocks that went to Kubo."),
        ("archive", "Null, or files, with_bytes, size, since and oldest of what is archived."),
    ],
};

/// `publish status`.
pub(super) const STATUS: JsonOutput = JsonOutput {
    page: "pkgswarm-publish-status",
    form: "One object a publication.",
    fields: &[
        ("name", "The publication."),
        ("file", "The file that describes it."),
        ("well", "Whether all is well."),
        ("problems[].problem", "What is not."),
        ("problems[].fix", "The next step."),
        ("run", "Time at which the last run began."),
        ("took_ms", "Milliseconds that it took."),
        (
            "result",
            "published, renewed or unchanged; late: no mirror delivered anything newer; partly: a target lacks it; unheld: all \
             targets have it, and a cluster or service does not hold it; failed; alarm: a mirror may be lying.",
        ),
        ("why", "The reason, unless it went well."),
        ("last_well", "Time of the last run that went well."),
        ("alarm_since", "Time of the first run that did not go well, since the last one that did."),
        ("next", "Time at which systemd's timer runs it next."),
        ("waiting.files", "Files that were fetched and are not at every target yet."),
        ("waiting.bytes", "Their bytes."),
        ("index.publisher", "The publisher's name."),
        ("index.name", "The IPNS name."),
        ("index.root", "The content id of the tree."),
        ("index.sequence", "The index's sequence."),
        ("index.created", "Time at which it was made."),
        ("index.expires", "Time at which it expires."),
        ("index.files", "Files in it."),
        ("index.without_bytes", "Packages whose bytes are not in the tree."),
        ("index.new_files", "Those that the last run published."),
        ("index.sent", "Bytes of blocks that it sent to Kubo."),
        ("index.repos[].repo", "A repository."),
        ("index.repos[].arch", "Its architecture."),
        ("index.repos[].packages", "Packages in it."),
        ("index.repos[].size", "Their bytes."),
        ("index.repos[].lastupdate", "Upstream's time of this state."),
        ("index.repos[].unlisted", "Packages that its database names and the index does not list yet (backfill)."),
        ("index.repos[].unlisted_bytes", "Their bytes."),
        ("index.repos[].archive.files", "Superseded files in its archive, where it has one."),
        ("index.repos[].archive.with_bytes", "Those of them whose bytes are kept."),
        ("index.repos[].archive.size", "Their bytes."),
        ("index.repos[].archive.since", "Time from which on the archive tells what was there."),
        ("index.repos[].archive.oldest", "Time at which the first of these files left."),
        ("index.targets[].target", "A target."),
        ("index.targets[].lacks", "The reason why it lacks the publication; null when it has it."),
    ],
};
