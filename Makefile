# skoop: probes for the network of a node and its pods.
#   make            build everything below build/
#   sudo make run   install what the build lacks, build, and look at this machine
#   sudo make check install what the tests lack, run them all
#   sudo make vm, soak, bench   all tests of namespaces on other kernels, the long tests, the comparison with peers
# Variables: V=1 SAN=1 CC CLANG BPFTOOL PKG_CONFIG CFLAGS LDFLAGS PREFIX SBINDIR MANDIR DESTDIR
#            TESTS (arguments of pytest), INSIDE (of the one on other kernels)

VERSION    := 0.1.0
RELEASED   := 2026-11-25
BUILD      ?= build
CC         ?= cc
CLANG      ?= clang
BPFTOOL    ?= $(firstword $(wildcard /usr/sbin/bpftool) bpftool)
PKG_CONFIG ?= pkg-config
PYTHON     ?= /usr/bin/python3

PREFIX  ?= /usr
SBINDIR ?= $(PREFIX)/sbin
MANDIR  ?= $(PREFIX)/share/man
BASHCOMPDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHCOMPDIR  ?= $(PREFIX)/share/zsh/site-functions
FISHCOMPDIR ?= $(PREFIX)/share/fish/vendor_completions.d

Q := $(if $(V),,@)
# Quiet with make -s, as the commands themselves.
say = $(if $(V)$(findstring s,$(firstword -$(MAKEFLAGS))),,@printf '  %-7s %s\n' $(1) $(2))

CFLAGS   ?= -O2 -g
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wpointer-arith -Wno-missing-field-initializers
ifdef SAN
BUILD   := build/san
SANFLAGS := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
endif
ALL_CFLAGS = -std=gnu11 -D_GNU_SOURCE -DSKOOP_VERSION='"$(VERSION)"' -I. -I$(BUILD) $(WARNINGS) \
	     $(shell $(PKG_CONFIG) --cflags libmnl) $(SANFLAGS) $(CFLAGS)
MNL_LIBS   = $(shell $(PKG_CONFIG) --libs libmnl)
BPF_LIBS   = $(shell $(PKG_CONFIG) --libs libbpf)
# VMLINUX_H: a full dump of a kernel's types in place of bpf/vmlinux.h.
BPF_ARCH   = $(subst x86_64,x86,$(subst aarch64,arm64,$(shell uname -m)))
BPF_CFLAGS = -g -O2 --target=bpf -mcpu=v3 -Wall -Wextra -Wno-unused-parameter -Wno-missing-declarations -D__TARGET_ARCH_$(BPF_ARCH) \
	     -I. -idirafter /usr/include/$(shell $(CC) -print-multiarch) $(if $(VMLINUX_H),-DSKOOP_VMLINUX_DUMP='"$(VMLINUX_H)"')

# A probe is a file in tools/; the dispatcher is skoop.c with its rooms in tools/skoop/.
PROBES := $(patsubst tools/%.c,%,$(filter-out tools/skoop.c,$(wildcard tools/*.c)))
# Those with a kernel half, bpf/PROBE.bpf.c, are linked with libbpf, the others are not.
TRACING := $(patsubst bpf/%.bpf.c,%,$(wildcard bpf/*.bpf.c))
TOOLS  := $(PROBES:%=$(BUILD)/skoop-%)
TRACERS := $(TRACING:%=$(BUILD)/skoop-%)
# bpf/types.o holds a variable of each type declared, for the test that holds them against the running kernel's.
BPF_TYPES := bpf/vmlinux.h bpf/compat.bpf.h
SKOOP_OBJS := $(patsubst %.c,$(BUILD)/%.o,tools/skoop.c $(wildcard tools/skoop/*.c))
COMMON_OBJS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard libcommon/*.c))
COMMON := $(BUILD)/libcommon.a
UNITS  := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/unit/test_*.c))

.PHONY: all run check vm docs clean install install-strip uninstall bench soak units fuzz lint
all: $(TOOLS) $(BUILD)/skoop $(BUILD)/bpf/types.o $(BUILD)/bpf/spin.o $(BUILD)/tests/netns/attach

$(BUILD)/%.o: %.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(COMMON): $(COMMON_OBJS)
	$(call say,AR,$@)
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $^

$(TRACERS): LIBS = $(BPF_LIBS)
# A probe may have rooms in tools/PROBE/.
.SECONDEXPANSION:
$(TOOLS): $(BUILD)/skoop-%: $(BUILD)/tools/%.o $$(patsubst %.c,$(BUILD)/%.o,$$(wildcard tools/$$*/*.c)) $(COMMON)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(LIBS) $(MNL_LIBS)

# The kernel half: clang makes the object, bpftool the header that carries it into the tool.
.PRECIOUS: $(BUILD)/bpf/%.bpf.o
$(BUILD)/bpf/%.bpf.o: bpf/%.bpf.c
	$(call say,BPF,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -c -o $@ $<
$(BUILD)/bpf/types.c: $(BPF_TYPES)
	$(Q)mkdir -p $(@D)
	$(Q)sed -n -e '1i #include "bpf/compat.bpf.h"' -e 's/^\(struct\|union\|enum\) \([a-z0-9_]*\) {.*/\1 \2 one_\2;/p' $^ >$@
$(BUILD)/bpf/types.o: $(BUILD)/bpf/types.c
	$(call say,BPF,$<)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -c -o $@ $<
# A delay that tests put into the kernel, and what attaches it.
$(BUILD)/tests/netns/attach: tests/netns/attach.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -MMD -MP -o $@ $< $(BPF_LIBS)
$(BUILD)/bpf/spin.o: tests/netns/spin.bpf.c
	$(call say,BPF,$<)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -c -o $@ $<
$(BUILD)/bpf/%.skel.h: $(BUILD)/bpf/%.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name $*_bpf >$@.part && mv $@.part $@
$(TRACING:%=$(BUILD)/tools/%.o): $(BUILD)/tools/%.o: $(BUILD)/bpf/%.skel.h

$(BUILD)/skoop: $(SKOOP_OBJS) $(COMMON)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(MNL_LIBS)

units: $(UNITS)
$(UNITS): $(BUILD)/%: %.c $(COMMON)
	$(call say,UNIT,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -MMD -MP -o $@ $< $(COMMON) $(MNL_LIBS) -lcmocka

# Fuzz harnesses: libFuzzer is clang's, so the library is compiled once more with it.
FUZZERS := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZFLAGS := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined
FUZZ_OBJS := $(patsubst %.c,$(BUILD)/fuzz/%.o,$(filter-out libcommon/bpf%,$(wildcard libcommon/*.c)))
fuzz: $(FUZZERS)
$(BUILD)/fuzz/%.o: %.c
	$(call say,FUZZCC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(ALL_CFLAGS) $(FUZZFLAGS) -MMD -MP -c -o $@ $<
$(FUZZERS): $(BUILD)/fuzz/%: $(BUILD)/fuzz/tests/fuzz/%.o $(FUZZ_OBJS)
	$(call say,FUZZER,$@)
	$(Q)$(CLANG) -fsanitize=fuzzer,address,undefined -o $@ $^ $(MNL_LIBS)

# What a fresh Debian machine lacks. What runs and tests installs it; building and installing never do.
BUILD_DEPS := bpftool clang gcc libbpf-dev libc6-dev libelf-dev libmnl-dev make pkg-config
RUN_DEPS   := $(BUILD_DEPS)
CHECK_DEPS := $(BUILD_DEPS) bash-completion clang clang-format clang-tidy conntrack cppcheck \
	      busybox-static cpio devscripts dmsetup e2fsprogs ethtool fish iperf3 iproute2 iptables iputils-ping ipvsadm \
	      jq libclang-rt-dev libcmocka-dev kmod lsof mandoc man-db nftables \
	      procps prometheus prometheus-node-exporter python3 python3-prometheus-client python3-pytest qemu-system-x86 \
	      shellcheck strace sudo util-linux valgrind xz-utils zsh
install_missing = $(Q)missing=; for p in $(1); do \
	dpkg-query -W -f '$${db:Status-Status}\n' $$p 2>/dev/null | grep -qx installed || missing="$$missing $$p"; done; \
	[ -z "$$missing" ] || { echo "installing:$$missing"; export DEBIAN_FRONTEND=noninteractive; \
	apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing >/dev/null; }

run:
	$(call install_missing,$(RUN_DEPS))
	$(Q)$(MAKE) --no-print-directory all
	$(BUILD)/skoop snapshot

# Those of other kernels are apart: make vm.
check:
	$(call install_missing,$(CHECK_DEPS))
	$(Q)$(MAKE) --no-print-directory all units fuzz
	$(Q)BUILD=$(BUILD) $(PYTHON) -m pytest tests --ignore=tests/vm $(TESTS)

# All of them on these kernels, on one, and one of them on one:
#   sudo make vm
#   sudo make vm TESTS='-k 6.12'
#   sudo make vm TESTS='-k 6.12' INSIDE='-k test_services_and_servers'
vm:
	$(call install_missing,$(CHECK_DEPS))
	$(Q)$(MAKE) --no-print-directory all units
	$(Q)INSIDE="$(INSIDE)" BUILD=$(BUILD) $(PYTHON) -m pytest tests/vm $(TESTS)

# What takes longer than a check may: ten minutes of healthy traffic, every fuzz harness for a minute.
soak:
	$(call install_missing,$(CHECK_DEPS))
	$(Q)$(MAKE) --no-print-directory all units fuzz
	$(Q)SKOOP_SOAK=1 SKOOP_FUZZ_SECONDS=60 BUILD=$(BUILD) $(PYTHON) -m pytest \
		tests/netns/test_snapshot_healthy.py tests/fuzz $(TESTS)

# Our probes against their peers in one run: a table of ratios, never a verdict on a time.
BENCHERS := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/bench/*.c))
$(BENCHERS): $(BUILD)/%: %.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -o $@ $<
bench: all $(BENCHERS)
	$(call install_missing,$(CHECK_DEPS))
	$(Q)BUILD=$(BUILD) $(PYTHON) tests/bench/run.py $(TESTS)

# Manual pages, completions and the README's tables from what the tools say of themselves; DOCS is the tree to write.
DOCS ?= .
docs: all
	$(Q)$(PYTHON) -B man/generate.py $(BUILD) $(DOCS) 'skoop $(VERSION)' $(RELEASED)

lint:
	$(call install_missing,$(CHECK_DEPS))
	$(Q)BUILD=$(BUILD) $(PYTHON) -m pytest tests/cases/test_lint.py $(TESTS)

INSTALL ?= install
PROGRAMS := skoop $(PROBES:%=skoop-%)
install: all
	$(INSTALL) -d $(addprefix $(DESTDIR),$(SBINDIR) $(MANDIR)/man8 $(BASHCOMPDIR) $(ZSHCOMPDIR) $(FISHCOMPDIR))
	$(INSTALL) -m 755 $(STRIP) $(PROGRAMS:%=$(BUILD)/%) $(DESTDIR)$(SBINDIR)
	$(INSTALL) -m 644 $(PROGRAMS:%=man/%.8) $(DESTDIR)$(MANDIR)/man8
	$(INSTALL) -m 644 completions/skoop.bash $(DESTDIR)$(BASHCOMPDIR)/skoop
	$(INSTALL) -m 644 completions/_skoop $(DESTDIR)$(ZSHCOMPDIR)/_skoop
	$(INSTALL) -m 644 completions/skoop.fish $(DESTDIR)$(FISHCOMPDIR)/skoop.fish
	$(Q)for p in $(PROBES:%=skoop-%); do \
		ln -sf skoop $(DESTDIR)$(BASHCOMPDIR)/$$p && ln -sf skoop.fish $(DESTDIR)$(FISHCOMPDIR)/$$p.fish || exit 1; done

install-strip:
	$(Q)$(MAKE) --no-print-directory install STRIP=-s

uninstall:
	rm -f $(PROGRAMS:%=$(DESTDIR)$(SBINDIR)/%) $(PROGRAMS:%=$(DESTDIR)$(MANDIR)/man8/%.8) \
		$(PROGRAMS:%=$(DESTDIR)$(BASHCOMPDIR)/%) $(DESTDIR)$(ZSHCOMPDIR)/_skoop $(PROGRAMS:%=$(DESTDIR)$(FISHCOMPDIR)/%.fish)

clean:
	rm -rf build

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
