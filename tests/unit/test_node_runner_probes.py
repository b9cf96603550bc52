"""When containers are probed and what is said of it; a clock is given, nothing is dialled."""

# Events are told apart by what the test expects, not by narrowing each of them.
# mypy: disable-error-code="attr-defined, union-attr, arg-type"

from typing import Any, Literal

import msgspec
import pytest
from segue.events.container import Address, ContainerHealthy, ContainerUnhealthy
from segue.spec import Health, Probe, ServiceSpec
from segue.testing.host import WEB, Host, has, web
from segue.testing.shop import accepted
from segue_node_runner import news
from segue_node_runner.effects import Ask, Asked
from segue_node_runner.rounds import FIRST_EVERY_S, Question, Rounds

READY = Probe(kind="http", port=80, every_s=5.0, failures=3)
HERE = [Address("shop", "10.0.0.2", 24, "10.0.0.1")]
Name = Literal["readiness", "liveness"]


def asked(probe: Probe = READY, name: Name = "readiness", engine_id: str = "e") -> Asked:
    probes: dict[str, Any] = {"readiness": None, "liveness": None, name: probe}
    return Asked(identity=web(), engine_id=engine_id, address="10.0.0.2", **probes)


class Course:
    """One probe, asked whenever it is due; outcomes are given by time."""

    def __init__(self, probe: Probe = READY, name: Name = "readiness") -> None:
        self.rounds, self.now, self.asked_at = Rounds(), 0.0, list[float]()
        self.rounds.want([asked(probe, name)], 0.0)

    def until(self, end: float, trouble: str = "") -> list[tuple[float, bool, int]]:
        told = []
        while (at := self.rounds.wake_at()) is not None and at < end:
            self.now = at
            for question in self.rounds.due(at):
                self.asked_at.append(at)
                if (said := self.rounds.heard(question, trouble, at)) is not None:
                    told.append((at, said.passes, said.streak))
        self.now = end
        return told


def test_what_is_ready_soon_is_soon_known_to_be_and_then_asked_in_its_own_time() -> None:
    course = Course()
    assert course.until(1.2, "refused") == []
    assert course.until(20.0) == [(3 * FIRST_EVERY_S, True, 0)]
    assert course.asked_at == [0.0, 0.5, 1.0, 1.5, 6.5, 11.5, 16.5]


def test_what_never_was_ready_is_told_after_the_time_of_its_failures_and_asked_less_often() -> None:
    course = Course()
    [(at, passes, streak)] = course.until(30.0, "refused")
    assert (at, passes, streak) == (15.0, False, 31)
    assert course.asked_at[-3:] == [15.0, 20.0, 25.0]
    assert course.until(36.0) == [(30.0, True, 0)]


def test_it_fails_and_passes_only_after_so_many_in_a_row() -> None:
    course = Course(msgspec.structs.replace(READY, successes=2))
    assert course.until(1.0) == [(0.5, True, 0)]
    assert course.until(15.0, "x") == []
    assert course.until(20.0) == [], "two in a row were none"
    assert course.until(36.0, "x") == [(30.5, False, 3)]
    assert course.until(45.0) == []
    assert course.until(46.0) == [(45.5, True, 0)]


def test_liveness_gives_a_start_its_time_and_judges_at_once_afterwards() -> None:
    course = Course(msgspec.structs.replace(READY, start_s=60.0), "liveness")
    assert course.until(60.0, "x") == []
    assert course.until(61.0, "x") == [(60.0, False, 13)]
    again = Course(READY, "liveness")
    assert again.until(1.0) == [(0.0, True, 0)]
    assert again.until(30.0, "x") == [(15.0, False, 3)]


def test_a_probe_is_asked_once_at_a_time_and_what_is_late_is_not_made_up_for() -> None:
    rounds = Rounds()
    rounds.want([asked()], 0.0)
    [question] = rounds.due(0.0)
    assert rounds.due(100.0) == []
    rounds.heard(question, "", 100.0)
    assert rounds.wake_at() == 100.0
    [question] = rounds.due(100.0)
    rounds.heard(question, "", 100.0)
    assert rounds.wake_at() == 105.0


def test_what_is_wanted_no_more_is_neither_asked_nor_heard() -> None:
    rounds = Rounds()
    rounds.want([asked()], 0.0)
    [question] = rounds.due(0.0)
    rounds.want([asked(engine_id="another")], 0.0)
    assert rounds.heard(question, "", 0.1) is None
    [other] = rounds.due(0.1)
    assert other.engine_id == "another"
    rounds.want([asked(engine_id="another")], 0.2)
    assert rounds.heard(other, "", 0.3) is not None, "what is asked as before goes on"
    rounds.want([], 0.4)
    assert rounds.due(100.0) == []
    assert rounds.wake_at() is None


def test_many_probes_are_each_asked_in_their_time() -> None:
    rounds = Rounds()
    wanted = [
        Asked(identity=web(slot=n), engine_id=str(n), address="", readiness=READY, liveness=READY)
        for n in range(100)
    ]
    rounds.want(wanted, 0.0)
    first: list[Question] = rounds.due(0.0)
    assert len(first) == 200
    for question in first:
        rounds.heard(question, "", 0.1)
    assert rounds.due(4.9) == []
    assert len(rounds.due(5.0)) == 200


# What the core makes of it.


def probed(**more: Any) -> ServiceSpec:
    return msgspec.structs.replace(WEB, **more)


def up(spec: ServiceSpec) -> Host:
    host = Host(web=spec)
    host.order()
    host.hear(news.StartDone(identity=web(), found=has(web(), addresses=HERE)))
    return host


def hears(host: Host, probe: Name, *, passes: bool, output: str = "", streak: int = 0) -> list[Any]:
    told = {"passes": passes, "streak": streak, "output": output}
    return host.hear(news.Probed(identity=web(), engine_id="id-1", probe=probe, **told))


def test_what_runs_is_probed_where_it_is_reached_until_it_is_to_go() -> None:
    host = up(probed(readiness=READY))
    [ask] = host.wants(Ask)
    [one] = ask.all
    assert (one.identity, one.engine_id, one.address) == (web(), "id-1", "10.0.0.2")
    assert (one.readiness, one.liveness) == (READY, None)
    host.at(10.0)
    host.shows(has(web(), addresses=HERE))
    assert host.wants(Ask) == []
    host.retire(host.log[-1].event)
    host.settle()
    assert [ask.all for ask in host.wants(Ask)] == [[]]


def test_a_service_on_the_hosts_own_network_is_probed_there() -> None:
    host = Host(web=probed(liveness=READY, network_mode="host"))
    host.brought_up()
    [ask] = host.wants(Ask)
    assert [one.address for one in ask.all] == ["127.0.0.1"]


def test_without_probes_nothing_is_asked() -> None:
    host = Host()
    host.brought_up()
    assert host.wants(Ask) == []


def test_it_is_healthy_once_it_is_ready_and_out_of_service_while_it_is_not() -> None:
    host = up(probed(readiness=READY))
    [said] = hears(host, "readiness", passes=True)
    assert isinstance(said, ContainerHealthy)
    assert hears(host, "readiness", passes=True) == []
    [said] = hears(host, "readiness", passes=False, output="503", streak=3)
    assert isinstance(said, ContainerUnhealthy)
    assert (said.probe, said.output, said.streak) == ("readiness", "503", 3)
    assert host.container("web").probe == "readiness"
    [said] = hears(host, "readiness", passes=True)
    assert isinstance(said, ContainerHealthy)
    assert host.container("web").probe == ""


def test_what_it_is_worst_at_is_said_and_what_is_left_when_that_is_over() -> None:
    host = up(probed(readiness=READY, liveness=READY))
    assert hears(host, "liveness", passes=True) == []
    assert [one.type for one in hears(host, "readiness", passes=True)] == ["container.healthy"]
    assert [one.probe for one in hears(host, "readiness", passes=False)] == ["readiness"]
    assert [one.probe for one in hears(host, "liveness", passes=False)] == ["liveness"]
    assert hears(host, "readiness", passes=True) == []
    assert [one.type for one in hears(host, "liveness", passes=True)] == ["container.healthy"]


def test_a_health_check_and_a_probe_must_both_pass() -> None:
    host = up(probed(readiness=READY, health=Health(test=["CMD", "true"])))
    judged = {"identity": web(), "engine_id": "id-1"}
    host.at(10.0)
    host.shows(has(web(), addresses=HERE, health="starting"))
    assert hears(host, "readiness", passes=True) == []
    [said] = host.hear(news.HealthChanged(**judged, healthy=True))
    assert isinstance(said, ContainerHealthy)
    [said] = host.hear(news.HealthChanged(**judged, healthy=False, output="no", streak=4))
    assert (said.probe, said.output, said.streak) == ("", "no", 4)
    assert hears(host, "readiness", passes=False) == [], "worse is said already"
    [said] = host.hear(news.HealthChanged(**judged, healthy=True))
    assert said.probe == "readiness"


def test_liveness_alone_says_nothing_while_it_passes_and_heals_what_was_said() -> None:
    host = up(probed(liveness=READY))
    assert hears(host, "liveness", passes=True) == []
    assert [one.probe for one in hears(host, "liveness", passes=False)] == ["liveness"]
    assert [one.type for one in hears(host, "liveness", passes=True)] == ["container.healthy"]


def test_a_probe_that_is_taken_back_leaves_nothing_unhealthy() -> None:
    host = up(probed(readiness=READY))
    hears(host, "readiness", passes=False, output="503", streak=3)
    host.wants(Ask)
    host.say(accepted(2, web=WEB))
    host.settle()
    assert [one.all for one in host.wants(Ask)] == [[]]
    assert host.container("web").phase == "healthy"


@pytest.mark.parametrize("engine_id", ["id-0", ""])
def test_word_of_another_container_counts_for_nothing(engine_id: str) -> None:
    host = up(probed(readiness=READY))
    said = news.Probed(identity=web(), engine_id=engine_id, probe="readiness", passes=True)
    assert host.hear(said) == []
