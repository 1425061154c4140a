#!/usr/bin/env bash
# Ten minutes of mixed load with everything expiring soon: shows that the broker's memory and the data directory stay as
# they are. README.md says what it does and when it fails.
#
#	tests/bench/soak.sh                   ten minutes
#	SECONDS_OF=120 tests/bench/soak.sh    shorter
#
# MOSQUITTO=PATH  the broker binary
# BUILD=DIR       a finished release build, instead of building here
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
if [ -z "${BUILD:-}" ]; then
	log=$(mktemp)
	trap 'rm -f "$log"' EXIT
	{ cmake --preset release && cmake --build --preset release; } >"$log" 2>&1 || {
		tail -n 40 "$log" >&2
		exit 1
	}
fi
build=${BUILD:-$root/build/release}
export TL_PLUGIN=${TL_PLUGIN:-$build/plugin/mosquitto_timeline.so}
export PYTHONPATH=$root/tests/integration
/usr/bin/python3 tests/bench/soak.py "$build/tests/bench/tl_mqtt_load" "${SECONDS_OF:-600}"
