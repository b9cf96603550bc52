"""An engine that runs nothing: the core's effects come to news after a while, as on a real one.

For simulations and for hollow nodes, never for work. Time and chance are given: `at` calls
something later, so one thread of virtual time drives it as well as an event loop does.
"""

import random
from collections.abc import Callable
from typing import Any

import msgspec
from segue.events.container import Address

from segue_node_runner import news
from segue_node_runner.effects import Ask, Asked, Examine, List, Remove, Start, Stop
from segue_node_runner.inventory import Found
from segue_node_runner.labels import Identity
from segue_node_runner.rounds import questions

At = Callable[..., Any]  # at(delay_s, call, *arguments)
TIMEOUT_S = 3.0


class Manner(msgspec.Struct):
    """How the engine behaves. Durations in seconds, shares from 0 to 1."""

    start_s: tuple[float, float] = (0.1, 0.4)
    stop_s: tuple[float, float] = (0.02, 0.2)
    look_s: tuple[float, float] = (0.002, 0.02)
    pull_s: tuple[float, float] = (0.3, 3.0)
    healthy_s: tuple[float, float] = (0.2, 1.0)
    start_fails: float = 0.0
    start_dies: float = 0.0  # The container ends within a second of its start.
    late: float = 0.0  # A start gets no answer in time and works all the same.
    crashes: frozenset[str] = frozenset()  # Images whose containers end within a second …
    sickens: frozenset[str] = frozenset()  # … or never become healthy …
    unknown: frozenset[str] = frozenset()  # … or that no registry has.
    cpu_millicores: int = 8_000
    memory_bytes: int = 16 << 30


class SimulatedEngine:
    """The containers of one simulated host; `hear` is where its runner's news go."""

    def __init__(
        self, at: At, dice: random.Random, manner: Manner, clock: Callable[[], float]
    ) -> None:
        self.at, self.dice, self.manner, self.clock = at, dice, manner, clock
        self.there: dict[Identity, Found] = {}
        self.images: dict[str, None] = {}
        self.frozen = self.away = False
        self.hear: Callable[[Any], None] = lambda _: None
        self.changed: Callable[[], None] = lambda: None
        self.admit: Callable[[Start, str], str] = lambda _, __: (
            ""
        )  # Why a strict one may not start.
        self._admitted: dict[Identity, str] = {}  # By the engine's id, from then on it may start.
        self._asked: dict[Identity, str] = {}  # Who is probed, by the engine's id.
        self._made = 0
        self._waiting: list[Any] = []

    def facts(self) -> news.Facts:
        """Say what the host has."""
        return news.Facts(
            cpu_millicores=self.manner.cpu_millicores,
            memory_bytes=self.manner.memory_bytes,
            disk_bytes=100 << 30,
            hostname="simulated",
            platform="linux/amd64",
            engine="simulated",
            api_version="1.41",
            live_restore=True,
            images=sorted(self.images),
            version="simulated",
        )

    def perform(self, effect: Any) -> None:
        """Begin to carry out an effect."""
        if self.frozen or self.away:
            self._stuck(effect)
            return
        match effect:
            case Ask():
                self._ask(effect)
            case Start():
                self._start(effect)
            case Stop():
                self.at(self._draw(self.manner.stop_s), self._stop, effect)
            case List():
                self.at(self._draw(self.manner.look_s), self._list, effect)
            case Examine():
                self.at(self._draw(self.manner.look_s), self._examine, effect)
            case Remove():
                self.at(self._draw(self.manner.look_s), self._remove, effect)

    def _stuck(self, effect: Any) -> None:
        """Give no answer in time; a frozen engine does it all the same once it goes on."""
        if self.frozen and isinstance(effect, Start | Stop):
            self._waiting.append(effect)
        match effect:
            case Start():
                failed = news.StartFailed(
                    identity=effect.identity,
                    step="start",
                    kind="timeout",
                    message="the engine gave no answer in time",
                    passing=True,
                )
                self.at(TIMEOUT_S, self._tell, failed)
            case Stop():
                failed_stop = news.StopFailed(identity=effect.identity, message="no answer")
                self.at(TIMEOUT_S, self._tell, failed_stop)
            case List():
                self.at(TIMEOUT_S, self._tell, news.ListFailed("no answer", effect.number))
            case Examine():
                self.at(TIMEOUT_S, self._examine, effect)

    def _draw(self, span: tuple[float, float]) -> float:
        return self.dice.uniform(*span)

    def _tell(self, what: Any) -> None:
        self.hear(what)

    def _start(self, effect: Start) -> None:
        wait_s = self._draw(self.manner.start_s)
        pulled_s = 0.0
        if effect.runs.image not in self.images:
            pulled_s = self._draw(self.manner.pull_s)
        if effect.runs.image in self.manner.unknown:
            unknown = news.StartFailed(
                identity=effect.identity,
                step="image",
                kind="missing",
                message="manifest unknown",
                final=True,
            )
            self.at(wait_s, self._tell, unknown)
            return
        if self.dice.random() < self.manner.start_fails:
            failed = news.StartFailed(
                identity=effect.identity, step="create", kind="invalid", message="simulated"
            )
            self.at(wait_s, self._tell, failed)
            return
        self.at(wait_s + pulled_s, self._up, effect, wait_s + pulled_s, pulled_s)

    def _up(self, effect: Start, took_s: float, pulled_s: float) -> None:
        if effect.lease and (words := self._refused(effect)):
            failed = news.StartFailed(
                identity=effect.identity,
                step="start",
                kind="unfenced",
                message=words,
                passing=True,
            )
            self._tell(failed)
            return
        if self.frozen or self.away:
            self._stuck(effect)
            return
        self.images[effect.runs.image] = None
        identity = effect.identity
        adopted = identity in self.there and self.there[identity].cluster == effect.cluster
        if not adopted and not self._make(effect):
            conflict = news.StartFailed(
                identity=identity, step="create", kind="conflict", message="the name is taken"
            )
            self._tell(conflict)
            return
        found = self.there[identity]
        if self.dice.random() < self.manner.late:
            late = news.StartFailed(
                identity=identity, step="start", kind="timeout", message="late", passing=True
            )
            self._tell(late)
            self.at(0.5, self._tell, news.Running(identity=identity, engine_id=found.engine_id))
            return
        self._tell(
            news.StartDone(
                identity=identity,
                engine_id=found.engine_id,
                found=found,
                adopted=adopted,
                took_s=took_s,
                pulled_s=pulled_s,
            )
        )

    def _ask(self, effect: Ask) -> None:
        """Let what is probed for the first time pass after a while."""
        wanted = {one.identity: one.engine_id for one in effect.all}
        for one in effect.all:
            if self._asked.get(one.identity) != one.engine_id:
                self.at(self._draw(self.manner.healthy_s), self._pass, one)
        self._asked = wanted

    def _pass(self, one: Asked) -> None:
        for question in questions(one):
            said = news.Probed(
                identity=one.identity,
                engine_id=one.engine_id,
                probe=question.name,
                passes=True,
            )
            self._tell(said)

    def _refused(self, effect: Start) -> str:
        """Ask once whether a strict container may start: what was asked to start may do so late."""
        if effect.identity in self._admitted or effect.identity in self.there:
            return ""
        self._made += 1
        engine_id = f"{effect.identity.slot_name}-{self._made}"
        words = self.admit(effect, engine_id)
        if not words:
            self._admitted[effect.identity] = engine_id
        return words

    def _make(self, effect: Start) -> bool:
        """Make and start the container, unless another of its slot runs that it does not move."""
        identity = effect.identity
        taken = [
            other
            for other, found in self.there.items()
            if other.slot_name == identity.slot_name
            and not (found.runs and other.attempt == effect.moves)
        ]
        if any(self.there[other].runs for other in taken):
            return False
        for other in taken:
            del self.there[other]
        self._made += 1
        self.there[identity] = Found(
            identity=identity,
            engine_id=self._admitted.pop(identity, f"{identity.slot_name}-{self._made}"),
            name=identity.slot_name,
            cluster=effect.cluster,
            state="running",
            revision=effect.revision,
            digest=effect.digest,
            image=effect.runs.image,
            health="starting" if effect.runs.health else "",
            started_at=self.clock(),
            addresses=self._addresses(effect),
        )
        self.changed()
        self._go_on(effect, identity)
        return True

    def _addresses(self, effect: Start) -> list[Address]:
        names = sorted(effect.spec.networks[key].name for key in effect.runs.networks)
        host = f"{self._made >> 8 & 255}.{self._made & 255}"
        return [Address(name, f"10.{n}.{host}", 16, f"10.{n}.0.1") for n, name in enumerate(names)]

    def _go_on(self, effect: Start, identity: Identity) -> None:
        if effect.runs.is_job:
            self.at(self._draw((0.5, 3.0)), self.end, identity, 0)
        elif (
            self.dice.random() < self.manner.start_dies or effect.runs.image in self.manner.crashes
        ):
            self.at(self._draw((0.0, 1.0)), self.end, identity, 1)
        elif effect.runs.health is not None:
            health = "unhealthy" if effect.runs.image in self.manner.sickens else "healthy"
            self.at(self._draw(self.manner.healthy_s), self.judge, identity, health)

    def judge(self, identity: Identity, health: str) -> None:
        """Let a container's health check come to an answer."""
        found = self.there.get(identity)
        if found is None or not found.runs or found.health == health:
            return
        streak = 0 if health == "healthy" else 3
        self.there[identity] = msgspec.structs.replace(found, health=health, streak=streak)
        if not self.away:
            self._tell(
                news.HealthChanged(
                    identity=identity,
                    engine_id=found.engine_id,
                    healthy=health == "healthy",
                    streak=streak,
                    output="simulated",
                )
            )

    def end(self, identity: Identity, exit_code: int, *, oom: bool = False) -> None:
        """Let a container end by itself."""
        found = self.there.get(identity)
        if found is None or not found.runs:
            return
        self.there[identity] = msgspec.structs.replace(
            found, state="exited", exit_code=exit_code, oom=oom, health="", finished_at=self.clock()
        )
        self.changed()
        if not self.away and not self.frozen:
            self.at(0.02, self._tell, self._death(self.there[identity]))

    @staticmethod
    def _death(found: Found) -> news.Died:
        return news.Died(
            identity=found.identity,
            engine_id=found.engine_id,
            exit_code=found.exit_code or 0,
            oom=found.oom,
            ran_s=found.ran_s,
        )

    def _stop(self, effect: Stop) -> None:
        if self.frozen or self.away:
            self._stuck(effect)
            return
        self.there.pop(effect.identity, None)
        self.changed()
        done = news.StopDone(identity=effect.identity, engine_id=effect.engine_id, exit_code=143)
        self._tell(done)

    def _list(self, effect: List) -> None:
        if self.frozen or self.away:
            self._tell(news.ListFailed("no answer", effect.number))
        else:
            ours = [found for found in self.there.values() if found.cluster == effect.cluster]
            self._tell(news.Inventory(ours, number=effect.number))

    def _examine(self, effect: Examine) -> None:
        found = self.there.get(effect.identity)
        if found is not None:
            self._tell(self._death(found))

    def _remove(self, effect: Remove) -> None:
        found = self.there.get(effect.identity)
        if found is not None and not found.runs:
            del self.there[effect.identity]
            self._tell(news.Gone(identity=effect.identity, engine_id=effect.engine_id))

    # Faults.

    def set_away(self, *, away: bool) -> None:
        """Stop or start the engine; its containers run on (live-restore)."""
        self.away = away
        self._tell(news.Away("simulated") if away else news.Resync())

    def set_frozen(self, *, frozen: bool) -> None:
        """Freeze the engine, or let it go on with all that it was asked meanwhile."""
        self.frozen = frozen
        self._tell(news.Condition("frozen" if frozen else "well", "simulated"))
        if not frozen:
            waiting, self._waiting = self._waiting, []
            for effect in waiting:
                self.perform(effect)

    def lose_power(self) -> None:
        """End every container with its host; nothing is said of it."""
        for identity, found in self.there.items():
            if found.runs:
                self.there[identity] = msgspec.structs.replace(
                    found, state="exited", exit_code=255, health="", finished_at=self.clock()
                )
        self._waiting, self.frozen, self.away = [], False, False
        self._admitted = {}
        self.changed()
