#!/usr/bin/env bash
# Measures the stock broker, the plugin under each durability, and LevelDB alone, and prints one table. README.md says
# what the rows mean. Everything runs on 127.0.0.1, on free ports, with fresh data directories.
#
#	tests/bench/run.sh              three rounds, about twenty minutes
#	QUICK=1 tests/bench/run.sh      one short round, to see that it works
#
# ROUNDS=3            rounds; every round runs all columns in turn, the table shows medians
# MOSQUITTO=PATH      the broker binary
# DURABILITIES="..."  columns of the plugin, of: strict group os; what does not depend on it (idle memory disk beside
#                     storm index) is measured under group only
# ROWS="..."          what is measured, of: direct group big latency drain idle memory disk beside storm index
# GROUPS_OF="..."     group sizes
# BIG_GROUPS="..."    sizes of groups with fan-out on read
# STORM_DEVICES=2000  devices that come back all at once
# DEVICES=10000       how many are connected and do nothing
# ENTRIES=1000000     how many are undelivered when memory is looked at
# PAUSE_US=1000       the generator's rest between looks at its sockets, where throughput is measured
# NODELAY=false       leave Nagle's algorithm on (the broker's default): milliseconds more latency
# DATA=DIR            where the data directories go: a real disk, or fsync costs nothing
# BUILD=DIR           a finished release build, instead of building here
# PLUGIN=FILE         another mosquitto_timeline.so
set -uo pipefail

# shellcheck source=tests/bench/broker.sh
. "$(dirname "${BASH_SOURCE[0]}")/broker.sh"

quick=${QUICK:-0}
durabilities=${DURABILITIES-strict group os}
groups_of=${GROUPS_OF:-2 100 500}
big_groups=${BIG_GROUPS:-1000 100000}
rows=${ROWS:-direct group big latency drain idle memory disk beside storm index}
pause_us=${PAUSE_US:-1000}

if [ "$quick" = 1 ]; then
	rounds=${ROUNDS:-1} load_seconds=1 latency_seconds=2 entries=100000 drain_messages=20000 raw_messages=50000
	index_seconds=12 devices=${DEVICES:-1000} idle_seconds=2 undelivered=${ENTRIES:-100000} disk_messages=20000 beside_rate=5000
	storm_devices=${STORM_DEVICES:-200} storm_each=100
else
	rounds=${ROUNDS:-3} load_seconds=5 latency_seconds=10 entries=1000000 drain_messages=100000 raw_messages=400000
	index_seconds=60 devices=${DEVICES:-10000} idle_seconds=30 undelivered=${ENTRIES:-1000000} disk_messages=200000 beside_rate=15000
	storm_devices=${STORM_DEVICES:-2000} storm_each=500
fi

senders=8      # connections that publish one to one: users 0 to 7
receivers=100  # users 8 to 107
rate=1000      # of the latency runs

# ---- building ----

build_all() {
	[ ! -f "$root/CMakePresets.json" ] || build_release
	if [ ! -x "$tools/tl_mqtt_load" ] || [ ! -x "$tools/tl_raw_leveldb" ]; then
		tools=$build/bench-tools
		run_logged cmake -S "$root/tests/bench" -B "$tools" -DCMAKE_BUILD_TYPE=Release
		run_logged cmake --build "$tools"
	fi
	if [ -n "$durabilities" ] && [ ! -f "$plugin" ]; then
		note "there is no $plugin: measuring without the plugin"
		durabilities=''
	fi
}

# ---- what is measured; each with a broker of its own ----

# One to one: acks, and the moment the last message is in both inboxes.
measure_direct() {
	local column=$1 topic='im/user/u%u/m%m' cpu messages start_ns

	[ "$column" != stock ] || topic='bench/u%u/m%m'
	cpu=$(broker_cpu_ns)
	load publish --connections $senders --users $receivers --first-user $senders --topic "$topic" \
		--seconds $load_seconds --messages 10000000 --pause-us "$pause_us" || return 1
	cpu=$(($(broker_cpu_ns) - cpu))
	warn_refused "$column"
	messages=$(value messages)
	start_ns=$(value start_ns)
	record acked "$column" "$(value acked_per_s)"
	record cpu "$column" "$(ratio "$cpu" $((messages * 1000)))"
	[ "$column" != stock ] || return 0
	load wait --users $((senders + receivers)) --sum $((2 * messages)) --since-ns "$start_ns" || return 1
	record stored "$column" "$(ratio "$messages" "$(value seconds)")"
}

# The stock broker's counterpart of storing: delivery to a connected subscriber.
measure_delivery() {
	load publish --connections $senders --topic 'bench/%n' --subscribers $senders --filter 'bench/%n' --copies 1 \
		--seconds $load_seconds --messages 10000000 --pause-us "$pause_us" || return 1
	record stored "$1" "$(value delivered_per_s)"
}

# measure_group COLUMN MEMBERS: entries/s over all members' inboxes (stock: deliveries/s to as many subscribers)
measure_group() {
	local column=$1 members=$2 each=$((entries / $2 / 2)) sum messages start_ns

	if [ "$column" = stock ]; then
		load publish --connections 2 --messages $each --seconds $load_seconds --topic bench/group \
			--subscribers "$members" --filter bench/group --copies "$members" --pause-us "$pause_us" || return 1
		record "group$members" "$column" "$(value delivered_per_s)"
		return 0
	fi
	load create --conv team --members "$members" || return 1
	load wait --users "$members" || return 1
	sum=$(value sum)
	load publish --connections 2 --messages $each --seconds $load_seconds --topic 'im/conv/team/m%m' \
		--pause-us "$pause_us" || return 1
	warn_refused "$column"
	messages=$(value messages)
	start_ns=$(value start_ns)
	load wait --users "$members" --sum $((sum + messages * members)) --since-ns "$start_ns" || return 1
	record "group$members" "$column" "$(ratio $((messages * members)) "$(value seconds)")"
}

# measure_big COLUMN MEMBERS: a group whose messages are written once, nobody but the senders online. (Stock has no such
# thing.)
measure_big() {
	local column=$1 members=$2

	[ "$column" != stock ] || return 0
	load create --conv crowd --members "$members" --fanout read || return 1
	load publish --connections $senders --topic 'im/conv/crowd/m%m' --seconds $load_seconds --messages 10000000 \
		--receipts --pause-us "$pause_us" || return 1
	warn_refused "$column"
	record "big$members" "$column" "$(value acked_per_s)"
	record "bigstored$members" "$column" "$(value receipts_per_s)"
}

# From publishing to the notification that carries the message (stock: to delivery).
measure_latency() {
	local topic='im/user/u%u/m%m' filter='im/notify/u%u'

	[ "$1" != stock ] || topic='bench/u%u/m%m' filter='bench/u%u/+'
	load latency --rate $rate --seconds $latency_seconds --topic "$topic" --filter "$filter" || return 1
	[ "$(value missing)" = 0 ] || note "$1: $(value missing) messages came in no notification: $line"
	record notify_p50 "$1" "$(value p50_us)"
	record notify_p99 "$1" "$(value p99_us)"
}

# One device pulls a full inbox (stock: a full persistent session).
measure_drain() {
	local column=$1 each=$((drain_messages / senders)) topic='im/user/u%u/m%m' messages

	if [ "$column" = stock ]; then
		topic='bench/u%u/m%m'
		load subscribe --filter 'bench/#' || return 1
	fi
	load publish --connections $senders --messages $each --seconds $load_seconds --users 1 --first-user 1000 \
		--topic "$topic" || return 1
	messages=$(value messages)
	if [ "$column" = stock ]; then
		load drain --mode session --count "$messages" || return 1
	else
		load wait --first 1000 --sum "$messages" || return 1
		load drain --user u1000 || return 1
		[ "$(value messages)" = "$messages" ] || note "$column: drained $(value messages) of $messages messages"
	fi
	record drain "$column" "$(value messages_per_s)"
}

# Four generators with a quarter of the devices each.
hold_quarters() {
	local filter h pids=()

	for h in 1 2 3 4; do
		filter="im/notify/u$h-%n"
		[ "$1" != stock ] || filter="bench/held/$h-%n"
		"$tools/tl_mqtt_load" hold --port "$port" --connections $((devices / 4)) --client "held$h-%n" --user "u$h-%n" \
			--filter "$filter" --seconds 3600 &
		pids+=($!)
	done
	trap 'kill "${pids[@]}" 2>/dev/null' EXIT
	trap 'exit 143' TERM
	wait -n # for ever, unless one of them fails
}

# What it costs that devices are connected: all of the broker's threads, ms CPU per second. They come several at a time, as
# devices do: those that come one by one leave a stock broker's memory in an order that makes its check of keepalives cheap.
measure_idle() {
	local cpu

	hold_quarters "$1" >"$work/helper.log" &
	helper_pid=$!
	until [ "$(grep -c connected "$work/helper.log")" = 4 ]; do
		kill -0 "$helper_pid" 2>/dev/null || return 1
		sleep 0.1
	done
	sleep 2 # what came with connecting
	cpu=$(process_cpu_ns)
	sleep $idle_seconds
	cpu=$(($(process_cpu_ns) - cpu))
	stop_helper
	record idle "$1" "$(ratio "$cpu" $((idle_seconds * 1000000)))"
}

# Bytes of memory that the broker has more for each entry that waits for devices that are away.
measure_memory() {
	local column=$1 topic='im/conv/team/m%m' members=100 messages before

	if [ "$column" = stock ]; then
		topic='bench/group' members=1
		load subscribe --filter bench/group || return 1
	else
		load create --conv team --members $members || return 1
		load wait --users $members || return 1
	fi
	before=$(memory_kib VmRSS)
	load publish --connections 2 --messages $((undelivered / members / 2)) --topic "$topic" --bytes 100 \
		--pause-us "$pause_us" || return 1
	messages=$(value messages)
	[ "$column" = stock ] || load wait --users $members --sum $((messages * members)) || return 1
	record memory "$column" "$(ratio $((($(memory_kib VmRSS) - before) * 1024)) $((messages * members)))"
}

# Bytes on disk of one message of 100 bytes, one to one, once all is compacted. (Stock has nothing there.)
measure_disk() {
	local messages

	[ "$1" != stock ] || return 0
	load publish --connections $senders --users $receivers --first-user $senders --topic 'im/user/u%u/m%m' \
		--messages $((disk_messages / senders)) --bytes 100 --pause-us "$pause_us" || return 1
	messages=$(value messages)
	load wait --users $((senders + receivers)) --sum $((2 * messages)) || return 1
	end_broker
	"$tools/tl_raw_leveldb" --compact --dir "$broker_dir/data/db" >"$work/helper.log" || return 1
	record disk "$1" "$(ratio "$(du -sb "$broker_dir/data/db" | cut -f 1)" "$messages")"
}

# How long others wait for their acks while one device searches all it has, or pulls it, again and again.
measure_beside() {
	[ "$1" != stock ] || return 0
	load publish --connections $senders --messages $((drain_messages / senders)) --users 1 --first-user 1000 \
		--topic 'im/user/u%u/m%m' --pause-us "$pause_us" || return 1
	load wait --first 1000 --sum "$(value messages)" || return 1
	publish_at_rate || return 1
	record alone "$1" "$(value ack_p99_us)"
	start_helper ask --user u1000 --seconds 3600
	publish_at_rate || return 1
	stop_helper
	record searched "$1" "$(value ack_p99_us)"
	while "$tools/tl_mqtt_load" drain --port "$port" --user u1000; do :; done >"$work/helper.log" 2>&1 &
	helper_pid=$!
	publish_at_rate || return 1
	stop_helper
	record beside "$1" "$(value ack_p99_us)"
}

# Devices that were away come back all at once and pull what they have missed, while others go on sending.
measure_storm() {
	[ "$1" != stock ] || return 0
	load publish --connections $senders --messages $((storm_devices * storm_each / senders)) --users "$storm_devices" \
		--first-user 1000 --topic 'im/user/u%u/m%m' --pause-us "$pause_us" || return 1
	load wait --users $senders --sum "$(value messages)" || return 1
	echo 5 >"/proc/$broker_pid/clear_refs" # VmHWM begins anew
	record stormbefore "$1" "$(ratio "$(memory_kib VmRSS)" 1024)"
	start_helper publish --connections $senders --users $receivers --first-user $senders --topic 'im/user/u%u/m%m' \
		--rate $rate --messages 10000000
	load storm --devices "$storm_devices" --first 1000 || return 1
	record stormlast "$1" "$(value all_max_ms)"
	record stormp50 "$1" "$(value all_p50_ms)"
	record stormfirst "$1" "$(value first_p50_ms)"
	record stormpeak "$1" "$(ratio "$(memory_kib VmHWM)" 1024)"
	[ "$(value messages)" -ge $((storm_devices * storm_each)) ] || note "$1: pulled too few: $line"
	stop_helper
	line=$(cat "$work/helper.log")
	record stormack "$1" "$(value ack_p99_us)"
}

# How far the search index is behind at worst, under one-to-one messages at full speed; the broker says so every ten seconds.
measure_index() {
	[ "$1" != stock ] || return 0
	command -v mosquitto_sub >/dev/null || {
		note "$1: the index's lag takes mosquitto_sub"
		return 0
	}
	# shellcheck disable=SC2016 # the topic begins with a dollar sign
	mosquitto_sub -p "$port" -t '$SYS/broker/timeline/index/lag/ms' -W $((index_seconds + 5)) >"$work/helper.log" 2>/dev/null &
	helper_pid=$!
	load publish --connections $senders --users $receivers --first-user $senders --topic 'im/user/u%u/m%m' \
		--seconds $index_seconds --messages 100000000 --pause-us "$pause_us" || return 1
	record indexed "$1" "$(value acked_per_s)"
	wait "$helper_pid"
	helper_pid=''
	record lag "$1" "$(sort -n "$work/helper.log" | tail -n 1)"
}

publish_at_rate() {
	load publish --connections $senders --users $receivers --first-user $senders --topic 'im/user/u%u/m%m' \
		--rate $beside_rate --seconds $load_seconds --messages 10000000
}

measure_raw() {
	local members

	if wants direct; then
		line=$("$tools/tl_raw_leveldb" --dir "$work/raw.db" --messages $raw_messages) || return 1
		record stored raw "$(value messages_per_s)"
		rm -rf "$work/raw.db"
	fi
	wants group || return 0
	for members in $groups_of; do
		line=$("$tools/tl_raw_leveldb" --dir "$work/raw.db" --messages $((entries / members)) --members "$members") ||
			return 1
		record "group$members" raw "$(value inbox_per_s)"
		rm -rf "$work/raw.db"
	done
}

# wants ROW
wants() {
	[[ " $rows " == *" $1 "* ]]
}

# depends ROW: on the durability
depends() {
	[[ " idle memory disk beside storm index " != *" $1 "* ]]
}

measure_column() {
	local column=$1 row members

	for row in $rows; do
		[ "$column" = stock ] || [ "$column" = group ] || depends "$row" || continue
		case $row in
		direct)
			with_broker "$column" measure_direct || return
			[ "$column" != stock ] || with_broker "$column" measure_delivery
			;;
		group)
			for members in $groups_of; do
				with_broker "$column" measure_group "$members" || return
			done
			;;
		big)
			for members in $big_groups; do
				with_broker "$column" measure_big "$members" || return
			done
			;;
		*)
			with_broker "$column" "measure_$row" || return
			;;
		esac
	done
}

# ---- the table ----

# cell MEDIAN REFERENCE [own]: "median (ratio)"; the column that is the reference itself has no ratio
cell() {
	if [ -z "$1" ]; then
		printf '%16s' -
	else
		awk -v m="$1" -v r="${2:-0}" -v own="${3:-}" 'BEGIN {
			number = m < 100 && m != int(m) ? sprintf("%.1f", m) : sprintf("%.0f", m)
			printf "%16s", (r > 0 && own == "" ? sprintf("%s (%.2f)", number, m / r) : number) }'
	fi
}

# row NAME REFERENCE LABEL
row() {
	local reference column

	ls "$work/results/$1."* >/dev/null 2>&1 || return 0 # not among ROWS
	reference=$(median "$1" "$2")
	printf '%-39s' "$3"
	for column in stock $durabilities raw; do
		if [ "$column" = "$2" ] || [ "$column" = stock ] || [ "$column" = raw ]; then
			cell "$(median "$1" "$column")" "$reference" own
		else
			cell "$(median "$1" "$column")" "$reference"
		fi
	done
	echo
}

print_table() {
	local column members

	echo
	echo "$(machine), set_tcp_nodelay $nodelay"
	echo "medians of $rounds rounds; in brackets the ratio to stock, in rows marked * to LevelDB alone (raw)"
	echo
	printf '%-39s' ''
	for column in stock $durabilities raw; do
		printf '%16s' "$column"
	done
	echo
	row acked stock 'acked messages/s, 1:1'
	row cpu stock 'broker thread, us CPU per message, 1:1'
	row stored raw 'messages/s until stored, 1:1 *'
	for members in $groups_of; do
		row "group$members" raw "inbox writes/s, group of $members *"
	done
	for members in $big_groups; do
		row "big$members" stock "acked messages/s, group of $members"
		row "bigstored$members" stock "stored messages/s, group of $members"
	done
	row notify_p50 stock "publish to notify at $rate/s, p50 us"
	row notify_p99 stock "publish to notify at $rate/s, p99 us"
	row drain stock 'drain by one device, messages/s'
	row idle stock "$devices devices idle, ms CPU per s"
	row memory stock "memory, bytes per undelivered entry"
	row disk stock 'disk, bytes per 1:1 message of 100 bytes'
	row alone stock "ack at $beside_rate/s, p99 us"
	row searched stock '… beside one that searches'
	row beside stock '… beside one that pulls its inbox'
	row indexed stock "acked messages/s, 1:1, for $index_seconds s"
	row lag stock '… index behind at worst, ms'
	row stormlast stock "$storm_devices return at once, last done ms"
	row stormp50 stock '… half of them done, ms'
	row stormfirst stock '… half of them have a first page, ms'
	row stormack stock "… ack at $rate/s meanwhile, p99 us"
	row stormbefore stock '… memory before, MiB'
	row stormpeak stock '… memory at most, MiB'
	echo
	echo "stock stores nothing: its figure is delivery to connected subscribers (rows *, notify), or from a"
	echo "persistent session in memory (drain)."
}

main() {
	local round column

	begin "${DATA:-$build}"
	mkdir "$work/results"
	build_all
	for ((round = 1; round <= rounds; round++)); do
		for column in stock $durabilities; do
			note "round $round of $rounds: $column"
			measure_column "$column"
		done
		note "round $round of $rounds: raw LevelDB"
		measure_raw || note "raw LevelDB failed and is left out"
	done
	print_table
}

main "$@"
