"""What services share: networks, volumes, secrets and configs, and how services name them."""

from typing import Any

import pytest
from segue.compose import Result, convert
from segue.spec import (
    FileRef,
    FileSpec,
    NetworkRef,
    NetworkSpec,
    ServiceSpec,
    VolumeSpec,
)

DIGEST = "ab" * 32


def converted(service: dict[str, Any], **top: Any) -> Result:
    services = {"web": {"image": "x"} | service} | top.pop("services", {})
    return convert({"services": services} | top, app="shop")


def web(service: dict[str, Any], **top: Any) -> ServiceSpec:
    found = converted(service, **top)
    assert found.problems == []
    assert found.spec is not None
    return found.spec.services["web"]


def problems(found: Result) -> list[str]:
    return [f"{problem.where}: {problem.what}" for problem in found.problems]


def notes(found: Result) -> list[str]:
    return [f"{note.where}: {note.what}" for note in found.notes]


def test_secrets_and_configs() -> None:
    found = converted(
        {
            "secrets": [
                "s",
                {"source": "e", "target": "x.pem", "uid": "103", "gid": "104", "mode": "0660"},
            ],
            "configs": ["c", {"source": "c", "target": "/etc/c", "mode": 0o555}],
        },
        secrets={"s": {"x-digest": DIGEST}, "e": {"external": True}},
        configs={"c": {"x-digest": DIGEST, "name": "named", "labels": ["a=b"]}},
    )
    assert found.problems == []
    assert found.spec is not None
    assert found.spec.services["web"].secrets == [
        FileRef(source="s", target="/run/secrets/s"),
        # The specification has the writable bits ignored.
        FileRef(source="e", target="/run/secrets/x.pem", uid="103", gid="104", mode=0o440),
    ]
    assert found.spec.services["web"].configs == [
        FileRef(source="c", target="/c"),
        FileRef(source="c", target="/etc/c", mode=0o555),
    ]
    assert found.spec.secrets == {
        "s": FileSpec(name="shop_s", digest=DIGEST),
        "e": FileSpec(name="e", external=True),
    }
    assert found.spec.configs == {"c": FileSpec(name="named", digest=DIGEST, labels={"a": "b"})}


@pytest.mark.parametrize("kind", ["secrets", "configs"])
@pytest.mark.parametrize("source", ["file", "environment", "content"])
def test_content_never_travels_in_a_document(kind: str, source: str) -> None:
    found = convert(
        {"services": {"web": {"image": "x"}}, kind: {"k": {source: "hush"}}},
        app="shop",
        lenient=kind == "configs",
    )
    assert found.spec is None
    assert [problem.where for problem in found.problems] == [f"{kind}.k.{source}"]
    assert "hush" not in str(found)


@pytest.mark.parametrize("kind", ["secrets", "configs"])
def test_a_secret_or_config_needs_content(kind: str) -> None:
    document = {"services": {"web": {"image": "x"}}, kind: {"k": {}}}
    assert problems(convert(document, app="shop")) == [f"{kind}.k: has no content"]


def test_networks() -> None:
    found = converted(
        {"networks": {"front": {"aliases": ["www"]}, "back": None, "out": None}},
        networks={
            "front": {"driver": "overlay", "driver_opts": {"a": 1}, "labels": ["b=c"]},
            "back": {"internal": "true", "name": "the-back", "attachable": True},
            "out": {"external": True, "name": "outside"},
            "old": {"external": {"name": "older"}},
        },
    )
    assert found.spec is not None
    assert found.spec.services["web"].networks == {
        "back": NetworkRef(),
        "front": NetworkRef(aliases=["www"]),
        "out": NetworkRef(),
    }
    assert found.spec.networks == {
        "back": NetworkSpec(name="the-back", internal=True),
        "front": NetworkSpec(name="shop_front", driver_opts={"a": "1"}, labels={"b": "c"}),
        "old": NetworkSpec(name="older", external=True),
        "out": NetworkSpec(name="outside", external=True),
    }
    assert notes(found) == [
        ("networks.front.driver: becomes a bridge on each node; the gateway joins them")
    ]


@pytest.mark.parametrize("mode", ["host", "none"])
def test_a_network_mode_stands_alone(mode: str) -> None:
    found = web({"network_mode": mode})
    assert (found.network_mode, found.networks) == (mode, {})
    assert problems(converted({"network_mode": mode, "networks": ["default"]})) == [
        "services.web.network_mode: is given, and so are networks"
    ]
    assert problems(converted({"network_mode": mode, "ports": ["80:80"]})) == [
        f"services.web.ports: network_mode: {mode} has no ports to publish"
    ]


@pytest.mark.parametrize(
    ("kind", "entry", "found"),
    [
        ("networks", {"driver": "macvlan"}, "driver: 'macvlan' is not supported"),
        ("networks", {"driver": "weave"}, "driver: 'weave' is not known"),
        ("networks", {"ipam": {"config": [{"subnet": "x"}]}}, "ipam.config: not supported"),
        ("networks", {"enable_ipv6": True}, "enable_ipv6: not supported"),
        ("networks", {"enable_ipv4": False}, None),
        ("networks", {"ipam": {"driver": "default"}, "enable_ipv4": True}, None),
        (
            "networks",
            {"external": True, "internal": True},
            "internal: an external resource is only named",
        ),
        (
            "volumes",
            {"external": True, "driver": "x"},
            "driver: an external resource is only named",
        ),
        ("volumes", {"name": "-x"}, "name: '-x' is not a name that the engine accepts"),
        ("volumes", {"labels": ["segue.a=b"]}, "labels[0]: labels that begin with 'segue.'"),
        ("secrets", {"x-digest": "short"}, "x-digest: 'short' is not a sha256 in hexadecimal"),
        ("secrets", {"external": True, "driver": "x"}, "driver: not supported"),
        ("secrets", {"external": True, "template_driver": "g"}, "template_driver: not supported"),
        (
            "configs",
            {"external": True, "x-digest": DIGEST},
            "x-digest: an external resource is only named",
        ),
    ],
)
def test_resources_are_judged(kind: str, entry: dict[str, Any], found: str | None) -> None:
    said = problems(converted({}, **{kind: {"k": entry}}))
    assert len(said) == (found is not None)
    assert all(one.startswith(f"{kind}.k.{found}") for one in said)


def test_volumes() -> None:
    found = converted(
        {},
        volumes={
            "plain": None,
            "nfs": {"driver": "local", "driver_opts": {"type": "nfs"}, "labels": {"a": 1}},
            "out": {"external": True},
            "far": {"driver": "rexray", "name": "far-away"},
        },
    )
    assert found.spec is not None
    assert found.spec.volumes == {
        "far": VolumeSpec(name="far-away", driver="rexray"),
        "nfs": VolumeSpec(name="shop_nfs", driver_opts={"type": "nfs"}, labels={"a": "1"}),
        "out": VolumeSpec(name="out", external=True),
        "plain": VolumeSpec(name="shop_plain"),
    }
