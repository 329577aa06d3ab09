# The README needs two of these: `make demo` and `make test`. Both get ready what
# is missing on Debian; elsewhere they name it.

PREFIX  ?= /usr/local
DESTDIR ?=
TESTFLAGS ?=
BUILD   := build
BINARY  := $(BUILD)/remotemount
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
COMMIT  := $(shell git log -1 --format=%h 2>/dev/null)
DATE    := $(shell git log -1 --format=%cs 2>/dev/null)

# Where setup.sh puts a Go when the machine's is too old.
export PATH := $(CURDIR)/$(BUILD)/go/bin:$(PATH)

.PHONY: all build setup demo test race fuzz boot fresh check judge bench man install uninstall clean

all: build

setup:
	@integration/setup.sh build

build: $(BINARY)

# Built only when something changed, so that root who installs needs no Go.
SOURCES := go.mod go.sum $(shell find cmd fsnode cache pool keys sync serve -type f)

$(BINARY): $(SOURCES)
	@integration/setup.sh build
	go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT) -X main.date=$(DATE)" -o $@ ./cmd/remotemount

demo:
	@integration/setup.sh demo
	@$(MAKE) --no-print-directory build
	$(BINARY) demo

# A skipped test is a failure here: everything the tests need has been set up.
# The tests on real mounts come last and alone, six at a time: they wait for real time.
# First are those that take longest; they wait as well, so more packages are at work than
# there are cores.
test:
	@integration/setup.sh test
	REMOTEMOUNT_REQUIRE_ALL=1 go run ./integration/slowest -timeout 60m -p 3 -parallel 16 $(TESTFLAGS) \
		-- ./pool ./sync ./cache $$(go list ./... | grep -v /integration$$) -- -parallel 6 ./integration

# Key derivation at its default costs is too slow under the race detector. Each of
# hundreds of programs that the tests run would wait for a second when it ends, for
# races of goroutines that are still at work then: a tenth of it does.
race: export GORACE := atexit_sleep_ms=100 $(GORACE)
race:
	@$(MAKE) --no-print-directory test TESTFLAGS="-race $(TESTFLAGS)"
	REMOTEMOUNT_REQUIRE_ALL=1 go test $(TESTFLAGS) -run '^(TestDefaultCosts|TestComplete.*)$$' ./keys ./pool ./cache

# All servers that people have, as far as Debian has them, at their tasks; writes
# docs/SERVERS.md.
.PHONY: servers
servers:
	@integration/setup.sh servers
	REMOTEMOUNT_REQUIRE_ALL=1 REMOTEMOUNT_SERVERS=$(CURDIR)/docs/SERVERS.md \
		go test -count=1 -timeout 30m -v -run '^(TestServers|TestModes)$$' $(TESTFLAGS) ./integration

# What only a whole machine shows, on one that qemu boots: some minutes, as root.
boot:
	integration/boot/run.sh $(BOOT)

# What is promised of demo and test, tried from nothing; FRESH names some cases.
fresh:
	integration/fresh.sh $(FRESH)

# Each target by itself for FUZZTIME, one call of go test each; FUZZ names some of
# them. The corpora run as plain tests with `make test`.
FUZZTIME ?= 10m
FUZZ     ?= .

fuzz:
	@git grep -E -o '^func Fuzz[A-Za-z0-9]+' -- '*_test.go' | sed 's|/[^/]*:func | |' | grep -E -e '$(FUZZ)' | sort -u | \
	while read -r dir name; do \
		echo "== ./$$dir $$name"; \
		go test "./$$dir" -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x || exit 1; \
	done

check: setup
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
		if [ -n "$$unformatted" ]; then echo "not gofmt'ed: $$unformatted" >&2; exit 1; fi
	go vet ./...
	go tool staticcheck ./...
	go tool errcheck ./...
	go mod tidy -diff
	go test -run Directions .

# STEPS random steps in each setting, about data and about names, beginning with the history of a SEED; see
# CONTRIBUTING.md.
STEPS ?= 50000
SEED  ?= $(shell date +%s)

judge:
	@integration/setup.sh test
	REMOTEMOUNT_REQUIRE_ALL=1 REMOTEMOUNT_JUDGE_STEPS=$(STEPS) REMOTEMOUNT_JUDGE_SEED=$(SEED) \
		go test -count=1 -timeout 6h -v -run '^TestJudge(Names)?$$' $(TESTFLAGS) ./integration

# Every history of a few operations, with a cut at each packet: some minutes.
.PHONY: history
history:
	REMOTEMOUNT_HISTORY_EVERY=1 go test -count=1 -timeout 3h -v -run '^TestComplete' $(TESTFLAGS) ./pool ./cache

# An hour of random changes, cuts and kills against the model of what a sync promises.
.PHONY: sync-torture
sync-torture:
	REMOTEMOUNT_REQUIRE_ALL=1 REMOTEMOUNT_TORTURE=$(or $(TORTURE),1h) go test -count=1 -timeout 3h -parallel 8 -v -run '^TestOracle$$' ./sync

# Fifty processes in a mount to which everything happens, for SOAK.
SOAK ?= 30m

.PHONY: soak
soak:
	@integration/setup.sh test
	REMOTEMOUNT_REQUIRE_ALL=1 REMOTEMOUNT_SOAK=$(SOAK) nice go test -count=1 -timeout 12h -v -run '^TestSoak$$' $(TESTFLAGS) ./integration

# BENCH takes the flags of integration/bench, as in BENCH="-rtt 20ms -work read".
bench:
	@integration/setup.sh bench
	@$(MAKE) --no-print-directory build
	go run ./integration/bench -binary $(BINARY) $(BENCH)

# What a sync takes at 20 ms beside rsync, five times each in turns, and beside lftp and
# rclone, once: a quarter of an hour on two cores that are otherwise idle.
SYNC_BENCH := -user ordinary -rtt 20ms -work sync-many,sync-again,sync-large -data $(BUILD)/bench-sync.jsonl -markdown $(BUILD)/bench-sync.md -svg ""

.PHONY: bench-sync
bench-sync:
	@integration/setup.sh bench
	@$(MAKE) --no-print-directory build
	go run ./integration/bench -binary $(BINARY) $(SYNC_BENCH) -tool sync,rsync -repeat 5
	go run ./integration/bench -binary $(BINARY) $(SYNC_BENCH) -tool lftp,rclone-sync -repeat 1 -append

# What a desktop does with a mount: a minute on a screen of its own, pictures of which are
# in build/desktop then.
.PHONY: desktop
desktop:
	@integration/setup.sh desktop
	@$(MAKE) --no-print-directory build
	rm -rf $(BUILD)/desktop
	go run ./integration/desktop -binary $(BINARY) -out $(BUILD)/desktop integration/desktop.sh

# Packages of what is committed, for Debian, RPM, Alpine and Arch, in build/packages; then
# they are tried, as packaging/check.sh says. Some minutes; root installs and removes them.
PACKAGES := $(BUILD)/packages

.PHONY: packages
packages:
	@integration/setup.sh packages
	rm -rf $(PACKAGES)
	go -C packaging/tools vet ./...
	go -C packaging/tools test ./...
	packaging/build.sh $(PACKAGES)
	packaging/check.sh $(PACKAGES)

man:
	man -l docs/remotemount.1

SHARE := $(DESTDIR)$(PREFIX)/share

# mount(8) looks for its helpers in /sbin alone, wherever that leads here.
HELPER := $(DESTDIR)$(shell readlink -f /sbin)/mount.remotemount
PROGRAM := $(abspath $(PREFIX))/bin/remotemount

install: $(BINARY)
	install -Dm755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/remotemount
	install -Dm644 docs/remotemount.1 $(SHARE)/man/man1/remotemount.1
	for shell in bash zsh fish; do $(BINARY) completion $$shell >$(BUILD)/completion.$$shell || exit 1; done
	install -Dm644 $(BUILD)/completion.bash $(SHARE)/bash-completion/completions/remotemount
	install -Dm644 $(BUILD)/completion.zsh $(SHARE)/zsh/site-functions/_remotemount
	install -Dm644 $(BUILD)/completion.fish $(SHARE)/fish/vendor_completions.d/remotemount.fish
	@if [ -e $(HELPER) ] && [ "$$(readlink $(HELPER))" != $(PROGRAM) ]; then \
		echo "$(HELPER) is of another installation, and stays as it is"; \
	elif [ -z "$(DESTDIR)" ] && [ "$$(id -u)" != 0 ]; then \
		echo "for mount(8) and /etc/fstab, as root: ln -s $(PROGRAM) $(HELPER)"; \
	else \
		set -x; mkdir -p $(dir $(HELPER)) && ln -sfn $(PROGRAM) $(HELPER); \
	fi

# Folders of the completions that are empty then are taken away too.
uninstall:
	if [ "$$(readlink $(HELPER))" = $(PROGRAM) ]; then rm -f $(HELPER); fi
	rm -f $(DESTDIR)$(PREFIX)/bin/remotemount $(SHARE)/man/man1/remotemount.1
	rm -f $(SHARE)/bash-completion/completions/remotemount $(SHARE)/zsh/site-functions/_remotemount
	rm -f $(SHARE)/fish/vendor_completions.d/remotemount.fish
	cd $(SHARE) && rmdir -p bash-completion/completions zsh/site-functions fish/vendor_completions.d 2>/dev/null || true
	rmdir $(SHARE)/man/man1 2>/dev/null || true

clean:
	rm -rf $(BUILD)
