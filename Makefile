# A thin front for Meson; `make help` lists what it does.
PREFIX ?= /usr/local
DESTDIR ?=
BUILD = build
FUZZ_SECONDS ?= 60
WERROR ?= true

all: packages
	@tools/build $(BUILD) --prefix=$(PREFIX) -Dwerror=$(WERROR) -- postern postern-drop

help:
	@echo 'make             build/postern and its links sendmail mailq newaliases makemap'
	@echo 'make run         a gateway and a sink under ./run, and one message through them'
	@echo 'make check       all tests (make check-long: with the long ones)'
	@echo 'make fuzz        each fuzz target under libFuzzer for FUZZ_SECONDS ($(FUZZ_SECONDS))'
	@echo 'make bench       beside Postfix; see bench/'
	@echo 'make tidy        the rules of the code alone'
	@echo 'make cover       which lines the unit tests, dialogues and corpora reach'
	@echo 'make install     below PREFIX ($(PREFIX)), or DESTDIR/PREFIX'
	@echo 'make clean       removes what was built, keeps the unpacked peers'

packages:
	@tools/install-packages build

test-packages:
	@tools/install-packages build test

run: all
	@tools/demo

check: test-packages
	@tests/run

check-long: test-packages
	@tests/run --long

fuzz:
	@tools/install-packages build fuzz
	@tools/fuzz $(FUZZ_SECONDS)

bench: all test-packages
	@tools/build $(BUILD) -- bench/mailload
	@bench/relay

tidy:
	@tools/tidy

cover:
	@tools/install-packages build cover
	@tools/cover

install: packages
	@tools/build $(BUILD) --prefix=$(PREFIX) -Dwerror=$(WERROR) -- postern postern-drop
	@meson configure $(BUILD) --prefix=$(PREFIX)
	DESTDIR=$(DESTDIR) meson install -C $(BUILD)

clean:
	rm -rf build-asan build-fuzz build-cover
	[ ! -d $(BUILD) ] || find $(BUILD) -mindepth 1 -maxdepth 1 ! -name peers -exec rm -rf {} +

.PHONY: all help packages test-packages run check check-long fuzz bench tidy cover install clean
