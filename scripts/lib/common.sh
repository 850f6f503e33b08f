# What setup and guests share: where things are, how they speak, and which mirror this machine uses.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
stamps=$top/target/setup
cache=${XDG_CACHE_HOME:-$HOME/.cache}/axle
me=scripts/$(basename "$0")

say() { printf '%s\n' "$*"; }

# One sentence that says what to do, and the end.
die() {
    printf '%s: %s\n' "$me" "$*" >&2
    exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

codename() { (. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}"); }

# The configured package sources, one "uri suite" a line. apt itself reads its configuration, in either format.
sources() {
    apt-get indextargets --no-release-info --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' |
        awk '!seen[$0]++ { sub("/$", "", $1); print }'
}

# The mirror that carries suite $1 here; for a suite that is not configured, what its release's mirror implies.
mirror_of() {
    local suite=$1 release=${1%%-*} uri
    uri=$(sources | awk -v s="$suite" '$2 == s { print $1; exit }')
    if [ -z "$uri" ]; then
        uri=$(sources | awk -v s="$release" '$2 == s { print $1; exit }')
        case $suite in
        *-security) [ "${uri%/debian}" != "$uri" ] && uri=$uri-security || uri= ;;
        esac
    fi
    [ -n "$uri" ] || die "no package source is configured for $suite; add Debian's $release to /etc/apt/sources.list.d and try again."
    printf '%s' "$uri"
}

# A deb822 source entry for suite $1.
source_entry() {
    local keys=/usr/share/keyrings/debian-archive-keyring.gpg uri
    uri=$(mirror_of "$1") || exit 1
    printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\n' "$uri" "$1"
    [ -e "$keys" ] && printf 'Signed-By: %s\n' "$keys"
    printf '\n'
}

# Makes directory $1, or stops when it cannot be written.
own_dir() {
    mkdir -p "$1" 2>/dev/null && [ -w "$1" ] || die "$1 cannot be written; make it yours (chown) and try again."
}

# Stops unless directory $1 has $2 MiB left; $3 says what for.
need_space() {
    local free
    free=$(df -Pm "$1" | awk 'NR == 2 { print $4 }')
    [ "$free" -ge "$2" ] || die "$3 needs $2 MiB in $1, and $free MiB are free there; make room and try again."
}
