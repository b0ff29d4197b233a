# skoop: probes for the network of a node and its pods.
#   make            build everything below build/
#   sudo make run   install what the build lacks, build, and look at this machine
#   sudo make check install what the tests lack, run them all
# Variables: V=1 SAN=1 CC CLANG BPFTOOL PKG_CONFIG CFLAGS LDFLAGS PREFIX SBINDIR MANDIR DESTDIR

VERSION    := 0.1.0
BUILD      ?= build
CC         ?= cc
CLANG      ?= clang
PKG_CONFIG ?= pkg-config
PYTHON     ?= /usr/bin/python3

PREFIX  ?= /usr
SBINDIR ?= $(PREFIX)/sbin
MANDIR  ?= $(PREFIX)/share/man
BASHCOMPDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHCOMPDIR  ?= $(PREFIX)/share/zsh/site-functions
FISHCOMPDIR ?= $(PREFIX)/share/fish/vendor_completions.d

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' $(1) $(2))

CFLAGS   ?= -O2 -g
WARNINGS := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wpointer-arith -Wno-missing-field-initializers
ifdef SAN
BUILD   := build/san
SANFLAGS := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
endif
ALL_CFLAGS = -std=gnu11 -D_GNU_SOURCE -DSKOOP_VERSION='"$(VERSION)"' -I. $(WARNINGS) \
	     $(shell $(PKG_CONFIG) --cflags libmnl) $(SANFLAGS) $(CFLAGS)
MNL_LIBS   = $(shell $(PKG_CONFIG) --libs libmnl)

# A probe is a file in tools/; the dispatcher is skoop.c with its rooms in tools/skoop/.
PROBES := $(patsubst tools/%.c,%,$(filter-out tools/skoop.c,$(wildcard tools/*.c)))
TOOLS  := $(PROBES:%=$(BUILD)/skoop-%)
SKOOP_OBJS := $(patsubst %.c,$(BUILD)/%.o,tools/skoop.c $(wildcard tools/skoop/*.c))
COMMON_OBJS := $(patsubst %.c,$(BUILD)/%.o,$(wildcard libcommon/*.c))
COMMON := $(BUILD)/libcommon.a
UNITS  := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/unit/test_*.c))

.PHONY: all run check docs clean install install-strip uninstall bench soak units fuzz lint
all: $(TOOLS) $(BUILD)/skoop

$(BUILD)/%.o: %.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(COMMON): $(COMMON_OBJS)
	$(call say,AR,$@)
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $^

$(TOOLS): $(BUILD)/skoop-%: $(BUILD)/tools/%.o $(COMMON)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(MNL_LIBS)

$(BUILD)/skoop: $(SKOOP_OBJS) $(COMMON)
	$(call say,LINK,$@)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -o $@ $^ $(MNL_LIBS)

units: $(UNITS)
$(UNITS): $(BUILD)/%: %.c $(COMMON)
	$(call say,UNIT,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(LDFLAGS) -MMD -MP -o $@ $< $(COMMON) $(MNL_LIBS) -lcmocka

clean:
	rm -rf build

-include $(shell find $(BUILD) -name '*.d' 2>/dev/null)
