#!/bin/sh
# The King James Bible as plain text, one verse a line and a blank line between chapters, on stdout.
# Needs Debian's bible-kjv and bible-kjv-text.
bible -f gen1:1-rev22:21 </dev/null | awk '{
	chapter = $1; sub(/:[0-9]+$/, "", chapter)
	sub(/^[^ ]+ /, "")
	if (NR > 1 && chapter != last) print ""
	last = chapter; print
}'
