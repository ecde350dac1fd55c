# SPDX-License-Identifier: Apache-2.0
#
# The only verbs; CI calls `make test` and nothing else.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# More flags for the two Swift commands and for pytest, for example PYTEST_FLAGS="-k crash".
SWIFT_BUILD_FLAGS ?=
# One binary with nothing to install beside it: everything but the C and math library is linked in. build/static holds
# links to the static libraries alone (scripts/setup.sh makes it), so that the linker finds these first.
STATIC_FLAGS = --static-swift-stdlib -Xlinker -L$(CURDIR)/build/static \
	-Xlinker -licuuc -Xlinker -licudata -Xlinker -llzma -Xlinker -lz
SWIFT_TEST_FLAGS ?=
PYTEST_FLAGS ?=
export SWIFT_TEST_FLAGS PYTEST_FLAGS

# For `make run`: make run ARGS="--data /srv/cairn --listen 127.0.0.1:4747"
ARGS ?=

SWIFT_SOURCES := Package.swift Sources Tests

.PHONY: help setup build tools test test-crash test-engines fuzz simulate acceptance run demo bench format lint clean

help: ## Shows the verbs.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 18

setup: ## Installs what is missing: Debian packages, the AWS CLI and boto3 in build/venv.
	@scripts/setup.sh

build: setup ## Builds the release binary, .build/release/cairn.
	swift build -c release $(STATIC_FLAGS) --product cairn $(SWIFT_BUILD_FLAGS)

# What the acceptance tests run beside the binary.
tools: build
	swift build -c release $(STATIC_FLAGS) --product cairn-decide $(SWIFT_BUILD_FLAGS)

test: tools ## Runs the unit tests, then the acceptance tests on the release binary.
	@scripts/test.sh

test-engines: build ## Runs deliveries to S3 servers that nobody here wrote: moto, Ceph, OpenStack Swift.
	@[ "$${CAIRN_SKIP_ENGINES:-}" = 1 ] || scripts/engines.sh
	build/venv/bin/python -m pytest Acceptance/test_engines.py $(PYTEST_FLAGS)

# One seed again, with its steps: make simulate SEED=17. Others: make simulate SEEDS=100000 STEPS=200.
SEEDS ?= 10000
STEPS ?= 50

simulate: setup ## Runs the event path under ten thousand seeds: faults, deaths, power cuts, jumps of the clock.
	swift build -c release $(STATIC_FLAGS) --product cairn-simulate $(SWIFT_BUILD_FLAGS)
	.build/release/cairn-simulate $(if $(SEED),--seed $(SEED),--seeds $(SEEDS)) --steps $(STEPS)

test-crash: tools ## Kills the server five hundred times under load, at chosen moments; 50 of them are in `make test`.
	CAIRN_CRASH_KILLS=$${CAIRN_CRASH_KILLS:-500} build/venv/bin/python -m pytest Acceptance/test_crash.py -s $(PYTEST_FLAGS)

# libFuzzer and the address sanitizer over the package of the fuzzers. The corpus in the repository is read; inputs that are
# found interesting are kept in build/fuzz. Leaks are not looked for: the sanitizer does not see references in which Swift
# keeps bits of its own.
FUZZ_TARGETS ?= policies events documents filters journal history files chunked signatures forms xml json
FUZZ_RUNS ?= 1000000
FUZZ_BUILD = swift build --package-path Tests/Fuzz --scratch-path build/fuzz -c release -Xswiftc -enable-testing \
	-Xswiftc -sanitize=fuzzer -Xswiftc -sanitize=address -Xswiftc -use-ld=lld \
	-Xswiftc -sanitize-coverage=edge,trace-cmp,inline-8bit-counters,pc-table

fuzz: setup ## Feeds a million inputs to each parser, under the address sanitizer.
	$(FUZZ_BUILD) --product cairn-fuzz
	@for target in $(FUZZ_TARGETS); do \
		mkdir -p build/fuzz/corpus/$$target; \
		echo "fuzz: $$target"; \
		SWIFT_BACKTRACE=enable=no ASAN_OPTIONS=detect_leaks=0 build/fuzz/release/cairn-fuzz $$target build/fuzz/corpus/$$target Tests/Fuzz/Corpus/$$target \
			-runs=$(FUZZ_RUNS) -max_len=$$([ $$target = chunked ] && echo 20000 || echo 4096) -timeout=30 -rss_limit_mb=2048 -artifact_prefix=build/fuzz/ \
			-print_final_stats=1 2>&1 | grep -vE '^#[0-9]+[[:space:]]+(NEW|REDUCE|RELOAD|pulse)'; \
	done

acceptance: tools ## Runs the acceptance tests alone.
	build/venv/bin/python -m pytest Acceptance $(PYTEST_FLAGS)

run: build ## Starts a server on the default data folder; flags in ARGS="...".
	.build/release/cairn serve $(ARGS)

demo: build ## Shows the whole of it in a few minutes: record, deliver, prove, catch a forger.
	@build/venv/bin/python scripts/demo.py

bench: build ## Measures what docs/performance.md reports (needs wrk, which it installs).
	@command -v wrk > /dev/null || { echo "bench: installing the Debian package wrk"; apt-get install -y -qq wrk > /dev/null; }
	swift build -c release $(STATIC_FLAGS) --product cairn-bench $(SWIFT_BUILD_FLAGS)
	swift build -c release $(STATIC_FLAGS) --product history-bench $(SWIFT_BUILD_FLAGS)
	@build/venv/bin/python scripts/bench.py
	@build/venv/bin/python scripts/bench_history.py
	@build/venv/bin/python scripts/bench_store.py

format: ## Formats all Swift sources.
	swift format format --in-place --recursive --parallel $(SWIFT_SOURCES)

lint: ## Complains about Swift sources that are not formatted.
	swift format lint --strict --recursive --parallel $(SWIFT_SOURCES)

clean: ## Removes everything that was built.
	rm -rf .build build
