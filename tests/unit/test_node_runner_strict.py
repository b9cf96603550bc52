"""What a node runner makes of strict orders: started under a lease, and over with it."""

# Events are told apart by what the test expects, not by narrowing each of them.
# mypy: disable-error-code="attr-defined, union-attr"

import msgspec
from segue.events.container import ContainerFailed, ContainerStarted
from segue.events.deploy import DeployAccepted
from segue.events.node import NodeJoined, NodeLost
from segue.spec import AppSpec, ServiceSpec
from segue.testing.host import WEB, Host, has, web
from segue_node_runner import news
from segue_node_runner.core import LEASE_WITHIN_S
from segue_node_runner.effects import Mark, Start, Stop

STRICT = msgspec.structs.replace(WEB, strict=True)
HELD = news.Guard(lease=7, missing="")
AGAIN = news.Guard(lease=9, missing="")
LOST = news.Guard(lease=0, missing="this node holds no lease: no answer")


def strict_host(guard: news.Guard = HELD, spec: ServiceSpec = STRICT) -> Host:
    host = Host(web=spec)
    host.hear(guard)
    return host


def test_a_lease_is_joined_with_and_its_end_too() -> None:
    host = strict_host()
    host.hear(msgspec.structs.replace(HELD, containers=frozenset("x")))
    host.hear(LOST)
    host.hear(AGAIN)
    said = [(e.lease, e.fenced, e.session) for e in host.all(NodeJoined)][1:]
    assert said[-3:] == [(7, True, "s-a"), (0, False, "s-a"), (9, True, "s-a")]


def test_what_is_strict_starts_under_the_lease_and_other_things_without() -> None:
    host = strict_host()
    host.order()
    assert [start.lease for start in host.wants(Start)] == [7]
    plain = strict_host(spec=WEB)
    plain.order()
    assert [start.lease for start in plain.wants(Start)] == [0]


def test_without_a_lease_it_waits_and_is_then_rejected_with_what_is_missing() -> None:
    host = strict_host(LOST)
    host.order()
    assert host.at(LEASE_WITHIN_S - 0.1) == []
    assert host.wants(Start) == []
    (said,) = host.at(0.1)
    assert isinstance(said, ContainerFailed)
    assert (said.reason, said.message, said.final) == ("rejected", LOST.missing, False)


def test_a_lease_that_comes_in_time_lets_it_start() -> None:
    host = strict_host(LOST)
    host.order()
    host.at(5.0)
    host.hear(HELD)
    assert [start.lease for start in host.wants(Start)] == [7]


def test_a_start_that_was_not_admitted_is_tried_again() -> None:
    host = strict_host()
    host.order()
    host.wants(Start)
    failed = news.StartFailed(
        identity=web(), step="start", kind="unfenced", message="no fencer", passing=True
    )
    assert host.hear(failed) == []
    host.at(1.0)
    assert len(host.wants(Start)) == 1


def test_what_the_fencer_killed_failed_by_the_fence() -> None:
    host = strict_host()
    host.brought_up()
    died = news.Died(identity=web(), exit_code=137, ran_s=4.0, logs=["last"], fenced=True)
    (said,) = host.hear(died)
    assert (said.reason, said.exit_code, said.logs) == ("fenced", 137, ["last"])
    assert "lease was not renewed in time: it was killed" in said.message


def test_what_ended_by_itself_as_the_lease_ended_is_told_as_it_was() -> None:
    host = strict_host()
    host.brought_up()
    (said,) = host.hear(news.Died(identity=web(), exit_code=3, fenced=True))
    assert (said.reason, said.exit_code) == ("exited", 3)


def test_what_was_ordered_under_an_older_lease_never_starts() -> None:
    host = strict_host(LOST)
    host.say(NodeJoined(node="a", session="s-a", cpu_millicores=1, memory_bytes=1, lease=5))
    host.order()
    said = host.hear(HELD)
    failed = [event for event in said if isinstance(event, ContainerFailed)]
    assert [(one.reason, one.exit_code) for one in failed] == [("fenced", None)]
    assert "it is not started" in failed[0].message
    assert host.wants(Start) == []


def test_what_survived_its_lease_is_stopped_at_once() -> None:
    host = strict_host()
    host.brought_up()
    host.hear(AGAIN)
    (stop,) = host.wants(Stop)
    assert stop.grace_s == 0.0
    (said,) = host.hear(news.StopDone(identity=web(), exit_code=137))
    assert said.reason == "fenced"


def test_a_returned_node_with_its_lease_has_what_it_had() -> None:
    host = strict_host()
    host.brought_up()
    host.tell(NodeLost(node="a", silent_s=3))
    assert host.picture.nodes["a"].phase == "up"
    assert host.all(NodeJoined)[-1].lease == 7
    assert host.wants(Stop) == []
    assert len(host.all(ContainerStarted)) == 1


def test_what_runs_and_is_to_run_only_once_from_now_on_is_put_on_the_fencers_list() -> None:
    host = strict_host(spec=WEB)
    host.brought_up()
    assert host.wants(Mark) == []
    for revision, spec in ((2, STRICT), (3, WEB)):
        host.say(DeployAccepted(app="shop", revision=revision, spec=AppSpec({"web": spec})))
        host.settle()
        (mark,) = host.wants(Mark)
        assert (mark.engine_id, mark.strict) == ("id-1", spec is STRICT)
        listed = frozenset(("id-1",)) if spec is STRICT else frozenset[str]()
        host.hear(msgspec.structs.replace(HELD, containers=listed))
        assert host.wants(Mark) == []


def test_a_runner_that_finds_something_strict_running_puts_it_on_the_list_under_its_lease() -> None:
    host = Host(has(web()), web=STRICT)
    host.order()
    assert host.wants(Mark) == []
    host.hear(HELD)
    assert [(mark.engine_id, mark.strict) for mark in host.wants(Mark)] == [("id-1", True)]
