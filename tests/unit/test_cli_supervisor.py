"""What is known of a program that a supervisor starts again and again."""

import sys
from pathlib import Path

import anyio
from segue.shell.command import UNABLE
from segue_cli.supervisor import Program, Supervisor

FAILS = [sys.executable, "-c", "raise ValueError('no luck')"]


async def test_what_a_program_complained_of_stands_until_its_next_run_says_something(
    tmp_path: Path,
) -> None:
    program = Program("it", FAILS, {}, tmp_path / "log")
    await program.start()
    await program.wait()
    assert program.complaint() == "ValueError: no luck"
    program.command = ["sleep", "1000"]
    await program.start()
    assert program.complaint() == "ValueError: no luck"
    with program.log.open("a") as log:
        log.write('{"level": "info", "message": "starts"}\n')
    assert program.complaint() == ""
    await program.stop()


async def test_a_program_that_cannot_run_on_this_host_is_not_started_again(tmp_path: Path) -> None:
    said = '{"level": "error", "message": "stops", "why": "there is no proxy"}'
    command = [sys.executable, "-c", f"print({said!r}); raise SystemExit({UNABLE})"]
    program = Program("it", command, {}, tmp_path / "log")
    notes: list[str] = []
    supervisor = Supervisor(tmp_path / "children", lambda _, text: notes.append(text))
    with anyio.fail_after(60):
        await supervisor.keep(program)
    assert notes[1:] == ["cannot run on this host"]
    assert program.unable == "there is no proxy"
    assert program.restarts == 0
