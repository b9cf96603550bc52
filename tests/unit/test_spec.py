"""What makes one slot's content differ from another's, and what does not."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from segue.compose import convert
from segue.spec import (
    AppSpec,
    Dependency,
    FileRef,
    FileSpec,
    Health,
    Mount,
    NetworkRef,
    NetworkSpec,
    Placement,
    Port,
    Resources,
    Restart,
    ServiceSpec,
    Strategy,
    Update,
    VolumeSpec,
    digest,
)

WEB = ServiceSpec(
    image="w",
    mounts=[Mount(kind="volume", source="data", target="/data")],
    networks={"front": NetworkRef(aliases=["www"])},
    secrets=[FileRef(source="key", target="/run/secrets/key")],
    configs=[FileRef(source="conf", target="/conf")],
    container={"Env": ["A=1"], "Cmd": ["x"]},
)
APP = AppSpec(
    services={"web": WEB, "db": ServiceSpec(image="d")},
    volumes={"data": VolumeSpec(name="shop_data"), "other": VolumeSpec(name="shop_other")},
    networks={"front": NetworkSpec(name="shop_front"), "back": NetworkSpec(name="shop_back")},
    secrets={"key": FileSpec(name="key", digest="1"), "unused": FileSpec(name="u", digest="1")},
    configs={"conf": FileSpec(name="conf", digest="1")},
)


def app(**changes: Any) -> AppSpec:
    return msgspec.structs.replace(APP, **changes)


def with_web(**changes: Any) -> AppSpec:
    return app(services={**APP.services, "web": msgspec.structs.replace(WEB, **changes)})


@pytest.mark.parametrize(
    "changed",
    [
        with_web(image="w:2"),
        with_web(mode="global"),
        with_web(pull="always"),
        with_web(stop_grace_s=3.0),
        with_web(health=Health(test=["CMD", "x"])),
        with_web(resources=Resources(memory_bytes=1)),
        with_web(mounts=[]),
        with_web(secrets=[]),
        with_web(network_mode="host"),
        with_web(networks={"front": NetworkRef(aliases=["other"])}),
        with_web(container={"Env": ["A=2"], "Cmd": ["x"]}),
        with_web(ports=[Port(target=80, published=80, mode="host")]),
        with_web(placement=Placement(platform="linux/arm64")),
        app(volumes={"data": VolumeSpec(name="elsewhere")}),
        app(networks={"front": NetworkSpec(name="shop_front", internal=True)}),
        app(secrets={"key": FileSpec(name="key", digest="2")}),
        app(configs={"conf": FileSpec(name="conf", digest="2")}),
    ],
)
def test_what_runs_otherwise_needs_another_container(changed: AppSpec) -> None:
    assert digest(changed, "web") != digest(APP, "web")


@pytest.mark.parametrize(
    "changed",
    [
        with_web(replicas=9),
        with_web(restart=Restart(condition="none")),
        with_web(depends_on={"db": Dependency()}),
        with_web(labels={"a": "b"}),
        with_web(placement=Placement(constraints=["node.id == a"], spread=["node.id"])),
        with_web(placement=Placement(max_per_node=1)),
        with_web(strict=False),
        with_web(min_available=2),
        with_web(min_available_percent=50),
        with_web(on_return="keep_original"),
        with_web(update=Update(parallelism=2, monitor_s=1)),
        with_web(rollback=Update(failure_action="pause")),
        with_web(strategy=Strategy(kind="canary", canary=2)),
        with_web(container={"Cmd": ["x"], "Env": ["A=1"]}),
        app(services={"web": WEB, "db": ServiceSpec(image="d:2")}),
        app(volumes={**APP.volumes, "other": VolumeSpec(name="x")}),
        app(networks={**APP.networks, "back": NetworkSpec(name="x")}),
        app(secrets={**APP.secrets, "unused": FileSpec(name="u", digest="2")}),
    ],
)
def test_what_runs_the_same_is_left_alone(changed: AppSpec) -> None:
    assert digest(changed, "web") == digest(APP, "web")


def test_a_digest_names_what_runs_not_who_runs_it() -> None:
    assert digest(app(services={"web": WEB, "twin": WEB}), "twin") == digest(APP, "web")


def test_a_digest_stays_what_earlier_versions_made_of_it() -> None:
    """Else every container would be replaced with the first deploy after an upgrade."""
    assert digest(AppSpec(services={"web": ServiceSpec(image="w:1")}), "web") == "9884d8fd98fb"


def test_a_digest_is_twelve_hexadecimal_digits() -> None:
    assert len(digest(APP, "web")) == 12
    assert int(digest(APP, "web"), 16)


@pytest.mark.parametrize(
    ("mode", "job", "everywhere"),
    [
        ("replicated", False, False),
        ("global", False, True),
        ("replicated-job", True, False),
        ("global-job", True, True),
    ],
)
def test_the_mode_says_whether_it_is_to_end_and_where_it_is(
    *, mode: Any, job: bool, everywhere: bool
) -> None:
    spec = ServiceSpec(image="w", mode=mode)
    assert (spec.is_job, spec.is_global) == (job, everywhere)


def test_only_named_volumes_hold_data_on_a_node() -> None:
    mounts = [
        Mount(kind="volume", source="data", target="/a"),
        Mount(kind="volume", target="/anonymous"),
        Mount(kind="bind", source="/host", target="/b"),
        Mount(kind="tmpfs", target="/c"),
    ]
    assert ServiceSpec(image="w", mounts=mounts).local_volumes == ["data"]


def test_what_a_volume_of_every_node_holds_is_on_no_node() -> None:
    mounts = [
        Mount(kind="volume", source="data", target="/a"),
        Mount(kind="volume", source="nfs", target="/b", shared=True),
    ]
    made = ServiceSpec(image="w", mounts=mounts)
    assert (made.volumes, made.local_volumes) == (["data", "nfs"], ["data"])


def test_what_is_left_out_is_what_the_default_says() -> None:
    bare = msgspec.json.decode(b'{"services":{"web":{"image":"w"}}}', type=AppSpec)
    assert bare == AppSpec(services={"web": ServiceSpec(image="w")})
    assert msgspec.json.encode(bare) == b'{"services":{"web":{"image":"w"}}}'


DURATIONS = st.sampled_from(["0s", "1s", "1.5s", "250ms", "1m", "2h"])


@given(DURATIONS, DURATIONS, st.integers(0, 5), st.sampled_from(["0.5", "1", "2"]))
def test_a_digest_is_the_same_before_and_after_the_log(
    grace: str, interval: str, replicas: int, cpus: str
) -> None:
    """A plan is made from a spec that was never in the log, and compared with one that was."""
    service = {
        "image": "w",
        "stop_grace_period": grace,
        "healthcheck": {"test": "x", "interval": interval, "timeout": interval},
        "deploy": {
            "replicas": replicas,
            "resources": {"reservations": {"cpus": cpus, "memory": "64M"}},
            "restart_policy": {"delay": interval, "window": grace},
        },
        "ports": ["8080:80"],
        "environment": {"A": 1, "B": "x"},
    }
    made = convert({"services": {"web": service}}, app="shop").spec
    assert made is not None
    logged = msgspec.json.decode(msgspec.json.encode(made), type=AppSpec)
    assert logged == made
    assert digest(logged, "web") == digest(made, "web")
    assert msgspec.json.encode(logged) == msgspec.json.encode(made)


def test_how_many_stay_up_is_the_number_or_the_share_that_is_more() -> None:
    both = ServiceSpec(image="w", min_available=2, min_available_percent=50)
    assert [both.least_up(slots) for slots in (1, 4, 5, 10)] == [2, 2, 3, 5]
    assert ServiceSpec(image="w").least_up(10) == 0


@pytest.mark.parametrize(
    ("parallelism", "slots", "at_once"),
    [(None, 1, 1), (None, 3, 1), (None, 8, 2), (None, 0, 1), (0, 5, 5), (3, 5, 3), (9, 5, 5)],
)
def test_a_quarter_of_the_slots_is_replaced_at_once_unless_told(
    parallelism: int | None, slots: int, at_once: int
) -> None:
    assert Update(parallelism=parallelism).at_once(slots) == at_once


@pytest.mark.parametrize(
    ("strategy", "slots", "canaries"),
    [
        (Strategy(), 5, 1),
        (Strategy(canary=3), 5, 3),
        (Strategy(canary=9), 5, 5),
        (Strategy(canary=0), 5, 1),
        (Strategy(canary_percent=10), 5, 1),
        (Strategy(canary_percent=10), 11, 2),
        (Strategy(canary_percent=100), 7, 7),
    ],
)
def test_a_canary_is_a_number_of_slots_or_a_share(
    strategy: Strategy, slots: int, canaries: int
) -> None:
    assert strategy.canaries(slots) == canaries


def test_why_a_slot_has_to_stop_before_it_begins_anew() -> None:
    assert "twice" in ServiceSpec(image="w", strict=True).alone
    assert "data" in WEB.alone
    host = [Port(target=80, published=8080, mode="host")]
    assert "8080" in ServiceSpec(image="w", ports=host).alone
    assert not ServiceSpec(image="w", ports=[Port(target=80, mode="host")]).alone
