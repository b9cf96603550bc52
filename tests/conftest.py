"""Fixtures for every kind of test."""

import json
import pathlib
import secrets
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import hypothesis
import pytest
import structlog
from segue.bus import Bus, Settings, connect
from segue.events.deploy import DeployRequested
from segue.spec import AppSpec, ServiceSpec
from segue.testing.engine import BUSYBOX, Engine, PrivateEngine, running_engine
from segue.testing.hosts import Hosts
from segue.testing.nats_cluster import NatsCluster
from segue.testing.nats_server import NatsServer
from segue.testing.stage import Stage
from segue_cli.compose import Loaded, load
from segue_cli.connect import BusFlags
from segue_deployer.core import Deployer
from segue_node_runner import engine as adapter
from segue_node_runner.effects import Start
from segue_node_runner.policy import Policy
from segue_node_runner.sdk import Limits
from segue_scheduler.core import Scheduler

# A machine under load is no failure; in CI hypothesis itself chooses a profile that repeats itself.
hypothesis.settings.register_profile("segue", deadline=None, print_blob=True)
if hypothesis.settings.get_current_profile_name() == "default":
    hypothesis.settings.load_profile("segue")

# A shell that runs the tests in the background has them ignore Ctrl-C, and all that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`pytest tests/benchmarks --smoke` keeps the benchmarks alive."""
    parser.addoption("--smoke", action="store_true", help="run each benchmark once, tiny")


def pytest_ignore_collect(collection_path: pathlib.Path, config: pytest.Config) -> bool | None:
    """Leave the benchmarks out of every other run."""
    is_one = collection_path.name == "benchmarks" and not config.getoption("--smoke")
    return True if is_one else None


@pytest.fixture
def anyio_backend() -> str:
    """The bus's client knows asyncio only."""
    return "asyncio"


@pytest.fixture
def nats(tmp_path: pathlib.Path) -> Iterator[NatsServer]:
    """A fresh bus server with an empty store."""
    with NatsServer(tmp_path / "nats") as server:
        yield server


@pytest.fixture
async def bus(nats: NatsServer) -> AsyncIterator[Bus]:
    """A connection to that server with the log and the buckets made."""
    async with await connect(Settings(url=nats.url), name="test") as bus:
        await bus.set_up()
        yield bus


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """Three hosts, each with an engine of its own."""
    with Hosts(3, tmp_path_factory.mktemp("hosts")) as hosts:
        yield hosts


@pytest.fixture(scope="module")
def servers(
    request: pytest.FixtureRequest, hosts: Hosts, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NatsCluster]:
    """A bus of a server on each host, with the options that the module names in `BUS_OPTIONS`."""
    options = getattr(request.module, "BUS_OPTIONS", ())
    with NatsCluster(hosts, tmp_path_factory.mktemp("bus"), options=options) as servers:
        yield servers


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[Engine]:
    """A real Docker engine with the image `busybox:test`, one for each worker."""
    with running_engine() as engine:
        yield engine


@pytest.fixture
def faulty_engine(docker_engine: Engine) -> Iterator[PrivateEngine]:
    """The same engine for tests that kill or freeze it; whole again afterwards."""
    if not isinstance(docker_engine, PrivateEngine):
        pytest.skip("SEGUE_TEST_ENGINE names an engine that others use")
    yield docker_engine
    docker_engine.restore()


@pytest.fixture
def cluster(docker_engine: Engine) -> Iterator[str]:
    """A cluster's name of one's own; whatever bears it on the engine is removed afterwards."""
    name = f"test-{secrets.token_hex(4)}"
    yield name
    if isinstance(docker_engine, PrivateEngine):
        docker_engine.restore()  # A frozen engine removes nothing.
    docker_engine.clear(name)


@pytest.fixture
def node_engine(docker_engine: Engine, tmp_path: pathlib.Path) -> adapter.Engine:
    """The node runner's adapter to the real engine; its policy allows everything."""
    limits = Limits(quick_s=15.0)  # Its own, 3 s, are for hosts that do not run tests.
    allowed = Policy(everything=True)
    return adapter.Engine(docker_engine.url, runtime=tmp_path, allowed=allowed, limits=limits)


@pytest.fixture
def order(cluster: str) -> Callable[..., Start]:
    """Make an order for a container of `shop`; what is not named is a busybox that sleeps."""

    def make(
        command: list[str] | None = None,
        *,
        service: str = "web",
        slot: int = 1,
        attempt: int = 1,
        app: dict[str, Any] | None = None,
        container: dict[str, Any] | None = None,
        **runs: Any,
    ) -> Start:
        body = {"Cmd": command or ["sleep", "1000"]} | (container or {})
        spec = ServiceSpec(**{"image": BUSYBOX, "container": body} | runs)
        return Start(
            app="shop",
            service=service,
            slot=slot,
            attempt=attempt,
            cluster=cluster,
            node="node-a",
            revision=1,
            digest="0123456789ab",
            spec=AppSpec(services={service: spec}, **(app or {})),
            cause="cause-id",
            correlation="correlation-id",
        )

    return make


@pytest.fixture
def compose_load(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Loaded]:
    """Load an app from files written into an empty folder, which is the working folder."""
    monkeypatch.chdir(tmp_path)

    def loaded(
        files: Mapping[str, str | bytes],
        *names: str,
        environ: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Loaded:
        for name, content in files.items():
            target = tmp_path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content if isinstance(content, bytes) else content.encode())
        paths = [pathlib.Path(name) for name in names or ("compose.yaml",)]
        return load(paths, environ=environ or {}, **{"app": "shop", **options})

    return loaded


@pytest.fixture
def log_settings() -> Iterator[None]:
    """Commands quieten the log of their process: not that of other tests."""
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.fixture
def flags(nats: NatsServer, log_settings: None) -> BusFlags:
    """How a command is told of the bus."""
    return BusFlags(nats=nats.url)


@pytest.fixture
async def told(bus: Bus) -> Stage:
    """A cluster of two nodes that runs a shop of three slots; the bus has its log."""
    stage = Stage(Deployer(), Scheduler())
    stage.join("node-a", "node-b")
    web = {"web": {"image": "web:1", "scale": 3}}
    stage.ask(DeployRequested(app="shop", compose={"services": web}))
    stage.later(30)
    await stage.publish(bus)
    return stage


@pytest.fixture
def output(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[Any]]:
    """Give what commands have printed, line by line."""
    return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]
