#!/bin/sh
# The main job end to end: one small diffusion model in eight files, what each costs and what it keeps, a text as it
# is denoised, and pictures. Everything that is made lies in build/demo. Run by `make demo`; another model that has a
# tokenizer, heldout.txt and calib.txt:
#   sh examples/demo.sh MODEL
set -eu
cquant=build/cquant
model=${1:-examples/models/dream-kjv}
out=build/demo
held=$model/heldout.txt # text that the model was not trained on
calib=$model/calib.txt  # text from the training part, for GPTQ
windows=96              # of 128 tokens: what loss, KL and top-1 are measured on

[ -x "$cquant" ] || { echo "demo: $cquant is not there; run make" >&2; exit 1; }
for f in "$model/config.json" "$held" "$calib"; do
    [ -f "$f" ] || { echo "demo: $f is missing" >&2; exit 1; }
done
mkdir -p "$out"
began=$(date +%s)

value() { # FILE KEY: the number that a line of JSON has for this key; of several the last
    v=$(sed -n 's/.*"'"$2"'": *\([-+.0-9e]*\).*/\1/p' "$1")
    [ -n "$v" ] || { echo "demo: $1 has no number for $2" >&2; return 1; }
    echo "$v"
}
"$cquant" inspect "$model" --json >"$out/inspect.json"
parameters=$(value "$out/inspect.json" parameters)
echo "$model: $parameters parameters"

echo
echo "Writing .cq files: one scale for each 64 weights; GPTQ is calibrated on 64 windows of 256 tokens."
quantize() { # NAME OPTIONS...
    name=$1
    shift
    from=$(date +%s)
    "$cquant" quantize "$model" -o "$out/$name.cq" --group-size 64 --json --quiet "$@" >"$out/$name.json"
    printf '  %-24s %3d s   cquant quantize --group-size 64 %s\n' "$name.cq" $(($(date +%s) - from)) "$*"
}
gptq="--method gptq --calib $calib --samples 64 --seq-len 256"
"$cquant" export "$model" -o "$out/fp16.cq" --dtype fp16 --json --quiet >"$out/fp16.json"
printf '  %-24s         cquant export --dtype fp16\n' fp16.cq
quantize int8 --method rtn --bits 8
quantize int4-rtn --method rtn --bits 4
# shellcheck disable=SC2086 # $gptq is several words
{
    quantize int4-gptq --bits 4 $gptq
    quantize int4-rotated-gptq --bits 4 $gptq --rotate auto
    quantize int4-online-gptq --bits 4 $gptq --rotate auto --online r4
    quantize int3-gptq --bits 3 $gptq
}

echo
echo "$windows windows of 128 tokens of held-out text, 30 % of the tokens masked:"
echo
printf '%-22s %10s %11s %9s %9s %8s %9s %9s %8s\n' model bytes bits/weight 'loss/nat' 'KL/nat' top-1/% tokens/s 'int8 act' 'peak/MB'
row() { # NAME MODEL BYTES
    e=$out/eval
    "$cquant" eval "$2" --text "$held" --ratio 0.3 --window 128 --samples "$windows" --reference "$model" \
        --json --quiet >"$e.json"
    loss=$(value "$e.json" nll)
    kl=$(value "$e.json" kl)
    top1=$(value "$e.json" top1)
    speed "$2" fp32
    floats=$rate
    peak=$(value "$e.json" peak_bytes)
    rate=-
    case $1 in int*) speed "$2" int8 ;; esac # integer weights multiply with activations in int8 as well
    awk -v name="$1" -v bytes="$3" -v n="$parameters" -v loss="$loss" -v kl="$kl" -v top1="$top1" -v floats="$floats" \
        -v ints="$rate" -v peak="$peak" 'BEGIN {
            printf "%-22s %10d %11.2f %9.4f %9.5f %8.2f %9s %9s %8.1f\n",
                name, bytes, 8 * bytes / n, loss, kl, 100 * top1, floats, ints, peak / 1e6 }'
}
speed() { # MODEL ACT: rate = tokens a second, without the reference model
    "$cquant" eval "$1" --text "$held" --ratio 0.3 --window 128 --samples "$windows" --act "$2" --json --quiet >"$e.json"
    rate=$(awk -v n="$windows" -v s="$(value "$e.json" seconds)" 'BEGIN {printf "%.0f", n * 128 / s}')
}
file() { # TITLE NAME
    row "$1" "$out/$2.cq" "$(($(wc -c <"$out/$2.cq")))"
}
row fp32 "$model" $((4 * parameters))
file fp16 fp16
file int8 int8
file 'int4 RTN' int4-rtn
file 'int4 GPTQ' int4-gptq
file 'int4 rotated + GPTQ' int4-rotated-gptq
file 'int4 online R4 + GPTQ' int4-online-gptq
file 'int3 GPTQ' int3-gptq
rm -f "$out/eval.json"
stored=$(sed -n 's/.*"\(torch_\)\{0,1\}dtype": *"\([a-z0-9]*\)".*/ in \2/p' "$model/config.json")
cat <<END

  fp32         the checkpoint, stored$stored and computed in fp32; its bytes are counted as 4 for each parameter
  bytes        of the whole file, with its tokenizer. Embedding and head, in so small a model a good part of all
               weights, stay as they are stored; the other matrices take 8, 4 or 3 bits and a scale for each group
  loss         mean over the masked tokens: -log of the probability of the true token
  KL, top-1    against fp32: divergence of the distributions; how often the likeliest token is the same
  tokens/s     one forward pass after another, activations in fp32, then in int8 (per token); all cores
  peak         most memory of that process
END

echo
sampling="--max-new-tokens 64 --steps 64 --alg entropy --temperature 0.8"
echo "Denoising 64 tokens in 64 steps with int4-gptq.cq, from the first words of the held-out text"
echo "(entropy, temperature 0.8, top-p 0.9):"
echo
head -n 1 "$held" | cut -d ' ' -f 1-16 | tr -d '\n' >"$out/prompt.txt"
# shellcheck disable=SC2086
"$cquant" generate "$out/int4-gptq.cq" --prompt-file "$out/prompt.txt" $sampling --top-p 0.9 --show 16

echo
echo "Pictures:"
# shellcheck disable=SC2086
"$cquant" plot "$model" "$out/int8.cq" "$out/int4-rtn.cq" "$out/int4-gptq.cq" "$out/int4-rotated-gptq.cq" \
    "$out/int3-gptq.cq" -o "$out" --force --text "$held" $sampling --quiet >"$out/pictures"
sed 's/^/  /' "$out/pictures"
rm "$out/pictures"
echo
echo "All of it took $(($(date +%s) - began)) s."
