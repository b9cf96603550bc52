"""How the command line begins and ends: what it loads, what it says, which code it gives."""

import importlib
import inspect
import os
import pathlib
import subprocess
import sys

import pytest
from segue.bus import BusRefusedError, BusUnreachableError
from segue_cli import reference
from segue_cli.__main__ import fenced, run
from segue_cli.app import COMMANDS, Command, build, names
from segue_cli.errors import FailedError, InvalidError, NotFoundError, sort

EVERY = [command for commands in COMMANDS.values() for command in commands]


@pytest.mark.parametrize("command", EVERY, ids=lambda command: command.name)
def test_a_command_is_there_and_says_of_itself_what_the_help_says(command: Command) -> None:
    module, _, name = command.target.partition(":")
    function = getattr(importlib.import_module(f"segue_cli.{module}"), name)
    told = (inspect.getdoc(function) or "").replace("\n", " ")
    assert told.startswith(command.about)


def test_the_page_of_commands_is_current() -> None:
    page = pathlib.Path(__file__).parents[2] / "docs" / "cli.md"
    assert page.read_text() == reference.page(), "python -m segue_cli.reference > docs/cli.md"


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], []])
def test_help_and_version_load_neither_bus_nor_engine_nor_any_command(arguments: list[str]) -> None:
    code = f"""
import sys
from segue_cli.__main__ import run
try:
    code = run({arguments!r})
except SystemExit as error:
    code = error.code
heavy = {{"nats", "docker", "segue.bus", "segue.events", "yaml", "asyncio"}} & set(sys.modules)
loaded = [name for name in sys.modules if name.startswith("segue_cli.")]
print(code, sorted(heavy), sorted(loaded))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = ["segue_cli.__main__", "segue_cli.app", "segue_cli.errors"]
    assert done.stdout.splitlines()[-1] == f"0 [] {ours}"


def test_a_misspelt_command_is_answered_with_the_one_that_is_meant(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["depoly"]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "segue: there is no command called depoly",
        "hint: did you mean `segue deploy`?",
    ]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("exec a/b.1 grep -i x", "exec a/b.1 -- grep -i x"),
        ("exec --nats url -it a/b.1 ls -l", "exec --nats url -it a/b.1 -- ls -l"),
        ("exec a/b.1 --nats=url ls", "exec a/b.1 --nats=url -- ls"),
        ("exec a/b.1 -i -- ls -- -l", "exec a/b.1 -i -- ls -- -l"),
        ("exec --help", "exec --help"),
        ("logs a/b.1 -f", "logs a/b.1 -f"),
    ],
)
def test_what_follows_a_command_that_is_to_be_run_is_its_own(typed: str, meant: str) -> None:
    assert fenced(typed.split()) == meant.split()


def test_a_wrong_flag_names_the_help_of_its_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["scale", "--nope"]) == 2
    said = capsys.readouterr().err
    assert "--nope" in said
    assert "`segue scale --help`" in said
    assert "Traceback" not in said


def test_every_name_is_a_command_once() -> None:
    assert len(set(names())) == len(names())
    app = build()
    assert all(name in app for name in names())


def test_a_shell_learns_the_commands_and_their_flags(tmp_path: pathlib.Path) -> None:
    env = {"HOME": str(tmp_path), "SHELL": "/bin/bash", "PATH": os.environ["PATH"]}
    command = [sys.executable, "-m", "segue_cli", "--install-completion"]
    subprocess.run(command, env=env, capture_output=True, check=True)
    (script,) = (tmp_path / ".local").rglob("segue")
    assert "--ignore-unsupported" in script.read_text()
    subprocess.run(["bash", "-n", script], check=True)


@pytest.mark.parametrize(
    ("error", "code", "hinted"),
    [
        (FailedError("no"), 1, ""),
        (InvalidError("no", "write it so"), 2, "write it so"),
        (NotFoundError("no"), 3, ""),
        (BusUnreachableError("there is no connection"), 5, "segue up"),
        (BusRefusedError("the bus says: Permissions Violation"), 1, "segue doctor"),
        (BusRefusedError("stream not found", 10059), 1, "segue up"),
        (KeyboardInterrupt(), 130, ""),
        (ValueError("odd"), 1, "a mistake in segue"),
        (PermissionError(13, "Permission denied", "/x"), 1, ""),
    ],
)
def test_whatever_goes_wrong_has_a_code_and_says_what_to_do(
    error: BaseException, code: int, hinted: str
) -> None:
    for wrapped in (error, BaseExceptionGroup("tasks", [BaseExceptionGroup("more", [error])])):
        known = sort(wrapped)
        assert known.code == code
        assert hinted in known.hint
        assert str(known) not in known.hint


def test_of_several_errors_the_one_that_is_meant_for_a_person_is_shown() -> None:
    group = ExceptionGroup("tasks", [ValueError("odd"), NotFoundError("there is no app")])
    assert str(sort(group)) == "there is no app"


def test_a_traceback_is_for_whoever_asks_for_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGUE_DEBUG", "1")
    assert run(["scale", "shop"]) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("loaded", ["signal", "cyclopts", "anyio"])
def test_ctrl_c_while_python_loads_the_command_ends_it_in_one_line(
    loaded: str, tmp_path: pathlib.Path
) -> None:
    (tmp_path / f"{loaded}.py").write_text("import os\nos.kill(os.getpid(), 2)\n")
    begin = "from segue_cli.beginning import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", begin, "ps"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert (done.returncode, done.stderr) == (130, "segue: interrupted\n")
