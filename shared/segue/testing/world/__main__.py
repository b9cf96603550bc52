"""Play many seeds on all cores: `python -m segue.testing.world 1000`, or one: `… --seed 17`.

Ends with 1 and the first violations when there are any; prints what was reached either way.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import time
from collections import Counter

import msgspec

from segue.testing.world.mistakes import MISTAKES
from segue.testing.world.run import Plan, Result, World

SHOWN = 5
SIZES = ((5, 20), (100, 1_000))  # Of which `--ratio` tells how fast time goes: nodes, slots.
RATIO_S, ASKED = 20.0, 6
# What a thousand seeds must reach, or a check checks nothing.
MARKS = (
    "ack.lost",
    "ack.unheard",
    "babble",
    "bus.returned",
    "capacity.eased",
    "capacity.exhausted",
    "collision.refused",
    "collision.unknown",
    "container.left_over",
    "core.doubled",
    "core.lost",
    "deploy.reverted",
    "fault.bus_down",
    "fault.container_dies",
    "fault.container_sickens",
    "fault.cut",
    "fault.cut_in",
    "fault.cut_long",
    "fault.cut_out",
    "fault.cut_server",
    "fault.election",
    "fault.engine_away",
    "fault.engine_frozen",
    "fault.freeze",
    "fault.hand_over",
    "fault.kill",
    "fault.power_loss",
    "fault.second_runner",
    "fault.started_twice",
    "fault.store_lost",
    "fault.store_restored",
    "fenced",
    "fencer.killed",
    "gave_way",
    "lease.ended",
    "lease.expired",
    "lease.refused",
    "load.high",
    "load.low",
    "load.normal",
    "load.old",
    "log.regrown",
    "log.replaced",
    "loss.held",
    "node.drain_held",
    "node.drained",
    "node.lost",
    "node.not_given_up",
    "node.refuses",
    "node.removed",
    "rejoin",
    "retired.moved",
    "retired.superseded",
    "rollout.blue_green.start-first",
    "rollout.canary.start-first",
    "rollout.canary.stop-first",
    "rollout.completed",
    "rollout.failed",
    "rollout.held",
    "rollout.paused",
    "rollout.promoted",
    "rollout.resumed",
    "rollout.rolling.start-first",
    "rollout.rolling.stop-first",
    "rollout.stalled",
    "sample.late",
    "scale.decided",
    "scale.held",
    "scale.paused",
    "scale.resumed",
    "snapshot.restored",
    "snapshot.saved",
    "takeover",
    "unplaceable",
    "write.late",
    "write.lost",
)


class Played(msgspec.Struct):
    """One seed's end: a result, or the words of its violation."""

    seed: int
    result: Result | None
    violation: str = ""


def play(seed: int, plan: Plan, mistake: str = "") -> Played:
    """Play a seed; whatever it raises is its violation."""
    world = World(seed, plan)
    if mistake:
        MISTAKES[mistake](world)
    try:
        return Played(seed, world.play())
    except Exception as error:  # noqa: BLE001 — a core that raises is a finding like any other.
        words = str(error) if isinstance(error, AssertionError) else f"seed {seed}: {error!r}"
        return Played(seed, None, words)


def _play(work: tuple[int, Plan, str]) -> Played:
    return play(*work)


def main() -> int:
    """Play what the command line asks for."""
    flags = argparse.ArgumentParser(prog="just simulate", description=__doc__)
    flags.add_argument("seeds", type=int, nargs="?", default=200, help="how many")
    flags.add_argument("--from", dest="first", type=int, default=0, help="the first seed")
    flags.add_argument("--seed", type=int, help="only this one")
    flags.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    flags.add_argument("--nodes", type=int, default=Plan().nodes)
    flags.add_argument("--slots", type=int, default=Plan().slots, help="about how many an app has")
    flags.add_argument(
        "--large", action="store_true", help="100 nodes, three apps of up to 600 slots"
    )
    flags.add_argument("--mistake", choices=sorted(MISTAKES), default="", help="plant it")
    flags.add_argument("--ratio", action="store_true", help="print how fast time goes, and end")
    asked = flags.parse_args()
    if asked.ratio:
        return ratios()
    nodes, slots = SIZES[-1] if asked.large else (asked.nodes, asked.slots)
    plan = Plan(nodes=nodes, slots=slots)
    first, count = (asked.first, asked.seeds) if asked.seed is None else (asked.seed, 1)
    work = [(seed, plan, asked.mistake) for seed in range(first, first + count)]
    begun = time.perf_counter()
    with multiprocessing.Pool(min(asked.jobs, count)) as pool:
        played = list(pool.imap_unordered(_play, work, chunksize=4))
    return report(played, time.perf_counter() - begun)


def ratios() -> int:
    """Print virtual against processor time of one thread, for clusters of two sizes."""
    for nodes, slots in SIZES:
        world = World(0, Plan(nodes=nodes, slots=slots))
        for _ in range(ASKED):
            world.sim.at(world.sim.between(0.5, RATIO_S / 2), world.people.ask)
        begun = time.process_time()
        world.sim.run(RATIO_S)
        ratio = RATIO_S / (time.process_time() - begun)
        print(f"{nodes} nodes, up to {slots} slots an app: {ratio:,.0f} x real time")
    return 0


def report(played: list[Played], took_s: float) -> int:
    """Print violations and figures; give the exit code."""
    found = sorted((one for one in played if one.result is None), key=lambda one: one.seed)
    for one in found[:SHOWN]:
        print(f"{one.violation}\n  at commit {_commit()}\n")
    results = [one.result for one in played if one.result is not None]
    marks: Counter[str] = sum((result.marks for result in results), Counter())
    virtual_s = sum(result.virtual_s for result in results)
    print(
        f"{len(played)} seeds, {len(found)} violations, {virtual_s / 3600:.1f} virtual hours "
        f"in {took_s:.1f} s ({virtual_s / max(took_s, 1e-9):.0f} x real time), "
        f"{sum(result.events for result in results):,} events"
    )
    print("  " + ", ".join(f"{mark} {n:,}" for mark, n in sorted(marks.items())))
    missed = [mark for mark in MARKS if not marks[mark]]
    if missed and len(played) >= 1_000:
        print(f"never reached: {', '.join(missed)}")
        return 1
    return 1 if found else 0


def _commit() -> str:
    asked = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    return asked.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
