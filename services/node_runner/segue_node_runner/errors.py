"""What an engine's trouble means: told apart here and nowhere else.

`final` says that trying the same again on this node cannot help. Everything else may pass: the
engine comes back, the registry answers, the disk gets room. A call that got no answer in time may
have worked: its outcome is unknown until somebody has looked.
"""

import re
from typing import Literal

import requests
import urllib3
from docker.errors import APIError, DockerException

Kind = Literal[
    "away",  # Nobody answers at the engine's socket.
    "timeout",  # No answer in time: what was asked may have been done, or may still be.
    "missing",  # There is no such container, network or volume.
    "conflict",  # The name is taken, or it is in no state for this.
    "occupied",  # Another container of the slot is at work here, or comes up.
    "stale",  # A newer container of the slot is already here.
    "image",  # The image cannot be had.
    "full",  # The disk is full.
    "port",  # A published port is taken.
    "invalid",  # The engine cannot make or start what was asked for.
    "forbidden",  # This node's policy does not allow it.
    "unfenced",  # The node holds no lease, or no fencer is at work.
    "busy",  # A limit of this runner is reached.
    "given up",  # It had not begun when nobody wanted it any more.
    "broken",  # The engine failed for a reason of its own.
]
Step = Literal["look", "policy", "image", "network", "volume", "file", "create", "start"]

# What trying again on the same node cannot change, in the engine's words.
_FINAL = re.compile(
    r"executable file not found|permission denied: unknown|no such file or directory: unknown"
    r"|is a directory: unknown|exec format error|invalid |unknown flag|unsupported|not supported"
    r"|cannot be used|conflicting options|unable to find user|no matching entries in passwd"
    r"|unknown or invalid runtime|could not select device driver|bind source path does not exist"
    r"|mount destination|not a directory: unknown",
    re.IGNORECASE,
)
# A registry that answered "no", against one that did not answer.
_REFUSED_IMAGE = re.compile(
    r"manifest unknown|not found|does not exist|access.*denied|unauthorized|no matching manifest"
    r"|invalid reference|invalid repository|forbidden|unsupported manifest|no basic auth"
    r"|was found but does not match|digest",
    re.IGNORECASE,
)
_PORT = re.compile(r"port is already allocated|address already in use|Bind for .* failed")
_FULL = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)
_CONTAINERD_AWAY = re.compile(r"dial unix .*containerd|transport is closing|code = Unavailable")


class EngineError(Exception):
    """Something could not be had from the engine; `message` is the engine's or registry's own."""

    def __init__(self, kind: Kind, message: str, *, final: bool = False) -> None:
        super().__init__(message)
        self.kind: Kind = kind
        self.message = message
        self.final = final
        self.step: Step = "look"  # Where a start came to.

    @property
    def is_engine_trouble(self) -> bool:
        """It says something of the engine and nothing of the container."""
        return self.kind in {"away", "timeout", "full", "broken"}


TROUBLE = (DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError)


def sorted_out(error: BaseException) -> EngineError:
    """Say what one of `TROUBLE` means."""
    if isinstance(error, APIError) and error.response is not None:
        words = (error.explanation or str(error)).strip()
        return of_answer(error.response.status_code, words)
    chain = f"{error!r} {error.__context__!r} {error.__cause__!r}"
    if isinstance(error, requests.Timeout | TimeoutError) or "timed out" in chain.lower():
        return EngineError("timeout", f"the engine gave no answer in time: {error}")
    return EngineError("away", f"the engine does not answer: {_root(error)}")


def of_answer(status: int, words: str) -> EngineError:
    """Say what the engine's answer means."""
    if _FULL.search(words):
        return EngineError("full", words)
    if _PORT.search(words):
        return EngineError("port", words)
    if _CONTAINERD_AWAY.search(words):
        return EngineError("away", f"the engine has lost its containerd: {words}")
    if status in {400, 501} or _FINAL.search(words):
        return EngineError("invalid", words, final=True)
    kinds: dict[int, Kind] = {304: "conflict", 404: "missing", 409: "conflict"}
    return EngineError(kinds.get(status, "broken"), words)


def of_image(image: str, error: EngineError) -> EngineError:
    """Say what trouble with a pull means; trouble of the engine itself stays what it is."""
    if error.kind in {"away", "timeout", "full"}:
        return error
    final = _REFUSED_IMAGE.search(error.message) is not None
    return EngineError("image", f"{image}: {error.message}", final=final)


def _root(error: BaseException) -> str:
    """The innermost words: what the socket said, without the layers around it."""
    while inner := (error.__cause__ or error.__context__):
        error = inner
    return str(error) or type(error).__name__
