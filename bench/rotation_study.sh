#!/bin/sh
# What rotations cost and gain at low bits: loss and KL divergence of quantised models, weights of 4 bits (64 share a
# scale) and activations of 16, 8 and 4 bits, without rotation, with R1 and R2 folded in, and with R4 and R3 at run time;
# a cache of fewer bits; and the speed. Activations of 4 bits and the cache are simulated. Text and settings are those of
# examples/demo.sh; another model that has a tokenizer, heldout.txt and calib.txt:
#   sh bench/rotation_study.sh [MODEL]        SEEDS="0 1 2" (of signs and of calibration masks), WINDOWS=96
set -eu
cquant=${CQUANT:-build/cquant}
model=${1:-examples/models/dream-kjv}
out=${OUT:-build/rotation_study}
seeds=${SEEDS:-0 1 2}
held=$model/heldout.txt
windows=${WINDOWS:-96}
gptq="--calib $model/calib.txt --samples 64 --seq-len 256"
mkdir -p "$out"
value() { sed -n 's/.*"'"$2"'": *\([-+.0-9e]*\).*/\1/p' "$1"; } # FILE KEY
evaluate() { # MODEL OPTIONS...: adds a line of loss and KL to $out/sums
    file=$1
    shift
    "$cquant" eval "$file" --text "$held" --ratio 0.3 --window 128 --samples "$windows" --reference "$model" "$@" \
        --json --quiet >"$out/eval.json"
    echo "$(value "$out/eval.json" nll) $(value "$out/eval.json" kl)" >>"$out/sums"
}
mean() { # of the lines of $out/sums: loss, KL and half of what the KLs are apart
    awk '{loss += $1; kl += $2; if (NR == 1 || $2 < low) low = $2; if (NR == 1 || $2 > high) high = $2}
        END {printf " %8.4f %8.5f +-%7.5f |", loss / NR, kl / NR, (high - low) / 2}' "$out/sums"
    rm "$out/sums"
}
each() { # NAME OPTIONS...: a cell of the table, over all seeds
    cell=$1
    shift
    for seed in $seeds; do evaluate "$out/$cell-$seed.cq" "$@"; done
    mean
}
rotations='none:
R1R2:--rotate auto
R4:--online r4
R1R2+R4:--rotate auto --online r4
R1R2+R3+R4:--rotate auto --online r3,r4'
"$cquant" eval "$model" --text "$held" --ratio 0.3 --window 128 --samples "$windows" --json --quiet >"$out/eval.json"
echo "$model: loss $(value "$out/eval.json" nll) nats; means over seeds $seeds; loss, KL +- half of its range"
echo
printf '%-5s %-11s| %-28s| %-28s| %-28s| %-28s|\n' W4 rotation A16 A8 A4 'A8, keys and values 4'
for method in rtn gptq; do
    echo "$rotations" | while IFS=: read -r name options; do
        for seed in $seeds; do
            # shellcheck disable=SC2046,SC2086 # words
            "$cquant" quantize "$model" -o "$out/$method-$name-$seed.cq" --method $method --bits 4 --group-size 64 \
                --seed "$seed" --quiet --json $options $([ $method = rtn ] || echo $gptq) >"$out/quantize.json"
        done
        printf '%-5s %-11s|' $method "$name"
        each "$method-$name"
        each "$method-$name" --act int8
        each "$method-$name" --act-bits 4
        each "$method-$name" --act int8 --kv-bits 4
        echo
    done
done
echo
printf '%-17s| %-28s| %-28s| %-28s|\n' 'weights in bf16' 'keys and values: 8 bits' '4 bits' '3 bits'
for row in 'none:' 'R3:--online r3' 'R1R2:--rotate auto' 'R1R2+R3:--rotate auto --online r3'; do
    name=${row%%:*}
    for seed in $seeds; do # shellcheck disable=SC2086
        "$cquant" export "$model" -o "$out/bf16-$name-$seed.cq" --dtype bf16 --seed "$seed" --quiet ${row#*:} >/dev/null
    done
    printf '%-17s|' "$name"
    for bits in 8 4 3; do each "bf16-$name" --kv-bits $bits; done
    echo
done
echo
echo "tokens/s of int4 weights with int8 activations, the runs taking turns, the best of 9"
set -- $seeds
for turn in 1 2 3 4 5 6 7 8 9; do
    for name in R1R2 R1R2+R4 R1R2+R3+R4; do
        "$cquant" eval "$out/gptq-$name-$1.cq" --text "$held" --ratio 0.3 --window 128 --samples "$windows" --act int8 \
            --json --quiet >"$out/eval.json"
        echo "$name $(value "$out/eval.json" seconds)"
    done
done | awk -v n="$windows" '!($1 in best) || $2 < best[$1] {best[$1] = $2}
    END {for (m in best) printf "%-17s %7.0f  %.3f of that without online rotations\n", m, n * 128 / best[m],
             best["R1R2"] / best[m]}' | sort
