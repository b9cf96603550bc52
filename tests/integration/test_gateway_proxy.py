"""A real HAProxy does what the table says, and nobody who asks notices that it changes."""

import asyncio
import os
import pathlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import anyio
import pytest
from segue.testing.load import Server, ask, line, under_load
from segue_gateway import runtime
from segue_gateway.certificates import Certificates
from segue_gateway.hands import Hands
from segue_gateway.proxy import Proxy, ProxyError
from segue_gateway.render import Setting
from segue_gateway.table import Endpoint, Ingress, Port, Published, Route, Table
from segue_gateway.vips import bind_ports

# Of each process its own, also of one that was killed and has left a proxy behind.
NET = f"127.{64 + os.getpid() % 128}.{os.getpid() // 128 % 256}"
VIP, NUMBER, WAY = f"{NET}.1", 18_080, "127.0.0.0/8"
PUBLISHED = 18_100 + os.getpid() % 3_000 * 3
BOUND = bind_ports([NUMBER])[NUMBER]
Make = Callable[[], Proxy]


def endpoint(number: int, *, draining: bool = False) -> Endpoint:
    return Endpoint(
        slot=number, attempt=1, node="a", address=at(number), local=True, draining=draining
    )


def at(number: int) -> str:
    return f"{NET}.{10 + number}"


def table(*endpoints: Endpoint, http: bool = True, sources: str = WAY, **more: object) -> Table:
    route = Route(
        app="shop",
        service="web",
        vip=VIP,
        sources=[sources],
        ports=[Port(number=NUMBER, http=http)],
        endpoints=list(endpoints),
    )
    return Table(node="a", routes=[route], **more)  # type: ignore[arg-type] # The table's own fields.


async def nothing(_: str) -> bytes | None:
    return None


@pytest.fixture
async def proxies(tmp_path: pathlib.Path) -> AsyncIterator[Make]:
    made: list[Proxy] = []

    def make() -> Proxy:
        setting = Setting(
            folder=str(tmp_path / "run"), http_port=PUBLISHED + 1, https_port=PUBLISHED + 2
        )
        made.append(Proxy("haproxy", setting, Certificates(tmp_path / "certificates", nothing)))
        return made[-1]

    yield make
    for one in made:
        await one.stop()


@pytest.fixture
def proxy(proxies: Make) -> Proxy:
    return proxies()


@pytest.fixture
async def servers() -> AsyncIterator[dict[int, Server]]:
    """Two to begin with; who makes more puts them here to be ended."""
    async with AsyncExitStack() as stack:
        there = {n: await stack.enter_async_context(server(n)) for n in (1, 2)}
        yield there
        for one in there.values():
            await one.kill()


def server(number: int) -> Server:
    return Server(f"s{number}", at(number), NUMBER)


async def drained(proxy: Proxy, name: str) -> None:
    with anyio.fail_after(30):
        while (await proxy.in_flight())["shop/web", name]:
            await anyio.sleep(0.02)


@pytest.mark.parametrize("words", ["http", "tcp"])
async def test_every_container_is_replaced_under_load_and_no_request_fails(
    proxy: Proxy, servers: dict[int, Server], words: str
) -> None:
    http = words == "http"
    await proxy.apply(table(endpoint(1), endpoint(2), http=http))
    async with under_load((VIP, BOUND)) as tally:
        await tally.more(20)
        for old in range(1, 9):
            new = old + 2
            servers[new] = await server(new).__aenter__()
            await proxy.apply(table(*(endpoint(n) for n in (old, old + 1, new)), http=http))
            stays = [endpoint(old + 1), endpoint(new)]
            await proxy.apply(table(endpoint(old, draining=True), *stays, http=http))
            await drained(proxy, f"{old}-1")
            await servers[old].kill()
            await proxy.apply(table(*stays, http=http))
            await tally.more(20)
    assert tally.failed == []
    assert tally.answers.keys() == {f"s{n}" for n in range(1, 11)}
    assert proxy.reloads == 0, "what comes and goes takes no reload"


async def test_a_container_that_crashes_under_load_is_left_out_before_anyone_says_so(
    proxy: Proxy, servers: dict[int, Server]
) -> None:
    await proxy.apply(table(endpoint(1), endpoint(2)))
    async with under_load((VIP, BOUND)) as tally:
        await tally.more(20)
        servers[1].refuse()
        await tally.more(60)
    assert tally.failed == []


async def test_of_tcp_only_what_a_crashed_container_had_taken_is_lost(
    proxy: Proxy, servers: dict[int, Server]
) -> None:
    """What it had taken nobody can send once more; so here it has taken nothing."""
    await proxy.apply(table(endpoint(1), endpoint(2), http=False))
    async with under_load((VIP, BOUND)) as before:
        await before.more(20)
    servers[1].refuse()
    async with under_load((VIP, BOUND)) as after:
        await after.more(60)
    assert before.failed + after.failed == []


async def test_a_connection_outlives_what_is_added_drained_and_loaded(
    proxy: Proxy, servers: dict[int, Server]
) -> None:
    await proxy.apply(table(endpoint(1), http=False))
    async with line(VIP, BOUND) as held:
        assert await held.say("one") == "s1 one"
        await proxy.apply(table(endpoint(1), endpoint(2), http=False))
        assert await held.say("two") == "s1 two"
        published = [Published(published=PUBLISHED, app="shop", service="web", target=NUMBER)]
        await proxy.apply(table(endpoint(1), endpoint(2), http=False, published=published))
        assert proxy.reloads == 1
        assert await held.say("three") == "s1 three"
        draining = endpoint(1, draining=True)
        await proxy.apply(table(draining, endpoint(2), http=False, published=published))
        assert await held.say("four") == "s1 four"
        assert await proxy.in_flight() == {("shop/web", "1-1"): 1}, "of the old worker's too"
        assert {await ask(VIP, BOUND) for _ in range(4)} == {(200, "s2")}
        assert await ask("127.0.0.1", PUBLISHED) == (200, "s2")


async def test_what_haproxy_refuses_changes_nothing_and_the_next_table_counts(
    proxy: Proxy, servers: dict[int, Server]
) -> None:
    await proxy.apply(table(endpoint(1)))
    odd = [Ingress(host="a", path='/"', app="shop", service="web", target=NUMBER)]
    with pytest.raises(ProxyError, match="haproxy"):
        await proxy.apply(table(endpoint(1), ingress=odd))
    assert await ask(VIP, BOUND) == (200, "s1")
    await proxy.apply(table(endpoint(2)))
    assert await ask(VIP, BOUND) == (200, "s2")


async def test_a_port_that_is_somebody_elses_is_left_out_and_told(
    proxy: Proxy, servers: dict[int, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    published = [Published(published=PUBLISHED, app="shop", service="web", target=NUMBER)]
    async with Server("other", "0.0.0.0", PUBLISHED):
        [words] = await proxy.apply(table(endpoint(1), published=published))
        assert f"p:any:{PUBLISHED}" in words
        assert await ask(VIP, BOUND) == (200, "s1")
        assert await ask("127.0.0.1", PUBLISHED) == (200, "other")
    monkeypatch.setattr("segue_gateway.proxy.TRY_AGAIN_S", 0.0)
    assert await proxy.apply(table(endpoint(1), published=published)) == []
    assert await ask("127.0.0.1", PUBLISHED) == (200, "s1")


async def test_only_the_bridges_of_its_app_may_use_a_services_address(
    proxy: Proxy, servers: dict[int, Server]
) -> None:
    await proxy.apply(table(endpoint(1), sources="127.9.9.0/24"))
    assert await ask(VIP, BOUND, source="127.9.9.5") == (200, "s1")
    with pytest.raises(OSError, match=r"reset|no answer|Connect call failed"):
        await ask(VIP, BOUND, source="127.9.8.5")


async def test_whoever_comes_after_takes_the_running_proxy_over(
    proxies: Make, servers: dict[int, Server]
) -> None:
    await proxies().apply(table(endpoint(1), http=False))
    async with line(VIP, BOUND) as held:
        await held.say("one")
        heir = proxies()
        async with under_load((VIP, BOUND)) as tally:
            await heir.apply(table(endpoint(1), endpoint(2), http=False))
            await tally.more(20)
        assert tally.failed == []
        assert await held.say("two") == "s1 two"


async def test_a_proxy_that_has_ended_is_started_again(
    proxy: Proxy, servers: dict[int, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segue_gateway.proxy.WATCH_EVERY_S", 0.05)
    await proxy.apply(table(endpoint(1)))
    await proxy.stop()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(proxy.run)
        with anyio.fail_after(30):
            while True:
                try:
                    assert await ask(VIP, BOUND) == (200, "s1")
                    break
                except OSError:
                    await anyio.sleep(0.05)
        tasks.cancel_scope.cancel()


async def test_what_is_told_at_run_time_and_what_a_file_says_are_the_same(
    proxy: Proxy, servers: dict[int, Server]
) -> None:
    """A server that is added takes nothing from its backend, so every word must be there."""
    await proxy.apply(table(endpoint(1)))
    await proxy.apply(table(endpoint(1), endpoint(2)))
    rows = (await runtime.ask_worker(proxy._worker_socket, ["show servers state"]))[0].splitlines()
    told, filed = (row.split() for row in sorted(rows) if " shop.web:" in row)
    of = rows[1].removeprefix("# ").split()
    same = {"srv_op_state", "srv_admin_state", "srv_uweight", "srv_check_state", "srv_use_ssl"}
    assert all(told[of.index(one)] == filed[of.index(one)] for one in same)
    await servers[2].kill()
    with anyio.fail_after(30):  # It is checked.
        while (
            "2-1 " + at(2) + " 0 "
            not in (await runtime.ask_worker(proxy._worker_socket, ["show servers state"]))[0]
        ):
            await anyio.sleep(0.05)


async def test_a_request_that_changes_something_is_never_sent_twice(
    proxy: Proxy, servers: dict[int, Server]
) -> None:
    await proxy.apply(table(endpoint(1)))
    assert await ask(VIP, BOUND, "/drop") == (200, "s1"), "a question is asked again"
    assert (await ask(VIP, BOUND, "/drop", method="POST"))[0] == 502
    assert servers[1].asked == {"GET /drop": 2, "POST /drop": 1}


async def test_a_question_that_waits_at_one_that_has_gone_is_asked_elsewhere(
    proxy: Proxy, servers: dict[int, Server]
) -> None:
    asked, ended = anyio.Event(), anyio.Event()

    async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        asked.set()
        await reader.read()  # Until it is cut off.
        writer.close()
        ended.set()

    answers: list[tuple[int, str]] = []

    async def client() -> None:
        answers.append(await ask(VIP, BOUND))
        tasks.cancel_scope.cancel()

    silent = await asyncio.start_server(never, at(3), NUMBER)
    await proxy.apply(table(endpoint(3)))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client)
        with anyio.fail_after(60):
            await asked.wait()
        await proxy.apply(table(endpoint(1)))
        tasks.start_soon(proxy.run)
    with anyio.fail_after(60):
        await ended.wait()
    silent.close()
    assert answers == [(200, "s1")]


async def test_whoever_asks_is_told_at_which_virtual_addresses_services_are(
    proxy: Proxy, tmp_path: pathlib.Path
) -> None:
    hands = Hands(tmp_path / "table.json", proxy, [])
    assert (await hands.facts()).addresses == {}
    assert await hands.apply(table())
    assert (await hands.facts()).addresses == {"shop/web": VIP}
