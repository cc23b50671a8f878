# shellcheck shell=bash
# The step of tests/demo that shows why one would want this on a single machine: many small packages over a line with a
# delay, by curl, by pacman's own downloader, and by pkgswarm. Sourced, not run.

speed_packages=50
# Milliseconds in each direction.
speed_delay=15

# make_small_packages: without makepkg, which takes a second for each.
make_small_packages() {
    local number name home=$demo_dir/small/.new
    mkdir -p "$home/usr/share"
    for ((number = 1; number <= speed_packages; number++)); do
        name=$(printf 'small-%02d' "$number")
        rm -rf "$home"/usr/share/*
        mkdir "$home/usr/share/$name"
        head -c $((8192 + number * 4096)) /dev/urandom >"$home/usr/share/$name/data.bin"
        printf '%s\n' "pkgname = $name" "pkgbase = $name" 'pkgver = 1-1' 'pkgdesc = small' 'url = https://example.invalid/' \
            'builddate = 1700000000' 'packager = Demo <demo@example.invalid>' "size = $((8192 + number * 4096))" 'arch = any' \
            >"$home/.PKGINFO"
        tar -C "$home" --owner=0 --group=0 -cf - .PKGINFO usr | zstd -q -o "$demo_dir/small/$name-1-1-any.pkg.tar.zst"
    done
    rm -rf "$home"
    quietly repo-add-small env -C "$demo_dir/small" "$repo_add" --quiet demo.db.tar.gz "$demo_dir"/small/*.pkg.tar.zst
}

# downloads_with HOW: pacman -Sw of all of them into an empty cache; sets $took in ms and $connections.
downloads_with() {
    local how=$1 conf began names number
    who=fast
    fresh_system 7.1.0 line
    conf=$(system_of)/pacman.conf
    case $how in
    curl) sed -i 's|^XferCommand = .*|XferCommand = /usr/bin/curl -sSL -C - -f -o %o %u|' "$conf" ;;
    built-in) sed -i 's|^XferCommand = .*|ParallelDownloads = 5|' "$conf" ;;
    pkgswarm) sed -i 's|^XferCommand|ParallelDownloads = 5\nXferCommand|' "$conf" ;;
    esac
    silently=yes pacman_runs -Sy
    : >"$demo_dir/log/connections"
    names=()
    for ((number = 1; number <= speed_packages; number++)); do names+=("$(printf 'small-%02d' "$number")"); done
    began=$(date +%s%N)
    silently=yes pacman_runs -Sw "${names[@]}"
    took=$((($(date +%s%N) - began) / 1000000))
    connections=$(wc -l <"$demo_dir/log/connections")
    number=$(find "$(system_of)/cache" -name '*.pkg.tar.zst' | wc -l)
    ((number == speed_packages)) || fails "$how fetched $number packages" "$demo_dir/log/screen"
}

speed_step() {
    local how attempt took connections curl_took
    begins "$speed_packages packages over $((2 * speed_delay)) ms, curl and the built-in beside ours"
    say 'An XferCommand is one process for each file, one after the other. The first call of pkgswarm reads pacman'"'"'s list and'
    say 'fetches the rest meanwhile, five at a time over connections that are kept; the later calls find their file.'
    mkdir -p "$demo_dir/fast/etc"
    install -d -o "$demo_user" -g "$demo_user" "$demo_dir/fast/state"
    printf '[kubo]\nenabled = false\n[lan]\nenabled = false\n[store]\ndir = "%s/store"\n[state]\ndir = "%s/state"\n' \
        "$demo_dir/fast" "$demo_dir/fast" >"$demo_dir/fast/etc/config.toml"
    make_small_packages
    serve small "root $demo_dir/small;"
    start_process "$demo_dir/log/line" python3 tests/support/demo-line.py "$speed_delay" "$(address small)" \
        "$demo_dir/log/connections"
    until_so 'the line is there' test -s "$demo_dir/log/line"
    server_port[line]=$(head -n 1 "$demo_dir/log/line") server_ip[line]=127.0.0.1
    local line=$started
    printf '   %-26s %8s  %s\n' 'pacman -Sw with' time connections
    for how in curl built-in pkgswarm; do
        for attempt in 1 2 3; do
            downloads_with "$how"
            # A machine that is busy elsewhere for a moment is asked again.
            if [[ $how != pkgswarm ]] || ((took < curl_took)); then break; fi
        done
        [[ $how != curl ]] || curl_took=$took
        printf '   %-26s %6s s  %s\n' "$how" "$(seconds "$took")" "$connections"
    done
    ((connections <= 12)) || fails "pkgswarm made $connections connections"
    ((took < curl_took)) || fails "pkgswarm took $took ms, three times, and curl $curl_took"
    holds "$(seconds "$took") s, and $(seconds "$curl_took") s with curl"
    stop_process "$line"
    unset 'server_port[line]'
    stop_serving small
    on_this_machine
}

seconds() { awk -v ms="$1" 'BEGIN { printf "%.1f", ms / 1000 }'; }
