# Everything a person or CI runs. `make help` lists the targets.

BASELINE  ?= v1.36.3
CANDIDATE ?= v1.37.2
SAMPLE    ?= traces/churn.reel
MINUTES   ?= 60
KUBEREEL  := target/release/kubereel
VENV      := target/venv
CLOUDS    := $(if $(shell command -v npm),$(VENV)/bin/azurite-blob)

.DEFAULT_GOAL := help
.PHONY: help demo test lint fmt bench soak audit programs clean

help: ## this list
	@awk -F':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## compare two real kube-scheduler versions on the shipped recording
	cargo build --release --locked
	$(KUBEREEL) cluster install $(CANDIDATE)
	$(KUBEREEL) cluster install $(BASELINE) --component kube-scheduler
	$(KUBEREEL) compare $(SAMPLE) --baseline $(BASELINE) --candidate $(CANDIDATE)

test: lint programs $(VENV)/ready $(VENV)/bin/versitygw $(CLOUDS) ## lints, then all tests, those against the real control plane included
	cargo test --locked --no-run
	cargo build --locked --example soak
	@# The soak mostly waits: it does so beside the tests.
	@target/debug/examples/soak --minutes 5 --fault-every 30 >target/soak.log 2>&1 & soak=$$!; \
	trap 'kill $$soak' INT TERM; \
	KUBEREEL_PYTHON=$(CURDIR)/$(VENV)/bin/python cargo test --locked; tests=$$?; \
	echo "a recorder for five minutes, something going wrong every half:"; \
	wait $$soak; soaked=$$?; cat target/soak.log; [ $$tests = 0 ] && [ $$soaked = 0 ]

# The second reader of the trace format, which the conformance test runs, needs two packages.
$(VENV)/ready:
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check msgpack zstandard
	touch $@

# The S3 server that the tests of uploads run against.
$(VENV)/bin/versitygw: | $(VENV)/ready
	GOBIN=$(CURDIR)/$(VENV)/bin go install github.com/versity/versitygw/cmd/versitygw@v1.8.0

# The emulator of Azure's store for the test of uploads; where there is no npm, the test says that it is skipped.
$(VENV)/bin/azurite-blob: | $(VENV)/ready
	npm install --silent --no-audit --no-fund --prefix $(VENV)/azurite azurite@3.35.0
	ln -sf ../azurite/node_modules/.bin/azurite-blob $@

lint: ## formatting and clippy, warnings denied
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings

# What the tests run against; minutes on a machine that has never built it, seconds afterwards.
programs:
	cargo build --locked
	target/debug/kubereel cluster install $(CANDIDATE)
	target/debug/kubereel cluster install $(BASELINE) --component kube-scheduler

fmt: ## format the code
	cargo fmt

bench: ## the differ by size; the tie-break extender; the trace format, the recorder and the importers beside other ways; leases of 10,000 nodes
	cargo bench --locked --bench diff
	cargo bench --locked --bench extender
	cargo bench --locked --bench trace
	cargo bench --locked --bench record
	cargo bench --locked --bench overhead
	cargo bench --locked --bench import
	cargo bench --locked --bench hollow -- stub 10000

soak: ## a recorder for MINUTES (60) on a cluster where something goes wrong every minute
	cargo build --release --locked --bin kubereel --example soak
	target/release/examples/soak --minutes $(MINUTES)

audit: ## licences, sources and advisories; needs `cargo deny` and the network
	cargo deny check

clean: ## remove what was built here; caches of programs stay (`rm -r ~/.cache/kubereel`)
	cargo clean
