#!/bin/sh
# CMSIS-NN's arm_nn_vec_mat_mult_t_s4 and _s8 beside cq_matmul_q8: instructions for each multiplication, one column, on
# emulated boards. Its weights lie row by row, one scale for all; ours in panels, packed for this, with a scale for each
# group. `sh tests/setup.sh firmware` installs the tools; bench/peers.sh fetches CMSIS-NN and calls this.
#   bench/peers_cmsis.sh DIRECTORY
set -u
cd "$(dirname "$0")/.." || exit 1
dir=$1
fail() {
    echo "bench-peers: $*" >&2
    exit 1
}
mkdir -p build/firmware build/peers/include
cat >build/peers/include/string.h <<'END'
#include <stddef.h>
void *memcpy(void *, const void *, size_t);
void *memset(void *, int, size_t);
END
count=build/firmware/count.so
${CC:-cc} -O2 -shared -fPIC tests/firmware/count.c -o $count || fail "tests/firmware/count.c does not compile"

# theirs, with their own -Ofast; -fbuiltin, for their reads of words are calls of memcpy
theirs() { # CORE MACHINE FLAGS...
    core=$1 machine=$2
    shift 2
    for bits in 4 8; do
        out=build/peers/cmsis-$core-s$bits
        "$@" -mthumb -Ofast -ffreestanding -fbuiltin -DS$bits -w -I$dir/Include -Ibuild/peers/include -Itests/firmware \
            -nostdlib -ffunction-sections -Wl,--gc-sections -Wl,--defsym=FLASH=0,--defsym=FLASH_SIZE=512K \
            -Wl,--defsym=RAM=0x20000000,--defsym=RAM_SIZE=512K,--defsym=MODEL=0x60000000 \
            -Wl,-T,tests/firmware/board.ld tests/firmware/start.c bench/peers_cmsis.c \
            $dir/Source/NNSupportFunctions/arm_nn_vec_mat_mult_t_s$bits.c -lgcc -o $out.elf ||
            fail "CMSIS-NN does not compile"
        address() { arm-none-eabi-nm $out.elf | awk -v f="$1" '$3 == f {print $1}'; }
        timeout 60 qemu-system-arm -M "$machine" -kernel $out.elf -nographic -monitor none -serial none \
            -semihosting-config enable=on,target=native \
            -plugin "file=$count,begin=$(address count_begin),end=$(address count_end),out=$out.counts" \
            >$out.out 2>&1 ||
            fail "CMSIS-NN on $core: wrong sums, or it did not run (see $out.out)"
        paste -d ' ' $out.out $out.counts | awk -v what="$core cmsis-nn s$bits" '{print what, "row", $1, $3 / $2}'
    done
}
{
    theirs m4 mps2-an386 arm-none-eabi-gcc -mcpu=cortex-m4 -mfloat-abi=hard -mfpu=fpv4-sp-d16
    theirs m55 mps3-an547 arm-none-eabi-gcc -mcpu=cortex-m55 -mfloat-abi=hard
    for b in m4 m55; do # ours, with -O2
        sh tests/firmware.sh --one gemv $b >build/peers/ours.out
        grep -q '^ok' build/peers/ours.out || fail "$(cat build/peers/ours.out)"
        awk -F, '($4 == "int4" || $4 == "int8") && $3 != "scalar" && ($1 != "m55" || $3 == "mve") && $5 != 32 {
            print $1, "cquant", $4, ($5 ? "g" $5 : "row"), $6, $8}' build/firmware/gemv-$b.csv
    done
} >build/peers/cmsis.txt || exit 1
echo 'instructions for each multiplication, one column:'
sort -s -k1,1 -k5,5n -k2,2 build/peers/cmsis.txt |
    awk '{printf "  %-4s %-9s %-5s %-5s %5d columns %8.3f\n", $1, $2, $3, $4, $5, $6}'
