"""What a doctor thinks of what it finds."""

from typing import Any

import pytest
from segue.bus import Plan, Settings
from segue.bus.stream import log_subjects
from segue.events.deploy import DeployRequested
from segue.events.node import NodeDegraded, NodeLost, NodeSuspected
from segue.events.service import ServiceFlapping
from segue.picture import LogRoom
from segue.testing.stage import Stage
from segue_cli import checkup
from segue_cli.checkup import Disk, Facts, Finding, Service
from segue_deployer.core import Deployer
from segue_scheduler.core import Scheduler

HERE = Settings(url="nats://127.0.0.1:4222")
SERVER = {"server": {"ver": "2.15.1", "jetstream": True}, "data": {"user": "maria"}}


def levels(found: list[Finding]) -> dict[str, str]:
    return {finding.what: finding.level for finding in found}


def stream(**config: Any) -> dict[str, Any]:
    usual = {
        "subjects": log_subjects(),
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "allow_atomic": True,
        "deny_delete": True,
        "num_replicas": 1,
        "max_age": int(Plan().age_max_s * 1e9),
        "max_bytes": 1 << 30,
    }
    return {"config": usual | config, "state": {"messages": 3, "bytes": 1 << 20}}


def test_a_log_as_segue_makes_it_is_well() -> None:
    found = list(checkup.log(stream()))
    assert levels(found) == {"log": "ok", "log settings": "ok"}
    assert "1 MiB of 1 GiB" in found[0].seen


@pytest.mark.parametrize(("used", "level"), [(0.5, "ok"), (0.75, "warn"), (0.9, "fail")])
def test_a_log_that_fills_up_is_told_before_it_is_full(used: float, level: str) -> None:
    found = stream()
    found["state"]["bytes"] = int(used * (1 << 30))
    assert levels(list(checkup.log(found)))["log"] == level


def test_a_log_that_was_trimmed_or_cannot_be_is_told_with_the_reason() -> None:
    found = stream()
    (room, _) = checkup.log(found, LogRoom(first=4711, trimmed_at=1_782_000_000.0))
    assert (room.level, "begins at 4711" in room.seen) == ("ok", True)
    found["state"]["bytes"] = int(0.9 * (1 << 30))
    (room, _) = checkup.log(found, LogRoom(filling_since=1.0, words="no space left"))
    assert "cannot be trimmed: no space left" in room.seen
    assert "max_bytes" in room.do


@pytest.mark.parametrize(
    ("config", "level", "named"),
    [
        ({"storage": "memory"}, "warn", "storage"),
        ({"retention": "workqueue"}, "fail", "retention"),
        ({"discard": "old"}, "warn", "discard"),
        ({"allow_atomic": False}, "fail", "allow_atomic"),
        ({"subjects": ["deploy.>"]}, "fail", "container.>"),
        ({"max_age": int(3_600 * 1e9)}, "warn", "kept 60 min"),
        ({"max_bytes": -1}, "warn", "without a limit"),
    ],
)
def test_a_log_that_was_changed_is_told_with_what_to_do(
    config: dict[str, Any], level: str, named: str
) -> None:
    wrong = [finding for finding in checkup.log(stream(**config)) if finding.level != "ok"]
    assert [finding.level for finding in wrong] == [level]
    assert named in wrong[0].seen
    assert wrong[0].do


ASKED = ["deploy", "removal", "scale", "node", "rebalance", "rollback", "rollout"]


def test_a_bus_that_everyone_may_use_is_fine_on_loopback_only() -> None:
    assert levels(list(checkup.bus(SERVER, HERE))) == {"bus": "ok", "permissions": "ok"}
    for url in ("nats://10.0.0.1:4222", "nats://127.0.0.1:4222,nats://10.0.0.1:4222"):
        assert levels(list(checkup.bus(SERVER, Settings(url=url))))["permissions"] == "warn"


@pytest.mark.parametrize(
    ("publish", "level"),
    [
        ({}, "ok"),
        ({"allow": [">"]}, "ok"),
        ({"allow": [f"{noun}.>" for noun in ASKED]}, "ok"),
        ({"allow": ["scale.requested.>"]}, "warn"),
        ({"deny": ["deploy.>"]}, "warn"),
    ],
)
def test_a_user_who_may_not_ask_for_things_is_told(publish: dict[str, Any], level: str) -> None:
    user = SERVER | {"data": {"permissions": {"publish": publish}}}
    assert levels(list(checkup.bus(user, HERE)))["permissions"] == level


def test_a_bus_that_does_not_say_what_it_is_is_not_judged() -> None:
    assert levels(list(checkup.bus({}, HERE))) == {"bus": "warn"}


def test_a_server_that_stores_nothing_fails() -> None:
    user = SERVER | {"server": {"ver": "2.15.1"}}
    assert levels(list(checkup.bus(user, HERE)))["jetstream"] == "fail"


def test_what_a_confirmed_write_is_worth_is_told_where_it_can_be_known() -> None:
    assert checkup.sync("jetstream {\n  sync_interval: always\n}").level == "ok"
    assert checkup.sync("jetstream { }").level == "warn"
    assert "cannot see" in checkup.sync(None).seen


@pytest.mark.parametrize(
    ("behind_s", "level"), [(0.01, "ok"), (-1.5, "ok"), (4.0, "warn"), (-4.0, "warn")]
)
def test_a_clock_that_is_off_is_told(behind_s: float, level: str) -> None:
    assert checkup.clock(behind_s).level == level


@pytest.mark.parametrize(("free", "level"), [(50, "ok"), (10, "warn"), (2, "fail")])
def test_a_disk_that_fills_up_is_told(free: int, level: str) -> None:
    assert checkup.disk(Disk(free << 30, 100 << 30)).level == level


def test_services_are_judged_by_who_leads_and_how_far_behind_they_are() -> None:
    heard = {
        "deployer": Service("a", 7, 100),
        "scheduler": Service("", 0, 100),
        "health_monitor": Service("a", 8, 90),
        "autoscaler": Service("a", 9, 100),
    }
    found = list(checkup.services(heard, 100))
    well = dict.fromkeys(("deployer", "health_monitor", "autoscaler"), "ok")
    assert levels(found) == well | {"scheduler": "fail"}
    assert found[1].seen == "it runs, but nobody leads yet"
    assert found[2].seen == "a leads since 8, 10 events behind"
    assert all(finding.level == "fail" for finding in checkup.services({}, 0))
    behind = list(checkup.services({"deployer": Service("a", 7, 1)}, 9_000))
    assert levels(behind)["deployer"] == "warn"


def test_nodes_are_judged_by_the_log_and_by_their_engines() -> None:
    stage = Stage(Deployer(), Scheduler())
    stage.join("well", "bare", "mute", "broken", "silent", "lost", "gone")
    stage.say(NodeDegraded(node="broken", reason="frozen"))
    stage.say(NodeSuspected(node="silent", silent_s=1.5))
    stage.say(NodeLost(node="lost", silent_s=3.0))
    well = Facts(engine="docker 28", live_restore=True)
    facts: dict[str, Facts | str] = dict.fromkeys(("well", "silent"), well)
    facts |= {"bare": Facts(engine="docker 20"), "mute": "nobody serves it"}
    found = list(checkup.nodes(stage.cores[0].picture, facts))
    assert levels(found) == {
        "node well": "ok",
        "node bare": "warn",
        "node mute": "fail",
        "node broken": "fail",
        "node silent": "warn",
        "node lost": "fail",
        "node gone": "fail",
    }
    assert all(finding.do for finding in found if finding.level != "ok")


def test_a_node_that_cannot_fence_is_told_of_where_something_may_run_only_once() -> None:
    stage = Stage(Deployer(), Scheduler())
    stage.join("a")
    stage.join("b", fenced=False)
    facts = dict.fromkeys("ab", Facts(engine="docker 28", live_restore=True))
    (_, bare) = checkup.nodes(stage.cores[0].picture, facts)
    assert (bare.level, "may run only once" in bare.seen) == ("ok", True)
    once = {"db": {"image": "x", "x-segue": {"singleton": True}}}
    stage.ask(DeployRequested(app="shop", compose={"services": once}))
    (well, bare) = checkup.nodes(stage.cores[0].picture, facts)
    assert (well.level, bare.level) == ("ok", "warn")
    assert "shop/db" in bare.seen
    assert "as root" in bare.do


def test_a_cluster_without_nodes_runs_nothing() -> None:
    assert levels(list(checkup.nodes(Stage(Deployer()).cores[0].picture, {}))) == {"nodes": "fail"}


def test_apps_that_are_not_as_wanted_are_listed_with_what_to_do() -> None:
    stage = Stage(Deployer(), Scheduler())
    stage.join("a")
    huge = {"deploy": {"resources": {"reservations": {"cpus": "99"}}}}
    stage.ask(DeployRequested(app="well", compose={"services": {"web": {"image": "w"}}}))
    assert [f.seen for f in checkup.apps(stage.cores[0].picture)] == ["1 app as wanted"]
    services = {"big": {"image": "b"} | huge, "web": {"image": "w", "scale": 2}}
    stage.ask(DeployRequested(app="shop", compose={"services": services}))
    flaps = ServiceFlapping(
        app="shop", service="web", slot=1, failures=5, within_s=9, last_reason=""
    )
    stage.say(flaps)
    big, web = checkup.apps(stage.cores[0].picture)
    assert (big.what, big.level, big.do) == ("app shop", "warn", "`segue why shop/big.1`")
    assert big.seen.startswith("big: deploying, 0 of 1 slots up, slot 1 is pending, no node: 1 x")
    assert (web.what, web.level, web.do) == ("app shop", "fail", "`segue why shop/web`")
    assert web.seen.startswith("web: flapping")


def test_what_waits_for_room_is_told_with_how_much_would_do() -> None:
    stage = Stage(Deployer(), Scheduler())
    stage.join("a")
    assert not list(checkup.room(stage.cores[0].picture))
    huge = {"deploy": {"resources": {"reservations": {"cpus": "99"}}}}
    stage.ask(DeployRequested(app="shop", compose={"services": {"big": {"image": "b"} | huge}}))
    stage.now += 5.0
    stage.settle()
    (found,) = checkup.room(stage.cores[0].picture)
    assert (found.what, found.level) == ("room", "warn")
    free = stage.cores[0].picture.nodes["a"].facts.cpu_millicores // 1_000
    assert found.seen == (
        f"shop/big: 1 slot of 99 CPU; a lacks least, {99 - free} CPU, of 1 node that may"
    )
