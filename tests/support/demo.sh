# shellcheck shell=bash
# What tests/demo is made of: its own directory, servers that count what they send, systems for a real pacman, and an
# end that leaves nothing behind. Sourced, not run.

demo_user=alpm-test
demo_dir=
declare -A running
step=0
summary=()
# Whose settings and system the next pacman has, and in which network namespace it runs; none is this machine's own.
who=reader
ns=

# --- What is said -----------------------------------------------------------------------------------------------------

heading() { printf '\n%s\n%s\n' "$1" "${1//?/-}"; }
say() { [[ -n ${silently:-} ]] || printf '%s\n' "$*"; }

# begins TITLE: the next step.
begins() {
    title=$1
    heading "$((step + 1)). $title"
}

# holds WHAT: the step has shown what its title says; WHAT is for the table at the end.
holds() {
    ((++step))
    summary+=("$step|$title|$1")
    say "=> $1"
}

# the_same_with VERSION COMMAND...: checks all of it once more with another release of pacman, and says so in one line.
the_same_with() {
    local version=$1
    shift
    silently=yes "$@"
    say "   And the same with pacman $version."
}

# first_time: of what tests/parts and cargo have to build, the names, with their usual minutes on two cores.
first_time() {
    local dir=${PKGSWARM_PARTS:-${HOME:-/root}/.cache/pkgswarm-parts}
    [[ -x $dir/bin/ipfs ]] || ! command -v go >/dev/null || echo '5 Kubo'
    [[ -x $dir/pacman-7.1.0/bin/pacman ]] || echo '3 pacman and its tools'
    [[ -x target/release/pkgswarm-daemon ]] || echo '8 pkgswarm'
}

# build_progress: shows the last line of a build on a terminal, and a line a minute elsewhere.
build_progress() {
    local line count=0 next=$((SECONDS + 60))
    while IFS= read -r line; do
        printf '%s\n' "$line" >>"$demo_dir/log/build"
        ((++count))
        if [[ -t 1 ]]; then
            printf '\r\e[K   %s' "${line:0:76}"
        elif ((SECONDS >= next)); then
            next=$((SECONDS + 60))
            printf '   %d lines of the build, the last: %s\n' "$count" "${line:0:60}"
        fi
    done
    if [[ -t 1 ]]; then printf '\r\e[K'; fi
}

# fails WHAT [LOG]: the demo ends here, loudly.
fails() {
    trap - ERR
    {
        printf '\ndemo: FAILED in step %s (%s): %s\n' "$((step + 1))" "${title:-preparing}" "$1"
        if [[ -n ${2:-} && -s $2 ]]; then
            printf 'The end of what was said:\n'
            tail -n 25 "$2" | sed 's/^/    /'
        fi
    } >&2
    exit 1
}

# quietly NAME COMMAND...: runs it; its output goes to a log, which is shown if it fails.
quietly() {
    local log=$demo_dir/log/$1
    shift
    "$@" >"$log" 2>&1 </dev/null || fails "this failed: $*" "$log"
}

# --- Beginning and end ------------------------------------------------------------------------------------------------

begin() {
    demo_dir=$(mktemp -d -t pkgswarm-demo.XXXXXX)
    trap end EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    trap 'fails "line $LINENO of ${BASH_SOURCE[0]##*/}: $BASH_COMMAND"' ERR
    chmod 755 "$demo_dir"
    mkdir "$demo_dir/log"
}

# Whatever happened: no process and no file is left.
end() {
    local status=$?
    set +e
    trap - ERR EXIT
    trap '' INT TERM HUP
    clean_up
    exit "$status"
}

clean_up() {
    local pid
    for pid in "${!running[@]}"; do
        # Who was stopped ends only when it goes on.
        kill -CONT "$pid" 2>/dev/null || true
        stop_process "$pid"
    done
    end_network
    # Housekeeping that pkgswarm starts in the background.
    for pid in $(own_processes); do kill -KILL "$pid" 2>/dev/null || true; done
    until_so 'all processes have ended' no_own_processes
    rm -rf "$demo_dir"
}

# Ids of processes that run a program of the demo's directory.
own_processes() {
    local exe
    for exe in /proc/[0-9]*/exe; do
        [[ $(readlink "$exe" 2>/dev/null) == "$demo_dir"/* ]] || continue
        exe=${exe#/proc/}
        echo "${exe%/exe}"
    done
}
no_own_processes() { [[ -z $(own_processes) ]]; }

# Starts a server that cannot outlive the demo, however that ends; its id is in $started.
start_process() {
    local log=$1
    shift
    setpriv --pdeathsig KILL "$@" >"$log" 2>&1 </dev/null &
    started=$!
    running[$started]=yes
}

# Gives it five seconds to end in good order.
stop_process() {
    local pid=$1 i
    # Its number may soon be somebody else's.
    unset "running[$pid]"
    kill -TERM "$pid" 2>/dev/null || return 0
    for ((i = 0; i < 100; i++)); do
        kill -0 "$pid" 2>/dev/null || break
        sleep 0.05
    done
    kill -KILL "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
}

# until_so WHAT COMMAND...: waits for a fact, half a minute at most.
until_so() {
    local what=$1 i
    shift
    for ((i = 0; i < 600; i++)); do
        if "$@" >/dev/null 2>&1; then return 0; fi
        sleep 0.05
    done
    fails "$what: not so after 30 s"
}

on_this_machine() { who=reader ns=; }
in_ns() {
    local ns=$1
    shift
    if [[ -n $ns ]]; then ip netns exec "$ns" "$@"; else "$@"; fi
}

as_user() { setpriv --reuid "$demo_user" --regid "$demo_user" --init-groups "$@"; }

# --- HTTP servers that count ------------------------------------------------------------------------------------------

declare -A server_pid server_port server_ip server_ns

# serve NAME LOCATION [PORT]: an nginx that writes down every answer with the bytes of its body.
serve() {
    local name=$1 location=$2 wanted=${3:-} home=$demo_dir/nginx-$1 port try tmp ip=127.0.0.1
    # The only server that is not on loopback is the mirror behind the uplink.
    if [[ -n $ns ]]; then ip=10.77.0.1; fi
    mkdir -p "$home"
    for ((try = 0; try < 20; try++)); do
        port=${wanted:-$((10000 + RANDOM % 20000))}
        tmp=$(for kind in client_body proxy fastcgi uwsgi scgi; do echo "${kind}_temp_path $home/$kind;"; done)
        cat >"$home/nginx.conf" <<END
daemon off; master_process off; user root; pid $home/pid; error_log $home/error.log;
events { worker_connections 256; }
http {
    $tmp
    types { }
    default_type application/octet-stream;
    log_format counted escape=none '\$status \$body_bytes_sent \$request_method \$uri \$args';
    access_log $home/access.log counted;
    server {
        listen $ip:$port;
        location = /counted { return 204; }
        location / { $location }
    }
}
END
        rm -f "$home/pid"
        start_process "$home/said" ${ns:+ip netns exec "$ns"} nginx -e "$home/error.log" -c "$home/nginx.conf"
        while [[ ! -s $home/pid ]] && kill -0 "$started" 2>/dev/null; do sleep 0.02; done
        if [[ -s $home/pid ]]; then
            server_pid[$name]=$started
            server_port[$name]=$port server_ip[$name]=$ip server_ns[$name]=$ns
            return 0
        fi
        stop_process "$started"
    done
    fails "nginx finds no free port" "$home/error.log"
}

stop_serving() {
    stop_process "${server_pid[$1]}"
    unset "server_pid[$1]" "server_port[$1]"
}

servers() { printf '%s\n' "${!server_pid[@]}" | sort; }

address() { echo "${server_ip[$1]}:${server_port[$1]}"; }

# From here on the counters say what was sent from here on.
counters_to_zero() {
    local name
    # shellcheck disable=SC2034 # tests/demo reads it
    sent_by_publisher=$(bitswap_sent publisher)
    for name in $(servers); do : >"$demo_dir/nginx-$name/access.log"; done
}

# All that was answered before this is in the log: one process answers one request after the other.
counters_are_complete() {
    local name
    for name in $(servers); do
        in_ns "${server_ns[$name]}" curl -sS --noproxy '*' -o /dev/null "http://$(address "$name")/counted"
        until_so "the log of $name is written" grep -q ' /counted ' "$demo_dir/nginx-$name/access.log"
    done
}

# sent NAME FILE: the bytes that a server sent of what it calls FILE (for a gateway: a CID).
sent() {
    [[ -n ${server_pid[$1]:-} ]] || { echo 0 && return; }
    # A request with a query is for a single block.
    FILE=$2 awk '$1 < 300 && $3 == "GET" && $5 == "" {
            n = split($4, path, "/")
            if (path[n] == ENVIRON["FILE"]) sum += $2
        }
        END { print sum + 0 }' "$demo_dir/nginx-$1/access.log"
}

# --- Kubo -------------------------------------------------------------------------------------------------------------

ipfs_of() {
    local node=$1
    shift
    IPFS_PATH=$demo_dir/kubo-$node IPFS_TELEMETRY=off HOME=$demo_dir "$PKGSWARM_IPFS" "$@"
}

declare -A kubo_pid

# start_kubo NAME: a node on loopback that knows nobody and that nobody knows.
start_kubo() {
    local node=$1 key home=$demo_dir/kubo-$1
    quietly "kubo-$node-init" ipfs_of "$node" init --profile=autoconf-off,announce-off,test,unixfs-v1-2025
    for key in Swarm.RelayClient.Enabled AutoTLS.Enabled HTTPRetrieval.Enabled Version.SwarmCheckEnabled; do
        quietly "kubo-$node-config" ipfs_of "$node" config --json "$key" false
    done
    # So that names are found among the nodes of this machine.
    quietly "kubo-$node-config" ipfs_of "$node" config Routing.Type dht
    quietly "kubo-$node-config" ipfs_of "$node" config --json Routing.DelegatedRouters '[]'
    quietly "kubo-$node-config" ipfs_of "$node" config --json Routing.LoopbackAddressesOnLanDHT true
    start_process "$demo_dir/log/kubo-$node" \
        env IPFS_PATH="$home" IPFS_TELEMETRY=off HOME="$demo_dir" "$PKGSWARM_IPFS" daemon
    kubo_pid[$node]=$started
    until_so "Kubo ($node) is ready" grep -q 'Daemon is ready' "$demo_dir/log/kubo-$node"
}

stop_kubo() { stop_process "${kubo_pid[$1]}"; }

kubo_api() { echo "http://127.0.0.1:$(sed 's|.*/||' "$demo_dir/kubo-$1/api")"; }
kubo_gateway() { sed 's|/*$||' "$demo_dir/kubo-$1/gateway"; }

connect_kubos() {
    local address
    address=$(ipfs_of "$2" id --format='<addrs>' | grep -m1 /tcp/)
    quietly connect ipfs_of "$1" swarm connect "$address"
}

# Bytes of blocks that a node has sent to others, by its own count.
bitswap_sent() {
    # shellcheck disable=SC2154 # tests/demo sets it
    if [[ -n $no_kubo || -z ${kubo_pid[$1]:-} ]]; then echo 0 && return; fi
    ipfs_of "$1" bitswap stat | sed -n 's/.*data sent: //p'
}

# --- Packages ---------------------------------------------------------------------------------------------------------

# make_package NAME VERSION BYTES [DEPENDS]: a real makepkg makes a package with so much that does not compress.
make_package() {
    local name=$1 version=$2 bytes=$3 depends=${4:-} home=$demo_dir/makepkg/$1 epoch=0 rest=$2
    if [[ $version == *:* ]]; then epoch=${version%%:*} rest=${version#*:}; fi
    mkdir -p "$home"
    head -c "$bytes" /dev/urandom >"$home/data.bin"
    cat >"$home/PKGBUILD" <<END
pkgname='$name' epoch=$epoch pkgver=${rest%-*} pkgrel=${rest##*-}
pkgdesc='a package for the demo' url='https://example.invalid/' arch=(any) license=(MIT) depends=($depends)
source=(data.bin) sha256sums=(SKIP)
package() { install -Dm644 data.bin "\$pkgdir/usr/share/\$pkgname/data.bin"; }
END
    chown -R "$demo_user:" "$home"
    quietly "makepkg-$name" as_user env -C "$home" HOME="$home" PKGDEST="$home" PKGEXT=.pkg.tar.zst \
        PACKAGER='Demo <demo@example.invalid>' makepkg --nodeps --noconfirm
    cp "$home/$name-$version-any.pkg.tar.zst" "$demo_dir/repo/"
}

# lie_about FILE OUT: every byte another one, and the size right.
lie_about() { LC_ALL=C tr '\000-\377' '\001-\377\000' <"$1" >"$2"; }

# --- pkgswarm and pacman ----------------------------------------------------------------------------------------------

# pkgswarm_of WHO ARGUMENT...: as one would call it who has its settings in WHO's directory.
pkgswarm_of() {
    local who=$1
    shift
    PATH=$(system_of)/bin:$PATH PKGSWARM_PACMAN_CONF=$(system_of)/pacman.conf PKGSWARM_CONFIG_DIR=$demo_dir/$who/etc \
        "$demo_dir/bin/pkgswarm" "$@"
}

# Where the system of a pacman is.
system_of() { echo "$demo_dir/system-$who"; }

# fresh_system VERSION SERVER...: an empty system for that pacman, and an empty store of pkgswarm.
fresh_system() {
    local version=$1 root place
    root=$(system_of)
    shift
    # shellcheck disable=SC2034 # tests/demo reads it
    first_server=$1
    # What was delivered stays known, for `stats` at the end.
    if [[ -e $demo_dir/$who/store/journal ]]; then mv "$demo_dir/$who/store/journal" "$demo_dir/journal-$who"; fi
    rm -rf "$root" "$demo_dir/$who/store"
    install -d -o "$demo_user" -g "$demo_user" "$demo_dir/$who/store"
    if [[ -e $demo_dir/journal-$who ]]; then mv "$demo_dir/journal-$who" "$demo_dir/$who/store/journal"; fi
    mkdir -p "$root"/{bin,root,db,cache,hooks,gpg}
    # Where the download user can start them too.
    cp -L "$PKGSWARM_PARTS/pacman-$version/bin/"{pacman,pacman-conf} "$root/bin/"
    {
        echo '[options]'
        echo "XferCommand = $demo_dir/bin/pkgswarm xfer %u %o"
        if [[ $version == 7* ]]; then echo "DownloadUser = $demo_user"; fi
        echo 'Architecture = auto'
        # The packages of this demo are not signed, and their digests are in the database.
        echo 'SigLevel = Never'
        for place in RootDir:root DBPath:db CacheDir:cache HookDir:hooks GPGDir:gpg LogFile:log; do
            echo "${place%%:*} = $root/${place#*:}"
        done
        echo '[demo]'
        for place; do echo "Server = http://$(address "$place")"; done
    } >"$root/pacman.conf"
}

# pacman_runs ARGUMENT...: the real one in the fresh system, at a terminal of 100 columns. What it shows in the end is in
# the log `screen`; it is printed unless $silently or $screenless.
pacman_runs() {
    local root command status=0
    root=$(system_of)
    printf -v command '%q ' env "PATH=$root/bin:$PATH" "PKGSWARM_CONFIG_DIR=$demo_dir/$who/etc" NO_COLOR=1 \
        ${ns:+ip netns exec "$ns"} "$root/bin/pacman" --config "$root/pacman.conf" --noconfirm --color never "$@"
    TERM=xterm SHELL=/bin/bash script --quiet --return --command "stty cols 100 rows 50; exec $command" \
        "$demo_dir/log/terminal" >/dev/null 2>&1 </dev/null || status=$?
    as_shown <"$demo_dir/log/terminal" >"$demo_dir/log/last"
    cat "$demo_dir/log/last" >>"$demo_dir/log/screen"
    ((status == 0)) || fails "pacman $* failed" "$demo_dir/log/screen"
    [[ -n ${silently:-}${screenless:-} ]] || shows_screen "pacman $*" "$demo_dir/log/last"
}

# as_shown: of what went to a terminal, the lines that it shows in the end.
as_shown() {
    sed -E -e '/^Script (started|done) on /d' -e 's/\r+$//' -e 's/.*\r//' -e 's/\x1b\[[0-9;?]*[A-Za-z]//g' -e 's/ +$//'
}

# shows_screen COMMAND FILE: a screen, as the user saw it.
shows_screen() {
    printf '   $ %s\n' "$1"
    cat -s "$2" | sed 's/^/   | /'
}

pacman_says() { "$(system_of)/bin/pacman" --config "$(system_of)/pacman.conf" "$@"; }
pacman_conf_says() { "$(system_of)/bin/pacman-conf" --config "$(system_of)/pacman.conf" "$@"; }

# said_about FILE: what pkgswarm's line on the screen says about where a file came from, with its remarks.
said_about() {
    NAME=${1%.pkg.tar.zst} awk 'is_ours && /^    / { sub(/^ +/, ""); said = said " (" $0 ")"; next }
        { is_ours = index($0, " " ENVIRON["NAME"] " ") == 1 }
        is_ours { said = $0; sub(/^ [^ ]+ +[^ ]+ [^ ]+  /, "", said) }
        END { print said }' "$demo_dir/log/screen"
}

# place_of FILE: the number of its line on the screen, for a table in the order in which pacman asked.
place_of() {
    NAME=${1%.pkg.tar.zst} awk 'index($0, " " ENVIRON["NAME"] " ") == 1 { print NR; exit }' "$demo_dir/log/screen"
}

# in_order FILE...: the same, in the order in which pacman asked for them.
in_order() {
    local file
    for file; do printf '%s %s\n' "$(place_of "$file")" "$file"; done | sort -n | cut -d' ' -f2
}

# human BYTES: as people write it.
human() {
    awk -v bytes="$1" 'BEGIN {
        if (bytes < 1024) printf "%d B", bytes
        else if (bytes < 1048576) printf "%.1f KiB", bytes / 1024
        else printf "%.1f MiB", bytes / 1048576 }'
}

# row FILE BYTES SAID COUNTED: of a table; nothing when $silently.
row() { [[ -n ${silently:-} ]] || printf '   %-34s %10s  %-22s %s\n' "$@"; }

# with_names TEXT: addresses become the names that the demo gave to its servers.
with_names() {
    local text=$1 name
    for name in "${!server_port[@]}"; do text=${text//$(address "$name")/$name}; done
    echo "$text"
}
