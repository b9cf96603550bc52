"""`segue exec` with input and with a terminal, against a real engine."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import anyio
import pytest
from segue.testing.engine import Engine
from segue.testing.one_node import OneNode, one_node
from segue.testing.terminal import Terminal

pytestmark = pytest.mark.engine
SLOT = "shop/web.1"


@pytest.fixture
async def host(tmp_path: pathlib.Path, docker_engine: Engine) -> AsyncIterator[OneNode]:
    """One node that runs one container."""
    async with one_node(tmp_path, docker_engine) as running:
        await running.deploy()
        await running.up()
        yield running


async def execute(
    host: OneNode, *asked: str, given: bytes = b""
) -> "subprocess.CompletedProcess[bytes]":
    """Run it with input from a pipe."""
    command = [sys.executable, "-m", "segue_cli", "exec", *asked]
    env = os.environ | {"NATS_URL": host.cluster.server.url}
    with anyio.fail_after(90):
        return await anyio.run_process(command, input=given, env=env, check=False)


@contextlib.contextmanager
def at_terminal(host: OneNode, *asked: str) -> Iterator[Terminal]:
    """Run it at a terminal."""
    env = {"NATS_URL": host.cluster.server.url}
    terminal = Terminal("exec", *asked, cwd=host.cluster.folder, env=env)
    try:
        yield terminal
    finally:
        terminal.close()


async def test_what_is_piped_in_reaches_the_program_to_its_end(host: OneNode) -> None:
    done = await execute(host, "-i", SLOT, "--", "cat", given=b"hi\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"hi\n", b"")
    counted = await execute(host, "-i", SLOT, "sh", "-c", "wc -c; exit 3", given=b"\0" * 5_000_000)
    assert (counted.returncode, counted.stdout.strip()) == (3, b"5000000")


async def test_a_program_without_input_is_given_none(host: OneNode) -> None:
    done = await execute(host, SLOT, "--", "cat", given=b"not for it")
    assert (done.returncode, done.stdout) == (0, b"")


async def test_input_may_be_a_file(host: OneNode, tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_bytes(b"from a file\n")
    command = [sys.executable, "-m", "segue_cli", "exec", "-i", SLOT, "--", "cat"]
    env = os.environ | {"NATS_URL": host.cluster.server.url}
    with (tmp_path / "file").open("rb") as file, (tmp_path / "out").open("wb") as out:
        await anyio.run_process(command, stdin=file, stdout=out, env=env)
    assert (tmp_path / "out").read_bytes() == b"from a file\n"


async def test_what_follows_the_slot_is_the_commands_own(host: OneNode) -> None:
    done = await execute(host, "-i", SLOT, "grep", "-i", "HI", given=b"hi\nho\n")
    assert (done.returncode, done.stdout) == (0, b"hi\n")


async def test_a_program_that_reads_nothing_ends_without_its_input(host: OneNode) -> None:
    env = os.environ | {"NATS_URL": host.cluster.server.url}
    command = [sys.executable, "-m", "segue_cli", "exec", "-i", SLOT, "--", "sh", "-c", "exit 4"]
    with subprocess.Popen(["yes"], stdout=subprocess.PIPE) as yes, anyio.fail_after(90):
        done = await anyio.run_process(command, stdin=yes.stdout, env=env, check=False)
        yes.kill()
    assert done.returncode == 4


async def test_both_ways_are_held_back_by_who_is_slow(host: OneNode) -> None:
    """Its reader pauses longer than the bus bears silence; nothing is lost, and little is held."""
    command = [sys.executable, "-m", "segue_cli", "exec", "-i", SLOT, "--", "cat"]
    env = os.environ | {"NATS_URL": host.cluster.server.url}
    given, came = 0, 0
    async with await anyio.open_process(command, env=env) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        with anyio.move_on_after(7):
            while True:
                await process.stdin.send(b"x" * 65_536)
                given += 65_536
        assert given < 12_000_000, "what nobody reads is not taken in"
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(process.stdin.aclose)
            async for piece in process.stdout:
                came += len(piece)
        assert await process.wait() == 0
    assert 0 <= came - given <= 65_536


async def test_a_program_whose_asker_died_is_hung_up_on(host: OneNode) -> None:
    command = [sys.executable, "-m", "segue_cli", "exec", "-i", SLOT, "--", "cat"]
    env = os.environ | {"NATS_URL": host.cluster.server.url}
    async with await anyio.open_process(command, env=env) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        await process.stdin.send(b"half of it")
        assert await process.stdout.receive() == b"half of it"
        process.kill()
    with anyio.fail_after(90):
        while b"cat" in (await execute(host, SLOT, "ps")).stdout:
            await anyio.sleep(0.1)


async def test_a_terminal_is_the_programs_until_it_ends(host: OneNode) -> None:
    with at_terminal(host, "-it", SLOT, "sh") as terminal:
        before = terminal.mode()
        await terminal.shows("# ")
        assert terminal.mode() != before
        terminal.type("stty size\r")
        await terminal.shows("30 100")
        terminal.resize(40, 120)
        with anyio.fail_after(90):
            while "40 120" not in terminal.written:  # Nothing tells when it has come through.
                terminal.type("stty size\r")
                with anyio.move_on_after(1):
                    await terminal.shows("40 120")
        terminal.type("sleep 1000\r")
        await anyio.sleep(0.5)
        terminal.type("\x03")
        terminal.type("echo code $?\r")
        await terminal.shows("code 130")
        terminal.type("exit 9\r")
        assert await terminal.ended() == 9
        assert terminal.mode() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
async def test_a_signal_leaves_the_terminal_as_it_was(
    host: OneNode, number: signal.Signals
) -> None:
    with at_terminal(host, "-it", SLOT, "--", "sh") as terminal:
        before = terminal.mode()
        await terminal.shows("# ")
        terminal.process.send_signal(number)
        assert await terminal.ended() == 128 + number
        assert terminal.mode() == before


async def test_a_runner_that_dies_leaves_the_terminal_as_it_was(host: OneNode) -> None:
    with at_terminal(host, "-it", SLOT, "--", "sh") as terminal:
        before = terminal.mode()
        await terminal.shows("# ")
        host.runner.kill()
        await terminal.shows("broke off")
        assert await terminal.ended() != 0
        assert terminal.mode() == before


async def test_a_terminal_that_is_not_there_is_said(host: OneNode) -> None:
    refused = await execute(host, "-it", SLOT, "--", "sh")
    assert refused.returncode == 2
    assert b"the input is no terminal" in refused.stderr
