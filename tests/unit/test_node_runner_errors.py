"""What an engine's trouble is taken for, in its own words, and what a node remembers of its log."""

import pathlib
import socket

import anyio
import pytest
from segue.bus import LogReplacedError
from segue.log import Head, Stored
from segue_node_runner.errors import EngineError, of_answer, of_image
from segue_node_runner.memory import Memory
from segue_node_runner.sdk import Calls, Limits, api_at_least


@pytest.mark.parametrize(
    ("status", "words", "kind", "final"),
    [
        (404, "No such container: x", "missing", False),
        (409, 'Conflict. The container name "/x" is already in use', "conflict", False),
        (400, "bad parameter", "invalid", True),
        (400, 'OCI: exec: "x": executable file not found in $PATH: unknown', "invalid", True),
        (500, "unable to find user app: no matching entries in passwd file", "invalid", True),
        (500, "write /x: no space left on device", "full", False),
        (500, "Bind for 0.0.0.0:80 failed: port is already allocated", "port", False),
        (500, "dial unix /run/containerd/containerd.sock: connect: refused", "away", False),
        (500, "something of its own", "broken", False),
    ],
)
def test_an_answer_is_taken_for_what_it_means(
    status: int, words: str, kind: str, *, final: bool
) -> None:
    error = of_answer(status, words)
    assert (error.kind, error.final, error.message[-len(words) :]) == (kind, final, words)


@pytest.mark.parametrize(
    ("words", "final"),
    [
        ("manifest for x:1 not found: manifest unknown: manifest unknown", True),
        ("pull access denied for x, repository does not exist", True),
        ("unauthorized: authentication required", True),
        ("no matching manifest for linux/arm64 in the manifest list entries", True),
        ("Get https://x/v2/: dial tcp: lookup x: no such host", False),
        ("Get https://x/v2/: net/http: TLS handshake timeout", False),
        ("received unexpected HTTP status: 503 Service Unavailable", False),
    ],
)
def test_a_registry_that_says_no_is_told_from_one_that_says_nothing(
    words: str, *, final: bool
) -> None:
    error = of_image("x:1", EngineError("broken", words))
    assert (error.kind, error.final, error.message) == ("image", final, f"x:1: {words}")


def test_trouble_of_the_engine_is_no_trouble_of_the_image() -> None:
    away = EngineError("away", "gone")
    assert of_image("x:1", away) is away


@pytest.mark.parametrize(
    ("api", "wanted", "enough"), [("1.9", "1.10", False), ("1.44", "1.44", True)]
)
def test_versions_are_compared_as_numbers(api: str, wanted: str, *, enough: bool) -> None:
    assert api_at_least(api, wanted) is enough


async def test_an_engine_that_is_not_there_is_away(tmp_path: pathlib.Path) -> None:
    calls = Calls(f"unix://{tmp_path}/none.sock", Limits())
    with pytest.raises(EngineError, match=r"does not answer: .*No such file"):
        await calls.quick(lambda api: api.info())


async def test_an_engine_that_listens_and_says_nothing_gave_no_answer_in_time(
    tmp_path: pathlib.Path,
) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "engine.sock"))
        silent.listen()
        calls = Calls(f"unix://{tmp_path}/engine.sock", Limits(quick_s=0.1))
        with anyio.fail_after(5), pytest.raises(EngineError) as found:
            await calls.quick(lambda api: api.info())
    assert found.value.kind == "timeout"


def test_a_log_that_is_behind_what_was_read_of_it_is_refused(tmp_path: pathlib.Path) -> None:
    Memory(tmp_path / "node", "c1").keep(41, 0, "")
    memory = Memory(tmp_path / "node", "c1")
    memory.check(Head(1, 41, 0.0, "c1"), None)
    with pytest.raises(LogReplacedError, match="ends at 40, but this node has read it to 41"):
        memory.check(Head(1, 40, 0.0, "c1"), None)
    Memory(tmp_path / "node", "c2").check(Head(1, 3, 0.0, "c2"), None)
    memory.keep(12, 0, "")
    with pytest.raises(LogReplacedError):
        Memory(tmp_path / "node", "c1").check(Head(1, 12, 0.0, "c1"), None)


def test_a_log_that_grew_again_from_an_older_copy_is_refused(tmp_path: pathlib.Path) -> None:
    read, other = (Stored(40, at, "node.lost.a", b"{}") for at in (1.0, 2.0))
    Memory(tmp_path / "node", "c1").keep(41, read.sequence, read.mark)
    memory = Memory(tmp_path / "node", "c1")
    head = Head(1, 50, 0.0, "c1")
    assert memory.last == 40
    memory.check(head, read)
    memory.check(head, None)  # Purged: the sequence alone tells.
    with pytest.raises(LogReplacedError, match="another message at 40 than this node has read"):
        memory.check(head, other)


def test_what_an_older_runner_remembered_still_counts(tmp_path: pathlib.Path) -> None:
    memory = Memory(tmp_path, "c1")
    memory.path.write_text("41\n")
    with pytest.raises(LogReplacedError):
        Memory(tmp_path, "c1").check(Head(1, 40, 0.0, "c1"), None)
    Memory(tmp_path, "c1").check(Head(1, 41, 0.0, "c1"), Stored(41, 1.0, "node.lost.a", b"{}"))


def test_a_node_that_can_write_nothing_works_without_memory(tmp_path: pathlib.Path) -> None:
    (tmp_path / "node").write_text("a file where a folder should be")
    memory = Memory(tmp_path / "node", "c1")
    memory.keep(5, 5, "mark")
    memory.check(Head(0, 0, 0.0, "c1"), None)
