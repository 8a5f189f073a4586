#!/bin/sh
# Installs the servers that the tests start, from the system's packages, where they are missing and
# this user may (root, with apt-get). Where it cannot, it says what is missing and succeeds: at a
# desk the tests that need them are skipped, in CI they fail.
#
#   tests/support/system_packages.sh          all of them
set -u

# program:package
servers='redis-server:redis-server redis-sentinel:redis-sentinel openssl:openssl memcached:memcached rabbitmq-server:rabbitmq-server mariadbd:mariadb-server strace:strace'

missing=''
for server in $servers; do
    command -v "${server%%:*}" > /dev/null 2>&1 || missing="$missing ${server##*:}"
done
# Debian keeps the programs of each version of PostgreSQL in a folder of their own.
[ -n "$(ls /usr/lib/postgresql/*/bin/postgres 2> /dev/null)" ] || command -v postgres > /dev/null 2>&1 ||
    missing="$missing postgresql"
# A library and a service without a program on the path.
[ -e /usr/share/java/zookeeper.jar ] || missing="$missing zookeeper"
[ -z "$missing" ] && exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get > /dev/null 2>&1; then
    echo "not installed, and this user cannot install them:$missing" >&2
    exit 0
fi

# Packages start what they install as a service of the system, unless this file forbids it. The
# tests start servers of their own.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod +x "$policy"
fi

echo "installing from the system's packages:$missing" >&2
DEBIAN_FRONTEND=noninteractive
export DEBIAN_FRONTEND
# shellcheck disable=SC2086 # a list of words
install() { apt-get install --quiet --quiet --yes --no-install-recommends $missing > /dev/null; }
install 2> /dev/null || { apt-get update --quiet --quiet && install; } ||
    echo "could not be installed:$missing" >&2
exit 0
