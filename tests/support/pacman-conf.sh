#!/bin/sh
# Stands in for pacman-conf: prints the dump that the real one prints for the world's pacman.conf.
# `pacman_conf_prints_what_the_real_one_prints` compares the two where the real one is installed.
# Of a wrapper configuration on standard input only DBPath is understood.
dump=${0%/*}/../pacman-conf.dump repo=options only= db=
while [ $# -gt 0 ]; do
    case $1 in
    -c|--config) [ "$2" = /dev/stdin ] && db=$(sed -n 's/^DBPath = //p'); shift ;;
    -R|--rootdir|--sysroot) shift ;;
    -l|--repo-list) sed -n 's/^\[\(.*\)\]$/\1/p' "$dump" | grep -vx options; exit ;;
    -r|--repo) repo=$2 only=yes; shift ;;
    --repo=*) repo=${1#*=} only=yes ;;
    -*) ;;
    *) key=$1 only=yes ;;
    esac
    shift
done
[ "$only" ] || exec sed "${db:+s|^DBPath = .*|DBPath = $db|}" "$dump"
sed -n "/^\[$repo\]\$/,/^\[/p" "$dump" | grep -v '^\[' |
    if [ "$key" ]; then sed -n "s/^$key = //p"; else cat; fi
