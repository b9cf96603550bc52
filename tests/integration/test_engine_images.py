"""Images on a real engine with a real registry: found, pulled once, pinned, or refused in words."""

import contextlib
import pathlib
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest
from docker import APIClient
from segue.testing.engine import BUSYBOX, EngineRefusedError
from segue.testing.engine import Engine as RealEngine
from segue.testing.registry import Registry, running_registry
from segue_node_runner import images
from segue_node_runner.effects import Start
from segue_node_runner.engine import Engine
from segue_node_runner.errors import EngineError
from segue_node_runner.images import Layers, Progress

pytestmark = pytest.mark.engine
Orders = Callable[..., Start]


@pytest.fixture
def registry(tmp_path: pathlib.Path, docker_engine: RealEngine) -> Iterator[Registry]:
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is not installed")
    with running_registry(tmp_path) as running:
        yield running


@pytest.fixture
def pushed(registry: Registry, docker_engine: RealEngine) -> Iterator[str]:
    """An image that the registry has and the engine has not."""
    reference = registry.push(docker_engine, "team/app:1", "busybox:test")
    yield reference
    for image in docker_engine.ask("GET", "/images/json", filters={"reference": [reference]}):
        for name in [*(image["RepoTags"] or []), *(image["RepoDigests"] or [])]:
            if name.startswith(registry.address):
                with contextlib.suppress(EngineRefusedError):  # The last name took them all.
                    docker_engine.ask("DELETE", f"/images/{name}", force=1)


async def nothing(digest: str) -> bytes:
    raise AssertionError(f"{digest} was asked for")


async def test_a_missing_image_is_pulled_and_runs_by_its_digest(
    node_engine: Engine, order: Orders, pushed: str, docker_engine: RealEngine, cluster: str
) -> None:
    told: list[Progress] = []
    started = await node_engine.start(order(image=pushed), nothing, told.append)
    name, digest = started.found.image.split("@")
    assert name == pushed.rsplit(":", 1)[0]
    assert digest.startswith("sha256:")
    assert started.pulled_s > 0
    assert told[0] == Progress(pushed, 0, 0)
    docker_engine.clear(cluster)


async def test_an_image_that_is_there_is_not_pulled_again(node_engine: Engine, pushed: str) -> None:
    first = await node_engine.images.ready(pushed)
    told: list[Progress] = []
    again = await node_engine.images.ready(pushed, tell=told.append)
    assert (again.run, again.pulled_s, told) == (first.run, 0.0, [])


async def test_equal_pulls_are_one_pull(node_engine: Engine, pushed: str) -> None:
    told: list[Progress] = []
    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(
                lambda: node_engine.images.ready(pushed, pull="always", tell=told.append)
            )
    assert told.count(Progress(pushed, 0, 0)) == 1


async def test_many_that_want_one_image_at_once_look_twice_and_none_believes_an_older_look(
    node_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    look = images._look

    def counted(api: APIClient, image: str) -> dict[str, Any]:
        looks.append(image)
        return look(api, image)

    monkeypatch.setattr(images, "_look", counted)
    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(node_engine.images.ready, BUSYBOX)
    assert len(looks) in (1, 2)
    before = len(looks)
    await node_engine.images.ready(BUSYBOX)
    assert len(looks) == before + 1
    for _ in range(2):
        with pytest.raises(EngineError, match="load it first"):
            await node_engine.images.ready("none:1", pull="never")


async def test_a_tag_that_moved_is_pulled_when_the_policy_says_always(
    node_engine: Engine, pushed: str, registry: Registry, docker_engine: RealEngine
) -> None:
    before = await node_engine.images.ready(pushed)
    docker_engine.ask("DELETE", f"/images/{pushed}", force=1)
    changed = docker_engine.ask(
        "POST", "/containers/create", {"Image": "busybox:test", "Cmd": ["true"]}
    )
    docker_engine.ask("POST", "/commit", {}, container=changed["Id"], repo="moved", tag="1")
    docker_engine.ask("DELETE", f"/containers/{changed['Id']}")
    registry.push(docker_engine, "team/app:1", "moved:1")
    docker_engine.ask("DELETE", "/images/moved:1", force=1)
    after = await node_engine.images.ready(pushed, pull="always")
    assert after.run.split("@")[0] == before.run.split("@")[0]
    assert after.run != before.run


async def test_a_tag_the_registry_lacks_is_final_and_in_its_words(
    node_engine: Engine, pushed: str
) -> None:
    with pytest.raises(EngineError, match="manifest unknown") as refused:
        await node_engine.images.ready(f"{pushed}.2")
    assert (refused.value.kind, refused.value.final) == ("image", True)


async def test_a_registry_that_is_not_there_may_come_back(node_engine: Engine) -> None:
    with pytest.raises(EngineError, match="connection refused") as refused:
        await node_engine.images.ready("127.0.0.1:1/team/app:1")
    assert (refused.value.kind, refused.value.final) == ("image", False)


async def test_an_image_that_may_not_be_pulled_is_not(node_engine: Engine) -> None:
    with pytest.raises(EngineError, match="its pull policy is never") as refused:
        await node_engine.images.ready("127.0.0.1:1/team/app:1", pull="never")
    assert refused.value.final


async def test_a_loaded_image_runs_by_its_id(
    node_engine: Engine, docker_engine: RealEngine
) -> None:
    pinned = await node_engine.images.ready("busybox:test")
    assert pinned.run == docker_engine.load_busybox()


async def test_a_long_pull_tells_how_far_it_is(
    node_engine: Engine, pushed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "PROGRESS_EVERY_S", 0.0)
    told: list[Progress] = []
    await node_engine.images.ready(pushed, tell=told.append)
    assert len(told) > 1
    assert told[-1].done_bytes == told[-1].total_bytes


def test_what_layers_have_is_added_up() -> None:
    layers = Layers()
    assert layers.bytes == (0, 0)
    layers.fold({"status": "Pulling from app", "id": "1"})
    layers.fold({"status": "Downloading", "id": "a", "progressDetail": {"current": 5, "total": 9}})
    layers.fold({"status": "Downloading", "id": "b", "progressDetail": {"current": 1, "total": 4}})
    assert layers.bytes == (6, 13)
    layers.fold({"status": "Download complete", "id": "a", "progressDetail": {}})
    layers.fold({"status": "Extracting", "id": "a", "progressDetail": {"current": 1, "total": 3}})
    assert layers.bytes == (10, 13)
    layers.fold({"status": "Digest: sha256:0"})
    assert layers.bytes == (10, 13)
