"""How long a node keeps what has ended."""

import pytest
from segue.events.container import ContainerFinished
from segue.jobs import Job, Schedule
from segue.picture.fold_run import KEPT
from segue.spec import ServiceSpec
from segue.testing.host import Host, has, web
from segue_node_runner import news
from segue_node_runner.effects import Remove


def ended(keep_s: float | None) -> Host:
    """A job that has ended well, and whose end is in the log."""
    spec = ServiceSpec(image="j", mode="replicated-job", job=Job(keep_s=keep_s))
    host = Host(web=spec)
    host.brought_up()
    host.hear(news.Died(identity=web(), exit_code=0, ran_s=1.0))
    assert host.all(ContainerFinished)
    return host


def removed_after(host: Host, seconds: float) -> bool:
    """Tell whether a listing after so long leads to the container's removal."""
    host.now += seconds
    host.wants(Remove)
    host.shows(has(web(), state="exited"))
    return bool(host.wants(Remove))


def test_without_a_word_the_newest_of_a_slot_stays() -> None:
    host = ended(None)
    assert not removed_after(host, 10.0)
    assert not removed_after(host, 100_000.0)


@pytest.mark.parametrize("keep_s", [0.0, 3_600.0])
def test_it_stays_as_long_as_was_asked_from_when_it_was_seen(keep_s: float) -> None:
    host = ended(keep_s)
    if keep_s:
        assert not removed_after(host, 10.0)
        assert not removed_after(host, keep_s - 1.0)
        assert removed_after(host, 1.0)
    else:
        assert removed_after(host, 10.0)


def test_what_is_left_of_runs_that_are_forgotten_goes() -> None:
    schedule = Schedule(cron="* * * * *")
    spec = ServiceSpec(image="j", mode="replicated-job", job=Job(keep_s=9e9), schedule=schedule)
    host = Host(web=spec)
    for slot in range(1, KEPT + 3):
        host.brought_up(slot=slot)
        host.hear(news.Died(identity=web(slot=slot), exit_code=0, ran_s=1.0))
    host.now += 10.0
    host.wants(Remove)
    host.shows(*(has(web(slot=slot), state="exited") for slot in range(1, KEPT + 3)))
    assert [one.slot for one in host.wants(Remove)] == [1, 2]


def test_a_new_runner_begins_to_count_anew() -> None:
    host = ended(60.0)
    assert not removed_after(host, 30.0)
    host.core.tidying._ended_at.clear()
    assert not removed_after(host, 40.0)
    assert removed_after(host, 60.0)
