# Draws one of the curves that plots.sh has measured: gnuplot -c plots.gp CURVE DIR makes DIR/CURVE.svg of
# DIR/CURVE.tsv.
#
# Two panels beside each other, throughput on the left. Blue is the plugin, orange the stock broker, grey LevelDB alone;
# dashed lines are 99th percentiles.

curve = ARG1
data = ARG2 . "/" . ARG1 . ".tsv"

set terminal svg size 960,420 font "Helvetica,Arial,sans-serif,14" background "white" linewidth 1.2
set output ARG2 . "/" . ARG1 . ".svg"
set datafile separator tab
set datafile missing "-"
set datafile columnheaders

blue = "#1f5fa8"
light = "#63a6d9"
orange = "#d4660a"
grey = "#777777"
set style line 1 linecolor rgb blue linewidth 2 pointtype 7 pointsize 0.6
set style line 2 linecolor rgb light linewidth 2 pointtype 5 pointsize 0.6
set style line 3 linecolor rgb orange linewidth 2 pointtype 9 pointsize 0.7
set style line 4 linecolor rgb grey linewidth 2 pointtype 13 pointsize 0.7
set style line 11 linecolor rgb blue linewidth 2 dashtype (6,4) pointtype 7 pointsize 0.4
set style line 12 linecolor rgb light linewidth 2 dashtype (6,4) pointtype 5 pointsize 0.4
set style line 13 linecolor rgb orange linewidth 2 dashtype (6,4) pointtype 9 pointsize 0.5

set style data linespoints
set border 3 linecolor rgb "#444444"
set tics nomirror out
set grid xtics ytics linecolor rgb "#dddddd" linetype 1
set logscale xy
set mxtics 1
set mytics 1
set format xy "%.0s%c"
set key tmargin center horizontal Left reverse samplen 2 width -2 font ",13"
set tmargin (curve eq "groups" ? 4.2 : 3.3)
set rmargin 3

ms(us) = column(us) / 1000.0

set multiplot layout 1,2

if (curve eq "groups") {
	set xlabel "members of the group"
	set ylabel "each second" offset 1
	set arrow 1 from 707, graph 0 to 707, graph 1 nohead linecolor rgb grey dashtype 3
	set label 1 "written to every inbox" at 707, graph 0.04 right offset -0.7,0 font ",12" textcolor rgb "#555555"
	set label 2 "written once" at 707, graph 0.04 left offset 0.7,0 font ",12" textcolor rgb "#555555"
	plot data using "members":"stored" linestyle 1 title "messages stored", \
		"" using "members":"inbox" linestyle 2 title "inbox entries", \
		"" using "members":"inbox_raw" linestyle 4 title "LevelDB, entries", \
		"" using "members":"delivered_stock" linestyle 3 title "stock, deliveries"
	unset label 1
	set label 2 "told 5 times/s at most"
	set ylabel "publish to notify, ms"
	set format y "%g"
	plot data using "members":(ms("one_p50")) linestyle 1 title "one online, p50", \
		"" using "members":(ms("all_p50")) linestyle 2 title "all online, p50", \
		"" using "members":(ms("stock_p50")) linestyle 3 title "stock, all, p50", \
		"" using "members":(ms("one_p99")) linestyle 11 title "one online, p99", \
		"" using "members":(ms("all_p99")) linestyle 12 title "all online, p99", \
		"" using "members":(ms("stock_p99")) linestyle 13 title "stock, all, p99"
}

if (curve eq "timelines") {
	set xlabel "timelines in the database"
	set ylabel "messages each second" offset 1
	unset logscale y
	set yrange [0:*]
	plot data using "timelines":"active_stored_per_s" linestyle 1 title "stored, 5,000 active users", \
		"" using "timelines":"stored_per_s" linestyle 2 title "stored, any users"
	set logscale y
	set yrange [*:*]
	set ylabel "first page of an inbox, ms"
	set format y "%g"
	plot data using "timelines":(ms("first_p50_us")) linestyle 1 title "cold, p50", \
		"" using "timelines":(ms("again_p50_us")) linestyle 2 title "again, p50", \
		"" using "timelines":(ms("first_p99_us")) linestyle 11 title "cold, p99", \
		"" using "timelines":(ms("again_p99_us")) linestyle 12 title "again, p99"
}

if (curve eq "payload") {
	set logscale x 2
	set xrange [*<14:75000<*]
	set xlabel "bytes of a message"
	set xtics ("16" 16, "64" 64, "256" 256, "1 Ki" 1024, "4 Ki" 4096, "16 Ki" 16384, "64 Ki" 65536)
	set ylabel "messages each second" offset 1
	plot data using "bytes":"stored" linestyle 1 title "stored", \
		"" using "bytes":"acked" linestyle 2 title "acked", \
		"" using "bytes":"acked_stock" linestyle 3 title "stock, acked"
	set ylabel "MB each second"
	set format y "%g"
	mb(messages) = column(messages) * column("bytes") / 1e6
	plot data using "bytes":(mb("stored")) linestyle 1 title "stored", \
		"" using "bytes":(mb("acked")) linestyle 2 title "acked", \
		"" using "bytes":(mb("acked_stock")) linestyle 3 title "stock, acked"
}

if (curve eq "devices") {
	set xlabel "devices online, of 10,000 receivers"
	set ylabel "messages each second, one to one" offset 1
	unset logscale y
	set yrange [0:*]
	plot data using "online":"stored" linestyle 1 title "stored", \
		"" using "online":"acked_stock" linestyle 3 title "stock, acked"
	set logscale y
	set yrange [*:*]
	set ylabel "publish to notify, ms"
	set format y "%g"
	plot data using "online":(ms("notify_p50")) linestyle 1 title "p50", \
		"" using "online":(ms("stock_p50")) linestyle 3 title "stock, p50", \
		"" using "online":(ms("notify_p99")) linestyle 11 title "p99", \
		"" using "online":(ms("stock_p99")) linestyle 13 title "stock, p99"
}

unset multiplot
