"""Say what a change of a schema breaks: an event once stored must be readable for ever.

Allowed are new properties that need not be there, wider types and new events. Anything else needs
a new event type. It compares schemas and knows nothing of git or of files.
"""

from typing import Any

Schema = dict[str, Any]


def breaks(old: Schema, new: Schema) -> list[str]:
    """List what stood in `old` and can no longer be read by `new`, each with its path."""
    return list(_Comparison(old, new).compare(old, new, ""))


class _Comparison:
    """Two documents, walked side by side."""

    def __init__(self, old: Schema, new: Schema) -> None:
        self.old, self.new = old, new
        self.seen: set[tuple[str, str]] = set()

    def compare(self, old: Schema, new: Schema, path: str) -> list[str]:
        pair = (str(old.get("$ref")), str(new.get("$ref")))
        if "$ref" in old or "$ref" in new:
            if pair in self.seen:  # A type that holds itself.
                return []
            self.seen.add(pair)
        old, new = _resolved(old, self.old), _resolved(new, self.new)
        return [
            *self._kinds(old, new, path or "."),
            *self._properties(old, new, path),
            *self._inner(old, new, path),
        ]

    def _kinds(self, old: Schema, new: Schema, path: str) -> list[str]:
        before, after = _kinds(old, self.old), _kinds(new, self.new)
        if "number" in after:
            after |= {"integer"}
        found = []
        if after != {"any"} and not before <= after:
            found.append(f"{path} was {_words(before)} and is {_words(after)}")
        if "enum" in new:
            lost = [value for value in old.get("enum", []) if value not in new["enum"]]
            if "enum" not in old:
                found.append(f"{path} was any value and is now one of a list")
            if lost:
                found.append(f"{path} can no longer be {_words(map(str, lost))}")
        return found

    def _properties(self, old: Schema, new: Schema, path: str) -> list[str]:
        found = []
        before, after = old.get("properties", {}), new.get("properties", {})
        for name, schema in before.items():
            where = f"{path}.{name}".lstrip(".")
            if name not in after:
                found.append(f"{where} is gone")
            else:
                found += self.compare(schema, after[name], where)
        for name in set(new.get("required", [])) - set(old.get("required", [])):
            found.append(f"{path}.{name}".lstrip(".") + " is now required")
        return sorted(found)

    def _inner(self, old: Schema, new: Schema, path: str) -> list[str]:
        found = []
        for key in ("items", "additionalProperties"):
            if isinstance(old.get(key), dict) and isinstance(new.get(key), dict):
                found += self.compare(old[key], new[key], f"{path}[]")
        before, after = _objects(old), _objects(new)
        if len(before) == len(after) == 1:
            found += self.compare(before[0], after[0], path)
        return found


def _resolved(schema: Schema, document: Schema) -> Schema:
    if "$ref" in schema:
        found: Schema = document["$defs"][schema["$ref"].rsplit("/", 1)[1]]
        return found
    return schema


def _kinds(schema: Schema, document: Schema) -> set[str]:
    if "anyOf" in schema:
        return set().union(*(_kinds(_resolved(s, document), document) for s in schema["anyOf"]))
    if "enum" in schema:
        return {"string"}
    kind = schema.get("type", "any")
    return set(kind) if isinstance(kind, list) else {kind}


def _objects(schema: Schema) -> list[Schema]:
    return [part for part in schema.get("anyOf", []) if "$ref" in part]


def _words(values: Any) -> str:
    return " or ".join(sorted(values))
