"""What `ls`, `ps`, `nodes`, `inspect` and `diff` show of a cluster."""

import io
from typing import Any

import msgspec
import pytest
from rich.console import Console
from segue.events.container import ContainerFinished, ContainerUnhealthy
from segue.events.deploy import DeployRequested, RemovalRequested
from segue.events.node import NodeCordonRequested, NodeDegraded, NodeLeaseEnded, NodeLost
from segue.events.scale import ScaleRequested
from segue.picture import Picture
from segue.testing.stage import Stage
from segue_cli import rows
from segue_cli.columns import node_columns, service_columns, slot_columns
from segue_cli.diff import compare
from segue_cli.errors import FailedError, InvalidError, NotFoundError
from segue_cli.execute import check_runs
from segue_cli.inspection import document, sections
from segue_cli.reading import Sight
from segue_cli.tables import Column, table
from segue_cli.things import AppName, EventName, NodeName, ServiceName, SlotName, Thing, thing
from segue_deployer.core import Deployer
from segue_health_monitor import services as health
from segue_scheduler.core import Scheduler


def stage(**services: dict[str, Any]) -> Stage:
    made = Stage(Deployer(), Scheduler())
    made.join("node-a", "node-b", engine="docker 28.2.2, API 1.50")
    if services:
        deploy(made, **services)
    return made


def deploy(made: Stage, **services: dict[str, Any]) -> None:
    compose = {"services": {name: {"image": f"{name}:1"} | s for name, s in services.items()}}
    made.ask(DeployRequested(app="shop", compose=compose))


def picture(made: Stage) -> Picture:
    return made.cores[0].picture


def copy(made: Stage) -> Picture:
    """Give the picture as it is, untouched by what comes."""
    other = Picture()
    other.restore(picture(made).snapshot())
    return other


def shown(found: list[Any], columns: list[Column[Any]]) -> list[str]:
    screen = Console(file=io.StringIO(), width=160, color_system=None)
    screen.print(table(found, columns))
    return [" ".join(line.split()) for line in screen.file.getvalue().splitlines()]  # type: ignore[attr-defined]  # it is a StringIO.


def ls(made: Stage) -> list[str]:
    return shown(list(rows.services(picture(made))), list(service_columns(made.now)))


def ps(made: Stage) -> list[str]:
    return shown(rows.slots(picture(made)), list(slot_columns(made.now)))


def nodes(made: Stage) -> list[str]:
    return shown(list(rows.nodes(picture(made))), list(node_columns(made.now)))


BIG = {"deploy": {"resources": {"reservations": {"memory": "64G"}}}}
PORT = {"target": 80, "mode": "host"}
CHECKED = {"healthcheck": {"test": "true"}}
WEB_1 = {"app": "shop", "service": "web", "slot": 1, "attempt": 1}


def test_a_service_that_is_up_is_running() -> None:
    made = stage(web={"scale": 3, "ports": [PORT]}, db=CHECKED)
    made.later(180)
    assert ls(made) == [
        "NAME MODE REPLICAS UPDATED IMAGE ENDPOINTS STATE",
        "shop/db replicated 1/1 3m db:1 running",
        "shop/web replicated 3/3 3m web:1 node:any->80 running",
    ]


def test_each_slot_is_told_with_its_node_health_restarts_and_age() -> None:
    made = stage(web={"scale": 2}, db=CHECKED)
    made.later(30)
    made.fail("shop/web.2")
    made.later(30)
    lines = ps(made)
    assert lines[0] == "SERVICE SLOT NODE STATE HEALTH RESTARTS AGE"
    assert lines[1].startswith("shop/db 1 node-")
    assert lines[1].endswith("running healthy 0 61s")
    assert lines[3].endswith("running 1 30s")


def test_a_slot_that_waits_says_for_what() -> None:
    made = stage(web={}, big=BIG, late={"depends_on": {"big": {"condition": "service_started"}}})
    made.fail("shop/web.1")
    made.fail("shop/web.1")
    made.now += 0.1
    big, late, web = ps(made)[1:]
    assert big == "shop/big 1 - pending 0 1s no node: 2 x not enough memory: 65536 MiB are wanted"
    assert late.endswith("waiting 0 1s waits for big")
    assert "waiting 2 0s restarts in 0." in web


def test_a_slot_that_is_given_up_says_how_it_ended() -> None:
    made = stage(web={"restart": "no"})
    made.fail("shop/web.1", reason="oom", exit_code=137)
    made.later(60)
    assert ps(made)[1].endswith("failed 0 60s killed, out of memory; not restarted")
    assert ls(made)[1].split()[:3] == ["shop/web", "replicated", "0/1"]
    assert ls(made)[1].endswith("down")


def test_a_service_that_has_done_its_work_for_good_is_finished() -> None:
    made = stage(web={"restart": "no"})
    made.say(ContainerFinished(**WEB_1, node="node-a"))  # type: ignore[arg-type]  # four fields.
    assert ls(made)[1].split()[2] == "1/1"
    assert ls(made)[1].endswith("finished")


def test_nothing_can_be_run_in_a_container_that_has_ended() -> None:
    made = stage(web={"restart": "no"})
    check_runs(SlotName("shop", "web", 1), picture(made))
    made.say(ContainerFinished(**WEB_1, node="node-a"))  # type: ignore[arg-type]  # four fields.
    with pytest.raises(FailedError, match=r"shop/web\.1 does not run: it is finished"):
        check_runs(SlotName("shop", "web", 1), picture(made))


@pytest.mark.parametrize("columns", [80, 120])
def test_a_narrow_terminal_cuts_no_state_and_no_title(columns: int) -> None:
    made = stage(web={"ports": ["8080:80"], "image": "registry.example.com/shop/web:2026-08-01"})
    found = picture(made)
    screen = Console(file=io.StringIO(), width=columns, color_system=None)
    screen.print(table(list(rows.services(found)), service_columns(made.now)))
    screen.print(table(list(rows.nodes(found)), node_columns(made.now)))
    told = screen.file.getvalue()  # type: ignore[attr-defined]  # it is a StringIO.
    assert "…" not in told
    assert {"STATE", "REPLICAS", "running", "CONTAINERS", "VERSION"} <= set(told.split())


def test_what_is_on_a_lost_or_silent_node_is_told_so() -> None:
    made = stage(web={"deploy": {"mode": "global"}})
    made.silent |= {"node-b"}
    made.say(NodeLost(node="node-b", silent_s=3.0))
    made.play()
    by_node = {row.node: row.state for row in rows.slots(picture(made))}
    assert by_node == {"node-a": "running", "node-b": "lost"}


def test_a_failing_health_check_is_told_with_what_it_printed() -> None:
    made = stage(db=CHECKED)
    spec = {"app": "shop", "service": "db", "slot": 1, "attempt": 1, "node": "node-a"}
    made.say(ContainerUnhealthy(**spec, streak=3, output="connection\nrefused"))  # type: ignore[arg-type]  # five fields.
    [row] = rows.slots(picture(made))
    assert (row.state, row.health, row.note) == ("running", "unhealthy", "refused")
    assert next(rows.services(picture(made))).state == "down"


def test_a_flapping_service_is_told() -> None:
    made = stage(web={})
    for _ in range(6):
        made.fail("shop/web.1")
        made.later(40)
    service = picture(made).service("shop", "web")
    assert service is not None
    for decision in health.decide("shop", service, made.now):
        made.say(decision.event, decision.cause)
    assert next(rows.services(picture(made))).state == "flapping"


def test_what_was_scaled_down_or_removed_is_not_listed() -> None:
    made = stage(web={"scale": 3})
    made.ask(ScaleRequested(app="shop", service="web", replicas=1))
    assert [row.slot for row in rows.slots(picture(made))] == [1]
    made.ask(ScaleRequested(app="shop", service="web", replicas=0))
    assert [row.state for row in rows.services(picture(made))] == ["idle"]
    made.ask(RemovalRequested(app="shop"))
    assert list(rows.services(picture(made))) == []
    assert rows.slots(picture(made)) == []


def test_what_is_to_stop_and_still_runs_is_listed() -> None:
    made = stage(web={"scale": 2})
    made.silent |= {"node-a", "node-b"}
    made.ask(ScaleRequested(app="shop", service="web", replicas=1))
    assert [(row.slot, row.state, row.note) for row in rows.slots(picture(made))] == [
        (1, "running", ""),
        (2, "stopping", "scaled"),
    ]


def test_nodes_tell_what_is_promised_of_them() -> None:
    made = stage(web={"deploy": {"resources": {"reservations": {"memory": "2G", "cpus": "0.5"}}}})
    made.later(600)
    assert nodes(made) == [
        "NAME STATE CPU MEM CONTAINERS AGE ENGINE GATEWAY VERSION",
        "node-a up 0.5/4 2 GiB/8 GiB 1 10m docker 28.2.2, API 1.50 none 0.1.0",
        "node-b up 0/4 0/8 GiB 0 10m docker 28.2.2, API 1.50 none 0.1.0",
    ]


def test_a_node_of_no_use_says_why() -> None:
    made = stage()
    made.ask(NodeCordonRequested(node="node-a"))
    made.say(NodeDegraded(node="node-b", reason="the engine is frozen"))
    found = [(row.state, row.note) for row in rows.nodes(picture(made))]
    assert found == [("up", "cordoned"), ("broken", "the engine is frozen")]


def test_rows_hold_no_ages_so_that_the_same_picture_gives_the_same_json() -> None:
    made = stage(web={"scale": 2})
    before = msgspec.json.encode(rows.slots(picture(made)))
    made.now += 1000
    assert msgspec.json.encode(rows.slots(picture(made))) == before


# Differences.


def changes(before: Picture, after: Picture) -> dict[str, list[str]]:
    said: dict[str, list[str]] = {}
    for change in compare(before, after):
        said.setdefault(change.thing, []).append(change.words)
    return said


def test_nothing_differs_between_a_picture_and_itself() -> None:
    made = stage(web={"scale": 2}, db=CHECKED)
    assert list(compare(picture(made), copy(made))) == []


def test_a_new_revision_is_told_by_what_it_changed() -> None:
    made = stage(web={"scale": 2})
    before = copy(made)
    deploy(made, web={"image": "web:2", "scale": 3})
    for _ in range(4):
        made.later(10)
    said = changes(before, picture(made))
    assert said["shop"] == ["revision: 1 → 2"]
    assert said["shop/web"] == ["replicas: 2 → 3", "image: web:1 → web:2"]
    assert said["shop/web.1"][0].startswith("attempt 2 instead of 1: running on node-")
    assert said["shop/web.3"][0].startswith("running on node-")


def test_apps_and_services_that_came_and_went_are_told() -> None:
    made = stage()
    empty = copy(made)
    deploy(made, web={}, db={})
    both = copy(made)
    assert changes(empty, both)["shop"] == ["deployed, revision 1, running"]
    deploy(made, web={})
    assert changes(both, picture(made))["shop/db"] == ["no longer wanted"]
    made.ask(RemovalRequested(app="shop"))
    gone = changes(both, picture(made))
    assert gone["shop"] == ["removed"]
    assert gone["shop/web.1"][0].startswith("was running on node-")


def test_what_happened_to_nodes_is_told() -> None:
    made = stage(web={"scale": 2})
    before = copy(made)
    made.silent.add("node-a")
    made.say(NodeLost(node="node-a", silent_s=3.0))
    made.play()
    made.join("node-c")
    said = changes(before, picture(made))
    assert said["node-a"] == ["lost, was up"]
    assert said["node-c"] == ["joined, up"]
    moved = [words for name, words in said.items() if name.startswith("shop/web.")]
    assert moved == [["attempt 2 instead of 1: running on node-b, was running on node-a"]]
    of_app = [change.thing for change in compare(before, picture(made), "shop")]
    assert "node-a" not in of_app


# Names.


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("shop", AppName("shop")),
        ("shop/web", ServiceName("shop", "web")),
        ("shop/web.1", SlotName("shop", "web", 1)),
        ("shop/web.1@2", SlotName("shop", "web", 1, 2)),
        ("node-a", NodeName("node-a")),
        ("node:node-a", NodeName("node-a")),
        ("4711", EventName(4711)),
        ("event:odd", EventName(id="odd")),
        (
            "0190e7f4-7a70-7c6e-8a51-3c5f9d2b1e00",
            EventName(id="0190e7f4-7a70-7c6e-8a51-3c5f9d2b1e00"),
        ),
    ],
)
def test_a_name_is_understood(text: str, found: Thing) -> None:
    assert thing(text, picture(stage(web={}))) == found


@pytest.mark.parametrize(
    ("text", "words", "hint"),
    [
        ("shp", "there is no app and no node called shp", "perhaps shop?"),
        ("zzz", "there is no app and no node called zzz", "there are: node-a, node-b, shop"),
        ("shop/wbe", "shop has no service called wbe", "perhaps web?"),
        ("shop/web.9", "shop/web has no slot 9", "it has had: 1"),
        ("shp/web", "there is no app called shp", "perhaps shop?"),
        ("node:b", "there is no node called b", "there are: node-a, node-b"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(text: str, words: str, hint: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        thing(text, picture(stage(web={})))
    assert (str(caught.value), caught.value.hint) == (words, hint)


def test_a_slot_that_still_waits_for_its_first_container_is_told_so() -> None:
    made = stage(big=BIG, late={"depends_on": ["big"]})
    with pytest.raises(NotFoundError, match=r"shop/late\.1 has had no container yet") as caught:
        thing("shop/late.1", picture(made))
    assert caught.value.hint == "`segue ps shop` tells why"


def test_a_name_of_no_form_is_answered_with_the_forms() -> None:
    with pytest.raises(InvalidError, match="names nothing"):
        thing("shop/web.x", picture(stage(web={})))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("shop", ["app shop", "revision", "services", "slots", "shop/web"]),
        ("shop/web", ["service shop/web", "image", "web:1", "restart", "slots"]),
        ("shop/web.1", ["slot shop/web.1", "container shop/web.1@1", "running", "started"]),
        ("node-a", ["node node-a", "docker 28.2.2", "promised", "containers"]),
    ],
)
def test_a_thing_is_shown_in_full(text: str, parts: list[str]) -> None:
    made = stage(web={"scale": 2}, db=CHECKED)
    made.later(60)
    screen = Console(file=io.StringIO(), width=120, color_system=None)
    what = thing(text, picture(made))
    for section in sections(what, Sight(picture(made), made.now), None):
        screen.print(section)
    said = screen.file.getvalue()  # type: ignore[attr-defined]  # it is a StringIO.
    assert [part for part in parts if part not in said] == []
    assert msgspec.json.encode(document(what, picture(made), None))


def test_a_container_that_is_no_longer_known_is_looked_for_in_the_log() -> None:
    made = stage(web={})
    made.fail("shop/web.1")
    made.later(5)
    with pytest.raises(NotFoundError) as caught:
        document(SlotName("shop", "web", 1, 1), picture(made), None)
    assert "segue why shop/web.1@1" in caught.value.hint


def test_a_slot_that_must_never_run_twice_says_whose_lease_it_waits_for() -> None:
    made = stage(db={"x-segue": {"singleton": True}})
    (row,) = rows.slots(picture(made))
    made.silent |= {row.node}
    made.say(NodeLost(node=row.node, silent_s=3.0))
    made.play()
    (row,) = rows.slots(picture(made))
    assert (row.state, row.attempt) == ("lost", 1)
    assert row.note == f"waits for the lease of {row.node}: it must never run twice"
    made.say(NodeLeaseEnded(node=row.node))
    made.play()
    (row,) = rows.slots(picture(made))
    assert (row.attempt, row.note) == (2, "")
