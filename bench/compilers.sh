#!/bin/sh
# The main products, built by every compiler that is here, with -O1, -O2, -O3 and -Os, since users choose the flags:
# every tier (or TIER), one thread, each as a share of the read bandwidth or in peaks of fused multiply-adds of 256-bit
# vectors, both measured in the same run.
#   sh bench/compilers.sh [BUILD_DIRECTORY]        (make bench-compilers)
# COMPILERS: which (all of gcc, clang, gcc-N, clang-N that are found). LEVELS: of optimisation. TIER: which kernels.
# CSV: build/bench_compilers.csv, the rows of every run with compiler and level before them.
set -u
cd "$(dirname "$0")/.." || exit 1
out=${1:-build}
csv=$out/bench_compilers.csv
levels=${LEVELS:--O1 -O2 -O3 -Os}
only="q8 int4 g32 n=1,q8 int4 g128 n=1,q8 int4 g32 n=64,q8 int4 g128 n=64,q8 int8 row n=1,q8 int8 row n=64,gemm f32"
mkdir -p "$out/compilers"

found=${COMPILERS:-}
if [ -z "$found" ]; then
    seen=
    for cc in gcc clang $(seq -f gcc-%g 9 20) $(seq -f clang-%g 11 25); do
        path=$(command -v "$cc") || continue
        path=$(readlink -f "$path")
        case " $seen " in *" $path "*) continue ;; esac # gcc is gcc-12, say
        seen="$seen $path"
        found="$found $cc"
    done
fi
[ -n "$found" ] || { echo "bench-compilers: neither gcc nor clang is here" >&2; exit 1; }

: >"$csv.new"
first=1
for cc in $found; do
    for level in $levels; do
        bin=$out/compilers/bench-$cc$level
        $cc -std=gnu99 "$level" -w "-DMEASURE_FLAGS=\"$level\"" -I. bench/bench.c -o "$bin" -lpthread || exit 1
        "$bin" --quick --threads 1 ${TIER:+--tier "$TIER"} --only "$only" --csv "$bin.csv" >"$bin.log" || exit 1
        if [ $first = 1 ]; then
            sed -n 1p "$bin.log"
            echo
            echo "n=1: share of the read bandwidth; n=64: GMAC/s in peaks of fused multiply-adds of 256-bit vectors;"
            echo "gemm: share of the peak of own vectors (plainest tier with that kernel); FMA: peak of 256 bits, GMAC/s"
            printf '%-12s %-4s %-10s %9s %9s %9s %9s %9s %9s %9s %7s\n' compiler -O tier 'g32 n=1' 'g128 n=1' \
                'int8 n=1' 'g32 n=64' 'g128 n=64' 'int8 n=64' gemm FMA
            echo "compiler,level,$(head -1 "$bin.csv")" >"$csv.new"
            first=0
        fi
        sed "1d; s/^/$cc,$level,/" "$bin.csv" >>"$csv.new"
        awk -F, -v cc="$cc" -v level="$level" '
            function percent(name, t) { return (name, t) in share ? sprintf("%.1f%%", share[name, t]) : "-" }
            $1 ~ /^(q8|gemm)/ && !($2 in known) { known[$2] = 1; tiers[++count] = $2 }
            { name = $1 ~ /^gemm/ ? "gemm" : $1; share[name, $2] = 100 * $7; gmacs[name, $2] = $9; fma[name, $2] = $11 }
            END {
                for (i = 1; i <= count; i++) {
                    t = tiers[i]
                    one = "q8 int4 g128 n=64"
                    printf "%-12s %-4s %-10s %9s %9s %9s %9.2f %9.2f %9.2f %9s %7.1f\n", cc, level, t,
                        percent("q8 int4 g32 n=1", t), percent("q8 int4 g128 n=1", t), percent("q8 int8 row n=1", t),
                        fma["q8 int4 g32 n=64", t], fma[one, t], fma["q8 int8 row n=64", t], percent("gemm", t),
                        gmacs[one, t] / fma[one, t]
                }
            }' "$bin.csv"
    done
done
mv "$csv.new" "$csv"
