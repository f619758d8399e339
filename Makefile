# One door for people and CI. `make demo` and `make test` set themselves up.
#
# The targets that sync a project (sync-pull, sync-push and so on) are in sync.mk. They are not included
# here: this tree is the program, not a project that is synchronised. `rsyn init --makefile` writes them
# into yours.
SHELL := /bin/sh
CARGO ?= cargo

.DEFAULT_GOAL := help
.PHONY: help demo test check fmt clippy doc bench bench-quick bench-wan bench-growth install

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## build, then show two machines and a hub at work, in a temporary directory
	@tests/scripts/prepare sshd >/dev/null
	$(CARGO) build --release --locked
	@tests/scripts/demo

test: ## run all tests; without sshd or rsync those that need them say SKIPPED
	@skip=$$(tests/scripts/prepare sshd rsync strace) && \
	echo "$(CARGO) test --locked" && \
	RSYN_SKIP="$$skip" $(CARGO) test --locked </dev/null && \
	{ [ -z "$$skip" ] || echo "SKIPPED: the tests that need $$skip"; }

check: fmt clippy doc test ## everything that a change must pass

fmt: ## is the code formatted?
	$(CARGO) fmt --check

clippy: ## lints; a warning is an error
	$(CARGO) clippy --all-targets --locked -- -D warnings

doc: ## build the documentation of the library; a warning is an error
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --locked

bench: ## compare with rsync on this machine, push and pull (takes a while)
	@tests/scripts/prepare sshd rsync >/dev/null
	$(CARGO) bench --locked --bench sync

bench-quick: ## every row of it at a small scale: does it work, not how fast is it
	@RSYN_BENCH_QUICK=1 $(MAKE) --no-print-directory bench

bench-wan: ## the same table over a slow link: 40 ms there and back, 50 Mbit/s
	@RSYN_BENCH_WAN=1 $(MAKE) --no-print-directory bench

bench-growth: ## time and memory against the number and the size of files, with plots into docs/
	@RSYN_BENCH_FORM=growth $(MAKE) --no-print-directory bench

install: ## build and put rsyn into ~/.cargo/bin
	$(CARGO) install --path . --locked

# -- long sweeps: what takes too long for `make test`. Each has its own target, and a line in
# -- docs/contributing.md.
.PHONY: oracle histories modes sim powerloss large faults mutants

oracle: ## a hundred times as many random filter rules against the installed rsync
	RSYN_ORACLE_CASES=$${RSYN_ORACLE_CASES:-100000} $(CARGO) test --locked --release --test oracle

histories: ## many random histories of machines and a hub: of the planner alone, and of the program itself
	RSYN_HISTORIES=$${RSYN_HISTORIES:-100000} $(CARGO) test --locked --release --test properties
	RSYN_REAL_HISTORIES=$${RSYN_REAL_HISTORIES:-2000} $(CARGO) test --locked --release --test histories -- --nocapture

SEEDS ?= 20000

modes: ## dry runs against runs of an ordinary user, in pairs of trees whose directories lack permission bits
	RSYN_MODES=$${RSYN_MODES:-20000} $(CARGO) test --locked --release --test cli odd_modes -- --nocapture

sim: ## SEEDS simulated worlds of machines, a hub, crashes, cuts and losses, with the engine in one process
	@if [ -d /dev/shm ] && [ -z "$$TMPDIR" ]; then export TMPDIR=/dev/shm; fi; echo "worlds below $${TMPDIR:-/tmp}"; \
	RSYN_SIM_SEEDS=$(SEEDS) $(CARGO) test --locked --release --lib simulated_worlds -- --nocapture

powerloss: ## the power fails in a modelled disk that keeps any part of what was not synced
	RSYN_POWERLOSS=$${RSYN_POWERLOSS:-100000} $(CARGO) test --locked --release --lib transaction::tests::power -- --nocapture

large: ## 100,000 files, a file beyond 4 GiB with holes, files that move while they are read; with memory
	RSYN_LARGE_ENTRIES=$${RSYN_LARGE_ENTRIES:-100000} RSYN_LARGE_MIB=$${RSYN_LARGE_MIB:-5120} \
	$(CARGO) test --locked --release --test large -- --nocapture --test-threads 1

faults: ## kill, refuse and cut the power at every system call (strace; root for the power and full disks)
	@skip=$$(tests/scripts/prepare strace) && \
	RSYN_SKIP="$$skip" RSYN_FAULTS=$${RSYN_FAULTS:-1} $(CARGO) test --locked --test faults -- --nocapture --test-threads 1

mutants: ## break the commit protocol in some sixty ways: each must fail a test
	@skip=$$(tests/scripts/prepare strace) && \
	RSYN_SKIP="$$skip" RSYN_MUTANTS=$${RSYN_MUTANTS:-all} $(CARGO) test --locked --test faults -- --nocapture mutants

.PHONY: hostile cuts races swaps fuzz

hostile: ## every evil value in every field against both ends, every byte of every state file
	RSYN_HOSTILE=$${RSYN_HOSTILE:-all} $(CARGO) test --locked --release --test hostile -- --nocapture

cuts: ## a wire that is cut after every single byte of a small sync
	RSYN_CUTS=$${RSYN_CUTS:-all} $(CARGO) test --locked --release --test wire cuts -- --nocapture

races: ## editors, links, pushers and runs that get into each other's way, many times
	RSYN_RACES=$${RSYN_RACES:-50} $(CARGO) test --locked --release --test races -- --nocapture
	RSYN_EDITOR_RACES=$${RSYN_EDITOR_RACES:-200000} $(CARGO) test --locked --release --lib transaction::tests::editors -- --nocapture

swaps: ## a restricted key and somebody who swaps every component of its roots with links, 100,000 tries
	RSYN_SWAPS=$${RSYN_SWAPS:-100000} $(CARGO) test --locked --release --test races -- --nocapture swap_leads

fuzz: ## each fuzz target for FUZZ_SECS (60) seconds; needs cargo-fuzz and a nightly toolchain
	RSYN_FUZZ_SEEDS=$(CURDIR)/fuzz/corpus $(CARGO) test --locked --test fuzz every_target
	@cd fuzz && for target in $$($(CARGO) +nightly fuzz list); do \
		TMPDIR=$${FUZZ_TMPDIR:-/dev/shm} $(CARGO) +nightly fuzz run $$target -- -max_len=65536 -timeout=10 -rss_limit_mb=1024 \
			-max_total_time=$${FUZZ_SECS:-60} -print_final_stats=1 || exit 1; \
	done
