"""What an event is: a fact in the past tense, typed once, frozen.

The type is spelt once, as the class keyword `type`; the head of the subject, the decoder, the
schema file, subscriptions and the tables in the docs are derived from it. `scope` names the fields
whose values, in order, are the tokens that follow the type in the subject.
"""

import builtins
from typing import Any, ClassVar, cast, dataclass_transform

import msgspec

REGISTRY: dict[str, "type[Event]"] = {}


class _EventMeta(msgspec.StructMeta):
    """Frozen and keyword-only, said once: msgspec inherits the first, but not the second."""

    def __new__(  # noqa: PYI034 — a metaclass's __new__ returns the class it makes.
        cls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        type: str | None = None,  # noqa: A002 — the word of the CloudEvents specification.
        scope: tuple[str, ...] | None = None,
        **config: Any,
    ) -> "_EventMeta":
        config = {"frozen": True, "kw_only": True, "omit_defaults": True} | config
        made = super().__new__(cls, name, bases, namespace, **config)
        event = cast("builtins.type[Event]", made)  # This metaclass makes nothing else.
        if scope is not None:
            event.scope = scope
        if type is not None:
            event.type = type
            assert type not in REGISTRY, f"two events are called {type}"
            REGISTRY[type] = event
        return made


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Event(msgspec.Struct, metaclass=_EventMeta, frozen=True):
    """Something that has already happened and cannot be taken back."""

    type: ClassVar[str]
    scope: ClassVar[tuple[str, ...]]

    @property
    def subject(self) -> str:
        """Where on the bus it is said: the type, then the scope's tokens."""
        return ".".join([self.type, *[str(getattr(self, field)) for field in self.scope]])


def subjects(event: type[Event], **scope: str) -> str:
    """Give the subject filter for `event`, with `*` for each scope token not named."""
    return ".".join((event.type, *(scope.get(field, "*") for field in event.scope)))
