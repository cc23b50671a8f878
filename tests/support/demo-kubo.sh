# shellcheck shell=bash
# The steps of tests/demo with Kubo: a publisher, a reader, and a liar in its place. Sourced, not run.

publish_and_read() {
    begins 'A publisher puts it on IPFS, a reader trusts its index'
    say 'The publisher runs a Kubo daemon. pkgswarm checks every package against demo.db, hands the blocks to that'
    say 'daemon and publishes a signed index of them. Users need only the name of its key.'
    start_kubo publisher
    start_kubo reader
    connect_kubos reader publisher
    mkdir -p "$demo_dir/publisher/etc"
    cat >"$demo_dir/publisher/etc/config.toml" <<END
[kubo]
api = "$(kubo_api publisher)"
gateway = "$(kubo_gateway publisher)"
[state]
dir = "$demo_dir/publisher/state"
END
    say '   # pkgswarm publish repo'
    key=$(pkgswarm_of publisher publish "$demo_dir/repo" 2>"$demo_dir/log/publish") ||
        fails 'publish failed' "$demo_dir/log/publish"
    sed 's/^/   /' "$demo_dir/log/publish"
    say "   $key"
    [[ $key == k51* ]] || fails 'publish printed no name'
    for file in "${packages[@]}"; do
        cid[$file]=$(pkgswarm_of publisher cid "$demo_dir/repo/$file" | cut -d' ' -f1)
        ipfs_of publisher cat "/ipfs/${cid[$file]}" | cmp -s - "$demo_dir/repo/$file" || fails "Kubo has no $file"
    done
    say '   Kubo has every package under the content id that pkgswarm computed.'
    say 'Another machine would do this. Here it is a second Kubo daemon, connected to the first one, and a pkgswarm'
    say 'with settings of its own. An nginx stands in front of that Kubo and counts what it sends.'
    serve kubo "proxy_pass $(kubo_gateway reader);
        proxy_http_version 1.1; proxy_buffering off; proxy_set_header Connection '';"
    kubo_port=${server_port[kubo]}
    new_reader "api = '$(kubo_api reader)'
    gateway = 'http://$(address kubo)'
    # The default of 250 ms is for people; a demo must show the same on a busy machine.
    head_start = '5 s'"
    say "   # pkgswarm index add demo ${key:0:12}... --repo demo --yes"
    pkgswarm_of reader index add demo "$key" --repo demo --yes >"$demo_dir/log/index" 2>&1 ||
        fails 'index add failed' "$demo_dir/log/index"
    sed "s/^/   /;s|$demo_dir/reader|...|" "$demo_dir/log/index"
    for file in "${packages[@]}"; do
        pkgswarm_of reader index show demo --entries >"$demo_dir/log/entries"
        grep -qF "  ${cid[$file]}  demo/$file" "$demo_dir/log/entries" || fails "the index does not list $file"
    done
    holds 'in Kubo by content id; the index is proven, and lists every package'
}

kubo_serves() {
    begins 'Kubo runs: it serves'
    say 'One line in pacman.conf stands in for curl: XferCommand = pkgswarm xfer %u %o. pacman runs it as its'
    say "unprivileged DownloadUser, sandboxed. The database comes from the mirror. Every package must have the sha256"
    say 'that stands in it, whoever sends it.'
    fresh_system 7.1.0 mirror
    [[ $(pacman_conf_says DownloadUser) == "$demo_user" && -z $(pacman_conf_says DisableSandbox) ]] ||
        fails 'the sandbox is off'
    installs kubo
    ((over_ipfs >= all_bytes)) || fails "the publisher's Kubo sent only $over_ipfs bytes"
    say "   The publisher's Kubo counted $(human "$over_ipfs") that it sent to the reader's: the packages came over IPFS."
    the_same_with '6.0.2, from what the reader now has' fresh_installs 6.0.2 mirror kubo
    ((over_ipfs == 0)) || fails "the publisher's Kubo sent $over_ipfs bytes again"
    holds "$all from Kubo, 0 from the mirror"

    stop_serving kubo
    stop_kubo reader
}

kubo_lies() {
    mkdir -p "$demo_dir/lying-kubo/ipfs"
    for file in "${packages[@]}"; do ln "$demo_dir/lies/$file" "$demo_dir/lying-kubo/ipfs/${cid[$file]}"; done
    serve lying-kubo "root $demo_dir/lying-kubo;" "$kubo_port"
    begins 'Kubo lies: it is refused'
    say "Something else listens where Kubo's gateway was, with other bytes for every content id."
    silently=yes fresh_installs 7.1.0 mirror lying-kubo mirror
    shows_screen 'pacman -S hello, the lines of the packages' <(grep -A1 -E '^ (hello|libdemo|atlas)[^ ]*-any ' "$demo_dir/log/screen")
    the_same_with 6.0.2 fresh_installs 6.0.2 mirror lying-kubo mirror
    holds "one package refused, $all from the mirror"
}
