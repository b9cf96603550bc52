"""What the command line says of events, times and amounts."""

# Events are told apart by what the test expects, not by narrowing each of them.
# mypy: disable-error-code="arg-type"

import datetime as dt
import json
import pathlib
import time

import pytest
from segue.envelope import Record, decode
from segue.events import REGISTRY, Event
from segue.events.container import (
    Candidate,
    ContainerAssigned,
    ContainerFailed,
    ContainerRequested,
    ContainerUnplaceable,
    FailureReason,
    Refusal,
)
from segue.events.deploy import DeployRejected, DeployRequested, Problem
from segue.events.node import NodeLost
from segue.log import Stored
from segue_cli.amounts import age, count, cpus, size, span
from segue_cli.moment import Moment, MomentError, moment, time_of
from segue_cli.story import about, tell, where, who

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "events"
SLOT = {"app": "shop", "service": "web", "slot": 3, "attempt": 2}
NOON = dt.datetime(2026, 8, 1, 12, 0).astimezone().timestamp()


def said(event: Event, *, source: str = "/segue/deployer/1", actor: str = "") -> Record:
    return Record(
        sequence=1,
        time=1_000.0,
        event=event,
        id="i",
        source=source,
        correlation="i",
        actor=actor,
    )


@pytest.mark.parametrize("name", REGISTRY)
def test_every_event_has_words(name: str) -> None:
    sample = next(GOLDEN.glob(f"{name}*.json")).read_bytes()
    envelope = json.loads(sample)
    event = REGISTRY[name]
    tokens = [str(envelope["data"][field]) for field in event.scope]
    record = decode(Stored(1, 1.0, ".".join([name, *tokens]), sample))
    told = tell(record)
    assert told.point.strip()
    assert "\n" not in told.point
    assert about(record.event)


def test_an_event_that_nobody_found_words_for_is_told_by_its_own_description() -> None:
    class Unheard(NodeLost, type="node.unheard_of", scope=("node",)):
        """Something new happened. Nobody reacts."""

        why: str = ""

    try:
        told = tell(said(Unheard(node="node-a", silent_s=1.0, why="a test")))
    finally:
        del REGISTRY["node.unheard_of"]
    assert told.point == "Something new happened"
    assert told.details == ["silent_s: 1.0", "why: a test"]


def test_an_assignment_tells_the_score_the_runners_up_and_the_refused() -> None:
    told = tell(
        said(
            ContainerAssigned(
                **SLOT,
                node="node-a",
                revision=1,
                digest="d",
                score=87.5,
                parts={"spread": 40.0, "balance": 27.5, "reliable": 20.0, "image": 0.0},
                runners_up=[Candidate("node-b", 71.0, {"spread": 20.0})],
                refused=[
                    Refusal("constraint node.labels.disk == ssd does not hold", 7, ["c", "d"])
                ],
                looked_at=15,
            )
        )
    )
    assert told.point == "chose node-a, score 87.5"
    assert told.details == [
        "spread 40, balance 27.5, reliable 20",
        "runners-up: node-b 71 (spread 20)",
        "compared 15 of the cluster's nodes",
        "refused: 7 x constraint node.labels.disk == ssd does not hold (c, d and 5 more)",
    ]


def test_what_cannot_be_placed_says_why_of_each_node() -> None:
    refused = [Refusal("node is lost", 1, ["node-a"]), Refusal("there is no node", 0)]
    told = tell(said(ContainerUnplaceable(**SLOT, refused=refused)))
    assert told.point == "no node can take it: 1 x node is lost (node-a); there is no node"


@pytest.mark.parametrize(
    ("reason", "exit_code", "message", "ran_s", "words"),
    [
        ("exited", 1, "", 51.2, "exited with code 1 after 51 s"),
        ("oom", 137, "", 20, "killed, out of memory after 20 s"),
        ("image", None, "no such tag", 0, "its image could not be had: no such tag"),
        ("node.lost", None, "", 0, "went down with its node"),
        ("unhealthy", None, "its health check failed 3 times: no", 9, None),
        ("unhealthy", None, "it failed 3 times: ", 9, "it failed 3 times"),
        ("unhealthy", None, "it failed: usage\n\n  -l  listen\n", 9, "it failed: usage …"),
    ],
)
def test_a_failure_says_how(
    reason: FailureReason, exit_code: int | None, message: str, ran_s: float, words: str | None
) -> None:
    event = ContainerFailed(
        **SLOT,
        node="node-a",
        reason=reason,
        exit_code=exit_code,
        message=message,
        ran_s=ran_s,
        logs=["the last line"],
    )
    told = tell(said(event))
    assert told.point == (words or message)
    assert told.details == ["| the last line"]
    assert told.tone == "bad"


def test_a_wait_before_a_restart_is_told() -> None:
    event = ContainerRequested(**SLOT, revision=4, digest="d", not_before=1_008.0)
    told = tell(said(event))
    assert told.point.startswith("wants attempt 2 of revision 4, not before ")
    assert told.point.endswith("(waits 8 s)")


def test_one_problem_stands_in_the_line_and_several_behind_it() -> None:
    problem = Problem(where="services.web", what="is wrong", hint="write it right")
    one = tell(said(DeployRejected(app="shop", problems=[problem])))
    assert one.point == "rejected: services.web: is wrong (write it right)"
    two = tell(said(DeployRejected(app="shop", problems=[problem, problem])))
    assert two.point == "rejected: 2 problems"
    assert two.details == ["services.web: is wrong (write it right)"] * 2


def test_a_request_is_a_persons_word_and_a_fact_a_nodes() -> None:
    asked = DeployRequested(app="shop", compose={})
    assert who(said(asked, source="/cli/desk", actor="maria@desk")) == "maria@desk"
    assert who(said(asked, source="/foreign")) == "a program"
    assert who(said(asked, source="/ci/build-7")) == "ci"
    assert who(said(asked, actor="maria@desk")) == "deployer for maria@desk"
    failed = ContainerFailed(**SLOT, node="node-a", reason="exited")
    assert who(said(failed, source="/segue/node_runner/node-a")) == "node-a"
    assert who(said(failed, source="/segue/health_monitor/x")) == "health monitor"


def test_an_event_is_about_a_slot_an_app_or_a_node() -> None:
    failed = ContainerFailed(**SLOT, node="node-a", reason="exited")
    assert (about(failed), where(failed)) == ("shop/web.3", "node-a")
    lost = NodeLost(node="node-a", silent_s=3.0)
    assert (about(lost), where(lost)) == ("node-a", "")
    assert about(DeployRequested(app="shop", compose={})) == "shop"


@pytest.mark.parametrize(
    ("seconds", "words", "column"),
    [
        (-1, "0 ms", "0s"),
        (0.004, "4 ms", "0s"),
        (1.72, "1.7 s", "2s"),
        (2, "2 s", "2s"),
        (51.2, "51 s", "51s"),
        (720, "12 min", "12m"),
        (5 * 3600, "5 h", "5h"),
        (3 * 86400, "3 days", "3d"),
    ],
)
def test_durations_are_short(seconds: float, words: str, column: str) -> None:
    assert (span(seconds), age(seconds)) == (words, column)


def test_amounts_are_short() -> None:
    assert [size(n) for n in (0, 1 << 29, 8 << 30, int(7.75 * (1 << 30)))] == [
        "0 B",
        "512 MiB",
        "8 GiB",
        "7.8 GiB",
    ]
    assert [cpus(250), cpus(4000)] == ["0.25", "4"]
    assert [count(1, "slot"), count(0, "slot")] == ["1 slot", "0 slots"]


@pytest.mark.parametrize(
    ("text", "seconds_ago"),
    [
        ("10m", 600),
        ("1h30m", 5400),
        ("1.5s", 1.5),
        ("now", 0),
        ("11:58", 120),
        ("9:00", 3 * 3600),
        ("11:59:30", 30),
        ("12:00:01", 86_399),
        ("2026-08-01T11:00", 3600),
        ("2026-07-31 12:00:00", 86_400),
    ],
)
def test_a_time_is_read_as_people_write_it(text: str, seconds_ago: float) -> None:
    assert NOON - time_of(text, NOON) == pytest.approx(seconds_ago)


def test_a_time_with_a_zone_is_of_that_zone() -> None:
    assert time_of("2026-08-01T12:00:00Z", NOON) == 1_785_585_600.0


def test_digits_are_a_sequence() -> None:
    assert moment("4711", time.time()) == Moment(sequence=4711)


@pytest.mark.parametrize("text", ["", "yesterday", "25:00", "10 m", "m", "1e9x", "9" * 30 + "h"])
def test_what_is_no_time_is_refused_with_what_would_be(text: str) -> None:
    with pytest.raises(MomentError, match="write a sequence number, 10m"):
        moment(text, NOON)
