# Sourced by the scripts beside it. Installs what is missing and builds: safe to run again, quick when nothing is to do.
# Needs Debian 12 (or newer) and root, or a user with sudo.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export DEBIAN_FRONTEND=noninteractive CCACHE_SLOPPINESS=pch_defines,time_macros

say() { printf '%s\n' "$*" >&2; }
die() { say "${0##*/}: $*"; exit 1; }

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

build_packages=(g++ cmake ninja-build pkg-config ccache lld libssl-dev libsodium-dev libzstd-dev libpq-dev libisal-dev
                libyaml-cpp-dev nlohmann-json3-dev libcli11-dev)
server_packages=(postgresql-15 postgresql-client-15 tzdata)
test_packages=(libgtest-dev libgmock-dev age python3 clang-19 clang-format-19 libclang-rt-19-dev mmdebstrap)
demo_packages=(libgtest-dev libgmock-dev python3)
bench_packages=(pgbackrest restic zstd libgtest-dev libgmock-dev python3 mmdebstrap)

missing_packages() {
    local package
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || printf '%s\n' "$package"
    done
}

# Debian's postgresql packages make and start a cluster of their own when they are installed: not for a build machine.
keep_clusters_from_starting() {
    [ -e /etc/postgresql-common/createcluster.conf ] && return
    as_root mkdir -p /etc/postgresql-common
    printf 'create_main_cluster = false\n' | as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
}

install_packages() {
    local missing
    mapfile -t missing < <(missing_packages "$@")
    [ ${#missing[@]} -eq 0 ] && return
    say "Installing ${missing[*]}"
    command -v apt-get >/dev/null || die "needs Debian's packages: ${missing[*]}"
    keep_clusters_from_starting
    as_root apt-get update -qq
    as_root apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# build PRESET [cmake options] -- targets
build() {
    local preset=$1 options=() log
    shift
    while [ $# -gt 0 ] && [ "$1" != -- ]; do options+=("$1"); shift; done
    [ $# -gt 0 ] && shift
    log=$(mktemp)
    (cd "$top" && cmake --preset "$preset" "${options[@]}" >"$log" 2>&1) || { cat "$log" >&2; rm -f "$log"; die "cmake failed"; }
    rm -f "$log"
    say "Building ($preset)"
    cmake --build "$top/build/$preset" -- -j"$(nproc)" ${1:+"$@"} | tail -n 1 >&2
    [ "${PIPESTATUS[0]}" -eq 0 ] || cmake --build "$top/build/$preset" -- -j"$(nproc)" ${1:+"$@"} >&2 || die "the build failed"
}
