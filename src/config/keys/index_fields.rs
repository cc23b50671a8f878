//! The fields of an index, beside the settings of the program.

/// The fields of an `[index.NAME]` table and their meaning. All are texts; `repos` is a list of them.
pub(crate) const INDEX_FIELDS: &[(&str, &str)] = &[
    ("key", "IPNS name (k51…) under which the index is published. Its record must carry the signature of this key."),
    (
        "minisign",
        "minisign public key. When it is given, every version of the index must carry its signature as well. One of \
         key and minisign is required; each one given is required of the index.",
    ),
    (
        "url",
        "http or https URL of a plain copy of the index, or a list of them: all are asked. It is proven like one that comes \
         over IPFS.",
    ),
    ("peers", "Addresses of peers that have it, /ip4/…/tcp/4001/p2p/12D3…, to which Kubo keeps connections."),
    ("repos", "Repositories that the index may speak for. Its entries about others are ignored."),
];
