"""The whole control plane in one thread: safe while things break, converged once they are well."""

import os
import subprocess
import sys

import pytest
from segue.testing.world.__main__ import play
from segue.testing.world.mistakes import MISTAKES
from segue.testing.world.run import Plan

BATCHES, BATCH = 20, 10
# In how many seeds each planted mistake must be found; docs/simulation.md has what each took.
BUDGETS = dict.fromkeys(MISTAKES, 200)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_no_seed_breaks_an_invariant(batch: int) -> None:
    for seed in range(batch * BATCH, (batch + 1) * BATCH):
        played = play(seed, Plan())
        assert not played.violation, played.violation


@pytest.mark.parametrize("mistake", sorted(MISTAKES))
def test_a_planted_mistake_is_found(mistake: str) -> None:
    found = (seed for seed in range(BUDGETS[mistake]) if play(seed, Plan(), mistake).violation)
    assert next(found, None) is not None, f"{mistake} hides for {BUDGETS[mistake]} seeds"


def test_a_larger_cluster_converges_too() -> None:
    played = play(1, Plan(nodes=40, slots=120, requests=6, faults_s=30.0))
    assert not played.violation, played.violation


def test_a_seed_plays_the_same_under_every_hash_seed() -> None:
    script = (
        "from segue.testing.world.run import World\n"
        "world = World(7)\n"
        "world.play()\n"
        "import hashlib\n"
        "log = world.cluster.bus.log.stored\n"
        "print(hashlib.sha256(b''.join(s.data for s in log)).hexdigest(), world.sim.steps)\n"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(seen) == 1
