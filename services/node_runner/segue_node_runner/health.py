"""Judge how a container does, from the engine's health check and what its probes came to.

It is healthy once all that was to be asked of it passes, and unhealthy by the worst that fails:
liveness, then the health check, then readiness. What is not known yet changes nothing. Who fails
for it is the health monitor's to say.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec
from segue.picture import UP, Container, Picture

from segue_node_runner.effects import Ask, Asked
from segue_node_runner.inventory import Found
from segue_node_runner.labels import Identity
from segue_node_runner.news import Probed


class Verdict(msgspec.Struct, frozen=True):
    """What is to stand in the log of a container; without a state, what stands there."""

    state: Literal["", "healthy", "unhealthy"] = ""
    probe: Literal["", "readiness", "liveness"] = ""  # What fails; empty: the health check.
    streak: int = 0
    output: str = ""


class Health:
    """What is asked of one node's containers, and what it came to."""

    def __init__(self, picture: Picture, node: str) -> None:
        self._picture, self._node = picture, node
        self._asks: list[Asked] = []
        self._said: dict[Identity, dict[str, Probed]] = {}

    def hear(self, said: Probed) -> None:
        """Note what a probe came to."""
        self._said.setdefault(said.identity, {})[said.probe] = said

    def asks(self, there: Mapping[Identity, Found]) -> Ask | None:
        """Give what is to be probed, if that has changed."""
        wanted = []
        for ordered in self._picture.on_node.get(self._node, {}).values():
            identity = Identity(*ordered.key)
            found = there.get(identity)
            if found is None or not found.runs or ordered.retired or ordered.phase not in UP:
                continue
            if (asked := self._asked(ordered, found)) is not None:
                wanted.append(asked)
        if wanted == self._asks:
            return None
        self._asks = wanted
        kept = {one.identity for one in wanted}
        self._said = {one: said for one, said in self._said.items() if one in kept}
        return Ask(wanted)

    def _asked(self, ordered: Container, found: Found) -> Asked | None:
        spec = self._picture.spec(ordered)
        if spec is None or (spec.readiness is None and spec.liveness is None):
            return None
        address = found.addresses[0].address if found.addresses else ""
        return Asked(
            identity=found.identity,
            engine_id=found.engine_id,
            address="127.0.0.1" if spec.network_mode == "host" else address,
            readiness=spec.readiness,
            liveness=spec.liveness,
        )

    def verdict(self, ordered: Container, found: Found) -> Verdict:
        """Judge a container that runs."""
        spec = self._picture.spec(ordered)
        asked = {} if spec is None else {"readiness": spec.readiness, "liveness": spec.liveness}
        known = self._said.get(found.identity, {})
        passes: dict[str, Probed | None] = {
            name: said if (said := known.get(name)) and said.engine_id == found.engine_id else None
            for name, probe in asked.items()
            if probe is not None
        }
        for name in ("liveness", "", "readiness"):
            said = passes.get(name)
            if not name and found.health == "unhealthy":
                return Verdict("unhealthy", "", found.streak, found.output)
            if said is not None and not said.passes:
                return Verdict("unhealthy", said.probe, said.streak, said.output)
        failed = ordered.probe if ordered.phase == "unhealthy" else "readiness"
        waits = any(passes.get(name, True) is None for name in ("readiness", failed))
        if waits or found.health == "starting":
            return Verdict()
        is_known = found.health == "healthy" or "readiness" in passes
        was_failed = ordered.phase == "unhealthy" and ordered.probe
        return Verdict("healthy") if is_known or was_failed else Verdict()
