#!/bin/sh
# Installs the Debian packages that this project needs and that are missing.
#   config/packages.sh        what it takes to build and run
#   config/packages.sh tests  and what its tests need besides
#   config/packages.sh bench  and what draws the plots of its benchmark
set -eu

packages="cmake gcc g++ libc6-dev make pkg-config mosquitto mosquitto-dev libmosquitto-dev mosquitto-clients
  libleveldb-dev libsnappy-dev libmsgpack-dev libjson-c-dev libxxhash-dev libunistring-dev libssl-dev uthash-dev"
if [ "${1:-}" = tests ]; then
  packages="$packages libcmocka-dev bc fortunes fortunes-zh python3 python3-paho-mqtt python3-msgpack openssl clang libclang-rt-dev"
elif [ "${1:-}" = bench ]; then
  packages="$packages gnuplot-nox"
fi

missing=""
for package in $packages; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -z "$missing" ] && exit 0

echo "Installing:$missing" >&2
export DEBIAN_FRONTEND=noninteractive
sudo=""
[ "$(id -u)" = 0 ] || sudo="sudo -E"
# Debian starts its own broker on installing it; only ours is wanted, so services are kept from starting.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
  printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null
  $sudo chmod 755 $policy
  trap '$sudo rm -f $policy' EXIT
fi
$sudo apt-get update -q >&2
# shellcheck disable=SC2086
$sudo apt-get install -y -q --no-install-recommends $missing >&2
