"""What wrong input is answered with: what, where, what to do instead, and the exit code."""

import io
from pathlib import Path

import pytest
from segue.events.deploy import Problem
from segue_cli.__main__ import run
from segue_cli.asking import refused


@pytest.mark.parametrize(
    ("typed", "code", "what", "hint"),
    [
        ("node ls extra", 2, "too many words: extra", "segue node ls --help"),
        ("backup {}", 2, "is a folder", "name a file in it"),
        ("backup {}/none/x.zip", 2, "there is no folder", "name a file elsewhere"),
        ("restore {}/none.zip", 3, "there is no file", "segue backup"),
        ("restore {}", 2, "cannot be read: Is a directory", "segue backup"),
        ("logs shop/web.1 --tail -3", 2, "--tail -3 is no number of lines", "--tail 100"),
        ("server init --name a.b --dir {}/x", 2, "--name 'a.b' is no name", "63 of a-z"),
        ("server init --address a,b --dir {}/x", 2, "--address 'a,b' is no address", "host's name"),
        ("server init --token @{}/none --dir {}/x", 2, "cannot be read: No such file", ""),
        ("node join --token - --dir {}/x", 2, "this is no token", "segue server token NAME"),
    ],
)
def test_wrong_input_is_answered_in_one_line_with_a_way_out(
    *,
    typed: str,
    code: int,
    what: str,
    hint: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("garbage\n"))
    assert run([word.replace("{}", str(tmp_path)) for word in typed.split()]) == code
    said = capsys.readouterr().err
    assert what in said.splitlines()[0]
    assert hint in said
    assert "Errno" not in said
    assert list(tmp_path.iterdir()) == [], "nothing was tried"


@pytest.mark.parametrize(
    ("where", "what", "code"),
    [
        ("node", "there is no node called x", 3),
        ("service", "shop has no service called x", 3),
        ("node", "node a is at work", 1),
        ("replicas", "9 replicas; from 0 to 3 are possible", 2),
    ],
)
def test_what_is_there_and_cannot_be_done_is_not_called_missing(
    where: str, what: str, code: int
) -> None:
    assert refused([Problem(where=where, what=what)]).code == code
