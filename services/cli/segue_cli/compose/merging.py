"""One document over another: by Compose's rules, mappings merge, lists append, the rest replaces.

Some attributes are lists that are meant as mappings, or have items with an identity; those are
brought to one form first. `!reset` takes an entry out, `!override` replaces it whole.
"""

import re
from collections.abc import Callable
from typing import Any

import msgspec
from segue.compose import shorts
from segue.compose.findings import Findings, Place
from segue.compose.values import Invalid, kind

from segue_cli.compose.nodes import Node, marked, plain
from segue_cli.compose.trouble import Trouble

_SERVICE = r"services\.[^.]+"


def _among(*paths: str) -> re.Pattern[str]:
    return re.compile("|".join(paths))


_REPLACED = _among(
    rf"{_SERVICE}\.(?:command|entrypoint|gpus)",
    rf"{_SERVICE}\.healthcheck\.test",
    r"(?:networks|volumes|secrets|configs)\.[^.]+\.external",
)
_PAIRS = _among(
    rf"{_SERVICE}\.(?:annotations|environment|labels|sysctls|storage_opt)",
    rf"{_SERVICE}\.build\.(?:additional_contexts|args|labels|ssh)",
    rf"{_SERVICE}\.deploy\.labels",
    rf"{_SERVICE}\.logging\.options",
    rf"{_SERVICE}\.volumes\.[^.]+\.volume\.labels",
    r"(?:networks|volumes|secrets|configs)\.[^.]+\.(?:driver_opts|labels)",
)
_NAMED = _among(rf"{_SERVICE}\.(?:depends_on|models|networks)")
_LISTS = _among(
    rf"{_SERVICE}\.(?:dns|dns_opt|dns_search|env_file|label_file|profiles|tmpfs)",
    rf"{_SERVICE}\.extra_hosts",
    r"include",
)
_IDENTIFIED: dict[str, Callable[[Any], object]] = {
    "ports": lambda entry: tuple(
        str(entry.get(key, default))
        for key, default in (
            ("host_ip", ""),
            ("target", ""),
            ("published", ""),
            ("protocol", "tcp"),
        )
    ),
    "volumes": lambda entry: str(entry.get("target", "")).rstrip("/"),
    "secrets": lambda entry: str(entry.get("target", f"/run/secrets/{entry.get('source')}")),
    "configs": lambda entry: str(entry.get("target", f"/{entry.get('source')}")),
    "devices": lambda entry: str(entry.get("target", entry.get("source"))),
    "env_file": lambda entry: str(entry.get("path")),
}
_SHORTS: dict[str, Callable[[Place, Any], list[dict[str, Any]]]] = {
    "ports": shorts.ports,
    "volumes": shorts.volumes,
    "secrets": shorts.named_source,
    "configs": shorts.named_source,
    "devices": shorts.devices,
    "env_file": lambda _place, value: [{"path": value}],
}


def merge(base: Node, over: Node, trouble: Trouble, at: str = "") -> Node:
    """Put `over` on `base`."""
    if over.tag == "override":
        return without_tags(over)
    if _REPLACED.fullmatch(at):
        return base if over.value is None else over
    base, over = _same_form(base, over, at)
    if over.value is None:
        return base
    if isinstance(base.value, dict) and isinstance(over.value, dict):
        return _mappings(base, over, trouble, at)
    if isinstance(base.value, list) and isinstance(over.value, list):
        return msgspec.structs.replace(over, value=_appended(base.value, over.value, at))
    if base.value is not None and type(base.value) is not type(over.value):
        trouble.wrong(
            over.mark,
            at,
            f"{kind(plain(over))} cannot be merged with {kind(plain(base))}",
            "write it as the file before it does, or replace it with !override",
            "conflict",
        )
    return without_tags(over)


def _mappings(base: Node, over: Node, trouble: Trouble, at: str) -> Node:
    if re.fullmatch(rf"{_SERVICE}\.logging", at):
        drivers = [plain(found) for node in (base, over) if (found := node.get("driver"))]
        if len(set(map(str, drivers))) > 1:
            return without_tags(over)
    merged = dict(base.entries())
    for key, entry in over.entries().items():
        below = f"{at}.{key}" if at else key
        if entry.tag == "reset":
            merged.pop(key, None)
        elif key not in merged:
            merged[key] = without_tags(entry)
        elif entry.value is None and _PAIRS.fullmatch(at):
            merged[key] = entry  # A variable without a value: whoever deploys gives it one.
        else:
            merged[key] = merge(merged[key], entry, trouble, below)
    return Node(merged, over.mark)


def without_tags(node: Node) -> Node:
    """Settle the tags of a document that overrides nothing: what is reset is not there."""
    if isinstance(node.value, dict):
        kept = {k: without_tags(v) for k, v in node.value.items() if v.tag != "reset"}
        return Node(kept, node.mark)
    if isinstance(node.value, list):
        return Node([without_tags(item) for item in node.value if item.tag != "reset"], node.mark)
    return Node(node.value, node.mark)


def _same_form(base: Node, over: Node, at: str) -> tuple[Node, Node]:
    """Bring both to the form that can be merged."""
    if _PAIRS.fullmatch(at):
        return pairs(base), pairs(over)
    if _NAMED.fullmatch(at):
        return _named(base, at), _named(over, at)
    if _LISTS.fullmatch(at):
        return _listed(base), _listed(over)
    if re.fullmatch(rf"{_SERVICE}\.build", at):
        return _keyed(base, "context"), _keyed(over, "context")
    if re.fullmatch(rf"{_SERVICE}\.extends", at):
        return _keyed(base, "service"), _keyed(over, "service")
    if re.fullmatch(rf"{_SERVICE}\.ulimits\.[^.]+", at) and type(base.value) is not type(
        over.value
    ):
        return over, over
    return base, over


def pairs(node: Node) -> Node:
    """Make a list of `KEY=VALUE` a mapping; a key alone has no value."""
    if not isinstance(node.value, list):
        return node
    entries: dict[str, Node] = {}
    for item in node.value:
        key, equals, value = (item.text() or "").partition("=")
        entries[key.strip()] = Node(value if equals else None, item.mark, item.tag)
    return Node(entries, node.mark, node.tag)


def _named(node: Node, at: str) -> Node:
    """Make a list of names a mapping, with what a name alone means."""
    if not isinstance(node.value, list):
        return node
    means: dict[str, Any] = {}
    if at.endswith(".depends_on"):
        means = {"condition": "service_started", "required": "true"}
    names = {item.text() or "": marked(means, item.mark) for item in node.value}
    return Node(names, node.mark, node.tag)


def _listed(node: Node) -> Node:
    """Make one value, or a mapping of hosts, a list."""
    if isinstance(node.value, str):
        return Node([Node(node.value, node.mark)], node.mark, node.tag)
    if isinstance(node.value, dict) and "path" not in node.value:
        lines = [
            Node(f"{host}={address.value}", address.mark)
            for host, entry in node.value.items()
            for address in (entry.value if isinstance(entry.value, list) else [entry])
        ]
        return Node(lines, node.mark, node.tag)
    return node


def _keyed(node: Node, key: str) -> Node:
    """Make text the one entry that it is short for."""
    if isinstance(node.value, str):
        return Node({key: Node(node.value, node.mark)}, node.mark, node.tag)
    return node


def _appended(base: list[Node], over: list[Node], at: str) -> list[Node]:
    name = at.rpartition(".")[2]
    if name in _IDENTIFIED and re.fullmatch(rf"{_SERVICE}\.\w+", at):
        return _unique(name, [*base, *over])
    kept: list[Node] = []
    for item in map(without_tags, [*base, *over]):
        if not isinstance(item.value, str) or all(item.value != one.value for one in kept):
            kept.append(item)
    return kept


def _unique(name: str, items: list[Node]) -> list[Node]:
    """Keep the last of the items with one identity, at the place of the first."""
    kept: dict[object, Node] = {}
    for item in items:
        for entry in _long(name, item):
            value = plain(entry)
            known = isinstance(value, dict)
            # What cannot be read is kept as it is, and refused where it stands.
            identity = _IDENTIFIED[name](value) if known else (id(item), len(kept))
            kept[identity] = entry
    return list(kept.values())


def _long(name: str, item: Node) -> list[Node]:
    if not isinstance(item.value, str):
        return [without_tags(item)]
    place = Place("", "", Findings(), {})
    try:
        return [marked(entry, item.mark) for entry in _SHORTS[name](place, item.value)]
    except Invalid:
        return [item]
