#!/usr/bin/env bash
# What a broker with the plugin costs and does over databases of very different size, as one table. README.md says what
# the columns mean.
#
#	tests/bench/scale.sh                   10,000 to 1,000,000 timelines
#	TIMELINES_MAX=10000000 tests/bench/scale.sh
#
# TIMELINES="..."      the sizes, inboxes and store timelines together
# TIMELINES_MAX=N      leaves out those above
# SECONDS_OF_LOAD=10   how long messages are sent
# VISITS=2000          users who sync, each twice
# FIGURES=FILE         also writes the figures there, tab-separated
# DATA=DIR             where the databases go: a real disk; about 600 bytes for each timeline
# BUILD=DIR            a finished release build, instead of building here
# MOSQUITTO, PLUGIN, NODELAY as in run.sh
set -uo pipefail

# shellcheck source=tests/bench/broker.sh
. "$(dirname "${BASH_SOURCE[0]}")/broker.sh"

max=${TIMELINES_MAX:-1000000}
sizes=${TIMELINES:-10000 100000 1000000 10000000}
load_seconds=${SECONDS_OF_LOAD:-10}
visits=${VISITS:-2000}
settle_seconds=600 # at most
figures_file=${FIGURES:+$(realpath -m "$FIGURES")}
active=5000 # users
desks=250  # users who are in chats with all others, and the connections of the load

# The plugin makes an empty database and notes its options in it; then it is filled.
make_database() {
	start_broker group || return 1
	end_broker
	line=$("$tools/tl_scale_fill" --dir "$broker_dir/data" --timelines "$1" --desks $desks) || return 1
	note "$line"
	users=$(value users)
}

# The files of the database are to come from the disk again.
forget_cached() {
	local file

	sync
	for file in "$broker_dir"/data/db/*; do
		dd if="$file" iflag=nocache count=0 status=none 2>/dev/null
	done
}

# Until LevelDB has nothing to merge any more of what it was filled with: two seconds almost without work.
settle() {
	local before quiet=0 waited=0

	launch_broker group || return 1
	while [ $quiet -lt 2 ] && [ $waited -lt "$settle_seconds" ]; do
		before=$(process_cpu_ns)
		sleep 1
		waited=$((waited + 1))
		[ $(($(process_cpu_ns) - before)) -lt 50000000 ] && quiet=$((quiet + 1)) || quiet=0
	done
	end_broker
	note "settled after $waited s"
}

# Milliseconds from the broker's start until it has answered a request.
measure_start() {
	local start_ns

	forget_cached
	start_ns=$(date +%s%N)
	launch_broker group || return 1
	load wait --users 1 || return 1
	start_ms=$((($(date +%s%N) - start_ns) / 1000000))
}

# measure_load STRIDE: desks write, in no order, to every STRIDE-th of the users; a desk's own inbox tells when all is stored.
# Sets acked and stored, messages/s, and cpu, µs for each message.
measure_load() {
	local before messages start_ns

	load wait --users $desks || return 1
	before=$(value sum)
	cpu=$(process_cpu_ns)
	load publish --connections $desks --users "$users" --stride "$1" --topic 'im/user/u%u/m%m' --window 20 \
		--messages 10000000 --seconds "$load_seconds" --pause-us 1000 --timeout 120 || return 1
	[ "$(value refused)" = 0 ] || note "$(value refused) messages were refused: $line"
	messages=$(value messages)
	start_ns=$(value start_ns)
	acked=$(value acked_per_s)
	load wait --users $desks --sum $((before + messages)) --since-ns "$start_ns" || return 1
	stored=$(ratio "$messages" "$(value seconds)")
	cpu=$(ratio $(($(process_cpu_ns) - cpu)) $((messages * 1000)))
}

# The stride that leaves about $active users, all over the database; a desk is in chats with each $desks-th user.
active_stride() {
	local share=$((users / active))

	echo $((desks * (share > 0 ? share : 1)))
}

# measure SIZE: a line of figures
measure() {
	local disk memory_start figures

	make_database "$1" || return 1
	settle || return 1
	disk=$(du -sb "$broker_dir/data/db" | cut -f 1)
	measure_start || return 1
	memory_start=$(memory_kib VmRSS)
	load visit --first $desks --users $((users - desks)) --visits "$visits" || return 1
	figures="$(value first_p50_us) $(value first_p99_us) $(value again_p50_us) $(value again_p99_us)"
	measure_load "$(active_stride)" || return 1
	figures="$acked $stored $cpu $figures"
	measure_load $desks || return 1
	figures="$1 $disk $start_ms $memory_start $(memory_kib VmRSS) $acked $stored $cpu $figures"
	echo "$figures" >>"$work/figures"
	note "$figures"
}

# A row for each line of figures, which are in the order of the columns.
print_table() {
	echo
	echo "$(machine), default options"
	echo
	echo '| timelines | disk, MB | start, ms | memory, MiB: start / load | active users: acked/s / stored/s | CPU, µs | any users: acked/s / stored/s | CPU, µs | sync cold p50 / p99, µs | again, µs |'
	echo '|---|---|---|---|---|---|---|---|---|---|'
	awk '{ printf "| %d | %.0f | %d | %.0f / %.0f | %.0f / %.0f | %.0f | %.0f / %.0f | %.0f | %d / %d | %d / %d |\n", $1, $2 / 1e6, $3,
		$4 / 1024, $5 / 1024, $9, $10, $11, $6, $7, $8, $12, $13, $14, $15 }' "$work/figures"
}

# The same for programs.
write_figures() {
	echo "# $(machine)"
	echo timelines disk_bytes start_ms start_kib load_kib acked_per_s stored_per_s cpu_us active_acked_per_s \
		active_stored_per_s active_cpu_us first_p50_us first_p99_us again_p50_us again_p99_us | tr ' ' '\t'
	tr ' ' '\t' <"$work/figures"
}

main() {
	local size users=0 start_ms=0 acked=0 stored=0 cpu=0

	begin "${DATA:-$build}"
	build_release
	for size in $sizes; do
		[ "$size" -le "$max" ] || continue
		note "$size timelines"
		measure "$size" || note "$size timelines failed and are left out"
		stop_broker
	done
	[ -s "$work/figures" ] || die "nothing was measured"
	print_table
	[ -z "$figures_file" ] || write_figures >"$figures_file" || die "cannot write $figures_file"
}

main "$@"
