"""Read placement constraints and preferences, and ask a node about them.

Deployer (which nodes does a global service owe a slot?) and scheduler (where may a slot go?) must
agree on this, so it stands here. The words are those of Compose's `deploy.placement`.
"""

import functools
import re
from collections.abc import Callable

import msgspec

from segue.picture.state import Node
from segue.spec import ServiceSpec

_FORM = re.compile(r"\s*([\w./-]+)\s*(==|!=)\s*(.*?)\s*")
_ARCH = "node.platform.arch"
_SYSTEMS = ("darwin", "freebsd", "linux", "windows")
_ALSO_CALLED = {"x86_64": "amd64", "aarch64": "arm64"}  # As the kernel says it, and Swarm.


def _platform(text: str) -> tuple[str, str, str]:
    """Read `os[/arch[/variant]]` or `arch`, as the engine does; what is not said is empty."""
    parts = text.split("/")
    if parts[0] not in _SYSTEMS and len(parts) == 1:
        parts = ["", *parts]
    system, arch, variant = [*parts, "", ""][:3]
    return system, _ALSO_CALLED.get(arch, arch), variant


_FACTS: dict[str, Callable[[Node], str]] = {
    "node.id": lambda node: node.name,
    "node.hostname": lambda node: node.facts.hostname,
    "node.role": lambda node: node.labels.get("role", "worker"),
    "node.platform.os": lambda node: _platform(node.facts.platform)[0],
    _ARCH: lambda node: _platform(node.facts.platform)[1],
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
        value = _ALSO_CALLED.get(self.value, self.value) if self.key == _ARCH else self.value
        return (fact(node, self.key) == value) is self.equal

    def __str__(self) -> str:
        return f"{self.key} {'==' if self.equal else '!='} {self.value}"


@functools.lru_cache(maxsize=1_024)
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
    """Look up what a node is; the empty string for a label that it lacks and for a strange key."""
    if key in _FACTS:
        return _FACTS[key](node)
    return node.labels.get(key.partition(".labels.")[2], "")


def allows(spec: ServiceSpec, node: Node) -> str:
    """Give the reason why a service may never run on this node, or the empty string.

    It never raises: one app's constraint that this version cannot read must not stop all others.
    """
    for text in spec.placement.constraints:
        try:
            holds = constraint(text).holds(node)
        except ConstraintError as error:
            return f"a constraint cannot be read: {error}"
        if not holds:
            return f"constraint {text} does not hold"
    platform = spec.placement.platform
    if platform and not _same_platform(platform, node.facts.platform):
        return f"platform is {node.facts.platform}, not {platform}"
    return ""


def _same_platform(wanted: str, has: str) -> bool:
    """Compare platforms; what one of them does not say matches."""
    pairs = zip(_platform(wanted), _platform(has), strict=True)
    return all(a == b for a, b in pairs if a and b)
