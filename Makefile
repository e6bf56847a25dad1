# Everything that is made goes to build/; `make help` lists the targets.
#
#   NGX_SRC   an nginx source tree, 1.22 or newer: git or tarball, it is only
#             read.  Default: Debian's nginx-dev, for the installed nginx
#   STATIC    1: the module is built into that nginx
#   CC        gcc or clang
#   TESTS     what `make test` runs: files or directories
#   ROWS      what `make bench` and `make bench-instructions` measure
#   REQUESTS  how many `make bench-instructions` counts for each
#   PLOTS     what `make bench-growth` draws: body records connections redis
#   FUZZ      the targets of `make fuzz` and `make fuzz-coverage`
#   FUZZ_SECONDS  how long each of them runs
#   SOAK_SECONDS, SOAK_SEED  of `make soak`: how long, and the faults of which run
#   MUTANTS   words: those of `make mutants` with one of them
#   JOBS      how many test files run at once (most of their time they wait)
#   BUILD     another directory than build/
#   DESTDIR   for `make install`

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := module
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: module nginx conf probe run test asan-test bench bench-instructions bench-growth \
        fuzz fuzz-coverage mutants soak install uninstall deb deb-test webhook \
        clean help FORCE

MODULE  := ngx_http_chatmaid_module
BUILD   ?= build
NGX_SRC ?= /usr/share/nginx/src
JOBS    ?= $(shell expr $$(nproc) \* 3)

# No warning flags here: nginx's own are -Wall -Wextra -Werror, for gcc and
# clang, less -Wno-unused-parameter, for its callbacks leave many unused.
# Given here they would also go to configure's little test programs, which
# then fail, and the module would be built for an nginx without those features.
CC_OPT ?= -g -O2 -fstack-protector-strong -D_FORTIFY_SOURCE=2
LD_OPT ?= -Wl,-z,relro -Wl,-z,now

BUILD_DIR := $(abspath $(BUILD))
OBJS      := $(BUILD_DIR)/objs
TREE      := $(BUILD_DIR)/tree
NGX_DIR   := $(abspath $(NGX_SRC))

# nginx-dev says how Debian's nginx was configured (conf_flags, a bash array).
# Another nginx loads the module if it too was configured --with-compat; these
# are Debian's http modules, which the tests use, and HTTP/3 where there is one.
NGX_CONF ?= --with-compat \
            --with-debug \
            --with-threads \
            --with-pcre-jit \
            --with-http_addition_module \
            --with-http_auth_request_module \
            --with-http_dav_module \
            --with-http_gunzip_module \
            --with-http_gzip_static_module \
            --with-http_realip_module \
            --with-http_secure_link_module \
            --with-http_slice_module \
            --with-http_ssl_module \
            --with-http_stub_status_module \
            --with-http_sub_module \
            --with-http_v2_module \
            $(if $(wildcard $(NGX_DIR)/src/http/v3),--with-http_v3_module) \
            --error-log-path=stderr \
            --modules-path=/usr/lib/nginx/modules \
            --prefix=/usr/share/nginx


# The module

# Each piece is built by nginx's own Makefile, with the jobs of "make -j": two of
# them at once would make the same headers.
.NOTPARALLEL:

SOURCES := $(wildcard src/*.[ch] src/*/*.[ch] src/*/*.lua src/*/*.sh \
                      src/status/page.*)

module: $(BUILD)/$(MODULE).so

$(BUILD)/$(MODULE).so: $(OBJS)/Makefile $(SOURCES)
	$(SHARED)@$(build)

# The nginx of a source tree, for its tests.
nginx: $(BUILD)/nginx

$(BUILD)/nginx: $(OBJS)/Makefile $(if $(STATIC),$(SOURCES))
	$(SHARED)@$(build)
	@chmod 755 $@

# For script/build-asan.
conf:
	@echo $(NGX_CONF)

# For tests alone: t/NAME-probe says which.
PROBES := redis filter json zone

probe: $(PROBES:%=$(BUILD)/ngx_http_chatmaid_%_probe_module.so) \
       $(BUILD)/slow-fsync.so

$(BUILD)/ngx_http_chatmaid_%_probe_module.so: $(OBJS)/Makefile \
                                              $(wildcard t/*-probe/* src/*.h src/*/*.h)
	$(SHARED)@$(build)

# For redis-server, which is no sanitized code.
$(BUILD)/slow-fsync.so: t/slow-fsync.c
	@echo "building $@"
	@mkdir -p $(BUILD)
	@$(CC) -O2 -Wall -Wextra -Werror -shared -fPIC -o $@ $<

# nginx's Makefile gets its share of "make -j" by the "+", which "make -n" would
# take for a command to run.
SHARED := $(if $(findstring n,$(firstword -$(MAKEFLAGS))),,+)

build = echo "building $@"; \
        $(MAKE) -s -C $(TREE) -f $(OBJS)/Makefile $(OBJS)/$(@F) \
            $(if $(findstring -j,$(MAKEFLAGS)),,-j$(JOBS)); \
        install -m 644 $(OBJS)/$(@F) $@

ADD := --add$(if $(STATIC),,-dynamic)-module

# configure writes a Makefile to where it runs: a tree of links stays ours.
$(OBJS)/Makefile: config config.make $(wildcard t/*-probe/config) Makefile $(BUILD)/settings
	@echo "configuring for $(NGX_DIR)"
	@rm -rf $(OBJS) $(TREE) && mkdir -p $(OBJS) $(TREE)
	@ln -s $(NGX_DIR)/* $(TREE)/ && rm -f $(TREE)/Makefile $(TREE)/objs
	@cd $(TREE); \
	 NGX_CONF_FLAGS=($(NGX_CONF)); \
	 if [[ -e conf_flags ]]; then . ./conf_flags; fi; \
	 configure=./configure; [[ -x $$configure ]] || configure=auto/configure; \
	 $$configure "$${NGX_CONF_FLAGS[@]}" --builddir=$(OBJS) --with-cc='$(CC)' \
	     --with-cc-opt='$(CC_OPT)' --with-ld-opt='$(LD_OPT)' \
	     $(ADD)=$(CURDIR) $(PROBES:%=$(ADD)=$(CURDIR)/t/%-probe) \
	     > $(BUILD_DIR)/configure.log 2>&1 \
	 || { tail -n 20 $(BUILD_DIR)/configure.log; rm -f $(OBJS)/Makefile; \
	      exit 1; } >&2

# What the build was configured for: another nginx or other flags begin anew,
# and so does an upgrade, whose files may be older than what we have built.
$(BUILD)/settings: FORCE
	@if ! [[ -e $(NGX_DIR)/src/core/nginx.h ]]; then \
	     echo "no nginx sources in $(NGX_DIR): see NGX_SRC=DIR, or install" \
	          "nginx-dev (as root: script/install-packages build)"; \
	     exit 1; \
	 fi >&2
	@mkdir -p $(BUILD)
	@{ printf '%s\n' '$(CURDIR)' '$(NGX_DIR)' '$(CC)' '$(CC_OPT)' '$(LD_OPT)' '$(NGX_CONF)' \
	     '$(ADD)'; \
	   $(CC) --version | head -n 1; \
	   cd $(NGX_DIR); cat src/core/nginx.h; cat conf_flags 2> /dev/null || true; \
	 } > $@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi


# Its commands: each installs what is missing first, then builds.  make is called
# anew, for it looked for sources and compilers before they were installed.

run:
	@script/install-packages build run
	@$(MAKE) -s --no-print-directory module
	@script/run

# nginx-dev is of the installed nginx.  Any other source is tested in the nginx
# that it makes.
OTHER    := $(if $(filter /usr/share/nginx/src,$(NGX_SRC)),,nginx)
TEST_NGX  = $(if $(OTHER),$(BUILD_DIR)/nginx,nginx)
TEST_SO   = $(if $(STATIC),,$(BUILD_DIR)/$(MODULE).so)

test:
	@script/install-packages build run test
	@$(MAKE) -s --no-print-directory $(OTHER) \
	    $(if $(STATIC),$(BUILD)/slow-fsync.so,module probe)
	@$(call prove,$(TEST_NGX),$(TEST_SO))

# Sanitized code runs several times slower, so tests do less and wait longer.
asan-test: export CHATMAID_PATIENCE ?= 4
asan-test: VOLUME := 0.02
asan-test:
	@script/install-packages build run test asan
	@script/build-asan $(BUILD)/asan
	@$(call prove,$(BUILD_DIR)/asan/nginx,$(BUILD_DIR)/asan/$(MODULE).so)

# fuzz/README.md.
export FUZZ_SECONDS ?= 60
export FUZZ_SEED
export SOAK_SECONDS ?= 300
export SOAK_SEED

fuzz:
	@script/install-packages build asan fuzz
	@script/build-fuzz $(BUILD_DIR)/fuzz
	@script/fuzz $(BUILD_DIR)/fuzz $(FUZZ)

fuzz-coverage:
	@script/install-packages build asan fuzz
	@script/build-fuzz $(BUILD_DIR)/fuzz-coverage coverage
	@script/fuzz --coverage $(BUILD_DIR)/fuzz-coverage $(FUZZ)

# Faults under load, and what the journals say afterwards: t/soak.pl.
soak:
	@script/install-packages build run test
	@$(MAKE) -s --no-print-directory module
	@NGINX=nginx CHATMAID_MODULE=$(BUILD_DIR)/$(MODULE).so perl -It/lib t/soak.pl

# Whether the tests notice when a check is taken out: t/mutants/mutants.txt.
mutants:
	@script/install-packages build run test
	@mkdir -p $(BUILD)
	@script/mutants $(BUILD_DIR)/mutants $(MUTANTS)

# What a request costs: bench/README.md.
bench: WHAT := cpu $(ROWS)
bench-instructions: WHAT := instructions $(REQUESTS:%=--requests %) $(ROWS)
bench-growth: WHAT := growth $(PLOTS)

bench bench-instructions bench-growth:
	@script/install-packages build run test bench
	@$(MAKE) -s --no-print-directory module
	@CHATMAID_MODULE=$(BUILD_DIR)/$(MODULE).so bench/$(WHAT)

# The longest first, so that none of them is left alone at the end; those that
# mostly wait beside those that work.
LONGEST := hostile-differential conf-directives volume-wait redis-away \
           redis-fake redis-conf send-retries webhook-away \
           send-retry-outcomes native-clients docs script-chatmaid conf-survives \
           script-webhook volume-webhooks volume-redis send-claims \
           send-wait send-wait-leave \
           wait-failures volume-storm-redis send-idempotency webhook-conf \
           wait-shared redis-gateways wait-exit wait-message wait-notes wait-redis
TESTS   ?= $(LONGEST:%=t/%.t) $(filter-out $(LONGEST:%=t/%.t),$(wildcard t/*.t))

# prove NGINX MODULE.  How much the tests that take a volume do is from 0 to 1.
# None run, or all skipped, is a failure, which prove itself does not say.
VOLUME := 0.1

prove = export CHATMAID_VOLUME=$${CHATMAID_VOLUME-$(VOLUME)} \
            NGINX=$(1) CHATMAID_MODULE=$(2); \
        mkdir -p $(BUILD); \
        perl -It/lib -MChatmaid::Prove -S prove -It/lib -j$(JOBS) -r $(TESTS) \
            | tee $(BUILD)/prove.log; \
        if grep -q '^Result: NOTESTS' $(BUILD)/prove.log; then \
            echo "no test was run" >&2; exit 1; \
        fi



# In Debian's way: the module, the file that loads it, the link that enables it

MODULES_DIR   := $(DESTDIR)/usr/lib/nginx/modules
AVAILABLE_DIR := $(DESTDIR)/usr/share/nginx/modules-available
ENABLED_DIR   := $(DESTDIR)/etc/nginx/modules-enabled
SNIPPET       := mod-http-chatmaid.conf

install: $(MODULES_DIR)/$(MODULE).so $(AVAILABLE_DIR)/$(SNIPPET)
	@[[ -L $(ENABLED_DIR)/50-$(SNIPPET) ]] || { set -x; \
	     mkdir -p $(ENABLED_DIR); \
	     ln -s /usr/share/nginx/modules-available/$(SNIPPET) \
	         $(ENABLED_DIR)/50-$(SNIPPET); }

# A running nginx keeps the file it has mapped: install makes a new one.
$(MODULES_DIR)/$(MODULE).so: $(BUILD)/$(MODULE).so
	install -D -m 644 $< $@

$(AVAILABLE_DIR)/$(SNIPPET):
	mkdir -p $(@D)
	echo 'load_module modules/$(MODULE).so;' > $@

uninstall:
	rm -f $(ENABLED_DIR)/50-$(SNIPPET) $(AVAILABLE_DIR)/$(SNIPPET) \
	    $(MODULES_DIR)/$(MODULE).so


# Debian's package, in build/.  It is made from a copy, for debhelper writes into
# the tree.

DEB      := libnginx-mod-http-chatmaid
DEB_TREE := $(BUILD_DIR)/deb/$(DEB)

deb:
	@script/install-packages build deb
	@echo "building $(DEB)"
	@rm -rf $(BUILD_DIR)/deb && mkdir -p $(DEB_TREE)
	@tar -c --exclude=./.git --exclude=./build --exclude='$(BUILD)' . \
	    | tar -x -C $(DEB_TREE)
	@cd $(DEB_TREE) && dpkg-buildpackage -b -us -uc > ../build.log 2>&1 \
	     || { tail -n 20 ../build.log; exit 1; } >&2
	@lintian --allow-root --fail-on error,warning $(BUILD_DIR)/deb/*.changes
	@mv $(BUILD_DIR)/deb/$(DEB)_*.deb $(BUILD)/ && ls $(BUILD)/$(DEB)_*.deb

# In a Debian of its own: it is installed, sends, is upgraded and removed.
deb-test: TESTS := t/deb/package.t
deb-test: deb
	@script/install-packages build run test deb-test
	@$(call prove,nginx,)


webhook:
	@script/chatmaid webhook $(EVENT) $(if $(URL),--url '$(URL)') \
	    $(if $(SECRET_FILE),--secret-file '$(SECRET_FILE)')

clean:
	@rm -rf $(BUILD)

help:
	@echo 'make             build/$(MODULE).so for the installed nginx'
	@echo 'make NGX_SRC=DIR the same for any nginx source tree'
	@echo 'make run         a gateway and a sandbox to try, until Ctrl-C'
	@echo 'make test        all tests (NGX_SRC=DIR: in the nginx of that source tree;'
	@echo '                 STATIC=1: with the module built into it)'
	@echo 'make asan-test   all tests with AddressSanitizer and UBSan'
	@echo 'make fuzz        the fuzz targets, FUZZ_SECONDS each (FUZZ="event ...")'
	@echo 'make fuzz-coverage  the lines that their inputs reach'
	@echo 'make soak        faults under load, SOAK_SECONDS (SOAK_SEED=... again)'
	@echo 'make mutants     31 changes of a line, each of which a test must notice'
	@echo 'make bench       CPU time of a request, beside proxy_pass (ROWS="get ...")'
	@echo 'make bench-growth  how it grows with bodies, records, connections'
	@echo 'make bench-instructions   instructions of a request; fails beyond a limit'
	@echo 'make install     into the installed nginx (DESTDIR is honoured)'
	@echo 'make uninstall   takes that away'
	@echo 'make deb         build/$(DEB)_*.deb'
	@echo 'make deb-test    installs, upgrades and removes it in a Debian of its own'
	@echo 'make webhook     signs and sends a test event: URL=... SECRET_FILE=... EVENT=...'
	@echo 'make clean       removes build/'
