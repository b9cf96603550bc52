"""Run the node runner as a process: one for each host; no logic but its order of starting."""

import argparse
import importlib.metadata
import os
import pathlib
import sys
import uuid

import anyio
import msgspec
from segue import asks
from segue.beats import NODE_BEAT_EVERY_S, NodeBeat
from segue.bus import Bus, BusError
from segue.events.node import NodeLeft
from segue.shell import command, per_node
from segue.shell.patience import patiently
from segue.shell.pump import Pump

from segue_node_runner import fence, hollow, policy, sampler
from segue_node_runner.actor import Actor
from segue_node_runner.core import NodeRunner, follows
from segue_node_runner.desk import Desk
from segue_node_runner.engine import Engine
from segue_node_runner.errors import EngineError
from segue_node_runner.fence import Fence
from segue_node_runner.lease import Holder
from segue_node_runner.memory import Memory
from segue_node_runner.policy import Policy
from segue_node_runner.sdk import Limits

REMEMBER_EVERY_S = 5.0


async def serve(bus: Bus, arguments: argparse.Namespace) -> None:
    """Serve on a connected bus until cancelled, then say that the node leaves."""
    node, session = arguments.node, uuid.uuid4().hex
    head = await patiently(bus, bus.head)
    memory = Memory(pathlib.Path(arguments.state) / node, head.cluster)
    head = await patiently(bus, lambda: bus.head(memory.kept))
    memory.check(head, await patiently(bus, lambda: bus.at(memory.last)))
    await patiently(
        bus, lambda: per_node.refuse_second(bus, asks.subject(node, "ping"), "runner", node)
    )
    engine = Engine(
        arguments.docker,
        runtime=pathlib.Path(arguments.runtime) / head.cluster / node,
        allowed=arguments.policy,
        limits=Limits(starts=arguments.starts) if arguments.starts else Limits(),
    )
    core = NodeRunner(node, session, dict(arguments.label))
    pump = Pump(core, bus, instance=node, leads=False, subjects=follows(node))
    files = fence.Files(pathlib.Path(arguments.fence), f"{head.cluster}.{node}")
    terms = await patiently(bus, bus.leases.terms)
    guard = Fence(bus.leases, node, Holder(session, terms, files.load()), files, pump.hear)
    actor = Actor(engine, lambda digest: _fetch(bus, digest), guard, pump.hear)
    pump.perform = actor.perform
    version = importlib.metadata.version("segue-node-runner")
    try:
        async with anyio.create_task_group() as tasks:
            await tasks.start(Desk(bus, engine, head.cluster, node, session).serve)
            tasks.start_soon(_beat, bus, node, session)
            tasks.start_soon(guard.run)
            tasks.start_soon(_remember, memory, pump)
            tasks.start_soon(sampler.run, bus, node, lambda: list(core.yard.there.values()))
            async with actor.watching(head.cluster, version):
                await guard.settled()
                await pump.run()
    finally:
        engine.calls.close()
        _keep(memory, pump)
        with anyio.move_on_after(per_node.LEAVE_TIMEOUT_S, shield=True):
            await _leave(core, pump)


async def _fetch(bus: Bus, digest: str) -> bytes:
    """Get a secret's or config's content."""
    try:
        content = await bus.get("files", digest)
    except BusError as error:
        raise EngineError("busy", f"the bus does not give file {digest}: {error}") from error
    if content is None:
        raise EngineError("invalid", f"the bus has no file {digest}: deploy the app again")
    return content


async def _beat(bus: Bus, node: str, session: str) -> None:
    beat = msgspec.json.encode(NodeBeat(node, session))
    while True:
        await bus.say(f"beat.node_runner.{node}", beat)
        await anyio.sleep(NODE_BEAT_EVERY_S)


async def _remember(memory: Memory, pump: Pump) -> None:
    while True:
        await anyio.sleep(REMEMBER_EVERY_S)
        _keep(memory, pump)


def _keep(memory: Memory, pump: Pump) -> None:
    machine = pump.machine
    memory.keep(machine.read_to, machine.core.picture.state.sequence, machine.mark)


async def _leave(core: NodeRunner, pump: Pump) -> None:
    me = core.picture.nodes.get(core.node)
    if me is None or me.facts.session != core.session or me.phase == "lost":
        return
    left, source = NodeLeft(node=core.node), f"/segue/node_runner/{core.node}"
    await per_node.say_left(pump, left, source, core.session, core.fence())


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value


def _policy(path: str) -> Policy:
    try:
        return policy.read(pathlib.Path(path))
    except policy.PolicyError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _flags() -> argparse.ArgumentParser:
    flags = command.parser("node_runner", "Makes one host's Docker engine follow the events.")
    per_node.node_flag(flags)
    flags.add_argument(
        "--docker",
        default=os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock",
        metavar="URL",
        help="the engine (default: DOCKER_HOST, or the socket in /var/run)",
    )
    flags.add_argument(
        "--label",
        type=_label,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="what constraints and preferences see as node.labels.KEY; may be repeated",
    )
    _folders(flags)
    flags.add_argument(
        "--policy",
        type=_policy,
        default=os.environ.get("SEGUE_NODE_POLICY") or policy.FILE,
        metavar="FILE",
        help=f"what this node allows (default: SEGUE_NODE_POLICY, or {policy.FILE})",
    )
    flags.add_argument(
        "--starts",
        type=int,
        default=0,
        metavar="N",
        help="how many containers start at once (default: twice the number of CPUs)",
    )
    flags.add_argument(
        "--engine",
        choices=("docker", "simulated"),
        default="docker",
        help="simulated: a hollow node, which runs nothing; for tests and benchmarks",
    )
    flags.add_argument(
        "--count", type=int, default=1, metavar="N", help="how many hollow nodes: NAME-1 to NAME-N"
    )
    return flags


def _folders(flags: argparse.ArgumentParser) -> None:
    flags.add_argument(
        "--runtime",
        default=per_node.folder("/run/segue", "XDG_RUNTIME_DIR", "/tmp"),  # noqa: S108 — a last resort.
        metavar="DIR",
        help="a folder in memory, for secrets (default: %(default)s)",
    )
    flags.add_argument(
        "--state",
        default=per_node.folder("/var/lib/segue/node", "XDG_STATE_HOME", "~/.local/state"),
        metavar="DIR",
        help="a folder on disk: how far the log was read (default: %(default)s)",
    )
    flags.add_argument(
        "--fence",
        default=os.environ.get("SEGUE_FENCE") or fence.FOLDER,
        metavar="DIR",
        help="the fencer's folder (default: SEGUE_FENCE, or %(default)s)",
    )


def main() -> None:
    """Run until stopped."""
    sys.exit(command.run("node_runner", _flags(), _serve, sys.argv[1:]))


async def _serve(bus: Bus, arguments: argparse.Namespace) -> None:
    chosen = hollow.serve if arguments.engine == "simulated" else serve
    await chosen(bus, arguments)


if __name__ == "__main__":
    main()
