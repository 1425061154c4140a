#!/usr/bin/env bash
# Measures how throughput and latency change with the size of a group, the number of timelines, the size of a message
# and the devices online, the plugin (durability group) beside the stock broker, and draws it. README.md says what the
# curves mean.
#
#	tests/bench/plots.sh            everything, about ten minutes
#	QUICK=1 tests/bench/plots.sh    everything shortly, to see that it works
#	DRAW=1 tests/bench/plots.sh     draws what was measured before
#
# CURVES="..."      what is measured and drawn, of: groups timelines payload devices
# ROUNDS=1          rounds; figures are medians (of timelines there is one round)
# GROUPS_OF="..."   group sizes
# PAYLOADS="..."    bytes of a message
# DEVICES="..."     how many devices are online
# TIMELINES_MAX=N   and what else scale.sh takes
# PLOTS=DIR         where the figures (.tsv) and the plots (.svg) go; else plots/ beside this file, with QUICK
#                   build/release/plots
# MOSQUITTO, PAUSE_US, NODELAY, DATA, BUILD, PLUGIN as in run.sh
set -uo pipefail

# shellcheck source=tests/bench/broker.sh
. "$(dirname "${BASH_SOURCE[0]}")/broker.sh"

here=$root/tests/bench
curves=${CURVES:-groups timelines payload devices}
rounds=${ROUNDS:-1}
groups_of=${GROUPS_OF:-2 10 50 100 500 1000 10000 100000}
payloads=${PAYLOADS:-16 64 256 1024 4096 16384 65536}
devices=${DEVICES:-10 100 1000 10000}
pause_us=${PAUSE_US:-1000}

if [ "${QUICK:-0}" = 1 ]; then
	plots=${PLOTS:-$build/plots} load_seconds=1 latency_seconds=1 entries=200000 warm_messages=1250
	export TIMELINES=${TIMELINES:-2000 20000} SECONDS_OF_LOAD=${SECONDS_OF_LOAD:-1} VISITS=${VISITS:-200}
else
	plots=${PLOTS:-$here/plots} load_seconds=4 latency_seconds=6 entries=4000000 warm_messages=5000
fi

write_max=500      # members of a group whose messages are written to every inbox, the plugin's default
stock_max=10000    # subscribers of a group of the stock broker
online_max=1000    # members of a group who are all online
group_rate=100     # messages/s to a group whose latency is measured
group_warmup=50    # the first of these, which do not count
senders=8          # connections that publish one to one: users 0 to 7
receivers=10000    # users 8 to 10007
few_receivers=100  # of the payload runs
rate=1000          # messages/s one to one whose latency is measured

# ---- what is measured; each with a broker of its own ----

# measure_group COLUMN MEMBERS: nobody online but two who send (stock: deliveries to as many subscribers)
measure_group() {
	local column=$1 members=$2 each=$((entries / $2 / 2 + 1))

	if [ "$column" = stock ]; then # an eighth, as fast as it is
		load publish --connections 2 --messages $((each / 8 + 1)) --seconds $load_seconds --topic bench/group \
			--subscribers "$members" --filter bench/group --copies "$members" --pause-us "$pause_us" || return 1
		record groups.delivered_stock "$members" "$(value delivered_per_s)"
		return 0
	fi
	[ "$members" -le $write_max ] || each=10000000 # a message is written once
	load create --conv team --members "$members" --fanout auto || return 1
	load publish --connections 2 --window 400 --messages $each --seconds $load_seconds --topic 'im/conv/team/m%m' \
		--receipts --pause-us "$pause_us" || return 1
	warn_refused "group of $members"
	record groups.stored "$members" "$(value receipts_per_s)"
	[ "$members" -gt $write_max ] || record groups.inbox "$members" $(($(value receipts_per_s) * members))
}

# measure_group_latency COLUMN MEMBERS ONLINE NAME: from publishing until those online are told (stock: have it)
measure_group_latency() {
	local column=$1 members=$2 online=$3 name=$4
	local options=(--topic bench/group --filter bench/group)

	if [ "$column" != stock ]; then
		load create --conv team --members "$members" --fanout auto || return 1
		options=(--topic 'im/conv/team/m%m' --filter 'im/notify/u%u' --by-seq)
	fi
	load latency --rate $group_rate --seconds $latency_seconds --warmup $group_warmup --receivers "$online" \
		--copies "$online" "${options[@]}" || return 1
	warn_missing "$column, group of $members"
	record "groups.${name}_p50" "$members" "$(value p50_us)"
	record "groups.${name}_p99" "$members" "$(value p99_us)"
}

# measure_payload COLUMN BYTES: one to one
measure_payload() {
	local column=$1 bytes=$2 topic='im/user/u%u/m%m' receipts=--receipts

	[ "$column" != stock ] || topic='bench/u%u/m%m' receipts=''
	load publish --connections $senders --users $few_receivers --first-user $senders --topic "$topic" --bytes "$bytes" \
		--seconds $load_seconds --messages 10000000 --pause-us "$pause_us" ${receipts:+"$receipts"} || return 1
	warn_refused "$column, $bytes bytes"
	if [ "$column" = stock ]; then
		record payload.acked_stock "$bytes" "$(value acked_per_s)"
		return 0
	fi
	record payload.acked "$bytes" "$(value acked_per_s)"
	record payload.stored "$bytes" "$(value receipts_per_s)"
}

# one_to_one TOPIC [OPTION ...]: senders to the receivers with whom they are in direct chats
one_to_one() {
	load publish --connections $senders --users $receivers --first-user $senders --stride $senders --topic "$1" \
		--pause-us "$pause_us" "${@:2}"
}

# measure_devices COLUMN ONLINE: that many of the receivers are online. Every message is stored and those to devices
# online are announced (stock: every message is acked and those to devices online are delivered).
measure_devices() {
	local column=$1 online=$2 topic='im/user/u%u/m%m'
	local options=(--receipts --filter 'im/notify/u%n')

	if [ "$column" = stock ]; then
		topic='bench/u%u/m%m' options=(--filter 'bench/u%n/+')
	else
		one_to_one "$topic" --messages $warm_messages --receipts || return 1 # chats come into being
	fi
	one_to_one "$topic" --messages 10000000 --seconds $load_seconds --subscribers "$online" --filter-qos 0 \
		--first-subscriber $senders "${options[@]}" || return 1
	warn_refused "$column, $online devices"
	if [ "$column" = stock ]; then
		record devices.acked_stock "$online" "$(value acked_per_s)"
	else
		record devices.stored "$online" "$(value receipts_per_s)"
	fi
}

# measure_device_latency COLUMN ONLINE: messages go to those online in turn
measure_device_latency() {
	local column=$1 online=$2 name=notify topic='im/user/u%u/m%m' filter='im/notify/u%u'

	if [ "$column" = stock ]; then
		name=stock topic='bench/u%u/m%m' filter='bench/u%u/+'
	else
		load publish --connections 1 --messages "$online" --users "$online" --first-user $senders --topic "$topic" \
			--receipts || return 1 # chats come into being
	fi
	load latency --rate $rate --seconds $latency_seconds --topic "$topic" --filter "$filter" --receivers "$online" \
		--to-number $senders || return 1
	warn_missing "$column, $online devices"
	record "devices.${name}_p50" "$online" "$(value p50_us)"
	record "devices.${name}_p99" "$online" "$(value p99_us)"
}

measure_raw_group() {
	local members=$1

	line=$("$tools/tl_raw_leveldb" --dir "$work/raw.db" --messages $((entries / 4 / members)) --members "$members") ||
		return 1
	rm -rf "$work/raw.db"
	record groups.inbox_raw "$members" "$(value inbox_per_s)"
}

warn_missing() {
	[ "$(value missing)" = 0 ] || note "$1: $(value missing) messages were not heard of: $line"
}

# ---- the curves ----

round_of_groups() {
	local members

	for members in $groups_of; do
		note "group of $members"
		with_broker group measure_group "$members"
		with_broker group measure_group_latency "$members" 1 one
		[ "$members" -gt $write_max ] || measure_raw_group "$members" || note "raw LevelDB failed and is left out"
		[ "$members" -gt $stock_max ] || with_broker stock measure_group "$members"
		[ "$members" -le $online_max ] || continue
		with_broker group measure_group_latency "$members" $((members - 1)) all
		with_broker stock measure_group_latency "$members" $((members - 1)) stock
	done
}

round_of_payload() {
	local bytes

	for bytes in $payloads; do
		note "$bytes bytes"
		with_broker group measure_payload "$bytes"
		with_broker stock measure_payload "$bytes"
	done
}

round_of_devices() {
	local online column

	for online in $devices; do
		note "$online devices"
		for column in group stock; do
			with_broker "$column" measure_devices "$online"
			with_broker "$column" measure_device_latency "$online"
		done
	done
}

# write_figures CURVE "ARGUMENTS" FIRST SERIES ...: a line for each argument, a column for each series
write_figures() {
	local curve=$1 arguments=$2 argument series figure

	{
		echo "# $(machine)"
		echo "${@:3}" | tr ' ' '\t'
		for argument in $arguments; do
			printf '%s' "$argument"
			for series in "${@:4}"; do
				figure=$(median "$curve.$series" "$argument")
				printf '\t%s' "${figure:--}"
			done
			echo
		done
	} >"$work/$curve.tsv"
	mv "$work/$curve.tsv" "$plots/$curve.tsv"
}

measure() {
	local round

	for ((round = 1; round <= rounds; round++)); do
		"round_of_$1"
	done
	case $1 in
	groups)
		write_figures groups "$groups_of" members stored inbox inbox_raw delivered_stock one_p50 one_p99 all_p50 all_p99 \
			stock_p50 stock_p99
		;;
	payload) write_figures payload "$payloads" bytes acked stored acked_stock ;;
	devices) write_figures devices "$devices" online stored acked_stock notify_p50 notify_p99 stock_p50 stock_p99 ;;
	esac
}

measure_curve() {
	if [ "$1" != timelines ]; then
		measure "$1"
	elif ! FIGURES=$plots/timelines.tsv BUILD=$build "$here/scale.sh" >"$work/scale.log"; then
		note "timelines failed and are left out"
	fi
}

draw() {
	[ -s "$plots/$1.tsv" ] || die "there is no $plots/$1.tsv: measure it first"
	gnuplot -c "$here/plots.gp" "$1" "$plots" || die "cannot draw $1"
	note "drew $plots/$1.svg"
}

main() {
	local curve

	command -v gnuplot >/dev/null || die "gnuplot is missing: config/packages.sh bench installs it"
	mkdir -p "$plots" || die "cannot make $plots"
	plots=$(realpath "$plots")
	if [ "${DRAW:-0}" != 1 ]; then
		begin "${DATA:-$build}"
		mkdir "$work/results"
		build_release
		for curve in $curves; do
			measure_curve "$curve"
		done
	fi
	for curve in $curves; do
		draw "$curve"
	done
}

main "$@"
