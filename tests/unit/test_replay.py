"""A replay: the deciders of then confirm everything, and every change to them is noticed."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from segue.core import Decision
from segue.differences import Comparison, Difference
from segue.envelope import decode, encode
from segue.events.container import ContainerAssigned, ContainerRequested, ContainerRetired
from segue.events.deploy import DeployAccepted, DeployCompleted, DeployFailed, DeployRequested
from segue.events.event import EventRejected
from segue.events.node import NodeLost
from segue.events.scale import ScaleRequested
from segue.log import Stored
from segue.picture import Picture, picture
from segue.recording import Recording, RecordingError, fingerprint
from segue.replay import folded, replay
from segue.testing.stage import Stage
from segue_deployer import slots
from segue_deployer.core import Deployer
from segue_scheduler.core import Scheduler

WEB = {"image": "web:1", "scale": 3}


def history(**web: Any) -> Stage:
    """Two nodes, an app that comes up, fails, is restarted and scaled."""
    stage = Stage(Deployer(), Scheduler())
    stage.join("node-a", "node-b")
    stage.ask(DeployRequested(app="shop", compose={"services": {"web": {**WEB, **web}}}))
    stage.later(5)
    stage.fail("shop/web.3")
    stage.later(2)
    stage.fail("shop/web.3")
    stage.later(2)
    stage.ask(ScaleRequested(app="shop", service="web", replicas=5))
    stage.later(20)
    return stage


def recorded(stage: Stage, **more: Any) -> Recording:
    messages = stage.messages()
    stored = [
        Stored(record.sequence, record.time, message.subject, message.data, message.headers)
        for record, message in zip(stage.log, messages, strict=True)
    ]
    return Recording("c", 1, len(stored), stored, **more)


def part(whole: Recording, first: int, last: int | None = None) -> Recording:
    """Cut a stretch out, with the picture that it begins with."""
    before = folded(Recording(whole.cluster, 1, first - 1, whole.messages[: first - 1]))
    last = last or whole.last
    messages = whole.messages[first - 1 : last]
    return Recording(whole.cluster, first, last, messages, snapshot=before.snapshot())


def now(recording: Recording, *cores: Any) -> Comparison:
    return replay(recording, cores or [Deployer(), Scheduler()])


def kinds(found: Comparison) -> list[tuple[str, str]]:
    return [(one.kind, one.service) for one in found.differences]


def only(found: Comparison) -> Difference:
    assert len(found.differences) == 1, found.differences
    return found.differences[0]


def test_the_same_deciders_decide_the_same() -> None:
    stage = history()
    found = now(recorded(stage))
    assert found.differences == []
    assert found.equal
    answers_and_completion, attempts = 3, 7
    assert found.decided == {"deployer": answers_and_completion + attempts, "scheduler": attempts}


def test_a_stretch_may_begin_and_end_anywhere() -> None:
    whole = recorded(history())
    for first in range(2, whole.last + 1):
        found = now(part(whole, first))
        assert found.equal, (first, found.differences)
    for last in range(1, whole.last):
        assert now(Recording("c", 1, last, whole.messages[:last])).equal


def test_the_picture_is_that_of_the_log() -> None:
    whole = recorded(history())
    wanted = Picture()
    wanted.state.cluster = "c"
    for stored in whole.messages:
        wanted.fold(decode(stored))
    assert fingerprint(folded(whole)) == fingerprint(wanted)
    assert fingerprint(folded(part(whole, 10))) == fingerprint(wanted)


class Elsewhere(Scheduler):
    """Changed: the second best node."""

    def decide(self, now: float) -> list[Decision]:
        return [self._changed(one) for one in super().decide(now)]

    def _changed(self, one: Decision) -> Decision:
        event = one.event
        assert isinstance(event, ContainerAssigned)
        node = event.runners_up[0].node
        return msgspec.structs.replace(one, event=msgspec.structs.replace(event, node=node))


def test_a_decision_with_another_content_is_told_field_by_field() -> None:
    found = now(recorded(history()), Deployer(), Elsewhere())
    assert not found.equal
    assert {one.kind for one in found.differences} == {"other"}
    first = found.differences[0]
    assert (first.service, first.recorded is None, first.now is None) == ("scheduler", False, False)
    assert first.words.startswith("node: then node-a, now node-b")


class Choosy(Deployer):
    """Changed: never restarts anything."""

    def decide(self, now: float) -> list[Decision]:
        return [
            one
            for one in super().decide(now)
            if not isinstance(one.event, ContainerRequested) or one.event.attempt == 1
        ]


def test_a_decision_that_is_not_owed_any_more_is_told() -> None:
    found = now(recorded(history()), Choosy(), Scheduler())
    assert kinds(found) == [("only then", "deployer")] * 2
    assert found.differences[0].words == "not decided now"


class Eager(Deployer):
    """Changed: also retires the first slot, which nobody asked for."""

    def decide(self, now: float) -> list[Decision]:
        return [*super().decide(now), *self._more()]

    def _more(self) -> Iterator[Decision]:
        slot = self.picture.slot("shop", "web", 1)
        container = slot.container if slot else None
        if container is not None and container.node and not container.retired:
            event = ContainerRetired(
                app="shop", service="web", slot=1, attempt=1, node=container.node, reason="moved"
            )
            yield Decision(event, container.cause, key="1")


def test_a_decision_that_was_never_made_is_told() -> None:
    found = now(recorded(history()), Eager(), Scheduler())
    assert ("only now", "deployer") in kinds(found)
    missing = found.differences[-1]
    assert missing.now is not None
    assert missing.now.type == ContainerRetired.type


def test_what_was_owed_only_just_before_the_end_may_have_been_on_its_way() -> None:
    stage = history()
    stage.say(ScaleRequested(app="shop", service="web", replicas=1))
    stage.say(ScaleRequested(app="shop", service="web", replicas=2))
    assert now(recorded(stage)).equal
    stage.now += 10
    stage.say(NodeLost(node="nobody", silent_s=1.0))
    missing = only(now(recorded(stage)))
    assert missing.kind == "only now"
    assert missing.words.endswith("it was not decided then, until the end")


def test_what_was_passed_over_for_a_later_decision_is_told() -> None:
    stage = history()
    requests = [r for r in stage.log if isinstance(r.event, ContainerRequested)]
    first = next(r for r in stage.log if r.cause == requests[0].id)
    assert isinstance(first.event, ContainerAssigned)
    whole = recorded(stage)
    kept = [one for one in whole.messages if one.sequence != first.sequence]
    found = now(Recording("c", 1, whole.last, kept))
    missing = [one for one in found.differences if one.kind == "only now"]
    assert [one.now.subject for one in missing if one.now] == [first.event.subject]


class Blaming(Deployer):
    """Changed: names the deploy itself as the cause of its completion."""

    def decide(self, now: float) -> list[Decision]:
        app = self.picture.apps.get("shop")
        return [
            msgspec.structs.replace(one, cause=app.cause)
            if app and isinstance(one.event, DeployCompleted)
            else one
            for one in super().decide(now)
        ]


def test_a_decision_of_which_only_the_cause_changed_is_told_as_the_same_one() -> None:
    told = only(now(recorded(history()), Blaming(), Scheduler()))
    assert (told.kind, told.words) == ("other", "another cause")


def test_a_decision_that_is_made_sooner_now_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = history()
    big = {"deploy": {"resources": {"reservations": {"memory": "900g"}}}}
    for colour in ("red", "blue"):  # It never comes up, so nothing is led in step by step.
        web = {**WEB, "scale": 5, "environment": {"COLOUR": colour}}
        services = {"web": web, "big": {**WEB, **big}}
        stage.ask(DeployRequested(app="fair", compose={"services": services}))
    stage.later(20)
    whole = recorded(stage)
    assert now(whole).equal
    monkeypatch.setattr(slots, "AT_ONCE", 0.5)
    found = now(whole)
    assert set(kinds(found)) == {("sooner now", "deployer")}
    one = found.differences[0]
    assert one.recorded == one.now
    assert one.words.startswith("now at sequence")


class Forgetful(Deployer):
    """Changed: does not know that it has accepted."""

    def decide(self, now: float) -> list[Decision]:
        owed = super().decide(now)
        app = self.picture.apps.get("shop")
        if app is not None:
            event = DeployAccepted(app="shop", revision=1, spec=app.specs[1])
            owed.append(Decision(event, self.asked))
        return owed

    def fold(self, record: Any) -> None:
        super().fold(record)
        if isinstance(record.event, DeployRequested):
            self.asked = record.as_cause()


def test_a_decision_that_the_log_holds_is_not_made_again() -> None:
    found = now(recorded(history()), Forgetful(), Scheduler())
    again = [one for one in found.differences if one.kind == "again"]
    assert [one.now.type for one in again if one.now] == [DeployAccepted.type]


def test_how_long_something_took_is_measured_and_not_compared() -> None:
    stage = history()
    whole = recorded(stage)
    at = next(i for i, r in enumerate(stage.log) if isinstance(r.event, DeployCompleted))
    record = stage.log[at]
    assert isinstance(record.event, DeployCompleted)
    event = msgspec.structs.replace(record.event, took_s=99.0)
    cause = next(r for r in stage.log if r.id == record.cause).as_cause()
    message = encode(event, id=record.id, source=record.source, time=record.time, cause=cause)
    whole.messages[at] = msgspec.structs.replace(whole.messages[at], data=message.data)
    assert now(whole).equal


def test_the_clock_alone_brings_about_decisions() -> None:
    stage = Stage(Deployer(), Scheduler())
    stage.join("node-a")
    greedy = {"deploy": {"resources": {"reservations": {"cpus": "100"}}}}
    stage.ask(DeployRequested(app="shop", compose={"services": {"web": {**WEB, **greedy}}}))
    stage.later(4)  # That there is no room is said before.
    stage.later(297)
    assert isinstance(stage.log[-1].event, DeployFailed)
    whole = recorded(stage)
    assert now(whole).equal
    without = Recording("c", 1, whole.last - 1, whole.messages[:-1])
    assert now(without).equal, "the stretch ends before the deadline"
    later = Stored(whole.last, stage.now + 60, "image.pulled.x", b"{}")
    missing = only(now(Recording("c", 1, whole.last, [*without.messages, later]), Deployer()))
    assert missing.now is not None
    assert missing.now.type == DeployFailed.type


def test_a_decision_may_be_stored_before_its_time_by_a_clock_that_runs_ahead() -> None:
    stage = history()
    whole = recorded(stage)
    timed = [
        (index, record)
        for index, record in enumerate(stage.log)
        if isinstance(record.event, ContainerAssigned) and record.event.not_before
    ]
    index, record = timed[-1]
    assert isinstance(record.event, ContainerAssigned)
    early = max(whole.messages[index - 1].time, record.event.not_before - 0.2)
    whole.messages[index] = msgspec.structs.replace(whole.messages[index], time=early)
    assert now(whole).equal


def test_what_cannot_be_read_is_owed_its_rejection() -> None:
    stage = history()
    whole = recorded(stage)
    last = whole.last
    nonsense = Stored(last + 1, stage.now, "node.lost.x", b"\xff")
    later = Stored(last + 2, stage.now + 60, "image.pulled.x", b"{}")
    missing = now(Recording("c", 1, last + 2, [*whole.messages, nonsense, later]), Deployer())
    assert [one.now.type for one in missing.differences if one.now] == [EventRejected.type]


def test_an_event_that_breaks_the_fold_is_owed_its_rejection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: Any) -> None:
        raise ValueError("broken")

    stage = history()
    stage.say(NodeLost(node="node-z", silent_s=1.0))
    stage.now += 60
    stage.say(NodeLost(node="node-z", silent_s=1.0))
    monkeypatch.setitem(picture._FOLDS, NodeLost.type, broken)
    missing = only(now(recorded(stage), Deployer()))
    assert missing.now is not None
    assert missing.now.type == EventRejected.type
    reason = missing.now.data["reason"]
    assert reason == "it broke the fold of this version: ValueError: broken"


def test_what_a_newer_segue_wrote_is_refused_with_what_to_do() -> None:
    newer = b"""{"id": "1", "source": "/segue/deployer/1", "specversion": "1.0",
        "type": "node.dreamt", "data": {}}"""
    with pytest.raises(RecordingError, match=r"sequence 1 on node.dreamt.*replay .* with that one"):
        now(Recording("c", 1, 1, [Stored(1, 1.0, "node.dreamt", newer)]))


def test_a_picture_of_another_version_is_refused_with_what_to_do() -> None:
    with pytest.raises(
        RecordingError, match=r"line 1: .*another version.*export the stretch again"
    ):
        now(Recording("c", 2, 1, [], snapshot=b"x" * 40))
