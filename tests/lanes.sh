#!/bin/sh
# The same bits on every machine: on each lane below, a machine that is emulated (or this one), every tier of kernels
# passes the property test (tests/kernels.c), and whole models give the same logits, bit for bit (tests/checksum.c), as
# plain C does here. Of an emulated PC, which is slow, the best tier does: each has a lane where it is that. Also: each
# lane offers the tiers that it should, no more and no less; and a tier that a processor does not have traps there when
# it is entered all the same, so that what was chosen is what ran.
#
# Needs clang, lld and emulators, and no library of any of those machines: the programs have none (tests/bare.h), their
# models are linked in. `sh tests/setup.sh lanes` installs everything on Debian. A lane without its tools is skipped and
# says so.
#   tests/lanes.sh [TOOL [LANES]]      LANES: only those whose names match this regular expression (awk)
set -u
LC_ALL=C export LC_ALL
cd "$(dirname "$0")/.." || exit 1
dir=build/lanes
clang=clang-19 lld=lld-19 ld=ld-19
rounds=10 # of the property test, on every lane: the checksums are of so many

# ---- what is built: NAME | CLANG'S FLAGS
# armv7, ppc64: vectors of 32-bit NEON and of AltiVec (without VSX, before power8) flush denormals, so floats must not
# get into them: gcc sees to that on ARM, clang has to be told, and behind -O2, which allows it again. s390x: qemu 7.2
# takes mdebr for a product of 64 and 32 bits, it is one of 32 and 32; from z13 on compilers have something
# better, and from z14 on floats have vectors.
programs() {
    grep -v '^#' <<'END'
x86-64     | --target=x86_64-linux-gnu
i686       | --target=i686-linux-gnu -msse2 -mfpmath=sse
aarch64    | --target=aarch64-linux-gnu
aarch64_be | --target=aarch64_be-linux-gnu
armv7      | --target=armv7-linux-gnueabihf -mcpu=cortex-a15 -fno-vectorize -fno-slp-vectorize
riscv64    | --target=riscv64-linux-gnu -march=rv64gc -mabi=lp64d
riscv64v   | --target=riscv64-linux-gnu -march=rv64gcv -mabi=lp64d
riscv32    | --target=riscv32-linux-gnu -march=rv32gc -mabi=ilp32d
riscv32v   | --target=riscv32-linux-gnu -march=rv32gcv -mabi=ilp32d
s390x      | --target=s390x-linux-gnu -march=z14
ppc64      | --target=powerpc64-linux-gnu -mabi=elfv2 -mcpu=power8
ppc64le    | --target=powerpc64le-linux-gnu -mcpu=power8
wasm       | --target=wasm32
wasm-simd  | --target=wasm32 -msimd128
pc         | --target=x86_64-linux-gnu -fno-pic -DCQ_BARE_PC
END
}

# ---- what is run: LANE | PROGRAM | TIERS, best first | HOW
# HOW: a command before the program; "bochs MODEL [XCR0]": a PC with that processor, so much of whose vector state
# is switched on (boot.S); "host FLAGS": a program of this machine, from CC and these flags. TIERS: what the lane must
# offer, no more and no less; "trap TIER": it is not there, and traps when it is entered; "*": whatever there is.
rv64='qemu-riscv64-static -cpu rv64,v=true,vext_spec=v1.0,elen=64' # ,vlen=...
rv32='qemu-riscv32-static -cpu rv32,v=true,vext_spec=v1.0,elen=64'
lanes() {
    grep -v '^#' <<END
host               | -          | *                  | host -O2 -include examples/tiles.h
host-native        | -          | *                  | host -O3 -march=native -include examples/tiles.h
x86-64-sse2        | x86-64     | v128 scalar        | qemu-x86_64-static -cpu qemu64,-ssse3,-sse4.1
x86-64-sse4.1      | x86-64     | sse41 v128 scalar  | qemu-x86_64-static -cpu Nehalem
x86-64-avx2        | x86-64     | avx2 sse41 v128 scalar | qemu-x86_64-static -cpu max
x86-64-trap        | x86-64     | trap amx           | qemu-x86_64-static -cpu Nehalem
i686               | i686       | avx2 sse41 v128 scalar | qemu-i386-static -cpu max
aarch64-a53        | aarch64    | neon scalar        | qemu-aarch64-static -cpu cortex-a53
aarch64-a76        | aarch64    | dotprod neon scalar | qemu-aarch64-static -cpu cortex-a76
aarch64-max        | aarch64    | i8mm dotprod neon scalar | qemu-aarch64-static -cpu max
aarch64-big-endian | aarch64_be | i8mm dotprod neon scalar | qemu-aarch64_be-static -cpu max
aarch64-trap       | aarch64    | trap i8mm          | qemu-aarch64-static -cpu cortex-a53
armv7              | armv7      | neon scalar        | qemu-arm-static -cpu max
riscv64            | riscv64    | scalar             | qemu-riscv64-static
riscv64-v128       | riscv64v   | rvv scalar         | $rv64,vlen=128
riscv64-v256       | riscv64v   | rvv scalar         | $rv64,vlen=256
riscv32            | riscv32    | scalar             | qemu-riscv32-static
riscv32-v128       | riscv32v   | rvv scalar         | $rv32,vlen=128
s390x-big-endian   | s390x      | v128 scalar        | qemu-s390x-static -cpu max
ppc64-big-endian   | ppc64      | v128 scalar        | qemu-ppc64-static
ppc64le            | ppc64le    | v128 scalar        | qemu-ppc64le-static
wasm               | wasm       | scalar             | node tests/run.cjs
wasm-simd          | wasm-simd  | wasm scalar        | node tests/run.cjs
pc-penryn          | pc         | sse41 v128 scalar  | bochs core2_penryn_t9600
pc-haswell         | pc         | avx2 sse41 v128 scalar | bochs corei7_haswell_4770
pc-skylake-x       | pc         | avx512 avx2 sse41 v128 scalar | bochs corei7_skylake_x
pc-xcr0            | pc         | avx2 sse41 v128 scalar | bochs corei7_skylake_x 7
pc-icelake         | pc         | avx512vnni avx512 avx2 sse41 v128 scalar | bochs corei7_icelake_u
pc-haswell-trap    | pc         | trap amx           | bochs corei7_haswell_4770
pc-xcr0-trap       | pc         | trap amx           | bochs corei7_skylake_x 7
pc-skylake-x-trap  | pc         | trap amx           | bochs corei7_skylake_x
END
}

bare="-std=c99 -O2 -Wall -Wextra -ffreestanding -fno-builtin -nostdlib -DCQ_BARE -DCQ_ROUNDS=$rounds -I."
column() { echo "$1" | cut -d '|' -f "$2" | sed 's/^ *//; s/ *$//'; } # ROW NUMBER

# ---- one step each, run by xargs below: --build PROGRAM.PART, --run LANE
build() { # PROGRAM PART: kernels, trap or checksum
    program=$1 part=$2 out=$dir/bin/$1.$2
    flags=$(column "$(programs | grep "^$program ")" 2)
    case $part in
    kernels) set -- tests/kernels.c ;;
    trap) set -- -DCQ_TRAP tests/kernels.c ;;
    checksum) set -- -Wno-c23-extensions tests/checksum.c $dir/models.c ;;
    esac
    # private functions, so that those without a use are left out; clang 19 crashes at them with riscv_vector.h
    [ "$program" = riscv64v ] || set -- -DCQUANT_STATIC "$@"
    case $program in
    wasm*) set -- -Wl,--no-entry -Wl,-z,stack-size=262144 -fuse-ld="$(command -v wasm-$ld)" "$@" ;;
    pc) set -- -static -fuse-ld=$lld -T tests/bochs/pc.ld -Wl,--oformat,binary -Wl,--build-id=none "$@" ;;
    *) set -- -static -fuse-ld=$lld "$@" ;;
    esac
    # shellcheck disable=SC2086 # words
    $clang $bare $flags "$@" -o "$out.new" && mv "$out.new" "$out"
}
disk() { # PROGRAM.PART XCR0 IMAGE: a disk with boot.S in front of the program, full cylinders of 16 x 63 sectors
    pieces=$((($(wc -c <"$1") + 131071) / 131072))
    $clang --target=x86_64-linux-gnu -nostdlib -static -fuse-ld=$lld -DPIECES=$pieces -DXCR0="$2" -Wl,-Ttext=0x7c00 \
        -Wl,--oformat,binary -Wl,--build-id=none tests/bochs/boot.S -o "$3.boot" || return
    cat "$3.boot" "$1" >"$3"
    truncate -s $(((512 + 131072 * pieces + 516095) / 516096 * 516096)) "$3"
}
bochs_run() { # PROGRAM.PART MODEL XCR0 NAME
    disk "$1" "$3" "$4.disk" || return
    cat >"$4.rc" <<END
megs: 64
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
display_library: term
cpu: model=$2, ips=50000000, reset_on_triple_fault=0
ata0-master: type=disk, path=$4.disk, mode=flat
boot: disk
port_e9_hack: enabled=1
log: $4.bochs
panic: action=fatal
END
    echo c >"$4.go" # Debian's has the debugger in: let it go
    # it may crash on its way out, long after the program's "exit status"; the shell's word on that is none of ours
    { TERM=xterm timeout 200 bochs -q -f "$4.rc" -rc "$4.go" </dev/null | tr -d '\r'; } 2>/dev/null
    rm -f "$4.disk"
}
part() { # LANE PROGRAM HOW PART: what the program says, and at the end its exit status
    out=$dir/$1.$4
    case $3 in
    host*)
        set -- "$@" "$dir/$1.$4.program"
        # shellcheck disable=SC2086
        ${CC:-cc} -std=gnu99 ${3#host} -Wall -Wextra -DCQUANT_STATIC -DCQ_ROUNDS=$rounds -I. "tests/$4.c" -o "$5" ||
            return
        case $4 in checksum) "$5" $dir/*.cq ;; *) "$5" ;; esac
        echo "exit status $?"
        ;;
    bochs*)
        set -- "$@" $3
        bochs_run "$dir/bin/$2.$4" "$6" "${7:-0xe7}" "$out"
        ;;
    *)
        timeout 200 $3 "$dir/bin/$2.$4"
        echo "exit status $?"
        ;;
    esac >"$out" 2>"$out.log"
}
run() { # LANE
    row=$(lanes | grep "^$1 ")
    program=$(column "$row" 2) how=$(column "$row" 4)
    case $(column "$row" 3) in
    trap*) part "$1" "$program" "$how" trap ;;
    *) part "$1" "$program" "$how" kernels && part "$1" "$program" "$how" checksum ;;
    esac
}
case ${1:-} in
--build)
    build "${2%.*}" "${2##*.}" 2>"$dir/bin/$2.log"
    exit
    ;;
--run)
    begin=$(date +%s)
    run "$2"
    echo $(($(date +%s) - begin)) >"$dir/$2.seconds"
    exit
    ;;
esac

# ---- the models
tool=${1:-build/cquant}
rm -rf $dir
mkdir -p $dir/bin
model() { "$tool" "$@" --quiet --threads 1 >/dev/null || exit 1; }
for dtype in fp16 bf16 int8 int4; do
    model export tests/golden/dream --dtype $dtype --group-size 32 -o $dir/$dtype.cq
done
model export tests/golden/dream --dtype int8 --group-size 32 --online r3,r4 -o $dir/turned.cq
for bits in 2 3; do
    model quantize tests/golden/qwen3 --method rtn --bits $bits --asym --group-size 32 -o $dir/int$bits.cq
done
for format in mxfp4 mxfp6_e2m3 mxfp6_e3m2; do
    model quantize tests/golden/qwen3 --method rtn --wq $format -o $dir/$format.cq
done
model export examples/models/dream-kjv --dtype int8 --group-size 128 -o $dir/kjv-int8.cq
model export examples/models/dream-kjv --dtype int4 --group-size 32 -o $dir/kjv-int4.cq
{ # all of them as C: #embed is of C23, and clang has it everywhere
    echo '#include "../../tests/models.h"'
    for f in $dir/*.cq; do
        printf 'static const unsigned char m_%s[] __attribute__((aligned(64))) = {\n#embed "%s"\n};\n' \
            "$(basename "$f" .cq | tr - _)" "$(basename "$f")"
    done
    echo 'const cq_linked_model cq_models[] = {'
    for f in $dir/*.cq; do
        name=$(basename "$f" .cq) c=$(basename "$f" .cq | tr - _)
        echo "    {\"$name\", m_$c, sizeof m_$c},"
    done
    echo '    {NULL, NULL, 0}};'
} >$dir/models.c

# ---- what can be built and run
have() { command -v "$1" >/dev/null 2>&1; }
missing() { # PROGRAM HOW: says what is not there
    how=${2%% *}
    [ "$how" != host ] || return 1
    case $1 in wasm*) linker=wasm-$ld ;; *) linker=ld.$lld ;; esac
    for need in "$clang" "$linker" "$how"; do
        have "$need" || { echo "$need"; return 0; }
    done
    [ "$how" != bochs ] || [ -f /usr/share/bochs/BIOS-bochs-latest ] || { echo bochsbios; return 0; }
    return 1
}
passed=0 failed=0 skipped=0
lanes | awk -v which="${2:-.}" '$1 ~ which' | {
    while IFS= read -r row; do
        lane=$(column "$row" 1) program=$(column "$row" 2) how=$(column "$row" 4)
        if what=$(missing "$program" "$how"); then
            echo "skip $lane: $what is not installed" >>$dir/skipped
            continue
        fi
        echo "$lane" >>$dir/lanes
        case $how in host*) continue ;; esac
        case $(column "$row" 3) in
        trap*) echo "$program.trap" ;;
        *) echo "$program.checksum" && echo "$program.kernels" ;;
        esac >>$dir/programs
    done
}
jobs=${JOBS:-$(nproc 2>/dev/null || echo 2)}
begin=$(date +%s)
[ ! -f $dir/programs ] || sort -u $dir/programs | xargs -P "$jobs" -n 1 sh tests/lanes.sh --build
built=$(date +%s)
# plain C, the specification, without any help: what all others are compared with
${CC:-cc} -std=gnu99 -O0 -DCQUANT_NO_SIMD -I. tests/checksum.c -o $dir/plain && $dir/plain $dir/*.cq >$dir/plain.sums &&
    ${CC:-cc} -std=gnu99 -O0 -DCQUANT_NO_SIMD -DCQ_ROUNDS=$rounds -I. tests/kernels.c -o $dir/plain &&
    $dir/plain >$dir/plain.kernels || { cat $dir/plain.*; echo "FAIL plain C here"; exit 1; }
xargs -P "$jobs" -n 1 sh tests/lanes.sh --run <$dir/lanes
end=$(date +%s)

# ---- what came of it
sums() { grep -E '^[0-9a-f]{16} ' "$1"; }
judge() { # LANE ROW: fails with what is wrong
    out=$dir/$1 tiers=$(column "$2" 3)
    program=$(column "$2" 2)
    for part in kernels checksum trap; do
        for log in $dir/bin/"$program".$part.log "$out".$part.log; do
            [ ! -s "$log" ] || case $tiers in trap*) ;; *) echo "words in $log: $(head -n 3 "$log")" && return 1 ;; esac
        done
    done
    case $tiers in
    trap*)
        grep -q "^entering ${tiers#trap }\$" "$out.trap" || { echo "did not come to ${tiers#trap }"; return 1; }
        ! grep -q 'did not trap' "$out.trap" || { echo "${tiers#trap } did not trap"; return 1; }
        echo "ok   $1: ${tiers#trap } traps"
        return 0
        ;;
    esac
    has=$(sed -n 's/^\([a-z0-9]*\): [0-9]* comparisons, .*/\1/p; s/^\([a-z0-9]*\): there$/\1/p' "$out.kernels" |
        tr '\n' ' ' | sed 's/ $//')
    [ "$tiers" = '*' ] || [ "$has" = "$tiers" ] || { echo "tiers: $has; expected: $tiers"; return 1; }
    grep -v ' 0 wrong$' "$out.kernels" | grep -E ' wrong$' && grep -m 3 -E ' values, round ' "$out.kernels" && return 1
    grep -qx 'exit status 0' "$out.kernels" || { echo "the property test did not end well"; return 1; }
    [ "$(grep '^checksum ' "$out.kernels")" = "$(grep '^checksum ' $dir/plain.kernels)" ] ||
        { echo "plain C itself: $(grep '^checksum ' "$out.kernels")"; return 1; }
    grep -qx 'exit status 0' "$out.checksum" || { echo "models: $(tail -n 1 "$out.checksum")"; return 1; }
    # every sum is that of plain C, and every tier (of a PC the best) has one for each model that plain C has one for
    sums "$out.checksum" | awk -v tiers="$has" -v pc="$program" '
        FILENAME != "-" { want[$2 " " $3] = $1; next }
        { seen[$2 " " $3 " " $4] = 1 }
        $1 != want[$2 " " $3] { print $2, $3, $4 ":", $1, "is not", want[$2 " " $3]; bad = 1 }
        END {
            n = split(tiers, tier, " ")
            for (w in want)
                for (i = 1; i <= (pc == "pc" ? 1 : n); i++)
                    if (!(w " " tier[i] in seen)) {
                        print w, tier[i] ": no checksum"
                        bad = 1
                    }
            exit bad
        }' $dir/plain.sums - || return 1
    echo "ok   $1: $has; $(awk -F '[: ]+' '/comparisons/ {n += $2} END {print n}' "$out.kernels") comparisons," \
        "$(sums "$out.checksum" | wc -l) checksums, $(cat "$out.seconds") s"
}
while IFS= read -r lane; do
    if says=$(judge "$lane" "$(lanes | grep "^$lane ")"); then
        echo "$says"
        passed=$((passed + 1))
    else
        echo "FAIL $lane"
        echo "$says" | sed 's/^/     | /'
        failed=$((failed + 1))
    fi
done <$dir/lanes
[ ! -f $dir/skipped ] || { cat $dir/skipped; skipped=$(wc -l <$dir/skipped); }
echo
echo "the kernels' property test, plain C: $(sed -n 's/^checksum //p' $dir/plain.kernels)"
awk '{print $1, $2, $3}' $dir/plain.sums
echo "$((built - begin)) s to build, $((end - built)) s to run"
[ $skipped = 0 ] || echo "$skipped skipped"
echo "$passed passed, $failed failed"
[ $failed = 0 ]
