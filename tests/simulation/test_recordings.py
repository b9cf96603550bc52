"""Recorded histories: each still folds to its picture and still gives its decisions.

`world-SEED.jsonl` is a simulated cluster's log under faults, `main-job.jsonl` that of real services
on real engines: deployed, broken, scaled, replaced and removed while services were killed.

Decisions that change on purpose change a recording's worth: record a new one then, and say why.
A picture that got another shape on purpose: `SEGUE_RENEW=1 pytest tests/simulation/…` writes the
new fingerprints.
"""

import os
import pathlib

import msgspec
import pytest
from segue.events.container import ContainerAssigned
from segue.picture import Node
from segue.recording import Recording, fingerprint, read, written
from segue.replay import folded, replay
from segue_deployer.core import Deployer
from segue_scheduler import core
from segue_scheduler.core import Scheduler
from segue_scheduler.scores import Scale

FILES = sorted((pathlib.Path(__file__).parents[1] / "recordings").glob("*.jsonl"))
RENEW = os.environ.get("SEGUE_RENEW", "") not in ("", "0")


def recording(file: pathlib.Path) -> Recording:
    with file.open("rb") as lines:
        return read(lines)


def test_there_are_recordings_of_simulated_and_of_real_clusters() -> None:
    assert {file.name.partition("-")[0] for file in FILES} >= {"world", "main"}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_recording_folds_to_its_picture(file: pathlib.Path) -> None:
    whole = recording(file)
    found = fingerprint(folded(whole))
    if RENEW and found != whole.picture:
        renewed = msgspec.structs.replace(whole, picture=found)
        file.write_bytes(b"".join(written(renewed)))
        return
    assert found == whole.picture, "if that is meant: SEGUE_RENEW=1, and look at the difference"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_was_decided_is_decided_again(file: pathlib.Path) -> None:
    found = replay(recording(file), [Deployer(), Scheduler()])
    told = [f"{one.sequence} {one.service} {one.kind}: {one.words}" for one in found.differences]
    assert not told, "\n".join(told)
    assert min(found.decided.values()) > 10, "a recording without decisions proves nothing"


class Crowding(Scale):
    """Changed: prefers the fuller node, and much more than anything else."""

    def _balance(self, node: Node) -> float:
        return -4 * super()._balance(node)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_another_weight_gives_other_decisions(
    file: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "Scale", Crowding)
    found = replay(recording(file), [Deployer(), Scheduler()])
    assert {one.service for one in found.differences} == {Scheduler.service}
    elsewhere = [
        one
        for one in found.differences
        if one.recorded
        and one.now
        and one.recorded.type == ContainerAssigned.type
        and one.recorded.data["node"] != one.now.data["node"]
    ]
    assert elsewhere, "some container goes to another node now"
