"""What happens to apps: a request, the doorkeeper's answer, and how it went.

deploy.requested ─→ accepted ─→ completed | failed | reverted ─→ accepted (restores an older one)
                 └→ rejected
"""

from typing import Any

import msgspec

from segue.events.base import Event
from segue.spec import AppSpec


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing wrong with a request: where (a path such as `services.web.ports[0]`) and what."""

    where: str
    what: str
    hint: str = ""
    kind: str = ""  # A word for programs: unknown, unsupported, portability, invalid, conflict, …


class DeployRequested(Event, type="deploy.requested", scope=("app",)):
    """Someone wants an app to be as `compose` says. The deployer reacts as doorkeeper.

    `compose` is a Compose file as JSON, short forms allowed. The bare body `{"services": …}` on
    `deploy.requested.<app>` is understood as well.
    """

    app: str
    compose: dict[str, Any]


class DeployAccepted(Event, type="deploy.accepted", scope=("app",)):
    """The request is good and is now what the app must become. Everyone reacts."""

    app: str
    revision: int  # Counts the app's accepted deploys from 1.
    spec: AppSpec
    restores: int = 0  # The older revision that this one is again; 0: none.
    notes: list[Problem] = []  # Accepted, but without the effect one might expect.


class DeployRejected(Event, type="deploy.rejected", scope=("app",)):
    """The request has problems, all of them listed; nothing was changed."""

    app: str
    problems: list[Problem]


class DeployCompleted(Event, type="deploy.completed", scope=("app",)):
    """Every slot of the revision is up: started, and healthy where there is a health check."""

    app: str
    revision: int
    slots: int
    took_s: float


class DeployFailed(Event, type="deploy.failed", scope=("app",)):
    """The revision did not come up; what is left keeps trying by its restart policy."""

    app: str
    revision: int
    reason: str
    blocking: list[str] = []  # Slots, at most ten, such as `web.3`.


class DeployReverted(Event, type="deploy.reverted", scope=("app",)):
    """The revision is given up. The deployer reacts: the next revision restores `to`."""

    app: str
    revision: int
    to: int  # The last revision that came up.
    reason: str
    blocking: list[str] = []  # Slots, at most ten, such as `web.3`.


class RemovalRequested(Event, type="removal.requested", scope=("app",)):
    """Someone wants an app gone. The deployer reacts."""

    app: str
    volumes: bool = False  # Its volumes too.


class RemovalAccepted(Event, type="removal.accepted", scope=("app",)):
    """The app is being removed: the deployer retires its containers."""

    app: str
    volumes: bool = False


class RemovalRejected(Event, type="removal.rejected", scope=("app",)):
    """There is no such app."""

    app: str
    problems: list[Problem]


class RemovalCompleted(Event, type="removal.completed", scope=("app",)):
    """The app's last container is gone."""

    app: str
    took_s: float = 0.0
