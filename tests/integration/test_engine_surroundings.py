"""What a container finds around it on a real engine: names, ports, data, secrets, folders."""

import pathlib
from collections.abc import Callable

import anyio
import pytest
from msgspec.structs import replace
from segue.bridges import bridge_name
from segue.spec import FileRef, FileSpec, Mount, NetworkRef, NetworkSpec, Port, VolumeSpec
from segue.testing.engine import Engine as RealEngine
from segue.testing.ports import free_port
from segue_node_runner import streams
from segue_node_runner.effects import Start
from segue_node_runner.engine import Engine
from segue_node_runner.errors import EngineError

pytestmark = pytest.mark.engine
Orders = Callable[..., Start]
SERVE = "echo -n hello > /tmp/index.html; exec httpd -f -p 8080 -h /tmp"


async def nothing(digest: str) -> bytes:
    raise AssertionError(f"{digest} was asked for")


async def said(engine: Engine, container: str, *command: str) -> str:
    """Run a program inside a container; give what it wrote once it has ended well."""
    text = b""
    async with streams.execution(engine.calls, container, list(command)) as running:
        async for chunk in running.output:
            text += chunk.data
        assert await running.exit_code() == 0, text.decode()
    return text.decode()


async def test_containers_of_an_app_find_each_other_by_name(
    node_engine: Engine, order: Orders, cluster: str
) -> None:
    networks = {
        "back": NetworkSpec(name=f"{cluster}_back", internal=True),
        "front": NetworkSpec(name=f"{cluster}_front"),
    }
    both = {"back": NetworkRef(aliases=["site"]), "front": NetworkRef()}
    one = {"app": {"networks": networks}}
    server = order(["sh", "-c", SERVE], networks=both, **one)
    client = order(service="job", networks={"front": NetworkRef()}, **one)
    inner = order(service="inner", networks={"back": NetworkRef()}, **one)
    async with anyio.create_task_group() as tasks:  # At once: the networks are made only once.
        for each in (server, client, inner):
            tasks.start_soon(node_engine.start, each, nothing)
    for container, name in (("shop.job.1", "web"), ("shop.inner.1", "site")):
        fetch = f"until wget -qO- http://{name}:8080; do sleep 0.05; done"
        with anyio.fail_after(60):
            assert await said(node_engine, container, "sh", "-c", fetch) == "hello"


async def test_a_network_of_somebody_else_is_not_used(
    node_engine: Engine, order: Orders, docker_engine: RealEngine, cluster: str
) -> None:
    network = docker_engine.ask("POST", "/networks/create", {"Name": f"{cluster}_default"})
    app = {"networks": {"default": NetworkSpec(name=f"{cluster}_default")}}
    try:
        with pytest.raises(EngineError, match="exists that is not this cluster's") as refused:
            await node_engine.start(order(app=app, networks={"default": NetworkRef()}), nothing)
        assert refused.value.step == "network"
        app = {"networks": {"default": NetworkSpec(name=f"{cluster}_default", external=True)}}
        started = await node_engine.start(
            order(app=app, networks={"default": NetworkRef()}), nothing
        )
        await node_engine.stop(started.found.engine_id, 0)
    finally:
        docker_engine.clear(cluster)
        docker_engine.ask("DELETE", f"/networks/{network['Id']}")


async def test_a_container_says_where_it_is_reached_on_each_of_its_networks(
    node_engine: Engine, order: Orders, docker_engine: RealEngine, cluster: str
) -> None:
    names = {key: f"{cluster}_{key}" for key in ("back", "front")}
    networks = {key: NetworkSpec(name=name, internal=key == "back") for key, name in names.items()}
    asked = order(app={"networks": networks}, networks=dict.fromkeys(names, NetworkRef()))
    first = await node_engine.start(asked, nothing)
    seen = docker_engine.ask("GET", "/containers/shop.web.1/json")["NetworkSettings"]["Networks"]
    there = {one.network: one for one in first.found.addresses}
    assert sorted(there) == sorted(names.values())
    for name, said in there.items():
        told = (seen[name]["IPAddress"], seen[name]["IPPrefixLen"], seen[name]["Gateway"])
        assert (said.address, said.prefix, said.gateway) == told
    again = await node_engine.start(asked, nothing)
    assert again.adopted
    assert again.found.addresses == first.found.addresses


async def test_where_a_gateway_answers_a_container_asks_it_on_each_of_its_networks(
    node_engine: Engine, docker_engine: RealEngine, order: Orders, cluster: str
) -> None:
    networks = {key: NetworkSpec(name=f"{cluster}_{key}") for key in ("back", "front")}
    asked = order(app={"networks": networks}, networks=dict.fromkeys(networks, NetworkRef()))
    started = await node_engine.start(replace(asked, names=True), nothing)
    found = docker_engine.ask("GET", f"/containers/{started.found.engine_id}/json")
    gateways = [
        docker_engine.ask("GET", f"/networks/{network.name}")["IPAM"]["Config"][0]["Gateway"]
        for network in networks.values()
    ]
    assert found["HostConfig"]["Dns"] == gateways
    assert found["HostConfig"]["DnsSearch"][0] == "shop.segue.internal"
    short = {one["Aliases"][0] for one in found["NetworkSettings"]["Networks"].values()}
    assert short == {started.found.engine_id[:12]}, "its own id is all that the engine knows"


async def test_a_service_with_resolvers_of_its_own_keeps_them_and_the_engines_names(
    node_engine: Engine, docker_engine: RealEngine, order: Orders, cluster: str
) -> None:
    app = {"networks": {"default": NetworkSpec(name=f"{cluster}_default")}}
    own = {"HostConfig": {"Dns": ["192.0.2.53"]}}
    asked = order(app=app, networks={"default": NetworkRef()}, container=own)
    started = await node_engine.start(replace(asked, names=True), nothing)
    found = docker_engine.ask("GET", f"/containers/{started.found.engine_id}/json")
    assert found["HostConfig"]["Dns"] == ["192.0.2.53"]
    assert "web" in found["NetworkSettings"]["Networks"][f"{cluster}_default"]["Aliases"]


async def test_a_networks_bridge_is_named_so_that_a_gateway_knows_it_at_once(
    node_engine: Engine, docker_engine: RealEngine, order: Orders, cluster: str
) -> None:
    named = NetworkSpec(
        name=f"{cluster}_named",
        driver_opts={"com.docker.network.bridge.name": f"x{cluster[-8:]}"},
    )
    networks = {"default": NetworkSpec(name=f"{cluster}_default"), "named": named}
    asked = order(app={"networks": networks}, networks=dict.fromkeys(networks, NetworkRef()))
    await node_engine.start(asked, nothing)
    ours = bridge_name(cluster, "node-a", f"{cluster}_default")
    for network, bridge in ((f"{cluster}_default", ours), (f"{cluster}_named", f"x{cluster[-8:]}")):
        made = docker_engine.ask("GET", f"/networks/{network}")
        assert made["Options"]["com.docker.network.bridge.name"] == bridge


async def test_a_network_that_was_removed_is_made_again(
    node_engine: Engine, order: Orders, docker_engine: RealEngine, cluster: str
) -> None:
    app = {"networks": {"default": NetworkSpec(name=f"{cluster}_default")}}
    runs = {"app": app, "networks": {"default": NetworkRef()}}
    await node_engine.start(order(**runs), nothing)
    docker_engine.clear(cluster)
    started = await node_engine.start(order(attempt=2, **runs), nothing)
    assert started.found.runs


async def test_a_port_of_the_host_leads_to_the_container(
    node_engine: Engine, order: Orders
) -> None:
    number = free_port()
    ports = [Port(target=8080, published=number, mode="host", host_ip="127.0.0.1")]
    started = await node_engine.start(order(["sh", "-c", SERVE], ports=ports), nothing)
    with anyio.fail_after(60):
        while True:
            async with await anyio.connect_tcp("127.0.0.1", number) as line:
                await line.send(b"GET / HTTP/1.0\r\n\r\n")
                try:
                    answer = b"".join([part async for part in line])
                except anyio.BrokenResourceError:
                    answer = b""  # The port is there before the program that serves it.
            if answer.endswith(b"hello"):
                break
            await anyio.sleep(0.02)
    with pytest.raises(EngineError, match="port is already allocated") as refused:
        await node_engine.start(order(slot=2, ports=ports), nothing)
    assert (refused.value.kind, refused.value.final) == ("port", False)
    await node_engine.stop(started.found.engine_id, 0)


async def test_data_in_a_volume_outlive_the_container(
    node_engine: Engine, order: Orders, cluster: str
) -> None:
    app = {"volumes": {"data": VolumeSpec(name=f"{cluster}_data")}}
    runs = {"app": app, "mounts": [Mount(kind="volume", source="data", target="/data")]}
    write = "echo kept > /data/file; exec sleep 1000"
    first = await node_engine.start(order(["sh", "-c", write], **runs), nothing)
    read = "until cat /data/file; do sleep 0.02; done"
    assert await said(node_engine, "shop.web.1", "sh", "-c", read) == "kept\n"
    await node_engine.stop(first.found.engine_id, 0)
    await node_engine.remove(first.found.engine_id)
    await node_engine.start(order(attempt=2, **runs), nothing)
    assert await said(node_engine, "shop.web.1", "cat", "/data/file") == "kept\n"


async def test_a_container_takes_its_anonymous_volumes_with_it(
    node_engine: Engine, order: Orders, docker_engine: RealEngine
) -> None:
    def volumes() -> set[str]:
        return {one["Name"] for one in docker_engine.ask("GET", "/volumes")["Volumes"] or []}

    before = volumes()
    runs = {"mounts": [Mount(kind="volume", target="/scratch")]}
    started = await node_engine.start(order(**runs), nothing)
    assert len(volumes() - before) == 1
    await node_engine.stop(started.found.engine_id, 0)
    await node_engine.remove(started.found.engine_id)
    assert volumes() - before == set()


async def test_secrets_and_configs_are_files_that_only_their_owner_reads(
    node_engine: Engine, order: Orders, tmp_path: pathlib.Path
) -> None:
    store = {"aa": b"hunter2", "bb": b"[site]\n"}
    app = {
        "secrets": {"password": FileSpec(name="password", digest="aa")},
        "configs": {"site": FileSpec(name="site", digest="bb")},
    }
    runs = {
        "app": app,
        "secrets": [
            FileRef(
                source="password", target="/run/secrets/password", uid="65534", gid="7", mode=0o400
            )
        ],
        "configs": [FileRef(source="site", target="/etc/site.ini")],
    }

    async def fetch(digest: str) -> bytes:
        return store[digest]

    started = await node_engine.start(order(**runs), fetch)
    look = "stat -c '%a %u %g' /run/secrets/password; cat /run/secrets/password; cat /etc/site.ini"
    text = await said(node_engine, "shop.web.1", "sh", "-c", look)
    assert text == "400 65534 7\nhunter2[site]\n"
    write = "(echo x > /run/secrets/password) 2>/dev/null || echo read-only"
    assert await said(node_engine, "shop.web.1", "sh", "-c", write) == "read-only\n"
    [folder] = (tmp_path / "files").iterdir()
    assert (tmp_path / "files").stat().st_mode & 0o777 == 0o700
    assert folder.name == "shop.web.1.1"
    await node_engine.stop(started.found.engine_id, 0)
    await node_engine.remove(started.found.engine_id)
    assert list((tmp_path / "files").iterdir()) == []


async def test_files_without_a_container_are_swept(
    node_engine: Engine, order: Orders, tmp_path: pathlib.Path
) -> None:
    app = {"configs": {"site": FileSpec(name="site", digest="bb")}}
    runs = {"app": app, "configs": [FileRef(source="site", target="/etc/site.ini")]}

    async def fetch(digest: str) -> bytes:
        return digest.encode()

    started = await node_engine.start(order(**runs), fetch)
    (tmp_path / "files" / "shop.old.1.1").mkdir()
    await node_engine.files.keep_only([started.found.identity])
    assert [folder.name for folder in (tmp_path / "files").iterdir()] == ["shop.web.1.1"]


async def test_a_folder_of_the_host_is_made_for_a_bind(
    node_engine: Engine, order: Orders, tmp_path: pathlib.Path
) -> None:
    source = tmp_path / "made"
    options = {"CreateMountpoint": True}
    mounts = [Mount(kind="bind", source=str(source), target="/host", options=options)]
    await node_engine.start(order(mounts=mounts), nothing)
    await said(node_engine, "shop.web.1", "touch", "/host/file")
    assert (source / "file").exists()
    missing = [Mount(kind="bind", source=str(tmp_path / "missing"), target="/host")]
    with pytest.raises(EngineError, match="bind source path does not exist") as refused:
        await node_engine.start(order(slot=2, mounts=missing), nothing)
    assert refused.value.final
