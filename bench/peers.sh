#!/bin/sh
# The same work on other engines, side by side in one run:
#   FFHT       the fastest Hadamard transform published (x86); fetched from GitHub into build/peers the first time
#   GPTQModel  its solver beside `cquant solve`; installed into build/venv the first time (bench/requirements.txt)
#   llama.cpp  its diffusion program beside `cquant generate`, on the shape of Dream 7B: all of it where 12 GB of memory
#              and 26 GB of disk are free, else an eighth; built from the source package of llama-cpp-python on PyPI,
#              which takes half an hour the first time: for this machine (native), where that means AMX also without
#              (noamx), and on x86 for AVX2 alone
#   CMSIS-NN   its products for Cortex-M beside ours, in instructions on emulated boards; fetched from GitHub
#   ggml       the products of llama.cpp, from the same source package, beside ours on one matrix; some minutes to build
#   blas       OpenBLAS (scipy-openblas32 on PyPI): sgemm, ssyrk, spotrf beside cq_gemm, cq_syrk, cq_gptq_factor
# None is part of this repository. CC, CXX and CFLAGS are respected. PEERS_ARGS: options of bench/peers_gptq.py.
# LLAMA_ARGS: those of bench/peers_llama.py. GGML_ARGS: --quick. LLAMA_JOBS: of its build (all cores).
#   sh bench/peers.sh [fht] [gptq] [llama] [ggml] [blas] [cmsis]        (make bench-peers: all but llama and cmsis;
#                                                                        make bench-peers PEERS="llama cmsis")
set -u
cd "$(dirname "$0")/.." || exit 1
fail() {
    echo "bench-peers: $*" >&2
    exit 1
}
# checkout URL COMMIT DIRECTORY: fetched the first time
checkout() {
    if [ ! -d "$3" ]; then
        rm -rf "$3.new"
        mkdir -p build/peers
        git clone --quiet "$1" "$3.new" || fail "cannot fetch $1 (is there a network, and git?); nothing was measured"
        mv "$3.new" "$3"
    fi
    git -C "$3" checkout --quiet "$2" || fail "$3 has no commit $2"
}

fht() {
    dir=build/peers/FFHT
    case $(uname -m) in
    x86_64 | amd64) ;;
    *)
        echo "bench-peers: FFHT is written for x86 with AVX; the transform was not measured" >&2
        return
        ;;
    esac
    checkout https://github.com/FALCONN-LIB/FFHT fba727a3ff72c862260460631ae1cc8e3e44e861 $dir
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

# a small Python environment for cmake and pip, in build/peers/venv
tools() {
    cmake=build/peers/venv/bin/cmake
    pip=build/peers/venv/bin/pip
    if [ ! -x $cmake ]; then
        mkdir -p build/peers
        ${PYTHON:-python3} -m venv build/peers/venv && $pip install --quiet cmake scikit-build-core ||
            fail "cmake could not be installed into build/peers/venv (is there a network?)"
    fi
}

# the source of llama.cpp, ggml in it, in build/peers/llama.cpp
llama_source() {
    source=llama_cpp_python-0.3.36
    if [ -d build/peers/llama.cpp ]; then return; fi
    $pip download --quiet --no-deps --no-build-isolation --no-binary llama-cpp-python -d build/peers \
        llama-cpp-python==0.3.36 ||
        fail "cannot fetch the source of llama-cpp-python 0.3.36 (is there a network?)"
    tar -xzf build/peers/$source.tar.gz -C build/peers || fail "build/peers/$source.tar.gz is no archive"
    # gcc 12 drops what is stored into the configuration of the tiles, as it does not see them read, and AMX crashes
    sed -i 's/^    _tile_loadconfig(&tc);/    __asm__ volatile("" : : "r"(\&tc) : "memory");\n&/' \
        build/peers/$source/vendor/llama.cpp/ggml/src/ggml-cpu/amx/mmq.cpp
    mv build/peers/$source/vendor/llama.cpp build/peers/llama.cpp
    rm -rf build/peers/$source
}
llama_options="-DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_UI=OFF
    -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_BUILD_APP=OFF"
avx2_only="-DGGML_NATIVE=OFF -DGGML_SSE42=ON -DGGML_AVX=ON -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON"
no_amx="-mno-amx-tile -mno-amx-int8 -mno-amx-bf16"
has_amx() { grep -qw amx_int8 /proc/cpuinfo 2>/dev/null; }

# llama.cpp in build/peers/llama-NAME, with more options for cmake
build_llama() {
    name=$1
    shift
    dir=build/peers/llama-$name
    if [ -x $dir/llama-diffusion-cli ]; then return; fi
    # shellcheck disable=SC2086 # words
    $cmake -S build/peers/llama.cpp -B $dir.build $llama_options "$@" \
        >build/peers/llama-$name.log &&
        $cmake --build $dir.build -j "${LLAMA_JOBS:-$(nproc)}" --target llama-diffusion-cli \
            >>build/peers/llama-$name.log || fail "llama.cpp does not compile; see build/peers/llama-$name.log"
    mkdir -p $dir
    mv $dir.build/bin/llama-diffusion-cli $dir/
    rm -rf $dir.build
}

llama() {
    python=build/venv/bin/python
    if [ ! -x $python ] || [ ! -x build/cquant ]; then fail "make build/cquant build/venv/ready first"; fi
    $python -c 'import gguf' 2>/dev/null || build/venv/bin/pip install --quiet gguf ||
        fail "gguf could not be installed into build/venv (is there a network?)"
    tools
    llama_source
    build_llama native
    set -- build/peers/llama-native
    if has_amx; then
        build_llama noamx "-DCMAKE_C_FLAGS=$no_amx" "-DCMAKE_CXX_FLAGS=$no_amx"
        set -- "$@" build/peers/llama-noamx
    fi
    case $(uname -m) in
    x86_64 | amd64)
        # shellcheck disable=SC2086 # words
        build_llama avx2 $avx2_only
        set -- "$@" build/peers/llama-avx2
        ;;
    esac
    memory=$(awk '/^MemAvailable/ { print int($2 / 1048576) }' /proc/meminfo 2>/dev/null)
    disk=$(df -Pk build/peers | awk 'NR == 2 { print int($4 / 1048576) }')
    fraction=8
    if [ "${memory:-0}" -ge 12 ] && [ "$disk" -ge 26 ]; then fraction=1; fi
    # shellcheck disable=SC2086 # words
    $python bench/peers_llama.py build "$@" --fraction $fraction --json build/peers_llama.json ${LLAMA_ARGS:-} ||
        fail "the steps were not measured"
}

# ggml alone in build/peers/ggml-NAME, with more options for cmake, and our driver beside it
build_ggml() {
    name=$1
    shift
    dir=build/peers/ggml-$name
    if [ ! -f $dir/ggml/src/libggml-cpu.a ]; then
        # as llama.cpp builds it, but with its own threads, which wait by polling
        # shellcheck disable=SC2086 # words
        $cmake -S build/peers/llama.cpp -B $dir.build $llama_options -DGGML_OPENMP=OFF "$@" \
            >build/peers/ggml-$name.log 2>&1 &&
            $cmake --build $dir.build -j "${LLAMA_JOBS:-$(nproc)}" --target ggml-cpu \
                >>build/peers/ggml-$name.log 2>&1 ||
            fail "ggml does not compile; see build/peers/ggml-$name.log"
        mv $dir.build $dir
    fi
    # shellcheck disable=SC2086 # words
    ${CC:-cc} -std=gnu11 ${CFLAGS:--O2} -Wall -Wextra "-DMEASURE_FLAGS=\"${CFLAGS:--O2}\"" -I. \
        -Ibuild/peers/llama.cpp/ggml/include -c bench/peers_ggml.c -o $dir/peers_ggml.o &&
        ${CXX:-c++} $dir/peers_ggml.o $dir/ggml/src/libggml-cpu.a $dir/ggml/src/libggml-base.a -lpthread -ldl -lm \
            -o $dir/peers_ggml || fail "bench/peers_ggml.c does not compile"
}

ggml() {
    tools
    llama_source
    set --
    case $(uname -m) in
    x86_64 | amd64)
        # shellcheck disable=SC2086 # words
        build_ggml avx2 $avx2_only
        set -- avx2:avx2
        ;;
    esac
    if has_amx; then # two builds: its products with AMX are another machine than its products without
        build_ggml noamx "-DCMAKE_C_FLAGS=$no_amx" "-DCMAKE_CXX_FLAGS=$no_amx"
        set -- "$@" noamx:avx512vnni
    fi
    build_ggml native
    for pair in "$@" native:best; do
        name=${pair%:*}
        # shellcheck disable=SC2086 # words
        build/peers/ggml-$name/peers_ggml "$name" "${pair#*:}" --json build/peers_ggml_$name.json ${GGML_ARGS:-} ||
            fail "ggml $name was not measured"
        echo
    done
}

blas() {
    version=0.3.34.481.3
    tools
    dir=build/peers/openblas
    if [ ! -d $dir ]; then
        $pip install --quiet --no-deps --target $dir.new scipy-openblas32==$version && mv $dir.new $dir ||
            fail "scipy-openblas32 $version could not be installed into $dir (is there a network?)"
    fi
    lib=$(echo "$PWD"/$dir/scipy_openblas32/lib)
    # shellcheck disable=SC2086 # words
    ${CC:-cc} -std=gnu11 ${CFLAGS:--O2} -Wall -Wextra "-DMEASURE_FLAGS=\"${CFLAGS:--O2}\"" -I. bench/peers_blas.c \
        -L"$lib" -lscipy_openblas -Wl,-rpath,"$lib" -lpthread -lm -o build/peers/blas ||
        fail "bench/peers_blas.c does not compile"
    case $(uname -m) in
    x86_64 | amd64) # the same instructions for both
        OPENBLAS_CORETYPE=Haswell build/peers/blas avx2 --json build/peers_blas_avx2.json ||
            fail "OpenBLAS was not measured"
        echo
        ;;
    esac
    build/peers/blas best --json build/peers_blas.json || fail "OpenBLAS was not measured"
}

cmsis() {
    dir=build/peers/CMSIS-NN
    checkout https://github.com/ARM-software/CMSIS-NN 99f736a63036613032f9b70de36b493bcd7802d4 $dir
    sh bench/peers_cmsis.sh $dir || fail "CMSIS-NN was not measured"
}

[ $# -gt 0 ] || set -- fht gptq ggml blas
for what; do
    case $what in
    fht | gptq | llama | ggml | blas | cmsis) $what ;;
    *) fail "'$what' must be fht, gptq, llama, ggml, blas or cmsis" ;;
    esac
done
