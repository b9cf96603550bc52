"""Read placement constraints and preferences, and ask a node about them.

Deployer (which nodes does a global service owe a slot?) and scheduler (where may a slot go?) must
agree on this, so it stands here. The words are those of Compose's `deploy.placement`.
"""

import re
from collections.abc import Callable

import msgspec

from segue.picture.state import Node
from segue.spec import ServiceSpec

_FORM = re.compile(r"\s*([A-Za-z0-9_.-]+)\s*(==|!=)\s*(.*?)\s*")
_FACTS: dict[str, Callable[[Node], str]] = {
    "node.id": lambda node: node.name,
    "node.hostname": lambda node: node.facts.hostname,
    "node.role": lambda node: node.facts.labels.get("role", "worker"),
    "node.platform.os": lambda node: node.facts.platform.partition("/")[0],
    "node.platform.arch": lambda node: node.facts.platform.partition("/")[2],
}
_LABELS = ("node.labels.", "engine.labels.")


class ConstraintError(ValueError):
    """A constraint or preference that cannot be read; the text says what is allowed."""


class Constraint(msgspec.Struct, frozen=True):
    """`key == value` or `key != value`."""

    key: str
    equal: bool
    value: str

    def holds(self, node: Node) -> bool:
        """Tell whether the node may be used."""
        return (fact(node, self.key) == self.value) is self.equal

    def __str__(self) -> str:
        return f"{self.key} {'==' if self.equal else '!='} {self.value}"


def constraint(text: str) -> Constraint:
    """Read a constraint such as `node.labels.disk == ssd`, or raise `ConstraintError`."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise ConstraintError(f"{text!r} is not `<key> == <value>` or `<key> != <value>`")
    _check(found[1])
    return Constraint(found[1], found[2] == "==", found[3])


def preference(text: str) -> str:
    """Read the key of a spread preference, or raise `ConstraintError`."""
    _check(text)
    return text


def _check(key: str) -> None:
    if key not in _FACTS and not any(key.startswith(head) and key != head for head in _LABELS):
        known = ", ".join([*_FACTS, *(f"{head}<name>" for head in _LABELS)])
        raise ConstraintError(f"{key!r} is not known of a node; known are {known}")


def fact(node: Node, key: str) -> str:
    """Look up what a node is; the empty string for a label that it lacks."""
    if key in _FACTS:
        return _FACTS[key](node)
    return node.facts.labels.get(key.split(".", 2)[2], "")


def allows(spec: ServiceSpec, node: Node) -> str:
    """Give the reason why a service may never run on this node, or the empty string."""
    for text in spec.placement.constraints:
        if not constraint(text).holds(node):
            return f"constraint {text} does not hold"
    platform = spec.placement.platform
    if platform and not _same_platform(platform, node.facts.platform):
        return f"platform is {node.facts.platform}, not {platform}"
    return ""


def _same_platform(wanted: str, has: str) -> bool:
    """Compare `os/arch[/variant]`; what is not said matches, as the engine does it."""
    return all(a == b for a, b in zip(wanted.split("/"), has.split("/"), strict=False))
