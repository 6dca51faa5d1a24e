#!/bin/sh
# A private PostgreSQL server for tests, in a folder of its own and reached by a socket in it. Prints the folder when it answers,
# runs until standard input ends (also because whoever started it was killed), and leaves nothing behind. What it stores need
# not survive a power cut, so it does not wait for the disk unless it is told to (`fsync`).
#
# Meanwhile it obeys lines on standard input: `stop` ends the server as a crash does, `start` starts it on what that left. Each is
# answered by the same word when it is done.
#
#   tests/postgres.sh [fsync]
set -eu

# Debian keeps its programs out of the PATH.
programs=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
[ -z "$programs" ] || PATH=$programs:$PATH
command -v initdb >/dev/null || { echo "PostgreSQL is missing: run .ci/setup.sh tests" >&2; exit 1; }

# It refuses to run as root.
if [ "$(id -u)" -eq 0 ]; then
    # Nor may its user look into every folder that this script can lie in.
    exec setpriv --reuid=postgres --regid=postgres --clear-groups sh -c "$(cat "$0")" "$0" "$@"
fi

durability="-c fsync=off -c synchronous_commit=off -c full_page_writes=off"
[ "${1:-}" != fsync ] || durability=

folder=$(mktemp -d)
cd "$folder"
stop() {
    pg_ctl --pgdata=data --mode=immediate stop >/dev/null 2>&1 || true
}
start() {
    pg_ctl --pgdata=data --log=log --wait --silent \
        --options="-k $folder -c listen_addresses= -c max_connections=300 -c autovacuum_naptime=5s $durability" start >/dev/null ||
        { cat log >&2; exit 1; }
}
finish() {
    stop
    cd /
    rm -rf "$folder"
}
trap finish EXIT
trap 'exit 1' INT TERM HUP
initdb --pgdata=data --username=guildhall --auth=trust --encoding=UTF8 --locale=C.UTF-8 --no-sync >log 2>&1 || { cat log >&2; exit 1; }
start
echo "$folder"
while read -r order; do
    case $order in
    stop | start) "$order" && echo "$order" ;;
    *) echo "unknown: $order" >&2 && exit 1 ;;
    esac
done
