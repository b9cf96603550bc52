"""Log files of processes, and what the last line of one complains of."""

import json
import os
import pathlib
import socket

import pytest
from segue.testing.ports import free_port
from segue_cli import embedded, logfile
from segue_cli.datadir import DataDir
from segue_cli.errors import FailedError


def test_a_log_that_grew_is_cut_and_the_newest_three_copies_are_kept(
    tmp_path: pathlib.Path,
) -> None:
    log = tmp_path / "web.log"
    writer = logfile.open_for(log)
    try:
        for number in range(6):
            os.write(writer, f"{number}\n".encode() * 10)
            assert logfile.rotate(log, 15)
            assert log.stat().st_size == 0
        assert not logfile.rotate(log, 15)
    finally:
        os.close(writer)
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == ["web.log", "web.log.1", "web.log.2", "web.log.3"]
    assert (tmp_path / "web.log.1").read_text().startswith("5")
    assert (tmp_path / "web.log.3").read_text().startswith("3")


def test_a_tail_begins_where_this_run_began(tmp_path: pathlib.Path) -> None:
    log = tmp_path / "web.log"
    log.write_text("old\n")
    began = logfile.size(log)
    with log.open("a") as file:
        file.write("new\nnewer\n")
    assert logfile.tail(log, 5, after=began) == ["new", "newer"]
    assert logfile.tail(log, 1) == ["newer"]
    log.write_text("cut\n")
    assert logfile.tail(log, 5, after=1_000) == ["cut"]
    assert logfile.tail(tmp_path / "none", 5) == []


GROUP = """  + Exception Group Traceback (most recent call last):
  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "x.py", line 1, in y
    | docker.errors.DockerException: no socket
    +------------------------------------"""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"level": "info", "message": "leads"}', ""),
        ('{"level": "warning", "message": "waits", "why": "no engine"}', "waits: no engine"),
        ('{"level": "error", "message": "stops", "why": "another"}', "stops: another"),
        (
            json.dumps({"level": "critical", "message": "ends", "exception": GROUP}),
            "ends: docker.errors.DockerException: no socket",
        ),
        ("[1] 2026/01/01 [INF] Server is ready", ""),
        (
            "[1] 2026/01/01 [FTL] address already in use",
            "[1] 2026/01/01 [FTL] address already in use",
        ),
        ("ModuleNotFoundError: No module named 'x'", "ModuleNotFoundError: No module named 'x'"),
    ],
)
def test_a_complaint_is_put_into_words(line: str, words: str) -> None:
    assert logfile.complaint(["before", line]) == words


def test_a_port_that_was_chosen_is_kept_and_a_taken_one_is_not_chosen(
    tmp_path: pathlib.Path,
) -> None:
    place, port = DataDir(tmp_path), free_port()
    place.bus.mkdir()
    place.port.write_text(f"{port}\n")
    assert embedded.choose_port(place) == port
    with socket.create_server(("127.0.0.1", port)):
        assert embedded.choose_port(place) != port
        with pytest.raises(FailedError, match="is taken by another program"):
            embedded.choose_port(place, port)


def test_the_log_never_gets_more_than_a_quarter_of_what_is_free(tmp_path: pathlib.Path) -> None:
    plan = embedded.plan(DataDir(tmp_path))
    assert embedded.LOG_BYTES_LEAST <= plan.bytes_max <= embedded.LOG_BYTES_MOST
