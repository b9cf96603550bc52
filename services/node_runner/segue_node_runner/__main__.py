"""Run the node runner as a process: one for each host; no logic but its order of starting."""

import argparse
import importlib.metadata
import pathlib
import socket
import sys
import uuid

import anyio
import msgspec
import structlog
from segue.beats import NODE_BEAT_EVERY_S, NodeBeat
from segue.bus import Bus, BusError, BusTimeoutError, NobodyAnswersError
from segue.envelope import encode
from segue.events.node import NodeLeft
from segue.ids import derived, is_token, token
from segue.shell import command
from segue.shell.pump import Pump

from segue_node_runner import policy
from segue_node_runner.actor import Actor
from segue_node_runner.core import NodeRunner, follows
from segue_node_runner.desk import Desk
from segue_node_runner.engine import Engine

PING_TIMEOUT_S = 2.0
LEAVE_TIMEOUT_S = 2.0


class NameTakenError(BusError):
    """A runner is at work under this node's name already."""


async def serve(bus: Bus, arguments: argparse.Namespace) -> None:
    """Serve on a connected bus until cancelled, then say that the node leaves."""
    node, session = arguments.node, uuid.uuid4().hex
    await _refuse_second(bus, node)
    allowed = policy.read(pathlib.Path(arguments.policy))
    engine = Engine(
        arguments.docker, runtime=pathlib.Path(arguments.runtime) / node, allowed=allowed
    )
    core = NodeRunner(node, session, dict(arguments.label))
    pump = Pump(core, bus, instance=node, leads=False, subjects=follows(node))

    async def fetch(digest: str) -> bytes:
        content = await bus.get("files", digest)
        if content is None:
            raise FileNotFoundError(f"the bus has no file {digest}: deploy the app again")
        return content

    actor = Actor(engine, fetch, pump.hear)
    pump.perform = actor.perform
    cluster = (await bus.head()).cluster
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(Desk(bus, engine, node, session).serve)
            tasks.start_soon(_beat, bus, node, session)
            pump.hear(await actor.first_facts(importlib.metadata.version("segue-node-runner")))
            async with actor.watching(cluster):
                await pump.run()
    finally:
        with anyio.move_on_after(LEAVE_TIMEOUT_S, shield=True):
            await _leave(bus, core)


async def _refuse_second(bus: Bus, node: str) -> None:
    try:
        answer = await bus.ask(f"rpc.node.{node}.ping", timeout_s=PING_TIMEOUT_S)
    except NobodyAnswersError:
        return
    except BusTimeoutError:
        structlog.get_logger("segue").warning("an older runner of this node hangs; it is replaced")
        return
    session = msgspec.json.decode(answer, type=NodeBeat).session
    raise NameTakenError(
        f"a runner is at work on node {node} already (session {session[:8]}): "
        "stop it, or give this one another name with --node"
    )


async def _beat(bus: Bus, node: str, session: str) -> None:
    beat = msgspec.json.encode(NodeBeat(node, session))
    while True:
        await bus.say(f"beat.node_runner.{node}", beat)
        await anyio.sleep(NODE_BEAT_EVERY_S)


async def _leave(bus: Bus, core: NodeRunner) -> None:
    me = core.picture.nodes.get(core.node)
    if me is None or me.facts.session != core.session:
        return
    event = NodeLeft(node=core.node)
    source = f"/segue/node_runner/{core.node}"
    left = encode(event, id=derived("left", core.session), source=source, time=me.joined_at)
    await bus.append([left], core.fence())


def _label(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return key, value


def _node(text: str) -> str:
    if not is_token(text):
        raise argparse.ArgumentTypeError(f"{text!r}: at most 63 of a-z, 0-9, - and _ are allowed")
    return text


def main() -> None:
    """Run until stopped."""
    flags = command.parser("node_runner", "Makes one host's Docker engine follow the events.")
    flags.add_argument("--node", type=_node, default=token(socket.gethostname()), metavar="NAME")
    flags.add_argument("--docker", default="unix:///var/run/docker.sock", metavar="URL")
    flags.add_argument(
        "--label",
        type=_label,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="what constraints and preferences see as node.labels.KEY; may be repeated",
    )
    flags.add_argument("--runtime", default="/run/segue", help="a folder in memory, for secrets")
    flags.add_argument("--policy", default=policy.FILE, help="what this node allows containers")
    sys.exit(command.run("node_runner", flags, serve, sys.argv[1:]))


if __name__ == "__main__":
    main()
