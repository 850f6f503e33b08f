# The one door to scripts/, where everything is done.

BOARD ?= qemu-aarch64
export BOARD VMS VM CPU SMP MEM GIC QEMU_ARGS CASE MACHINE

.DEFAULT_GOAL := help
.PHONY: help setup build image run debug test hostile fuzz bench bench-linux check fmt clean

help: ## what there is to do
	@echo "make <one of these>, with the words behind it where you want something else:"
	@sed -n 's/^\([a-z-]*\):.*## /  \1#/p' $(MAKEFILE_LIST) | while IFS='#' read -r name text; do printf '  %-11s %s\n' $$name "$$text"; done

setup: ## install what is missing on this machine and fetch the guests (quick when nothing is)
	@scripts/setup

build: setup ## hypervisor and test guests, for bare metal
	@scripts/build

image: build ## the one file to deploy            BOARD=qemu-aarch64 VMS="linux-aarch64 ..."
	@scripts/image $(BOARD) $(VMS) $(VM)

run: setup ## boot in QEMU, shell on this terminal   BOARD= VMS= SMP= MEM= CPU= GIC= QEMU_ARGS=
	@scripts/run

debug: setup ## the same, stopped, with gdb attached
	@scripts/run debug

test: setup build ## host tests and QEMU cases             CASE="hello timer" runs only those cases
	@scripts/test $(CASE)

hostile: setup build ## guests that try to hurt the host and each other    CASE="A B24" MACHINE=max-gic3 HOSTILE="--long"
	@scripts/hostile $(HOSTILE) $(addprefix --machine=,$(MACHINE)) $(CASE)

fuzz: setup ## looks for inputs that do harm             FUZZ="600 gicv3" is how long and what
	@scripts/fuzz $(FUZZ)

bench: setup build ## what exits, the image, memory and starting cost; fails beyond a budget   BENCH="rows"
	@scripts/bench $(BENCH)

bench-linux: setup build ## the same for Linux: its boot, and programs in it (five minutes)
	@scripts/bench linux loads

check: setup ## format, clippy, docs, arrows between crates, the lists of unsafe code and panics
	@scripts/check

fmt: setup ## format the sources, write docs/unsafe.md and the tables of docs/isolation.md
	@scripts/check --fix-format

clean: ## remove target/; downloads in the cache stay
	rm -rf target
