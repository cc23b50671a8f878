//! Every setting in one table: the parser, `pkgswarm config`, the manual and the example file come from it.

use super::key::{SettingKey, Shape};

mod index_fields;

pub(crate) use index_fields::INDEX_FIELDS;

/// The table, in the order of the manual.
pub(crate) const KEYS: &[SettingKey] = &[
    SettingKey {
        name: "store.dir",
        shape: Shape::PathOr("auto", |it| &mut it.store_dir),
        default: "auto",
        doc: "Directory of partial and proven files until pacman has them. `auto` is /var/cache/pkgswarm for root \
              and for its owner, else the user's cache directory.",
    },
    SettingKey {
        name: "store.max",
        shape: Shape::Size(|it| &mut it.store_max),
        default: "4 GiB",
        doc: "Size limit of the store; the oldest files are removed first. A file is also removed once it is proven in \
              a CacheDir of pacman, and as soon as it is handed out where less than 1 GiB of the disk would be free.",
    },
    SettingKey {
        name: "state.dir",
        shape: Shape::PathOr("auto", |it| &mut it.state_dir),
        default: "auto",
        doc: "Directory of indexes and their highest sequences. `auto` is /var/lib/pkgswarm for root and for its \
              owner, else the user's data directory.",
    },
    SettingKey {
        name: "download.user",
        shape: Shape::Name(|it| &mut it.download_user),
        default: "auto",
        doc: "Unprivileged user that does all work on foreign bytes for root. `auto` is the owner of store.dir, \
              else the first of pkgswarm, alpm or `nobody` that exists; where none of them does, the number 65534, \
              for which no file is kept. `root` has root do it all itself. It does so too where the kernel lets it \
              become no other user, as in containers, with one warning; then only a store of its own is used.",
    },
    SettingKey {
        name: "download.connect",
        shape: Shape::Span(|it| &mut it.download_connect),
        default: "5 s",
        doc: "Longest wait for a connection to a mirror or gateway, name look-up included.",
    },
    SettingKey {
        name: "download.stall",
        shape: Shape::Span(|it| &mut it.download_stall),
        default: "5 s",
        doc: "Longest silence of a source before the next one takes over. Counted from the last byte.",
    },
    SettingKey {
        name: "download.patience",
        shape: Shape::Span(|it| &mut it.download_patience),
        default: "30 s",
        doc: "Time for which the last source that is left may send less than 1 B/s on average, before the download \
              fails. pacman's DisableDownloadTimeout and --disable-download-timeout lift this.",
    },
    SettingKey {
        name: "download.floor",
        shape: Shape::Size(|it| &mut it.download_floor),
        default: "10 KiB",
        doc: "Bytes a second below which a source is left for the next one, measured over download.stall. The last \
              source that is left is kept (see download.patience).",
    },
    SettingKey {
        name: "ahead.enabled",
        shape: Shape::YesNo(|it| &mut it.ahead_enabled),
        default: "true",
        doc: "Whether the first package call of a pacman run starts fetching all files that pacman is about to ask \
              for, packages and signatures, in the background. Later calls then find their files in the store.",
    },
    SettingKey {
        name: "ahead.parallel",
        shape: Shape::NumberOrAuto(1, 16, |it| &mut it.ahead_parallel),
        default: "auto",
        doc: "Number of files fetched at a time, each over a connection of its own where the mirror speaks HTTP/1.1. \
              `auto` is ParallelDownloads of pacman.conf, which is 1 where it is not set; from a mirror that speaks HTTP/2, \
              up to 32 small files then come beside them, all over one connection.",
    },
    SettingKey {
        name: "mirrors.split",
        shape: Shape::Number(1, 8, |it| &mut it.mirrors_split),
        default: "1",
        doc: "Number of mirrors that may send parts of one file at the same time. Mirrors are run for the public by \
              people who pay for them, so it is one; a higher number is for fast lines with slow mirrors. Each is then \
              asked for at least 16 MiB at a time, so that only files of 32 MiB and more are split. A wrong part is \
              detected and traced to its mirror where an index names the file's CID and Kubo or a gateway has its root \
              block; else the whole file is proven at the end, and fetched again from one mirror if that fails.",
    },
    SettingKey {
        name: "pacman.conf",
        shape: Shape::Path(|it| &mut it.pacman_conf),
        default: "/etc/pacman.conf",
        doc: "The pacman.conf with repositories, servers and caches. The one that pacman itself was started with \
              (--config) takes precedence.",
    },
    SettingKey {
        name: "database.from_index",
        shape: Shape::Repos(|it| &mut it.database_from_index),
        default: "",
        doc: "Repositories whose database may be newer than the mirror's: as one whole snapshot, from the newest \
              index in use that lists it, is not expired, and does not say that its publisher lacks the packages. It \
              is used only when it is newer, comes from Kubo or a gateway at once, and -yy was not given; packages that the mirror does not have yet then come from \
              there too. Everywhere else the mirror decides what is current, and an index only saves its bytes; \
              only when no mirror answers is the newest snapshot used for any repository. None by default.",
    },
    SettingKey {
        name: "kubo.enabled",
        shape: Shape::Choice(&["auto", "true", "false"], |it| &mut it.kubo_enabled),
        default: "auto",
        doc: "Whether the local Kubo daemon is asked. `auto` asks unless the environment sets a proxy, because \
              Kubo's own connections would go around it.",
    },
    SettingKey {
        name: "kubo.api",
        shape: Shape::Api(|it| &mut it.kubo_api),
        default: "http://127.0.0.1:5001",
        doc: "Kubo's RPC address: a URL, unix: and the path of a socket, or the content of Kubo's own file `api` \
              (/ip4/127.0.0.1/tcp/5001, /unix/run/ipfs/api.sock). Used by publish and index refresh, and to keep \
              kubo.keep; never for file bytes.",
    },
    SettingKey {
        name: "kubo.token_file",
        shape: Shape::PathOr("none", |it| &mut it.kubo_token_file),
        default: "none",
        doc: "File with the secret that Kubo's RPC asks for (API.Authorizations): one line as in Kubo's \
              AuthSecret, bearer:TOKEN or basic:USER:PASSWORD. It must be readable by the users that run pkgswarm, \
              download.user among them, and by no others. It is sent to kubo.api alone and never shown.",
    },
    SettingKey {
        name: "kubo.gateway",
        shape: Shape::Url(|it| &mut it.kubo_gateway),
        default: "http://127.0.0.1:8080",
        doc: "Kubo's gateway address. `localhost` is read as 127.0.0.1, because Kubo redirects the name.",
    },
    SettingKey {
        name: "kubo.head_start",
        shape: Shape::Span(|it| &mut it.kubo_head_start),
        // The requests themselves cost extra time, and the sum is to stay below 0.3 s: `tests/bench --case
        // miss-hung --case miss-empty`.
        default: "250 ms",
        doc: "Time for which Kubo may look for files before mirrors are asked as well: the total for one pacman \
              run, not for each file. At most 5 s. One file gets less of it where Kubo lacked the last files, down \
              to 50 ms.",
    },
    SettingKey {
        name: "kubo.search",
        shape: Shape::Choice(&["last", "always", "never"], |it| &mut it.kubo_search),
        default: "last",
        doc: "Whether Kubo may search the whole network (DHT, delegated routers) for a file that no connected peer \
              has. Such a search takes seconds and tells strangers which file is wanted, and a mirror has long \
              delivered by then: so `last` searches only when no mirror has delivered, `always` from the start, \
              `never` not at all. Neighbours and other connected peers are asked in any case.",
    },
    SettingKey {
        name: "kubo.keep",
        shape: Shape::Size(|it| &mut it.kubo_keep),
        default: "2 GiB",
        doc: "Size limit of the files that Kubo cached for pkgswarm; the oldest are removed first, except those \
              that a pin or MFS (ipfs files) keeps. Files that were in Kubo before are never removed.",
    },
    SettingKey {
        name: "kubo.share",
        shape: Shape::Choice(&["no", "installed"], |it| &mut it.kubo_share),
        default: "no",
        doc: "With `installed`, what pacman has installed from public repositories goes into Kubo where it runs, so that \
              others can have it from this machine: from repositories whose servers all have public addresses, or that \
              share.repos names; from pacman's cache, in the background once pacman has ended, each file once, the newest as far as kubo.keep allows, which also trims them. \
              Kubo keeps a copy of its own, tells the network which of these files it has, and is filled to nine tenths \
              of Datastore.StorageMax at most.",
    },
    SettingKey {
        name: "kubo.peering",
        shape: Shape::YesNo(|it| &mut it.kubo_peering),
        default: "true",
        doc: "Whether Kubo keeps connections (swarm/peering) to the peers that indexes in use name: at most 4 of one \
              index, 16 in all. Its own peerings stay as they are.",
    },
    SettingKey {
        name: "lan.enabled",
        shape: Shape::Choice(&["auto", "true", "false"], |it| &mut it.lan_enabled),
        default: "auto",
        doc: "Whether the daemon is asked for the files of neighbours. `auto` asks unless the environment sets a \
              proxy. Where no daemon runs, neighbours are not asked.",
    },
    SettingKey {
        name: "lan.networks",
        shape: Shape::Networks(|it| &mut it.lan_networks),
        default: "",
        doc: "Networks that are trusted: ranges, each better with @ and the hardware address of its router \
              (192.168.1.0/24@aa:bb:cc:dd:ee:ff), or `any` for every private network. On other networks the daemon \
              neither asks nor answers. Public addresses are never trusted. None by default; `pkgswarm lan trust` \
              adds one.",
    },
    SettingKey {
        name: "lan.interfaces",
        shape: Shape::Interfaces(|it| &mut it.lan_interfaces),
        default: "",
        doc: "Interfaces on which the daemon listens, announces itself and looks for others: names, with `*` and \
              `?` as wildcards (`en* wl*`). All by default. The network there must be trusted all the same. A \
              running daemon applies a change at once.",
    },
    SettingKey {
        name: "lan.port",
        shape: Shape::Number(0, u32::MAX, |it| &mut it.lan_port),
        default: "4010",
        doc: "TCP port of the daemon on trusted networks; any free one where it is in use, and 0 is any free one. \
              A firewall must let it in, and UDP 5353 (multicast DNS).",
    },
    SettingKey {
        name: "lan.peers",
        shape: Shape::Words(|it| &mut it.lan_peers),
        default: "",
        doc: "Daemons and Kubo nodes in other private networks, which multicast DNS does not find: multiaddresses \
              over TCP with the peer id, like /ip4/10.1.2.3/tcp/4010/p2p/12D3KooW…; `pkgswarm status --long` \
              shows one's own.",
    },
    SettingKey {
        name: "lan.peers_most",
        shape: Shape::Number(0, u32::MAX, |it| &mut it.lan_peers_most),
        default: "32",
        doc: "Most peers that the daemon is connected to at a time.",
    },
    SettingKey {
        name: "lan.share",
        shape: Shape::YesNo(|it| &mut it.lan_share),
        default: "true",
        doc: "Whether the daemon offers files to neighbours at all; share.repos selects the repositories. \
              `pkgswarm shared on` and `off` switch it.",
    },
    SettingKey {
        name: "lan.upload",
        shape: Shape::Size(|it| &mut it.lan_upload),
        default: "0",
        doc: "Bytes a second that the daemon sends to all peers together; 0 is no limit.",
    },
    SettingKey {
        name: "lan.upload_each",
        shape: Shape::Size(|it| &mut it.lan_upload_each),
        default: "0",
        doc: "Bytes a second that the daemon sends to one peer; 0 is no limit.",
    },
    SettingKey {
        name: "daemon.log",
        shape: Shape::Choice(&["warning", "info"], |it| &mut it.daemon_log),
        default: "warning",
        doc: "What the daemon writes to its log. `info` adds a line for each transfer that has ended (the file, the \
              bytes, their senders, or why it did not come) and for each neighbour that left: its address and \
              program, the bytes sent and received, and how the connection ended. A change is noticed within seconds.",
    },
    SettingKey {
        name: "daemon.socket",
        shape: Shape::Path(|it| &mut it.daemon_socket),
        default: "/run/pkgswarm/socket",
        doc: "Socket on which the other commands ask the daemon. A daemon that is silent for 50 ms is skipped.",
    },
    SettingKey {
        name: "endpoint.enabled",
        shape: Shape::YesNo(|it| &mut it.endpoint_enabled),
        default: "false",
        doc: "Whether `pkgswarm endpoint` serves packages over HTTP: to pacman's own downloader, by a line `CacheServer = \
              http://127.0.0.1:4011/$repo/os/$arch` in each repository of pacman.conf (pacman 6.1 and later).",
    },
    SettingKey {
        name: "endpoint.listen",
        shape: Shape::Addresses(|it| &mut it.endpoint_listen),
        default: "127.0.0.1:4011",
        doc: "Addresses with ports on which the endpoint listens; port 0 is any free one. One that is not on loopback \
              needs endpoint.allow. Not used where systemd hands a socket over.",
    },
    SettingKey {
        name: "endpoint.mirrors",
        shape: Shape::YesNo(|it| &mut it.endpoint_mirrors),
        default: "true",
        doc: "Whether the endpoint fetches from mirrors what no nearer source has. Without it such a file is left to \
              pacman, which asks its next server.",
    },
    SettingKey {
        name: "endpoint.ahead",
        shape: Shape::YesNo(|it| &mut it.endpoint_ahead),
        default: "true",
        doc: "Whether the endpoint fetches pending updates before pacman asks for them: after `pacman -Sy` through it, and \
              from the second of them on that is asked for. As much as prefetch.max and store.max allow, and not over a \
              metered line (prefetch.metered). What pacman does not ask for in the end stays in the store for a while.",
    },
    SettingKey {
        name: "endpoint.wait",
        shape: Shape::Span(|it| &mut it.endpoint_wait),
        default: "300 ms",
        doc: "Longest wait for a source to send something, before the answer is that the file is not here; pacman then \
              asks its next server. A line whose answers take longer, like one by satellite, needs more. At most 8 s.",
    },
    SettingKey {
        name: "endpoint.allow",
        shape: Shape::Networks(|it| &mut it.endpoint_allow),
        default: "",
        doc: "Networks of other machines that may ask the endpoint, ranges of private addresses like 192.168.1.0/24, or \
              `any` for all of them. They get files that this machine's lists know and share.repos allows. None by \
              default.",
    },
    SettingKey {
        name: "endpoint.names",
        shape: Shape::Words(|it| &mut it.endpoint_names),
        default: "",
        doc: "Names under which other machines ask the endpoint. A request for another name than these, `localhost` \
              and this machine's address is refused: a web page could otherwise have a browser ask.",
    },
    SettingKey {
        name: "endpoint.peers",
        shape: Shape::Words(|it| &mut it.endpoint_peers),
        default: "",
        doc: "Other machines of the house whose endpoints this one asks for packages before mirrors: names or addresses, \
              with a port where it is not 4011; at most four. `dns-sd` among them looks for those that announce \
              themselves (endpoint.announce). One is asked only while its address is on a network that lan.networks \
              trusts and this machine is in, only for repositories that share.repos allows, and for a minute not at all \
              after it did not answer.",
    },
    SettingKey {
        name: "endpoint.announce",
        shape: Shape::YesNo(|it| &mut it.endpoint_announce),
        default: "false",
        doc: "Whether the endpoint announces itself by DNS-SD (multicast DNS, UDP 5353) as _pkgswarm._tcp, on networks that \
              lan.networks trusts and where endpoint.listen has it listen. Other machines there find it with \
              endpoint.peers. It tells an address and a port, no name.",
    },
    SettingKey {
        name: "endpoint.page",
        shape: Shape::Networks(|it| &mut it.endpoint_page),
        default: "",
        doc: "Networks of other machines that may look at the endpoint's page and numbers, which tell pending updates \
              and so what is vulnerable. This machine always may. None by default.",
    },
    SettingKey {
        name: "share.repos",
        shape: Shape::Share(|it| &mut it.share_repos),
        default: "public",
        doc: "Repositories whose files may be asked of neighbours, Kubo and gateways, which then know what is \
              wanted, and may be offered to neighbours. `public` means those of which every server is a public \
              http or https host without credentials; otherwise a list of names. A configured index adds the \
              repositories it was added for.",
    },
    SettingKey {
        name: "share.stores",
        shape: Shape::Words(|it| &mut it.share_stores),
        default: "/var/cache/pkgswarm",
        doc: "Directories of stores from which the daemon offers the files of `pkgswarm prefetch`, besides \
              pacman's package caches and its own store. Where store.dir is another one, name that.",
    },
    SettingKey {
        name: "gateways.urls",
        shape: Shape::Urls(|it| &mut it.gateways_urls),
        default: "",
        doc: "Trustless HTTP gateways to ask after Kubo and before the mirrors. They see which files are wanted; \
              every block is proven here. None by default.",
    },
    SettingKey {
        name: "gateways.behind_proxy",
        shape: Shape::YesNo(|it| &mut it.gateways_behind_proxy),
        default: "false",
        doc: "Whether gateways are asked, through the proxy, when the environment sets one.",
    },
    SettingKey {
        name: "index.refresh",
        shape: Shape::Span(|it| &mut it.index_refresh),
        default: "6 h",
        doc: "Age at which an index is due for a refresh. A `pacman -Sy` that finds one due starts the refresh in \
              the background and does not wait.",
    },
    SettingKey {
        name: "index.deadline",
        shape: Shape::Span(|it| &mut it.index_deadline),
        default: "60 s",
        doc: "Longest time one refresh of one index may take.",
    },
    SettingKey {
        name: "prefetch.max",
        shape: Shape::Size(|it| &mut it.prefetch_max),
        default: "2 GiB",
        doc: "Size limit of the pending updates that `pkgswarm prefetch` keeps, and never more than store.max. They \
              are chosen in pacman's order; one that does not fit is left out, and smaller ones after it are not.",
    },
    SettingKey {
        name: "prefetch.age",
        shape: Shape::Span(|it| &mut it.prefetch_age),
        default: "30 d",
        doc: "Time for which an update is kept. When some version of a package has been pending for longer, the \
              user does not seem to upgrade: it is removed, and no later version is fetched until it is installed.",
    },
    SettingKey {
        name: "prefetch.rate",
        shape: Shape::Size(|it| &mut it.prefetch_rate),
        default: "0",
        doc: "Most bytes a second that pkgswarm prefetch asks for, all its connections together. 0 means no limit.",
    },
    SettingKey {
        name: "prefetch.window",
        shape: Shape::Window(|it| &mut it.prefetch_window),
        default: "any",
        doc: "Time of day in which pkgswarm prefetch may begin, as in 22:00-06:00 (local time; may go over midnight).",
    },
    SettingKey {
        name: "prefetch.metered",
        shape: Shape::YesNo(|it| &mut it.prefetch_metered),
        default: "false",
        doc: "Whether pkgswarm prefetch works over a metered connection. Known where NetworkManager runs, which \
              also guesses it for phones; other connections count as not metered.",
    },
    SettingKey {
        name: "prefetch.battery",
        shape: Shape::YesNo(|it| &mut it.prefetch_battery),
        default: "false",
        doc: "Whether pkgswarm prefetch works on battery.",
    },
    SettingKey {
        name: "prefetch.vpn",
        shape: Shape::YesNo(|it| &mut it.prefetch_vpn),
        default: "false",
        doc: "Whether pkgswarm prefetch works while the way to the Internet leads through a VPN: a WireGuard, TUN \
              or PPP interface. A VPN that carries only some networks does not count.",
    },
    SettingKey {
        name: "prefetch.pin",
        shape: Shape::YesNo(|it| &mut it.prefetch_pin),
        default: "true",
        doc: "Whether pkgswarm prefetch puts pending updates into Kubo, where it may be asked (kubo.enabled) and \
              the repository may be shared (share.repos), and pins them, so that neighbours can have them. An \
              update that is not pending any more is unpinned and counts against kubo.keep.",
    },
    SettingKey {
        name: "output.progress",
        shape: Shape::Choice(&["auto", "always", "never"], |it| &mut it.output_progress),
        default: "auto",
        doc: "Whether a progress bar is drawn on stderr. `auto` draws it on a terminal that can move its cursor; elsewhere \
              one line tells of each file that takes longer than two seconds. With `never` there is neither.",
    },
];

/// Returns the key named `name`.
pub(crate) fn find(name: &str) -> Option<&'static SettingKey> {
    KEYS.iter().find(|key| key.name == name)
}

#[cfg(test)]
mod tests;
