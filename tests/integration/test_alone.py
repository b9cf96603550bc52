"""A service needs nothing but what its own distribution names: each is installed by itself."""

import importlib.util
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FIND = "import sys; from importlib.util import find_spec; print([*filter(find_spec, sys.argv[1:])])"
SERVICES = sorted(path.parent.name for path in (ROOT / "services").glob("*/pyproject.toml"))


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    environ = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return subprocess.run(
        command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_starts_where_nothing_else_is_installed(service: str) -> None:
    installed = run(Path(sys.executable).with_name("just"), "alone", service)
    assert installed.returncode == 0, installed.stderr
    program = "segue" if service == "cli" else f"segue-{service.replace('_', '-')}"
    project = ROOT / "services" / service / "pyproject.toml"
    version = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"]
    assert version in installed.stdout, f"{program} --version"
    folder = ROOT / ".alone" / service / "bin"
    helped = run(folder / program, "--help")
    assert helped.returncode == 0, helped.stderr
    assert helped.stderr == ""
    assert "--version" in helped.stdout
    others = [f"segue_{other}" for other in SERVICES if other != service]
    assert run(folder / "python", "-c", FIND, *others).stdout.strip() == "[]"


def test_the_development_environment_has_every_service() -> None:
    assert [s for s in SERVICES if importlib.util.find_spec(f"segue_{s}") is None] == []
