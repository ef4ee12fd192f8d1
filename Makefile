# Every command a person types. The work is in ci/, one script per check, each runnable by hand.
#
#   SEED=n SVG=file             which cluster `make sim` plays again, and where it draws it
#   ARGS='...'                  options for ha-sim or ha-lab
#   STD=auto|prebuilt|source    where the musl standard library comes from, see ci/static
#   SECONDS_EACH=n              how long `make fuzz` stays with each target
#   TARGET='mips armv7'         which processors `make dist` and `make emulated` are about
#   AT=offset, PROGRAM=file     where a panic was, and the program that logged it, see ci/place
#   CARGO_TARGET_DIR=DIR        where cargo builds, instead of target/

.DEFAULT_GOAL := static
.PHONY: static test fresh sim lab fuzz bench deb appliance lab-mixed vagrant fmt clean help toolchain format lint tidy doc mutants bare size place bloat packages dist emulated

static: ## build the static binary; prints its path and size
	@ci/static

test: ## run everything that CI runs, installing what is missing
	@ci/all

fresh: ## run `make lab` and `make test` in a bare Debian 12 that is made for it; takes more than an hour
	@ci/fresh

sim: ## play 10,000 clusters of 10 minutes with faults; SEED=n plays one again and tells its story, SVG=file draws it
	@ci/sim $(if $(SEED),replay $(SEED) $(if $(SVG),--svg $(SVG)),run) $(ARGS)

lab: ## show fail-overs between real nodes, then chaos; ARGS='--scenario stop --runs 3' picks some of them
	@ci/lab $(if $(ARGS),run $(ARGS),figures)
	@$(if $(ARGS),,ci/lab chaos --rounds 100 --seed 1)

fuzz: ## let libFuzzer attack parsers and a node for a minute each; SECONDS_EACH=n for longer
	@ci/fuzz

deb: ## build the Debian package; prints its path
	@ci/deb

appliance: ## boot two appliances on a virtual LAN, with nftables and without, cut the power, boot again; ARCH=aarch64, armv7 or mipsel for another machine
	@ci/appliance

lab-mixed: ## show fail-overs between x86_64, aarch64, armv7 and mipsel, whole machines on one virtual LAN; takes three minutes
	@ci/lab-mixed

vagrant: ## build a Debian box, bring up four machines by vagrant, and run vagrant/failover-test; takes ten minutes
	@ci/vagrant up

bench: ## measure what a packet costs to check, with the flags of the tests and with those of the static binary
	@ci/bench

dist: ## make tarballs for every processor; TARGET='mips armv7' makes some of them
	@ci/dist $(TARGET)

emulated: ## run what `make dist` has made by qemu-user; TARGET as there
	@ci/emulated $(TARGET)

place: ## say where in the sources a panic was that has logged `panic at +0x1a2b3`: AT=0x1a2b3; TARGET and PROGRAM as in ci/place
	@ci/place $(TARGET) $(AT)

bloat: ## say what the bytes of the static binary are: by section, by crate, by function
	@ci/bloat

toolchain format lint tidy doc mutants bare size packages: ## run this check of `make test` alone
	@ci/$@

fmt: ## format the Rust sources
	@cargo fmt --all -- lab/src/scenarios/*.rs

clean: ## remove what was built
	@cargo clean

help: ## list the targets
	@sed -n 's/^\([a-z][a-z ]*\):.*## \(.*\)/make \1\n        \2/p' $(firstword $(MAKEFILE_LIST))
