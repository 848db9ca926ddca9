#!/bin/sh
# The command line as its users meet it: exit statuses, error lines, what is left behind, hostile files, golden logits,
# and the same bytes whatever the threads and the kernels.
#   tests/cli.sh [TOOL]        the tool: build/cquant; DREAM_KJV: the trained model, if it is not in examples/models
# One line a check, "ok NAME" or "FAIL NAME: why"; the last line is "N passed, N failed".
set -u
cd "$(dirname "$0")/.." || exit 1
tool=${1:-build/cquant}
case $tool in /*) ;; *) tool=$PWD/$tool ;; esac
golden=$PWD/tests/golden
kjv=${DREAM_KJV:-$PWD/examples/models/dream-kjv}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP
cd "$work" || exit 1
LC_ALL=C
export LC_ALL
passed=0 failed=0

ok() {
    passed=$((passed + 1))
    echo "ok   $1"
}
bad() {
    failed=$((failed + 1))
    echo "FAIL $1: $2"
}

# status WANTED NAME WORDS...: runs the tool; for 1 and 2 there must be one line of error and nothing on stdout, and no
# new file here; the error must match $match, if that is set.
match=
status() {
    want=$1 label=$2
    shift 2
    : >.out
    : >.err
    : >.after
    ls -A >.before
    "$tool" "$@" >.out 2>.err
    got=$?
    ls -A >.after
    why=
    [ $got = "$want" ] || why="exit $got, must be $want ($(head -c 200 .err))"
    if [ "$want" != 0 ] && [ -z "$why" ]; then
        [ "$(wc -l <.err)" -eq 1 ] || why="stderr has $(wc -l <.err) lines, must have 1"
        case $(head -c 15 .err) in "cquant: error: ") ;; *) why="stderr is '$(head -c 100 .err)'" ;; esac
        [ ! -s .out ] || why="something stands on stdout"
        cmp -s .before .after || why="left behind: $(diff .before .after | tail -n 1)"
        [ -z "$match" ] || grep -q -e "$match" .err || why="the line lacks '$match': $(head -c 300 .err)"
    fi
    match=
    [ -z "$why" ] && ok "$label" || bad "$label" "$why"
}
fails() { status 1 "$@" --quiet; }
usage() { status 2 "$@"; }
runs() { status 0 "$@" --quiet; }
same() { if cmp -s "$2" "$3"; then ok "$1"; else bad "$1" "$2 and $3 differ"; fi; }
json() { # NAME KEY...: .out is one JSON object in one line with these keys
    label=$1
    shift
    why=
    [ "$(wc -l <.out)" -eq 1 ] || why="$(wc -l <.out) lines"
    case $(cat .out) in "{"*"}") ;; *) why="is no object" ;; esac
    for key in "$@"; do grep -q "\"$key\": " .out || why="lacks $key"; done
    [ -z "$why" ] && ok "$label" || bad "$label" "stdout $why"
}

byte() { for b in "$@"; do printf "\\$(printf %03o "$b")"; done; }
le32() { for v in "$@"; do byte $((v & 255)) $((v >> 8 & 255)) $((v >> 16 & 255)) $((v >> 24 & 255)); done; }
npy() { # HEADER: a version 1 header; data follow from the caller
    printf '\223NUMPY\001\000'
    byte $((${#1} & 255)) $((${#1} >> 8))
    printf %s "$1"
}
header() { printf "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }" "$1" "$2"; }
ids() { # NUMBER...: 1-D int32
    npy "$(header '<i4' "$#,")"
    le32 "$@"
}
eye() { # N: float64 identity
    npy "$(header '<f8' "$1, $1")"
    i=0
    while [ $i -lt $(($1 * $1)) ]; do
        if [ $((i % ($1 + 1))) = 0 ]; then printf '\000\000\000\000\000\000\360\077'; else printf '\0\0\0\0\0\0\0\0'; fi
        i=$((i + 1))
    done
}
model() { # NAME: a copy of golden/dream that may be damaged
    rm -rf "$1"
    mkdir "$1"
    cp "$golden/dream/config.json" "$golden/dream/model.safetensors" "$1"
    chmod u+w "$1"/*
}
poke() { # FILE OFFSET BYTE...: overwrites
    file=$1 at=$2
    shift 2
    byte "$@" | dd of="$file" bs=1 seek="$at" conv=notrunc 2>/dev/null
}

[ -x "$tool" ] || { echo "FAIL tool: $tool is not there; run make first"; echo "0 passed, 1 failed"; exit 1; }
cp -r "$golden/dream" d
chmod -R u+w d
ids 1 2 3 4 5 6 7 8 >i.npy

# ---- usage ----
usage "no command"
usage "unknown command" frobnicate
match="--frobnicate" usage "unknown option" logits d --ids i.npy -o o.npy --frobnicate
usage "option of another command" models --ids i.npy
usage "option with one dash" logits d -ids i.npy -o o.npy
usage "missing value" logits d --ids i.npy -o
usage "missing --ids" logits d -o o.npy
usage "missing -o" logits d --ids i.npy
usage "missing MODEL" logits --ids i.npy -o o.npy
usage "two MODELs" logits d d --ids i.npy -o o.npy
usage "empty value" logits d --ids= -o o.npy
usage "value for a flag" models --json=1
match="'x'" usage "number that is none" logits d --ids i.npy -o o.npy --prefill x
usage "number with a tail" logits d --ids i.npy -o o.npy --prefill 3x
usage "number that is empty" logits d --ids i.npy -o o.npy --prefill ''
usage "number too large" logits d --ids i.npy -o o.npy --prefill 99999999999999999999
usage "number below the range" logits d --ids i.npy -o o.npy --prefill 0
usage "number with a blank" logits d --ids i.npy -o o.npy --prefill ' 3'
usage "threads 0" models --threads 0
usage "negative seed" models --seed -1
usage "seed too large" models --seed 18446744073709551616
usage "real that is none" solve --weight w --hessian h -o q --damp abc
usage "real nan" solve --weight w --hessian h -o q --damp nan
usage "real out of range" solve --weight w --hessian h -o q --damp 2
match="scalar|v128|sse41|avx2" usage "isa that is none" models --isa mmx
usage "word that is none" generate d --ids i.npy --alg best
usage "word that is a part" generate d --ids i.npy --alg 'origin|maskgit_plus'
usage "bits 5" solve --weight w --hessian h -o q --bits 5
usage "group size 0" solve --weight w --hessian h -o q --group-size 0
usage "sym and asym" solve --weight w --hessian h -o q --sym --asym
usage "generate without prompt" generate d
usage "generate with two prompts" generate d --prompt a --ids i.npy
usage "eval without text" eval d
usage "tokenize without text" tokenize d
usage "decode without ids" tokenize d --decode
runs "help" --help
runs "help of a command" logits --help
runs "help wins over other options" logits --help --prefill 3
runs "seed of 64 bits" models --seed 18446744073709551615
runs "option with =" logits d --ids=i.npy --output=o.npy
rm -f o.npy

# ---- json ----
runs "models" models --json
json "models json" models model_type family runs rotates quantizes
runs "inspect" inspect d --json
json "inspect json" architecture moe parameters layers bytes fp32 fp16 int8 int4 groups
grep -q '"groups": \[\["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"\], \["self_attn.o_proj"\], \["mlp.gate_proj", "mlp.up_proj"\], \["mlp.down_proj"\]\]' .out &&
    ok "inspect groups" || bad "inspect groups" "$(cat .out)"
"$tool" logits d --ids i.npy -o o.npy --json >.out 2>.err && json "logits json" tokens seconds arena_bytes
rm -f o.npy

# ---- descriptions ----
"$tool" inspect d --json >.out
grep -q '"layer_kinds": \[{"from": 0, "to": 1, "blocks": "attn, mlp"}\]' .out &&
    ok "inspect layers" || bad "inspect layers" "$(cat .out)"
"$tool" models --json >.out
for model_type in Dream llama qwen2 mixtral deepseek_v3 gpt_oss; do
    grep -q "\"model_type\": \"$model_type\", \"family\": \"[a-z]*\", \"described\": true, \"runs\": true" .out &&
        ok "models has $model_type" || bad "models has $model_type" "it does not run, or is not there"
done
[ -z "$(grep -o '"runs": false, [^}]*"why": null' .out)" ] && ok "what does not run says why" ||
    bad "what does not run says why" "$(grep -o '"runs": false, [^}]*"why": null' .out | head -n 1)"
runs "models as a table" models
runs "models --show" models --show Dream
grep -q '^like qwen2$' .out && ok "models --show prints the description" || bad "models --show prints the description" "$(cat .out)"
cp .out own.txt
match=gpt9 fails "models --show of an unknown name" models --show gpt9
usage "models with --show and --arch" models --show Dream --arch own.txt
usage "--arch where there is no model" matrix --dim 4 -o r.npy --arch own.txt
match=none.txt fails "--arch that is not there" inspect d --arch none.txt
describe() { # NAME MATCH TEXT: a description that is wrong
    printf '%b' "$3" >x.txt
    match=$2 fails "$1" inspect d --arch x.txt
    rm -f x.txt
}
describe "description that is empty" x.txt ''
describe "description of nothing" 'x.txt:2:1: ' 'model x\n'
describe "unknown statement" 'x.txt:2:1: .*(foo)' 'model x\nfoo bar\n'
describe "unknown word" 'x.txt:3:7: .*(wordy)' 'model x\nlike Dream\nmlp = wordy=1\n'
describe "word without its value" 'x.txt:4:3: .*(window)' 'model x\nlike Dream\nattn = causal -full\n  window\n'
describe "like an unknown one" 'x.txt:2:6: .*(nobody)' 'model x\nlike nobody\n'
describe "expression that is none" 'x.txt:3:11: ' 'model x\nlike Dream\nlet HEADS 3+*\n'
describe "description that needs another key" "config.json.*'foo'" 'model x\nlike Dream\nlet HEADS foo\n'
describe "description that needs another tensor" 'layers.0.mlp.gate2.weight' 'model x\nlike Dream\nmlp = gate=gate2\n'
describe "description that is blocked" 'x.txt:3:9: .*(magic)' 'model x\nlike Dream\nblocked magic\n'
model m
sed 's/"Dream"/"homebrew"/' d/config.json >m/config.json
match=homebrew fails "model_type without a description" inspect m
printf 'model homebrew\nlike Dream\n' >own.txt
runs "models --arch" models --arch own.txt --json
json "models --arch json" models model_type family described runs rotates quantizes
grep -q '"models": \[{"model_type": "homebrew", "family": "diffusion"' .out && ok "models --arch lists it" ||
    bad "models --arch lists it" "$(cat .out)"
runs "inspect --arch" inspect m --arch own.txt --json
grep -q '"architecture": "homebrew"' .out && ok "inspect --arch names it" || bad "inspect --arch names it" "$(cat .out)"
"$tool" logits d --ids i.npy -o x.npy --quiet >.out
"$tool" logits m --ids i.npy -o y.npy --arch own.txt --quiet >.out
same "logits by a description of one's own" x.npy y.npy
runs "export --arch" export m -o f.cq --dtype fp16 --arch own.txt
rm -f own.txt
runs "logits of a .cq file with its description" logits f.cq --ids i.npy -o y.npy
runs "export of the same model by its name" export d -o g.cq --dtype fp16
"$tool" logits g.cq --ids i.npy -o x.npy --quiet >.out
same "a .cq file carries its description" x.npy y.npy
rm -f x.npy y.npy f.cq g.cq

# ---- isa ----
first=$("$tool" models --isa mve 2>&1 >/dev/null | grep -c 'it has .*scalar')
"$tool" models --isa mve >/dev/null 2>&1
[ $? = 1 ] && [ "$first" = 1 ] && ok "isa that is not here" || bad "isa that is not here" "must be exit 1 and a list"

# ---- golden logits, and the same bytes for all threads and kernels ----
isas=
for isa in scalar avx2 avxvnni avx512 avx512vnni neon dotprod i8mm rvv; do
    "$tool" models --isa $isa >/dev/null 2>&1 && isas="$isas $isa"
done
compare() { # NAME GOT WANTED: within 1e-4 of the standard deviation
    [ -s "$2" ] && [ "$(wc -c <"$2")" = "$(wc -c <"$3")" ] || { bad "$1" "the size must be that of $3"; return; }
    od -An -v -tf4 -w4 -j128 "$2" >.a
    od -An -v -tf4 -w4 -j128 "$3" >.b
    why=$(paste .a .b | awk '{ d = $1 - $2; if (d < 0) d = -d; if (!(d <= m)) m = d; n++; s += $2; q += $2 * $2 }
        END { std = sqrt(q / n - s / n * (s / n)); if (!(n > 0 && m <= 1e-4 * std)) print "off by " m ", standard deviation " std }')
    [ -z "$why" ] && ok "$1" || bad "$1" "$why"
}
for m in "$golden"/*/config.json; do
    m=${m%/config.json}
    name=${m##*/}
    runs "$name logits" logits "$m" --ids "$m/ids.npy" -o "$name.npy"
    compare "$name logits are the golden ones" "$name.npy" "$m/logits.npy"
    for isa in $isas; do
        for threads in 1 2 3; do
            "$tool" logits "$m" --ids "$m/ids.npy" -o x.npy --isa $isa --threads $threads --quiet >.out
            same "$name $isa, $threads threads" x.npy "$name.npy"
        done
    done
done
for case in "$golden"/dream/*.json; do
    name=${case##*/}
    name=${name%.json}
    [ -f "$golden/dream/$name.logits.npy" ] || continue
    option=$(sed 's/^{"\([^"]*\)": .*/--\1/' "$case") value=$(sed 's/.*: "*\([^"}]*\)"*}.*/\1/' "$case")
    [ -f "$golden/dream/$value" ] && value=$golden/dream/$value
    runs "dream $name" logits "$golden/dream" --ids "$golden/dream/ids.npy" -o x.npy "$option" "$value"
    compare "dream $name is the golden one" x.npy "$golden/dream/$name.logits.npy"
done
n=$("$tool" logits d --ids i.npy -o x.npy --prefill 8 --quiet >.out && cat x.npy | cksum)
m=$("$tool" logits d --ids i.npy -o x.npy --quiet >.out && cat x.npy | cksum)
[ "$n" = "$m" ] && ok "prefill of all tokens is one pass" || bad "prefill of all tokens is one pass" "bytes differ"
rm -f ./*.npy
ids 1 2 3 4 5 6 7 8 >i.npy

# ---- models that are not there or not right ----
match="none: does not exist" fails "model that is not there" inspect none
fails "model that is a text" inspect i.npy
mkdir empty
match="config.json" fails "directory without config.json" inspect empty
model m
rm m/model.safetensors
match="model.safetensors" fails "directory without weights" inspect m
model m
: >m/model.safetensors
fails "empty safetensors" logits m --ids i.npy -o o.npy
size=$(wc -c <d/model.safetensors)
head_size=$(od -An -tu4 -N4 d/model.safetensors | tr -d ' ')
for n in 1 7 8 9 15 $((head_size / 2)) $((head_size + 7)) $((head_size + 8)) $((head_size + 9)) $((size / 2)) $((size - 4)) $((size - 1)); do
    head -c "$n" d/model.safetensors >m/model.safetensors
    match=m/model.safetensors fails "safetensors cut to $n of $size bytes" logits m --ids i.npy -o o.npy
done
model m
printf x >>m/model.safetensors
fails "safetensors with a byte too many" inspect m
for v in "255 255 255 255 255 255 255 255" "0 0 0 0 0 0 0 0" "255 255 255 127 0 0 0 0" "1 0 0 0 0 0 0 0" "0 0 0 0 0 0 0 128"; do
    model m
    # shellcheck disable=SC2086
    poke m/model.safetensors 0 $v
    fails "length of the header: $v" inspect m
done
lie() { # NAME FROM TO: a change of the same length in the header of the safetensors
    model m
    {
        head -c 8 d/model.safetensors
        head -c $((head_size + 8)) d/model.safetensors | tail -c +9 | sed "s/$2/$3/"
        tail -c +$((head_size + 9)) d/model.safetensors
    } >m/model.safetensors
    if cmp -s d/model.safetensors m/model.safetensors; then bad "$1" "the header lacks $2"; return; fi
    [ "$(wc -c <m/model.safetensors)" = "$size" ] || { bad "$1" "the change must keep the length"; return; }
    fails "$1" inspect m
}
lie "dtype that is none" '"BF16"' '"BG16"'
lie "dtype of another size" '"BF16"' '"F32" '
lie "dtype that is no float" '"BF16"' '"I16" '
lie "shape that is too large" '"shape":\[[0-8]' '"shape":[9'
lie "overlapping extents" '"data_offsets":\[[1-9]' '"data_offsets":[0'
lie "a name twice" 'layers.1.self_attn.q_proj.weight' 'layers.0.self_attn.q_proj.weight'
lie "a name that nobody knows" 'layers.1.self_attn.q_proj.weight' 'layers.1.self_attn.x_proj.weight'
lie "a key twice" '"dtype"' '"shape"'
lie "not JSON" '{' '['
i=0
while [ $i -lt 60 ]; do # one byte of the header, spread over all of it: refused, or (in white space) the same model
    at=$((8 + head_size * i / 60))
    model m
    poke m/model.safetensors $at 1
    "$tool" logits m --ids i.npy -o o.npy --quiet >.out 2>.err
    got=$?
    [ $got = 1 ] && [ "$(wc -l <.err)" = 1 ] && [ ! -e o.npy ] && ok "control character at byte $at" ||
        bad "control character at byte $at" "exit $got: $(head -c 200 .err)"
    i=$((i + 1))
done

edit() { # NAME SED: golden/dream with another config.json
    model m
    sed "$2" d/config.json >m/config.json
    if cmp -s d/config.json m/config.json; then bad "$1" "nothing was changed"; return; fi
    fails "$1" logits m --ids i.npy -o o.npy
}
model m
printf 'hello' >m/config.json
match=m/config.json fails "config.json that is not JSON" inspect m
: >m/config.json
fails "config.json that is empty" inspect m
printf '[]' >m/config.json
fails "config.json that is no object" inspect m
printf '{"model_type": "Dream"' >m/config.json
fails "config.json that is cut" inspect m
for key in model_type vocab_size hidden_size num_hidden_layers num_attention_heads num_key_value_heads intermediate_size; do
    match=$key edit "config.json without $key" "/\"$key\":/d"
done
match=gpt9 edit "model_type that is unknown" 's/"Dream"/"gpt9"/'
edit "vocab_size that contradicts the tensors" 's/"vocab_size": [0-9]*/"vocab_size": 12/'
edit "hidden_size that contradicts the tensors" 's/"hidden_size": [0-9]*/"hidden_size": 64/'
edit "one layer more than there are" 's/"num_hidden_layers": [0-9]*/"num_hidden_layers": 3/'
edit "one layer less than there are" 's/"num_hidden_layers": [0-9]*/"num_hidden_layers": 1/'
edit "a million layers" 's/"num_hidden_layers": [0-9]*/"num_hidden_layers": 1000000/'
edit "heads that do not divide" 's/"num_attention_heads": [0-9]*/"num_attention_heads": 7/'
edit "no heads" 's/"num_attention_heads": [0-9]*/"num_attention_heads": 0/'
edit "negative size" 's/"hidden_size": [0-9]*/"hidden_size": -60/'
edit "size that is text" 's/"hidden_size": [0-9]*/"hidden_size": "60"/'
edit "size that is a fraction" 's/"hidden_size": [0-9]*/"hidden_size": 60.5/'
edit "size that is huge" 's/"intermediate_size": [0-9]*/"intermediate_size": 9223372036854775807/'
edit "a key twice" 's/"hidden_size": \([0-9]*\)/"hidden_size": \1, "hidden_size": \1/'
match=qweight edit "a quantised checkpoint" 's/"model_type"/"quantization_config": {"bits": 4}, "model_type"/'

# ---- shards ----
shard() { # a directory with one shard and its index; $names are the tensors
    rm -rf s
    mkdir s
    cp d/config.json s
    cp d/model.safetensors s/model-00001-of-00001.safetensors
    names=$(head -c $((head_size + 8)) d/model.safetensors | tail -c +9 | grep -o '"[a-z][a-z_.0-9]*\.\(weight\|bias\)"' | tr -d '"')
    {
        printf '{"metadata": {}, "weight_map": {'
        comma=
        for n in $names; do
            printf '%s"%s": "model-00001-of-00001.safetensors"' "$comma" "$n"
            comma=', '
        done
        printf '}}'
    } >s/model.safetensors.index.json
}
index() { # NAME SED
    shard
    sed "$2" s/model.safetensors.index.json >s/x && mv s/x s/model.safetensors.index.json
    fails "$1" inspect s
}
shard
runs "sharded directory" logits s --ids i.npy -o x.npy
"$tool" logits d --ids i.npy -o y.npy --quiet >.out
same "sharded directory gives the same logits" x.npy y.npy
rm -f x.npy y.npy
index "index that names a file that is not there" 's/00001-of/00002-of/'
index "index with a path" 's/"model-00001-of-00001.safetensors"/"..\/d\/model.safetensors"/'
index "index with an unknown tensor" 's/"weight_map": {/&"x.weight": "model-00001-of-00001.safetensors", /'
index "index that lacks a tensor" 's/"lm_head.weight": "[^"]*",* *//'
index "index without weight_map" 's/weight_map/weight_mop/'
index "index with an empty weight_map" 's/"weight_map": {.*/"weight_map": {}}/'
index "index with a number" 's/"weight_map": {/&"x": 1, /'
index "index that is not JSON" 's/{/(/'

# ---- ids and other arrays ----
array() { # NAME: x.npy instead of the ids
    match=x.npy fails "$1" logits d --ids x.npy -o o.npy
    rm -f x.npy
}
match=none.npy fails "ids that are not there" logits d --ids none.npy -o o.npy
match="is a directory" fails "ids that are a directory" logits d --ids d -o o.npy
ids 1 2 -1 4 >x.npy
match="position 2 is -1" fails "id below 0" logits d --ids x.npy -o o.npy
ids 1 2 3 100000 >x.npy
match="position 3 is 100000" fails "id outside of the vocabulary" logits d --ids x.npy -o o.npy
ids >x.npy && array "no ids"
: >x.npy && array "npy that is empty"
printf 'not an array at all' >x.npy && array "npy that is none"
{ npy "$(header '<i4' '9,')"; le32 1 2 3; } >x.npy && array "npy that is too short"
{ npy "$(header '<i4' '2,')"; le32 1 2 3; } >x.npy && array "npy that is too long"
{ npy "$(header '>i4' '1,')"; le32 1; } >x.npy && array "npy in big-endian"
{ npy "$(header '<f4' '1,')"; le32 1; } >x.npy && array "npy of floats as ids"
{ npy "$(header '<c8' '1,')"; le32 1 1; } >x.npy && array "npy of an unknown type"
{ npy "{'descr': '<i4', 'fortran_order': True, 'shape': (1, 1), }"; le32 1; } >x.npy && array "npy in Fortran order"
{ npy "$(header '<i4' '1, 1, 1')"; le32 1; } >x.npy && array "npy with three dimensions"
{ npy "$(header '<i4' '4294967296, 4294967296, 4294967296')"; le32 1; } >x.npy && array "npy with a shape that overflows"
{ npy "$(header '<i4' '99999999999999999999999')"; le32 1; } >x.npy && array "npy with a number that overflows"
{ npy "$(header '<i4' '-1,')"; le32 1; } >x.npy && array "npy with a negative shape"
{ npy "$(header '<i4' '1,1,1,1,1,1,1,1,1')"; le32 1; } >x.npy && array "npy with nine dimensions"
{ npy "{'descr': '<i4', 'shape': (1,), }"; le32 1; } >x.npy && array "npy that lacks a key"
{ npy "{'descr': '<i4', 'descr': '<i4', 'fortran_order': False, 'shape': (1,), }"; le32 1; } >x.npy && array "npy with a key twice"
{ npy "{'descr': '<i4', 'fortran_order': False, 'shape': (1,"; le32 1; } >x.npy && array "npy with a header that does not end"
{ npy "{'descr': '<i4"; le32 1; } >x.npy && array "npy with a text that does not end"
printf '\223NUMPY\001\000\377\377{' >x.npy && array "npy with a header longer than the file"
printf '\223NUMPY\003\000\001\000\000\000{' >x.npy && array "npy of version 3"
printf '\223NUMPY\002\000\001' >x.npy && array "npy cut in its length"
{ npy "$(header '<i8' '1,')"; le32 1 1; } >x.npy && array "id of 64 bits that fits in no 32"
{ npy "$(header '<i8' '3,')"; le32 1 0 2 0 3 0; } >x.npy
runs "ids of 64 bits" logits d --ids x.npy -o o.npy
{ printf '\223NUMPY\002\000\100\000\000\000'; printf '%-64s' "$(header '<i4' '3,')"; le32 1 2 3; } >x.npy
runs "npy of version 2" logits d --ids x.npy -o p.npy
same "both give the same logits" o.npy p.npy
rm -f o.npy p.npy x.npy
{ npy "$(header '|u1' '7,')"; byte 1 1 1 1 1 1 1; } >k.npy
match=k.npy fails "mask of another shape" logits d --ids i.npy --mask k.npy -o o.npy
{ npy "$(header '|u1' '8,')"; byte 1 1 1 1 1 1 1 2; } >k.npy
fails "mask that is not 0 or 1" logits d --ids i.npy --mask k.npy -o o.npy
{ npy "$(header '|u1' '8,')"; byte 0 0 0 0 0 0 0 0; } >k.npy
runs "mask that hides everything" logits d --ids i.npy --mask k.npy -o x.npy
od -An -v -tf4 -j128 x.npy | grep -qi nan && bad "fully hidden rows are finite" "NaN" || ok "fully hidden rows are finite"
rm -f k.npy x.npy
ids 0 1 2 3 4 5 6 -7 >p.npy
fails "position below 0" logits d --ids i.npy --positions p.npy -o o.npy
fails "prefill longer than the ids" logits d --ids i.npy --prefill 9 -o o.npy
fails "output in a directory that is not there" logits d --ids i.npy -o none/o.npy
match="is a directory" fails "output that is a directory" logits d --ids i.npy -o empty
rm -f p.npy

# ---- outputs that cannot be written ----
if [ -e /dev/full ]; then
    match=/dev/full fails "output on a full disk" logits d --ids i.npy -o /dev/full
    "$tool" models --json --quiet >/dev/full 2>.err
    got=$?
    [ $got = 1 ] && [ "$(wc -l <.err)" = 1 ] && ok "JSON on a full disk" || bad "JSON on a full disk" "exit $got"
fi
ls -A >.before
(ulimit -f 1; "$tool" matrix --dim 64 -o o.npy --quiet) >/dev/null 2>&1
got=$?
ls -A >.after
[ $got = 1 ] && cmp -s .before .after && ok "output beyond the limit of file sizes leaves nothing" ||
    bad "output beyond the limit of file sizes leaves nothing" "exit $got, $(diff .before .after | tail -n 1)"
echo kept >o.npy
"$tool" logits none --ids i.npy -o o.npy --quiet 2>/dev/null
[ "$(cat o.npy)" = kept ] && ok "an error leaves the old output" || bad "an error leaves the old output" "it is gone"
rm -f o.npy

# ---- a signal ----
"$tool" matrix --dim 1900 --mode orthogonal -o o.npy --quiet >/dev/null 2>&1 &
pid=$!
sleep 0.2
kill -TERM $pid 2>/dev/null
wait $pid 2>/dev/null
got=$?
[ $got -gt 128 ] && [ -z "$(ls -A | grep '^o.npy')" ] && ok "a signal ends it and leaves nothing" ||
    bad "a signal ends it and leaves nothing" "exit $got, $(ls -A | grep '^o.npy')"

# ---- matrix and solve ----
eye 12 >e.npy
runs "matrix" matrix --dim 12 -o r.npy
runs "matrix applied" matrix --dim 12 --apply e.npy -o a.npy
od -An -v -tf8 -w8 -j128 r.npy >.a
tail -c 1152 a.npy | od -An -v -tf8 -w8 >.b
why=$(paste .a .b | awk '{ d = $1 - $2; if (d < 0) d = -d; if (!(d <= m)) m = d; n++ } END { if (!(n == 144 && m < 1e-14)) print n " values, off by " m }')
[ -z "$why" ] && ok "I R = R" || bad "I R = R" "$why"
for mode in hadamard base_hadamard orthogonal; do
    runs "matrix $mode" matrix --dim 20 --mode $mode -o x.npy --json --seed 3
    json "matrix $mode json" dim orthogonality_error
    error=$(sed 's/.*"orthogonality_error": \([^,}]*\).*/\1/' .out)
    awk "BEGIN { exit !($error < 1e-13) }" && ok "matrix $mode is orthogonal" || bad "matrix $mode is orthogonal" "$error"
    "$tool" matrix --dim 20 --mode $mode -o y.npy --seed 3 --threads 3 --quiet >.out
    same "matrix $mode: the same seed, the same bytes" x.npy y.npy
    "$tool" matrix --dim 20 --mode $mode -o y.npy --seed 4 --quiet >.out
    if cmp -s x.npy y.npy; then equal=yes; else equal=no; fi
    [ $mode = base_hadamard ] && want=yes || want=no
    [ $equal = $want ] && ok "matrix $mode and the seed" || bad "matrix $mode and the seed" "equal: $equal, must be $want"
done
rm -f x.npy y.npy r.npy a.npy
match="20 and 24" fails "order that cannot exist" matrix --dim 22 -o r.npy
match="400 and 408" fails "order that cannot be built" matrix --dim 404 -o r.npy
"$tool" matrix --dim 12 --seed 5 -o r.npy --quiet >.out
runs "a matrix from a file" matrix --matrix r.npy --apply e.npy -o a.npy --json
same "I R = R of a file" r.npy a.npy
match="square matrix" fails "a matrix that is not square" matrix --matrix i.npy --apply e.npy -o x.npy
poke r.npy 135 0
match="is not orthogonal" fails "a file that is no rotation" matrix --matrix r.npy --apply e.npy -o x.npy
usage "a matrix from a file alone" matrix --matrix r.npy -o x.npy
rm -f r.npy a.npy
usage "order 0" matrix --dim 0 -o r.npy
fails "order that needs more memory than there is" matrix --dim 900000000 --mode orthogonal -o r.npy
fails "apply to another shape" matrix --dim 16 --apply e.npy -o r.npy
fails "apply to ids" matrix --dim 8 --apply i.npy -o r.npy
"$tool" logits d --ids i.npy -o w.npy --quiet >.out # (8, vocab) floats
columns=$((($(wc -c <w.npy) - 128) / 32))
eye $columns >h.npy
for options in "" "--method rtn" "--asym" "--act-order" "--group-size -1" "--group-size 32 --bits 2" "--order natural --search minmax --sweeps 0" "--refit"; do
    # shellcheck disable=SC2086
    runs "solve $options" solve --weight w.npy --hessian h.npy -o q.npy --json $options
    json "solve $options json" loss rtn_loss seconds
    loss=$(sed 's/^{"loss": \([^,}]*\).*/\1/' .out) nearest=$(sed 's/.*"rtn_loss": \([^,}]*\).*/\1/' .out)
    awk -v l="$loss" -v r="$nearest" 'BEGIN { exit !(l > 0 && l <= r * 1.02 && r < 0.5) }' && ok "solve $options loss" || bad "solve $options loss" "$loss, to nearest $nearest"
    # shellcheck disable=SC2086
    "$tool" solve --weight w.npy --hessian h.npy -o q2.npy --quiet --threads 1 --isa scalar $options >.out
    same "solve $options, scalar, one thread" q.npy q2.npy
done
rm -f q.npy q2.npy
fails "Hessian of another shape" solve --weight w.npy --hessian e.npy -o q.npy
fails "weight that is float64" solve --weight e.npy --hessian e.npy -o q.npy
cp h.npy x.npy
poke x.npy $(($(wc -c <h.npy) - 8)) 0 0 0 0 0 0 248 127
fails "Hessian with NaN" solve --weight w.npy --hessian x.npy -o q.npy
fails "Hessian with NaN, to nearest" solve --weight w.npy --hessian x.npy -o q.npy --method rtn
rm -f ./*.npy
ids 1 2 3 4 5 6 7 8 >i.npy

# ---- eval and generate on ids ----
runs "eval" eval d --ids i.npy --json --seed 1
json "eval json" tokens nll perplexity seconds
sed 's/"\(seconds\|peak_bytes\)": [^,}]*//g' .out >.first
for threads in 1 3; do
    "$tool" eval d --ids i.npy --json --quiet --seed 1 --threads $threads | sed 's/"\(seconds\|peak_bytes\)": [^,}]*//g' >.second
    same "eval, $threads threads" .first .second
done
runs "eval against itself" eval d --ids i.npy --json --reference d
grep -q '"kl": 0, "top1": 1' .out && ok "eval against itself is 0" || bad "eval against itself is 0" "$(cat .out)"
{ npy "$(header '|u1' '1, 8')"; byte 0 0 0 0 0 0 0 0; } >p.npy
fails "eval with nothing masked" eval d --ids i.npy --mask-pattern p.npy
{ npy "$(header '|u1' '1, 7')"; byte 0 1 0 0 0 0 0; } >p.npy
fails "eval with a pattern of another shape" eval d --ids i.npy --mask-pattern p.npy
fails "eval of a causal model with a pattern" eval "$golden/qwen3" --ids i.npy --mask-pattern p.npy
: >t.txt
fails "eval without a tokenizer" eval d --text t.txt
for m in dream qwen3; do
    runs "generate with $m" generate "$golden/$m" --ids i.npy --max-new-tokens 8 --json
    json "generate with $m json" ids text steps forwards rows tokens_per_second seconds start_seconds arena_bytes
    sed 's/\("text"\).*//' .out >.first
    for isa in $isas; do
        "$tool" generate "$golden/$m" --ids i.npy --max-new-tokens 8 --json --quiet --isa $isa --threads 2 | sed 's/\("text"\).*//' >.second
        same "generate with $m, $isa" .first .second
    done
    "$tool" generate "$golden/$m" --ids i.npy --max-new-tokens 8 --json --quiet --temperature 1 --seed 5 | sed 's/\("text"\).*//' >.first
    "$tool" generate "$golden/$m" --ids i.npy --max-new-tokens 8 --json --quiet --temperature 1 --seed 5 --threads 1 | sed 's/\("text"\).*//' >.second
    same "generate with $m, sampled twice" .first .second
done
match="for diffusion models" fails "denoising of a causal model" generate "$golden/qwen3" --ids i.npy --alg entropy
fails "block length that does not divide" generate d --ids i.npy --max-new-tokens 8 --cache prefix --block-length 5
made() { # FILE WORDS...: the ids, and what they cost
    file=$1
    shift
    "$tool" generate d --ids i.npy --max-new-tokens 8 --alg entropy --steps 8 --json --quiet "$@" 2>.err |
        sed 's/, "tokens_per_second".*//' >"$file"
}
made .first
made .second --cache steps --refresh 1
same "an inter-step cache in which all is new" .first .second
grep -q '"naive_forwards": 8, "naive_rows": 128, "naive_head_rows": 128' .first &&
    ok "what the plain loop would have done" || bad "what the plain loop would have done" "$(cat .first)"
made .second --exit 1e-6 # nats: no candidate is so sure
same "an exit that none reaches" .first .second
made .second --exit 100
grep -q '"forwards": 1, "rows": 16, "head_rows": 8' .second && ok "an exit that all reach" || bad "an exit that all reach" "$(cat .second)"
made .second --block-length 3 # of no use without a cache, and with Dream's schedule
same "a block length that is not used" .first .second
{ npy "$(header '|b1' '1, 1, 16, 16')"; head -c 256 /dev/zero | tr '\000' '\001'; } >k.npy
made .second --mask k.npy
same "a 4-D mask that hides nothing" .first .second
{ npy "$(header '|b1' '1, 1, 16, 16')"; for q in 0 1 2 3 4 5 6 7 8 9 a b c d e f; do byte 0 0 1 1 1 1 1 1 1 1 1 1 1 1 1 1; done; } >k.npy
made .second --mask k.npy
cmp -s .first .second && bad "a 4-D mask that hides two tokens" "nothing changed" || ok "a 4-D mask that hides two tokens"
{ npy "$(header '|b1' '1, 1, 8, 8')"; head -c 64 /dev/zero | tr '\000' '\001'; } >k.npy
match="(1, 1, 16, 16)" fails "a 4-D mask of the prompt only" generate d --ids i.npy --max-new-tokens 8 --mask k.npy
match="not origin" fails "an exit for origin" generate d --ids i.npy --max-new-tokens 8 --alg origin --exit 1
match="no threshold" fails "an exit and a threshold" generate d --ids i.npy --max-new-tokens 8 --cache dual --block-length 8 --threshold 0.5 --exit 1
match="for diffusion models" fails "an exit of a causal model" generate "$golden/qwen3" --ids i.npy --exit 1
fails "generate without a tokenizer" generate d --prompt hello
{ npy "$(header '|u1' '8,')"; byte 1 0 1 1 1 1 1 1; } >k.npy
fails "padding that is not on the left" generate "$golden/qwen3" --ids i.npy --mask k.npy
{ npy "$(header '|u1' '8,')"; byte 0 0 0 0 0 0 0 0; } >k.npy
fails "padding that is all" generate "$golden/qwen3" --ids i.npy --mask k.npy

# ---- .cq files ----
if "$tool" export d -o f.cq --dtype int8 --quiet >.out 2>.err; then
    ok "export"
    runs "inspect of a .cq file" inspect f.cq --json
    runs "logits of a .cq file" logits f.cq --ids i.npy -o x.npy
    for isa in $isas; do
        for act in fp32 int8; do
            "$tool" logits f.cq --ids i.npy -o x.npy --act $act --quiet >.out
            "$tool" logits f.cq --ids i.npy -o y.npy --act $act --quiet --isa $isa --threads 3 >.out
            same ".cq file, activations $act, $isa" x.npy y.npy
        done
    done
    rm -f x.npy y.npy
    "$tool" export d -o g.cq --dtype int8 --quiet --threads 1 >.out
    same "export twice gives the same bytes" f.cq g.cq
    size=$(wc -c <f.cq)
    for n in 0 1 7 8 100 191 192 200 1000 5000 $((size / 2)) $((size - 64)) $((size - 1)); do
        head -c "$n" f.cq >g.cq
        match=g.cq fails ".cq file cut to $n of $size bytes" logits g.cq --ids i.npy -o o.npy
    done
    i=0
    while [ $i -lt 60 ]; do # one byte anywhere: the checksums see it
        at=$((size * i / 60))
        cp f.cq g.cq
        old=$(od -An -tu1 -j$at -N1 f.cq | tr -d ' ')
        poke g.cq $at $(((old + 1) % 256))
        fails ".cq file with another byte at $at" logits g.cq --ids i.npy -o o.npy
        # it takes its first step while the file is checked, and nothing but the error comes of that
        [ $((i % 6)) -ne 3 ] || fails "generate from another byte at $at" generate g.cq --ids i.npy --max-new-tokens 4
        i=$((i + 1))
    done
    rm -f f.cq g.cq
fi

# ---- online rotations ----
for online in r3 r4 r3,r4 r4:4,r3:4; do
    runs "export --online $online" export d -o f.cq --dtype int8 --group-size 32 --online $online --force --json
    json "export --online $online json" rotations bytes arena_bytes
    "$tool" inspect f.cq --json >.first
    case $online in r4*) dim=4 ;; esac
    case $online in r3*) dim=12 ;; esac
    [ "$online" = r4 ] && dim=72
    grep -q "{\"name\": \"${online%%[:,]*}\", \"dim\": $dim, \"mode\": \"base_hadamard\", [^}]*\"online\": true" .first &&
        ok "inspect shows $online" || bad "inspect shows $online" "$(sed 's/.*"rotations"//' .first | head -c 300)"
    "$tool" logits f.cq --ids i.npy -o x.npy --act int8 --isa scalar --threads 1 --quiet >.out
    "$tool" logits f.cq --ids i.npy -o y.npy --act int8 --threads 3 --quiet >.out
    same "logits turned by $online, scalar and all threads" x.npy y.npy
done
for rotate in "" "--rotate auto"; do
    # shellcheck disable=SC2086
    runs "quantize ${rotate:+$rotate }--online" quantize d -o q.cq --calib-ids i.npy --seq-len 4 --group-size 32 $rotate \
        --online r3,r4 --json
    grep -q '"name": "r3", .*"name": "r4", ' .out && ok "both are reported" || bad "both are reported" "$(tail -c 600 .out)"
    # shellcheck disable=SC2086
    "$tool" quantize d -o q2.cq --calib-ids i.npy --seq-len 4 --group-size 32 $rotate --online r3,r4 --threads 1 --quiet >.out
    same "quantize ${rotate:+$rotate }--online, one thread" q.cq q2.cq
done
grep -q -a '"rotate":"auto","matrices":null,"online":"r3,r4"' q.cq && ok "the file says how it was made" || bad "the file says how it was made" "it does not"
runs "a model with online rotations, quantised" quantize q.cq -o q2.cq --method rtn --bits 8 --group-size 32
"$tool" inspect q2.cq --json | grep -q '"name": "r4", "dim": 72' && ok "it keeps them" || bad "it keeps them" "it does not"
runs "plot of a file with online rotations" plot d q.cq -o p --force
match="already" fails "online rotations twice" export q.cq -o q2.cq --dtype int8 --online r4
match="cannot hold" fails "online rotations into a directory" rotate q.cq -o h
match="only .cq files" fails "rotate --online" rotate d -o h --online r4
match="only .cq files" fails "quantize --format hf --online" quantize d -o h --method rtn --format hf --group-size 32 --online r4
match="'mlp', found 72" fails "an order that does not divide" export d -o q2.cq --dtype int8 --online r4:16
for wrong in r5 r4: r4:1 r4,r4 r4,,r3 r4:x 4 r3:12x ,; do
    match="r4:32" usage "--online $wrong" export d -o q2.cq --dtype int8 --online $wrong
done
# What inspect says is what a session then takes, to the byte.
"$tool" inspect d --context 8 --json >.inspect
for format in fp32:f32 fp16:f16 int8:int8; do
    said=$(sed "s/.*\"sessions\"//; s/.*\"${format%:*}\": *{[^}]*\"arena_bytes\": *//; s/[^0-9].*//" .inspect)
    "$tool" logits d --ids i.npy -o y.npy --cache-format "${format#*:}" --json --quiet >.out
    took=$(sed 's/.*"arena_bytes": *//; s/[^0-9].*//' .out)
    [ -n "$said" ] && [ "$said" = "$took" ] && ok "inspect: arena with a cache in ${format#*:}" ||
        bad "inspect: arena with a cache in ${format#*:}" "it says $said, a session takes $took"
done
usage "inspect --context 0" inspect d --context 0
grep -q '"cache_per_token": *{"fp32": *192, *"fp16": *96, *"int8": *64}' .inspect && ok "inspect: cache of a token" ||
    bad "inspect: cache of a token" "$(cat .inspect)"
for bits in 8 4; do # headers and configuration are alike, so the difference is that of the tensors
    "$tool" quantize d -o q2.cq --method rtn --bits $bits --group-size 64 --json --quiet --force >.out
    eval "took$bits=$(sed 's/.*"bytes_out": *//; s/[^0-9].*//' .out)"
    eval "said$bits=$(sed "s/.*\"quantized_bytes\": *{[^}]*\"int$bits\": *//; s/[^0-9].*//" .inspect)"
done
# shellcheck disable=SC2154 # by eval
[ $((took8 - took4)) = $((said8 - said4)) ] && [ "$took8" -gt "$said8" ] && ok "inspect: bytes of quantize" ||
    bad "inspect: bytes of quantize" "it says $said8 and $said4, files have $took8 and $took4"
for option in act-bits kv-bits; do
    usage "--$option 1" eval d --ids i.npy --$option 1
    usage "--$option 9" eval q.cq --ids i.npy --$option 9
    "$tool" logits q.cq --ids i.npy -o x.npy --quiet >.out
    runs "--$option 3" logits q.cq --ids i.npy -o y.npy --$option 3
    cmp -s x.npy y.npy && bad "--$option 3 rounds" "it is as before" || ok "--$option 3 rounds"
done
"$tool" logits q.cq --ids i.npy -o x.npy --act int8 --quiet >.out
"$tool" logits q.cq --ids i.npy -o y.npy --act-bits 8 --quiet >.out
same "--act-bits 8 is --act int8" x.npy y.npy
for format in f16 int8; do
    "$tool" logits q.cq --ids i.npy -o x.npy --quiet >.out
    runs "--cache-format $format" logits q.cq --ids i.npy -o y.npy --cache-format $format --json
    cmp -s x.npy y.npy && bad "--cache-format $format rounds" "it is as before" || ok "--cache-format $format rounds"
done
"$tool" logits q.cq --ids i.npy -o x.npy --kv-bits 8 --quiet >.out
same "--kv-bits 8 is --cache-format int8" x.npy y.npy
"$tool" logits q.cq --ids i.npy -o x.npy --cache-format f32 --quiet >.out
"$tool" logits q.cq --ids i.npy -o y.npy --quiet >.out
same "--cache-format f32 is the default" x.npy y.npy
match="int8 cache" usage "--kv-bits in an fp16 cache" eval q.cq --ids i.npy --kv-bits 4 --cache-format f16
usage "--cache-format int4" eval q.cq --ids i.npy --cache-format int4
runs "eval, an int8 cache" eval q.cq --ids i.npy --cache-format int8 --json
runs "generate, an fp16 cache" generate q.cq --ids i.npy --max-new-tokens 4 --steps 4 --cache-format f16 --json
runs "generate with few bits" generate q.cq --ids i.npy --max-new-tokens 4 --steps 4 --act-bits 4 --kv-bits 4 --json
rm -rf f.cq q.cq q2.cq p

# ---- commands that write models ----
if "$tool" rotate d -o r --seed 2 --json --quiet >.out 2>.err; then
    json "rotate json" rotations seconds
    match="exists already" fails "rotate into a directory that exists" rotate d -o r
    runs "rotate with --force" rotate d -o r --force --seed 2
    "$tool" rotate d -o r1 --seed 2 --threads 1 --quiet >.out
    same "rotate, one thread" r/model.safetensors r1/model.safetensors
    mkdir r2
    echo mine >r2/file
    fails "--force does not replace what is no model" rotate d -o r2 --force
    [ -f r2/file ] && ok "and leaves it alone" || bad "and leaves it alone" "it is gone"
    rm -rf r2
    ls -A >.before
    (ulimit -f 8; "$tool" rotate d -o r2 --quiet) >.out 2>.err
    got=$?
    ls -A >.after
    [ $got = 1 ] && cmp -s .before .after && [ "$(wc -l <.err)" = 1 ] && ok "rotate on a full disk leaves nothing" ||
        bad "rotate on a full disk leaves nothing" "exit $got, $(diff .before .after | tail -n 1)"
    rm -rf r r1
else
    bad "rotate" "$(cat .err)"
fi
match=-o usage "rotate without -o" rotate d

# ---- rotations by configuration ----
"$tool" rotate d -o r --seed 2 --dtype fp32 --quiet >.out # in double, as these configurations ask
runs "transformer_universal" rotate d -o r1 --seed 2 --dtype fp32 --config transformer_universal --verify --json
json "a configuration's json" rotations completed notes use_float64 norms_folded max_logit_error
grep -q '"what": "biases"' .out && ok "remarks stand in notes" || bad "remarks stand in notes" "$(cat .out)"
same "is auto where that is right" r/model.safetensors r1/model.safetensors
rm -rf r1
cat >c.yaml <<'END'
rotation_matrices:
  r1: {dim: hidden_size, mode: hadamard, per_layer: false}
  r2: {dim: head_dim, mode: hadamard, per_layer: true}   # no such key: what the description has
rotation_config:
  "*q_proj|*k_proj": [r1, null]
  "*v_proj": [r1, r2]
END
runs "a YAML file" rotate d -o r1 --seed 2 --dtype fp32 --config c.yaml --json
same "what it leaves out is added" r/model.safetensors r1/model.safetensors
grep -q '"completed": \[{"module": "model.embed_tokens", "what": "\[r1, null\]"' .out &&
    grep -q '{"module": "model.layers.\*.self_attn.o_proj", "what": "\[r2, r1\]"' .out && ok "and reported" ||
    bad "and reported" "$(cat .out)"
grep -q "'head_dim' is 12" .out && ok "a key that is not there" || bad "a key that is not there" "$(cat .out)"
echo '{"rotation_config": {"*q_proj": ["r1", null], "*v_proj": [null, "r2"]}, "rotation_matrices": {"r1":
    {"dim": 60, "mode": "hadamard"}, "r2": {"dim": 12, "mode": "hadamard", "per_layer": true}}}' >c.json
runs "a JSON file" rotate d -o r1 --seed 2 --dtype fp32 --config c.json --force
same "says the same" r/model.safetensors r1/model.safetensors
wrong() { # NAME MATCH TEXT: a YAML file that is refused
    printf '%s\n' "$3" >c.yaml
    match=$2 fails "$1" rotate d -o r3 --config c.yaml
}
m='rotation_matrices: {r1: {dim: 60, mode: hadamard}, r2: {dim: head_dim, mode: hadamard, per_layer: true}}'
match="auto, transformer_universal, nemotron_h" fails "a rotation that is none" rotate d -o r3 --config none
wrong "two entries for one module" "layers.0.self_attn.q_proj' matches '\*q_proj' and '\*layers.0\*'" "{$m, rotation_config: {'*q_proj': [r1, null], '*layers.0*': [r1, null]}}"
wrong "a pattern that matches nothing" "near are model.layers.\*.self_attn.q_proj" "{$m, rotation_config: {'*qproj': [r1, null]}}"
wrong "R2 on q" "its output should be null" "{$m, rotation_config: {'*q_proj': [r1, r2]}}"
wrong "a matrix that is not defined" "defined are 'r1' 'r2'" "{$m, rotation_config: {'*q_proj': [r3, null]}}"
wrong "a stream with a matrix a layer" "per_layer of 'r2' should be false" "{$m, rotation_config: {'*q_proj': [r2, null]}}"
wrong "a dim that is no key" "such keys are .*hidden_size" '{rotation_matrices: {r1: {dim: hiden_size}}}'
wrong "a dim that does not divide" "has 60 channels, and the dim of 'r1' is 8" "{rotation_matrices: {r1: {dim: 8}}, rotation_config: {'*q_proj': [r1, null]}}"
wrong "a huge dim" "between 1 and 2^24" '{rotation_matrices: {r1: {dim: 9999999999}}}'
wrong "a mode that is none" "hadamard, base_hadamard or orthogonal" '{rotation_matrices: {r1: {dim: 32, mode: random}}}'
wrong "a key twice" "twice" '{rotation_matrices: {r1: {dim: 32}, r1: {dim: 16}}}'
wrong "a list" "should be a mapping" '[1]'
wrong "no YAML" "line" 'a: ['
wrong "nested deeply" "32 levels" "$(printf '{a: %.0s' 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34)1$(printf '}%.0s' 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34)"
bomb='a: &a [x, x, x, x, x, x, x, x, x, x]'
last=a
for name in b c d e f g h; do
    bomb="$bomb
$name: &$name [*$last, *$last, *$last, *$last, *$last, *$last, *$last, *$last, *$last, *$last]"
    last=$name
done
wrong "aliases of aliases" "16 MB" "$bomb"
wrong "norms without a rotation" "is in no layer: 'norm1'; what reads the stream has 'input_layernorm'" "norm_fuse_config: {decoder_layer_fuse: [[norm1, [mlp.up_proj]]]}"
echo 'norm_fuse_config: {lm_head_fuse: [[model.norm, lm_head]]}' >c.yaml
runs "norms alone" rotate d -o r3 --config c.yaml --dtype fp32 --verify --json
grep -q '"rotations": \[\], "r1": null, .*"norms_folded": true' .out && ok "are folded" || bad "are folded" "$(cat .out)"
rm -rf r1 r3
runs "blocks of channels" rotate d -o r3 --config auto:12 --dtype fp32 --verify --json
grep -q '{"name": "r1", "dim": 12, ' .out && ok "of their order" || bad "of their order" "$(cat .out)"
rm -rf r3
match="should divide" fails "blocks that do not divide" rotate d -o r3 --config auto:16
usage "blocks of what is no number" rotate d -o r3 --config auto:x
usage "blocks of one channel" rotate d -o r3 --config auto:1
cp c.json 'c".json'
runs "quantize by a file of a strange name" quantize d -o q.cq --method rtn --group-size 32 --rotate 'c".json'
grep -q -a '"rotate":"c\\"\.json"' q.cq && ok "which is written down" || bad "which is written down" "it is not"
match='was rotated by c".json' fails "a plot of what it cannot know" plot d q.cq -o pics
# ---- embedding and head ----
echo '{"overrides": [{"pattern": "lm_head", "wq": "int8"}, {"pattern": "*embed_tokens", "wq": "int8"}]}' >ends.json
runs "quantize with codes at the ends" quantize d -o e.cq --method rtn --group-size 32 --ends int8
"$tool" quantize d -o e2.cq --method rtn --group-size 32 --config ends.json --quiet >.out
same "--ends int8 is what a configuration can say" e.cq e2.cq
match="holds no embedding in codes" fails "--ends int8 in a checkpoint" quantize d -o e --method rtn --ends int8 --format gptq
rm -f e.cq e2.cq ends.json
runs "quantize in blocks" quantize d -o q.cq --method rtn --group-size 32 --rotate auto:12 --seed 4 --force
runs "and compared as rotated" plot d q.cq -o pics --json
rm -rf pics q.cq 'c".json'

# ---- matrices out and in ----
"$tool" rotate d -o r1 --seed 2 --dtype fp32 --save-matrices mats --quiet >.out
[ "$(cd mats && echo *)" = "r1.npy r2.0.npy r2.1.npy" ] && ok "matrices are saved" || bad "matrices are saved" "$(ls mats)"
runs "and read" rotate d -o r3 --seed 9 --dtype fp32 --matrices mats --verify --json
grep -q '{"name": "r1", "dim": 60, "mode": "imported"' .out && ok "as imported" || bad "as imported" "$(cat .out)"
"$tool" logits r1 --ids i.npy -o x.npy --quiet >.out
"$tool" logits r3 --ids i.npy -o y.npy --quiet >.out
compare "the same model" x.npy y.npy
runs "quantize with matrices" quantize d -o q.cq --method rtn --rotate auto --matrices mats
usage "matrices without a rotation" quantize d -o q2.cq --method rtn --matrices mats
mv mats/r2.1.npy t.npy
match="lacks 1 of 3 matrices: r2.1.npy" fails "a matrix that is not there" rotate d -o r4 --matrices mats
cp mats/r1.npy mats/r2.1.npy
match="must have the shape (12, 12)" fails "a matrix of another shape" rotate d -o r4 --matrices mats
cp i.npy mats/r2.1.npy
match="float32 or float64" fails "a matrix of ids" rotate d -o r4 --matrices mats
cp t.npy mats/r2.1.npy
poke mats/r2.1.npy 135 0
match="is not orthogonal: x R R^T differs" fails "a matrix that is no rotation" rotate d -o r4 --matrices mats
poke mats/r2.1.npy 134 248 127
match="is not orthogonal" fails "a matrix with what is no number" rotate d -o r4 --matrices mats
rm -rf r r1 r3 mats t.npy x.npy y.npy q.cq c.yaml c.json

{ npy "$(header '<i4' '2, 16')"; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32; do byte $i 0 0 0; done; } >c.npy
if "$tool" quantize d -o t.cq --method rtn --group-size 32 --rotate auto --tries 4 --calib-ids c.npy --json --quiet >.out 2>.err; then
    json "quantize --tries json" tries seed modules rotations
    best=$(sed 's/.*"tries": \[\([^]]*\)\].*/\1/' .out | tr '{' '\n' | sed -n 's/.*"seed": \([0-9]*\), "kl": \([-+.0-9e]*\).*/\2 \1/p' | sort -g | sed -n '1s/.* //p')
    grep -q "\"seed\": $best, \"samples\"" .out && ok "the best seed is taken" || bad "the best seed is taken" "$best of $(cat .out)"
    runs "quantize with that seed" quantize d -o b.cq --method rtn --group-size 32 --rotate auto --seed "$best"
    same "and it is the same file" t.cq b.cq
    [ ! -e t.cq.try ] && ok "nothing else is left" || bad "nothing else is left" "$(ls)"
else
    bad "quantize --tries" "$(cat .err)"
fi
match=--rotate usage "--tries without --rotate" quantize d -o t.cq --method rtn --group-size 32 --tries 2
ids 1 2 3 100000 5 6 7 8 >x.npy
match=100000 fails "calibration ids outside of the vocabulary" quantize d -o q.cq --calib-ids x.npy --seq-len 8
rm -f x.npy
match=none.npy fails "calibration ids that are not there" quantize d -o q.cq --calib-ids none.npy
if "$tool" quantize d -o q.cq --calib-ids i.npy --seq-len 8 --group-size 32 --json --quiet >.out 2>.err; then
    json "quantize json" modules seconds peak_bytes bytes_in bytes_out loss rtn_loss
    for isa in $isas; do
        "$tool" quantize d -o q2.cq --calib-ids i.npy --seq-len 8 --group-size 32 --quiet --isa $isa --threads 3 >.out
        same "quantize, $isa, three threads" q.cq q2.cq
    done
    rm -f q.cq q2.cq
else
    bad "quantize" "$(cat .err)"
fi

# ---- a run that is killed goes on ----
journal() { "$tool" quantize "$kjv" --calib "$kjv/calib.txt" --samples 6 --seq-len 64 --group-size 64 --quiet "$@" >.out 2>.err; }
killed() { # BYTES WORDS...: a run that is killed when its journal has so many bytes, or has finished a layer (0)
    bytes=$1
    shift
    journal "$@" &
    shell=$!
    for i in $(seq 3000); do
        if [ "$bytes" = 0 ]; then [ -e q.resume/state ] && break
        else [ -e q.resume/modules ] && [ "$(wc -c <q.resume/modules)" -gt "$bytes" ] && break; fi
        kill -0 $shell 2>/dev/null || break
        sleep 0.005
    done
    [ -e q.resume/pid ] && kill -KILL "$(cat q.resume/pid)" 2>/dev/null
    wait $shell 2>/dev/null
}
content() { if [ -d "$1" ]; then cat "$1/config.json" "$1/model.safetensors"; else cat "$1"; fi; }
for case in "cq" "cq --low-memory" "cq --spill ." "hf" "cq --rotate auto --seed 3"; do
    journal --format $case -o want
    for bytes in 1000 0 1200000; do
        killed $bytes --format $case -o q
        [ -d q.resume ] || bad "quantize --format $case, killed at $bytes" "it was finished: $(cat .err)"
        journal --format $case -o q --resume || bad "quantize --format $case --resume" "$(cat .err)"
        content want >.first
        content q >.second
        same "quantize --format $case, killed at $bytes and resumed" .first .second
        [ "$(ls -d q*)" = q ] && ok "and nothing is left" || bad "and nothing is left" "$(ls -d q*)"
        rm -rf q
    done
    rm -rf want
done
killed 1200000 -o q
rm -f q.part-*
cp -r q.resume kept
refused() { # NAME MATCH WORDS...: the journal is not for this
    match=$2 label=$1
    shift 2
    fails "$label" quantize "$kjv" --calib "$kjv/calib.txt" --samples 6 --seq-len 64 --group-size 64 -o q --resume "$@"
    rm -rf q q.resume
    cp -r kept q.resume
}
refused "a journal of other options" "'--bits: not given', here '--bits: 3'" --bits 3
refused "a journal of another seed" "'--seed: 0', here '--seed: 1'" --seed 1
refused "a journal of other samples" "of 64 tokens" --samples 5
flip() { # FILE AT: one byte changed
    old=$(od -An -tu1 -j"$2" -N1 "$1")
    { head -c "$2" "$1"; byte $((old ^ 4)); tail -c +$(($2 + 2)) "$1"; } >.flipped
    cat .flipped >"$1"
}
for file in state modules; do
    size=$(wc -c <q.resume/$file)
    for at in 0 9 20 60 100 500 5000 $((size / 3)); do
        flip q.resume/$file $at
        refused "a damaged journal: $file at $at" "resume/"
    done
    head -c 300 kept/$file >q.resume/$file
    refused "a journal that is cut off: $file" "is damaged"
    : >q.resume/$file
    refused "a journal that is empty: $file" "is damaged"
done
journal -o want
journal -o q || bad "quantize anew" "$(cat .err)"
same "without --resume a journal is not read" want q
[ ! -e q.resume ] && ok "and replaced" || bad "and replaced" "it is still there"
rm -rf q want kept q.resume
journal -o q --no-journal && [ ! -e q.resume ] && ok "--no-journal" || bad "--no-journal" "$(cat .err)"
rm -f q

# ---- experts in one tensor, stored transposed; a front end ----
shapes() { # FILE: a line for each tensor, name and shape
    n=$(od -An -tu4 -N4 "$1" | tr -d ' ')
    head -c $((n + 8)) "$1" | tail -c +9 | grep -o '"[^"]*":{"dtype":"[^"]*","shape":\[[^]]*\]' |
        sed 's/"dtype":"[^"]*",//' | sort
}
tensor() { # NAME DTYPE SHAPE BYTES
    text="$text,\"$1\":{\"dtype\":\"$2\",\"shape\":[$3],\"data_offsets\":[$at,$((at + $4))]}"
    at=$((at + $4))
}
experts() { # DIR: a small gpt_oss whose numbers are those of golden/dream; with $front also what its text does not need
    at=0 text='{"__metadata__":{}'
    tensor model.embed_tokens.weight BF16 64,32 4096
    tensor model.norm.weight BF16 32 64
    tensor lm_head.weight BF16 64,32 4096
    for layer in 0 1; do
        l=model.layers.$layer
        tensor $l.input_layernorm.weight BF16 32 64
        tensor $l.self_attn.q_proj.weight BF16 32,32 2048
        tensor $l.self_attn.q_proj.bias BF16 32 64
        for name in k v; do
            tensor $l.self_attn.${name}_proj.weight BF16 16,32 1024
            tensor $l.self_attn.${name}_proj.bias BF16 16 32
        done
        tensor $l.self_attn.o_proj.weight BF16 32,32 2048
        tensor $l.self_attn.o_proj.bias BF16 32 64
        tensor $l.self_attn.sinks BF16 2 4
        tensor $l.post_attention_layernorm.weight BF16 32 64
        tensor $l.mlp.router.weight BF16 4,32 256
        tensor $l.mlp.router.bias BF16 4 8
        tensor $l.mlp.experts.gate_up_proj BF16 4,32,64 16384
        tensor $l.mlp.experts.gate_up_proj_bias BF16 4,64 512
        tensor $l.mlp.experts.down_proj BF16 4,32,32 8192
        tensor $l.mlp.experts.down_proj_bias BF16 4,32 256
    done
    if [ -n "$front" ]; then
        tensor front.patch.weight BF16 2,1,1,2,3 24
        tensor front.count I64 1 8
    fi
    text="$text}"
    mkdir "$1"
    {
        le32 ${#text} 0
        printf %s "$text"
        tail -c +$((head_size + 9)) d/model.safetensors | head -c $at
    } >"$1/model.safetensors"
    echo '{"model_type": "gpt_oss", "vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1, "head_dim": 16, "intermediate_size": 32, "num_local_experts": 4, "sliding_window": 4,
        "num_experts_per_tok": 2, "tie_word_embeddings": false, "rope_theta": 10000, "torch_dtype": "bfloat16",
        "swiglu_limit": 7.0, "attention_bias": true}' >"$1/config.json"
}
front= experts e
runs "inspect experts" inspect e --json
json "inspect experts json" experts experts_per_token
grep -q '"moe": "generic_moe"' .out && grep -q '"experts": 4, "experts_per_token": 2' .out && ok "experts are counted" ||
    bad "experts are counted" "$(head -c 300 .out)"
p=mlp.experts
grep -q "\[\"$p.gate_up_proj.0\", \"$p.gate_up_proj.1\", \"$p.gate_up_proj.2\", \"$p.gate_up_proj.3\"\], \[\"$p.down_proj.0\", \"$p.down_proj.1\", \"$p.down_proj.2\", \"$p.down_proj.3\"\]\]" .out &&
    ok "groups of experts" || bad "groups of experts" "$(sed 's/.*"groups"/"groups"/' .out | head -c 600)"
shapes e/model.safetensors >.first
runs "rotate experts" rotate e -o r --dtype fp32 --verify --json
grep -q '"rotations": \[{"name": "r1", .*{"name": "r2", ' .out && ok "both rotations" || bad "both rotations" "$(cat .out)"
shapes r/model.safetensors >.second
same "rotated experts have the checkpoint's tensors" .first .second
runs "quantize experts into a directory" quantize e -o h --method rtn --group-size 32 --format hf --json
grep -q '"name": "model.layers.1.mlp.experts.down_proj.3", "format": "int4"' .out && ok "each expert is a module" ||
    bad "each expert is a module" "$(head -c 300 .out)"
grep -q '{"name": "model.layers.0.mlp.router", "why": "router"}' .out && ok "the router is kept" || bad "the router is kept" "$(tail -c 500 .out)"
shapes h/model.safetensors >.second
same "quantised experts have the checkpoint's tensors" .first .second
runs "quantize experts into a .cq file" quantize e -o q.cq --method rtn --group-size 32
"$tool" logits h --ids i.npy -o x.npy --quiet >.out
"$tool" logits q.cq --ids i.npy -o y.npy --quiet >.out
compare "a directory and a .cq file of the same experts" y.npy x.npy
echo '{"overrides": [{"pattern": "lm_head", "wq": "int8", "group_size": 32}, {"pattern": "*embed*", "wq": "int8"}]}' >c.json
runs "quantize the ends into a directory" quantize e -o h --method rtn --group-size 32 --format hf --config c.json --force
runs "quantize the ends into a .cq file" quantize e -o q.cq --method rtn --group-size 32 --config c.json
"$tool" logits h --ids i.npy -o z.npy --quiet >.out
"$tool" logits q.cq --ids i.npy -o y.npy --quiet >.out
compare "both have the same head" y.npy z.npy
cmp -s x.npy z.npy && bad "a head in int8" "it is as before" || ok "a head in int8"
runs "quantize experts by GPTQ" quantize e -o g.cq --calib-ids i.npy --seq-len 4 --group-size 32 --min-tokens 1 --json
json "quantize experts json" modules kept starved
grep -q '"starved": true' .out && bad "no expert is starved" "$(cat .out)" || ok "no expert is starved"
for threads in 1 3; do
    "$tool" quantize e -o g2.cq --calib-ids i.npy --seq-len 4 --group-size 32 --min-tokens 1 --threads $threads --quiet >.out
    same "quantize experts, $threads threads" g.cq g2.cq
done
match="give the checkpoint" fails "experts of a .cq file into a directory" quantize q.cq -o h2 --method rtn --format hf
for how in all rtn; do
    runs "starved experts, $how" quantize e -o g2.cq --calib-ids i.npy --seq-len 4 --group-size 32 --min-tokens 1000 --starved $how --json
    n=$(grep -o '"starved": true, "nearest": [a-z]*' .out | sort | uniq -c | tr -s ' ')
    [ $how = all ] && want=' 16 "starved": true, "nearest": false' || want=' 16 "starved": true, "nearest": true'
    [ "$n" = "$want" ] && ok "are reported" || bad "are reported" "$n"
    rm -f g2.cq
done
for power in 0 2; do
    runs "routing weight to the power $power" quantize e -o g2.cq --calib-ids i.npy --seq-len 4 --group-size 32 --min-tokens 1 --routing-weight $power
    cmp -s g.cq g2.cq && bad "it makes a difference" "it does not" || ok "it makes a difference"
done
runs "one Hessian at a time" quantize e -o g2.cq --calib-ids i.npy --seq-len 4 --group-size 32 --min-tokens 1 --hessian-memory 1
same "is the same" g.cq g2.cq
balance() { # N WANTED: the first of two windows and --min-tokens N
    runs "quantize --balance" quantize e -o g2.cq --calib-ids c.npy --samples 1 --group-size 32 --balance --min-tokens $1 --json
    grep -q "\"balance\": {\"experts\": 8, $2" .out && ok "experts and $1 tokens" || bad "experts and $1 tokens" "$(head -c 300 .out)"
}
balance 2 '"short_before": 0, "short_after": 0, "windows_seen": 0, "windows_taken": 0'
balance 3 '"short_before": 1, "short_after": 0, "windows_seen": 1, "windows_taken": 1'
least=$(grep -o '"tokens": [0-9]*' .out | sed 's/.*: //' | sort -n | head -n 1)
[ "$least" -ge 3 ] && ok "none has less" || bad "none has less" "$least"
balance 99 '"short_before": 8, "short_after": 8, "windows_seen": 1, "windows_taken": 1'
rm -f g2.cq
match=experts fails "--balance without experts" quantize d -o q2.cq --calib-ids i.npy --seq-len 8 --balance
for case in "router skipped:*router*:router" "an expert skipped:*.experts.gate_up_proj.1:skipped by --config"; do
    pattern=${case#*:}
    echo "{\"overrides\": [{\"pattern\": \"${pattern%:*}\", \"skip\": true}]}" >c.json
    "$tool" quantize e -o g2.cq --method rtn --group-size 32 --config c.json --json --quiet >.out
    grep -q "\"why\": \"${case##*:}\"" .out && ok "${case%%:*}" || bad "${case%%:*}" "$(tail -c 300 .out)"
done
match="all experts of" fails "experts in one tensor as GPTQ" quantize e -o h2 --method rtn --group-size 32 --format gptq
echo '{"overrides": [{"pattern": "*.experts.*", "skip": true}]}' >c.json
runs "all but the experts as GPTQ" quantize e -o h2 --method rtn --group-size 32 --format gptq --config c.json
"$tool" quantize e -o g2.cq --method rtn --group-size 32 --config c.json --quiet >.out
"$tool" logits g2.cq --ids i.npy -o x.npy --quiet >.out
"$tool" logits h2 --ids i.npy -o y.npy --quiet >.out
same "... are what the .cq file is" x.npy y.npy
printf 'model gpt_oss\nlike gpt_oss\nmoe = e_down=experts.down_proj^!+\n' >own.txt
runs "a linear marked !" quantize e -o g2.cq --method rtn --group-size 32 --arch own.txt --json
grep -q '"name": "model.layers.0.mlp.experts.down_proj.0", "why": "marked ! in the description"' .out &&
    ok "is kept" || bad "is kept" "$(tail -c 500 .out)"
runs "and read from the file" logits g2.cq --ids i.npy -o x.npy
rm -rf r h e x.npy y.npy z.npy q.cq g.cq g2.cq c.json
front=1 experts e
match=front fails "a front end that is not described" inspect e
printf 'model gpt_oss\nlike gpt_oss\ncarry front.*\n' >own.txt
runs "rotate with a front end" rotate e -o r --arch own.txt --verify --json
grep -q '"rotations": \[{"name": "r2", [^]]*\], "r1": null, "why": "[^"]*carried[^"]*", "why_name": "front.count"' .out &&
    ok "says why there is no R1" || bad "says why there is no R1" "$(cat .out)"
shapes e/model.safetensors >.first
shapes r/model.safetensors >.second
same "the front end is carried, five dimensions and all" .first .second
tail -c 32 e/model.safetensors | head -c 24 >.first # of front.patch.weight; by name it comes last in what is written
tail -c 24 r/model.safetensors >.second
same "with its bytes" .first .second
printf 'model gpt_oss\nlike gpt_oss\ncarry front.*=\n' >own.txt # it is known not to touch the stream
runs "rotate beside a front end" rotate e -o r --force --arch own.txt --verify --json
tail -c 24 r/model.safetensors >.second
grep -q '"rotations": \[{"name": "r1", ' .out && cmp -s .first .second && ok "all of it but the front end" ||
    bad "all of it but the front end" "$(cat .out)"
printf 'model gpt_oss\nlike gpt_oss\ncarry front.*=*.patch\n' >own.txt
runs "a front end of another width" rotate e -o r --force --arch own.txt --json
grep -q '"r1": null, .*"why_name": "front.patch.weight"' .out && ok "stands in the way" || bad "stands in the way" "$(cat .out)"
"$tool" export e -o f.cq --dtype int8 --arch own.txt >.out 2>.err
grep -q '2 tensors of its front end are left out' .err && ok "export leaves the front end out" || bad "export leaves the front end out" "$(cat .err)"
rm -rf r e f.cq own.txt .first .second

# ---- mixed precision ----
golden_model() { # NAME DIR: a model of golden/arch/experts.txt with zeros for weights
    mkdir "$2"
    awk -v name="$1" '
        function put(t,  open, close_, words, n, k, a, from) { # all names that the braces stand for
            open = index(t, "{")
            if (!open) {
                printf "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%d,%d]}", at ? "," : "", t, dtype, dims,
                    at, at + bytes > header
                at += bytes
                return
            }
            close_ = index(t, "}")
            words = substr(t, open + 1, close_ - open - 1)
            if (split(words, a, /\.\./) == 2) {
                n = 0
                for (from = a[1] + 0; from <= a[2] + 0; from++) list[open, ++n] = from
            } else {
                n = split(words, a, ",")
                for (k = 1; k <= n; k++) list[open, k] = a[k]
            }
            for (k = 1; k <= n; k++) put(substr(t, 1, open - 1) list[open, k] substr(t, close_ + 1))
        }
        $1 == "model" { on = $2 == name }
        on && $1 == "config" { sub(/^config /, ""); print > config }
        on && $1 == "prefix" { prefix = $2 }
        on && $1 == "tensor" {
            dtype = $3
            dims = $4
            bytes = dtype == "F32" ? 4 : 2
            for (k = 4; k <= NF - 2; k++) bytes *= $k
            for (k = 5; k <= NF - 2; k++) dims = dims "," $k
            put(substr($2, 1, 1) == "." ? prefix $2 : $2)
        }
        END { print at > size }' config="$2/config.json" header="$2/h" size="$2/n" "$golden/arch/experts.txt"
    text="{$(cat "$2/h")}"
    {
        le32 ${#text} 0
        printf %s "$text"
        head -c "$(cat "$2/n")" /dev/zero
    } >"$2/model.safetensors"
    rm "$2/h" "$2/n"
}
formats() { # PATTERN: the formats of the modules of .out whose names match, each once
    tr '{' '\n' <.out | sed -n 's/^"name": "\([^"]*\)", "format": "\([^"]*\)".*/\1 \2/p' | grep -e "$1" | sed 's/.* //' | sort -u | tr '\n' ' '
}
is() { # LABEL PATTERN FORMATS
    got=$(formats "$2")
    [ "$got" = "$3 " ] && ok "$1" || bad "$1" "'$2' has '$got', must have '$3'"
}
for pair in olmoe:olmoe qwen:qwen2_moe mixtral:mixtral deepseek:deepseek_v2; do
    name=${pair%:*}
    golden_model "${pair#*:}" m
    if "$tool" quantize m -o q.cq --method rtn --config "$name" --json >.out 2>.err; then
        grep -q pattern .err && bad "--config $name: every pattern matches" "$(cat .err)" || ok "--config $name: every pattern matches"
        case $name in
        olmoe) is "olmoe: attention" self_attn mxfp6_e2m3; is "olmoe: down" down_proj int4; is "olmoe: gate and up" '[pe]_proj' mxfp4 ;;
        mixtral) is "mixtral: w1 and w3" '\.w[13]' mxfp4; is "mixtral: w2" '\.w2' int4; is "mixtral: attention" self_attn int4 ;;
        *) is "$name: experts" mlp.experts mxfp4; is "$name: shared experts" shared_expert mxfp6_e2m3; is "$name: attention" self_attn int4 ;;
        esac
        grep -q '"name": "model.layers.[12].[a-z_]*.gate", "why": "router"' .out && ok "$name: routers are kept" || bad "$name: routers are kept" "$(tail -c 300 .out)"
    else
        bad "--config $name" "$(cat .err)"
    fi
    rm -rf m q.cq
done
runs "a configuration by its model type" quantize d -o q.cq --method rtn --config mixed:qwen2_moe
match="there are olmoe, qwen, mixtral, deepseek" fails "a configuration that is not there" quantize d -o q3.cq --method rtn --config mixed:dream
refuses() { # MATCH JSON
    printf '%s' "$2" >c.json
    match=$1 fails "$2" quantize d -o q3.cq --method rtn --config c.json
}
refuses '"group_size" is probably meant' '{"default": {"wq": "int4", "gruop_size": 32}}'
refuses '"pattern" is probably meant' '{"overrides": [{"patern": "*", "wq": "int4"}]}'
refuses '"overrides" is probably meant' '{"overides": []}'
refuses 'should have a "pattern"' '{"overrides": [{"wq": "int4"}]}'
refuses 'there are int2, int3' '{"default": {"wq": "int6"}}'
refuses 'mxfp6 has one for 32' '{"default": {"wq": "fp6"}}'
refuses 'a microscaling block has 32 columns' '{"default": {"wq": "mxfp6", "group_size": 64}}'
refuses 'o_proj.*group_size 64; a microscaling block has 32' '{"default": {"wq": "mxfp6"}, "overrides": [{"pattern": "*.o_proj", "group_size": 64}]}'
refuses 'has no zero points' '{"default": {"wq": "mxfp4", "asym": true}}'
refuses 'activations are floats' '{"default": {"wq": "mxfp8", "aq": "mxfp8"}}'
refuses 'cannot meet weights in fp8' '{"default": {"wq": "fp8", "aq": "int8"}}'
refuses 'o_proj.*cannot meet weights in fp8' '{"default": {"aq": "int8"}, "overrides": [{"pattern": "*.o_proj", "wq": "fp8"}]}'
refuses 'one of them is enough' '{"default": {"wq": "int4", "bits": 8}}'
refuses 'contradict' '{"default": {"sym": true, "asym": true}}'
refuses 'is NaN' '{"default": {"group_size": NaN}}'
refuses 'is 1e400' '{"default": {"group_size": 1e400}}'
refuses 'is 24' '{"default": {"group_size": 24}}'
refuses '"bits" is 4.5' '{"default": {"bits": 4.5}}'
refuses 'mxfp6 is "e2m3"' '{"default": {"wq": "mxfp6", "extra": {"format": "e1m4"}}}'
refuses 'should be an object' '{"default": [4]}'
refuses 'name of a module' '{"model.layers.0.mlp.up_proj": 4}'
refuses 'c.json' "$(printf '%70s' '' | tr ' ' '[')"
echo '{"default": {"wq": "mxfp6", "extra": {"format": "e3m2"}, "comment": "a"}, "overrides": [
    {"pattern": "*.[vo]_proj", "wq": "fp16", "description": "b"}, {"pattern": "*.o_proj", "wq": "int8", "group_size": 16},
    {"pattern": "*.layers.1.mlp.*", "skip": true}, {"pattern": "*.1.mlp.down_proj", "skip": false, "wq": "int4"},
    {"pattern": "*.q_porj", "wq": "int8"}, {"pattern": "*.input_layernorm", "wq": "int8"}]}' >c.json
"$tool" quantize d -o q2.cq --method rtn --config c.json --json >.out 2>.err
is "later rules win: v" v_proj f16
is "later rules win: o" o_proj int8
is "the default's extra" q_proj mxfp6_e3m2
is "skipped" 1.mlp.up_proj bf16
is "and taken back" 1.mlp.down_proj int4
grep -q 'q_porj matches no module; the nearest are model.layers.0.self_attn.q_proj' .err && ok "the nearest module is named" || bad "the nearest module is named" "$(cat .err)"
grep -q 'input_layernorm matches only what is never quantised' .err && ok "a norm is never quantised" || bad "a norm is never quantised" "$(cat .err)"
echo '{"model.layers.0.self_attn.q_proj": {"wq": "int8", "group_size": 32, "alpha_hill": 1.6, "category": "attn_q"}}' >c.json
"$tool" quantize d -o q2.cq --method rtn --config c.json --json --quiet >.out
is "a plan by names: the one" 0.self_attn.q_proj int8
is "a plan by names: the others" k_proj bf16
"$tool" quantize d -o q2.cq --method rtn --config c.json --bits 3 --group-size 32 --json --quiet >.out
is "a plan by names, and --bits for the others" k_proj int3

# activations as a file wants them
echo '{"default": {"wq": "int4", "aq": "int8", "group_size": 32}}' >c.json
runs "quantize with aq" quantize d -o q1.cq --method rtn --config c.json
runs "quantize without" quantize d -o q2.cq --method rtn --group-size 32
echo '{"default": {"aq": "int8"}, "overrides": [{"pattern": "*.mlp.*", "aq": "bf16"}]}' >c.json
runs "quantize with some aq" quantize d -o q3.cq --method rtn --group-size 32 --config c.json --bits 4
"$tool" logits q1.cq --ids i.npy -o x.npy --quiet >.out
"$tool" logits q2.cq --ids i.npy -o y.npy --quiet --act int8 >.out
same "aq int8 is what --act int8 does" x.npy y.npy
"$tool" logits q3.cq --ids i.npy -o z.npy --quiet >.out
"$tool" logits q2.cq --ids i.npy -o w.npy --quiet >.out
cmp -s z.npy x.npy || cmp -s z.npy w.npy && bad "some aq is neither" "they are equal" || ok "some aq is neither"
"$tool" logits q1.cq --ids i.npy -o z.npy --quiet --act fp32 >.out
same "--act fp32 overrules" z.npy w.npy
"$tool" inspect q3.cq >.out
grep -q 'q_proj .* int4 .*reads int8' .out && ! grep -q 'up_proj .*reads int8' .out && ok "inspect shows aq" || bad "inspect shows aq" "$(grep _proj .out)"

# formats by sensitivity, and the report
if "$tool" quantize d -o q1.cq --calib-ids c.npy --group-size 32 --target-bits 4.6 --save-config c.json --report r.json --json --quiet >.out 2>.err; then
    json "--target-bits json" sensitivity probe bits_per_weight predicted_kl modules
    bits=$(sed 's/.*"bits_per_weight": \([0-9.]*\).*/\1/' .out)
    awk -v b="$bits" 'BEGIN {exit !(b > 4 && b <= 4.6)}' && ok "as many bits as asked" || bad "as many bits as asked" "$bits"
    for threads in 1 3; do
        "$tool" quantize d -o q2.cq --calib-ids c.npy --group-size 32 --target-bits 4.6 --threads $threads --quiet >.out
        same "--target-bits, $threads threads" q1.cq q2.cq
    done
    runs "its configuration" quantize d -o q2.cq --calib-ids c.npy --group-size 32 --config c.json
    same "gives the same file" q1.cq q2.cq
    tr -d '\n' <r.json >.out
    echo >>.out
    json "the report" modules loss rtn_loss tokens damp damp_asked seconds fallback bits_per_weight
    runs "its picture" plot --report r.json -o p
    head -c 4 p/report.png | tail -c 3 | grep -q PNG && ok "is a PNG" || bad "is a PNG" "$(head -c 8 p/report.png)"
    runs "formats by sensitivity, rotated" quantize d -o q2.cq --calib-ids c.npy --group-size 32 --target-bits 4.6 --rotate auto
else
    bad "--target-bits" "$(cat .err)"
fi
match="it has 5.[0-9]* bits for a weight already" fails "too few bits" quantize d -o q4.cq --calib-ids c.npy --group-size 32 --target-bits 3 --ladder int4,int8
match="without --config" usage "--target-bits and --bits" quantize d -o q4.cq --calib-ids c.npy --target-bits 4 --bits 4
match="is no format" usage "a ladder of what is no format" quantize d -o q4.cq --calib-ids c.npy --target-bits 4 --ladder int4,int5
usage "a ladder alone" quantize d -o q4.cq --method rtn --ladder int4,int8
echo '{"modules": [{"name": 1}]}' >r.json
match=r.json fails "a report that is none" plot --report r.json -o p2
usage "a plot of nothing" plot -o p2
rm -rf p q.cq q1.cq q2.cq q3.cq c.json r.json w.npy x.npy y.npy z.npy

# ---- text: the trained model ----
if [ -f "$kjv/tokenizer.json" ]; then
    printf 'In the beginning God created the heaven and the earth.\n' >t.txt
    runs "tokenize" tokenize "$kjv" --text t.txt --json
    json "tokenize json" ids
    # shellcheck disable=SC2046
    ids $(sed 's/.*\[\(.*\)\].*/\1/' .out | tr ',' ' ') >t.npy
    "$tool" tokenize "$kjv" --decode --ids t.npy --quiet >back.txt
    same "decode gives the text back" t.txt back.txt
    : >t0.txt
    runs "tokenize nothing" tokenize "$kjv" --text t0.txt --json
    grep -q '{"ids": \[\]}' .out && ok "no text, no ids" || bad "no text, no ids" "$(cat .out)"
    match=t0.txt fails "eval of an empty text" eval "$kjv" --text t0.txt
    match=t0.txt fails "generate from an empty text" generate "$kjv" --prompt-file t0.txt
    printf 'a\377\376b\300' >t1.txt
    runs "tokenize what is no UTF-8" tokenize "$kjv" --text t1.txt --json
    ids 99999 >x.npy
    match="position 0 is 99999" fails "decode an id outside of the vocabulary" tokenize "$kjv" --decode --ids x.npy
    fails "text that is not there" tokenize "$kjv" --text none.txt
    runs "eval of a text" eval "$kjv" --text t.txt --json --window 32
    "$tool" export "$kjv" -o k.cq --dtype int8 --quiet >.out 2>.err
    for m in "$kjv" "k.cq --act int8"; do # all logits of a row stay with so large a top-k, but they must be there
        for more in "" "--top-k 100000" "--threads 3" "--isa scalar"; do
            # shellcheck disable=SC2086 # words
            "$tool" generate $m --prompt "And God said" --max-new-tokens 48 --steps 6 --alg entropy $more --json --quiet |
                sed 's/, "tokens_per_second".*//' >.second
            [ "$more" ] || cp .second .first
            same "the head of ${m##*/} in tiles${more:+, $more}" .first .second
        done
    done
    runs "generate from a text" generate "$kjv" --prompt "And God said" --max-new-tokens 8 --steps 4 --json
    grep -q '"text": "And God said' .out && ok "the text begins with the prompt" || bad "the text begins with the prompt" "$(cat .out)"
    cp -r "$kjv" broken
    chmod -R u+w broken
    for n in 0 1 100 5000; do
        head -c $n "$kjv/tokenizer.json" >broken/tokenizer.json
        match=tokenizer.json fails "tokenizer.json cut to $n bytes" tokenize broken --text t.txt
    done
    printf '{"version": "1.0", "model": {"type": "Unigram", "vocab": []}}' >broken/tokenizer.json
    match=Unigram fails "a tokenizer of another kind" tokenize broken --text t.txt
    "$tool" export broken -o nt.cq --dtype int8 >.out 2>.err && grep -q 'Unigram.*no tokenizer' .err &&
        ok "export without the tokenizer says so" || bad "export without the tokenizer says so" "$(cat .err)"
    match="no tokenizer" fails "a .cq without its tokenizer" generate nt.cq --prompt hello
    rm broken/tokenizer.json
    runs "tokenize by vocab.json and merges.txt" tokenize broken --text t.txt --json
    rm broken/merges.txt
    fails "vocab.json without merges.txt" tokenize broken --text t.txt
fi

# ---- checkpoints of codes: GPTQ, compressed-tensors ----
cd "$work" && rm -rf codes && mkdir codes && cd codes || exit 1
cp -r "$golden/qwen3" m # 48 and 56 columns
ids 3 1 4 1 5 9 2 6 >i.npy
echo '{"overrides": [{"pattern": "*.o_proj", "wq": "int8"}, {"pattern": "*.0.*.up_proj", "skip": true},
                     {"pattern": "lm_head", "wq": "int3"}, {"pattern": "*.v_proj", "asym": true}]}' >c.json
for options in "--method rtn --group-size 32" "--method rtn --bits 3 --asym --group-size -1" "--bits 2 --group-size -1" \
    "--method rtn --rotate auto --bits 8 --group-size -1" "--method rtn --config c.json --group-size -1"; do
    [ "${options#*rtn}" = "$options" ] && options="$options --calib-ids i.npy --seq-len 4"
    for format in gptq compressed-tensors; do
        rm -rf q q1 q.cq
        case "$format $options" in "compressed-tensors --method rtn --group-size 32")
            # shellcheck disable=SC2086
            match="divides them" fails "groups that do not divide, $format" quantize m -o q --format $format $options
            continue ;;
        esac
        # shellcheck disable=SC2086
        runs "quantize --format $format $options" quantize m -o q --format $format $options --json
        # shellcheck disable=SC2086
        "$tool" quantize m -o q1 --format $format $options --threads 1 --quiet >.out
        same "... with one thread" q/model.safetensors q1/model.safetensors
        # shellcheck disable=SC2086
        "$tool" quantize m -o q.cq $options --quiet >.out
        "$tool" logits q.cq --ids i.npy -o x.npy --quiet >.out
        runs "logits of it" logits q --ids i.npy -o y.npy
        same "... are those of the .cq file" x.npy y.npy
    done
done
for wq in mxfp4 mxfp6 mxfp8 fp8; do # 48 columns are no multiple of 32
    rm -rf q q.cq
    [ $wq = fp8 ] || match="divides them" fails "$wq of 48 columns" quantize m -o q --format compressed-tensors --method rtn --wq $wq
    match="does not hold" fails "$wq as GPTQ" quantize m -o q --format gptq --method rtn --wq $wq
done
runs "quantize --wq fp8 --format compressed-tensors" quantize m -o q --format compressed-tensors --method rtn --wq fp8
"$tool" quantize m -o q.cq --method rtn --wq fp8 --quiet >.out
"$tool" logits q.cq --ids i.npy -o x.npy --quiet >.out
runs "logits of it" logits q --ids i.npy -o y.npy
same "... are those of the .cq file" x.npy y.npy
rm -rf q
runs "codes once more" quantize m -o q --format compressed-tensors --method rtn --config c.json --group-size -1
grep -q '"+:^model\\\\.layers\\\\.0\\\\.self_attn\\\\.o_proj\$": {"bits": 8}' q1/quantize_config.json 2>.err ||
    "$tool" quantize m -o q2 --format gptq --method rtn --config c.json --group-size -1 --quiet >.out
grep -q '"+:^model\\\\.layers\\\\.0\\\\.self_attn\\\\.o_proj\$": {"bits": 8}' q2/quantize_config.json &&
    grep -q '"-:^model\\\\.layers\\\\.0\\\\.mlp\\\\.up_proj\$": {}' q2/quantize_config.json &&
    grep -q '"checkpoint_format": "gptq_v2"' q2/quantize_config.json && grep -q '"lm_head": true' q2/config.json &&
    ok "modules that differ are named" || bad "modules that differ are named" "$(cat q2/quantize_config.json)"
grep -q '"group_3"' q/config.json && ok "a group for each way to be coded" || bad "a group for each way to be coded" "$(cat q/config.json)"
rm -rf q q1 q2
runs "groups of 24, one over the end" quantize m -o q --format gptq --method rtn --group-size 24
runs "... as floats" quantize m -o h --format hf --method rtn --group-size 24
"$tool" logits q --ids i.npy -o x.npy --quiet >.out
"$tool" logits h --ids i.npy -o y.npy --quiet >.out
compare "... the same logits" x.npy y.npy
runs "quantize --act-order" quantize m -o a --format gptq --calib-ids i.npy --seq-len 4 --group-size 16 --act-order
grep -q '"desc_act": true' a/quantize_config.json && ok "desc_act" || bad "desc_act" "$(cat a/quantize_config.json)"
runs "logits of permuted groups" logits a --ids i.npy -o x.npy
match="no longer has" fails "--act-order in compressed-tensors" quantize m -o b --format compressed-tensors \
    --calib-ids i.npy --seq-len 4 --group-size -1 --act-order
match="online" fails "online rotations into codes" quantize m -o b --format gptq --method rtn --online r4
echo '{"overrides": [{"pattern": "*embed*", "wq": "int8"}]}' >e.json
match="--config names" fails "an embedding as codes" quantize m -o b --format gptq --method rtn --config e.json
match="exists" fails "a directory that is there" quantize m -o q --format gptq --method rtn
usage "--shard-size 0" quantize m -o b --format gptq --method rtn --shard-size 0
usage "--shard-size 5XB" quantize m -o b --format gptq --method rtn --shard-size 5XB
rm -rf q a h
runs "quantize in shards" quantize m -o s --format gptq --method rtn --group-size -1 --shard-size 8KB
[ -f s/model.safetensors.index.json ] && [ -f s/model-00002-of-0000"$(ls s/*.safetensors | wc -l)".safetensors ] &&
    ok "shards and their index" || bad "shards and their index" "$(ls s)"
runs "quantize in one file" quantize m -o q --format gptq --method rtn --group-size -1
"$tool" logits s --ids i.npy -o x.npy --quiet >.out
"$tool" logits q --ids i.npy -o y.npy --quiet >.out
same "shards say the same" x.npy y.npy
runs "inspect codes" inspect q --json
runs "export codes" export q -o e.cq --dtype int4
runs "codes again" quantize q -o r --format gptq --method rtn --bits 8 --group-size -1
runs "logits of codes made from codes" logits r --ids i.npy -o z.npy
runs "codes as floats" quantize q -o h --format hf --method rtn --bits 8 --group-size -1
grep -q quantization_config h/config.json && bad "floats are no codes" "config.json says quantization_config" || ok "floats are no codes"
for edit in 's/"bits": 4/"bits": 3/:fit no bits' 's/"bits": 4/"bits": 5/:2, 3, 4 or 8' 's/: "gptq"/: "awq"/:compressed-tensors' \
    's/"quantization_config"/"quantization_configs"/:is missing'; do
    rm -rf w && cp -r q w && sed "${edit%:*}" q/config.json >w/config.json && rm w/quantize_config.json
    match="${edit##*:}" fails "config.json: ${edit%:*}" logits w --ids i.npy -o n.npy
done
cp q/quantize_config.json w/ && runs "quantize_config.json alone" logits w --ids i.npy -o x.npy
same "... is enough" x.npy y.npy

echo "$passed passed, $failed failed"
[ $failed = 0 ]
