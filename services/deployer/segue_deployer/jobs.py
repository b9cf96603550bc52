"""Decide when a job's slots have had their time: what still runs of them then is ended.

A slot's time begins when its first attempt is asked for, and all its attempts share it.
"""

from collections.abc import Iterator

from segue.core import Decision
from segue.picture import Container, Service

from segue_deployer.slots import retire


def decide(service: Service, now: float) -> Iterator[Decision]:
    """Say what has to go because its time is over."""
    for at, container in _timed(service):
        if at <= now:
            yield retire(service, container, "deadline", container.cause)


def times(service: Service) -> list[float]:
    """Give when the clock alone ends something."""
    return [at for at, _ in _timed(service)]


def _timed(service: Service) -> Iterator[tuple[float, Container]]:
    limit_s = service.spec.job.deadline_s
    if limit_s is None or not service.spec.is_job or not service.wanted:
        return
    for slot in service.slots.values():
        container = slot.container
        if container is not None and not container.ended and not container.retired:
            yield slot.begun_at + limit_s, container
