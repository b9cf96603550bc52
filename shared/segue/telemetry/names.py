"""What spans and measurements call an event, so that both call it the same."""

import functools

from segue.events import REGISTRY


@functools.cache
def template(event_type: str) -> str:
    """Give the subject with its scope unfilled, such as `node.lost.{node}`: of those are few."""
    event = REGISTRY.get(event_type)
    return ".".join((event_type, *(f"{{{field}}}" for field in (event.scope if event else ()))))
