"""What a gateway is told when it starts: its flags, and what follows from them for this host.

Where nothing is said, the address is the one from which this host reaches the bus; on a host that
reaches it over its own loopback there is none, and so there is no mesh.
"""

import argparse
import ipaddress
import os
import pathlib
import socket
import subprocess
import urllib.parse

from segue.bus import settings
from segue.shell import command, per_node

from segue_gateway.render import Setting
from segue_gateway.vips import POOL

OWN = "segue/gateway"

DEFAULT_BUS_PORT = 4222


def flags() -> argparse.ArgumentParser:
    """Make the flags."""
    made = command.parser("gateway", "Leads to the containers of services, on one host.")
    per_node.node_flag(made)
    made.add_argument(
        "--address",
        metavar="ADDRESS",
        help="where other nodes' gateways reach this one (default: where this host reaches the bus "
        "from)",
    )
    made.add_argument("--mesh-port", type=int, default=7443, metavar="PORT")
    made.add_argument(
        "--mesh",
        choices=("mtls", "plain"),
        default="mtls",
        help="plain: between nodes all is encrypted, but nobody's certificate is asked: for a "
        "network that you trust",
    )
    made.add_argument(
        "--certificate", metavar="FILE", help="this node's certificate and key, as PEM in one file"
    )
    made.add_argument("--authority", metavar="FILE", help="who signs nodes' certificates, as PEM")
    made.add_argument("--http-port", type=int, default=80, metavar="PORT")
    made.add_argument("--https-port", type=int, default=443, metavar="PORT")
    made.add_argument(
        "--pool",
        type=ipaddress.IPv4Network,
        default=POOL,
        metavar="NETWORK",
        help="what services' virtual addresses are taken from (default: %(default)s)",
    )
    made.add_argument(
        "--keep",
        action="store_true",
        help="leave the proxy at work when stopped: a restart then cuts no connection",
    )
    made.add_argument(
        "--check",
        action="store_true",
        help="only tell what a gateway could not do on this host, and what would help",
    )
    _folders(made)
    return made


def _folders(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--runtime",
        default=per_node.folder("/run/segue/gateway", "XDG_RUNTIME_DIR", "/tmp", OWN),  # noqa: S108 — last resort.
        metavar="DIR",
        help="a folder in memory: the proxy's files and sockets (default: %(default)s)",
    )
    made.add_argument(
        "--state",
        default=per_node.folder("/var/lib/segue/gateway", "XDG_STATE_HOME", "~/.local/state", OWN),
        metavar="DIR",
        help="a folder on disk: what was done last (default: %(default)s)",
    )


def setting(arguments: argparse.Namespace, folder: pathlib.Path) -> Setting:
    """Say what the proxy is told besides tables; make what a plain mesh shows for a certificate."""
    folder.mkdir(parents=True, exist_ok=True)
    certificate, authority = arguments.certificate or "", arguments.authority or ""
    if arguments.mesh == "plain":
        certificate, authority = str(_made(folder)), ""
    elif not authority:
        certificate = ""
    return Setting(
        folder=str(folder),
        certificate=certificate,
        authority=authority,
        http_port=arguments.http_port,
        https_port=arguments.https_port,
        as_nobody=os.geteuid() == 0,
    )


def _made(folder: pathlib.Path) -> pathlib.Path:
    place = folder / "plain.pem"
    if not place.exists():
        new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650")
        command = ["openssl", "req", "-x509", *new, "-subj", "/CN=segue", "-keyout", "-"]
        done = subprocess.run(command, check=True, capture_output=True)
        place.write_bytes(done.stdout)
    return place


def limits(arguments: argparse.Namespace) -> list[str]:
    """Tell what the flags keep it from. A bus of this host alone has no other nodes."""
    if arguments.mesh != "mtls" or (arguments.certificate and arguments.authority):
        return []
    if arguments.address or _own_address(arguments):
        words = "it has no certificate, so containers of other nodes are not reached: "
        return [words + "give it --certificate and --authority, or --mesh plain on every node"]
    return []


def address(arguments: argparse.Namespace) -> str:
    """Give where other nodes reach this gateway; nothing where they could not."""
    if limits(arguments):
        return ""
    return str(arguments.address) if arguments.address is not None else _own_address(arguments)


def _own_address(arguments: argparse.Namespace) -> str:
    chosen = settings(url=arguments.nats)
    at = urllib.parse.urlsplit(chosen.shown_url.split(",")[0])
    try:
        [(family, _, _, _, where), *_] = socket.getaddrinfo(
            at.hostname, at.port or DEFAULT_BUS_PORT, type=socket.SOCK_DGRAM
        )
        with socket.socket(family, socket.SOCK_DGRAM) as asking:
            asking.connect(where)
            own = str(asking.getsockname()[0])
    except OSError:
        return ""
    return "" if ipaddress.ip_address(own).is_loopback else own
