"""A node runner that is killed has the time of a verdict to beat again: its unit leaves enough."""

import pathlib
import re
import time

import anyio
from segue.beats import NODE_BEAT_EVERY_S
from segue.testing.cluster import running
from segue_health_monitor.nodes import LOST_AFTER_S

UNIT = pathlib.Path(__file__).parents[2] / "deploy/systemd/segue-node-runner.service"


def restart_s() -> float:
    found = re.search(r"^RestartSec=(\d+)ms$", UNIT.read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1000


async def test_a_killed_runner_beats_again_before_its_node_is_given_up(
    tmp_path: pathlib.Path,
) -> None:
    async with running(tmp_path) as cluster:
        folders = ["--state", str(tmp_path), "--runtime", str(tmp_path), "--fence", str(tmp_path)]
        engine = f"unix://{tmp_path}/none"  # A runner beats whatever its engine does.
        cluster.start("node_runner", "a", "--node", "a", "--docker", engine, *folders)
        beats = aiter(cluster.bus.listen("beat.node_runner.a"))
        with anyio.fail_after(60):
            await anext(beats)
        cluster["node_runner", "a"].kill()
        killed_at = time.monotonic()
        await anyio.sleep(restart_s())
        cluster.start("node_runner", "a")
        with anyio.fail_after(60):
            await anext(beats)
        silent_s = time.monotonic() - killed_at
    print(f"silent for {silent_s:.2f} of {LOST_AFTER_S:g} s")
    assert silent_s + NODE_BEAT_EVERY_S < LOST_AFTER_S  # The next beat may just have been due.
