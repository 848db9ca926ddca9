# make help says what there is. CC, CXX, CFLAGS and LDFLAGS are respected. Everything that is made lies in build/.
CFLAGS ?= -O2
SAN ?= -O1 -g1 -fsanitize=address,undefined -fno-sanitize-recover=undefined # SAN= leaves the sanitizer runs out
NATIVE ?= -march=native
FUZZ_RUNS ?= 4000
FUZZ_SECONDS ?= 60
PYTHON ?= python3
JOBS := $(shell nproc 2>/dev/null || echo 2)
B := build
W := -Wall -Wextra

HEADERS := $(wildcard cquant.h cquant_rotate.h cquant_gptq.h cquant_models.h)
EXAMPLES := $(patsubst examples/%.c,$(B)/%,$(wildcard examples/example_*.c)) # programs of one file each
TOOL := $(patsubst examples/%.c,$(B)/tool/%.o,$(filter-out examples/example_%,$(wildcard examples/*.c)))
NAMES := $(patsubst tests/%.c,%,$(wildcard tests/test_*.c))
FUZZ := $(patsubst tests/%.c,$(B)/fuzz/%,$(wildcard tests/fuzz_*.c))
TESTS := $(NAMES:%=$(B)/test/%) $(B)/test/test_core.native $(B)/test/test_core.plain $(if $(strip $(SAN)),$(NAMES:%=$(B)/test/%.san))
# a sub-make gets as many jobs as there are cores, unless somebody has given a number already
SUBMAKE = +@$(MAKE) --no-print-directory $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(JOBS))

all: $(B)/cquant $(EXAMPLES) ## build the tool, build/cquant (default), and the examples of one file

demo: ## the main job end to end on the model in the repository
	@CC="$(CC)" sh tests/setup.sh tool
	$(SUBMAKE) all
	@sh examples/demo.sh

test: ## everything that needs no Python; ends with "N passed, N failed"
	@CC="$(CC)" sh tests/setup.sh tool test
	$(SUBMAKE) check

check: all $(TESTS) $(FUZZ)
	@FUZZ_RUNS=$(FUZZ_RUNS) JOBS=$(JOBS) sh tests/run.sh $(FUZZ) $(sort $(TESTS))

bench: $(B)/bench ## speed beside its limits: a table, build/bench.json, build/bench.csv (BENCH_ARGS=--quick: less)
	@$(B)/bench $(BENCH_ARGS) --json $(B)/bench.json --csv $(B)/bench.csv

bench-compilers: ## the main products built by every compiler that is here x -O1 -O2 -O3 -Os; build/bench_compilers.csv
	@sh bench/compilers.sh $(B)

bench-peers: $(B)/cquant $(B)/venv/ready ## beside FFHT, GPTQModel, ggml, OpenBLAS (a network, the first time); PEERS=llama: llama.cpp
	@CC="$(CC)" CFLAGS="$(CFLAGS)" sh bench/peers.sh $(PEERS)

interop: all $(B)/venv/ready ## compare with transformers and PyTorch (a Python environment in build/venv)
	@test -d $(B)/models || { $(B)/venv/bin/python tests/reference/make_models.py $(B)/models.new && mv $(B)/models.new $(B)/models; }
	@test -d $(B)/arch || { $(B)/venv/bin/python tests/reference/make_arch.py $(B)/arch.new && mv $(B)/arch.new $(B)/arch; }
	$(B)/venv/bin/python tests/reference/check_numbers.py $(B)
	$(B)/venv/bin/python tests/reference/check_models.py $(B) $(B)/models
	$(B)/venv/bin/python tests/reference/check_arch.py $(B) $(B)/arch
	$(B)/venv/bin/python tests/reference/check_front.py $(B) $(B)/arch
	$(B)/venv/bin/python tests/reference/check_llada.py $(B) $(B)/arch
	$(B)/venv/bin/python tests/reference/check_sampling.py $(B)
	$(B)/venv/bin/python tests/reference/check_quantized.py $(B) $(B)/arch

firmware: $(B)/cquant ## without a libc or an operating system: on this machine, and on emulated Cortex-M boards
	@CC="$(CC)" sh tests/setup.sh firmware
	@mkdir -p $(B)/firmware
	@for h in $(HEADERS); do sh tests/hygiene.sh --one firmware $(CC) c99 $$h $(B)/firmware; done | tee $(B)/firmware/log
	@! grep -q '^FAIL' $(B)/firmware/log
	@CC="$(CC)" JOBS=$(JOBS) sh tests/firmware.sh $(B)/cquant

lanes: all ## the same bits on x86 from SSE2 to AVX-512, ARM, RISC-V, s390x, ppc64 and wasm, under emulation
	@sh tests/setup.sh tool lanes
	@sh tests/lanes.sh $(B)/cquant

fuzz: $(FUZZ) ## FUZZ_SECONDS of libFuzzer per target with clang, else FUZZ_RUNS x 250 mutations
	@for f in $(FUZZ); do n=$${f##*/}; mkdir -p $(B)/fuzz/corpus-$$n && $$f 0 $(B)/fuzz/corpus-$$n >/dev/null || exit 1; \
	  if clang -g -O1 -DCQ_LIBFUZZER -fsanitize=fuzzer,address,undefined -I. tests/$$n.c -o $$f.lib 2>$$f.log; then \
	    $$f.lib -max_total_time=$(FUZZ_SECONDS) -artifact_prefix=$(B)/fuzz/ $(B)/fuzz/corpus-$$n || exit 1; \
	  else $$f $$(($(FUZZ_RUNS) * 250)) || exit 1; fi; done

clean: ## remove build/
	rm -rf $(B)

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 18

$(B)/cquant: $(TOOL)
	$(CC) $(CFLAGS) $(LDFLAGS) $^ -o $@ -lyaml -lpthread -lm
$(B)/tool/%.o: examples/%.c Makefile
	@mkdir -p $(@D)
	$(CC) -std=gnu99 -D_GNU_SOURCE $(CFLAGS) $(W) -I. -MMD -MP -MF $@.d -c $< -o $@
$(B)/example_%: examples/example_%.c Makefile
	@mkdir -p $(@D)
	$(CC) -std=gnu99 $(CFLAGS) $(W) -I. -MMD -MP -MF $@.d $< -o $@ -lm
$(B)/test/%.san: tests/%.c Makefile # static: sanitizers make compilers slow, and what a test does not use goes first
	@mkdir -p $(@D)
	$(CC) -std=c99 $(SAN) $(W) -DCQUANT_STATIC -DCQUANT_TEST_QUICK -I. -MMD -MP -MF $@.d $< -o $@ -lcmocka -lpthread -lm
$(B)/test/%.native: tests/%.c Makefile # what an eager user sets: the results must not change
	@mkdir -p $(@D)
	$(CC) -std=gnu99 -O3 $(NATIVE) $(W) -DCQUANT_TEST_QUICK -I. -MMD -MP -MF $@.d $< -o $@ -lcmocka -lpthread -lm
$(B)/test/%.plain: tests/%.c Makefile # plain C only
	@mkdir -p $(@D)
	$(CC) -std=c99 $(CFLAGS) $(W) -DCQUANT_NO_SIMD -DCQUANT_TEST_QUICK -I. -MMD -MP -MF $@.d $< -o $@ -lcmocka -lpthread -lm
$(B)/test/%: tests/%.c Makefile
	@mkdir -p $(@D)
	$(CC) -std=c99 $(CFLAGS) $(W) -I. -MMD -MP -MF $@.d $< -o $@ -lcmocka -lpthread -lm
$(B)/fuzz/%: tests/%.c Makefile
	@mkdir -p $(@D)
	$(CC) -std=c99 $(SAN) $(W) -DCQUANT_STATIC -I. -MMD -MP -MF $@.d $< -o $@ -lm
$(B)/bench: bench/bench.c Makefile
	@mkdir -p $(@D)
	$(CC) -std=gnu99 $(CFLAGS) $(W) -DMEASURE_FLAGS='"$(CFLAGS)"' -I. -MMD -MP -MF $@.d $< -o $@ -lpthread
$(B)/venv/ready: tests/reference/requirements.txt
	$(PYTHON) -m venv $(B)/venv
	$(B)/venv/bin/pip install --quiet -r $<
	$(B)/venv/bin/pip install --quiet --no-deps --no-build-isolation gptqmodel==7.7.0 # its own list wants CUDA's packages
	@touch $@

-include $(wildcard $(B)/tool/*.d $(B)/test/*.d $(B)/fuzz/*.d $(B)/*.d)
.PHONY: all demo test check bench bench-compilers bench-peers interop firmware lanes fuzz clean help
