"""Keep the certificates of ingress hosts as files: fetched once by digest, checked, never guessed.

What the file store has under a digest never changes, so a file that is there is right. One that
cannot be fetched, or is no certificate with its key, is told of; its host then has no TLS.
"""

import contextlib
import pathlib
import ssl
from collections.abc import Awaitable, Callable

import anyio.to_thread
from segue.bus import BusError

from segue_gateway.commands import run
from segue_gateway.table import Table

_NEW = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "36500")
Fetch = Callable[[str], Awaitable[bytes | None]]


class Certificates:
    """A folder of certificates; only its owner may read it."""

    def __init__(self, folder: pathlib.Path, fetch: Fetch) -> None:
        self._folder, self.fetch = folder, fetch

    async def files(self, table: Table) -> tuple[dict[str, str], list[str]]:
        """Give the file of each certificate that the table names; tell which there are not."""
        found: dict[str, str] = {}
        problems: list[str] = []
        for digest, host in sorted({(one.tls, one.host) for one in table.ingress if one.tls}):
            place = self._folder / f"{pathlib.PurePath(digest).name}.pem"
            words = "" if place.exists() else await self._get(digest, place)
            if words:
                problems.append(f"ingress {host} is served without TLS: {words}")
            else:
                found[digest] = str(place)
        self._tidy(set(found.values()))
        return found, problems

    async def _get(self, digest: str, place: pathlib.Path) -> str:
        """Fetch one into its place; say why not, or nothing."""
        try:
            content = await self.fetch(digest)
        except BusError as error:
            return f"its certificate cannot be fetched: {error}"
        if content is None:
            return "the file store does not have its certificate: deploy the app again"
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = place.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_bytes(content)
        try:
            await anyio.to_thread.run_sync(_check, new)
        except (ssl.SSLError, OSError, ValueError) as error:
            new.unlink()
            return f"its secret is not a certificate followed by its key, as PEM: {error}"
        new.replace(place)
        return ""

    def _tidy(self, used: set[str]) -> None:
        with contextlib.suppress(FileNotFoundError):
            for place in self._folder.glob("*.pem"):
                if str(place) not in used:
                    place.unlink()


def _check(place: pathlib.Path) -> None:
    def no_password() -> str:
        raise ValueError("the key is encrypted")

    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(place, password=no_password)


async def of_itself(folder: pathlib.Path) -> str:
    """Give a file with what the host's proxy shows itself. Raises CommandError."""
    place, key, shown = (folder / name for name in ("hold.pem", "hold.key", "hold.crt"))
    if not place.exists():
        out = ("-keyout", str(key), "-out", str(shown))
        await run("openssl", "req", "-x509", *_NEW, "-subj", "/CN=segue", *out)
        key.write_bytes(key.read_bytes() + shown.read_bytes())
        key.replace(place)
    return str(place)
