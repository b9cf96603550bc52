"""Write what others read of the event types: JSON Schemas, the AsyncAPI document, the event table.

    python schemas/generate.py            write what has changed, say which files
    python schemas/generate.py --check    write nothing; exit 1 if something would change

A golden sample is written for a type that has none, and never again.
"""

import json
import sys
from pathlib import Path
from typing import Any

import asyncapi_document
import event_sample
import event_schema
import event_table
from segue.events import REGISTRY

ROOT = Path(__file__).resolve().parent.parent
SCHEMAS = ROOT / "schemas"
SAMPLES = ROOT / "tests" / "golden" / "events"


def documents() -> dict[Path, str]:
    """Give the text of every generated file."""
    schemas: dict[str, dict[str, Any]] = {
        name: event_schema.event_schema(event) for name, event in REGISTRY.items()
    }
    schemas["envelope"] = event_schema.envelope_schema()
    schemas["asyncapi"] = asyncapi_document.asyncapi()
    found = {SCHEMAS / f"{name}.json": _text(schema) for name, schema in schemas.items()}
    found[ROOT / "docs" / "events.md"] = event_table.page()
    return found


def unsampled() -> dict[Path, str]:
    """Give a first sample of every type that has none."""
    paths = {name: SAMPLES / f"{name}.1.json" for name in REGISTRY}
    return {
        path: event_sample.sample(REGISTRY[name])
        for name, path in paths.items()
        if not path.exists()
    }


def changes() -> dict[Path, str | None]:
    """Give what is to be written, and None for each schema whose event is no more."""
    wanted = documents() | unsampled()
    found: dict[Path, str | None] = {
        path: text
        for path, text in wanted.items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    }
    return found | {path: None for path in SCHEMAS.glob("*.json") if path not in wanted}


def _text(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    """Do what the command line says; return the exit code."""
    found = changes()
    check = "--check" in sys.argv[1:]
    for path, text in sorted(found.items()):
        print(f"{'stale' if text else 'left over'}: {path.relative_to(ROOT)}")
        if check:
            continue
        if text is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return 1 if check and found else 0


if __name__ == "__main__":
    sys.exit(main())
