#!/bin/sh
# Installs, starts and stops the servers that fanwire-load compares with. Everything stays under target/peers: nothing
# is installed on the host, no service is enabled, and only processes that were started from here are ended.
#
#   scripts/peers.sh list                     every peer, its version, and whether it is installed
#   scripts/peers.sh install NAME...|all      with apt, npm and cargo as this host has them set up
#   scripts/peers.sh start NAME PORT          on 127.0.0.1; returns when the port answers, prints the process id
#   scripts/peers.sh stop NAME...|all
#
# A peer runs as one thread where it can be told to (nchan: one worker, nats: GOMAXPROCS=1). To pin it to a core, run
# this script under taskset.
set -eu

case ${1:-} in
    -h | --help)
        sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//p;}' "$0"
        exit
        ;;
esac

root=$(cd "$(dirname "$0")/.." && pwd)
home=${FANWIRE_PEERS:-$root/target/peers}
peers="nchan nats ws socketio bun tungstenite"

ws_version=8.23.0
socketio_version=4.8.4
bun_version=1.4.5
# How long a peer may take until its port answers, in tenths of a second.
start_tries=100

fail() {
    echo "peers.sh: $*" >&2
    exit 2
}

known() {
    case " $peers " in *" $1 "*) ;; *) fail "no peer is called $1; there are: $peers" ;; esac
}

program() {
    case $1 in
        nchan) echo "$home/debian/usr/lib/nginx/modules/ngx_nchan_module.so" ;;
        nats) echo "$home/debian/usr/sbin/nats-server" ;;
        ws) echo "$home/node/node_modules/ws/package.json" ;;
        socketio) echo "$home/node/node_modules/socket.io/package.json" ;;
        bun) echo "$home/node/node_modules/bun/bin/bun.exe" ;;
        tungstenite) echo "$home/tungstenite/release/peer-tungstenite" ;;
    esac
}

version() {
    case $1 in
        nchan) echo "nginx $("$home/debian/usr/sbin/nginx" -v 2>&1 | sed 's|.*/||'), nchan $(cat "$home/debian/nchan.version")" ;;
        nats) "$(program nats)" --version | sed 's/.*: v//' ;;
        bun) "$(program bun)" --version ;;
        ws | socketio) sed -n 's/^ *"version": "\(.*\)".*/\1/p' "$(program "$1")" | head -n 1 ;;
        tungstenite) sed -n '/^name = "tokio-tungstenite"/{n;s/version = "\(.*\)"/\1/p;}' \
            "$root/loadtest/peers/tungstenite/Cargo.lock" ;;
    esac
}

# Packages are unpacked, not installed: no root, no service, nothing to undo but a folder.
unpack() {
    mkdir -p "$home/debian"
    (
        cd "$home/debian"
        for package in "$@"; do
            apt-get download -q "$package"
            dpkg -x "$package"_*.deb .
        done
    )
}

# npm without a lock file: the versions above are the lock.
npm_install() {
    mkdir -p "$home/node"
    [ -e "$home/node/package.json" ] || echo '{"private":true}' >"$home/node/package.json"
    (cd "$home/node" && npm install --save --save-exact --no-package-lock --no-audit --no-fund --loglevel=error "$1")
}

install_one() {
    known "$1"
    case $1 in
        nchan)
            unpack nginx libnginx-mod-nchan
            (cd "$home/debian" && dpkg-deb -f libnginx-mod-nchan_*.deb Version) >"$home/debian/nchan.version"
            # This nchan creates a temporary folder with a compiled-in name, whatever the configuration says, and that
            # lies outside. In the unpacked copy it becomes a relative path of the same length, below nginx's prefix.
            sed -i 's|/var/lib/nginx/body|nginx-temp-dir/body|g' "$(program nchan)"
            ;;
        nats) unpack nats-server ;;
        ws) npm_install "ws@$ws_version" ;;
        socketio) npm_install "socket.io@$socketio_version" ;;
        bun) npm_install "bun@$bun_version" ;;
        tungstenite)
            (cd "$root/loadtest/peers/tungstenite" &&
                cargo build --release --locked --target-dir "$home/tungstenite")
            ;;
    esac
    [ -e "$(program "$1")" ] || fail "$1 was installed, but $(program "$1") is not there"
}

write_nchan_configuration() {
    cat >"$1" <<CONFIGURATION
load_module $(program nchan);
daemon off;
master_process off;
pid $home/run/nchan/nginx.pid;
error_log $home/run/nchan/error.log error;
worker_rlimit_nofile $(ulimit -Hn);
events { worker_connections $(($(ulimit -Hn) - 64)); }
http {
    access_log off;
    client_body_temp_path $home/run/nchan/body;
    proxy_temp_path $home/run/nchan/proxy;
    fastcgi_temp_path $home/run/nchan/fastcgi;
    uwsgi_temp_path $home/run/nchan/uwsgi;
    scgi_temp_path $home/run/nchan/scgi;
    keepalive_requests 1000000000;
    nchan_max_reserved_memory 512M;
    server {
        listen 127.0.0.1:$2 backlog=4096;
        location ~ ^/sub/(.+)\$ {
            nchan_subscriber websocket;
            nchan_channel_id \$1;
            nchan_subscriber_first_message newest;
            nchan_message_buffer_length 64;
        }
        location ~ ^/pub/(.+)\$ {
            nchan_publisher http websocket;
            nchan_channel_id \$1;
            nchan_message_buffer_length 64;
        }
    }
}
CONFIGURATION
}

write_nats_configuration() {
    cat >"$1" <<CONFIGURATION
host: "127.0.0.1"
port: -1
max_connections: 1000000
websocket {
    host: "127.0.0.1"
    port: $2
    no_tls: true
    compression: false
}
CONFIGURATION
}

# Becomes the peer: the process id that the caller noted stays the peer's.
run() {
    folder=$home/run/$1
    case $1 in
        nchan)
            mkdir -p "$folder/nginx-temp-dir"
            write_nchan_configuration "$folder/nginx.conf" "$2"
            exec "$home/debian/usr/sbin/nginx" -p "$folder/" -e "$folder/error.log" -c "$folder/nginx.conf"
            ;;
        nats)
            write_nats_configuration "$folder/nats.conf" "$2"
            GOMAXPROCS=1 exec "$(program nats)" -c "$folder/nats.conf"
            ;;
        ws | socketio)
            cp "$root/loadtest/peers/node/$1.mjs" "$home/node/"
            exec node "$home/node/$1.mjs" "$2"
            ;;
        bun)
            cp "$root/loadtest/peers/node/bun.mjs" "$home/node/"
            exec "$(program bun)" "$home/node/bun.mjs" "$2"
            ;;
        tungstenite) exec "$(program tungstenite)" "$2" ;;
    esac
}

# The start time of a process that lives: with its id it names it for good, so that an id used again is left alone.
started_at() {
    sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | awk '$1 != "Z" && $1 != "X" { print $20 }'
}

# Prints the id of the peer's process, if it is the one that was started from here and still lives.
running() {
    [ -e "$home/run/$1.pid" ] || return 1
    read -r pid start <"$home/run/$1.pid"
    [ -n "$start" ] && [ "$(started_at "$pid")" = "$start" ] && echo "$pid"
}

start_one() {
    known "$1"
    [ -e "$(program "$1")" ] || fail "$1 is not installed: scripts/peers.sh install $1"
    if pid=$(running "$1"); then fail "$1 runs already, as process $pid"; fi
    if answers "$2"; then fail "somebody listens on 127.0.0.1:$2 already"; fi
    mkdir -p "$home/run/$1"
    ulimit -Sn "$(ulimit -Hn)"
    (run "$1" "$2") >"$home/run/$1.log" 2>&1 </dev/null &
    pid=$!
    echo "$pid $(started_at "$pid")" >"$home/run/$1.pid"
    tries=0
    until answers "$2"; do
        tries=$((tries + 1))
        if [ "$tries" -gt "$start_tries" ] || ! running "$1" >/dev/null; then
            tail -n 3 "$home/run/$1.log" >&2
            stop_one "$1"
            fail "$1 does not answer on 127.0.0.1:$2"
        fi
        sleep 0.1
    done
    echo "$pid"
}

# Whether somebody listens on the port, from the kernel's own table: no connection is made.
answers() {
    awk -v port="$(printf '%04X' "$1")" '$4 == "0A" { split($2, at, ":"); if (at[2] == port) found = 1 }
        END { exit !found }' /proc/net/tcp /proc/net/tcp6
}

stop_one() {
    known "$1"
    if pid=$(running "$1"); then
        kill "$pid" 2>/dev/null || true
        tries=0
        while running "$1" >/dev/null; do
            tries=$((tries + 1))
            if [ "$tries" -gt 30 ]; then kill -s KILL "$pid" 2>/dev/null || true; fi
            sleep 0.1
        done
    fi
    rm -f "$home/run/$1.pid"
}

command=${1:-}
[ $# -gt 0 ] && shift
case $command in
    list)
        for peer in $peers; do
            if [ -e "$(program "$peer")" ]; then echo "$peer $(version "$peer")"; else echo "$peer -"; fi
        done
        ;;
    install | stop)
        [ $# -gt 0 ] || fail "which peer? There are: $peers, and all"
        [ "$*" = all ] && set -- $peers
        for peer in "$@"; do "${command}_one" "$peer"; done
        ;;
    start)
        [ $# -eq 2 ] || fail "start takes a name and a port"
        case $2 in '' | *[!0-9]*) fail "$2 is not a port" ;; esac
        start_one "$1" "$2"
        ;;
    *) fail "list, install NAME..., start NAME PORT, or stop NAME..." ;;
esac
