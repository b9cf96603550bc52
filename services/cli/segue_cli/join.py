"""Make a host run containers: node runner, fencer and gateway, one of each, with their keys.

It looks first whether the bus is reached and the name is free, and writes nothing otherwise.
"""

import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter
from segue import asks
from segue.bus import Bus, BusError, BusTimeoutError, NobodyAnswersError, connect, settings
from segue.ids import is_token, token

from segue_cli import installing
from segue_cli.connect import host, quiet
from segue_cli.errors import FailedError, InvalidError, UnreachableError
from segue_cli.installing import CONFIGURATION, UNITS
from segue_cli.invitation import Invitation, read
from segue_cli.server import Dir, Start, Units, client_files

FENCE = Path("/run/segue/fence")
PROGRAMS = ("segue-fencer", "segue-gateway", "segue-node-runner")  # In the order of their start.
GATEWAY = PROGRAMS[1]
CHECKED_WITHIN_S = 20.0
ASKED_WITHIN_S = 3.0
POLICY = """\
# What containers may do on this node; the defaults allow nothing that reaches the host.
# Read at every start of the node runner. Take the # off what is to be allowed.
# binds = ["/srv"]             # folders of the host that may be mounted
# privileged = true
# devices = ["/dev/dri"]
# namespaces = ["network"]     # of the host: network, pid, ipc, uts, userns, cgroup
"""


Serves = Annotated[
    bool,
    Parameter(
        negative="--no-gateway", help="Serve names, addresses and published ports (default)."
    ),
]


class Wanted(msgspec.Struct, frozen=True):
    """What the node is to be, and how it reaches the bus."""

    given: Invitation | None
    url: str
    credentials: Path | None
    node: str
    labels: tuple[str, ...]


async def join(
    *,
    invitation: Annotated[
        str | None,
        Parameter(
            "--token",
            allow_leading_hyphen=True,
            help="What `segue server token` printed; @FILE, or - for standard input.",
        ),
    ] = None,
    server: Annotated[
        str | None, Parameter(help="URL of the bus (default: as the token says).")
    ] = None,
    credentials: Annotated[
        Path | None, Parameter(help="A .creds file, for a bus that wants one instead of a token.")
    ] = None,
    name: Annotated[
        str | None, Parameter(help="The node's name (default: the token's, else the host's).")
    ] = None,
    label: Annotated[
        tuple[str, ...],
        Parameter(help="KEY=VALUE that placement constraints see; repeatable."),
    ] = (),
    gateway: Serves = True,
    folder: Dir = CONFIGURATION,
    units: Units = UNITS,
    start: Start = True,
) -> None:
    """Make this host a node: one node runner, one fencer, one gateway.

    What is there is kept: run twice, it changes nothing.
    """
    folder, units = folder.absolute(), units.absolute()
    programs = {one: installing.program(one) for one in PROGRAMS if gateway or one != GATEWAY}
    wanted = None
    if not (folder / "node.env").exists():
        wanted = _wanted(invitation, server, credentials, name, label)
        await _may_join(wanted)
    _prepare(wanted, programs, folder, units)
    if installing.supervised(units) and start:
        installing.start([one for one in programs if one != GATEWAY], GATEWAY if gateway else "")
        print("`segue node ls` shows the node")
    else:
        installing.by_hand(_commands(programs, folder))
    if gateway:
        _check_gateway(programs[GATEWAY])


def _prepare(wanted: Wanted | None, programs: dict[str, Path], folder: Path, units: Path) -> None:
    """Lay down what is private, unless that is there, and the units."""
    together = _files(wanted, folder) if wanted else {}
    each = {
        units / f"{one}.service": installing.unit(f"{one}.service", programs, folder)
        for one in programs
    }
    laid = installing.lay(together, {folder / "node-policy.toml": POLICY, **each})
    installing.report(laid, f"this node ({folder})")


def _wanted(
    invitation: str | None,
    server: str | None,
    credentials: Path | None,
    name: str | None,
    labels: tuple[str, ...],
) -> Wanted:
    given = read(invitation, "node") if invitation is not None else None
    url = server or (given.url if given else "")
    if not url:
        raise InvalidError(
            "there is neither a token nor a server",
            "`segue server token NAME` on the control host prints a token",
        )
    node = name or (given.name if given else token(socket.gethostname()))
    if not is_token(node):
        raise InvalidError(f"{node!r}: at most 63 of a-z, 0-9, - and _ are allowed in a name")
    for label in labels:
        key, equals, _ = label.partition("=")
        if not key or not equals or any(one.isspace() or one in "'\"" for one in label):
            raise InvalidError(f"{label!r} is not KEY=VALUE without spaces and quotes")
    return Wanted(given, url, credentials, node, labels)


def _files(wanted: Wanted, folder: Path) -> dict[Path, str]:
    """Give what is private on a node."""
    flags = " ".join(f"--label {label}" for label in wanted.labels)
    own = [
        f"SEGUE_NODE={wanted.node}",
        f"SEGUE_NODE_FLAGS='{flags}'",
        f"SEGUE_NODE_POLICY={folder / 'node-policy.toml'}",
        f"SEGUE_FENCE={FENCE}",
    ]
    keys, env = folder / "node", folder / "node.env"
    mesh = keys / "mesh.key"  # Certificate and key in one file, as HAProxy reads them.
    if wanted.given is not None:
        own.append(f"SEGUE_GATEWAY_FLAGS='--certificate {mesh} --authority {keys / 'ca.pem'}'")
    more = "".join(f"{line}\n" for line in own)
    if wanted.given is not None:
        given = msgspec.structs.replace(wanted.given, url=wanted.url)
        pair = given.client_certificate + given.client_key
        return {mesh: pair, **client_files(given, keys, env, more)}
    if wanted.credentials is None:
        return {env: f"NATS_URL={wanted.url}\n{more}"}
    file = keys / "bus.creds"
    return {
        file: _read(wanted.credentials),
        env: f"NATS_URL={wanted.url}\nNATS_CREDS={file}\n{more}",
    }


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidError(f"{file} cannot be read: {error}") from error


async def _may_join(wanted: Wanted) -> None:
    """Reach the bus as the runner will, and see that nobody else has the name."""
    quiet()
    with _borrowed(wanted.given) as files:
        creds = str(wanted.credentials) if wanted.credentials else None
        chosen = settings({}, url=wanted.url, creds=creds, **files)
        try:
            bus = await connect(chosen, name=f"join.{host()}", wait=False)
        except BusError as error:
            hint = "nothing was written; is the bus reached from here, and is the token its own?"
            raise UnreachableError(str(error).partition("; is it running?")[0], hint) from error
        async with bus:
            await _refuse_second(bus, wanted.node)


@contextmanager
def _borrowed(given: Invitation | None) -> Iterator[dict[str, str]]:
    """Give an invitation's keys as files, for as long as the block lasts."""
    if given is None:
        yield {}
        return
    texts = {"ca": given.ca, "cert": given.client_certificate, "key": given.client_key}
    with tempfile.TemporaryDirectory() as place:  # Only its owner may look into it.
        files = {name: Path(place, name) for name in texts}
        for name, file in files.items():
            file.write_text(texts[name], encoding="utf-8")
        paths = {name: str(file) for name, file in files.items()}
        yield paths | {"user": given.user, "password": given.password}


async def _refuse_second(bus: Bus, node: str) -> None:
    try:
        await bus.ask(asks.subject(node, "ping"), timeout_s=ASKED_WITHIN_S)
    except NobodyAnswersError:
        return
    except BusTimeoutError:
        pass
    raise FailedError(
        f"a runner is at work on a node called {node} already: nothing was written",
        "give this node another name with --name, or stop the other",
    )


def _check_gateway(program: Path) -> None:
    """Say what the gateway will not be able to do on this host."""
    try:
        done = subprocess.run(
            [program, "--check"],
            check=False,
            capture_output=True,
            text=True,
            timeout=CHECKED_WITHIN_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"note: what the gateway lacks here is not known: {error}", file=sys.stderr)
        return
    for line in done.stdout.splitlines():
        print(f"note: gateway: {line}", file=sys.stderr)


def _commands(programs: dict[str, Path], folder: Path) -> list[str]:
    env = f"set -a; . {folder}/node.env"
    flags = {
        "segue-gateway": ' --node "$SEGUE_NODE" $SEGUE_GATEWAY_FLAGS',
        "segue-node-runner": ' --node "$SEGUE_NODE" $SEGUE_NODE_FLAGS',
    }
    return [f"({env}; exec {path}{flags.get(one, '')}) &" for one, path in programs.items()]
