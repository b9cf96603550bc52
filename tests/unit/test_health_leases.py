"""When a lease counts as over, and of whom that is said."""

import msgspec
import pytest
from segue.events.container import ContainerStarted
from segue.events.node import NodeJoined, NodeLeaseEnded, NodeLost
from segue.leases import Claim, Claimed, Expired, Told, Void
from segue.spec import ServiceSpec
from segue.testing.shop import accepted, joined
from segue.testing.ward import Ward
from segue_health_monitor.leases import LeasesHeard, Watch

CLAIM = Claim("s", 6.0)
STRICT = ServiceSpec(image="i", strict=True)


@pytest.fixture
def watch() -> Watch:
    """It has listened for as long as any lease lasts; node `a` has renewed just now, at 100 s."""
    made = Watch()
    made.hear(Void(), 50.0)
    made.hear(Told(), 50.0)
    made.hear(Claimed("a", CLAIM), 100.0)
    return made


def test_a_lease_that_the_bus_removed_in_time_is_over(watch: Watch) -> None:
    assert not watch.heard(105.9).over("a")
    watch.hear(Expired("a"), 106.1)
    assert watch.heard(106.1).over("a")


def test_a_bus_whose_clock_was_set_forward_ends_no_lease_too_early(watch: Watch) -> None:
    watch.hear(Expired("a"), 101.0)
    assert not watch.heard(105.9).over("a")
    assert watch.wake_at == 106.0
    assert watch.heard(106.0).over("a")


def test_a_lease_that_the_bus_still_holds_is_not_over_whatever_ones_own_clock_says(
    watch: Watch,
) -> None:
    assert not watch.heard(200.0).over("a")
    assert watch.wake_at is None


def test_a_renewal_begins_its_time_anew(watch: Watch) -> None:
    watch.hear(Claimed("a", CLAIM), 104.0)
    watch.hear(Expired("a"), 104.1)
    assert not watch.heard(109.9).over("a")
    assert watch.heard(110.0).over("a")


def test_who_has_just_begun_to_listen_says_nothing_for_as_long_as_a_lease_lasts() -> None:
    watch = Watch()
    assert not watch.heard(5.0).over("a")
    watch.hear(Void(), 10.0)
    watch.hear(Told(), 11.0)
    assert not watch.heard(24.9).over("a")
    assert watch.wake_at == 25.0
    assert watch.heard(25.0).over("a")


def test_after_a_gap_nothing_is_said_until_all_was_told_and_time_has_passed(watch: Watch) -> None:
    watch.hear(Void(), 101.0)
    assert not watch.heard(130.0).over("a")
    watch.hear(Told(), 130.0)
    assert watch.heard(130.0).over("a")


def test_a_lease_that_stood_before_the_gap_and_stands_after_it_is_not_over(watch: Watch) -> None:
    watch.hear(Void(), 101.0)
    watch.hear(Claimed("a", CLAIM), 102.0)
    watch.hear(Told(), 102.0)
    assert not watch.heard(150.0).over("a")
    assert watch.heard(150.0).over("b"), "which has none"


OVER = LeasesHeard(frozenset(), complete=True)


def ward_with(spec: ServiceSpec = STRICT, lease: int = 7) -> Ward:
    """Node `a` runs a container and is about to be lost."""
    ward = Ward("abc")
    ward.say(joined("a", lease=lease, fenced=True))
    ward.say(accepted(web=spec))
    asked = ward.ask("web")
    ward.assign(asked)
    ward.tells(ContainerStarted, asked, engine_id="e")
    ward.beat("abc", for_s=1)
    return ward


def test_of_a_lost_node_with_something_strict_it_is_said_once() -> None:
    ward = ward_with()
    assert [type(e) for e in ward.beat("bc", for_s=5)][-1] is NodeLost
    ward.monitor.hear(OVER, ward.now)
    (said,) = ward.settle()
    assert said == NodeLeaseEnded(node="a", lease=7)
    assert ward.beat("bc", for_s=20) == []
    lost = next(record for record in ward.log if isinstance(record.event, NodeLost))
    assert ward.log[-1].cause == lost.id


def test_while_the_lease_may_hold_or_nothing_is_known_it_is_not_said() -> None:
    ward = ward_with()
    ward.beat("bc", for_s=30)
    ward.monitor.hear(LeasesHeard(frozenset("a"), complete=True), ward.now)
    assert ward.settle() == []
    ward.monitor.hear(LeasesHeard(), ward.now)
    assert ward.settle() == []
    assert ward.all(NodeLeaseEnded) == []


def test_of_a_node_that_is_up_it_is_not_said() -> None:
    ward = ward_with()
    ward.monitor.hear(OVER, ward.now)
    assert ward.beat("abc", for_s=5) == []


def test_where_nothing_is_strict_it_is_not_said() -> None:
    ward = ward_with(ServiceSpec(image="i"))
    ward.monitor.hear(OVER, ward.now)
    ward.beat("bc", for_s=20)
    assert ward.all(NodeLeaseEnded) == []


def test_a_node_that_never_had_a_lease_is_given_up_too() -> None:
    ward = ward_with(lease=0)
    ward.monitor.hear(OVER, ward.now)
    ward.beat("bc", for_s=5)
    assert ward.all(NodeLeaseEnded) == [NodeLeaseEnded(node="a")]


def test_a_node_that_came_back_and_is_lost_again_is_judged_again() -> None:
    ward = ward_with()
    ward.monitor.hear(OVER, ward.now)
    ward.beat("bc", for_s=5)
    ward.tell(NodeJoined(node="a", session="2", cpu_millicores=1, memory_bytes=1))
    asked = ward.ask("web", attempt=2)
    ward.assign(asked)
    ward.beat("bc", for_s=5)
    assert len(ward.all(NodeLeaseEnded)) == 2


def test_of_several_lost_nodes_those_whose_lease_may_hold_keep_none_from_the_others() -> None:
    ward = Ward("abcdefg")
    ward.say(accepted(web=msgspec.structs.replace(STRICT, replicas=2)))
    for slot, node in ((1, "a"), (2, "c")):
        ward.say(joined(node, lease=slot, fenced=True))
        ward.run(ward.ask("web", slot), node)
    ward.monitor.hear(LeasesHeard(frozenset("a"), complete=True), ward.now)
    for node in "abc":  # Of which b runs nothing.
        ward.say(NodeLost(node=node, silent_s=3))
    assert ward.beat("defg", for_s=1) == [NodeLeaseEnded(node="c", lease=2)]
