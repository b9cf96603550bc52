"""The bus's own certificate authority: one that signs, and certificates for servers and clients.

The `openssl` command makes them, in a folder that is gone afterwards. Whoever holds the authority's
key can let hosts onto the bus; it stays on the first control host.
"""

import ipaddress
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

import msgspec

from segue_cli.errors import FailedError

_NEW = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
_DAYS = ("-days", "3650")


class Pair(msgspec.Struct, frozen=True):
    """A certificate and its key, as PEM."""

    certificate: str
    key: str


def founded(name: str) -> Pair:
    """Make an authority."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
        files = ("-keyout", "key.pem", "-out", "certificate.pem")
        _openssl(folder, "req", "-x509", *_NEW, *_DAYS, *files, "-subj", f"/CN={name}", *usage)
        return _read(folder)


def issued(authority: Pair, name: str, addresses: Iterable[str] = ()) -> Pair:
    """Make a certificate: of a server that is reached at `addresses`, else of a client."""
    reached = ",".join(_alternative(address) for address in dict.fromkeys(addresses))
    uses = "serverAuth,clientAuth" if reached else "clientAuth"
    extensions = f"basicConstraints=critical,CA:FALSE\nextendedKeyUsage={uses}\n"
    if reached:
        extensions += f"subjectAltName={reached}\n"
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "ca.pem").write_text(authority.certificate)
        (folder / "ca.key").write_text(authority.key)
        (folder / "extensions").write_text(extensions)
        files = ("-keyout", "key.pem", "-out", "request.pem")
        _openssl(folder, "req", *_NEW, *files, "-subj", f"/CN={name}")
        signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", *_DAYS)
        made = ("-in", "request.pem", "-out", "certificate.pem", "-extfile", "extensions")
        _openssl(folder, "x509", "-req", *signing, *made)
        return _read(folder)


def _alternative(address: str) -> str:
    try:
        return f"IP:{ipaddress.ip_address(address)}"
    except ValueError:
        return f"DNS:{address}"


def _read(folder: Path) -> Pair:
    return Pair((folder / "certificate.pem").read_text(), (folder / "key.pem").read_text())


def _openssl(folder: Path, *words: str) -> None:
    if shutil.which("openssl") is None:
        raise FailedError("there is no openssl here, which makes keys", "apt-get install openssl")
    done = subprocess.run(
        ["openssl", *words], cwd=folder, check=False, capture_output=True, text=True
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise FailedError(f"openssl {words[0]} failed: {last}")
