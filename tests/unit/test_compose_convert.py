"""Documents become canonical specs: typed fields, what attributes say together, canonical forms."""

from typing import Any

import pytest
from segue.compose import Result, convert
from segue.spec import (
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


def test_a_service_alone_has_one_slot_on_the_apps_own_network() -> None:
    found = converted({})
    assert found.spec is not None
    assert found.spec.services["web"] == ServiceSpec(
        image="x",
        networks={"default": NetworkRef()},
        container={"HostConfig": {"Init": True}},
    )
    assert found.spec.networks == {"default": NetworkSpec(name="shop_default")}
    assert found.notes == []


@pytest.mark.parametrize(
    ("deploy", "mode", "replicas"),
    [
        ({}, "replicated", 1),
        ({"replicas": 6}, "replicated", 6),
        ({"replicas": "0"}, "replicated", 0),
        ({"mode": "global"}, "global", 1),
        ({"mode": "replicated-job", "replicas": 2}, "replicated-job", 2),
        ({"mode": "global-job"}, "global-job", 1),
    ],
)
def test_modes_and_replicas(deploy: dict[str, Any], mode: str, replicas: int) -> None:
    found = web({"deploy": deploy})
    assert (found.mode, found.replicas) == (mode, replicas)


def test_scale_is_another_word_for_replicas() -> None:
    assert web({"scale": 3}).replicas == 3
    assert web({"scale": 3, "deploy": {"replicas": "3"}}).replicas == 3
    assert problems(converted({"scale": 3, "deploy": {"replicas": 2}})) == [
        "services.web.scale: 3 disagrees with deploy.replicas, 2"
    ]
    assert problems(converted({"scale": 3, "deploy": {"mode": "global"}})) == [
        "services.web.scale: a global service has one slot on each node"
    ]


@pytest.mark.parametrize(
    ("service", "restart"),
    [
        ({}, Restart()),
        ({"restart": "no"}, Restart(condition="none")),
        ({"restart": False}, Restart(condition="none")),
        ({"restart": "always"}, Restart()),
        ({"restart": "unless-stopped"}, Restart()),
        ({"restart": "on-failure"}, Restart(condition="on-failure")),
        ({"restart": "on-failure:3"}, Restart(condition="on-failure", max_attempts=3)),
        (
            {
                "deploy": {
                    "restart_policy": {
                        "condition": "on-failure",
                        "delay": "5s",
                        "max_attempts": 3,
                        "window": "2m",
                    }
                }
            },
            Restart(condition="on-failure", delay_s=5.0, max_attempts=3, window_s=120.0),
        ),
        ({"deploy": {"restart_policy": {"delay": "0s"}}}, Restart(delay_s=0.0)),
        ({"deploy": {"mode": "replicated-job"}}, Restart(condition="on-failure")),
    ],
)
def test_restart_policies(service: dict[str, Any], restart: Restart) -> None:
    assert web(service).restart == restart


def test_two_restart_policies_are_one_too_many() -> None:
    found = converted({"restart": "always", "deploy": {"restart_policy": {"condition": "any"}}})
    assert problems(found) == ["services.web.restart: is given, and so is deploy.restart_policy"]


@pytest.mark.parametrize(
    "service", [{"restart": "always"}, {"deploy": {"restart_policy": {"condition": "any"}}}]
)
def test_a_job_that_ended_well_is_not_started_again(service: dict[str, Any]) -> None:
    deploy = {"mode": "replicated-job"} | service.get("deploy", {})
    (found,) = problems(converted(service | {"deploy": deploy}))
    assert found.endswith("a job that ended well is not started again")


@pytest.mark.parametrize(
    ("check", "health"),
    [
        ({"test": "curl x"}, Health(test=["CMD-SHELL", "curl x"])),
        ({"test": ["CMD", "curl", "x"]}, Health(test=["CMD", "curl", "x"])),
        ({"disable": True}, Health(test=["NONE"])),
        ({"test": ["NONE"]}, Health(test=["NONE"])),
        ({"test": ["CMD", "x"], "disable": "true"}, Health(test=["NONE"])),
        (
            {
                "test": "x",
                "interval": "1m30s",
                "timeout": "10s",
                "retries": 5,
                "start_period": "40s",
                "start_interval": "5s",
            },
            Health(
                test=["CMD-SHELL", "x"],
                interval_s=90.0,
                timeout_s=10.0,
                retries=5,
                start_period_s=40.0,
                start_interval_s=5.0,
            ),
        ),
        ({"test": "x", "interval": "0s", "retries": 0}, Health(test=["CMD-SHELL", "x"])),
        ({"interval": "5s"}, Health(test=[], interval_s=5.0)),
    ],
)
def test_health_checks(check: dict[str, Any], health: Health) -> None:
    assert web({"healthcheck": check}).health == health


@pytest.mark.parametrize(
    ("port", "ports"),
    [
        ("3000", [Port(target=3000)]),
        (3000, [Port(target=3000)]),
        ("8000:80", [Port(target=80, published=8000)]),
        ("6060:6060/udp", None),
        ("127.0.0.1:8001:80", [Port(target=80, published=8001, host_ip="127.0.0.1")]),
        ("127.0.0.1::80", [Port(target=80, host_ip="127.0.0.1")]),
        ("[::1]:6001:80", [Port(target=80, published=6001, host_ip="::1")]),
        ("::1:6000:80", [Port(target=80, published=6000, host_ip="::1")]),
        ("90-91:80-81", [Port(target=80, published=90), Port(target=81, published=91)]),
        ("80-81", [Port(target=80), Port(target=81)]),
        (
            {
                "target": "53",
                "published": 53,
                "protocol": "udp",
                "mode": "host",
                "name": "dns",
                "app_protocol": "dns",
            },
            [
                Port(
                    target=53,
                    published=53,
                    protocol="udp",
                    mode="host",
                    name="dns",
                    app_protocol="dns",
                )
            ],
        ),
    ],
)
def test_ports(port: Any, ports: list[Port] | None) -> None:
    found = converted({"ports": [port]})
    if ports is None:
        assert [problem.kind for problem in found.problems] == ["unsupported"]
    else:
        assert found.spec is not None
        assert found.spec.services["web"].ports == ports


def test_ports_in_ingress_mode_are_noted_once() -> None:
    found = converted({"ports": ["80:80", "81:81", {"target": 1, "mode": "host"}]})
    assert notes(found) == [
        (
            "services.web.ports: ports in ingress mode are served by the gateway, "
            "a later part of Segue"
        )
    ]


def test_a_fixed_port_of_the_node_needs_a_node_for_each_slot() -> None:
    port = {"target": 80, "published": 80, "mode": "host"}
    assert (
        "port 80 of a node can be bound once"
        in notes(converted({"ports": [port], "deploy": {"replicas": 2}}))[0]
    )
    assert notes(converted({"ports": [port]})) == []
    assert notes(converted({"ports": [port], "deploy": {"mode": "global"}})) == []


def test_two_services_cannot_publish_one_port_of_the_gateway() -> None:
    other = {"db": {"image": "y", "ports": ["8080:1"]}}
    assert problems(converted({"ports": ["8080:80"]}, services=other)) == [
        "services.db.ports[0]: port 8080 is published by service 'web' already"
    ] or problems(converted({"ports": ["8080:80"]}, services=other)) == [
        "services.web.ports[0]: port 8080 is published by service 'db' already"
    ]


@pytest.mark.parametrize(
    ("volume", "mount"),
    [
        ("/data", Mount(kind="volume", target="/data")),
        ("v:/data", Mount(kind="volume", source="v", target="/data")),
        ("v:/data:ro,nocopy", None),
        (
            "/srv:/data:ro",
            Mount(
                kind="bind",
                source="/srv",
                target="/data",
                read_only=True,
                options={"CreateMountpoint": True},
            ),
        ),
        (
            {
                "type": "bind",
                "source": "/srv",
                "target": "/data",
                "bind": {"propagation": "rshared", "create_host_path": False},
            },
            Mount(
                kind="bind",
                source="/srv",
                target="/data",
                options={"CreateMountpoint": False, "Propagation": "rshared"},
            ),
        ),
        (
            {
                "type": "volume",
                "source": "v",
                "target": "/data",
                "read_only": "true",
                "volume": {"nocopy": True, "subpath": "sub", "labels": ["a=b"]},
            },
            Mount(
                kind="volume",
                source="v",
                target="/data",
                read_only=True,
                options={"NoCopy": True, "Subpath": "sub", "Labels": {"a": "b"}},
            ),
        ),
        (
            {"type": "tmpfs", "target": "/t", "tmpfs": {"size": "10m", "mode": "1777"}},
            Mount(
                kind="tmpfs",
                target="/t",
                options={"SizeBytes": 10 * 1024**2, "Mode": 0o1777},
            ),
        ),
    ],
)
def test_mounts(volume: Any, mount: Mount | None) -> None:
    mount = mount or Mount(
        kind="volume", source="v", target="/data", read_only=True, options={"NoCopy": True}
    )
    assert web({"volumes": [volume]}, volumes={"v": None}).mounts == [mount]


def test_a_local_volume_keeps_its_slot_on_a_node_and_says_so() -> None:
    found = converted({"volumes": ["v:/a", "v:/b"]}, volumes={"v": {}})
    assert notes(found) == [
        "services.web.volumes[0]: the data of volume 'v' stay on one node, and the slot with them"
    ]
    assert notes(converted({"volumes": ["v:/a"]}, volumes={"v": {"driver": "nfs"}})) == []


def test_a_path_of_the_host_must_be_on_every_node_that_may_run_the_service() -> None:
    assert "must exist on every node" in notes(converted({"volumes": ["/srv:/a"]}))[0]
    where = {"placement": {"constraints": ["node.hostname == a"]}}
    assert notes(converted({"volumes": ["/srv:/a"], "deploy": where})) == []
    assert notes(converted({"volumes": ["/var/run/docker.sock:/s"]})) == []


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


def test_resources_and_placement() -> None:
    found = web(
        {
            "platform": "linux/arm64",
            "pull_policy": "if_not_present",
            "stop_grace_period": "1m30s",
            "deploy": {
                "labels": ["tier=front"],
                "resources": {"reservations": {"cpus": "0.2501", "memory": "20M"}},
                "placement": {
                    "constraints": ["node.labels.disk==ssd", "node.role  !=  manager"],
                    "preferences": [{"spread": "node.labels.zone"}],
                    "max_replicas_per_node": 2,
                },
            },
        }
    )
    assert found.resources == Resources(cpu_millicores=251, memory_bytes=20 * 1024**2)
    assert found.placement == Placement(
        constraints=["node.labels.disk == ssd", "node.role != manager"],
        spread=["node.labels.zone"],
        max_per_node=2,
        platform="linux/arm64",
    )
    assert found.labels == {"tier": "front"}
    assert (found.pull, found.stop_grace_s) == ("missing", 90.0)
    assert web({"mem_reservation": "20m"}).resources.memory_bytes == 20 * 1024**2


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
