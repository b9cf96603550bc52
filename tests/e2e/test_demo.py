"""What a newcomer sees first works, and leaves nothing behind."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from segue.testing.engine import Engine, PrivateEngine

ROOT = Path(__file__).parents[2]


@pytest.mark.engine
def test_the_demo_shows_a_container_killed_replaced_and_explained(
    docker_engine: Engine, tmp_path: Path
) -> None:
    if isinstance(docker_engine, PrivateEngine):  # Dead attempts of other tests' `shop` have names.
        for cluster in {found["Labels"]["segue.cluster"] for found in docker_engine.containers()}:
            docker_engine.clear(cluster)
    environ = os.environ | {
        "DOCKER_HOST": docker_engine.url,
        "SEGUE_DEMO_DATA": str(tmp_path / "d"),
    }
    shown = subprocess.run(
        [sys.executable, ROOT / "deploy" / "demo.py"],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "shop.web.2 is replaced" in shown.stdout
    assert "exited with code 137" in shown.stdout, "the reason stands in the story"
    assert "wants attempt 2" in shown.stdout
    shop = {"label": ["segue.app=shop"]}
    assert docker_engine.ask("GET", "/containers/json", all=1, filters=shop) == []
    assert docker_engine.ask("GET", "/networks", filters=shop) == []
    assert docker_engine.ask("GET", "/volumes", filters=shop)["Volumes"] in (None, [])
    tags = [tag for image in docker_engine.ask("GET", "/images/json") for tag in image["RepoTags"]]
    assert not [tag for tag in tags if tag.startswith("segue-demo/")]
    assert not (tmp_path / "d").exists()
