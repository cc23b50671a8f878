#!/usr/bin/env bash
# Counts the source files of which one plain `pkgswarm xfer` of a listed package executes a function.
#
#   executed.sh [DIR] [--list]    programs in DIR, else those of a debug build here
#
# Needs valgrind, python3, and tests/parts. Root runs the programs as the user 65534, as pacman's DownloadUser would.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."
programs=target/debug list=
for word in "$@"; do
    case $word in
    --list) list=yes ;;
    *) programs=$word ;;
    esac
done
exports=$(tests/parts) && eval "$exports"
[[ $programs != target/debug ]] || cargo build --quiet --locked --bins

work=$(mktemp -d /tmp/pkgswarm-executed-XXXXXX)
trap 'kill "${server:-}" 2>/dev/null || true; rm -rf "$work"' EXIT
chmod 755 "$work"
mkdir -p "$work"/{bin,tree/usr/share,mirror,db/sync,db/local,cache,out,home,state}
cp "$programs"/pkgswarm "$programs"/pkgswarm-full "$work/bin"
cp -a "$PKGSWARM_PARTS/pacman-7.1.0" "$work/pacman"
export PATH="$work/pacman/bin:$PATH" LD_LIBRARY_PATH="$work/pacman/lib"
printf 'pkgname = %s\npkgbase = %s\npkgver = 1-1\nbuilddate = 1700000000\nsize = 60000\narch = any\n' small small \
    >"$work/tree/.PKGINFO"
head -c 60000 /dev/urandom >"$work/tree/usr/share/small"
package=small-1-1-any.pkg.tar.zst
(cd "$work/tree" && tar --zstd -cf "../mirror/$package" .PKGINFO usr)
(cd "$work/mirror" && repo-add -q core.db.tar.gz "$package" >"$work/said" && cp core.db ../db/sync)

python3 -u -c '
import functools, http.server, sys
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1])
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
print(server.server_port)
server.serve_forever()' "$work/mirror" >"$work/port" 2>"$work/requests" &
server=$!
until [[ -s $work/port ]]; do sleep 0.1; done
port=$(<"$work/port")
cat >"$work/pacman.conf" <<CONF
[options]
DBPath = $work/db
CacheDir = $work/cache
SigLevel = Never
Architecture = x86_64
[core]
Server = http://127.0.0.1:$port
CONF
user=()
if ((EUID == 0)); then
    chown -R 65534:65534 "$work"/{out,home,state,cache,db}
    user=(setpriv --reuid 65534 --regid 65534 --clear-groups)
fi
if ! "${user[@]}" env -i HOME="$work/home" PATH="$PATH" LD_LIBRARY_PATH="$LD_LIBRARY_PATH" \
    PKGSWARM_PACMAN_CONF="$work/pacman.conf" PKGSWARM_STORE_DIR="$work/state/store" \
    PKGSWARM_STATE_DIR="$work/state/indexes" PKGSWARM_KUBO_ENABLED=false PKGSWARM_LAN_ENABLED=false \
    valgrind --quiet --tool=callgrind --trace-children=yes --callgrind-out-file="$work/out/callgrind.%p" \
    "$work/bin/pkgswarm" xfer "http://127.0.0.1:$port/$package" "$work/out/$package" >"$work/said" 2>&1; then
    cat "$work/said" >&2
    exit 1
fi
# A name stands where it comes first, be that a caller's line or a called one's: `fl=(7) src/x.rs`, later `fl=(7)`.
files=$(awk '
    match($0, /^c?f[lie]=\([0-9]+\)/) {
        split(substr($0, 1, RLENGTH), part, /[=()]+/)
        name = substr($0, RLENGTH + 2)
        if (name != "") names[FILENAME, part[2]] = name
        if (part[1] !~ /^c/) print names[FILENAME, part[2]]
    }' "$work"/out/callgrind.* | grep -v -e '/registry/' -e '/rustc/' -e '/rustlib/' -e '/rust/deps/' | sed -n 's|^\(/.*/\)\{0,1\}\(src/[a-z].*\.rs\)$|\2|p' | sort -u)
[[ -z $list ]] || echo "$files"
echo "executed: $(wc -l <<<"$files") source files in one plain xfer"
