#!/usr/bin/env bash
# Runs all tests, on a fresh Debian too, and ends with one line "N passed, N failed".
#   tests/run.sh          everything (about ten minutes)
#   tests/run.sh quick    without the sanitizer builds
set -uo pipefail
cd "$(dirname "$0")/.."
here=$PWD
quick=${1:-}
passed=0
failed=0

config/packages.sh tests || exit 1
jobs=$(nproc)
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

# config/run.sh may have built before, without the tests.
build() { # preset
  echo "== building: $1"
  cmake --preset "$1" -DTL_TESTS=ON >"$logs/build" 2>&1 &&
    cmake --build --preset "$1" -j"$jobs" >>"$logs/build" 2>&1 && return
  cat "$logs/build"
  failed=$((failed + 1))
  return 1
}

# The C tests of a preset. Each program reports how many of its cases passed; one that died counts as one failure.
c_tests() { # preset, ctest arguments
  local preset=$1 case_passed case_failed program_failed
  shift
  echo "== C tests: $preset"
  ctest --test-dir "build/$preset" -j"$jobs" --verbose "$@" >"$logs/ctest" 2>&1
  case_passed=$(grep -oP '\[  PASSED  \] \K\d+(?= test\(s\)\.)' "$logs/ctest" | paste -sd+ | bc)
  passed=$((passed + ${case_passed:-0}))
  case_failed=$(grep -cP '\[  FAILED  \] [a-z]' "$logs/ctest")
  program_failed=$(grep -cP '^ *\d+/\d+ Test .*(\*\*\*|Failed|Timeout)' "$logs/ctest")
  [ -n "$case_passed" ] || program_failed=$((program_failed + 1))
  failed=$((failed + (case_failed > program_failed ? case_failed : program_failed)))
  grep -P 'Test +#.*(\*\*\*|Failed|Timeout)|tests passed' "$logs/ctest"
  [ "$program_failed" = 0 ] || grep -vP 'RUN|       OK' "$logs/ctest" | tail -n 60
}

# The tests with a real broker, whose plugin comes from a preset.
python_tests() { # preset, folder
  local ran wrong
  echo "== $2: a real broker, plugin of $1"
  TL_PLUGIN=$here/build/$1/plugin/mosquitto_timeline.so \
    /usr/bin/python3 -m unittest discover -s "tests/$2" -t "tests/$2" >"$logs/python" 2>&1
  ran=$(grep -oP '^Ran \K\d+' "$logs/python" || echo 0)
  wrong=$(grep -cP '^(FAIL|ERROR): ' "$logs/python")
  [ "$ran" -gt 0 ] || wrong=1
  passed=$((passed + (ran > wrong ? ran - wrong : 0)))
  failed=$((failed + wrong))
  tail -n 3 "$logs/python"
  [ "$wrong" = 0 ] || tail -n 150 "$logs/python"
}

if build release; then
  c_tests release
  python_tests release integration
fi
if [ "$quick" != quick ]; then
  build asan && c_tests asan
  build tsan && c_tests tsan -R 'ingest_queue|engine|model|worker_pool|checkpoints|upkeep|notify|outbox|waker|search'
fi

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
