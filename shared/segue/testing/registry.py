"""A real image registry for tests: Debian's `docker-registry` on a port of the loopback."""

import contextlib
import pathlib
import socket
import subprocess
import time
from collections.abc import Iterator

from segue.testing.engine import Engine

NO_LOGIN = "e30="  # An empty JSON object, in base64: pushes want the header.


class Registry:
    """A running registry."""

    def __init__(self, address: str) -> None:
        self.address = address

    def push(self, engine: Engine, name: str, source: str) -> str:
        """Move the engine's image `source` here as `name` (with a tag); give its reference."""
        repository, tag = name.rsplit(":", 1)
        reference = f"{self.address}/{repository}"
        engine.ask("POST", f"/images/{source}/tag", repo=reference, tag=tag)
        headers = {"X-Registry-Auth": NO_LOGIN}
        told = engine.ask("POST", f"/images/{reference}/push", headers=headers, tag=tag)
        assert b'"error"' not in told, told
        engine.ask("DELETE", f"/images/{reference}:{tag}")
        return f"{reference}:{tag}"


@contextlib.contextmanager
def running_registry(folder: pathlib.Path) -> Iterator[Registry]:
    """Run a registry whose images are kept in `folder`."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{reserved.getsockname()[1]}"
    config = folder / "registry.yml"
    config.write_text(
        "version: 0.1\n"
        "log: {level: error, accesslog: {disabled: true}}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder}}}, delete: {{enabled: true}}}}\n"
        f"http: {{addr: {address}}}\n"
    )
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen(["docker-registry", "serve", config], stdout=log, stderr=log)
    try:
        _await_port(address)
        yield Registry(address)
    finally:
        process.kill()
        process.wait()


def _await_port(address: str, limit_s: float = 10.0) -> None:
    host, port = address.split(":")
    end = time.monotonic() + limit_s
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)
        else:
            return
