#!/bin/sh
# Runs test programs (cmocka) and fuzz programs (their quick run), JOBS at a time, then tests/hygiene.sh and
# tests/cli.sh, and adds up. The last line is "N passed, N failed"; the exit status says whether nothing failed.
#   tests/run.sh PROGRAM ...
set -u
cd "$(dirname "$0")/.." || exit 1
mkdir -p build/log
passed=0 failed=0 skipped=0 bad=

add() { # NAME STATUS LOG PASSED FAILED: a failure that no count tells, a crash for instance, is one
    f=$5
    [ "$2" = 0 ] || [ "$f" -gt 0 ] || f=1
    [ "$2" != 0 ] || [ $(($4 + f)) -gt 0 ] || { echo "$1: ran no test"; f=1; }
    passed=$((passed + $4)) failed=$((failed + f))
    [ "$f" = 0 ] || bad="$bad $1"
}
sum() { sed -n "$1" "$log" | awk '{n += $1} END {print n + 0}'; }
timed() { # NAME COMMAND...: into build/log/NAME.log, its exit status into NAME.status; says what it said when it ends
    name=$1 log=build/log/$1.log begin=$(date +%s)
    shift
    "$@" >"$log" 2>&1 </dev/null
    status=$?
    echo $status >build/log/$name.status
    {
        echo "== $name"
        grep -v '^\[ RUN ' "$log"
        [ $status = 0 ] || echo "== $name: exit status $status"
        echo "== $name: $(($(date +%s) - begin)) s"
    } >build/log/$name.said
    cat build/log/$name.said
}
if [ "${1:-}" = --one ]; then # what runs beside others
    case $2 in
    */fuzz_*) timed "${2##*/}" "$2" "${FUZZ_RUNS:-20000}" ;;
    *) timed "${2##*/}" "$2" ;;
    esac
    exit 0
fi

rm -f build/log/*.status
printf '%s\n' "$@" | xargs -P "${JOBS:-1}" -n 1 sh tests/run.sh --one
for program in "$@"; do
    name=${program##*/} log=build/log/${program##*/}.log
    status=$(cat build/log/$name.status 2>/dev/null || echo 1)
    case $program in
    */fuzz_*) [ $status = 0 ] && add "$name" 0 "$log" 1 0 || add "$name" $status "$log" 0 1 ;;
    *)
        add "$name" $status "$log" "$(sum 's/^\[  PASSED  \] \([0-9]*\) test(s).*/\1/p')" \
            "$(sum 's/^\[  FAILED  \] \([0-9]*\) test(s).*/\1/p')"
        skipped=$((skipped + $(sum 's/^\[  SKIPPED \] \([0-9]*\) test(s).*/\1/p')))
        ;;
    esac
done
for script in hygiene cli; do
    [ -f tests/$script.sh ] || continue
    timed $script sh tests/$script.sh
    counts=$(sed -n 's/^/ /; s/.* \([0-9][0-9]*\) passed, \([0-9][0-9]*\) failed.*/\1 \2/p' "$log" | tail -n 1)
    p=${counts% *} f=${counts#* }
    if [ $status = 0 ] && [ -z "$p" ]; then p=1; fi # a script that does not count
    add $script $status "$log" "${p:-0}" "${f:-0}"
done
[ $skipped = 0 ] || echo "$skipped skipped"
[ -z "$bad" ] || echo "failed:$bad (logs in build/log)"
echo "$passed passed, $failed failed"
[ $failed = 0 ]
