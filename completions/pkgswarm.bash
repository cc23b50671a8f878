_pkgswarm() {
    local i cur prev opts cmd
    COMPREPLY=()
    if [[ "${BASH_VERSINFO[0]}" -ge 4 ]]; then
        cur="$2"
    else
        cur="${COMP_WORDS[COMP_CWORD]}"
    fi
    prev="$3"
    cmd=""
    opts=""

    for i in "${COMP_WORDS[@]:0:COMP_CWORD}"
    do
        case "${cmd},${i}" in
            ",$1")
                cmd="pkgswarm"
                ;;
            pkgswarm,cid)
                cmd="pkgswarm__subcmd__cid"
                ;;
            pkgswarm,config)
                cmd="pkgswarm__subcmd__config"
                ;;
            pkgswarm,daemon)
                cmd="pkgswarm__subcmd__daemon"
                ;;
            pkgswarm,doctor)
                cmd="pkgswarm__subcmd__doctor"
                ;;
            pkgswarm,endpoint)
                cmd="pkgswarm__subcmd__endpoint"
                ;;
            pkgswarm,fetch)
                cmd="pkgswarm__subcmd__fetch"
                ;;
            pkgswarm,group)
                cmd="pkgswarm__subcmd__group"
                ;;
            pkgswarm,haiku)
                cmd="pkgswarm__subcmd__haiku"
                ;;
            pkgswarm,help)
                cmd="pkgswarm__subcmd__help"
                ;;
            pkgswarm,index)
                cmd="pkgswarm__subcmd__index"
                ;;
            pkgswarm,keep)
                cmd="pkgswarm__subcmd__keep"
                ;;
            pkgswarm,lan)
                cmd="pkgswarm__subcmd__lan"
                ;;
            pkgswarm,prefetch)
                cmd="pkgswarm__subcmd__prefetch"
                ;;
            pkgswarm,publish)
                cmd="pkgswarm__subcmd__publish"
                ;;
            pkgswarm,setup)
                cmd="pkgswarm__subcmd__setup"
                ;;
            pkgswarm,shared)
                cmd="pkgswarm__subcmd__shared"
                ;;
            pkgswarm,stats)
                cmd="pkgswarm__subcmd__stats"
                ;;
            pkgswarm,status)
                cmd="pkgswarm__subcmd__status"
                ;;
            pkgswarm,store)
                cmd="pkgswarm__subcmd__store"
                ;;
            pkgswarm,why)
                cmd="pkgswarm__subcmd__why"
                ;;
            pkgswarm,xfer)
                cmd="pkgswarm__subcmd__xfer"
                ;;
            pkgswarm__subcmd__group,help)
                cmd="pkgswarm__subcmd__group__subcmd__help"
                ;;
            pkgswarm__subcmd__group,init)
                cmd="pkgswarm__subcmd__group__subcmd__init"
                ;;
            pkgswarm__subcmd__group,join)
                cmd="pkgswarm__subcmd__group__subcmd__join"
                ;;
            pkgswarm__subcmd__group,leave)
                cmd="pkgswarm__subcmd__group__subcmd__leave"
                ;;
            pkgswarm__subcmd__group,status)
                cmd="pkgswarm__subcmd__group__subcmd__status"
                ;;
            pkgswarm__subcmd__group__subcmd__help,help)
                cmd="pkgswarm__subcmd__group__subcmd__help__subcmd__help"
                ;;
            pkgswarm__subcmd__group__subcmd__help,init)
                cmd="pkgswarm__subcmd__group__subcmd__help__subcmd__init"
                ;;
            pkgswarm__subcmd__group__subcmd__help,join)
                cmd="pkgswarm__subcmd__group__subcmd__help__subcmd__join"
                ;;
            pkgswarm__subcmd__group__subcmd__help,leave)
                cmd="pkgswarm__subcmd__group__subcmd__help__subcmd__leave"
                ;;
            pkgswarm__subcmd__group__subcmd__help,status)
                cmd="pkgswarm__subcmd__group__subcmd__help__subcmd__status"
                ;;
            pkgswarm__subcmd__haiku,add)
                cmd="pkgswarm__subcmd__haiku__subcmd__add"
                ;;
            pkgswarm__subcmd__haiku,help)
                cmd="pkgswarm__subcmd__haiku__subcmd__help"
                ;;
            pkgswarm__subcmd__haiku,list)
                cmd="pkgswarm__subcmd__haiku__subcmd__ls"
                ;;
            pkgswarm__subcmd__haiku,ls)
                cmd="pkgswarm__subcmd__haiku__subcmd__ls"
                ;;
            pkgswarm__subcmd__haiku,refresh)
                cmd="pkgswarm__subcmd__haiku__subcmd__refresh"
                ;;
            pkgswarm__subcmd__haiku,rm)
                cmd="pkgswarm__subcmd__haiku__subcmd__rm"
                ;;
            pkgswarm__subcmd__haiku,steps)
                cmd="pkgswarm__subcmd__haiku__subcmd__steps"
                ;;
            pkgswarm__subcmd__haiku__subcmd__help,add)
                cmd="pkgswarm__subcmd__haiku__subcmd__help__subcmd__add"
                ;;
            pkgswarm__subcmd__haiku__subcmd__help,help)
                cmd="pkgswarm__subcmd__haiku__subcmd__help__subcmd__help"
                ;;
            pkgswarm__subcmd__haiku__subcmd__help,ls)
                cmd="pkgswarm__subcmd__haiku__subcmd__help__subcmd__ls"
                ;;
            pkgswarm__subcmd__haiku__subcmd__help,refresh)
                cmd="pkgswarm__subcmd__haiku__subcmd__help__subcmd__refresh"
                ;;
            pkgswarm__subcmd__haiku__subcmd__help,rm)
                cmd="pkgswarm__subcmd__haiku__subcmd__help__subcmd__rm"
                ;;
            pkgswarm__subcmd__haiku__subcmd__help,steps)
                cmd="pkgswarm__subcmd__haiku__subcmd__help__subcmd__steps"
                ;;
            pkgswarm__subcmd__help,cid)
                cmd="pkgswarm__subcmd__help__subcmd__cid"
                ;;
            pkgswarm__subcmd__help,config)
                cmd="pkgswarm__subcmd__help__subcmd__config"
                ;;
            pkgswarm__subcmd__help,daemon)
                cmd="pkgswarm__subcmd__help__subcmd__daemon"
                ;;
            pkgswarm__subcmd__help,doctor)
                cmd="pkgswarm__subcmd__help__subcmd__doctor"
                ;;
            pkgswarm__subcmd__help,endpoint)
                cmd="pkgswarm__subcmd__help__subcmd__endpoint"
                ;;
            pkgswarm__subcmd__help,fetch)
                cmd="pkgswarm__subcmd__help__subcmd__fetch"
                ;;
            pkgswarm__subcmd__help,group)
                cmd="pkgswarm__subcmd__help__subcmd__group"
                ;;
            pkgswarm__subcmd__help,haiku)
                cmd="pkgswarm__subcmd__help__subcmd__haiku"
                ;;
            pkgswarm__subcmd__help,help)
                cmd="pkgswarm__subcmd__help__subcmd__help"
                ;;
            pkgswarm__subcmd__help,index)
                cmd="pkgswarm__subcmd__help__subcmd__index"
                ;;
            pkgswarm__subcmd__help,keep)
                cmd="pkgswarm__subcmd__help__subcmd__keep"
                ;;
            pkgswarm__subcmd__help,lan)
                cmd="pkgswarm__subcmd__help__subcmd__lan"
                ;;
            pkgswarm__subcmd__help,prefetch)
                cmd="pkgswarm__subcmd__help__subcmd__prefetch"
                ;;
            pkgswarm__subcmd__help,publish)
                cmd="pkgswarm__subcmd__help__subcmd__publish"
                ;;
            pkgswarm__subcmd__help,setup)
                cmd="pkgswarm__subcmd__help__subcmd__setup"
                ;;
            pkgswarm__subcmd__help,shared)
                cmd="pkgswarm__subcmd__help__subcmd__shared"
                ;;
            pkgswarm__subcmd__help,stats)
                cmd="pkgswarm__subcmd__help__subcmd__stats"
                ;;
            pkgswarm__subcmd__help,status)
                cmd="pkgswarm__subcmd__help__subcmd__status"
                ;;
            pkgswarm__subcmd__help,store)
                cmd="pkgswarm__subcmd__help__subcmd__store"
                ;;
            pkgswarm__subcmd__help,why)
                cmd="pkgswarm__subcmd__help__subcmd__why"
                ;;
            pkgswarm__subcmd__help,xfer)
                cmd="pkgswarm__subcmd__help__subcmd__xfer"
                ;;
            pkgswarm__subcmd__help__subcmd__group,init)
                cmd="pkgswarm__subcmd__help__subcmd__group__subcmd__init"
                ;;
            pkgswarm__subcmd__help__subcmd__group,join)
                cmd="pkgswarm__subcmd__help__subcmd__group__subcmd__join"
                ;;
            pkgswarm__subcmd__help__subcmd__group,leave)
                cmd="pkgswarm__subcmd__help__subcmd__group__subcmd__leave"
                ;;
            pkgswarm__subcmd__help__subcmd__group,status)
                cmd="pkgswarm__subcmd__help__subcmd__group__subcmd__status"
                ;;
            pkgswarm__subcmd__help__subcmd__haiku,add)
                cmd="pkgswarm__subcmd__help__subcmd__haiku__subcmd__add"
                ;;
            pkgswarm__subcmd__help__subcmd__haiku,ls)
                cmd="pkgswarm__subcmd__help__subcmd__haiku__subcmd__ls"
                ;;
            pkgswarm__subcmd__help__subcmd__haiku,refresh)
                cmd="pkgswarm__subcmd__help__subcmd__haiku__subcmd__refresh"
                ;;
            pkgswarm__subcmd__help__subcmd__haiku,rm)
                cmd="pkgswarm__subcmd__help__subcmd__haiku__subcmd__rm"
                ;;
            pkgswarm__subcmd__help__subcmd__haiku,steps)
                cmd="pkgswarm__subcmd__help__subcmd__haiku__subcmd__steps"
                ;;
            pkgswarm__subcmd__help__subcmd__index,add)
                cmd="pkgswarm__subcmd__help__subcmd__index__subcmd__add"
                ;;
            pkgswarm__subcmd__help__subcmd__index,audit)
                cmd="pkgswarm__subcmd__help__subcmd__index__subcmd__audit"
                ;;
            pkgswarm__subcmd__help__subcmd__index,ls)
                cmd="pkgswarm__subcmd__help__subcmd__index__subcmd__ls"
                ;;
            pkgswarm__subcmd__help__subcmd__index,refresh)
                cmd="pkgswarm__subcmd__help__subcmd__index__subcmd__refresh"
                ;;
            pkgswarm__subcmd__help__subcmd__index,rm)
                cmd="pkgswarm__subcmd__help__subcmd__index__subcmd__rm"
                ;;
            pkgswarm__subcmd__help__subcmd__index,show)
                cmd="pkgswarm__subcmd__help__subcmd__index__subcmd__show"
                ;;
            pkgswarm__subcmd__help__subcmd__keep,ls)
                cmd="pkgswarm__subcmd__help__subcmd__keep__subcmd__ls"
                ;;
            pkgswarm__subcmd__help__subcmd__keep,run)
                cmd="pkgswarm__subcmd__help__subcmd__keep__subcmd__run"
                ;;
            pkgswarm__subcmd__help__subcmd__keep,status)
                cmd="pkgswarm__subcmd__help__subcmd__keep__subcmd__status"
                ;;
            pkgswarm__subcmd__help__subcmd__keep,stop)
                cmd="pkgswarm__subcmd__help__subcmd__keep__subcmd__stop"
                ;;
            pkgswarm__subcmd__help__subcmd__lan,forget)
                cmd="pkgswarm__subcmd__help__subcmd__lan__subcmd__forget"
                ;;
            pkgswarm__subcmd__help__subcmd__lan,ls)
                cmd="pkgswarm__subcmd__help__subcmd__lan__subcmd__ls"
                ;;
            pkgswarm__subcmd__help__subcmd__lan,trust)
                cmd="pkgswarm__subcmd__help__subcmd__lan__subcmd__trust"
                ;;
            pkgswarm__subcmd__help__subcmd__publish,status)
                cmd="pkgswarm__subcmd__help__subcmd__publish__subcmd__status"
                ;;
            pkgswarm__subcmd__help__subcmd__store,clean)
                cmd="pkgswarm__subcmd__help__subcmd__store__subcmd__clean"
                ;;
            pkgswarm__subcmd__help__subcmd__store,ls)
                cmd="pkgswarm__subcmd__help__subcmd__store__subcmd__ls"
                ;;
            pkgswarm__subcmd__index,add)
                cmd="pkgswarm__subcmd__index__subcmd__add"
                ;;
            pkgswarm__subcmd__index,audit)
                cmd="pkgswarm__subcmd__index__subcmd__audit"
                ;;
            pkgswarm__subcmd__index,help)
                cmd="pkgswarm__subcmd__index__subcmd__help"
                ;;
            pkgswarm__subcmd__index,list)
                cmd="pkgswarm__subcmd__index__subcmd__ls"
                ;;
            pkgswarm__subcmd__index,ls)
                cmd="pkgswarm__subcmd__index__subcmd__ls"
                ;;
            pkgswarm__subcmd__index,refresh)
                cmd="pkgswarm__subcmd__index__subcmd__refresh"
                ;;
            pkgswarm__subcmd__index,rm)
                cmd="pkgswarm__subcmd__index__subcmd__rm"
                ;;
            pkgswarm__subcmd__index,show)
                cmd="pkgswarm__subcmd__index__subcmd__show"
                ;;
            pkgswarm__subcmd__index__subcmd__help,add)
                cmd="pkgswarm__subcmd__index__subcmd__help__subcmd__add"
                ;;
            pkgswarm__subcmd__index__subcmd__help,audit)
                cmd="pkgswarm__subcmd__index__subcmd__help__subcmd__audit"
                ;;
            pkgswarm__subcmd__index__subcmd__help,help)
                cmd="pkgswarm__subcmd__index__subcmd__help__subcmd__help"
                ;;
            pkgswarm__subcmd__index__subcmd__help,ls)
                cmd="pkgswarm__subcmd__index__subcmd__help__subcmd__ls"
                ;;
            pkgswarm__subcmd__index__subcmd__help,refresh)
                cmd="pkgswarm__subcmd__index__subcmd__help__subcmd__refresh"
                ;;
            pkgswarm__subcmd__index__subcmd__help,rm)
                cmd="pkgswarm__subcmd__index__subcmd__help__subcmd__rm"
                ;;
            pkgswarm__subcmd__index__subcmd__help,show)
                cmd="pkgswarm__subcmd__index__subcmd__help__subcmd__show"
                ;;
            pkgswarm__subcmd__keep,help)
                cmd="pkgswarm__subcmd__keep__subcmd__help"
                ;;
            pkgswarm__subcmd__keep,list)
                cmd="pkgswarm__subcmd__keep__subcmd__ls"
                ;;
            pkgswarm__subcmd__keep,ls)
                cmd="pkgswarm__subcmd__keep__subcmd__ls"
                ;;
            pkgswarm__subcmd__keep,run)
                cmd="pkgswarm__subcmd__keep__subcmd__run"
                ;;
            pkgswarm__subcmd__keep,status)
                cmd="pkgswarm__subcmd__keep__subcmd__status"
                ;;
            pkgswarm__subcmd__keep,stop)
                cmd="pkgswarm__subcmd__keep__subcmd__stop"
                ;;
            pkgswarm__subcmd__keep__subcmd__help,help)
                cmd="pkgswarm__subcmd__keep__subcmd__help__subcmd__help"
                ;;
            pkgswarm__subcmd__keep__subcmd__help,ls)
                cmd="pkgswarm__subcmd__keep__subcmd__help__subcmd__ls"
                ;;
            pkgswarm__subcmd__keep__subcmd__help,run)
                cmd="pkgswarm__subcmd__keep__subcmd__help__subcmd__run"
                ;;
            pkgswarm__subcmd__keep__subcmd__help,status)
                cmd="pkgswarm__subcmd__keep__subcmd__help__subcmd__status"
                ;;
            pkgswarm__subcmd__keep__subcmd__help,stop)
                cmd="pkgswarm__subcmd__keep__subcmd__help__subcmd__stop"
                ;;
            pkgswarm__subcmd__lan,forget)
                cmd="pkgswarm__subcmd__lan__subcmd__forget"
                ;;
            pkgswarm__subcmd__lan,help)
                cmd="pkgswarm__subcmd__lan__subcmd__help"
                ;;
            pkgswarm__subcmd__lan,list)
                cmd="pkgswarm__subcmd__lan__subcmd__ls"
                ;;
            pkgswarm__subcmd__lan,ls)
                cmd="pkgswarm__subcmd__lan__subcmd__ls"
                ;;
            pkgswarm__subcmd__lan,trust)
                cmd="pkgswarm__subcmd__lan__subcmd__trust"
                ;;
            pkgswarm__subcmd__lan__subcmd__help,forget)
                cmd="pkgswarm__subcmd__lan__subcmd__help__subcmd__forget"
                ;;
            pkgswarm__subcmd__lan__subcmd__help,help)
                cmd="pkgswarm__subcmd__lan__subcmd__help__subcmd__help"
                ;;
            pkgswarm__subcmd__lan__subcmd__help,ls)
                cmd="pkgswarm__subcmd__lan__subcmd__help__subcmd__ls"
                ;;
            pkgswarm__subcmd__lan__subcmd__help,trust)
                cmd="pkgswarm__subcmd__lan__subcmd__help__subcmd__trust"
                ;;
            pkgswarm__subcmd__publish,help)
                cmd="pkgswarm__subcmd__publish__subcmd__help"
                ;;
            pkgswarm__subcmd__publish,status)
                cmd="pkgswarm__subcmd__publish__subcmd__status"
                ;;
            pkgswarm__subcmd__publish__subcmd__help,help)
                cmd="pkgswarm__subcmd__publish__subcmd__help__subcmd__help"
                ;;
            pkgswarm__subcmd__publish__subcmd__help,status)
                cmd="pkgswarm__subcmd__publish__subcmd__help__subcmd__status"
                ;;
            pkgswarm__subcmd__store,clean)
                cmd="pkgswarm__subcmd__store__subcmd__clean"
                ;;
            pkgswarm__subcmd__store,help)
                cmd="pkgswarm__subcmd__store__subcmd__help"
                ;;
            pkgswarm__subcmd__store,list)
                cmd="pkgswarm__subcmd__store__subcmd__ls"
                ;;
            pkgswarm__subcmd__store,ls)
                cmd="pkgswarm__subcmd__store__subcmd__ls"
                ;;
            pkgswarm__subcmd__store__subcmd__help,clean)
                cmd="pkgswarm__subcmd__store__subcmd__help__subcmd__clean"
                ;;
            pkgswarm__subcmd__store__subcmd__help,help)
                cmd="pkgswarm__subcmd__store__subcmd__help__subcmd__help"
                ;;
            pkgswarm__subcmd__store__subcmd__help,ls)
                cmd="pkgswarm__subcmd__store__subcmd__help__subcmd__ls"
                ;;
            *)
                ;;
        esac
    done

    case "${cmd}" in
        pkgswarm)
            opts="-q -v -h -V --set --quiet --verbose --help --version xfer fetch cid index haiku keep publish group prefetch setup doctor daemon endpoint shared lan status why stats config store help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 1 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__cid)
            opts="-q -v -h --json --set --quiet --verbose --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__config)
            opts="-q -v -h --changed --json --set --quiet --verbose --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__daemon)
            opts="-q -v -h --set --quiet --verbose --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__doctor)
            opts="-q -v -h --notes --json --set --quiet --verbose --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__endpoint)
            opts="-q -v -h --set --quiet --verbose --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__fetch)
            opts="-o -d -q -v -h --output --directory --source --as-of --mirror --json --set --quiet --verbose --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --output)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                -o)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --directory)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                -d)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --source)
                    COMPREPLY=($(compgen -W "here lan kubo gateway mirror" -- "${cur}"))
                    return 0
                    ;;
                --as-of)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --mirror)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__group)
            opts="-q -v -h --set --quiet --verbose --help init join status leave help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__group__subcmd__help)
            opts="init join status leave help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__group__subcmd__help__subcmd__help)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__group__subcmd__help__subcmd__init)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__group__subcmd__help__subcmd__join)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__group__subcmd__help__subcmd__leave)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__group__subcmd__help__subcmd__status)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__group__subcmd__init)
            opts="-y -q -v -h --name --at --port --out --only-writer --yes --set --quiet --verbose --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --name)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --at)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --port)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --out)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__group__subcmd__join)
            opts="-y -q -v -h --port --yes --set --quiet --verbose --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --port)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__group__subcmd__leave)
            opts="-y -q -v -h --yes --set --quiet --verbose --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__group__subcmd__status)
            opts="-q -v -h --json --set --quiet --verbose --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__haiku)
            opts="-q -v -h --set --quiet --verbose --help add ls list refresh steps rm help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__haiku__subcmd__add)
            opts="-y -q -v -h --minisign --yes --set --quiet --verbose --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --minisign)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__haiku__subcmd__help)
            opts="add ls refresh steps rm help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__haiku__subcmd__help__subcmd__add)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__haiku__subcmd__help__subcmd__help)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__haiku__subcmd__help__subcmd__ls)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__haiku__subcmd__help__subcmd__refresh)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__haiku__subcmd__help__subcmd__rm)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__haiku__subcmd__help__subcmd__steps)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__haiku__subcmd__ls)
            opts="-q -v -h --json --set --quiet --verbose --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__haiku__subcmd__refresh)
            opts="-q -v -h --set --quiet --verbose --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__haiku__subcmd__rm)
            opts="-q -v -h --set --quiet --verbose --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__haiku__subcmd__steps)
            opts="-q -v -h --address --set --quiet --verbose --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --address)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help)
            opts="xfer fetch cid index haiku keep publish group prefetch setup doctor daemon endpoint shared lan status why stats config store help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__cid)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__config)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__daemon)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__doctor)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__endpoint)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__fetch)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__group)
            opts="init join status leave"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__group__subcmd__init)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__group__subcmd__join)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__group__subcmd__leave)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__group__subcmd__status)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__haiku)
            opts="add ls refresh steps rm"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__haiku__subcmd__add)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__haiku__subcmd__ls)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__haiku__subcmd__refresh)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__haiku__subcmd__rm)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__haiku__subcmd__steps)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__help)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__index)
            opts="add ls refresh show audit rm"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__index__subcmd__add)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__index__subcmd__audit)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__index__subcmd__ls)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__index__subcmd__refresh)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__index__subcmd__rm)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__index__subcmd__show)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__keep)
            opts="run ls status stop"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__keep__subcmd__ls)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__keep__subcmd__run)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__keep__subcmd__status)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__keep__subcmd__stop)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__lan)
            opts="trust ls forget"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__lan__subcmd__forget)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__lan__subcmd__ls)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__lan__subcmd__trust)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__prefetch)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__publish)
            opts="status"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__publish__subcmd__status)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__setup)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__shared)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__stats)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__status)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__store)
            opts="ls clean"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__store__subcmd__clean)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__store__subcmd__ls)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__why)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__help__subcmd__xfer)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__index)
            opts="-q -v -h --set --quiet --verbose --help add ls list refresh show audit rm help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__index__subcmd__add)
            opts="-y -q -v -h --minisign --url --peer --repo --yes --set --quiet --verbose --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --minisign)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --url)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --peer)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --repo)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__index__subcmd__audit)
            opts="-q -v -h --against --json --set --quiet --verbose --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --against)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__index__subcmd__help)
            opts="add ls refresh show audit rm help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__index__subcmd__help__subcmd__add)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__index__subcmd__help__subcmd__audit)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__index__subcmd__help__subcmd__help)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__index__subcmd__help__subcmd__ls)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__index__subcmd__help__subcmd__refresh)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__index__subcmd__help__subcmd__rm)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__index__subcmd__help__subcmd__show)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__index__subcmd__ls)
            opts="-q -v -h --json --set --quiet --verbose --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__index__subcmd__refresh)
            opts="-q -v -h --due --json --set --quiet --verbose --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__index__subcmd__rm)
            opts="-q -v -h --set --quiet --verbose --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__index__subcmd__show)
            opts="-q -v -h --entries --json --set --quiet --verbose --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__keep)
            opts="-q -v -h --quota --repos --min-free --newest --mirrors --json --set --quiet --verbose --help run ls list status stop help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --quota)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --repos)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --min-free)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --newest)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --mirrors)
                    COMPREPLY=($(compgen -W "true false" -- "${cur}"))
                    return 0
                    ;;
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__keep__subcmd__help)
            opts="run ls status stop help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__keep__subcmd__help__subcmd__help)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__keep__subcmd__help__subcmd__ls)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__keep__subcmd__help__subcmd__run)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__keep__subcmd__help__subcmd__status)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__keep__subcmd__help__subcmd__stop)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__keep__subcmd__ls)
            opts="-q -v -h --json --set --quiet --verbose --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__keep__subcmd__run)
            opts="-q -v -h --now --json --set --quiet --verbose --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__keep__subcmd__status)
            opts="-q -v -h --json --set --quiet --verbose --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__keep__subcmd__stop)
            opts="-q -v -h --leave --json --set --quiet --verbose --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__lan)
            opts="-q -v -h --set --quiet --verbose --help trust ls list forget help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__lan__subcmd__forget)
            opts="-q -v -h --set --quiet --verbose --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__lan__subcmd__help)
            opts="trust ls forget help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__lan__subcmd__help__subcmd__forget)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__lan__subcmd__help__subcmd__help)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__lan__subcmd__help__subcmd__ls)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__lan__subcmd__help__subcmd__trust)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__lan__subcmd__ls)
            opts="-q -v -h --json --set --quiet --verbose --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__lan__subcmd__trust)
            opts="-y -q -v -h --yes --set --quiet --verbose --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__prefetch)
            opts="-n -q -v -h --only --dry-run --now --notify --json --set --quiet --verbose --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --only)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__publish)
            opts="-q -v -h --key --publisher --minisign-key --haiku-key --drop --content --retain --retain-versions --retain-size --lifetime --offline --out --json --set --quiet --verbose --help status help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --key)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --publisher)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --minisign-key)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --haiku-key)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --drop)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --content)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --retain)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --retain-versions)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --retain-size)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --lifetime)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --out)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__publish__subcmd__help)
            opts="status help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__publish__subcmd__help__subcmd__help)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__publish__subcmd__help__subcmd__status)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__publish__subcmd__status)
            opts="-q -v -h --json --set --quiet --verbose --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__setup)
            opts="-y -n -q -v -h --undo --door --only --yes --dry-run --json --set --quiet --verbose --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --door)
                    COMPREPLY=($(compgen -W "xfer cache both" -- "${cur}"))
                    return 0
                    ;;
                --only)
                    COMPREPLY=($(compgen -W "endpoint pacman parallel index prefetch notify kubo daemon lan" -- "${cur}"))
                    return 0
                    ;;
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__shared)
            opts="-q -v -h --json --set --quiet --verbose --help on off"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__stats)
            opts="-q -v -h --days --json --set --quiet --verbose --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --days)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__status)
            opts="-l -q -v -h --long --json --set --quiet --verbose --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__store)
            opts="-q -v -h --set --quiet --verbose --help ls list clean help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__store__subcmd__clean)
            opts="-n -q -v -h --dry-run --json --set --quiet --verbose --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__store__subcmd__help)
            opts="ls clean help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__store__subcmd__help__subcmd__clean)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__store__subcmd__help__subcmd__help)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__store__subcmd__help__subcmd__ls)
            opts=""
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 4 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__store__subcmd__ls)
            opts="-q -v -h --json --set --quiet --verbose --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 3 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__why)
            opts="-l -q -v -h --long --json --set --quiet --verbose --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
        pkgswarm__subcmd__xfer)
            opts="-q -v -h --set --quiet --verbose --help"
            if [[ ${cur} == -* || ${COMP_CWORD} -eq 2 ]] ; then
                COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
                return 0
            fi
            case "${prev}" in
                --set)
                    COMPREPLY=($(compgen -f "${cur}"))
                    return 0
                    ;;
                *)
                    COMPREPLY=()
                    ;;
            esac
            COMPREPLY=( $(compgen -W "${opts}" -- "${cur}") )
            return 0
            ;;
    esac
}

if [[ "${BASH_VERSINFO[0]}" -eq 4 && "${BASH_VERSINFO[1]}" -ge 4 || "${BASH_VERSINFO[0]}" -gt 4 ]]; then
    complete -F _pkgswarm -o nosort -o bashdefault -o default pkgswarm
else
    complete -F _pkgswarm -o bashdefault -o default pkgswarm
fi

_pkgswarm_offer() {
    local words=$1
    mapfile -t COMPREPLY < <(compgen -W '$words' -X '*[![:alnum:]@._+:/=-]*' -- "$cur")
}
_pkgswarm_more() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words="" word
    local -a said=()
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        [[ $word == -* ]] || said+=("$word")
    done
    case $prev in
    --set)
        compopt -o nospace 2>/dev/null
        _pkgswarm_offer "store.dir= store.max= state.dir= download.user= download.connect= download.stall= download.patience= download.floor= ahead.enabled= ahead.parallel= mirrors.split= pacman.conf= database.from_index= kubo.enabled= kubo.api= kubo.token_file= kubo.gateway= kubo.head_start= kubo.search= kubo.keep= kubo.share= kubo.peering= lan.enabled= lan.networks= lan.interfaces= lan.port= lan.peers= lan.peers_most= lan.share= lan.upload= lan.upload_each= daemon.log= daemon.socket= endpoint.enabled= endpoint.listen= endpoint.mirrors= endpoint.ahead= endpoint.wait= endpoint.allow= endpoint.names= endpoint.peers= endpoint.announce= endpoint.page= share.repos= share.stores= gateways.urls= gateways.behind_proxy= index.refresh= index.deadline= prefetch.max= prefetch.age= prefetch.rate= prefetch.window= prefetch.metered= prefetch.battery= prefetch.vpn= prefetch.pin= output.progress="
        return
        ;;
    --only)
        if [[ ${said[0]} == prefetch ]]; then
            _pkgswarm_offer "$(pacman -Qqu 2>/dev/null)"
            return
        fi
        ;;
    esac
    if [[ $cur != -* ]]; then
        case "${said[*]}" in
        config) words="store.dir store.max state.dir download.user download.connect download.stall download.patience download.floor ahead.enabled ahead.parallel mirrors.split pacman.conf database.from_index kubo.enabled kubo.api kubo.token_file kubo.gateway kubo.head_start kubo.search kubo.keep kubo.share kubo.peering lan.enabled lan.networks lan.interfaces lan.port lan.peers lan.peers_most lan.share lan.upload lan.upload_each daemon.log daemon.socket endpoint.enabled endpoint.listen endpoint.mirrors endpoint.ahead endpoint.wait endpoint.allow endpoint.names endpoint.peers endpoint.announce endpoint.page share.repos share.stores gateways.urls gateways.behind_proxy index.refresh index.deadline prefetch.max prefetch.age prefetch.rate prefetch.window prefetch.metered prefetch.battery prefetch.vpn prefetch.pin output.progress" ;;
        "index rm" | "index show" | "index refresh"*) words=$(pkgswarm index ls --json 2>/dev/null | sed -n 's/.*"name":"\([^"]*\)".*/\1/p') ;;
        "index audit"*)
            compopt -o filenames 2>/dev/null
            _pkgswarm_offer "$(pkgswarm index ls --json 2>/dev/null | sed -n 's/.*"name":"\([^"]*\)".*/\1/p'; pacman-conf CacheDir 2>/dev/null)"
            mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$cur")
            return
            ;;
        why | fetch*) words=$(pacman -Slq 2>/dev/null) ;;
        esac
        if [[ -n $words ]]; then
            _pkgswarm_offer "$words"
            return
        fi
    fi
    _pkgswarm "$@"
}
complete -F _pkgswarm_more -o bashdefault -o default pkgswarm
