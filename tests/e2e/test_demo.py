"""What a newcomer sees first works, and leaves nothing behind."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from segue.testing.hosts import Hosts

ROOT = Path(__file__).parents[2]


@pytest.mark.engine
def test_the_demo_shows_a_container_killed_replaced_and_explained(tmp_path: Path) -> None:
    with Hosts(1, tmp_path / "hosts") as hosts:
        host = hosts[1]
        environ = os.environ | {
            "DOCKER_HOST": host.engine.url,
            "SEGUE_DEMO_DATA": str(tmp_path / "d"),
        }
        shown = subprocess.run(
            [*host.enter, sys.executable, str(ROOT / "deploy" / "demo.py")],
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=250,
        )
        assert shown.returncode == 0, shown.stdout + shown.stderr
        assert "the shop is open, says " in shown.stdout
        assert "shop.web.2 is replaced" in shown.stdout
        said = re.search(r":8080/ was asked (\d+) times meanwhile, (\d+) failed", shown.stdout)
        assert said is not None, shown.stdout
        assert int(said[1]) > 10
        assert int(said[2]) == 0, shown.stdout
        assert "exited with code 137" in shown.stdout, "the reason stands in the story"
        assert "wants attempt 2" in shown.stdout
        ours = {"label": ["segue.app=shop"]}
        engine = host.engine
        assert engine.ask("GET", "/containers/json", all=1, filters=ours) == []
        assert engine.ask("GET", "/networks", filters=ours) == []
        assert engine.ask("GET", "/volumes", filters=ours)["Volumes"] in (None, [])
        tags = [tag for image in engine.ask("GET", "/images/json") for tag in image["RepoTags"]]
        assert not [tag for tag in tags if tag.startswith("segue-demo/")]
        assert not (tmp_path / "d").exists()
        for words in (["nft", "list", "tables"], ["ip", "addr", "show", "label", "lo:segue"]):
            seen = subprocess.run([*host.enter, *words], capture_output=True, text=True, check=True)
            assert "segue" not in seen.stdout, "no walls and no addresses are left on the host"
