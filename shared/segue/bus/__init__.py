"""The bus: the only code that speaks NATS. What services use is exported here."""

from segue.bus.bus import Bus, connect
from segue.bus.copies import STREAMS, StreamCopy
from segue.bus.errors import (
    AnswerError,
    BusError,
    BusRefusedError,
    BusSettingsError,
    BusSetupError,
    BusTimeoutError,
    BusTooOldError,
    BusUnreachableError,
    LogReplacedError,
    NobodyAnswersError,
)
from segue.bus.server import ServerConfig, find_server, render
from segue.bus.settings import Settings, settings
from segue.bus.stream import Plan, SetUp

__all__ = [
    "STREAMS",
    "AnswerError",
    "Bus",
    "BusError",
    "BusRefusedError",
    "BusSettingsError",
    "BusSetupError",
    "BusTimeoutError",
    "BusTooOldError",
    "BusUnreachableError",
    "LogReplacedError",
    "NobodyAnswersError",
    "Plan",
    "ServerConfig",
    "SetUp",
    "Settings",
    "StreamCopy",
    "connect",
    "find_server",
    "render",
    "settings",
]
