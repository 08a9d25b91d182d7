# Draws bench.tsv as SVG: for each operation a row of bars, one a server, as long as
# the logarithm of its CPU time.

BEGIN {
	FS = "\t"
	split("#1b6ca8 #4d9bd0 #9cc8e6 #999999 #666666 #d9822b #a23b72", color, " ")
	ncolumns = split(servers, server, " ")
	nrows = split(operations, operation, " ")
	left = 110
	width = 520
	bar = 9
	least = 0.05
	most = 1000
}

# The least of the rounds: what is above it is others' doing.
$3 != "-" {
	if (!(($1, $2) in cost) || $3 + 0 < cost[$1, $2])
		cost[$1, $2] = $3 + 0
}

function place(value)
{
	if (value < least)
		value = least
	return width * log(value / least) / log(most / least)
}

END {
	row = bar * ncolumns + 10
	height = 40 + nrows * row + 20
	printf "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" font-size=\"11\">\n", left + width + 80, height
	for (c = 1; c <= ncolumns; c++)
		printf "<text x=\"%d\" y=\"14\" fill=\"%s\">%s</text>\n", left + 70 * (c - 1), color[c], server[c]
	for (mark = 0.1; mark <= most; mark *= 10) {
		x = left + place(mark)
		printf "<line x1=\"%.1f\" y1=\"30\" x2=\"%.1f\" y2=\"%d\" stroke=\"#ddd\"/>\n", x, x, height - 20
		printf "<text x=\"%.1f\" y=\"27\" fill=\"#666\" text-anchor=\"middle\">%g µs</text>\n", x, mark
	}
	for (r = 1; r <= nrows; r++) {
		y = 40 + (r - 1) * row
		printf "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n", left - 8, y + row / 2, operation[r]
		for (c = 1; c <= ncolumns; c++) {
			if (!((operation[r], server[c]) in cost))
				continue
			value = cost[operation[r], server[c]]
			printf "<rect x=\"%d\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>\n", left, y + bar * (c - 1), place(value), bar - 1, color[c]
			printf "<text x=\"%.1f\" y=\"%.1f\" font-size=\"8\">%.2f</text>\n", left + place(value) + 3, y + bar * c - 2, value
		}
	}
	print "</svg>"
}
