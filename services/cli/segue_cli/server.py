"""Prepare a control host: the bus with its keys, and the services that decide.

    segue server init                                 one control host
    segue server init --name a --peers a=10.0.0.1,…   the first of three; tokens for the others
    segue server init --token @b.token                another of them
    segue server token NAME                           what a node needs to join

Keys are made once, here; nothing that is there is ever overwritten.
"""

import json
import re
import secrets
import shutil
import socket
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from segue.bridges import DOMAIN
from segue.bus import find_server
from segue.ids import is_token, token

from segue_cli import authority, installing
from segue_cli.authority import Pair
from segue_cli.errors import FailedError, InvalidError
from segue_cli.installing import CONFIGURATION, UNITS
from segue_cli.invitation import Invitation, read, written

STORE = Path("/var/lib/segue-bus")
DECIDERS = ("deployer", "scheduler", "health-monitor", "autoscaler")
BUS_BYTES_LEAST, BUS_BYTES_MOST = 5 << 30, 16 << 30  # The log alone is 4 GiB.
_CONF = ("tls.conf", "encryption.conf", "accounts.conf")
_USER = "segue"
_ADDRESS = re.compile(r"[A-Za-z0-9_.-]+|[0-9A-Fa-f:.]+")
_NOBODY = """\
# Nobody of its own, who can write nowhere but in /var/lib/segue-bus.
DynamicUser=yes
StateDirectory=segue-bus
StateDirectoryMode=0700
"""

Dir = Annotated[
    Path, Parameter("--dir", show_default=True, help="Where configuration and keys go.")
]
Units = Annotated[Path, Parameter(show_default=True, help="Where systemd's units go.")]
Addresses = Annotated[
    tuple[str, ...],
    Parameter(help="How others reach this host; repeatable (default: name and first address)."),
]
Start = Annotated[
    bool,
    Parameter(
        negative="--no-start", help="Start it where systemd runs (default), now and at boot."
    ),
]


async def init(
    *,
    folder: Dir = CONFIGURATION,
    name: Annotated[
        str | None, Parameter(help="This bus server's name (default: the host's).")
    ] = None,
    address: Addresses = (),
    peers: Annotated[
        str | None,
        Parameter(help="The three control hosts, NAME=ADDRESS,…, this one among them."),
    ] = None,
    invitation: Annotated[
        str | None,
        Parameter(
            "--token",
            allow_leading_hyphen=True,
            help="Be one of three: what the first one made; @FILE, or - for stdin.",
        ),
    ] = None,
    store: Annotated[
        Path, Parameter(show_default=True, help="Where the bus keeps the log.")
    ] = STORE,
    units: Units = UNITS,
    start: Start = True,
) -> None:
    """Prepare a control host: bus, keys, services.

    The bus speaks TLS, asks clients for a certificate and a password, and encrypts its store. What
    is there is kept: run twice, it changes nothing.
    """
    folder, units, store = folder.absolute(), units.absolute(), store.absolute()
    _check(name, address)
    programs = {f"segue-{one}": installing.program(f"segue-{one}") for one in DECIDERS}
    programs["nats-server"] = find_server()
    together: dict[Path, str] = {}
    if (folder / "bus").exists():
        installing.whole(folder / "bus/server.env", folder / "segue.env")
    elif invitation is not None:
        together = _files(read(invitation, "server"), folder, store)
    else:
        own, further = _founded(folder, name or token(socket.gethostname()), address, peers)
        together = further | _files(own, folder, store)
    laid = installing.lay(together, _units(programs, folder, units, store))
    installing.report(laid, f"this control host ({folder})")
    if installing.supervised(units) and start:
        installing.start(["segue-bus", *(f"segue-{name}" for name in DECIDERS)])
    else:
        installing.by_hand(_commands(programs, folder, store))
    _next_steps(folder, laid.wrote)


def _check(name: str | None, address: tuple[str, ...]) -> None:
    """Refuse what would stand in certificates and configuration and mean nothing."""
    if name is not None and not is_token(name):
        raise InvalidError(
            f"--name {name!r} is no name of a server", "at most 63 of a-z, 0-9, - and _"
        )
    for one in address:
        if not _ADDRESS.fullmatch(one):
            raise InvalidError(
                f"--address {one!r} is no address", "write an IP address or a host's name"
            )


def _founded(
    folder: Path, name: str, address: tuple[str, ...], peers: str | None
) -> tuple[Invitation, dict[Path, str]]:
    """Make the authority and what each control host gets: one's own, and files with the rest."""
    hosts = _peers(peers) if peers else {name: [*(address or _addresses(name))]}
    if name not in hosts:
        raise InvalidError(f"--peers does not name this host, {name}", "give --name, as in --peers")
    hosts[name] += [one for one in address if one not in hosts[name]]
    root = authority.founded("segue bus")
    password, system_password = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    url = ",".join(f"tls://{_host(where[0])}:4222" for where in hosts.values())
    routes = [f"nats://{_host(where[0])}:6222" for where in hosts.values()]
    made = {}
    for one, where in hosts.items():
        server = authority.issued(root, one, [*where, one, "localhost", "127.0.0.1"])
        client = authority.issued(root, f"control {one}")
        made[one] = Invitation(
            kind="server",
            name=one,
            url=url,
            ca=root.certificate,
            client_certificate=client.certificate,
            client_key=client.key,
            user=_USER,
            password=password,
            server_certificate=server.certificate,
            server_key=server.key,
            system_password=system_password,
            routes=routes if len(hosts) > 1 else [],
        )
    further = {folder / "authority/ca.key": root.key, folder / "authority/ca.pem": root.certificate}
    others = {one: it for one, it in made.items() if one != name}
    return made[name], further | {
        folder / f"peers/{one}.token": written(it) + "\n" for one, it in others.items()
    }


def _peers(text: str) -> dict[str, list[str]]:
    hosts: dict[str, list[str]] = {}
    for word in text.split(","):
        name, _, address = word.strip().partition("=")
        if not (is_token(name) and _ADDRESS.fullmatch(address)) or name in hosts:
            raise InvalidError(
                f"--peers has {word.strip()!r}, which is not NAME=ADDRESS or there twice",
                "write --peers a=10.0.0.1,b=10.0.0.2,c=10.0.0.3",
            )
        hosts[name] = [address]
    if len(hosts) != 3:
        raise InvalidError(
            f"--peers names {len(hosts)}: a bus has one server or three",
            "two bear no more than one does; leave --peers out for one",
        )
    return hosts


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _addresses(name: str) -> list[str]:
    """Give how others reach this host: the address it has towards the network, and its name."""
    found = []
    for family, far in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as one:
                one.connect((far, 9))  # Nothing is sent: the kernel only chooses the way.
                found.append(str(one.getsockname()[0]))
        except OSError:
            continue
    return [*found, socket.gethostname()] if found else [socket.gethostname(), name]


def _files(it: Invitation, folder: Path, store: Path) -> dict[Path, str]:
    """Give all that is private on a control host."""
    bus = folder / "bus"
    return {
        bus / "server.conf": _server_conf(in_cluster=bool(it.routes)),
        **({bus / "cluster.conf": _cluster_conf()} if it.routes else {}),
        **{bus / name: installing.shipped("nats", name) for name in _CONF},
        **(
            {bus / "routes-tls.conf": installing.shipped("nats", "routes-tls.conf")}
            if it.routes
            else {}
        ),
        bus / "server.env": _server_env(it, bus, store),
        bus / "ca.pem": it.ca,
        bus / "server.pem": it.server_certificate,
        bus / "server.key": it.server_key,
        **client_files(it, folder, folder / "segue.env"),
    }


def client_files(it: Invitation, keys: Path, env: Path, more: str = "") -> dict[Path, str]:
    """Give what any service on a host needs to reach the bus."""
    variables = {
        "NATS_URL": it.url,
        "NATS_CA": keys / "ca.pem",
        "NATS_CERT": keys / "client.pem",
        "NATS_KEY": keys / "client.key",
        "NATS_USER": it.user,
        "NATS_PASSWORD": it.password,
    }
    return {
        keys / "ca.pem": it.ca,
        keys / "client.pem": it.client_certificate,
        keys / "client.key": it.client_key,
        env: "".join(f"{key}={value}\n" for key, value in variables.items()) + more,
    }


def _server_conf(*, in_cluster: bool) -> str:
    text = installing.shipped("nats", "server.conf")
    for name in _CONF:
        text = text.replace(f'# include "{name}"', f'include "{name}"')
    return text if in_cluster else text.replace('include "cluster.conf"\n\n', "")


def _cluster_conf() -> str:
    text = installing.shipped("nats", "cluster.conf")
    return text.replace('# include "routes-tls.conf"', 'include "routes-tls.conf"')


def _server_env(it: Invitation, bus: Path, store: Path) -> str:
    free = shutil.disk_usage(next(one for one in (store, *store.parents) if one.exists())).free
    quoted = {
        "SEGUE_BUS_STORE": str(store),
        "SEGUE_BUS_CA": str(bus / "ca.pem"),
        "SEGUE_BUS_CERT": str(bus / "server.pem"),
        "SEGUE_BUS_KEY": str(bus / "server.key"),
        "SEGUE_BUS_STORE_KEY": secrets.token_hex(32),
        "SEGUE_BUS_PASSWORD": it.password,
        "SEGUE_BUS_SYS_PASSWORD": it.system_password,
    }
    lines = [
        f"SEGUE_BUS_NAME={it.name}",
        f"SEGUE_BUS_BYTES={max(BUS_BYTES_LEAST, min(BUS_BYTES_MOST, free // 2))}",
        f"SEGUE_BUS_ROUTES='{json.dumps(it.routes)}'",
        *(f"{name}='{json.dumps(value)}'" for name, value in quoted.items()),
    ]
    return "\n".join(lines) + "\n"


def _units(programs: dict[str, Path], folder: Path, units: Path, store: Path) -> dict[Path, str]:
    names = {f"segue-{name}.service": "" for name in ("bus", *DECIDERS)}
    names |= {f"segue-{name}@.service": "segue-further@.service" for name in DECIDERS}
    made = {
        units / name: installing.unit(name, programs, folder, source)
        for name, source in names.items()
    }
    if store != STORE:  # systemd makes folders below /var/lib only; elsewhere it is root's.
        bus = units / "segue-bus.service"
        made[bus] = made[bus].replace(_NOBODY, f"ReadWritePaths={store}\n")
    return made


def _commands(programs: dict[str, Path], folder: Path, store: Path) -> list[str]:
    bus = folder / "bus"
    commands = [
        f"mkdir -p {store}",
        f"(set -a; . {bus}/server.env; exec {programs['nats-server']} -c {bus}/server.conf) &",
    ]
    return commands + [
        f"(set -a; . {folder}/segue.env; exec {programs[f'segue-{name}']}) &" for name in DECIDERS
    ]


def _next_steps(folder: Path, wrote: list[Path]) -> None:
    tokens = [path for path in wrote if path.suffix == ".token"]
    if tokens:
        print("\nThe other control hosts, each with its own token (a secret; delete it then):\n")
    for path in tokens:
        print(f"  segue server init --token @{path.name}   # {path}")
    print("\nThe command line reaches this bus with:  set -a; . " + f"{folder}/segue.env")
    if (folder / "authority").exists():
        place = "" if folder == CONFIGURATION else f" --dir {folder}"
        print(f"A host that is to run containers:        segue server token NAME{place}")


def token_for(
    name: Annotated[str, Parameter(help="The node's name.")], /, *, folder: Dir = CONFIGURATION
) -> None:
    """Print what a host needs to join as a node. It is one line, and a secret."""
    if not is_token(name):
        raise InvalidError(f"{name!r}: at most 63 of a-z, 0-9, - and _ are allowed")
    root = _authority(folder)
    known = dict(
        line.split("=", 1)
        for line in (folder / "segue.env").read_text().splitlines()
        if "=" in line
    )
    client = authority.issued(
        root, f"node {name}", [f"*.{name}.node.{DOMAIN}"]
    )  # Its gateway's too.
    invitation = Invitation(
        kind="node",
        name=name,
        url=known["NATS_URL"],
        ca=root.certificate,
        client_certificate=client.certificate,
        client_key=client.key,
        user=known["NATS_USER"],
        password=known["NATS_PASSWORD"],
    )
    print(written(invitation))


def _authority(folder: Path) -> Pair:
    try:
        return Pair(
            (folder / "authority/ca.pem").read_text(), (folder / "authority/ca.key").read_text()
        )
    except OSError as error:
        raise FailedError(
            f"{error.filename} cannot be read: {error.strerror}",
            "run it as root on the control host where `segue server init` ran first",
        ) from error
