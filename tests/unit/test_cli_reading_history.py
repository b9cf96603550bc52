"""How causes are walked: back to the request, forward to what came of it."""

# Events are told apart by what the test expects, not by narrowing each of them.
# mypy: disable-error-code="attr-defined, union-attr"

import io
from collections.abc import Callable

import msgspec
import pytest
from rich.console import Console
from segue.envelope import Cause, Record
from segue.events.container import (
    ContainerAssigned,
    ContainerFailed,
    ContainerHealthy,
    ContainerRequested,
    ContainerStarted,
)
from segue.events.deploy import DeployAccepted, DeployRequested
from segue.events.node import NodeJoined, NodeLost, NodeSuspected
from segue.testing.stage import Stage
from segue_cli.history import History
from segue_cli.reading import Sight
from segue_cli.telling import print_now, print_story, print_tree, shortened
from segue_cli.things import AppName, NodeName, ServiceName, SlotName
from segue_deployer.core import Deployer
from segue_scheduler.core import Scheduler

WEB_3 = SlotName("shop", "web", 3)


def stage(**web: object) -> Stage:
    made = Stage(Deployer(), Scheduler())
    made.join("node-a", "node-b")
    made.later(60)
    services = {"web": {"image": "web:1", "scale": 3, **web}}
    made.ask(DeployRequested(app="shop", compose={"services": services}))
    made.later(50)
    return made


def story_of(made: Stage, slot: SlotName) -> list[Record]:
    history = History(made.log)
    attempts = (at for at in range(1, 100) if history.attempt((*key(slot), at)))
    return history.story(history.attempt((*key(slot), max(attempts))))


def key(slot: SlotName) -> tuple[str, str, int]:
    return (slot.app, slot.service, slot.slot)


def kinds(records: list[Record]) -> list[type]:
    return [type(record.event) for record in records]


def lose(made: Stage, node: str) -> Record:
    made.silent.add(node)
    joined = next(r for r in made.log if r.event == made.cores[0].picture.nodes[node].facts)
    suspected = made.say(NodeSuspected(node=node, silent_s=1.5), joined.as_cause())
    made.later(1.5)
    lost = made.say(NodeLost(node=node, silent_s=3.0), suspected.as_cause())
    made.play()
    return lost


def printed(show: Callable[..., None], *arguments: object, **named: bool) -> str:
    screen = Console(file=io.StringIO(), width=110, color_system=None)
    show(screen, *arguments, **named)
    return "\n".join(line.rstrip() for line in screen.file.getvalue().splitlines())


LIFE = [ContainerRequested, ContainerAssigned, ContainerStarted]


def test_a_container_is_explained_from_the_request_that_began_it() -> None:
    assert kinds(story_of(stage(), WEB_3)) == [DeployRequested, DeployAccepted, *LIFE]


def test_a_container_replaced_twice_shows_both_failures_and_every_placement() -> None:
    made = stage()
    made.fail("shop/web.3", logs=["panic: out of paper"], ran_s=51)
    made.later(20)
    made.fail("shop/web.3", reason="oom", exit_code=137)
    made.later(2)
    told = story_of(made, WEB_3)
    failed = [*LIFE, ContainerFailed]
    assert kinds(told) == [DeployRequested, DeployAccepted, *failed, *failed, *LIFE]
    assert [r.event.attempt for r in told[2:]] == [1] * 4 + [2] * 4 + [3] * 3


def test_a_container_that_went_down_with_its_node_is_told_with_the_loss() -> None:
    made = stage()
    history = History(made.log)
    node = history.attempt(("shop", "web", 3, 1))[-1].event.node
    lose(made, node)
    told = story_of(made, WEB_3)
    lost = [NodeSuspected, NodeLost]
    assert kinds(told) == [DeployRequested, DeployAccepted, *LIFE, *lost, *LIFE]


def test_a_replaced_container_is_told_by_its_end_and_the_new_request() -> None:
    made = stage()
    made.fail("shop/web.3")
    made.later(10)
    services = {"web": {"image": "web:2", "scale": 3}}
    made.ask(DeployRequested(app="shop", compose={"services": services}))
    for _ in range(4):
        made.later(10)
    told = kinds(story_of(made, WEB_3))
    assert told[:2] == [DeployRequested, DeployAccepted]
    assert told[-3:] == LIFE
    assert ContainerFailed not in told, "the past of an earlier revision explains nothing"


def test_a_service_that_waited_for_another_is_told_with_what_let_it_begin() -> None:
    made = Stage(Deployer(), Scheduler())
    made.join("node-a")
    db = {"image": "db", "healthcheck": {"test": "true"}}
    web = {"image": "web", "depends_on": {"db": {"condition": "service_healthy"}}}
    made.ask(DeployRequested(app="shop", compose={"services": {"db": db, "web": web}}))
    told = story_of(made, SlotName("shop", "web", 1))
    assert ContainerHealthy in kinds(told)
    assert [r.event.service for r in told if isinstance(r.event, ContainerRequested)] == [
        "db",
        "web",
    ]


def test_forward_tells_what_a_lost_node_led_to() -> None:
    made = stage()
    lost = lose(made, "node-a")
    tree = History(made.log).tree(lost)
    found = [record for _, record in tree.walk()]
    assert found[0] == lost
    assert {r.event.attempt for r in found[1:]} == {2}
    assert {type(r.event) for r in found[1:]} == set(LIFE)
    depths = {record.event.type: depth for depth, record in tree.walk()}
    assert [depths[kind.type] for kind in LIFE] == [1, 2, 3]


def test_a_cause_that_was_not_read_is_named_as_missing() -> None:
    log = stage().log
    accepted = next(r for r in log if isinstance(r.event, DeployAccepted))
    history = History(r for r in log if r.sequence >= accepted.sequence)
    newest = history.attempt(("shop", "web", 3, 1))
    assert history.unknown(history.story(newest)) == [accepted]
    history.add(log[accepted.sequence - 2])
    assert history.unknown(history.story(newest)) == []


def test_a_cause_is_told_by_its_source_where_two_programs_chose_the_same_id() -> None:
    said = {
        source: Record(
            sequence=at,
            time=1.0,
            event=DeployRequested(app="shop", compose={}),
            id="1",
            source=source,
            correlation="1",
        )
        for at, source in enumerate(("/ci", "/desk"), 1)
    }
    answer = Record(
        sequence=3,
        time=1.0,
        event=NodeLost(node="a", silent_s=1),
        id="a",
        source="/segue/x/1",
        correlation="1",
        cause="1",
        cause_source="/desk",
    )
    unnamed = msgspec.structs.replace(answer, sequence=4, id="b", cause_source="")
    history = History([*said.values(), answer, unnamed])
    assert history.cause_of(answer) == said["/desk"]
    assert history.cause_of(unnamed) == said["/ci"], "the oldest of that id"
    assert answer not in history.effects_of(said["/ci"])
    assert answer in history.effects_of(said["/desk"])
    assert History([said["/ci"], answer]).unknown([answer]) == [answer]


def test_causes_that_run_in_a_circle_are_walked_once() -> None:
    made = Stage()
    first = made.say(NodeLost(node="a", silent_s=1), Cause("second", "x"), "first")
    second = made.say(NodeLost(node="a", silent_s=1), Cause("first", "x"), "second")
    own = made.say(NodeLost(node="a", silent_s=1), Cause("own", "x"), "own")
    history = History(made.log)
    assert history.story([second]) == [first, second]
    assert [r for _, r in history.tree(first).walk()] == [first, second]
    assert history.story([own]) == [own]


def test_a_story_of_many_attempts_leaves_out_the_middle_and_counts_it() -> None:
    made = stage()
    for _ in range(12):
        made.fail("shop/web.3")
        made.later(90)
    told = story_of(made, WEB_3)
    short = shortened(told, WEB_3)
    omitted = [one for one in short if not isinstance(one, Record)]
    assert [one.words for one in omitted] == [
        "… 9 attempts more: 9 x exited with 1 (--all tells them)"
    ]
    requested = [
        one.event.attempt
        for one in short
        if isinstance(one, Record) and isinstance(one.event, ContainerRequested)
    ]
    assert requested == [1, 11, 12, 13]


def test_a_story_reads_as_a_tired_operator_wants_it() -> None:
    made = stage(deploy={"placement": {"constraints": ["node.labels.disk != ssd"]}})
    made.join("node-c", labels={"disk": "ssd"})
    made.fail("shop/web.3", logs=["panic: out of paper"], ran_s=51)
    made.later(7)
    text = printed(print_story, story_of(made, WEB_3), WEB_3)
    assert "maria@desk shop asked for a deploy: web" in text
    assert "exited with code 1 after 51 s" in text
    assert "| panic: out of paper" in text
    assert "chose node-a, score" in text
    assert "refused: 1 x constraint node.labels.disk != ssd does not hold (node-c)" in text
    now = printed(print_now, WEB_3, Sight(made.cores[0].picture, made.now))
    assert now.strip() == "now  running, on node-b, for 7 s, 1 restart, nothing is wrong"


def test_a_container_that_runs_is_not_trusted_while_its_slot_keeps_ending() -> None:
    made = stage()
    for _ in range(2):
        made.fail("shop/web.3")
        made.later(5)
    seen = Sight(made.cores[0].picture, made.now)
    assert "it ended 2 times within 5 min" in printed(print_now, WEB_3, seen)


def test_where_something_is_wrong_it_is_said() -> None:
    made = stage(deploy={"resources": {"reservations": {"memory": "64G"}}})
    seen = Sight(made.cores[0].picture, made.now)
    now = printed(print_now, WEB_3, seen)
    why = "no node: 2 x not enough memory: 65536 MiB are wanted"
    assert now.strip() == f"now  pending, without a node, for 50 s, {why}"
    app = printed(print_now, AppName("shop"), seen)
    assert "now  deploying, 0 of 3 slots up" in app
    assert app.count("pending") == 3
    assert printed(print_now, ServiceName("shop", "web"), seen) == app
    assert "nothing is wrong" not in app
    node = printed(print_now, NodeName("node-a"), seen)
    assert node.strip() == "now  up, for 2 min, 0 containers, nothing is wrong"


@pytest.mark.parametrize("everything", [False, True])
def test_a_great_tree_is_cut_and_what_is_left_out_is_counted(everything: bool) -> None:  # noqa: FBT001 — given by name.
    made = Stage()
    root = made.say(NodeJoined(node="a", session="s", cpu_millicores=1, memory_bytes=1))
    for _ in range(250):
        made.say(NodeLost(node="a", silent_s=1), root.as_cause())
    text = printed(print_tree, History(made.log).tree(root), everything=everything)
    assert ("51 more (--all shows them)" in text) is not everything
    assert text.endswith("250 events within 0 ms.")
