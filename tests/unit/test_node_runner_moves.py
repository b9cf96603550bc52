"""What a node runner makes of a slot that moves within its node: the older works on meanwhile."""

# Events are told apart by what the test expects, not by narrowing each of them.
# mypy: disable-error-code="attr-defined, union-attr"

import msgspec
from segue.events.container import (
    ContainerAssigned,
    ContainerFailed,
    ContainerRequested,
    ContainerRetired,
    ContainerStarted,
    ContainerStopped,
)
from segue.events.node import NodeJoined
from segue.spec import ServiceSpec
from segue.testing.host import FACTS, WEB, Host, has, web
from segue.testing.shop import Shop
from segue_node_runner import news
from segue_node_runner.core import NodeRunner
from segue_node_runner.effects import Start, Stop


def moving(spec: ServiceSpec = WEB) -> Host:
    host = Host(web=spec)
    host.hear(news.Guard(lease=7, missing=""))
    host.brought_up()
    host.order(attempt=2, moves=1)
    return host


def test_the_older_works_on_and_goes_when_it_is_retired() -> None:
    host = moving()
    [first, second] = host.wants(Start)
    assert (first.moves, second.attempt, second.moves) == (0, 2, 1)
    assert host.wants(Stop) == []
    [started] = host.done(attempt=2)
    assert isinstance(started, ContainerStarted)
    host.at(10.0)
    assert host.shows(has(web(1)), has(web(2))) == []
    assert host.wants(Stop) == []
    older = host.slot("web").moving
    assert older is not None
    host.tells(ContainerRetired, older, reason="moved", grace_s=3.0)
    host.settle()
    assert [(stop.attempt, stop.engine_id) for stop in host.wants(Stop)] == [(1, "id-1")]
    [gone] = host.hear(news.StopDone(identity=web(1), exit_code=0))
    assert isinstance(gone, ContainerStopped)
    assert host.slot("web").moving is None


def test_the_newer_is_started_while_the_older_is_on_its_way_down() -> None:
    host = Host()
    first = host.brought_up()
    host.assign(asked := host.ask("web", 1, 2, moves=1), "b")
    host.retire(first)
    host.settle()
    assert [stop.attempt for stop in host.wants(Stop)] == [1]
    host.assign(host.ask("web", 1, asked.attempt + 1, moves=1))
    host.settle()
    assert [start.attempt for start in host.wants(Start)] == [1, 3]


def test_an_older_one_that_has_not_come_up_is_waited_for() -> None:
    host = Host()
    host.order()
    host.order(attempt=2, moves=1)
    assert [start.attempt for start in host.wants(Start)] == [1]
    host.done()
    assert [start.attempt for start in host.wants(Start)] == [2]


def test_a_newer_one_that_fails_leaves_the_older_at_work() -> None:
    host = moving()
    failed = news.StartFailed(identity=web(2), step="start", kind="invalid", message="no")
    [said] = host.hear(failed)
    assert isinstance(said, ContainerFailed)
    assert host.wants(Stop) == []
    assert host.container("web").attempt == 1
    host.order(attempt=3, moves=1)
    assert [start.attempt for start in host.wants(Start)] == [1, 2, 3]
    assert host.wants(Stop) == []


def test_an_older_one_that_dies_meanwhile_is_said_and_the_newer_fills_the_slot() -> None:
    host = moving()
    host.done(attempt=2)
    [said] = host.hear(news.Died(identity=web(1), engine_id="id-1", exit_code=9))
    assert (said.attempt, said.exit_code) == (1, 9)
    assert host.container("web").attempt == 2
    assert host.wants(Stop) == []


def test_what_is_older_than_both_is_stopped() -> None:
    host = moving()
    host.done(attempt=2)
    host.order(attempt=3, moves=2)
    assert [stop.attempt for stop in host.wants(Stop)] == [1]
    assert [start.attempt for start in host.wants(Start)] == [1, 2], "the first is in the way"
    host.hear(news.StopDone(identity=web(1), exit_code=0))
    assert [(start.attempt, start.moves) for start in host.wants(Start)] == [(3, 2)]


def test_what_is_strict_never_runs_beside_another_of_its_slot() -> None:
    host = moving(msgspec.structs.replace(WEB, strict=True))
    assert [start.attempt for start in host.wants(Start)] == [1]
    assert [stop.attempt for stop in host.wants(Stop)] == [1]
    host.hear(news.StopDone(identity=web(1), exit_code=0))
    assert [(start.attempt, start.moves) for start in host.wants(Start)] == [(2, 0)]


def test_a_runner_that_reads_no_requests_adopts_both_after_its_restart() -> None:
    """A runner follows only what names its node; the assignment alone must tell of the move."""
    before = moving()
    own = [one for one in before.log if not isinstance(one.event, ContainerRequested)]
    after = NodeRunner("a", "s-2")
    host = Host.__new__(Host)
    Shop.__init__(host, after, nodes="")
    host.core = after
    for record in own:
        host.say(record.event, event_id=record.id)
    host.hear(FACTS)
    joined, *said = host.shows(has(web(1)), has(web(2)))
    assert isinstance(joined, NodeJoined)
    assert [held.attempt for held in joined.inventory] == [1, 2]
    assert [(one.type, one.attempt, one.adopted) for one in said] == [
        (ContainerStarted.type, 2, True)
    ]
    assert host.wants(Stop) == []
    assert [one.moves for one in host.all(ContainerAssigned)] == [0, 1]
