"""Every event there is, one module per noun. The types are the source of schemas/ and docs."""

from segue.events import (
    capacity,
    container,
    deploy,
    event,
    gateway,
    image,
    leader,
    load,
    log,
    node,
    rebalance,
    rollout,
    scale,
    service,
)
from segue.events.base import REGISTRY, Event, subjects

__all__ = [
    "REGISTRY",
    "Event",
    "capacity",
    "container",
    "deploy",
    "event",
    "gateway",
    "image",
    "job",
    "leader",
    "load",
    "log",
    "node",
    "rebalance",
    "rollout",
    "scale",
    "service",
    "subjects",
]
