#!/bin/sh
# Installs the Debian packages that a target of the Makefile needs and that this machine lacks, and says why.
# What is there already is left alone, so a second run takes milliseconds and needs no network.
#
#   .ci/setup.sh server   a C compiler            (make build, make run)
#   .ci/setup.sh node     Node and npm            (the web page, the JavaScript test clients)
#   .ci/setup.sh python   Python with venv        (the Python test clients)
#   .ci/setup.sh fuzz     a C++ compiler          (make fuzz)
#   .ci/setup.sh fleet    ip and ethtool          (make fleet, make narrow)
#   .ci/setup.sh deploy   promtool and systemd    (make deploy-check)
#   .ci/setup.sh image    ip, and what builds     (make image-check)
#   .ci/setup.sh tests    all but deploy, and a browser, Opus, ffmpeg, PostgreSQL and Redis (make test)
set -eu

packages=

die() {
    echo "guildhall: $*" >&2
    exit 1
}

# want PACKAGES REASON: remembers what is missing.
want() {
    echo "guildhall: needs $1: $2"
    packages="$packages $1"
}

# at_least HAVE WANT: compares dotted versions.
at_least() {
    [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

need_rust() {
    wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)
    command -v cargo >/dev/null || die "Rust is missing: install $wanted or later from https://rustup.rs and open a new shell"
    found=$(rustc --version | cut -d ' ' -f 2)
    at_least "$found" "$wanted" || die "Rust $found is too old: run 'rustup update' for $wanted or later"
}

need_c_compiler() {
    if ! echo '#include <stdlib.h>' | cc -E - >/dev/null 2>&1; then
        want "gcc libc6-dev" "Rust links with it, and it compiles the cryptography (aws-lc) and the database (SQLite)"
    fi
}

need_cpp_compiler() {
    if ! echo '#include <vector>' | c++ -E -x c++ - >/dev/null 2>&1; then
        want g++ "it compiles libFuzzer"
    fi
}

need_node() {
    wanted=20.19
    command -v node >/dev/null && command -v npm >/dev/null || die "Node is missing: install $wanted or later, with npm, from https://nodejs.org"
    found=$(node --version | tr -d v)
    at_least "$found" "$wanted" || die "Node $found is too old: the web page is built with $wanted or later"
}

need_python() {
    if ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
        want "python3 python3-venv" "the tests run discord.py, hikari, aiortc and a bucket in a virtual environment"
    fi
}

need_test_tools() {
    if ! command -v pkg-config >/dev/null; then
        want pkg-config "the build finds the Opus library with it"
    fi
    if ! pkg-config --exists opus 2>/dev/null; then
        want libopus-dev "the test clients send and check real Opus audio"
    fi
    if ! ls -d /usr/lib/postgresql/*/bin >/dev/null 2>&1 && ! command -v initdb >/dev/null; then
        want postgresql "the tests run the store on PostgreSQL, too, on a server of their own"
    fi
    if ! command -v redis-server >/dev/null && ! command -v redis-check-rdb >/dev/null; then
        want redis-tools "the tests connect control planes over a Redis of their own, whose program is in it"
    fi
    if ! command -v ffmpeg >/dev/null; then
        want ffmpeg "the tests play what was recorded with it"
    fi
    if ! command -v chromium >/dev/null; then
        want chromium "the tests open the page in a real browser"
    fi
}

need_networks() {
    if ! command -v ip >/dev/null; then
        want iproute2 "$1"
    fi
}

need_regions() {
    need_networks "emulated regions and links are network namespaces"
    if ! command -v ethtool >/dev/null; then
        want ethtool "their network cards must not leave checksums to hardware that is not there"
    fi
}

need_deploy_tools() {
    if ! command -v promtool >/dev/null; then
        want prometheus "its promtool tests the alerts"
    fi
    if ! command -v systemd-analyze >/dev/null; then
        want systemd "it reads the units"
    fi
}

install_packages() {
    [ -n "$packages" ] || return 0
    command -v apt-get >/dev/null || die "this is no Debian machine: install these packages, or what they are called here:$packages"
    as_root=
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || die "not root, and sudo is missing: run as root: apt-get install$packages"
        as_root=sudo
        # Without a terminal a password prompt would wait for ever.
        [ -t 0 ] || as_root="sudo -n"
    fi
    echo "guildhall: installing$packages"
    # The tests start servers of their own; Debian would make one that runs from then on.
    case "$packages" in
    *postgresql*)
        $as_root sh -c 'cd /etc && mkdir -p postgresql-common && cd postgresql-common &&
            { [ -e createcluster.conf ] || echo "create_main_cluster = false" >createcluster.conf; }'
        ;;
    esac
    # Nor does anybody want a Prometheus that runs from then on, for the sake of its promtool.
    case "$packages" in
    *prometheus*)
        $as_root sh -c 'cd /etc/systemd/system 2>/dev/null || exit 0
            [ -e prometheus.service ] || ln -s /dev/null prometheus.service'
        ;;
    esac
    # shellcheck disable=SC2086  # both are lists of words
    {
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get update --quiet=2 &&
            $as_root env DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends $packages
    } || die "could not install$packages: see above; make goes on once they are there"
}

cd "$(dirname "$0")/.."
case "${1:-}" in
server)
    need_rust
    need_c_compiler
    ;;
node) need_node ;;
python) need_python ;;
fuzz)
    need_rust
    need_c_compiler
    need_cpp_compiler
    ;;
fleet) need_regions ;;
deploy) need_deploy_tools ;;
image)
    need_rust
    need_c_compiler
    need_node
    need_networks "the program is tried in a network of its own"
    ;;
tests)
    need_rust
    need_c_compiler
    need_node
    need_python
    need_test_tools
    ;;
*) die "usage: .ci/setup.sh server | node | python | fuzz | fleet | deploy | image | tests" ;;
esac
install_packages
