#!/bin/sh
# The same .cq file gives the same logit bits: plain C and SIMD on this machine, and plain C on other processors, 32-bit
# and big-endian ones too, under emulation. A lane whose cross compiler or emulator is missing is skipped and says so;
# `sh tests/setup.sh lanes` installs them all on Debian.
#   tests/lanes.sh [TOOL]
set -u
cd "$(dirname "$0")/.." || exit 1
tool=${1:-build/cquant}
dir=build/lanes
passed=0 failed=0 skipped=0
mkdir -p $dir
for dtype in fp16 bf16 int8 int4; do
    "$tool" export tests/golden/dream --dtype $dtype --group-size 32 -o $dir/$dtype.cq --quiet >/dev/null || exit 1
done
"$tool" export tests/golden/dream --dtype int8 --group-size 32 --online r3,r4 -o $dir/turned.cq --quiet >/dev/null || exit 1
for bits in 2 3; do
    "$tool" quantize tests/golden/qwen3 --method rtn --bits $bits --asym --group-size 32 -o $dir/int$bits.cq --quiet \
        >/dev/null || exit 1
done
files="$dir/fp16.cq $dir/bf16.cq $dir/int8.cq $dir/int4.cq $dir/turned.cq $dir/int3.cq $dir/int2.cq"
lane() { # NAME COMPILER EMULATOR
    set -- "$1" "$2" "${3:-}"
    if ! command -v "${2%% *}" >/dev/null || { [ -n "$3" ] && ! command -v "$3" >/dev/null; }; then
        echo "skip $1: $2 ${3:+or $3 }is not installed"
        skipped=$((skipped + 1))
        return
    fi
    # shellcheck disable=SC2086 # words
    if $2 -O2 -Wall -Wextra -I. tests/checksum.c -o "$dir/$1" 2>"$dir/$1.log" && [ ! -s "$dir/$1.log" ] &&
        $3 "$dir/$1" $files >"$dir/$1.sums" && awk '$4 == "scalar" {print $1, $2, $3}' "$dir/$1.sums" >"$dir/$1.scalar" &&
        cmp -s "$dir/$1.scalar" "$dir/host.scalar" && awk '{if (s[$2, $3] == "") s[$2, $3] = $1; if (s[$2, $3] != $1) exit 1}' "$dir/$1.sums"; then
        echo "ok   $1: $(wc -l <"$dir/$1.sums") checksums"
        passed=$((passed + 1))
    else
        echo "FAIL $1"
        cat "$dir/$1.log"
        failed=$((failed + 1))
    fi
}
${CC:-cc} -std=c99 -O0 -I. tests/checksum.c -o $dir/host && $dir/host $files | awk '$4 == "scalar" {print $1, $2, $3}' >$dir/host.scalar
lane x86-64 "${CC:-cc} -std=c99"
lane x86-64-native "${CC:-cc} -std=gnu99 -march=native"
lane aarch64 "aarch64-linux-gnu-gcc -std=gnu99 -static" qemu-aarch64-static
lane armv7 "arm-linux-gnueabihf-gcc -std=c99 -static" qemu-arm-static
lane s390x-big-endian "s390x-linux-gnu-gcc -std=gnu99 -static" qemu-s390x-static
[ $skipped = 0 ] || echo "$skipped skipped"
echo "$passed passed, $failed failed"
[ $failed = 0 ]
