"""Who we are on the bus: by password, token or key, and what happens without a right to it."""

import time
from pathlib import Path

import nkeys  # type: ignore[import-untyped]  # As nats-py itself uses it.
import pytest
from nacl.signing import SigningKey
from segue.bus import Bus, BusRefusedError, Settings, connect
from segue.log import Message
from segue.testing.nats_server import NatsServer


async def greets(settings: Settings) -> bool:
    """Connect and hear oneself."""
    async with await connect(settings, name="test", wait=False) as bus:
        with bus.listen("beat.me") as listening:
            await bus.say("beat.me", b"x")
            return (await anext(listening))[1] == b"x"


async def test_a_user_with_a_password_is_let_in(tmp_path: Path) -> None:
    with NatsServer(tmp_path, extra="authorization { user: u, password: p }") as server:
        assert await greets(Settings(url=server.url, user="u", password="p"))
        in_url = server.url.replace("//", "//u:p@")
        assert await greets(Settings(url=in_url))


async def test_a_token_is_let_in(tmp_path: Path) -> None:
    with NatsServer(tmp_path, extra="authorization { token: t }") as server:
        assert await greets(Settings(url=server.url, token="t"))
        assert await greets(Settings(url=server.url, user="t"))


async def test_a_key_is_let_in(tmp_path: Path) -> None:
    seed = nkeys.encode_seed(SigningKey.generate().encode(), nkeys.PREFIX_BYTE_USER)
    public = nkeys.from_seed(bytearray(seed)).public_key.decode()
    file = tmp_path / "user.nk"
    file.write_bytes(seed)
    extra = f"authorization {{ users: [{{ nkey: {public} }}] }}"
    with NatsServer(tmp_path / "nats", extra=extra) as server:
        assert await greets(Settings(url=server.url, nkey=str(file)))


RIGHTS = """
authorization { users: [
  { user: all, password: p }
  { user: few, password: p, permissions: {
      publish: ["$JS.API.>", "load.low.>", "rpc.>"], subscribe: ["_INBOX_few.>"] } }
] }
"""


async def few(server: NatsServer) -> Bus:
    settings = Settings(url=server.url, user="few", password="p", inbox_prefix="_INBOX_few")
    return await connect(settings, name="few", wait=False)


async def test_a_write_without_the_right_to_it_is_refused_at_once_and_says_so(
    tmp_path: Path,
) -> None:
    with NatsServer(tmp_path, extra=RIGHTS) as server:
        url = server.url
        async with await connect(Settings(url=url, user="all", password="p"), name="all") as bus:
            await bus.set_up()
        async with await few(server) as bus:
            began = time.monotonic()
            outcome = await bus.append([Message("load.high.shop", "1", b"")], timeout_s=100)
            assert outcome.kind == "invalid"
            assert 'Permissions Violation for Publish to "load.high.shop"' in outcome.reason
            with pytest.raises(BusRefusedError, match="Permissions Violation"):
                await bus.ask("forbidden.question", timeout_s=100)
            assert time.monotonic() - began < 30
            assert (await bus.append([Message("load.low.shop", "2", b"")])).kind == "stored"
            assert bus._connection.times_up == 1


async def test_who_may_not_write_to_his_own_inbox_is_connected_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segue.bus.connection.PROBE_EVERY_S", 0.02)
    with NatsServer(tmp_path, extra=RIGHTS) as server:
        async with await few(server) as bus:
            probing = bus._connection._probing
            assert probing is not None
            await probing
            assert bus._connection.times_up == 1
