# shellcheck shell=bash
# The steps of tests/demo in which machines share with each other: hosts in network namespaces on one bridge, with real
# multicast DNS; where this machine refuses namespaces, two daemons on loopback of which one knows the other's address.
# Sourced, not run.

lan_hosts=()
# Whether each machine is a host of its own; else the reason.
no_hosts=
declare -A daemon_pid

# new_network: `uplink`, `one` and `two`, each with an address on the bridge.
new_network() {
    local host number=0 reason
    lan_hosts=("pkd$$-switch")
    if ! reason=$(ip netns add "pkd$$-switch" 2>&1) || ! reason=$(ip -n "pkd$$-switch" link add br0 type bridge 2>&1); then
        no_hosts=${reason##*$'\n'}
        end_network
        return
    fi
    ip -n "pkd$$-switch" link set br0 up
    for host in uplink one two; do
        ((++number))
        lan_hosts+=("pkd$$-$host")
        ip netns add "pkd$$-$host"
        ip -n "pkd$$-switch" link add "port$number" type veth peer name eth0 netns "pkd$$-$host"
        ip -n "pkd$$-switch" link set "port$number" master br0 up
        ip -n "pkd$$-$host" link set lo up
        ip -n "pkd$$-$host" addr add "10.77.0.$number/24" dev eth0
        ip -n "pkd$$-$host" link set eth0 up
    done
}

end_network() {
    local host
    for host in "${lan_hosts[@]}"; do ip netns del "$host" 2>/dev/null || true; done
    lan_hosts=()
}

# on_host NAME: everything that follows happens there.
on_host() {
    who=$1
    if [[ -z $no_hosts ]]; then ns=pkd$$-$1; fi
}

# new_machine NAME [PEER]: settings, and directories of the user who downloads.
new_machine() {
    local at=$demo_dir/$1 networks='10.77.0.0/24'
    if [[ -n $no_hosts ]]; then networks='127.0.0.0/8'; fi
    mkdir -p "$at/etc"
    install -d -o "$demo_user" -g "$demo_user" "$at/"{store,state,run,daemon}
    cat >"$at/etc/config.toml" <<END
[lan]
networks = "$networks"
port = 0
peers = "${2:-}"
[daemon]
socket = "$at/run/socket"
# The mirror of this demo has a private address; by default only files of public servers are shared.
[share]
repos = "demo"
[kubo]
enabled = false
# One file after the other, so that each line tells who was asked for that file and what came of it.
[ahead]
enabled = false
[store]
dir = "$at/store"
[state]
dir = "$at/state"
END
}

# start_daemon NAME: as its unit runs it, as a user without privileges and with a store of its own.
start_daemon() {
    local at=$demo_dir/$1
    on_host "$1"
    start_process "$demo_dir/log/daemon-$1" ${ns:+ip netns exec "$ns"} setpriv --reuid "$demo_user" --regid "$demo_user" \
        --init-groups env PATH="$(system_of)/bin:$PATH" PKGSWARM_CONFIG_DIR="$at/etc" PKGSWARM_STORE_DIR="$at/daemon" \
        PKGSWARM_PACMAN_CONF="$(system_of)/pacman.conf" "$demo_dir/bin/pkgswarm" daemon
    daemon_pid[$1]=$started
    until_so "the daemon of $1 answers" daemon_says "$1" '"answers":true'
}

stop_daemon() {
    stop_process "${daemon_pid[$1]}"
    rm -rf "$demo_dir/$1/daemon"
    install -d -o "$demo_user" -g "$demo_user" "$demo_dir/$1/daemon"
}

# daemon_says NAME TEXT: whether its status has that.
daemon_says() { pkgswarm_of "$1" status --json | grep -qF -- "$2"; }
knows_a_neighbour() { daemon_says "$1" '"agent":"pkgswarm/'; }
offers() { [[ $(pkgswarm_of "$1" shared 2>/dev/null | grep -c '\.pkg\.tar') == "$2" ]]; }

# is_installed SENDER: like `installs`, for what comes from a neighbour (`lan`) or over the uplink.
is_installed() {
    local file said sent expected sender=$1 shown=$1
    # The first machine, by the address that the second one sees.
    if [[ $sender == lan ]]; then shown="neighbour $([[ -n $no_hosts ]] && echo 127.0.0.1 || echo 10.77.0.2)"; fi
    : >"$demo_dir/log/screen"
    counters_to_zero
    pacman_runs -Sy
    pacman_runs -S hello
    counters_are_complete
    row file bytes 'pkgswarm says' 'over the uplink'
    for file in $(in_order "${packages[@]}"); do
        said=$(with_names "$(said_about "$file")")
        sent=$(sent uplink "$file") expected=0
        if [[ $sender == uplink ]]; then expected=${size[$file]}; fi
        row "$file" "$(human "${size[$file]}")" "${said%% (*}" "$(human "$sent")"
        [[ ${said%% (*} == "$shown" ]] || fails "$file should have come from $shown" "$demo_dir/log/screen"
        ((sent == expected)) || fails "the mirror should have sent $expected bytes of $file" "$demo_dir/log/screen"
        cmp "$demo_dir/repo/$file" "$(system_of)/cache/$file" >&2 || fails "the cache has another $file"
    done
    [[ $(pacman_says -Q) == $'atlas 3.1-1\nhello 1.0-1\nlibdemo++ 1:2.0-1' ]] || fails 'other packages are installed'
}

# pkgswarm_why NAME PACKAGE: where its file came from and where it would come from, as pkgswarm explains it.
pkgswarm_why() {
    in_ns "$ns" "$(command -v bash)" -c "$(declare -f pkgswarm_of system_of); demo_dir=$demo_dir pkgswarm_of $1 why $2" \
        >"$demo_dir/log/why" 2>&1 ||
        fails "why $2 failed" "$demo_dir/log/why"
    shows_screen "pkgswarm why $2" "$demo_dir/log/why"
}

# forget_on_two VERSION: another fresh system, and nothing that the second machine's daemon has.
forget_on_two() {
    stop_daemon two
    on_host two
    fresh_system "$1" uplink
    start_daemon two
    until_so 'the second machine has found the first' knows_a_neighbour two
}

# door_step: on the second machine, whose neighbour has everything.
door_step() {
    local file at=$demo_dir/two endpoint port=4011
    begins 'The second door: pacman downloads by itself'
    say 'Front-ends of libalpm never run an XferCommand. pkgswarm endpoint serves pacman'"'"'s own downloader over HTTP on'
    say 'loopback, by the same engine: setup puts a CacheServer line in the place of the XferCommand.'
    silently=yes forget_on_two 7.1.0
    if [[ -n $no_hosts ]]; then port=$((30000 + RANDOM % 2000)); fi
    mkdir -p "$at/etc/config.d"
    printf '[endpoint]\nenabled = true\nlisten = "127.0.0.1:%s"\n' "$port" >"$at/etc/config.d/endpoint.toml"
    in_ns "$ns" "$(command -v bash)" -c "$(declare -f pkgswarm_of system_of); demo_dir=$demo_dir who=two \
        pkgswarm_of two setup --door cache --only pacman,parallel --yes" >"$demo_dir/log/setup" 2>&1 ||
        fails 'setup failed' "$demo_dir/log/setup"
    grep -E '^(CacheServer|#XferCommand|ParallelDownloads)' "$(system_of)/pacman.conf" | sed "s|$demo_dir/bin/||; s/^/   | /"
    install -d -o "$demo_user" -g "$demo_user" "$at/endpoint"
    start_process "$demo_dir/log/endpoint" ${ns:+ip netns exec "$ns"} setpriv --reuid "$demo_user" --regid "$demo_user" \
        --init-groups env PATH="$(system_of)/bin:$PATH" PKGSWARM_CONFIG_DIR="$at/etc" PKGSWARM_STORE_DIR="$at/endpoint" \
        PKGSWARM_PACMAN_CONF="$(system_of)/pacman.conf" PKGSWARM_DAEMON_LOG=info "$demo_dir/bin/pkgswarm" endpoint
    endpoint=$started
    until_so 'the endpoint listens' grep -q 'listens on http://' "$demo_dir/log/endpoint"
    : >"$demo_dir/log/screen"
    counters_to_zero
    silently=yes pacman_runs -Sy
    pacman_runs -S hello
    counters_are_complete
    for file in "${packages[@]}"; do
        (($(sent uplink "$file") == 0)) || fails "$file crossed the uplink" "$demo_dir/log/endpoint"
        cmp "$demo_dir/repo/$file" "$(system_of)/cache/$file" >&2 || fails "the cache has another $file"
    done
    [[ $(pacman_says -Q) == $'atlas 3.1-1\nhello 1.0-1\nlibdemo++ 1:2.0-1' ]] || fails 'other packages are installed'
    say 'These are pacman'"'"'s own bars. Where the bytes came from, the endpoint knows:'
    PKGSWARM_STORE_DIR=$at/endpoint pkgswarm_of two stats >"$demo_dir/log/door" 2>&1 || fails 'stats failed' "$demo_dir/log/door"
    shows_screen 'pkgswarm stats' "$demo_dir/log/door"
    grep -Eq '^neighbours? +[0-9.]+ MiB' "$demo_dir/log/door" || fails 'stats does not tell that neighbours sent it' "$demo_dir/log/door"
    holds "$all from the neighbour, 0 over the uplink"
    stop_process "$endpoint"
    rm "$at/etc/config.d/endpoint.toml"
}

lan_steps() {
    local began took peer
    new_network
    on_host uplink
    serve uplink "root $demo_dir/repo;"

    begins 'Two machines find each other'
    say 'Each has a pacman and runs pkgswarm daemon: a small IPFS peer that serves what lies in the package cache. There is'
    say 'no Kubo, no index and no publisher. The mirror is behind the uplink, and counts what it sends.'
    if [[ -n $no_hosts ]]; then
        say "This machine refuses network namespaces ($no_hosts), so both are on loopback, and one is told"
        say "the other's address; what is between hosts is multicast DNS."
    fi
    new_machine one
    on_host one
    fresh_system 7.1.0 uplink
    start_daemon one
    peer=
    if [[ -n $no_hosts ]]; then
        until_so 'the first machine listens' daemon_says one /ip4/127
        peer=$(pkgswarm_of one status --json | grep -o '/ip4/127[^"]*' | head -n 1)
    fi
    new_machine two "$peer"
    on_host two
    fresh_system 7.1.0 uplink
    began=$(date +%s%N)
    start_daemon two
    until_so 'the machines find each other' knows_a_neighbour two
    took=$((($(date +%s%N) - began) / 1000000))
    until_so 'both know it' knows_a_neighbour one
    pkgswarm_of two status >"$demo_dir/log/status"
    shows_screen 'pkgswarm status' "$demo_dir/log/status"
    ((took < 3000)) || fails "that took $took ms"
    holds "found $took ms after the start"

    begins 'The first machine: the mirror serves'
    say 'One line in pacman.conf stands in for curl: XferCommand = pkgswarm xfer %u %o. The network has nothing yet.'
    on_host one
    is_installed uplink
    holds "$all over the uplink"

    until_so 'the first machine offers all three packages' offers one 3
    begins 'The second machine: the first one serves'
    say 'Below 1 MiB the content id follows from the sha256 in demo.db; above, the neighbour is asked for it, and what'
    say 'comes is proven by the sha256 like anything else.'
    on_host two
    is_installed lan
    pkgswarm_why two hello
    silently=yes forget_on_two 6.0.2
    on_host two
    the_same_with '6.0.2, which runs pkgswarm as root: that drops to an unprivileged user' is_installed lan
    holds "$all from the neighbour, 0 over the uplink"

    door_step

    begins 'Damaged files, then a machine that hangs'
    say 'The mirror serves in both cases.'
    say 'Other bytes of the right size are in its package cache now. A changed file is not served as what it was.'
    for file in "${packages[@]}"; do
        lie_about "$demo_dir/repo/$file" "$demo_dir/system-one/cache/$file"
    done
    forget_on_two 7.1.0
    on_host two
    silently=yes is_installed uplink
    say "   $all over the uplink, nothing of the damaged files."
    for file in "${packages[@]}"; do cp "$demo_dir/repo/$file" "$demo_dir/system-one/cache/$file"; done
    until_so 'the first machine offers them again' offers one 3
    forget_on_two 7.1.0
    on_host two
    kill -STOP "${daemon_pid[one]}"
    say 'Now they are right again, and its daemon is stopped where it stands: the connection is there, and nothing comes.'
    screenless=yes is_installed uplink
    kill -CONT "${daemon_pid[one]}"
    holds "$all over the uplink, twice"

    stop_daemon two
    stop_daemon one
    stop_serving uplink
    end_network
    on_this_machine
}
