"""The node's Docker engine: has containers run, ends them, and says what is there.

    start:  image → commons → files → create → connect → start → look

Performs and reports, decides nothing. Every act may be repeated: what a lost or late answer left
behind is found by name and labels before anything is tried again.
"""

import math
import pathlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import msgspec
from docker import APIClient
from docker.errors import NotFound

from segue_node_runner import inventory, labels, policy, resolving
from segue_node_runner.body import Ground, create_body, further_networks
from segue_node_runner.commons import Commons
from segue_node_runner.effects import RemoveApp, Start
from segue_node_runner.errors import EngineError, Step
from segue_node_runner.files import Fetch, Files
from segue_node_runner.images import Images, Pinned, Progress
from segue_node_runner.inventory import Found
from segue_node_runner.labels import Identity
from segue_node_runner.policy import Policy
from segue_node_runner.sdk import Calls, Limits


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """A container runs, or ran and has ended already; `found.state` tells."""

    found: Found
    adopted: bool = False  # It ran before this start was asked for.
    pulled_s: float = 0.0
    took_s: float = 0.0


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A container runs no more."""

    exit_code: int | None = None
    oom: bool = False
    ran_s: float = 0.0
    killed: bool = False  # It did not end within its grace.


class Engine:
    """One engine. `runtime` is a folder in memory where secrets and configs are put."""

    def __init__(
        self,
        url: str,
        *,
        runtime: pathlib.Path,
        allowed: Policy | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.calls = Calls(url, limits or Limits())
        self.images = Images(self.calls)
        self.commons = Commons(self.calls)
        self.files = Files(runtime / "files")
        self.allowed = allowed or Policy()
        self._ground: Ground | None = None
        self._starting: dict[Identity, None] = {}  # Whose start is under way.

    def renew(self) -> None:
        """Take nothing for granted any more: the engine was away."""
        self.calls.renew()
        self.commons.forget()
        self._ground = None

    async def start(
        self,
        order: Start,
        fetch: Fetch,
        tell: Callable[[Progress], None] = lambda _: None,
        waiting: anyio.CancelScope | None = None,
        admit: Callable[[str], None] = lambda _: None,
    ) -> Started:
        """Have the ordered container run, or raise an `EngineError` whose step says where.

        Cancelling `waiting` gives up what waits for its image or its turn and has not begun.
        `admit` is called with the engine's id before anything of the container runs, and may raise.
        """
        begun = time.monotonic()
        waiting = waiting or anyio.CancelScope()
        turn = object()
        with waiting, _at("image"):
            pinned = await self.images.ready(
                order.runs.image,
                pull=order.runs.pull,
                platform=order.runs.placement.platform,
                tell=tell,
            )
            await self.calls.starting.acquire_on_behalf_of(turn)
        if waiting.cancelled_caught:
            raise EngineError("given up", "nobody wants it any more")
        self._starting[order.identity] = None
        try:
            started = await self._run_again(order, pinned, fetch, admit)
        finally:
            del self._starting[order.identity]
            self.calls.starting.release_on_behalf_of(turn)
        return msgspec.structs.replace(
            started, took_s=time.monotonic() - begun, pulled_s=pinned.pulled_s
        )

    async def _run_again(
        self, order: Start, pinned: Pinned, fetch: Fetch, admit: Callable[[str], None]
    ) -> Started:
        """Run it; once more if something that had been there was removed meanwhile."""
        try:
            return await self._run(order, pinned, fetch, admit)
        except EngineError as error:
            if error.kind != "missing":
                raise
        self.commons.forget()
        return await self._run(order, pinned, fetch, admit)

    async def _run(
        self, order: Start, pinned: Pinned, fetch: Fetch, admit: Callable[[str], None]
    ) -> Started:
        with _at("network"):
            await self.commons.networks(order)
            order = await resolving.settled(order, self.commons)
        with _at("volume"):
            await self.commons.volumes(order)
        with _at("file"):
            files = await self.files.mounts(order, fetch)
        with _at("create"):
            body = create_body(order, await self._known_ground(), image=pinned.run, files=files)
        with _at("policy"):
            self._check(body)
        with _at("create"):
            there = await self._created(order, body)
        if there is not None and there.state != "created":
            return Started(found=there, adopted=True)
        with _at("start"):
            if order.lease:
                await self._admitted(order, admit)
            return Started(found=await self._begun(order))

    def _check(self, body: dict[str, object]) -> None:
        if problems := policy.forbidden(body, self.allowed, self.files.root):
            words = f"this node's policy ({self.allowed.file}) does not allow {'; '.join(problems)}"
            raise EngineError("forbidden", words, final=True)

    async def _created(self, order: Start, body: dict[str, object]) -> Found | None:
        """Create the container, or give the one that this order had made before."""
        name = order.identity.slot_name

        def create(api: APIClient) -> None:
            api.create_container_from_config(body, name)  # type: ignore[no-untyped-call]  # As in images.

        for _ in range(2):
            try:
                await self.calls.quick(create)
            except EngineError as error:
                match error.kind:
                    case "conflict":
                        if there := await self._in_the_way(order):
                            return there
                        continue  # Its name is free now.
                    case "timeout":
                        return await self._own(order, error)
                raise
            await self._connect(order)
            return None
        raise EngineError("conflict", f"the name {name} was taken again and again")

    async def _in_the_way(self, order: Start) -> Found | None:
        """Look at who has the slot's name: give it if it is the order's own, else move it away."""
        name = order.identity.slot_name
        inspected = await self.calls.quick(lambda api: api.inspect_container(name))
        there = inventory.found(inspected)
        if there is None or there.cluster != order.cluster or there.identity.slot_name != name:
            owner = f"cluster {there.cluster}" if there else "someone else"
            words = f"a container {name} ({inspected['Id'][:12]}) of {owner} is on this engine: "
            raise EngineError("conflict", words + "remove or rename it")
        if there.identity.attempt == order.attempt:
            if there.state == "created":
                await self._connect(order)  # The try that made it may have come no further.
            return there
        if there.identity.attempt > order.attempt:
            words = f"{name} has attempt {there.identity.attempt} here; {order.attempt} is over"
            raise EngineError("stale", words)
        if there.runs and there.identity.attempt != order.moves:
            words = f"attempt {there.identity.attempt} of {name} still runs here"
            raise EngineError("occupied", words)
        # A running one that is moved is reached as before: only the name goes, not its aliases.
        # With a part of its own id: another cluster's dead attempt may have the plain name.
        past = f"{there.identity.past_name}.{there.engine_id[:12]}"
        await self.calls.quick(lambda api: api.rename(there.engine_id, past))
        return None

    async def _own(self, order: Start, error: EngineError) -> Found:
        """Find what a create call without an answer made, or raise its error."""
        there = await self.find(order.identity.slot_name)
        if there is None or there.identity != order.identity or there.cluster != order.cluster:
            raise error
        await self._connect(order)
        return there

    async def _connect(self, order: Start) -> None:
        name = order.identity.slot_name
        for network, aliases in further_networks(order, await self._known_ground()).items():

            def connect(api: APIClient, to: str = network, by: list[str] = aliases) -> None:
                api.connect_container_to_network(name, to, aliases=by)

            try:
                await self.calls.quick(connect)
            except EngineError as error:
                if "already exists in network" not in error.message:
                    raise

    async def _begun(self, order: Start) -> Found:
        """Start the container that has the slot's name."""
        name = order.identity.slot_name
        try:
            await self.calls.start(lambda api: api.start(name))
        except EngineError as error:
            there = await self.find(name)
            if error.kind == "timeout":
                if there is not None and there.identity == order.identity and there.runs:
                    return there  # It worked, only nobody said so.
            elif there is not None and there.state == "created":
                await self.remove(there.engine_id)  # It never ran; the words are in the error.
            raise
        there = await self.find(name)
        if there is None:
            raise EngineError("missing", f"{name} was removed while it started")
        return there

    async def _admitted(self, order: Start, admit: Callable[[str], None]) -> None:
        there = await self.find(order.identity.slot_name)
        if there is None or there.identity != order.identity:
            raise EngineError("missing", f"{order.identity.slot_name} was removed before its start")
        try:
            admit(there.engine_id)
        except EngineError:
            await self.remove(there.engine_id)
            raise

    async def _known_ground(self) -> Ground:
        if self._ground is None:

            def look(api: APIClient) -> Ground:
                return Ground(api.api_version, api.info().get("LoggingDriver", ""))

            self._ground = await self.calls.quick(look)
        return self._ground

    async def find(self, container: str) -> Found | None:
        """Look at one container, by the engine's id or by name; None: not there, or not ours."""
        try:
            return inventory.found(
                await self.calls.quick(lambda api: api.inspect_container(container))
            )
        except EngineError as error:
            if error.kind == "missing":
                return None
            raise

    async def inspect(self, container: str) -> dict[str, Any]:
        """Give the engine's own description of a container."""
        found: dict[str, Any] = await self.calls.quick(lambda api: api.inspect_container(container))
        return found

    async def find_attempt(self, cluster: str, identity: labels.Identity) -> Found | None:
        """Look at a container by what its labels say, whatever its name is by now."""
        ours = await self.list_ours(cluster)
        return next((found for found in ours if found.identity == identity), None)

    async def list_ours(self, cluster: str) -> list[Found]:
        """List the cluster's containers on this engine, ended ones too, by slot and attempt."""
        wanted = {"label": [f"{labels.CLUSTER}={cluster}"]}

        def look(api: APIClient) -> list[Found]:
            all_found = []
            for container in api.containers(all=True, filters=wanted):
                try:
                    found = inventory.found(api.inspect_container(container["Id"]))
                except NotFound:
                    continue  # It went between the two calls.
                if found is not None:
                    all_found.append(found)
            return all_found

        found = await self.calls.quick(look)
        return sorted(found, key=lambda one: msgspec.structs.astuple(one.identity))

    async def stop(self, engine_id: str, grace_s: float) -> Ended:
        """End a container: its stop signal, and after the grace a kill. Gone already is ended."""
        begun = time.monotonic()
        try:
            await self.calls.stop(lambda api: api.stop(engine_id, timeout=math.ceil(grace_s)))
        except EngineError as error:
            if error.kind not in {"timeout", "missing", "conflict"}:
                raise
            there = await self.find(engine_id)
            if there is not None and there.runs:
                raise
        over_grace = time.monotonic() - begun >= math.ceil(grace_s)
        there = await self.find(engine_id)
        if there is None:
            return Ended()
        killed = over_grace and there.exit_code == 137
        return Ended(exit_code=there.exit_code, oom=there.oom, ran_s=there.ran_s, killed=killed)

    async def kill(self, engine_id: str) -> None:
        """Kill a container at once; one that does not run is left as it is."""
        try:
            await self.calls.quick(lambda api: api.kill(engine_id))
        except EngineError as error:
            if error.kind not in {"missing", "conflict"}:
                raise

    async def remove(self, engine_id: str) -> None:
        """Remove a container that does not run, its anonymous volumes and its files."""
        there = await self.find(engine_id)
        if there is None:
            return
        try:
            await self.calls.quick(lambda api: api.remove_container(engine_id, v=True))
        except EngineError as error:
            is_going = error.kind == "conflict" and "already in progress" in error.message
            if error.kind != "missing" and not is_going:
                raise
        await self.files.remove(there.identity)

    async def remove_app(self, effect: RemoveApp) -> None:
        """Remove an app's networks, and its volumes if told so; what still uses them is spared."""
        await self.commons.remove(effect)

    async def sweep_files(self, found: list[Found]) -> None:
        """Remove the files of containers that are neither there nor being started."""
        await self.files.keep_only({*(one.identity for one in found), *self._starting})


@contextmanager
def _at(step: Step) -> Iterator[None]:
    try:
        yield
    except EngineError as error:
        error.step = step
        raise
