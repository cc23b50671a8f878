#!/bin/sh
# Reads a configuration as pacman-conf does, as far as setup can tell: white space, comments, sections that open again,
# Include, the last XferCommand. `shapes_are_understood_by_real_pacman_conf` in tests/real_setup.rs has the real ones.
config=/etc/pacman.conf
while [ $# -gt 0 ]; do
    case $1 in --config) config=$2; shift ;; esac
    shift
done
exec awk -v top="$config" '
function trim(s) { sub(/^[ \t\r\v\f]+/, "", s); sub(/[ \t\r\v\f]+$/, "", s); return s }
function fail(file, number, why) { print "error: config file " file ", line " number ": " why > "/dev/stderr"; bad = 1; exit 1 }
function eat(file, section,    line, number, at, key, value) {
    while ((got = (getline line < file)) > 0) {
        number++
        line = trim(line)
        if (line == "" || line ~ /^#/) continue
        if (line ~ /^\[.*\]$/) {
            section = substr(line, 2, length(line) - 2)
            if (section != "options" && !(section in seen)) { seen[section]; order[++repos] = section }
            continue
        }
        if (section == "") fail(file, number, "All directives must belong to a section.")
        at = index(line, "=")
        key = at ? trim(substr(line, 1, at - 1)) : line
        value = at ? trim(substr(line, at + 1)) : ""
        if (key == "Include") { section = eat(value, section); continue }
        if (section == "options" && key == "XferCommand") { command = value; continue }
        text[section] = text[section] (at ? key " = " value : key) "\n"
    }
    if (got < 0) fail(file, number, "cannot read it")
    # mawk dies of closing this one.
    if (file != "/dev/stdin") close(file)
    return section
}
BEGIN { eat(top, "") }
END {
    if (bad) exit 1
    print "[options]"
    if (command != "") print "XferCommand = " command
    # A default counts where nothing else is said, and who reads this takes the first.
    printf "%sRootDir = /\nDBPath = /nonexistent/db/\n", text["options"]
    for (at = 1; at <= repos; at++) printf "[%s]\n%s", order[at], text[order[at]]
}'
