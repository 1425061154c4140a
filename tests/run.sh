#!/usr/bin/env bash
# Runs all tests, on a fresh Debian too, and ends with one line "N passed, N failed".
#   tests/run.sh          everything (about six minutes)
#   tests/run.sh quick    without the sanitizer builds
set -uo pipefail
cd "$(dirname "$0")/.."
here=$PWD
quick=${1:-}
passed=0
failed=0

config/packages.sh tests || exit 1
jobs=$(nproc)
lanes=$((jobs + 1)) # of tests: they wait a good deal
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

# config/run.sh may have built before, without the tests.
build() { # preset, which C tests if not all: as for ctest
  echo "== building: $1"
  cmake --preset "$1" -DTL_TESTS=ON >"$logs/build" 2>&1 &&
    cmake --build --preset "$1" -j"$jobs" ${2:+--target $(c_programs "$@")} >>"$logs/build" 2>&1 && return
  cat "$logs/build"
  failed=$((failed + 1))
  return 1
}

c_programs() { # preset, ctest arguments
  ctest --test-dir "build/$1" -N "${@:2}" | grep -oP 'Test +#\d+: \K\w+'
}

# The C tests of a preset. Each program reports how many of its cases passed; one that died counts as one failure.
c_tests() { # preset, ctest arguments
  local preset=$1 case_passed case_failed program_failed
  shift
  echo "== C tests: $preset"
  ctest --test-dir "build/$preset" -j"$lanes" --verbose "$@" >"$logs/ctest" 2>&1
  case_passed=$(grep -oP '\[  PASSED  \] \K\d+(?= test\(s\)\.)' "$logs/ctest" | paste -sd+ | bc)
  passed=$((passed + ${case_passed:-0}))
  case_failed=$(grep -cP '\[  FAILED  \] [a-z]' "$logs/ctest")
  program_failed=$(grep -cP '^ *\d+/\d+ Test .*(\*\*\*|Failed|Timeout)' "$logs/ctest")
  [ -n "$case_passed" ] || program_failed=$((program_failed + 1))
  failed=$((failed + (case_failed > program_failed ? case_failed : program_failed)))
  grep -P 'Test +#.*(\*\*\*|Failed|Timeout)|tests passed' "$logs/ctest"
  [ "$program_failed" = 0 ] || grep -vP 'RUN|       OK' "$logs/ctest" | tail -n 60
}

# One file of the tests with a real broker.
python_file() { # log, folder, file
  /usr/bin/python3 -m unittest discover -s "$2" -t "$2" -p "$3" >"$1" 2>&1
  echo "$3: $(grep -P '^(Ran|OK|FAILED)' "$1" | paste -sd' ')"
}
export -f python_file

# What a file's log says; one that died counts as one failure.
count_python() { # log
  local ran wrong
  ran=$(grep -oP '^Ran \K\d+' "$1" || echo 0)
  wrong=$(grep -cP '^(FAIL|ERROR): ' "$1")
  [ "$wrong" -gt 0 ] || { [ "$ran" -gt 0 ] && grep -q '^OK' "$1"; } || wrong=1
  passed=$((passed + (ran > wrong ? ran - wrong : 0)))
  failed=$((failed + wrong))
  [ "$wrong" = 0 ] || tail -n 150 "$1"
}

# The tests with a real broker, whose plugin comes from a preset. Several files at once, those that take long first.
python_tests() { # preset, folder, what takes long
  local all log
  echo "== $2: a real broker, plugin of $1"
  mkdir -p "$logs/$2"
  all=$(printf '%s\n' "${@:3}"; cd "tests/$2" && ls test_*.py)
  export TL_PLUGIN=$here/build/$1/plugin/mosquitto_timeline.so
  awk '!seen[$0]++' <<<"$all" | xargs -P "$lanes" -I{} bash -c 'python_file "$@"' - "$logs/$2/{}" "tests/$2" {}
  for log in "$logs/$2"/*; do
    count_python "$log"
  done
}

if build release; then
  c_tests release
  python_tests release integration test_disk.py test_expiry.py
fi
if [ "$quick" != quick ]; then
  build asan && c_tests asan
  threads=(-R 'ingest_queue|engine|model|worker_pool|checkpoints|upkeep|notify|outbox|waker|search')
  build tsan "${threads[@]}" && c_tests tsan "${threads[@]}"
fi

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
