#!/bin/sh
# Builds the plugin and runs Mosquitto with it, in the foreground, for trying out: on 127.0.0.1, for any username
# without a password. On a fresh Debian it installs what is missing first.
#   PORT=1883            the port to listen on
#   DATA=~/.local/…      the data directory (made if missing)
#   MOSQUITTO=mosquitto  the broker to run
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
port=${PORT:-1883}
data=${DATA:-${XDG_DATA_HOME:-$HOME/.local/share}/mosquitto-timeline}
case ${1:-} in
  "") ;;
  *) sed -n '2,7s/^# \{0,1\}//p' "$0"; [ "$1" = -h ] || [ "$1" = --help ]; exit $? ;;
esac

"$here/config/packages.sh"
cd "$here"
[ -f build/release/CMakeCache.txt ] || cmake --preset release -DTL_TESTS=OFF >/dev/null
cmake --build --preset release -j"$(nproc)" --target mosquitto_timeline >/dev/null

mkdir -p "$data"
data=$(cd "$data" && pwd)
# For the right side of sed's s|…|…|.
as_is() { printf %s "$1" | sed 's/[&|\\]/\\&/g'; }
conf=$(mktemp)
trap 'rm -f "$conf"' EXIT
# The broker gives root's rights up for those of this user unless told otherwise.
sed -e "s|^listener .*|listener $port 127.0.0.1|" \
    -e "s|^plugin .*|plugin $(as_is "$here")/build/release/plugin/mosquitto_timeline.so|" \
    -e "s|^plugin_opt_data_dir .*|plugin_opt_data_dir $(as_is "$data")|" config/mosquitto.conf >"$conf"
echo "user $(id -un)" >>"$conf"

broker=${MOSQUITTO:-$(command -v mosquitto || echo /usr/sbin/mosquitto)}
echo "Mosquitto with timelines on 127.0.0.1:$port, data in $data. Ctrl-C ends it." >&2
"$broker" -c "$conf" &
pid=$!
trap 'kill $pid 2>/dev/null; wait $pid; rm -f "$conf"' EXIT INT TERM
wait $pid
