#!/bin/sh
# The headers on emulated boards, without a libc: the property test of the kernels, whole models with the logits of this
# machine, bit for bit, and how many instructions a multiplication costs. Writes build/firmware/counts.csv.
#   tests/firmware.sh [TOOL]
set -u
LC_ALL=C export LC_ALL
dir=build/firmware
CC=${CC:-cc}
strict='-std=c99 -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wundef'
bare='-ffreestanding -fno-builtin -ffunction-sections -fdata-sections -I. -Itests'

ok() { echo "ok   $*"; }
fail() { printf '%s\n' "FAIL $1
$(sed -n '1,12s/^/     | /p' "$2")"; } # NAME LOG
# NAME: the machine, its flags, and where its memories are
board() {
    model=0x60000000 link=-lgcc cc=arm-none-eabi-gcc
    case $1 in
    m0) machine=mps2-an385 cpu=-mcpu=cortex-m0 flash=0 flash_size=4M ram=0x20000000 ram_size=4M model=0x21000000 ;;
    m0-16k) machine=microbit cpu=-mcpu=cortex-m0 flash=0 flash_size=256K ram=0x20000000 ram_size=16K ;;
    m4) machine=mps2-an386 cpu='-mcpu=cortex-m4 -mfpu=fpv4-sp-d16 -mfloat-abi=hard' flash=0 flash_size=4M
        ram=0x20000000 ram_size=4M model=0x21000000 ;;
    m33) machine=mps2-an505 cpu='-mcpu=cortex-m33 -mfpu=fpv5-sp-d16 -mfloat-abi=hard' flash=0x10000000 flash_size=4M
        ram=0x38000000 ram_size=2M model=0x80000000 ;;
    m55*) machine=mps3-an547 cpu='-mcpu=cortex-m55 -mfloat-abi=hard' flash=0 flash_size=512K ram=0x20000000
        ram_size=512K ;;
    esac
    cpu="$cpu -mthumb"
    case $1 in *clang) cc='clang-19 --target=arm-none-eabi --ld-path=ld.lld-19 -Wl,-e,board_reset' link= ;; esac
}
# shellcheck disable=SC2086 # words
build() { # NAME FILES AND FLAGS...
    elf=$dir/$1.elf
    shift
    $cc $cpu $strict $bare -nostdlib -Wl,--gc-sections -Wl,--defsym=FLASH=$flash,--defsym=FLASH_SIZE=$flash_size \
        -Wl,--defsym=RAM=$ram,--defsym=RAM_SIZE=$ram_size,--defsym=MODEL=$model -Wl,-T,tests/firmware/board.ld \
        tests/firmware/start.c "$@" $link -o "$elf" 2>"${elf%.elf}.out" && [ ! -s "${elf%.elf}.out" ]
}
run() { # NAME ARGUMENTS OF QEMU...: what it says to NAME.out
    elf=$dir/$1.elf
    shift
    timeout 60 qemu-system-arm -M $machine -kernel "$elf" -nographic -monitor none -serial none \
        -semihosting-config enable=on,target=native "$@" >"${elf%.elf}.out" 2>&1
}

# The jobs: KIND BOARD, run side by side. Each says ok or FAIL.
kernels() { # every kernel of every tier against plain C, and plain C against this machine
    name=kernels-$1
    if build "$name" -O2 -DCQ_BARE -DCQ_BARE_EXTERN -DCQ_KERNELS_SMALL tests/kernels.c && run "$name" &&
        [ "$(grep checksum "$dir/$name.out")" = "$(grep checksum $dir/kernels.out)" ]; then
        ok "$name: $(grep -v checksum "$dir/$name.out" | tr '\n' ' ')"
    else fail "$name" "$dir/$name.out"; fi
}
models() { # dream, made for tests, with both kinds of activations; kjv, trained, with int8
    # shellcheck disable=SC2086
    $cc $cpu $strict $bare -Os -DCQUANT_ONE_TIER -c tests/firmware/model.c -o "$dir/model-$1.o" 2>"$dir/model-$1.log" &&
        [ ! -s "$dir/model-$1.log" ] || { fail "model-$1" "$dir/model-$1.log"; return; }
    for m in dream-int4 dream-int8 kjv-int4 kjv-int8; do
        name=$m-$1
        case $name in kjv-*-m0) continue ;; esac # plain C and emulated: minutes
        awk -v f="$m" '$2 == f && $4 == "scalar" {print $1, $3}' $dir/checksum.out >"$dir/$name.want"
        if build "$name" "$dir/model-$1.o" -DMODEL_FILE="\"$dir/$m.cq\"" tests/firmware/flash.S && run "$name" &&
            awk '{print $1, $2}' "$dir/$name.out" >"$dir/$name.got" && [ -s "$dir/$name.got" ] &&
            ! grep -vxqFf "$dir/$name.want" "$dir/$name.got"; then
            ok "$name: the logits of this machine with" \
                "$(awk '{printf "%s%s (%s)", (n++ ? ", " : ""), $2, $3}' "$dir/$name.out");" \
                "$(arm-none-eabi-size -A "$dir/$name.elf" | awk '$1 == ".text" {print $2}') bytes of flash," \
                "$(awk '$4 > n {n = $4} END {print n}' "$dir/$name.out") of memory in the arena"
        else fail "$name" "$dir/$name.out"; fi
    done
}
address() { arm-none-eabi-nm "$dir/$name.elf" | awk -v f="$1" '$3 == f {print $1}'; }
gemv() { # instructions for each multiplication
    name=gemv-$1 small=
    [ "$1" = m0-16k ] && small=-DSMALL
    # shellcheck disable=SC2086
    if build "$name" -O2 $small tests/firmware/gemv.c &&
        plugin=file=$dir/count.so,begin=$(address count_begin),end=$(address count_end),out=$dir/$name.counts &&
        run "$name" -plugin "$plugin"; then
        paste -d ' ' "$dir/$name.out" "$dir/$name.counts" | awk -v core="${1%%-*}" -v cc="${cc%% *}" -v OFS=, '
            $1 != "reference" {print core, cc, $1, $2, $3, $4, $5 / $4, sprintf("%.3f", $7 / $5)}' >"$dir/$name.csv"
        ok "$name: $(wc -l <"$dir/$name.counts") products counted, the bits of plain C"
    else fail "$name" "$dir/$name.out"; fi
}
if [ "${1:-}" = --one ]; then
    board "$3"
    if command -v "${cc%% *}" >/dev/null; then "$2" "$3"; else echo "skip $2-$3: ${cc%% *} is not installed"; fi
    exit 0
fi

cd "$(dirname "$0")/.." || exit 1
tool=${1:-build/cquant}
mkdir -p $dir
rm -f $dir/*.csv
for dtype in int4 int8; do
    "$tool" export tests/golden/dream --dtype $dtype --group-size 32 -o $dir/dream-$dtype.cq --quiet >/dev/null &&
        "$tool" export examples/models/dream-kjv --dtype $dtype -o $dir/kjv-$dtype.cq --quiet >/dev/null || exit 1
done
$CC -std=c99 -O1 -I. tests/checksum.c -o $dir/checksum &&
    $dir/checksum $dir/dream-int4.cq $dir/dream-int8.cq $dir/kjv-int4.cq $dir/kjv-int8.cq >$dir/checksum.out &&
    $CC -O1 -I. -Itests -DCQ_KERNELS_SMALL tests/kernels.c -o $dir/kernels && $dir/kernels >$dir/kernels.out &&
    $CC -O2 -Wall -Wextra -shared -fPIC tests/firmware/count.c -o $dir/count.so || exit 1
{
    for b in m4 m33 m55 m0; do echo "models $b"; done # the long ones first
    for b in m0 m4 m33 m55 m55-clang; do echo "kernels $b"; done
    for b in m0-16k m4 m33 m55 m55-clang; do echo "gemv $b"; done
} | xargs -P "${JOBS:-2}" -n 2 sh tests/firmware.sh --one | tee $dir/said

echo 'core,compiler,kernels,format,group_size,columns,rows,instructions_per_mac' >$dir/counts.csv
cat $dir/gemv-*.csv >>$dir/counts.csv
echo 'instructions for each multiplication of y = W x, all of the call:'
awk -F, '
    NR > 1 {
        line = sprintf("  %-4s %-18s %-7s %5d columns", $1, $2, $3, $6)
        if (!(line in seen)) seen[line] = order[++n] = line
        value[line, $4 "/" ($5 ? "g" $5 : "row")] = $8
    }
    END {
        what = "int4/g32 int4/g64 int4/g128 int4/row int8/g32 int8/g128 int8/row int3/g128 int2/g128 mxfp4/g32"
        most = split(what, c, " ")
        printf "%-47s", ""
        for (i = 1; i <= most; i++) printf " %10s", c[i]
        print ""
        for (j = 1; j <= n; j++) {
            printf "%-47s", order[j]
            for (i = 1; i <= most; i++) printf " %10s", value[order[j], c[i]]
            print ""
        }
    }' $dir/counts.csv
limit() { # CORE KERNELS MOST: int4 at g128 and in whole rows, of 4096 columns, with every compiler
    awk -F, -v core="$1" -v k="$2" -v most="$3" '
        $1 == core && $3 == k && $4 == "int4" && ($5 == 128 || $5 == 0) && $6 == 4096 {
            n++
            if ($8 > most) bad++
            printf "%s%s, %s: %s", (n > 1 ? "; " : ""), $2, ($5 ? "g" $5 : "rows"), $8
        }
        END {print ""; exit n < 2 || bad}' $dir/counts.csv >$dir/limit.out
    if [ $? = 0 ]; then ok "$1: int4 at most $3 instructions for each multiplication ($(cat $dir/limit.out))"
    else fail "$1: int4 above $3 instructions for each multiplication" $dir/limit.out; fi | tee -a $dir/said
}
limit m55 mve 0.23
limit m4 dsp 2.0
passed=$(grep -c '^ok ' $dir/said)
failed=$(grep -c '^FAIL ' $dir/said)
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
