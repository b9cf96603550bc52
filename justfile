set quiet

# `just` alone is in the development environment too: `uv run just`.
run := "uv run --frozen"

[private]
default:
    just --list --unsorted

# Create the one environment with every service in it, editable.
setup:
    uv sync --frozen

# Everything that needs no bus and no engine: under two minutes on two cores.
check: lint types imports
    {{ run }} pytest -q -n auto tests/unit tests/simulation

# Everything; CI runs this and nothing else. What real machines run is played once more if it fails, and named.
test: check
    {{ run }} pytest -q -n auto --reruns 1 --rerun-show-tracebacks -m "not hosts" tests/integration tests/e2e
    {{ run }} pytest -q --reruns 1 --rerun-show-tracebacks -m hosts tests/integration

# Many hosts, a bus of three, and what is judged by the clock: one at a time, alone on the machine.
hosts:
    {{ run }} pytest -q -m hosts tests/integration tests/e2e

# Format, and make the changes that are safe.
fix:
    {{ run }} ruff check --fix
    {{ run }} ruff format

# Format, names, habits.
lint:
    {{ run }} ruff format --check
    {{ run }} ruff check

# Types, strictly.
types:
    {{ run }} mypy

# The architecture: who may import what.
imports:
    {{ run }} lint-imports

# Fast and pure tests.
unit *args:
    {{ run }} pytest -n auto tests/unit {{ args }}

# What decides: the cores, and all that they and the shell decide from.
deciding := "services/autoscaler/*,services/deployer/*,services/scheduler/*,services/health_monitor/*," + \
    "services/node_runner/*/core.py,services/node_runner/*/yard.py,services/node_runner/*/says.py," + \
    "shared/segue/core.py,shared/segue/wants.py,shared/segue/placement.py," + \
    "shared/segue/picture/*,shared/segue/shell/machine.py,shared/segue/shell/standing.py"

# How much of what decides is run, branch by branch; a module below 95 % fails.
coverage:
    rm -f .coverage .coverage.*
    {{ run }} coverage run -m pytest -q -n auto tests/unit tests/simulation
    {{ run }} coverage combine -q
    {{ run }} coverage report --include='{{ deciding }}' --omit='*/__main__.py,*/gauge.py' \
        | awk '{ print } $NF ~ /%$/ && $NF + 0 < 95 { low = 1 } END { exit low }'

# Change a core in every small way; fails where tests notice less than 85 %: `just mutants scheduler`.
mutants service="deployer" children="2":
    rm -rf .mutants/{{ service }}
    mkdir -p .mutants/{{ service }}/src
    cp -r services/{{ service }}/segue_{{ service }} .mutants/{{ service }}/src
    cp -r tests pyproject.toml .mutants/{{ service }}
    cd .mutants/{{ service }} && nice {{ run }} --project ../.. --group mutants \
        python ../../tests/mutants/run_mutants.py run --max-children {{ children }}
    cd .mutants/{{ service }} && {{ run }} --project ../.. --group mutants mutmut results
    cd .mutants/{{ service }} && {{ run }} --project ../.. --group mutants mutmut export-cicd-stats
    awk -F '[:,]' '/"(killed|timeout)"/ { noticed += $2 } /"total"/ { all = $2 } \
        END { score = all ? 100 * noticed / all : 0; \
        printf "%d of %d mutants were noticed: %.1f %%\n", noticed, all, score; exit score < 85 }' \
        .mutants/{{ service }}/mutants/mutmut-cicd-stats.json

# Many clusters under a virtual clock, with every fault: `just simulate 1000`.
simulate *args="200":
    {{ run }} python -m segue.testing.world {{ args }}

# Kill every service at random moments of a deploy of 30, twenty times, on a real engine.
rounds seed="1":
    SEGUE_ROUNDS=20 SEGUE_SEED={{ seed }} {{ run }} pytest -q tests/e2e/test_faults.py -k every_service

# Break services, engines, hosts, wires and bus servers at random under deploys: `just chaos 30m`.
chaos time="3m" seed="1":
    SEGUE_CHAOS={{ time }} SEGUE_SEED={{ seed }} {{ run }} pytest -q -s tests/e2e/test_chaos.py

# Lose hosts of three that run 60 containers, ten times.
host-loss rounds="10":
    SEGUE_ROUNDS={{ rounds }} {{ run }} pytest -q -s tests/e2e/test_host_loss.py

# Kill node runners under load, fifty times.
adoption kills="50":
    SEGUE_KILLS={{ kills }} {{ run }} pytest -q -s tests/e2e/test_adoption.py

# Cut off, freeze and kill what keeps slots that may run only once: four faults, ten times each.
strict rounds="10" seed="1":
    SEGUE_ROUNDS={{ rounds }} SEGUE_SEED={{ seed }} {{ run }} pytest -q -s tests/e2e/test_strict.py

# Play one simulated cluster again: `just replay 17`.
replay seed *args:
    {{ run }} python -m segue.testing.world --seed {{ seed }} {{ args }}

# Rewrite schemas/ and docs/events.md from the event types; read the diff before you commit it.
schemas:
    {{ run }} python schemas/generate.py

# Rewrite the generated pages, then follow every link between documents.
docs: schemas
    {{ run }} python -m segue.compose.support > docs/compose.md
    {{ run }} python -m segue_cli.reference > docs/cli.md
    {{ run }} pytest -q tests/unit/test_tidy.py -k documents

# Feed the envelope's reader with what a fuzzer invents, for a minute or as the options say.
fuzz *options="-max_total_time=60":
    mkdir -p .fuzz
    {{ run }} --group fuzz python tests/fuzz/fuzz_envelope.py .fuzz tests/fuzz/corpus {{ options }}

# Install one service by itself, as a host would get it, and start it: `just alone node_runner`.
alone service:
    UV_PROJECT_ENVIRONMENT=.alone/{{ service }} uv sync -q --frozen --no-dev --no-editable \
        --reinstall-package segue-core --reinstall-package {{ trim_end_match("segue-" + kebabcase(service), "-cli") }} \
        --package {{ trim_end_match("segue-" + kebabcase(service), "-cli") }}
    .alone/{{ service }}/bin/{{ trim_end_match("segue-" + kebabcase(service), "-cli") }} --version

# Run one service against the bus that NATS_URL names: `just run scheduler`.
run service *args:
    {{ run }} {{ trim_end_match("segue-" + kebabcase(service), "-cli") }} {{ args }}

# Measure, and print one table: `just bench`, `just bench --hosts`, `just bench decisions --seconds 2`.
bench *args:
    {{ run }} python tests/benchmarks/run.py {{ args }}

# Deploy an app, kill a container, watch it come back.
demo *args:
    deploy/bootstrap demo {{ args }}
