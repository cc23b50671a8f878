# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_pkgswarm_global_optspecs
    string join \n set= q/quiet v/verbose h/help V/version
end

function __fish_pkgswarm_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_pkgswarm_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_pkgswarm_using_subcommand
    set -l cmd (__fish_pkgswarm_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c pkgswarm -n "__fish_pkgswarm_needs_command" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_needs_command" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_needs_command" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_needs_command" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_needs_command" -s V -l version -d 'Print version'
complete -c pkgswarm -n "__fish_pkgswarm_needs_command" -f -a "xfer" -d 'Fetch one file for pacman (XferCommand) or makepkg (DLAGENTS)'
complete -c pkgswarm -n "__fish_pkgswarm_needs_command" -f -a "fetch" -d 'Fetch files by name, package, digest, CID or URL'
complete -c pkgswarm -n "__fish_pkgswarm_needs_command" -f -a "cid" -d 'Print the CIDs of files, offline, like sha256sum'
complete -c pkgswarm -n "__fish_pkgswarm_needs_command" -f -a "index" -d 'Manage the signed indexes in use'
complete -c pkgswarm -n "__fish_pkgswarm_needs_command" -f -a "haiku" -d 'Serve repositories of Haiku\'s pkgman'
complete -c pkgswarm -n "__fish_pkgswarm_needs_command" -f -a "keep" -d 'Keep a share of an index alive, within a quota'
complete -c pkgswarm -n "__fish_pkgswarm_needs_command" -f -a "publish" -d 'Build, sign and publish an index from repo-add directories'
complete -c pkgswarm -n "__fish_pkgswarm_needs_command" -f -a "group" -d 'Hold the same pins on the machines of a closed group'
complete -c pkgswarm -n "__fish_pkgswarm_needs_command" -f -a "prefetch" -d 'Fetch pending updates in advance'
complete -c pkgswarm -n "__fish_pkgswarm_needs_command" -f -a "setup" -d 'Configure this machine to use pkgswarm, or undo that'
complete -c pkgswarm -n "__fish_pkgswarm_needs_command" -f -a "doctor" -d 'Find configuration problems and suggest fixes'
complete -c pkgswarm -n "__fish_pkgswarm_needs_command" -f -a "daemon" -d 'Share packages with the local network, until it is stopped'
complete -c pkgswarm -n "__fish_pkgswarm_needs_command" -f -a "endpoint" -d 'Serve packages over HTTP to pacman\'s own downloader'
complete -c pkgswarm -n "__fish_pkgswarm_needs_command" -f -a "shared" -d 'List the files that are offered, or switch sharing on or off'
complete -c pkgswarm -n "__fish_pkgswarm_needs_command" -f -a "lan" -d 'Trust a network with shared files, or stop doing so'
complete -c pkgswarm -n "__fish_pkgswarm_needs_command" -f -a "status" -d 'Show what is in use, shared and pending'
complete -c pkgswarm -n "__fish_pkgswarm_needs_command" -f -a "why" -d 'Explain where a file would come from, and by which proof'
complete -c pkgswarm -n "__fish_pkgswarm_needs_command" -f -a "stats" -d 'Show how much each source sent, and what that saved'
complete -c pkgswarm -n "__fish_pkgswarm_needs_command" -f -a "config" -d 'Show every setting with its value and its origin'
complete -c pkgswarm -n "__fish_pkgswarm_needs_command" -f -a "store" -d 'List what is kept on this machine, or make room'
complete -c pkgswarm -n "__fish_pkgswarm_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand xfer" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand xfer" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand xfer" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand xfer" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand fetch" -s o -l output -d 'Write to this file; `-` is standard output' -r -F
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand fetch" -s d -l directory -d 'Write into this directory' -r -F
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand fetch" -l source -d 'Ask only this kind of source' -r -f -a "here\t'The store and pacman\'s caches on this machine'
lan\t'The machines of the local network, through `pkgswarm daemon`'
kubo\t'The local Kubo daemon'
gateway\t'The configured trustless gateways'
mirror\t'The repository\'s servers'"
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand fetch" -l as-of -d 'The version of each package that its repository had then: a day, which means its end in UTC, or a moment' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand fetch" -l mirror -d 'Ask this mirror too, with $repo and $arch as in pacman\'s mirror list; may be repeated' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand fetch" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand fetch" -l json -d 'Print one JSON object a file on standard output'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand fetch" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand fetch" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand fetch" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand cid" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand cid" -l json -d 'Print one JSON object a file'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand cid" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand cid" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand cid" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and not __fish_seen_subcommand_from add ls list refresh show audit rm help" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and not __fish_seen_subcommand_from add ls list refresh show audit rm help" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and not __fish_seen_subcommand_from add ls list refresh show audit rm help" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and not __fish_seen_subcommand_from add ls list refresh show audit rm help" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and not __fish_seen_subcommand_from add ls list refresh show audit rm help" -f -a "add" -d 'Use an index'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and not __fish_seen_subcommand_from add ls list refresh show audit rm help" -f -a "ls" -d 'List the indexes in use, with age and expiry'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and not __fish_seen_subcommand_from add ls list refresh show audit rm help" -f -a "list" -d 'List the indexes in use, with age and expiry'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and not __fish_seen_subcommand_from add ls list refresh show audit rm help" -f -a "refresh" -d 'Fetch and prove the newest version'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and not __fish_seen_subcommand_from add ls list refresh show audit rm help" -f -a "show" -d 'Show the content of an index'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and not __fish_seen_subcommand_from add ls list refresh show audit rm help" -f -a "audit" -d 'Compare packages on this machine with indexes and sync databases'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and not __fish_seen_subcommand_from add ls list refresh show audit rm help" -f -a "rm" -d 'Stop using an index'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and not __fish_seen_subcommand_from add ls list refresh show audit rm help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from add" -l minisign -d 'minisign public key that must have signed it as well' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from add" -l url -d 'Plain HTTP copy of the index; may be repeated' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from add" -l peer -d 'Address of a peer that has the index: /ip4/…/tcp/4001/p2p/12D3…; may be repeated' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from add" -l repo -d 'Repository that the index may speak for; may be repeated [default: pacman\'s repositories]' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from add" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from add" -s y -l yes -d 'Do not ask'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from add" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from add" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from ls" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from ls" -l json -d 'Print JSON'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from ls" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from list" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from list" -l json -d 'Print JSON'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from refresh" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from refresh" -l due -d 'Only those older than index.refresh'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from refresh" -l json -d 'Print one JSON object an index'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from refresh" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from refresh" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from refresh" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from show" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from show" -l entries -d 'List every entry of its tables as well'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from show" -l json -d 'Print JSON'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from show" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from show" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from show" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from audit" -l against -d 'Compare indexes with this one, entry by entry, and read no packages' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from audit" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from audit" -l json -d 'Print one JSON object a file: name, path, size, sha256, cid, the lists that name it, and disagreements'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from audit" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from audit" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from audit" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from rm" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from rm" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from rm" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from rm" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from help" -f -a "add" -d 'Use an index'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from help" -f -a "ls" -d 'List the indexes in use, with age and expiry'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from help" -f -a "refresh" -d 'Fetch and prove the newest version'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from help" -f -a "show" -d 'Show the content of an index'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from help" -f -a "audit" -d 'Compare packages on this machine with indexes and sync databases'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from help" -f -a "rm" -d 'Stop using an index'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and not __fish_seen_subcommand_from add ls list refresh steps rm help" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and not __fish_seen_subcommand_from add ls list refresh steps rm help" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and not __fish_seen_subcommand_from add ls list refresh steps rm help" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and not __fish_seen_subcommand_from add ls list refresh steps rm help" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and not __fish_seen_subcommand_from add ls list refresh steps rm help" -f -a "add" -d 'Serve a repository of Haiku\'s'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and not __fish_seen_subcommand_from add ls list refresh steps rm help" -f -a "ls" -d 'List the repositories, with the age of their snapshots'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and not __fish_seen_subcommand_from add ls list refresh steps rm help" -f -a "list" -d 'List the repositories, with the age of their snapshots'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and not __fish_seen_subcommand_from add ls list refresh steps rm help" -f -a "refresh" -d 'Fetch and prove the newest list of packages'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and not __fish_seen_subcommand_from add ls list refresh steps rm help" -f -a "steps" -d 'Print what to type on Haiku to switch to the endpoint, and to switch back'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and not __fish_seen_subcommand_from add ls list refresh steps rm help" -f -a "rm" -d 'Stop serving a repository'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and not __fish_seen_subcommand_from add ls list refresh steps rm help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and __fish_seen_subcommand_from add" -l minisign -d 'minisign public key that must have signed its list [default: that of Haiku\'s own repositories]' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and __fish_seen_subcommand_from add" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and __fish_seen_subcommand_from add" -s y -l yes -d 'Do not ask'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and __fish_seen_subcommand_from add" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and __fish_seen_subcommand_from add" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and __fish_seen_subcommand_from add" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and __fish_seen_subcommand_from ls" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and __fish_seen_subcommand_from ls" -l json -d 'Print JSON'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and __fish_seen_subcommand_from ls" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and __fish_seen_subcommand_from list" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and __fish_seen_subcommand_from list" -l json -d 'Print JSON'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and __fish_seen_subcommand_from refresh" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and __fish_seen_subcommand_from refresh" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and __fish_seen_subcommand_from refresh" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and __fish_seen_subcommand_from refresh" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and __fish_seen_subcommand_from steps" -l address -d 'Address at which Haiku reaches the endpoint [default: this machine\'s, with the port of endpoint.listen]' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and __fish_seen_subcommand_from steps" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and __fish_seen_subcommand_from steps" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and __fish_seen_subcommand_from steps" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and __fish_seen_subcommand_from steps" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and __fish_seen_subcommand_from rm" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and __fish_seen_subcommand_from rm" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and __fish_seen_subcommand_from rm" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and __fish_seen_subcommand_from rm" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and __fish_seen_subcommand_from help" -f -a "add" -d 'Serve a repository of Haiku\'s'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and __fish_seen_subcommand_from help" -f -a "ls" -d 'List the repositories, with the age of their snapshots'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and __fish_seen_subcommand_from help" -f -a "refresh" -d 'Fetch and prove the newest list of packages'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and __fish_seen_subcommand_from help" -f -a "steps" -d 'Print what to type on Haiku to switch to the endpoint, and to switch back'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and __fish_seen_subcommand_from help" -f -a "rm" -d 'Stop serving a repository'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand haiku; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and not __fish_seen_subcommand_from run ls list status stop help" -l quota -d 'Most room that the share takes on the disk, like 40G; required the first time' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and not __fish_seen_subcommand_from run ls list status stop help" -l repos -d 'Only these repositories of the index [default: all]' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and not __fish_seen_subcommand_from run ls list status stop help" -l min-free -d 'Room that stays free on that disk, whatever else fills it: a size, or a part of the whole [default: 10%]' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and not __fish_seen_subcommand_from run ls list status stop help" -l newest -d 'Of several versions of a package keep only the newest; --newest=false ends that' -r -f -a "true\t''
false\t''"
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and not __fish_seen_subcommand_from run ls list status stop help" -l mirrors -d 'Fetch from mirrors, too, what no peer and no gateway has; --mirrors=false ends that' -r -f -a "true\t''
false\t''"
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and not __fish_seen_subcommand_from run ls list status stop help" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and not __fish_seen_subcommand_from run ls list status stop help" -l json -d 'Print JSON'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and not __fish_seen_subcommand_from run ls list status stop help" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and not __fish_seen_subcommand_from run ls list status stop help" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and not __fish_seen_subcommand_from run ls list status stop help" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and not __fish_seen_subcommand_from run ls list status stop help" -a "run" -d 'Make a round of the shares: what the timer does'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and not __fish_seen_subcommand_from run ls list status stop help" -a "ls" -d 'List the shares'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and not __fish_seen_subcommand_from run ls list status stop help" -a "list" -d 'List the shares'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and not __fish_seen_subcommand_from run ls list status stop help" -a "status" -d 'Show what is kept, how the last round went, and how well the index is covered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and not __fish_seen_subcommand_from run ls list status stop help" -a "stop" -d 'Keep a share no longer'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and not __fish_seen_subcommand_from run ls list status stop help" -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and __fish_seen_subcommand_from run" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and __fish_seen_subcommand_from run" -l now -d 'Do it also on a metered connection, on battery, through a VPN, and at any time of day'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and __fish_seen_subcommand_from run" -l json -d 'Print JSON'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and __fish_seen_subcommand_from run" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and __fish_seen_subcommand_from run" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and __fish_seen_subcommand_from run" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and __fish_seen_subcommand_from ls" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and __fish_seen_subcommand_from ls" -l json -d 'Print JSON'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and __fish_seen_subcommand_from ls" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and __fish_seen_subcommand_from list" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and __fish_seen_subcommand_from list" -l json -d 'Print JSON'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and __fish_seen_subcommand_from status" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and __fish_seen_subcommand_from status" -l json -d 'Print JSON'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and __fish_seen_subcommand_from status" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and __fish_seen_subcommand_from status" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and __fish_seen_subcommand_from stop" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and __fish_seen_subcommand_from stop" -l leave -d 'Leave the files in Kubo under a pin of your own, or in the store\'s directory left'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and __fish_seen_subcommand_from stop" -l json -d 'Print JSON'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and __fish_seen_subcommand_from stop" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and __fish_seen_subcommand_from stop" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and __fish_seen_subcommand_from stop" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and __fish_seen_subcommand_from help" -f -a "run" -d 'Make a round of the shares: what the timer does'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and __fish_seen_subcommand_from help" -f -a "ls" -d 'List the shares'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and __fish_seen_subcommand_from help" -f -a "status" -d 'Show what is kept, how the last round went, and how well the index is covered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and __fish_seen_subcommand_from help" -f -a "stop" -d 'Keep a share no longer'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand keep; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand publish; and not __fish_seen_subcommand_from status help" -l key -d 'Name of the Kubo key to publish under; made when there is none [default: pkgswarm]' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand publish; and not __fish_seen_subcommand_from status help" -l publisher -d 'Name of the publisher in the index [default: pkgswarm]' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand publish; and not __fish_seen_subcommand_from status help" -l minisign-key -d 'minisign secret key file to sign the manifest with' -r -F
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand publish; and not __fish_seen_subcommand_from status help" -l haiku-key -d 'minisign public key that must have signed lists of Haiku\'s repositories, and images [default: Haiku\'s own]' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand publish; and not __fish_seen_subcommand_from status help" -l drop -d 'Leave out this repository, which the last publication has; may be repeated' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand publish; and not __fish_seen_subcommand_from status help" -l content -d 'What is kept of the packages: all, or none but their entries and root blocks [default: all]' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand publish; and not __fish_seen_subcommand_from status help" -l retain -d 'Days for which files that have left the databases stay in the archive of the index [default: there is none]' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand publish; and not __fish_seen_subcommand_from status help" -l retain-versions -d 'Most superseded files of one package in the archive, the last ones; with --retain, both hold' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand publish; and not __fish_seen_subcommand_from status help" -l retain-size -d 'Most bytes of archived files that Kubo keeps: what left first goes first [default: all]' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand publish; and not __fish_seen_subcommand_from status help" -l lifetime -d 'How long the index is valid [default: 48 h]' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand publish; and not __fish_seen_subcommand_from status help" -l out -d 'Also write manifest, signature, tables and root blocks into this directory' -r -F
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand publish; and not __fish_seen_subcommand_from status help" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand publish; and not __fish_seen_subcommand_from status help" -l offline -d 'Build and sign into --out without a daemon'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand publish; and not __fish_seen_subcommand_from status help" -l json -d 'Print JSON'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand publish; and not __fish_seen_subcommand_from status help" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand publish; and not __fish_seen_subcommand_from status help" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand publish; and not __fish_seen_subcommand_from status help" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand publish; and not __fish_seen_subcommand_from status help" -a "status" -d 'Show how the publications of this machine are'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand publish; and not __fish_seen_subcommand_from status help" -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand publish; and __fish_seen_subcommand_from status" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand publish; and __fish_seen_subcommand_from status" -l json -d 'Print one JSON object a publication'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand publish; and __fish_seen_subcommand_from status" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand publish; and __fish_seen_subcommand_from status" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand publish; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand publish; and __fish_seen_subcommand_from help" -f -a "status" -d 'Show how the publications of this machine are'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand publish; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand group; and not __fish_seen_subcommand_from init join status leave help" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand group; and not __fish_seen_subcommand_from init join status leave help" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand group; and not __fish_seen_subcommand_from init join status leave help" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand group; and not __fish_seen_subcommand_from init join status leave help" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand group; and not __fish_seen_subcommand_from init join status leave help" -f -a "init" -d 'Begin a closed group on this machine'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand group; and not __fish_seen_subcommand_from init join status leave help" -f -a "join" -d 'Join a closed group by its file, or take over what the file says now'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand group; and not __fish_seen_subcommand_from init join status leave help" -f -a "status" -d 'Show the members, the pins and the root of each group'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand group; and not __fish_seen_subcommand_from init join status leave help" -f -a "leave" -d 'Leave a group: remove it from this machine'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand group; and not __fish_seen_subcommand_from init join status leave help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand group; and __fish_seen_subcommand_from init" -l name -d 'Name of the group: 1 to 64 letters, digits, dots, - and _' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand group; and __fish_seen_subcommand_from init" -l at -d 'Address or name at which other members reach this machine; may be repeated [default: its own addresses]' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand group; and __fish_seen_subcommand_from init" -l port -d 'First of four ports in a row: two for members, two on 127.0.0.1 [default: 4160, or the next that are free]' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand group; and __fish_seen_subcommand_from init" -l out -d 'Where to write the group\'s file, with mode 0600 [default: NAME.group in this directory]' -r -F
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand group; and __fish_seen_subcommand_from init" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand group; and __fish_seen_subcommand_from init" -l only-writer -d 'Let the pins of this machine count alone: other members hold them, and cannot add or remove any'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand group; and __fish_seen_subcommand_from init" -s y -l yes -d 'Do not ask'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand group; and __fish_seen_subcommand_from init" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand group; and __fish_seen_subcommand_from init" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand group; and __fish_seen_subcommand_from init" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand group; and __fish_seen_subcommand_from join" -l port -d 'First of four ports in a row: two for members, two on 127.0.0.1 [default: 4160, or the next that are free]' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand group; and __fish_seen_subcommand_from join" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand group; and __fish_seen_subcommand_from join" -s y -l yes -d 'Do not ask'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand group; and __fish_seen_subcommand_from join" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand group; and __fish_seen_subcommand_from join" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand group; and __fish_seen_subcommand_from join" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand group; and __fish_seen_subcommand_from status" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand group; and __fish_seen_subcommand_from status" -l json -d 'Print one JSON object a group'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand group; and __fish_seen_subcommand_from status" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand group; and __fish_seen_subcommand_from status" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand group; and __fish_seen_subcommand_from status" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand group; and __fish_seen_subcommand_from leave" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand group; and __fish_seen_subcommand_from leave" -s y -l yes -d 'Do not ask'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand group; and __fish_seen_subcommand_from leave" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand group; and __fish_seen_subcommand_from leave" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand group; and __fish_seen_subcommand_from leave" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand group; and __fish_seen_subcommand_from help" -f -a "init" -d 'Begin a closed group on this machine'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand group; and __fish_seen_subcommand_from help" -f -a "join" -d 'Join a closed group by its file, or take over what the file says now'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand group; and __fish_seen_subcommand_from help" -f -a "status" -d 'Show the members, the pins and the root of each group'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand group; and __fish_seen_subcommand_from help" -f -a "leave" -d 'Leave a group: remove it from this machine'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand group; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand prefetch" -l only -d 'Only these packages [default: all that are pending]' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand prefetch" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand prefetch" -s n -l dry-run -d 'Look for updates and fetch none'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand prefetch" -l now -d 'Ignore the settings about battery, connection and time of day'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand prefetch" -l notify -d 'Fetch nothing; notify this desktop of updates that are here, once'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand prefetch" -l json -d 'Print one JSON object'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand prefetch" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand prefetch" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand prefetch" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand setup" -l door -d 'The way on which pacman reaches pkgswarm [default: as it is, else xfer]' -r -f -a "xfer\t'XferCommand: pacman\'s command line, one file after the other; nothing has to run'
cache\t'CacheServer: pacman\'s own downloader with its bars and parallel downloads, and every front-end of libalpm'
both\t'Both: XferCommand for pacman\'s command line, CacheServer for front-ends'"
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand setup" -l only -d 'Only these parts; may be repeated [default: all]' -r -f -a "endpoint\t'The endpoint for pacman\'s own downloader, where --door names it'
pacman\t'XferCommand and CacheServer in pacman.conf'
parallel\t'More parallel downloads in pacman.conf, where pacman asks the endpoint'
index\t'The timer that refreshes indexes, where any is in use'
prefetch\t'The timer that fetches pending updates ahead'
notify\t'The notification on desktops that updates are here'
kubo\t'Settings of the local Kubo daemon, where one answers'
daemon\t'The daemon that shares packages with the local network'
lan\t'Trust in the network that this machine is in, where the daemon is enabled'"
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand setup" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand setup" -l undo -d 'Undo what setup did'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand setup" -s y -l yes -d 'Do not ask'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand setup" -s n -l dry-run -d 'Show what would be changed, and change nothing'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand setup" -l json -d 'Print one JSON object a part: part, state, change, said'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand setup" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand setup" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand setup" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand doctor" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand doctor" -l notes -d 'Show notes as well'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand doctor" -l json -d 'Print JSON: every check with its findings'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand doctor" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand doctor" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand doctor" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand daemon" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand daemon" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand daemon" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand daemon" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand endpoint" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand endpoint" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand endpoint" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand endpoint" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand shared" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand shared" -l json -d 'Print JSON'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand shared" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand shared" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand shared" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand lan; and not __fish_seen_subcommand_from trust ls list forget help" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand lan; and not __fish_seen_subcommand_from trust ls list forget help" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand lan; and not __fish_seen_subcommand_from trust ls list forget help" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand lan; and not __fish_seen_subcommand_from trust ls list forget help" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand lan; and not __fish_seen_subcommand_from trust ls list forget help" -f -a "trust" -d 'Trust the networks that this machine is in, or those that are named'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand lan; and not __fish_seen_subcommand_from trust ls list forget help" -f -a "ls" -d 'List the networks that this machine is in, and those that are trusted'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand lan; and not __fish_seen_subcommand_from trust ls list forget help" -f -a "list" -d 'List the networks that this machine is in, and those that are trusted'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand lan; and not __fish_seen_subcommand_from trust ls list forget help" -f -a "forget" -d 'Do not trust a network any more: one that is named, or those that this machine is in'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand lan; and not __fish_seen_subcommand_from trust ls list forget help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand lan; and __fish_seen_subcommand_from trust" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand lan; and __fish_seen_subcommand_from trust" -s y -l yes -d 'Do not ask, also where no router tells a network from others of its range'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand lan; and __fish_seen_subcommand_from trust" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand lan; and __fish_seen_subcommand_from trust" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand lan; and __fish_seen_subcommand_from trust" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand lan; and __fish_seen_subcommand_from ls" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand lan; and __fish_seen_subcommand_from ls" -l json -d 'Print JSON'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand lan; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand lan; and __fish_seen_subcommand_from ls" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand lan; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand lan; and __fish_seen_subcommand_from list" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand lan; and __fish_seen_subcommand_from list" -l json -d 'Print JSON'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand lan; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand lan; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand lan; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand lan; and __fish_seen_subcommand_from forget" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand lan; and __fish_seen_subcommand_from forget" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand lan; and __fish_seen_subcommand_from forget" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand lan; and __fish_seen_subcommand_from forget" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand lan; and __fish_seen_subcommand_from help" -f -a "trust" -d 'Trust the networks that this machine is in, or those that are named'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand lan; and __fish_seen_subcommand_from help" -f -a "ls" -d 'List the networks that this machine is in, and those that are trusted'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand lan; and __fish_seen_subcommand_from help" -f -a "forget" -d 'Do not trust a network any more: one that is named, or those that this machine is in'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand lan; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand status" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand status" -s l -l long -d 'Show peer ids, addresses and every pending update as well'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand status" -l json -d 'Print JSON'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand status" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand status" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand status" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand why" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand why" -s l -l long -d 'Show digests, the CID and paths as well'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand why" -l json -d 'Print one JSON object'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand why" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand why" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand why" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand stats" -l days -d 'Number of days to look back, today included; 0 for the whole journal' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand stats" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand stats" -l json -d 'Print JSON'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand stats" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand stats" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand stats" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand config" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand config" -l changed -d 'Only the settings that have another value than their default'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand config" -l json -d 'Print JSON'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand config" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand config" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand config" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand store; and not __fish_seen_subcommand_from ls list clean help" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand store; and not __fish_seen_subcommand_from ls list clean help" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand store; and not __fish_seen_subcommand_from ls list clean help" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand store; and not __fish_seen_subcommand_from ls list clean help" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand store; and not __fish_seen_subcommand_from ls list clean help" -f -a "ls" -d 'List what the stores keep, and why'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand store; and not __fish_seen_subcommand_from ls list clean help" -f -a "list" -d 'List what the stores keep, and why'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand store; and not __fish_seen_subcommand_from ls list clean help" -f -a "clean" -d 'Remove what may be removed, and say what that freed'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand store; and not __fish_seen_subcommand_from ls list clean help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand store; and __fish_seen_subcommand_from ls" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand store; and __fish_seen_subcommand_from ls" -l json -d 'Print JSON'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand store; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand store; and __fish_seen_subcommand_from ls" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand store; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand store; and __fish_seen_subcommand_from list" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand store; and __fish_seen_subcommand_from list" -l json -d 'Print JSON'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand store; and __fish_seen_subcommand_from list" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand store; and __fish_seen_subcommand_from list" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand store; and __fish_seen_subcommand_from list" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand store; and __fish_seen_subcommand_from clean" -l set -d 'Set one setting for this run, above every other layer' -r
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand store; and __fish_seen_subcommand_from clean" -s n -l dry-run -d 'Show what would go, and remove nothing'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand store; and __fish_seen_subcommand_from clean" -l json -d 'Print JSON'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand store; and __fish_seen_subcommand_from clean" -s q -l quiet -d 'Print data, errors and warnings alone'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand store; and __fish_seen_subcommand_from clean" -s v -l verbose -d 'Name every source that failed, also when another one delivered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand store; and __fish_seen_subcommand_from clean" -s h -l help -d 'Print help: in short with -h, in full with --help'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand store; and __fish_seen_subcommand_from help" -f -a "ls" -d 'List what the stores keep, and why'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand store; and __fish_seen_subcommand_from help" -f -a "clean" -d 'Remove what may be removed, and say what that freed'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand store; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and not __fish_seen_subcommand_from xfer fetch cid index haiku keep publish group prefetch setup doctor daemon endpoint shared lan status why stats config store help" -f -a "xfer" -d 'Fetch one file for pacman (XferCommand) or makepkg (DLAGENTS)'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and not __fish_seen_subcommand_from xfer fetch cid index haiku keep publish group prefetch setup doctor daemon endpoint shared lan status why stats config store help" -f -a "fetch" -d 'Fetch files by name, package, digest, CID or URL'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and not __fish_seen_subcommand_from xfer fetch cid index haiku keep publish group prefetch setup doctor daemon endpoint shared lan status why stats config store help" -f -a "cid" -d 'Print the CIDs of files, offline, like sha256sum'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and not __fish_seen_subcommand_from xfer fetch cid index haiku keep publish group prefetch setup doctor daemon endpoint shared lan status why stats config store help" -f -a "index" -d 'Manage the signed indexes in use'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and not __fish_seen_subcommand_from xfer fetch cid index haiku keep publish group prefetch setup doctor daemon endpoint shared lan status why stats config store help" -f -a "haiku" -d 'Serve repositories of Haiku\'s pkgman'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and not __fish_seen_subcommand_from xfer fetch cid index haiku keep publish group prefetch setup doctor daemon endpoint shared lan status why stats config store help" -f -a "keep" -d 'Keep a share of an index alive, within a quota'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and not __fish_seen_subcommand_from xfer fetch cid index haiku keep publish group prefetch setup doctor daemon endpoint shared lan status why stats config store help" -f -a "publish" -d 'Build, sign and publish an index from repo-add directories'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and not __fish_seen_subcommand_from xfer fetch cid index haiku keep publish group prefetch setup doctor daemon endpoint shared lan status why stats config store help" -f -a "group" -d 'Hold the same pins on the machines of a closed group'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and not __fish_seen_subcommand_from xfer fetch cid index haiku keep publish group prefetch setup doctor daemon endpoint shared lan status why stats config store help" -f -a "prefetch" -d 'Fetch pending updates in advance'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and not __fish_seen_subcommand_from xfer fetch cid index haiku keep publish group prefetch setup doctor daemon endpoint shared lan status why stats config store help" -f -a "setup" -d 'Configure this machine to use pkgswarm, or undo that'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and not __fish_seen_subcommand_from xfer fetch cid index haiku keep publish group prefetch setup doctor daemon endpoint shared lan status why stats config store help" -f -a "doctor" -d 'Find configuration problems and suggest fixes'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and not __fish_seen_subcommand_from xfer fetch cid index haiku keep publish group prefetch setup doctor daemon endpoint shared lan status why stats config store help" -f -a "daemon" -d 'Share packages with the local network, until it is stopped'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and not __fish_seen_subcommand_from xfer fetch cid index haiku keep publish group prefetch setup doctor daemon endpoint shared lan status why stats config store help" -f -a "endpoint" -d 'Serve packages over HTTP to pacman\'s own downloader'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and not __fish_seen_subcommand_from xfer fetch cid index haiku keep publish group prefetch setup doctor daemon endpoint shared lan status why stats config store help" -f -a "shared" -d 'List the files that are offered, or switch sharing on or off'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and not __fish_seen_subcommand_from xfer fetch cid index haiku keep publish group prefetch setup doctor daemon endpoint shared lan status why stats config store help" -f -a "lan" -d 'Trust a network with shared files, or stop doing so'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and not __fish_seen_subcommand_from xfer fetch cid index haiku keep publish group prefetch setup doctor daemon endpoint shared lan status why stats config store help" -f -a "status" -d 'Show what is in use, shared and pending'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and not __fish_seen_subcommand_from xfer fetch cid index haiku keep publish group prefetch setup doctor daemon endpoint shared lan status why stats config store help" -f -a "why" -d 'Explain where a file would come from, and by which proof'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and not __fish_seen_subcommand_from xfer fetch cid index haiku keep publish group prefetch setup doctor daemon endpoint shared lan status why stats config store help" -f -a "stats" -d 'Show how much each source sent, and what that saved'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and not __fish_seen_subcommand_from xfer fetch cid index haiku keep publish group prefetch setup doctor daemon endpoint shared lan status why stats config store help" -f -a "config" -d 'Show every setting with its value and its origin'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and not __fish_seen_subcommand_from xfer fetch cid index haiku keep publish group prefetch setup doctor daemon endpoint shared lan status why stats config store help" -f -a "store" -d 'List what is kept on this machine, or make room'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and not __fish_seen_subcommand_from xfer fetch cid index haiku keep publish group prefetch setup doctor daemon endpoint shared lan status why stats config store help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and __fish_seen_subcommand_from index" -f -a "add" -d 'Use an index'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and __fish_seen_subcommand_from index" -f -a "ls" -d 'List the indexes in use, with age and expiry'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and __fish_seen_subcommand_from index" -f -a "refresh" -d 'Fetch and prove the newest version'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and __fish_seen_subcommand_from index" -f -a "show" -d 'Show the content of an index'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and __fish_seen_subcommand_from index" -f -a "audit" -d 'Compare packages on this machine with indexes and sync databases'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and __fish_seen_subcommand_from index" -f -a "rm" -d 'Stop using an index'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and __fish_seen_subcommand_from haiku" -f -a "add" -d 'Serve a repository of Haiku\'s'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and __fish_seen_subcommand_from haiku" -f -a "ls" -d 'List the repositories, with the age of their snapshots'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and __fish_seen_subcommand_from haiku" -f -a "refresh" -d 'Fetch and prove the newest list of packages'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and __fish_seen_subcommand_from haiku" -f -a "steps" -d 'Print what to type on Haiku to switch to the endpoint, and to switch back'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and __fish_seen_subcommand_from haiku" -f -a "rm" -d 'Stop serving a repository'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and __fish_seen_subcommand_from keep" -f -a "run" -d 'Make a round of the shares: what the timer does'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and __fish_seen_subcommand_from keep" -f -a "ls" -d 'List the shares'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and __fish_seen_subcommand_from keep" -f -a "status" -d 'Show what is kept, how the last round went, and how well the index is covered'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and __fish_seen_subcommand_from keep" -f -a "stop" -d 'Keep a share no longer'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and __fish_seen_subcommand_from publish" -f -a "status" -d 'Show how the publications of this machine are'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and __fish_seen_subcommand_from group" -f -a "init" -d 'Begin a closed group on this machine'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and __fish_seen_subcommand_from group" -f -a "join" -d 'Join a closed group by its file, or take over what the file says now'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and __fish_seen_subcommand_from group" -f -a "status" -d 'Show the members, the pins and the root of each group'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and __fish_seen_subcommand_from group" -f -a "leave" -d 'Leave a group: remove it from this machine'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and __fish_seen_subcommand_from lan" -f -a "trust" -d 'Trust the networks that this machine is in, or those that are named'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and __fish_seen_subcommand_from lan" -f -a "ls" -d 'List the networks that this machine is in, and those that are trusted'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and __fish_seen_subcommand_from lan" -f -a "forget" -d 'Do not trust a network any more: one that is named, or those that this machine is in'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and __fish_seen_subcommand_from store" -f -a "ls" -d 'List what the stores keep, and why'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand help; and __fish_seen_subcommand_from store" -f -a "clean" -d 'Remove what may be removed, and say what that freed'

# What the grammar does not know.
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand config" -f -a 'store.dir store.max state.dir download.user download.connect download.stall download.patience download.floor ahead.enabled ahead.parallel mirrors.split pacman.conf database.from_index kubo.enabled kubo.api kubo.token_file kubo.gateway kubo.head_start kubo.search kubo.keep kubo.share kubo.peering lan.enabled lan.networks lan.interfaces lan.port lan.peers lan.peers_most lan.share lan.upload lan.upload_each daemon.log daemon.socket endpoint.enabled endpoint.listen endpoint.mirrors endpoint.ahead endpoint.wait endpoint.allow endpoint.names endpoint.peers endpoint.announce endpoint.page share.repos share.stores gateways.urls gateways.behind_proxy index.refresh index.deadline prefetch.max prefetch.age prefetch.rate prefetch.window prefetch.metered prefetch.battery prefetch.vpn prefetch.pin output.progress'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand shared" -f
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand why" -f -a '(pacman -Slq 2>/dev/null)'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand fetch" -a '(pacman -Slq 2>/dev/null)'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from rm show" -f -a '(pkgswarm index ls --json 2>/dev/null | sed -n \'s/.*"name":"\([^"]*\)".*/\1/p\')'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from refresh" -f -a '(pkgswarm index ls --json 2>/dev/null | sed -n \'s/.*"name":"\([^"]*\)".*/\1/p\')'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand index; and __fish_seen_subcommand_from audit" -a '(pkgswarm index ls --json 2>/dev/null | sed -n \'s/.*"name":"\([^"]*\)".*/\1/p\'; pacman-conf CacheDir 2>/dev/null)'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand prefetch" -l only -x -a '(pacman -Qqu 2>/dev/null)'
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand lan" -f
complete -c pkgswarm -n "__fish_pkgswarm_using_subcommand store" -f
complete -c pkgswarm -l set -x -a 'store.dir= store.max= state.dir= download.user= download.connect= download.stall= download.patience= download.floor= ahead.enabled= ahead.parallel= mirrors.split= pacman.conf= database.from_index= kubo.enabled= kubo.api= kubo.token_file= kubo.gateway= kubo.head_start= kubo.search= kubo.keep= kubo.share= kubo.peering= lan.enabled= lan.networks= lan.interfaces= lan.port= lan.peers= lan.peers_most= lan.share= lan.upload= lan.upload_each= daemon.log= daemon.socket= endpoint.enabled= endpoint.listen= endpoint.mirrors= endpoint.ahead= endpoint.wait= endpoint.allow= endpoint.names= endpoint.peers= endpoint.announce= endpoint.page= share.repos= share.stores= gateways.urls= gateways.behind_proxy= index.refresh= index.deadline= prefetch.max= prefetch.age= prefetch.rate= prefetch.window= prefetch.metered= prefetch.battery= prefetch.vpn= prefetch.pin= output.progress='
