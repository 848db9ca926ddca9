#!/bin/sh
# The promises of the headers as headers: silent under strict warnings in C99, C11, C++11 and C++17 with gcc and clang,
# self-contained, includable in any order and number, nothing exported but cq_..., no writable globals, nothing needed
# from a libc. One line per check, "ok ..." or "FAIL ..." with the compiler's words, and a total.
#   tests/hygiene.sh [header ...]      default: every cquant*.h at the top
set -u
LC_ALL=C export LC_ALL
cd "$(dirname "$0")/.." || exit 1
# <float.h> and <limits.h> are allowed besides; the others are the compiler's intrinsics
allowed='stdint|stddef|stdbool|float|limits|immintrin|cpuid|intrin|arm_neon|arm_mve|riscv_vector|wasm_simd128'
warn='-Werror -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wundef'

lang() { case $1 in c++*) echo "-x c++ -std=$1" ;; *) echo "-x c -std=$1" ;; esac; }

# say NAME STATUS LOG
say() {
    if [ "$2" = 0 ]; then echo "ok   $1"; else
        printf '%s\n' "FAIL $1
$(head -c 3000 "$3" | sed -n '1,12s/^/     | /p')" # in one write: two checks run at a time
    fi
}

if [ "${1:-}" = --one ]; then # KIND COMPILER STANDARD HEADER: one check, run by xargs below
    kind=$2 cc=$3 std=$4 header=$5
    tmp=$6/$kind.$cc.$std.$header
    name="$header: $kind, $cc -std=$std"
    D="-I. -DCQUANT_HEADER=\"$header\""
    L="$(lang "$std")"
    src=tests/compile
    status=0
    case $kind in
    alone) $cc $L $warn -O1 -c $D "$src/impl.c" -o "$tmp.o" ;;
    order) $cc $L $warn -fsyntax-only $D "$src/order.c" ;;
    declarations) $cc $L $warn -fsyntax-only $D "$src/decl.c" ;;
    macros) # what windows.h and others define in front of it
        $cc $L -Dnear= -Dfar= -Dsmall=char -Dhyper=long -Dinterface=struct -DIN= -DOUT= -DOPTIONAL= -DERROR=0 -DDELETE=1 \
            -DCONST=const -DVOID=void -DTRUE=1 -DFALSE=0 -DDOMAIN=1 -DOVERFLOW=3 -DUNDERFLOW=4 -DNAN=0 -DINFINITY=1 \
            -DM_PI=3 -DI=_Complex_I -Dunix=1 -Dlinux=1 -DB0=0 -DECHO=8 -DPAGE_SIZE=4096 '-Dmin(a, b)=((a) < (b) ? (a) : (b))' \
            '-Dmax(a, b)=((a) > (b) ? (a) : (b))' '-Dmajor(x)=x' '-Dminor(x)=x' '-Dassert(x)=x' '-Dsignbit(x)=x' \
            '-Disnan(x)=x' -fsyntax-only $D "$src/impl.c" ;;
    no-simd) $cc $L $warn -DCQUANT_NO_SIMD -fsyntax-only $D "$src/impl.c" ;;
    strict-prototypes) # warnings that exist for C only, and two that vendors like
        $cc $L $warn -Wstrict-prototypes -Wmissing-prototypes -Wcast-qual -Wwrite-strings -fsyntax-only $D "$src/impl.c" ;;
    two-units) # private copies in two units; then one program of two objects that both hold everything
        $cc $L $warn -O0 -c $D "$src/unit.c" -o "$tmp.1.o" && $cc $L $warn -O0 -DSECOND -c $D "$src/unit.c" -o "$tmp.2.o" &&
            $cc "$tmp.1.o" "$tmp.2.o" -o "$tmp.exe" && "$tmp.exe" ;;
    client) # a user in this language, the implementation in C
        $cc -std=c99 -O0 -c $D "$src/impl.c" -o "$tmp.1.o" && $cc $L $warn -O0 -c $D "$src/client.c" -o "$tmp.2.o" &&
            $cc "$tmp.1.o" "$tmp.2.o" -o "$tmp.exe" && "$tmp.exe" ;;
    freestanding)
        $cc $L $warn -ffreestanding -nostdlib -fno-builtin -O2 -c $D "$src/impl.c" -o "$tmp.o" && {
            # undefined: only what a compiler itself calls
            case $(uname -m) in x86_64 | aarch64) own= ;; *) own='_?mem(cpy|set|move)|__.*' ;; esac # what the compiler calls by itself
            nm -u "$tmp.o" | awk '{print $NF}' | grep -vxE "${own:-_GLOBAL_OFFSET_TABLE_}" | sed 's/^/undefined symbol /'
            # exported: only cq_ followed by a letter; cq__ is private and must be static
            nm -g --defined-only "$tmp.o" | awk 'NF > 1 {print $NF}' | grep -vE '^_?cq_[a-z]' | sed 's/^/exported symbol /'
            # writable: constant tables of pointers may be relocated (.data.rel.ro), nothing else
            size -A "$tmp.o" | awk '$1 ~ /^\.t?(data|bss)(\.|$)/ && $1 !~ /^\.data\.rel\.ro/ && $2 > 0 {print "writable section", $1, $2}'
        } >"$tmp.found" || status=1
        cat "$tmp.found"
        [ ! -s "$tmp.found" ] ;;
    firmware) # the same as a program without libc, and run
        $cc $L -ffreestanding -fno-builtin -fno-stack-protector -O2 -nostdlib -static $D "$src/firmware.c" -o "$tmp.exe" && "$tmp.exe" ;;
    names) # macros: what the header defines beyond the standard headers
        pre='-include stdint.h -include stddef.h -include stdbool.h -include float.h -include limits.h'
        $cc -std=$std -dM -E $pre -x c /dev/null >"$tmp.1" && $cc -std=$std -dM -E $pre $D "$src/decl.c" >"$tmp.2" || status=1
        sort "$tmp.1" >"$tmp.before"
        sort "$tmp.2" >"$tmp.after"
        comm -13 "$tmp.before" "$tmp.after" | awk '{print $2}' | grep -vE '^(CQ_|CQUANT_)' >"$tmp.found"
        sed 's/^/macro /' "$tmp.found"
        [ ! -s "$tmp.found" ] ;;
    includes)
        grep -nE '^[[:space:]]*#[[:space:]]*include' "$header" |
            grep -vE "<($allowed)\.h>|\"cquant(_[a-z]+)?\.h\"" >"$tmp.found"
        sed 's/^/include /' "$tmp.found"
        [ ! -s "$tmp.found" ] ;;
    esac >"$tmp.log" 2>&1 || status=1
    say "$name" $status "$tmp.log"
    exit 0
fi

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT INT TERM
[ $# -gt 0 ] || set -- $(ls cquant.h cquant_rotate.h cquant_gptq.h cquant_models.h 2>/dev/null)
headers=$*
compilers=
for c in gcc clang; do command -v $c >/dev/null 2>&1 && compilers="$compilers $c"; done
[ -n "$compilers" ] || compilers=${CC:-cc}
cxx() { echo 'int main() { return 0; }' | $1 -x c++ -fsyntax-only - 2>/dev/null; }

for h in $headers; do
    for c in $compilers; do
        stds='c99 c11'
        if cxx "$c"; then stds="$stds c++11 c++17"; else echo "note $c has no C++ here: C++ is not checked with it" >&2; fi
        for s in $stds; do
            case $s in # optimised compiles are the dear ones: C has one in "freestanding", C++ one in "alone"
            c99) kinds='freestanding order declarations no-simd two-units strict-prototypes names macros' ;;
            c++11) kinds='alone order declarations no-simd client' ;;
            *) kinds='order declarations' ;;
            esac
            for k in $kinds; do echo "$k $c $s $h"; done
        done
    done
    set -- $compilers
    echo "includes $1 c99 $h"
    case $(uname -sm) in "Linux x86_64" | "Linux aarch64") echo "firmware $1 c99 $h" ;; esac
done >"$work/jobs"
xargs -P "${JOBS:-2}" -n 4 sh -c 'sh "$0" --one "$2" "$3" "$4" "$5" "$1"' tests/hygiene.sh "$work" <"$work/jobs" |
    tee "$work/out"

# one version: CQUANT_VERSION, CQUANT_VERSION_NUM (10000 major + 100 minor + patch), and the first line of every header
{
    version=$(sed -n 's/^#define CQUANT_VERSION "\(.*\)".*/\1/p' cquant.h)
    number=$(sed -n 's/^#define CQUANT_VERSION_NUM \([0-9]*\).*/\1/p' cquant.h)
    [ "$(echo "$version" | awk -F. '{print 10000 * $1 + 100 * $2 + $3}')" = "$number" ] ||
        echo "CQUANT_VERSION $version and CQUANT_VERSION_NUM $number differ"
    for h in $headers; do
        sed -n 1p "$h" | grep -q "^/\* $h - v$version - " || echo "$h: the first line is not '/* $h - v$version - ...'"
        [ "$h" = cquant.h ] || grep -q 'CQUANT_VERSION_NUM' "$h" || echo "$h does not check CQUANT_VERSION_NUM"
    done
} >"$work/version.log"
[ ! -s "$work/version.log" ]
say "versions agree: $headers" $? "$work/version.log" | tee -a "$work/out"

passed=$(grep -c '^ok ' "$work/out")
failed=$(grep -c '^FAIL ' "$work/out")
expected=$(($(wc -l <"$work/jobs") + 1))
if [ $((passed + failed)) -ne $expected ]; then
    echo "FAIL $((expected - passed - failed)) checks gave no answer"
    failed=$((failed + expected - passed - failed))
fi
echo "hygiene: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
