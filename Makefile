# The README needs two of these: `make demo` and `make test`. Both get ready what
# is missing on a Debian or Ubuntu machine.

GO      ?= go
PREFIX  ?= /usr/local
DESTDIR ?=
TESTFLAGS ?=
BUILD   := build
BINARY  := $(BUILD)/remotemount
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)

.PHONY: all build demo test race check bench man install clean

all: build

build:
	$(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o $(BINARY) ./cmd/remotemount

demo:
	@integration/setup.sh demo
	@$(MAKE) --no-print-directory build
	$(BINARY) demo

# A skipped test is a failure here: everything the tests need has been set up.
# The tests on real mounts come last and alone: they wait for real time.
GOTEST := REMOTEMOUNT_REQUIRE_ALL=1 $(GO) test -timeout 15m
UNIT    = $(shell $(GO) list ./... | grep -v /integration$$)

test:
	@integration/setup.sh test
	$(GOTEST) $(TESTFLAGS) $(UNIT)
	$(GOTEST) -timeout 40m $(TESTFLAGS) ./integration

race:
	@$(MAKE) --no-print-directory test TESTFLAGS="-race $(TESTFLAGS)"

check:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
		if [ -n "$$unformatted" ]; then echo "not gofmt'ed: $$unformatted" >&2; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) tool errcheck ./...
	$(GO) mod tidy -diff
	$(GO) test -run Directions .

# BENCH takes the flags of integration/bench, as in BENCH="-rtt 20ms -work read".
bench: build
	@integration/setup.sh bench
	$(GO) run ./integration/bench -binary $(BINARY) $(BENCH)

man:
	man -l docs/remotemount.1

install: build
	install -Dm755 $(BINARY) $(DESTDIR)$(PREFIX)/bin/remotemount
	install -Dm644 docs/remotemount.1 $(DESTDIR)$(PREFIX)/share/man/man1/remotemount.1
	mkdir -p $(DESTDIR)$(PREFIX)/sbin
	ln -sf ../bin/remotemount $(DESTDIR)$(PREFIX)/sbin/mount.remotemount
	for shell in bash zsh fish; do $(BINARY) completion $$shell >$(BUILD)/completion.$$shell; done
	install -Dm644 $(BUILD)/completion.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/remotemount
	install -Dm644 $(BUILD)/completion.zsh $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_remotemount
	install -Dm644 $(BUILD)/completion.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/remotemount.fish

clean:
	rm -rf $(BUILD)
