"""Documents become canonical specs: typed fields, what attributes say together, canonical forms."""

from typing import Any

import pytest
from segue.compose import Result, convert
from segue.spec import (
    Health,
    Mount,
    NetworkRef,
    NetworkSpec,
    Placement,
    Port,
    Resources,
    Restart,
    ServiceSpec,
)


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
        ({"deploy": {"mode": "replicated-job"}}, Restart(condition="on-failure", max_attempts=6)),
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
    assert notes(converted({"volumes": ["v:/a"]}, volumes={"v": {"driver": "flocker"}})) != []


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "CIFS"])
def test_a_volume_over_the_network_is_on_every_node_and_keeps_no_slot_on_one(kind: str) -> None:
    volume = {"driver_opts": {"type": kind, "o": "addr=10.0.0.9,rw", "device": ":/data"}}
    found = converted({"volumes": ["v:/a", "w:/b"]}, volumes={"v": volume, "w": {}})
    assert [note.partition(": ")[0] for note in notes(found)] == ["services.web.volumes[1]"]
    made = web({"volumes": ["v:/a", "w:/b"]}, volumes={"v": volume, "w": {}})
    assert (made.volumes, made.local_volumes) == (["v", "w"], ["w"])


def test_a_path_of_the_host_must_be_on_every_node_that_may_run_the_service() -> None:
    assert "must exist on every node" in notes(converted({"volumes": ["/srv:/a"]}))[0]
    where = {"placement": {"constraints": ["node.hostname == a"]}}
    assert notes(converted({"volumes": ["/srv:/a"], "deploy": where})) == []
    assert notes(converted({"volumes": ["/var/run/docker.sock:/s"]})) == []


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
