# What the benchmark scripts share: a broker on a free port, the generator, and the figures it yields. To be sourced by
# bash.
#
# The script sets $work, a directory of its own, and $tools, where the programs are. Here: $root, the project; $build;
# $mosquitto; $plugin; $port and $broker_dir of the broker at hand; $line, what the generator printed last.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
mosquitto=${MOSQUITTO:-$(PATH=$PATH:/usr/sbin:/usr/local/sbin command -v mosquitto || true)}
nodelay=${NODELAY:-true}
# shellcheck disable=SC2034 # for the scripts
own_build=${BUILD:+0}
build=${BUILD:-$root/build/release}
plugin=${PLUGIN:-$build/plugin/mosquitto_timeline.so}
tools=$build/tests/bench
broker_pid=''
helper_pid='' # a generator in the background
broker_dir=''
port=''
work=''
line=''

die() {
	echo "${0##*/}: $*" >&2
	exit 1
}

note() {
	echo "${0##*/}: $*" >&2
}

# begin DIR: makes $work below it, to be removed at exit
begin() {
	[ -x "$mosquitto" ] || die "no mosquitto found: install it or set MOSQUITTO=/path/to/mosquitto"
	mkdir -p "$1" || die "cannot make $1"
	work=$(mktemp -d "$1/bench.XXXXXX") || die "cannot make a directory in $1"
	trap clean_up EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	ulimit -n "$(ulimit -Hn)" 2>/dev/null # as many connections as the machine allows
}

run_logged() {
	"$@" >"$work/build.log" 2>&1 || {
		tail -n 40 "$work/build.log" >&2
		die "failed: $*"
	}
}

# The programs and the plugin, unless BUILD says where they are.
build_release() {
	[ -z "$own_build" ] || return 0
	cd "$root" || die "cannot enter $root"
	run_logged cmake --preset release
	run_logged cmake --build --preset release
}

# What the figures were measured on, and with.
machine() {
	echo "$("$mosquitto" -h 2>/dev/null | head -n 1), $(nproc) processors, $(uname -sr), data on $(stat -f -c %T "$work")"
}

# ---- the broker ----

end_broker() {
	if [ -n "$broker_pid" ]; then
		kill "$broker_pid" 2>/dev/null
		wait "$broker_pid" 2>/dev/null
		broker_pid=''
	fi
}

stop_broker() {
	end_broker
	if [ -n "$broker_dir" ]; then
		rm -rf "$broker_dir"
		broker_dir=''
	fi
}

# shellcheck disable=SC2317 # called by trap
clean_up() {
	stop_helper
	stop_broker
	[ -z "$work" ] || rm -rf "$work"
}

is_open() {
	(exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

pick_port() {
	port=$((20000 + RANDOM % 12000))
	while is_open "$port"; do
		port=$((20000 + RANDOM % 12000))
	done
}

# write_config COLUMN
write_config() {
	echo "listener $port 127.0.0.1"
	echo "allow_anonymous true"
	echo "max_inflight_messages 0"
	echo "max_queued_messages 0"
	echo "set_tcp_nodelay $nodelay"
	echo "log_dest stderr"
	echo "log_type error"
	echo "log_type warning"
	[ "$(id -u)" != 0 ] || echo "user root"
	if [ "$1" != stock ]; then
		echo "plugin $plugin"
		echo "plugin_opt_data_dir $broker_dir/data"
		echo "plugin_opt_durability $1"
		echo "plugin_opt_other_topics allow"
	fi
}

# The last line the broker logged, but for the one about running as root.
broker_words() {
	grep -v 'run as root' "$work/broker.log" | tail -n 1
}

# launch_broker COLUMN: a broker over $broker_dir; false when it does not start
launch_broker() {
	write_config "$1" >"$broker_dir/mosquitto.conf"
	"$mosquitto" -c "$broker_dir/mosquitto.conf" >"$work/broker.log" 2>&1 &
	broker_pid=$!
	for _ in {1..1000}; do
		kill -0 "$broker_pid" 2>/dev/null || break
		is_open "$port" && return 0
		sleep 0.01
	done
	end_broker
	return 1
}

# start_broker COLUMN: one over a fresh directory; false, with the broker's last words, when it does not start
start_broker() {
	for _ in 1 2 3; do
		broker_dir=$(mktemp -d "$work/data.XXXXXX")
		mkdir "$broker_dir/data"
		pick_port
		launch_broker "$1" && return 0
		stop_broker
	done
	note "$1: the broker did not start: $(broker_words)"
	return 1
}

# with_broker COLUMN MEASURE [ARGUMENT]: a fresh broker for one measurement
with_broker() {
	local column=$1 measure=$2

	start_broker "$column" || return 1
	"$measure" "$column" "${@:3}" || note "$column: $measure ${*:3} failed and is left out"
	stop_broker
}

# Nanoseconds the broker's own thread has been running; 0 where the kernel does not say.
broker_cpu_ns() {
	local ns=0

	read -r ns _ 2>/dev/null <"/proc/$broker_pid/task/$broker_pid/schedstat"
	echo "${ns:-0}"
}

# The same for all of its threads.
process_cpu_ns() {
	cat "/proc/$broker_pid"/task/*/schedstat | awk '{ ns += $1 } END { printf "%.0f", ns }'
}

# memory_kib NAME: a figure of the broker's, of /proc/…/status (VmRSS, RssAnon, VmHWM …)
memory_kib() {
	sed -n "s/^$1:[^0-9]*\([0-9]*\).*/\1/p" "/proc/$broker_pid/status"
}

# ---- the generator ----

# load COMMAND [OPTION ...]: runs the generator and leaves its line in $line
load() {
	line=$("$tools/tl_mqtt_load" "$1" --port "$port" "${@:2}") && return 0
	[ -z "$(broker_words)" ] || note "the broker said: $(broker_words)"
	return 1
}

# start_helper COMMAND [OPTION ...]: runs the generator in the background
start_helper() {
	"$tools/tl_mqtt_load" "$1" --port "$port" "${@:2}" >"$work/helper.log" &
	helper_pid=$!
}

stop_helper() {
	if [ -n "$helper_pid" ]; then
		kill "$helper_pid" 2>/dev/null
		wait "$helper_pid" 2>/dev/null
		helper_pid=''
	fi
}

# value KEY: the figure KEY=... of $line
value() {
	sed -n "s/.* $1=\([0-9.]*\).*/\1/p" <<<"$line"
}

# ratio A B: A / B
ratio() {
	awk -v a="$1" -v b="$2" 'BEGIN { printf "%.3f", (b > 0 ? a / b : 0) }'
}

# ---- figures, each in a file of $work/results ----

# record NAME COLUMN FIGURE
record() {
	echo "$3" >>"$work/results/$1.$2"
}

# median NAME COLUMN: nothing if there is no figure
median() {
	[ -s "$work/results/$1.$2" ] || return 0
	sort -n "$work/results/$1.$2" |
		awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int((NR + 2) / 2)]) / 2 }'
}

warn_refused() {
	[ "$(value refused)" = 0 ] || note "$1: $(value refused) messages were refused: $line"
}
