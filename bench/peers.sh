#!/bin/sh
# The same work on other engines, side by side in one run:
#   FFHT       the fastest Hadamard transform published (x86); fetched from GitHub into build/peers the first time
#   GPTQModel  its solver beside `cquant solve`; installed into build/venv the first time (bench/requirements.txt)
# Neither is part of this repository. CC and CFLAGS are respected. PEERS_ARGS: options of bench/peers_gptq.py.
#   sh bench/peers.sh [fht] [gptq]        (make bench-peers: both)
set -u
cd "$(dirname "$0")/.." || exit 1
fail() {
    echo "bench-peers: $*" >&2
    exit 1
}

fht() {
    url=https://github.com/FALCONN-LIB/FFHT
    commit=fba727a3ff72c862260460631ae1cc8e3e44e861
    dir=build/peers/FFHT
    case $(uname -m) in
    x86_64 | amd64) ;;
    *)
        echo "bench-peers: FFHT is written for x86 with AVX; the transform was not measured" >&2
        return
        ;;
    esac
    if [ ! -d $dir ]; then
        rm -rf $dir.new
        mkdir -p build/peers
        git clone --quiet $url $dir.new || fail "cannot fetch $url (is there a network, and git?); nothing was measured"
        mv $dir.new $dir
    fi
    git -C $dir checkout --quiet $commit || fail "$dir has no commit $commit"
    # its flags: those of its own Makefile
    for f in fht fast_copy; do
        ${CC:-cc} -O3 -march=native -std=c99 -w -c $dir/$f.c -o build/peers/$f.o || fail "FFHT does not compile"
    done
    # shellcheck disable=SC2086 # words
    ${CC:-cc} -std=gnu11 ${CFLAGS:--O2} -Wall -Wextra -I. -I$dir bench/peers_fht.c build/peers/fht.o \
        build/peers/fast_copy.o -o build/peers/fht -lm || fail "bench/peers_fht.c does not compile"
    build/peers/fht || fail "the transforms failed"
}

gptq() {
    python=build/venv/bin/python
    if [ ! -x $python ] || [ ! -x build/cquant ]; then fail "make build/cquant build/venv/ready first"; fi
    if ! $python -c 'import pcre, importlib.metadata as m; assert m.version("gptqmodel") == "7.7.0"' 2>/dev/null; then
        pip="build/venv/bin/pip install --quiet"
        $pip -r tests/reference/requirements.txt -r bench/requirements.txt && $pip --no-deps GPTQModel==7.7.0 ||
            fail "GPTQModel could not be installed into build/venv (is there a network?)"
    fi
    # its banner and log go to a file
    # shellcheck disable=SC2086 # words
    $python bench/peers_gptq.py build --log build/peers_gptq.log --json build/peers_gptq.json ${PEERS_ARGS:-} ||
        fail "see build/peers_gptq.log"
}

[ $# -gt 0 ] || set -- fht gptq
for what; do
    case $what in
    fht | gptq) $what ;;
    *) fail "'$what' must be fht or gptq" ;;
    esac
done
