"""The bus behind TLS with certificates on both sides, and what is said when they do not fit."""

import shutil
from pathlib import Path

import msgspec
import pytest
from segue.bus import BusUnreachableError, Settings, connect
from segue.log import Message
from segue.testing import certificates
from segue.testing.nats_server import NatsServer

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes certificates")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, and a key and certificate of its making for the server and for a client."""
    home = tmp_path_factory.mktemp("certificates")
    certificates.make(home, ["127.0.0.1"])
    return home


@pytest.mark.parametrize("first", [False, True])
async def test_both_sides_show_certificates_and_come_back_after_a_kill(
    tmp_path: Path, home: Path, *, first: bool
) -> None:
    extra = (
        f'tls {{ cert_file: "{home}/server.pem", key_file: "{home}/server.key", '
        f'ca_file: "{home}/ca.pem", verify: true, handshake_first: {str(first).lower()} }}'
    )
    with NatsServer(tmp_path, extra=extra) as server:
        right = Settings(
            url=server.url.replace("nats:", "tls:"),
            ca=f"{home}/ca.pem",
            cert=f"{home}/client.pem",
            key=f"{home}/client.key",
            tls_first=first,
        )
        async with await connect(right, name="test", wait=False) as bus:
            await bus.set_up()
            assert (await bus.append([Message("load.x", "1", b"")])).kind == "stored"
            server.restart(kill=True)
            await bus.until(connected=False)
            assert (await bus.append([Message("load.x", "1", b"")])).duplicate
        with pytest.raises(BusUnreachableError, match="certificate verify failed"):
            await connect(msgspec.structs.replace(right, ca=""), name="test", wait=False)
        stranger = msgspec.structs.replace(right, cert="", key="")
        with pytest.raises(BusUnreachableError, match=r"cannot be reached: .+; is it running"):
            await connect(stranger, name="test", wait=False)
