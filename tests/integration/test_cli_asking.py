"""Commands that ask for changes, on a real bus with real services and nodes without engines."""

import json
import os
import pathlib
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from subprocess import CompletedProcess

import anyio
import pytest
from segue.bus import Bus
from segue.events.container import ContainerAssigned, ContainerRequested
from segue.events.deploy import DeployAccepted, DeployCompleted
from segue.events.leader import LeaderElected
from segue.testing.cluster import CONTROL, Cluster, running
from segue.testing.laws import check_log
from segue.testing.nats_server import NatsServer
from segue.testing.puppet_node import PuppetNode

Segue = Callable[..., Awaitable[CompletedProcess[str]]]
COMMAND = [sys.executable, "-m", "segue_cli"]
SHOP = """
name: shop
services:
  web:
    image: web:1
    depends_on: [db]
    deploy: {replicas: 2}
  db:
    image: db:1
    secrets: [password]
secrets:
  password: {file: password.txt}
"""
BROKEN = """
name: broken
services:
  fails: {image: "web:1", restart: "no"}
"""
STUCK = """
name: late
services:
  stuck: {image: "web:1"}
  behind: {image: "web:1", depends_on: [stuck]}
"""


@pytest.fixture
async def cluster_of_two(tmp_path: pathlib.Path) -> AsyncIterator[Cluster]:
    """Run a bus, deployer, scheduler and health monitor, and two nodes without engines."""
    async with running(tmp_path) as cluster, anyio.create_task_group() as tasks:
        cluster.start_control()
        for name in ("node-a", "node-b"):
            node = PuppetNode(cluster.bus, name, fails=["fails"], stuck=["stuck"])
            await tasks.start(node.run)
        for service in CONTROL:
            await cluster.wait_event(LeaderElected, service=service)
        yield cluster
        tasks.cancel_scope.cancel()


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """Give a folder with Compose files."""
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "password.txt").write_text("hunter2")
    for name, text in (("compose", SHOP), ("broken", BROKEN), ("late", STUCK)):
        (folder / f"{name}.yaml").write_text(text)
    return folder


def environment(tmp_path: pathlib.Path, url: str) -> dict[str, str]:
    env = {key: value for key, value in os.environ.items() if not key.startswith("NATS_")}
    return env | {"NATS_URL": url, "HOME": str(tmp_path), "SEGUE_DATA": str(tmp_path / "none")}


@pytest.fixture
def segue(cluster_of_two: Cluster, tmp_path: pathlib.Path, folder: pathlib.Path) -> Segue:
    """Run the command as a person does."""
    env = environment(tmp_path, cluster_of_two.server.url)

    async def run(*arguments: str) -> CompletedProcess[str]:
        return await command(*arguments, env=env, cwd=folder)

    return run


async def command(*arguments: str, **options: object) -> CompletedProcess[str]:
    done = await anyio.run_process([*COMMAND, *arguments], check=False, **options)  # type: ignore[arg-type]  # passed on.
    return CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


async def test_an_app_is_deployed_scaled_and_removed(
    segue: Segue, cluster_of_two: Cluster, tmp_path: pathlib.Path
) -> None:
    bus = cluster_of_two.bus
    planned = await segue("plan")
    assert planned.returncode == 2, planned
    assert "Revision 1: 3 new." in planned.stdout
    done = await segue("deploy")
    assert done.returncode == 0, done
    assert done.stdout.splitlines()[-1].startswith("shop: revision 1 is up: 3 slots in ")
    keys = await bus.keys("files")
    assert [await bus.get("files", key) for key in keys] == [b"hunter2"]
    before = (await bus.head()).last
    planned = await segue("plan")
    assert (planned.returncode, planned.stdout.splitlines()[-1]) == (0, "Nothing would change.")
    assert (await bus.head()).last == before, "nothing is said by looking"
    again = await segue("deploy", "--json")
    assert again.returncode == 0
    lines = [json.loads(line) for line in again.stdout.splitlines()]
    assert lines[-1]["type"] == DeployCompleted.type
    assert not any(line["type"] == ContainerRequested.type for line in lines)
    scaled = await segue("scale", "shop/web=4", "shop/db=1")
    assert scaled.stdout.splitlines() == [
        "shop/web: 4 replicas instead of 2",
        "shop/db: has 1 already",
    ]
    removed = await segue("remove", "shop")
    assert removed.returncode == 0, removed
    assert "is gone" in removed.stdout
    assert (await segue("remove", "shop")).returncode == 3
    await check_log(bus, secrets=[b"hunter2"])
    logs = [file.read_bytes() for file in tmp_path.rglob("*.log")]
    assert logs
    assert not any(b"hunter2" in text for text in logs)


async def test_whose_word_it_is_stands_in_the_log(segue: Segue, cluster_of_two: Cluster) -> None:
    await segue("deploy", "--no-wait")
    accepted = await cluster_of_two.wait_event(DeployAccepted, app="shop")
    assert "@" in accepted.actor
    await segue("emit", "scale.requested", "--actor", "night shift", "--data", SCALE)
    head = await cluster_of_two.head()
    (newest,) = [r for r in await cluster_of_two.records() if r.sequence == head]
    assert newest.actor == "night shift"


SCALE = '{"app": "shop", "service": "db", "replicas": 1}'


async def test_a_deploy_that_fails_shows_the_last_words_of_what_failed(segue: Segue) -> None:
    done = await segue("deploy", "broken.yaml")
    assert done.returncode == 1
    assert "fails.1 failed and its restart policy is used up" in done.stderr
    assert "    | cannot open the database" in done.stderr
    assert "hint: `segue why broken/fails.1`" in done.stderr


async def test_a_deploy_that_takes_too_long_goes_on_and_says_what_is_missing(
    segue: Segue, cluster_of_two: Cluster
) -> None:
    done = await segue("deploy", "late.yaml", "--timeout", "10s")
    assert done.returncode == 4, done
    assert "stuck.1: starting on node-" in done.stderr
    assert "behind.1: waits for stuck" in done.stderr
    assert (await cluster_of_two.picture()).apps["late"].phase == "deploying"


async def test_whoever_leaves_a_deploy_is_told_that_it_goes_on(
    cluster_of_two: Cluster, tmp_path: pathlib.Path, folder: pathlib.Path
) -> None:
    env = environment(tmp_path, cluster_of_two.server.url)
    arguments = [*COMMAND, "deploy", "late.yaml"]
    process = await anyio.open_process(arguments, env=env, cwd=folder)
    await cluster_of_two.wait_event(ContainerAssigned, app="late")
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    said = b"".join([piece async for piece in process.stderr]).decode()
    assert await process.wait() == 130
    assert "the deploy goes on" in said
    assert "`segue ps late`" in said
    assert "Traceback" not in said
    await process.aclose()


async def test_a_later_deploy_ends_the_earlier_ones_wait(
    segue: Segue, cluster_of_two: Cluster
) -> None:
    async with anyio.create_task_group() as tasks:
        results: list[CompletedProcess[str]] = []

        async def first() -> None:
            results.append(await segue("deploy", "late.yaml"))

        tasks.start_soon(first)
        await cluster_of_two.wait_event(ContainerAssigned, app="late")
        assert (await segue("deploy", "late.yaml", "--no-wait")).returncode == 0
    assert results[0].returncode == 1
    assert "late: revision 1 was superseded by revision 2 by " in results[0].stderr


async def test_what_is_wrong_is_said_with_its_code(segue: Segue, folder: pathlib.Path) -> None:
    (folder / "wrong.yaml").write_text("services: {web: {image: x, lins: 1}}\n")
    for verb, code in (("deploy", 2), ("config", 2), ("plan", 1)):
        done = await segue(verb, "wrong.yaml")
        assert done.returncode == code, done
        assert "wrong.yaml:1:28 services.web.lins: unknown key" in done.stderr
    rejected = await segue(
        "emit", "deploy.requested", "--data", '{"app": "x", "compose": {"services": {"a": {}}}}'
    )
    assert rejected.returncode == 2
    assert "services.a" in rejected.stderr
    missing = await segue("scale", "shop/web=3")
    assert (missing.returncode, missing.stderr) == (
        3,
        "segue: there is no app called shop\nhint: nothing is deployed\n",
    )
    node = await segue("cordon", "node-x")
    assert node.returncode == 3
    assert "there are: node-a, node-b" in node.stderr


async def test_a_cordoned_node_gets_no_slots_until_it_is_uncordoned(segue: Segue) -> None:
    assert (await segue("cordon", "node-a")).stdout == "node-a: gets no new containers\n"
    planned = json.loads((await segue("plan", "--json")).stdout)
    nodes = {change["node"] for part in planned["services"] for change in part["changes"]}
    assert nodes == {"node-b"}
    assert (await segue("uncordon", "node-a")).stdout == "node-a: may be used again\n"


async def test_an_event_that_is_no_request_is_published_without_waiting(segue: Segue) -> None:
    data = '{"app": "shop", "service": "web", "quiet_s": 3}'
    done = await segue("emit", "service.steady", "--data", data)
    assert done.returncode == 0, done
    assert done.stdout.endswith(": service.steady.shop.web\n")


async def test_the_doctor_knows_who_leads_and_who_is_missing(
    segue: Segue, cluster_of_two: Cluster
) -> None:
    cluster_of_two["scheduler", "a"].kill()
    done = await segue("doctor", "--json")
    assert done.returncode == 1
    found = {line["what"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert found["bus"]["level"] == "ok"
    assert found["log settings"]["level"] == "ok"
    assert found["deployer"]["level"] == "ok"
    assert found["scheduler"]["level"] == "fail"
    assert found["node node-a"]["level"] == "fail", "a puppet answers no questions"
    assert "segue up" in found["scheduler"]["do"]


async def test_an_unanswered_request_is_told_to_wait_for_the_deployer(
    bus: Bus, nats: NatsServer, tmp_path: pathlib.Path
) -> None:
    env = environment(tmp_path, nats.url)
    done = await command("cordon", "node-a", "--timeout", "10s", env=env)
    assert done.returncode == 4
    said = done.stderr.splitlines()
    assert said[0] == "no answer yet; is a deployer running? (`segue doctor`)"
    assert "waits for the deployer" in said[1]
    assert (await bus.head()).last == 1, "the request is in the log"


async def test_a_bus_that_was_never_set_up_is_told_from_one_that_is_not_there(
    nats: NatsServer, tmp_path: pathlib.Path
) -> None:
    env = environment(tmp_path, nats.url)
    for arguments in (("ps",), ("scale", "shop/web=1")):
        done = await command(*arguments, env=env)
        assert done.returncode == 1, done
        assert "there is no log on this bus" in done.stderr
        assert "segue up" in done.stderr
    diagnosed = await command("doctor", env=env)
    assert diagnosed.returncode == 1
    assert "there is no log on this bus" in diagnosed.stdout
    nats.kill()
    done = await command("ps", env=env)
    assert done.returncode == 5, done
    assert done.stderr.count("\n") == 2
    assert (await command("doctor", env=env)).returncode == 1


async def test_output_into_a_closed_pipe_ends_quietly(folder: pathlib.Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = await anyio.run_process(
            [*COMMAND, "config"], check=False, stdout=writing, cwd=folder
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")
