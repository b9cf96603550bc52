"""Answer requests: accept them, or reject them with all that is wrong with them at once.

A request is answered exactly once, by an event that names it as its cause. Nothing else here
changes: what an accepted request entails is decided from the picture it leads to.
"""

from collections.abc import Callable, Iterator

import msgspec
from segue.compose import convert
from segue.core import Decision
from segue.events.base import Event
from segue.events.deploy import (
    DeployAccepted,
    DeployRejected,
    DeployRequested,
    RemovalAccepted,
    RemovalRejected,
    RemovalRequested,
)
from segue.events.event import EventRejected
from segue.picture import Picture, Request

from segue_deployer import nodes, petitions, scaling


def answers(picture: Picture) -> Iterator[Decision]:
    """Give every unreadable message its record, and answer every open request, oldest first.

    Of several that ask about one thing only the oldest is answered now: the next is judged by
    what this answer leads to.
    """
    for sequence, (subject, reason) in picture.state.unreadable.items():
        rejected = EventRejected(sequence=sequence, on=subject, reason=reason)
        yield Decision(rejected, key=str(sequence))
    asked: set[str] = set()
    for request in picture.state.requests.values():
        if request.type not in _ANSWERS:
            continue  # The scheduler's.
        about = request.data.get("app") or request.data["node"]
        if about in asked:
            continue
        asked.add(about)
        yield Decision(_ANSWERS[request.type](picture, request), request.cause, actor=request.actor)


def _deploy(picture: Picture, request: Request) -> Event:
    asked = msgspec.convert(request.data, DeployRequested)
    result = convert(asked.compose, app=asked.app)
    if result.spec is None or result.problems:
        return DeployRejected(app=asked.app, problems=list(result.problems))
    before = picture.apps.get(asked.app) or picture.state.forgotten.get(asked.app)
    return DeployAccepted(
        app=asked.app,
        revision=before.revision + 1 if before else 1,
        spec=result.spec,
        notes=list(result.notes),
    )


def _removal(picture: Picture, request: Request) -> Event:
    asked = msgspec.convert(request.data, RemovalRequested)
    app = picture.apps.get(asked.app)
    if app is None or app.phase == "removed":
        return RemovalRejected(app=asked.app, problems=[scaling.no_app(picture, asked.app)])
    return RemovalAccepted(app=asked.app, volumes=asked.volumes)


_ANSWERS: dict[str, Callable[[Picture, Request], Event]] = {
    DeployRequested.type: _deploy,
    RemovalRequested.type: _removal,
    **{request.type: scaling.answer for request in scaling.REQUESTS},
    **{request.type: nodes.answer for request in nodes.REQUESTS},
    **{request.type: petitions.answer for request in petitions.REQUESTS},
}
