"""The create call that a service becomes on an engine, and what a node's own policy says to it."""

import pathlib
from typing import Any

import pytest
from msgspec.structs import replace
from segue.spec import (
    AppSpec,
    Health,
    Mount,
    NetworkRef,
    NetworkSpec,
    Port,
    ServiceSpec,
    VolumeSpec,
)
from segue_node_runner.body import Ground, create_body, further_networks
from segue_node_runner.effects import Start
from segue_node_runner.policy import Policy, PolicyError, forbidden, read
from segue_node_runner.resolving import searches

OLD, NEW = Ground("1.41", "json-file"), Ground("1.45", "journald")


def order(app: dict[str, Any] | None = None, **runs: Any) -> Start:
    spec = ServiceSpec(**{"image": "shop:1"} | runs)
    return Start(
        app="shop",
        service="web",
        slot=3,
        attempt=7,
        cluster="c1",
        node="a",
        revision=2,
        digest="d",
        spec=AppSpec(services={"web": spec}, **(app or {})),
        cause="cause",
        correlation="root",
    )


def body(made: Start, ground: Ground = OLD, files: Any = ()) -> dict[str, Any]:
    return create_body(made, ground, image="shop@sha256:0", files=list(files))


def test_what_is_ours_by_law_wins_over_the_fragment() -> None:
    fragment = {
        "Image": "evil:1",
        "Labels": {"team": "red", "segue.app": "evil"},
        "Env": ["A=1"],
        "HostConfig": {"RestartPolicy": {"Name": "always"}, "AutoRemove": True},
    }
    made = order(container=fragment, stop_grace_s=2.5)
    found = body(made)
    assert found["Image"] == "shop@sha256:0"
    assert found["Labels"] == {
        "team": "red",
        "segue.cluster": "c1",
        "segue.app": "shop",
        "segue.service": "web",
        "segue.slot": "3",
        "segue.attempt": "7",
        "segue.revision": "2",
        "segue.digest": "d",
        "segue.node": "a",
        "segue.cause": "cause",
        "segue.correlation": "root",
    }
    assert found["Env"][0] == "A=1"
    assert {"SEGUE_SLOT=3", "SEGUE_ATTEMPT=7", "SEGUE_NODE=a"} < set(found["Env"])
    assert found["StopTimeout"] == 3
    assert found["HostConfig"]["RestartPolicy"] == {"Name": "no"}
    assert found["HostConfig"]["AutoRemove"] is False
    assert fragment["HostConfig"] == made.runs.container["HostConfig"], "the order is left as it is"


def test_an_init_process_and_bounded_logs_are_given_unless_the_fragment_says_otherwise() -> None:
    host = body(order())["HostConfig"]
    assert host["Init"] is True
    assert host["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "3"}
    assert "LogConfig" not in body(order(), NEW)["HostConfig"], "its driver knows no such options"
    own = {"HostConfig": {"Init": False, "LogConfig": {"Type": "none"}}}
    host = body(order(container=own))["HostConfig"]
    assert (host["Init"], host["LogConfig"]) == (False, {"Type": "none"})


def test_a_health_check_is_told_in_nanoseconds_and_by_what_the_engine_knows() -> None:
    health = Health(test=["CMD", "x"], interval_s=0.5, start_period_s=2, start_interval_s=0.1)
    old = body(order(health=health))["Healthcheck"]
    assert (old["Interval"], old["StartPeriod"], old["Retries"]) == (500_000_000, 2 * 10**9, 3)
    assert "StartInterval" not in old
    assert body(order(health=health), NEW)["Healthcheck"]["StartInterval"] == 100_000_000


def test_mounts_name_the_engines_volumes() -> None:
    app = {"volumes": {"data": VolumeSpec(name="shop_data")}}
    mounts = [
        Mount(kind="volume", source="data", target="/data", options={"NoCopy": True}),
        Mount(kind="volume", target="/scratch"),
        Mount(kind="tmpfs", target="/tmp", options={"SizeBytes": 9}),
    ]
    found = body(order(app, mounts=mounts), files=[{"Type": "bind"}])["HostConfig"]["Mounts"]
    assert found == [
        {"Type": "bind"},
        {
            "Type": "volume",
            "Source": "shop_data",
            "Target": "/data",
            "ReadOnly": False,
            "VolumeOptions": {"NoCopy": True},
        },
        {"Type": "volume", "Target": "/scratch", "ReadOnly": False},
        {"Type": "tmpfs", "Target": "/tmp", "ReadOnly": False, "TmpfsOptions": {"SizeBytes": 9}},
    ]


def test_a_folder_that_is_to_be_made_is_bound_as_the_engine_can() -> None:
    options = {"CreateMountpoint": True, "Propagation": "rslave"}
    mounts = [Mount(kind="bind", source="/a", target="/b", read_only=True, options=options)]
    old = body(order(mounts=mounts))["HostConfig"]
    assert old["Binds"] == ["/a:/b:ro,rslave"]
    assert "Mounts" not in old
    new = body(order(mounts=mounts), NEW)["HostConfig"]
    assert new["Mounts"][0]["BindOptions"] == options


def test_only_ports_of_the_host_are_bound() -> None:
    ports = [
        Port(target=80, published=8080, mode="host", host_ip="127.0.0.1"),
        Port(target=80, mode="host"),
        Port(target=53, protocol="udp"),
    ]
    found = body(order(ports=ports))
    assert found["ExposedPorts"] == {"80/tcp": {}, "53/udp": {}}
    assert found["HostConfig"]["PortBindings"] == {
        "80/tcp": [
            {"HostIp": "127.0.0.1", "HostPort": "8080"},
            {"HostIp": "", "HostPort": ""},
        ]
    }


def test_every_network_knows_the_service_by_its_names() -> None:
    app = {"networks": {key: NetworkSpec(name=f"shop_{key}") for key in ("back", "front")}}
    made = order(app, networks={"front": NetworkRef(), "back": NetworkRef(aliases=["db"])})
    found = body(made)
    assert found["HostConfig"]["NetworkMode"] == "shop_back"
    endpoints = found["NetworkingConfig"]["EndpointsConfig"]
    assert endpoints == {"shop_back": {"Aliases": ["web", "db"]}}
    assert further_networks(made, OLD) == {"shop_front": ["web"]}
    alone = order(app, networks={"front": NetworkRef()}, network_mode="none")
    assert body(alone)["HostConfig"]["NetworkMode"] == "none"
    assert further_networks(alone, OLD) == {}


def test_where_a_gateway_answers_the_engine_knows_no_names_and_the_gateway_is_asked() -> None:
    inner = NetworkSpec(name="shop_inner", internal=True)
    app = {"networks": {"back": NetworkSpec(name="shop_back"), "inner": inner}}
    made = order(app, networks={"back": NetworkRef(aliases=["db"]), "inner": NetworkRef()})
    assert "Dns" not in body(made)["HostConfig"]
    asked = replace(made, names=True, resolvers=["172.18.0.1", "172.19.0.1"], searches=["lan"])
    found = body(asked)
    assert found["HostConfig"]["Dns"] == ["172.18.0.1", "172.19.0.1"]
    assert found["HostConfig"]["DnsSearch"] == ["shop.segue.internal", "lan"]
    assert found["NetworkingConfig"]["EndpointsConfig"] == {"shop_back": {"Aliases": []}}
    assert further_networks(asked, OLD) == {"shop_inner": []}
    assert further_networks(asked, NEW) == {"shop_inner": ["web"]}, "no way leads from there"


def test_a_services_own_search_domains_come_after_the_apps() -> None:
    made = order(container={"HostConfig": {"DnsSearch": ["corp.example"]}})
    found = body(replace(made, names=True, resolvers=["172.18.0.1"], searches=["lan"]))
    assert found["HostConfig"]["DnsSearch"] == ["shop.segue.internal", "corp.example"]


def test_the_hosts_search_domains_are_those_that_count_last(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "resolv.conf"
    assert searches(file) == []
    file.write_text("nameserver 192.0.2.1\ndomain old.example\nsearch a.example b.example .\n")
    assert searches(file) == ["a.example", "b.example"]


# The node's own word.


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ({"Privileged": True}, "privileged: set `privileged = true`"),
        ({"CapAdd": ["SYS_ADMIN"]}, "cap_add SYS_ADMIN: add `SYS_ADMIN` to `capabilities`"),
        ({"CapAdd": ["cap_net_raw"]}, "cap_add cap_net_raw: add `NET_RAW` to `capabilities`"),
        ({"NetworkMode": "host"}, "the network namespace `host`: add `network` to `namespaces`"),
        ({"PidMode": "container:x"}, "the pid namespace `container:x`: add `pid`"),
        ({"UsernsMode": "host"}, "the userns namespace"),
        ({"Binds": ["/etc:/x"]}, "/etc of the host: add it, or a folder above it, to `binds`"),
        ({"Mounts": [{"Type": "bind", "Source": "/srv"}]}, "/srv of the host"),
        ({"Binds": ["/proc/sys:/x"]}, "/proc/sys of the host: name exactly this path"),
        ({"Binds": ["/var/run/docker.sock:/x"]}, "whoever has it has the host"),
        ({"Devices": [{"PathOnHost": "/dev/kvm"}]}, "device: add `/dev/kvm` to `devices`"),
        ({"DeviceCgroupRules": ["a *:* rwm"]}, "device rule: add `a *:* rwm` to `devices`"),
        ({"DeviceRequests": [{"Driver": "nvidia"}]}, "add `nvidia` to `devices`"),
        ({"SecurityOpt": ["seccomp=unconfined"]}, "add `seccomp=unconfined` to `security_opts`"),
        ({"Sysctls": {"net.core.somaxconn": "1"}}, "add `net.core.somaxconn` to `sysctls`"),
        ({"Runtime": "kata"}, "runtime: add `kata` to `runtimes`"),
        ({"CgroupParent": "/x"}, "cgroup_parent: only `everything = true` allows it"),
        ({"VolumesFrom": ["x"]}, "volumes_from: only `everything = true` allows it"),
        (
            {
                "Mounts": [
                    {
                        "Type": "volume",
                        "Source": "v",
                        "VolumeOptions": {"DriverConfig": {"Options": {"device": "/etc"}}},
                    }
                ]
            },
            "/etc of the host",
        ),
    ],
)
def test_what_reaches_the_host_is_refused_with_the_way_to_allow_it(
    host: dict[str, Any], words: str, tmp_path: pathlib.Path
) -> None:
    [problem] = forbidden({"HostConfig": host}, Policy(), tmp_path)
    assert words in problem
    assert forbidden({"HostConfig": host}, Policy(everything=True), tmp_path) == []


def test_what_the_file_allows_is_allowed_and_no_more(tmp_path: pathlib.Path) -> None:
    (tmp_path / "srv").mkdir()
    (tmp_path / "srv" / "out").symlink_to("/etc")
    file = tmp_path / "policy.toml"
    file.write_text(
        f'namespaces = ["network"]\nbinds = ["{tmp_path}/srv", "/dev/log"]\ncapabilities = []\n'
    )
    allowed = read(file)
    assert allowed.file == str(file)
    binds = [f"{tmp_path}/srv/a:/a", "/dev/log:/dev/log", f"{tmp_path}/run/secret:/s"]
    host = {"NetworkMode": "host", "Binds": binds}
    ours = tmp_path / "run"
    assert forbidden({"HostConfig": host}, allowed, ours) == []
    host = {"CapAdd": ["CHOWN"], "Binds": [f"{tmp_path}/srv/out:/a"]}
    assert len(forbidden({"HostConfig": host}, allowed, ours)) == 2, "links are followed"


def test_ordinary_containers_need_no_permission(tmp_path: pathlib.Path) -> None:
    host = {"CapAdd": ["NET_BIND_SERVICE"], "SecurityOpt": ["no-new-privileges:true"]}
    assert forbidden({"HostConfig": host}, read(tmp_path / "none"), tmp_path) == []


@pytest.mark.parametrize("text", ["privileged = 1", "privilegd = true", "=", "\xff"])
def test_a_policy_that_cannot_be_read_is_an_error_and_never_a_permission(
    text: str, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / "policy.toml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(PolicyError, match=r"policy\.toml"):
        read(file)
