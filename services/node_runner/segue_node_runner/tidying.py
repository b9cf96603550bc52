"""Decide which ended containers, and which remains of removed apps, the engine can do without.

Of each slot the newest is kept for its log, or as long as its job's `keep` says. That time begins
when this runner first sees that it has ended: no host's clock is asked.
"""

from collections.abc import Iterator

import msgspec
from segue.picture import Picture
from segue.picture.fold_run import is_forgotten

from segue_node_runner.effects import Remove, RemoveApp
from segue_node_runner.labels import Identity
from segue_node_runner.yard import Yard


class Tidying:
    """What is known of the containers that have ended on one node."""

    def __init__(self, picture: Picture, node: str) -> None:
        self.picture, self.node = picture, node
        self._ended_at: dict[Identity, float] = {}  # When that was first seen.

    def owed(self, yard: Yard, now: float) -> Iterator[Remove | RemoveApp]:
        """Remove what ended long ago, but of each slot that may go on the newest."""
        ended = [identity for identity, found in yard.there.items() if not found.runs]
        self._ended_at = {identity: self._ended_at.get(identity, now) for identity in ended}
        on_node = self.picture.on_node.get(self.node, {})
        yard.forget_all_but({Identity(*key) for key in on_node})
        kept: dict[str, None] = {}
        for identity in sorted(yard.there, key=lambda one: -one.attempt):
            found = yard.there[identity]
            key = (identity.app, identity.service, identity.slot, identity.attempt)
            slot = self.picture.slot(*key[:3])
            if found.runs or key in on_node:
                continue
            if slot is None or identity.attempt > slot.attempt:
                if not self._is_of_an_old_run(identity):
                    continue
                kept[identity.slot_name] = None
            if identity.slot_name in kept or not self._stays(identity, now):
                yield Remove(**msgspec.structs.asdict(identity), engine_id=found.engine_id)
            kept[identity.slot_name] = None
        yield from self._of_removed_apps(yard)

    def _stays(self, identity: Identity, now: float) -> bool:
        """Tell whether the newest of a slot is still to be there."""
        if self.picture.apps[identity.app].phase in ("removing", "removed"):
            return False
        service = self.picture.service(identity.app, identity.service)
        keep_s = service.spec.job.keep_s if service is not None else None
        return keep_s is None or now - self._ended_at[identity] < keep_s

    def _is_of_an_old_run(self, identity: Identity) -> bool:
        service = self.picture.service(identity.app, identity.service)
        return service is not None and is_forgotten(service, identity.slot)

    def _of_removed_apps(self, yard: Yard) -> Iterator[RemoveApp]:
        for name, has_networks in yard.leftovers.items():
            gone = self.picture.apps.get(name)
            if gone is None or gone.phase != "removed":
                continue
            if has_networks or gone.with_volumes:
                yield RemoveApp(
                    cluster=self.picture.state.cluster, app=name, volumes=gone.with_volumes
                )
