"""Images: have the one that a service names, and pin what it means now.

A name is looked up on the engine first and pulled only when the policy says so. What runs is never
the name but a digest, or the image's id when it came without one. Equal pulls are one pull, and
of many that look at one name at the same time the second looks for all the rest.
"""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Literal

import anyio
import anyio.from_thread
import msgspec
from docker import APIClient

from segue_node_runner.errors import EngineError, of_answer, of_image
from segue_node_runner.sdk import Calls

PROGRESS_EVERY_S = 2.0
Pull = Literal["missing", "always", "never"]
_Seen = dict[str, Any] | EngineError | None


class Progress(msgspec.Struct, frozen=True):
    """How far a pull is; the total grows while the registry names more layers."""

    image: str
    done_bytes: int
    total_bytes: int


class Pinned(msgspec.Struct, frozen=True):
    """An image that is on the engine: what to run, and how long its pull took (0: it was there)."""

    run: str
    id: str
    pulled_s: float = 0.0


class Layers:
    """Adds up what a pull's lines say of each layer."""

    def __init__(self) -> None:
        self._layers: dict[str, tuple[int, int]] = {}

    def fold(self, line: dict[str, Any]) -> None:
        """Take one line of the engine's progress."""
        layer, detail = line.get("id"), line.get("progressDetail") or {}
        if layer is None:
            return
        done, total = self._layers.get(layer, (0, 0))
        match line.get("status"):
            case "Downloading":
                self._layers[layer] = (detail.get("current", done), detail.get("total", total))
            case "Download complete" | "Pull complete" | "Already exists":
                self._layers[layer] = (total, total)

    @property
    def bytes(self) -> tuple[int, int]:
        """What is done, of what is known."""
        done, total = zip(*self._layers.values(), strict=True) if self._layers else ((), ())
        return sum(done), sum(total)


class Images:
    """The images of one engine."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._pulling: dict[str, anyio.Lock] = {}
        self._looking: dict[str, anyio.Lock] = {}
        self._seen: dict[str, tuple[float, _Seen]] = {}  # When the newest look began, what came.
        self._pulled_at: dict[str, float] = {}

    async def ready(
        self,
        image: str,
        *,
        pull: Pull = "missing",
        platform: str | None = None,
        tell: Callable[[Progress], None] = lambda _: None,
    ) -> Pinned:
        """Have the image on the engine, or raise an `EngineError` in the registry's words."""
        asked_at = time.monotonic()
        if pull != "always" and (found := await self._find(image, platform)):
            return found
        if pull == "never":
            words = f"{image} is not on this node, and its pull policy is never: load it first"
            raise EngineError("image", words, final=True)
        async with self._pulling.setdefault(f"{image} {platform}", anyio.Lock()):
            # Whoever waited here for an equal pull needs no other.
            if self._pulled_at.get(image, 0.0) < asked_at or not await self._find(image, platform):
                await self._pull(image, platform, tell)
            pinned = await self._find(image, platform)
        if pinned is None:
            raise EngineError("image", f"{image}: pulled, and yet the engine does not have it")
        return msgspec.structs.replace(pinned, pulled_s=time.monotonic() - asked_at)

    async def _find(self, image: str, platform: str | None) -> Pinned | None:
        found = await self._looked(image)
        if found is None or (platform and not _fits(found, platform)):
            return None
        return Pinned(pin(image, found), found["Id"])

    async def _looked(self, image: str) -> dict[str, Any] | None:
        """Look at it, or take what came of another's look that began after this was asked for."""
        asked_at = time.monotonic()
        async with self._looking.setdefault(image, anyio.Lock()):
            begun, found = self._seen.get(image, (0.0, None))
            if begun <= asked_at:
                begun = time.monotonic()
                try:
                    found = await self._calls.quick(lambda api: _look(api, image))
                except EngineError as error:
                    found = None if error.kind == "missing" else of_image(image, error)
                self._seen[image] = begun, found
        if isinstance(found, EngineError):
            raise found
        return found

    async def _pull(
        self, image: str, platform: str | None, tell: Callable[[Progress], None]
    ) -> None:
        left = threading.Event()

        def pull(api: APIClient) -> None:
            lines = api.pull(image, stream=True, decode=True, platform=platform)
            layers, told_at = Layers(), time.monotonic()
            for line in _checked(lines):
                if left.is_set():
                    return  # Nobody waits; dropping the connection ends the pull.
                layers.fold(line)
                if (now := time.monotonic()) - told_at >= PROGRESS_EVERY_S:
                    told_at = now
                    anyio.from_thread.run_sync(tell, Progress(image, *layers.bytes))

        tell(Progress(image, 0, 0))
        try:
            await self._calls.pull(pull)
        except EngineError as error:
            raise of_image(image, error) from error
        finally:
            left.set()
        self._pulled_at[image] = time.monotonic()


def pin(image: str, found: dict[str, Any]) -> str:
    """Name by digest what the name means now, or by id when no registry has given it one."""
    name = _familiar(image)
    for digest in found.get("RepoDigests") or []:
        if _familiar(digest) == name:
            return str(digest)
    return str(found["Id"])


def _familiar(reference: str) -> str:
    """Strip a reference of tag, digest and the default registry."""
    name = reference.split("@", 1)[0]
    head, slash, last = name.rpartition("/")
    name = f"{head}{slash}{last.split(':', 1)[0]}"
    for default in ("docker.io/library/", "docker.io/"):
        name = name.removeprefix(default)
    return name


def _look(api: APIClient, image: str) -> dict[str, Any]:
    return dict(api.inspect_image(image))  # type: ignore[no-untyped-call]  # Missing in the stubs.


def _fits(found: dict[str, Any], platform: str) -> bool:
    wanted = platform.split("/")
    have = [found.get("Os", ""), found.get("Architecture", ""), found.get("Variant", "")]
    return all(not one or one == other for one, other in zip(wanted, have, strict=False))


def _checked(lines: Iterable[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """Turn the error that a pull may end with into an `EngineError`."""
    for line in lines:
        if "error" in line:
            raise of_answer(500, (line.get("errorDetail") or {}).get("message") or line["error"])
        yield line
