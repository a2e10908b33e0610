#!/bin/sh
# The host settings that a number of connections needs: prints by default, changes nothing.
#
#   scripts/tune.sh [--connections N]             what is too low, the lines that raise it, what each costs
#   scripts/tune.sh [--connections N] --apply     raises them now (root), and notes what they were
#   scripts/tune.sh --undo                        gives them back what they were before the first --apply
#   scripts/tune.sh [--connections N] --table     the bare table, the same as of `fanwire doctor --table`
#
# Settings are only ever raised. They are gone after a restart of the host, but for the limit of open files, which is a
# file in /etc/security/limits.d: it holds for new logins; a service needs LimitNOFILE in its unit. To keep the others,
# put the printed names and values into a file in /etc/sysctl.d. FANWIRE_TUNE_ROOT is for tests: another root folder.
set -eu

case ${1:-} in
    -h | --help)
        sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p;}' "$0"
        exit
        ;;
esac

root=${FANWIRE_TUNE_ROOT:-}
state=$root/var/lib/fanwire/tune.undo
limits=$root/etc/security/limits.d/90-fanwire.conf
tab=$(printf '\t')
connections=10000
action=print

usage() {
    echo "tune.sh: $*; see the head of $0" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
        --connections)
            [ $# -gt 1 ] || usage "--connections takes a number"
            connections=$2
            shift
            ;;
        --connections=*) connections=${1#*=} ;;
        --apply | --undo | --table) action=${1#--} ;;
        *) usage "there is no $1" ;;
    esac
    shift
done
case $connections in
    '' | 0* | *[!0-9]* | ??????????*) usage "--connections is a number from 1 to 100000000" ;;
esac
[ "$connections" -le 100000000 ] || usage "--connections is a number from 1 to 100000000"

row() {
    printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$4"
}

# The same as src/cli/doctor/settings.rs; tests/tune.rs compares the two.
table() {
    n=$connections
    files=$((n + 128))
    tw_buckets=$((n / 10 > 8192 ? n / 10 : 8192))
    row fs.nr_open $files "$n connections: as many files as root may give a process" "nothing until they are open"
    row nofile $files "$n connections in one process" "8 bytes of descriptor table for each that is open"
    row fs.file-max $((files + 65536)) "$n connections, and 65536 files of everybody else" "nothing until they are open"
    row net.netfilter.nf_conntrack_max $((n + n / 4)) \
        "$n connections, where they are tracked, and a quarter for those that linger" \
        "256 bytes for each that is tracked; not tracking the port costs none"
    row net.ipv4.tcp_mem "$((n * 3 / 4)) $n $((n + n / 2))" "$n connections with a message on its way at once" \
        "4 KiB a page while bytes are queued; it reserves nothing"
    row net.core.somaxconn 4096 "4096 connections that wait to be accepted when many come at once" \
        "about 4 KiB for each that waits"
    row net.ipv4.tcp_max_tw_buckets $tw_buckets \
        "$tw_buckets connections just closed by this side that are remembered" "256 bytes for each that is remembered"
    row net.ipv4.ip_local_port_range "1024 65535" \
        "64512 outgoing connections from one address to one port (load clients)" \
        "services of this host must not listen on ports that are handed out"
}

# Where a sysctl is a file.
path_of() {
    echo "$root/proc/sys/$(echo "$1" | tr . /)"
}

# The current value; nothing if this host has no such setting.
current() {
    case $1 in
        nofile) sed -n 's/^Max open files *[^ ]* *\([^ ]*\).*/\1/p' "$root/proc/self/limits" 2>/dev/null ;;
        *) cat "$(path_of "$1")" 2>/dev/null | tr -s '\t' ' ' ;;
    esac || true
}

# What it becomes, given what it is now ($2) and should be ($3): number by number the larger one, but for the first port,
# where less is more.
raised() {
    awk -v name="$1" -v now="$2" -v wanted="$3" 'BEGIN {
        count = split(wanted, want, " ")
        split(now, have, " ")
        for (i = 1; i <= count; i++) {
            # Past 2^53 numbers are not exact any more, so that what is there is kept as it was written.
            keep = have[i] == "unlimited" || have[i] + 0 >= want[i] + 0
            if (name == "net.ipv4.ip_local_port_range" && i == 1) keep = have[i] + 0 <= want[i] + 0
            printf "%s%s", (i > 1 ? " " : ""), (keep ? have[i] : want[i])
        }
    }'
}

print_one() {
    if [ -z "$2" ]; then
        echo "# $1: not on this host"
    elif [ "$2" = "$3" ]; then
        echo "# $1: $2 is enough"
    else
        echo "# $1: now $2"
        echo "#   allows $4"
        echo "#   costs  $5"
        case $1 in
            nofile) echo "ulimit -Hn $3 && ulimit -n $3   # for systemd: LimitNOFILE=$3" ;;
            *) echo "sysctl -w $1=\"$3\"" ;;
        esac
    fi
}

# Notes what was before, once: a second --apply must not take the first one's values for the host's own.
note() {
    mkdir -p "$(dirname "$state")"
    if ! grep -q "^$1$tab" "$state" 2>/dev/null; then printf '%s\t%s\n' "$1" "$2" >>"$state"; fi
}

apply_one() {
    if [ -z "$2" ]; then
        echo "$1: not on this host"
    elif [ "$2" = "$3" ]; then
        echo "$1: $2 is enough"
    elif [ "$1" = nofile ]; then
        # A file that somebody else wrote is not ours to replace.
        if [ -e "$limits" ] && ! grep -q "^nofile$tab" "$state" 2>/dev/null; then
            echo "nofile: $limits is there already" >&2
            return 1
        fi
        note nofile "-"
        mkdir -p "$(dirname "$limits")"
        for who in '*' root; do echo "$who - nofile $3"; done >"$limits"
        echo "nofile: $2 -> $3 for new logins ($limits); for systemd: LimitNOFILE=$3"
    else
        note "$1" "$2"
        if ! echo "$3" 2>/dev/null >"$(path_of "$1")"; then
            echo "$1: cannot be set to $3 here" >&2
            return 1
        fi
        echo "$1: $2 -> $3"
    fi
}

undo() {
    if [ ! -e "$state" ]; then
        echo "nothing to undo"
        return
    fi
    failed=0
    while IFS=$tab read -r name value; do
        if [ "$name" = nofile ]; then
            rm -f "$limits"
            echo "nofile: $limits is gone"
        elif echo "$value" 2>/dev/null >"$(path_of "$name")"; then
            echo "$name: $value again"
        else
            echo "$name: cannot be set to $value here" >&2
            failed=1
        fi
    done <"$state"
    [ $failed -eq 0 ] || return 1
    rm -f "$state"
}

case $action in
    table) table ;;
    undo) undo ;;
    *)
        [ $action = apply ] || echo "# For $connections connections. --apply does this, --undo takes it back."
        table | {
            failed=0
            while IFS=$tab read -r name value allows costs; do
                now=$(current "$name")
                "${action}_one" "$name" "$now" "$(raised "$name" "$now" "$value")" "$allows" "$costs" || failed=1
            done
            exit $failed
        }
        ;;
esac
