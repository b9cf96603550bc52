"""Settings of the property tests, and an app loaded from files.

A machine under load is no failure, and CI repeats itself.
"""

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import hypothesis
import pytest
from segue_cli.compose import Loaded, load

hypothesis.settings.register_profile("quiet", deadline=None, print_blob=True)
if not hypothesis.settings.get_current_profile_name().startswith("ci"):
    hypothesis.settings.load_profile("quiet")


@pytest.fixture
def compose_load(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Loaded]:
    """Load an app from files written into an empty folder, which is the working folder."""
    monkeypatch.chdir(tmp_path)

    def loaded(
        files: Mapping[str, str | bytes],
        *names: str,
        environ: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Loaded:
        for name, content in files.items():
            target = tmp_path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content if isinstance(content, bytes) else content.encode())
        paths = [pathlib.Path(name) for name in names or ("compose.yaml",)]
        return load(paths, environ=environ or {}, **{"app": "shop", **options})

    return loaded
