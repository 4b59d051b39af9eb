# The same commands for people, for the README and for CI. Each does all its own set-up.

.PHONY: demo test test-all lint fmt bins others

# A whole night of 20,000 rows against simulators, in one process.
demo:
	cargo build --release --locked -p standalone
	@status=0; target/release/standalone --demo || status=$$?; \
	if [ $$status -eq 3 ]; then \
	  echo "That was exit status 3: finished, with dead letters to look at. The demo's night holds a few by design."; \
	  echo "Run 'make demo' again: nothing is applied twice. 'rm -r demo-night' forgets the night."; \
	elif [ $$status -ne 0 ]; then exit $$status; fi

# Every test but the long ones.
test: bins others
	cargo test --workspace --locked

# The long ones too: more kills, and the cases on a real RabbitMQ and Postgres (Debian: rabbitmq-server, postgresql).
test-all: bins others
	cargo test --workspace --locked --features tests/services -- --include-ignored

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

fmt:
	cargo fmt --all

# The programs, for the tests that start them as processes.
bins:
	cargo build --workspace --bins --locked

# A FHIR server and a client of Google Sheets that nobody here wrote, for the tests that talk to them.
others:
	scripts/install-sekmet
	scripts/install-gspread
