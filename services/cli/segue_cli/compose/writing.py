"""A document as YAML: one text for equal documents, that reads back as the same document."""

from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):
    """Write text of several lines as a block, and everything once, where it stands."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write out what occurs twice."""
        del data
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def to_yaml(document: dict[str, Any]) -> str:
    """Write a canonical document, its dollar signs doubled, in its own order of keys."""
    written: str = yaml.dump(
        _escaped(document), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100
    )
    return written


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, dict):
        return {key: _escaped(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    return value
