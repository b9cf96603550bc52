"""What a deployer or scheduler keeps between decisions never changes what it decides."""

from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st
from segue.core import Core, Decision
from segue.testing.fleet import Fleet
from segue.testing.histories import KINDS, Act, happen, hosts
from segue_deployer.core import Deployer
from segue_health_monitor.core import HealthMonitor
from segue_scheduler.core import Scheduler

CORES: dict[str, type[Core]] = {core.service: core for core in (Deployer, Scheduler, HealthMonitor)}
NUMBERS = st.integers(0, 7)
OFTEN = ["turn", "think", "speak", "turns", "wait", "deploy", "scale"] * 2
ACTS = st.lists(
    st.tuples(st.sampled_from([*KINDS, *OFTEN]), NUMBERS, NUMBERS), min_size=25, max_size=90
)


def owed(core: Core, now: float) -> dict[str, list[tuple[str, Decision]]]:
    """Give what is owed by app: which app is looked at first depends on what was heard last."""
    found: dict[str, list[tuple[str, Decision]]] = defaultdict(list)
    for decision in core.decide(now):
        found[getattr(decision.event, "app", "")].append((decision.id, decision))
    return found


@settings(max_examples=40)
@given(ACTS)
def test_after_every_event_a_core_owes_what_one_that_only_knows_the_picture_owes(
    acts: list[Act],
) -> None:
    """In the same order, with the same ids, and whether it was asked after each event or not."""
    made = Fleet(*(core() for core in CORES.values()), hosts=hosts())
    made.calm(12)
    for act in acts:
        happen(made, act, CORES)
        for core in made.cores[:2]:
            fresh = CORES[core.service]()
            fresh.picture.restore(core.picture.snapshot())
            expected = owed(fresh, made.now)
            assert owed(core, made.now) == expected
