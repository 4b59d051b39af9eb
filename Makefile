# The same commands for people, for the README and for CI. Each does all its own set-up.

# The version before this one, which shares tables and queues with it: the newest commit that was deployed.
EARLIER = b5378f1

.PHONY: demo demo-cluster test test-all test-upgrade lint fmt bins others services browser watching pictures install checks fuzz nights \
  chaos images compose-secrets compose-demo earlier bench bench-micro

# A whole night of 20,000 rows against simulators, in one process.
demo:
	cargo build --release --locked -p standalone
	@status=0; target/release/standalone --demo || status=$$?; \
	if [ $$status -eq 3 ]; then \
	  echo "That was exit status 3: finished, with dead letters to look at. The demo's night holds a few by design."; \
	  echo "Run 'make demo' again: nothing is applied twice. 'rm -r demo-night' forgets the night."; \
	elif [ $$status -ne 0 ]; then exit $$status; fi

# The same night on a cluster: a private RabbitMQ and Postgres, the simulators, three workers and a producer.
demo-cluster: services
	cargo build --release --locked -p producer -p worker -p tests --bins --no-default-features --features producer/cluster,worker/cluster
	@status=0; target/release/demo-cluster || status=$$?; \
	if [ $$status -eq 3 ]; then \
	  echo "That was exit status 3: finished, with dead letters to look at. The demo's night holds a few by design."; \
	elif [ $$status -ne 0 ]; then exit $$status; fi

# What both make of a night beside a bare HTTP client, into docs/benchmarks: about 15 minutes, on a machine with nothing else
# to do. Quick, and into target/bench: make bench ROWS=2000 ROUNDS=1, or ONLY='50 ms, one by one'.
bench: services
	cargo build --release --locked -p standalone -p producer -p worker -p benches --bins --no-default-features --features producer/cluster,worker/cluster
	target/release/bench $(if $(ROWS),--rows $(ROWS)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(ONLY),--only '$(ONLY)')

# The steps of a row's way by themselves.
bench-micro:
	cargo bench --locked -p benches --bench micro

# Every test but the long ones, and so many simulated nights: a number and no time, so that the same are played everywhere.
test: bins others services browser watching
	cargo test --workspace --locked
	target/debug/simulated-nights --seeds 1500

# The long ones too: more kills.
test-all: bins others services browser watching earlier
	cargo test --workspace --locked -- --include-ignored
	target/debug/simulated-nights --seeds 1500

# Many more simulated nights, of other seeds: `make nights SEEDS=1000000 FROM=5000000`. A plan that breaks a promise is
# printed; what to do with it is in ARCHITECTURE.md.
SEEDS ?= 100000
FROM ?= 1500
nights:
	cargo run --release --locked -p tests --bin simulated-nights -- --seeds $(SEEDS) --from $(FROM)

# The programs are checked without their optional features, too. With all of the workspace, since otherwise other features
# of tokio would be chosen, and every dependency checked a second time.
CLUSTER = producer/cluster,worker/cluster,dashboard/cluster
lint: checks
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy --workspace --locked --no-default-features --features $(CLUSTER) -- -D warnings

# Of lint, what is not Rust: deploy/, workflows, scripts, and secrets where none belong.
checks:
	scripts/install-checks
	scripts/checks/all

fmt:
	cargo fmt --all

# The programs, for the tests that start them as processes.
bins:
	cargo build --workspace --bins --locked

# A FHIR server, a client of Google Sheets and secrets managers that nobody here wrote, for the tests that talk to them;
# and a clock that tests set.
others:
	scripts/install-sekmet
	scripts/install-gspread
	scripts/install-secret-managers
	scripts/install-faketime

# RabbitMQ and Postgres, which the tests start privately unless they are told of others (see the README).
services:
	scripts/install-services

# Chromium and what drives it, for the tests that look at the pages as people do.
browser:
	scripts/install-chromium
	scripts/install-playwright

# Prometheus, and what checks the alert rules.
watching:
	scripts/install-prometheus

# Every fault, again and again, on processes that really die, a real RabbitMQ and a real Postgres; then a table. See its --help.
CHAOS = --repeats 20
chaos: bins services
	target/debug/chaos $(CHAOS)

# Hostile input for everything that reads what others wrote: so many inputs for each target of fuzz/.
RUNS = 10000000
fuzz:
	scripts/install-cargo-fuzz
	scripts/fuzz $(RUNS)

# The pictures of the pages in docs/pictures, taken anew.
pictures: bins browser
	cargo run --locked -p tests --bin pictures

# `standalone` with its systemd units, man pages and what shells complete, after
# `cargo build --release --locked -p standalone`. DESTDIR is put before every path, for packages. What has to be done then:
# docs/deploying.md.
PREFIX ?= /usr/local
STANDALONE ?= target/release/standalone
UNITS = $(DESTDIR)$(PREFIX)/lib/systemd/system
SHARE = $(DESTDIR)$(PREFIX)/share
# Where each shell looks: the file of bash, of zsh, of fish.
COMPLETIONS = bash:$(SHARE)/bash-completion/completions/standalone zsh:$(SHARE)/zsh/site-functions/_standalone \
  fish:$(SHARE)/fish/vendor_completions.d/standalone.fish
install:
	@test -x $(STANDALONE) || { echo "$(STANDALONE) is not there: cargo build --release --locked -p standalone" >&2; exit 1; }
	install -D -m 0755 $(STANDALONE) $(DESTDIR)$(PREFIX)/bin/standalone
	install -d -m 0755 $(UNITS) $(DESTDIR)$(PREFIX)/lib/sysusers.d $(DESTDIR)/etc/nightly-sync
	install -d -m 0700 $(DESTDIR)/etc/nightly-sync/credentials
	install -m 0644 deploy/systemd/nightly-sync.timer deploy/systemd/nightly-sync-resume.timer $(UNITS)
	sed 's|/usr/local/bin|$(PREFIX)/bin|' deploy/systemd/nightly-sync.service >$(UNITS)/nightly-sync.service
	sed -f deploy/systemd/resume.sed $(UNITS)/nightly-sync.service >$(UNITS)/nightly-sync-resume.service
	chmod 0644 $(UNITS)/nightly-sync.service $(UNITS)/nightly-sync-resume.service
	install -m 0644 deploy/systemd/nightly-sync.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/nightly-sync.conf
	@test -e $(DESTDIR)/etc/nightly-sync/environment || \
	  install -m 0644 deploy/systemd/environment.example $(DESTDIR)/etc/nightly-sync/environment
	install -d -m 0755 $(SHARE)/man/man1
	umask 022 && $(STANDALONE) man $(SHARE)/man/man1
	@umask 022; for each in $(COMPLETIONS); do \
	  file=$${each#*:}; mkdir -p "$${file%/*}" && $(STANDALONE) completions "$${each%%:*}" >"$$file" || exit; \
	done

# The images, one for each program. BuildKit or not, the Dockerfile is the same.
VERSION = latest
DOCKER = docker
images:
	@for program in producer worker dashboard standalone simulators; do \
	  $(DOCKER) build -f deploy/docker/Dockerfile --target $$program --build-arg VERSION=$(VERSION) \
	    --build-arg REVISION=$$(git rev-parse --short HEAD) -t nightly-sync/$$program:$(VERSION) . || exit; \
	done

# What docker-compose.yml takes as secrets.
compose-secrets:
	scripts/compose-secrets

# docker-compose.yml, run for real: a night with three workers, one killed, RabbitMQ restarted.
compose-demo: compose-secrets
	scripts/compose-demo

# The programs of the version before, in target/earlier.
earlier:
	scripts/build-earlier $(EARLIER)

# Nights in which both versions work.
test-upgrade: bins services earlier
	cargo test --locked -p tests --test integration -- --ignored upgrades
