#!/bin/sh
# The same work on other engines, side by side in one process: so far FFHT, the fastest Hadamard transform published. It is
# not part of this repository: the first run fetches it from GitHub into build/peers. CC and CFLAGS are respected.
#   sh bench/peers.sh        (make bench-peers)
set -u
cd "$(dirname "$0")/.." || exit 1
url=https://github.com/FALCONN-LIB/FFHT
commit=fba727a3ff72c862260460631ae1cc8e3e44e861
dir=build/peers/FFHT
fail() {
    echo "bench-peers: $*" >&2
    exit 1
}
case $(uname -m) in x86_64 | amd64) ;; *) fail "FFHT is written for x86 with AVX; nothing was measured" ;; esac
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
${CC:-cc} -std=gnu11 ${CFLAGS:--O2} -Wall -Wextra -I. -I$dir bench/peers_fht.c build/peers/fht.o build/peers/fast_copy.o \
    -o build/peers/fht -lm || fail "bench/peers_fht.c does not compile"
build/peers/fht
