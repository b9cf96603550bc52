"""Know which interfaces this host has and under which addresses, and hear when that changes.

It looks and never changes anything. What a change is, is not read from the kernel's message: one
that was missed would be missed for good. Each message only says that it is time to look again.
"""

import errno
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import anyio
import msgspec

from segue_gateway.commands import run

_IPV4_ADDRESSES = 0x10  # The kernel's group RTMGRP_IPV4_IFADDR.
_MESSAGE_MOST = 1 << 16


class Interface(msgspec.Struct, frozen=True):
    """One address of one interface."""

    name: str
    address: str
    prefix: int


async def look() -> list[Interface]:
    """Give every IPv4 address of this host. Raises CommandError."""
    return read(await run("ip", "-json", "-4", "addr", "show"))


def read(shown: bytes) -> list[Interface]:
    """Read what `ip -json addr show` has printed."""
    links: list[dict[str, Any]] = json.loads(shown or b"[]")
    return [
        Interface(link["ifname"], one["local"], one["prefixlen"])
        for link in links
        for one in link.get("addr_info", [])
        if "local" in one
    ]


async def changes() -> AsyncIterator[None]:
    """Yield at once, and again whenever an address has come or gone."""
    kernel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    with kernel:
        kernel.bind((0, _IPV4_ADDRESSES))
        kernel.settimeout(0)
        while True:
            yield
            await anyio.wait_readable(kernel)
            _drain(kernel)


def _drain(kernel: socket.socket) -> None:
    while True:
        try:
            kernel.recv(_MESSAGE_MOST)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:  # Some were lost: a reason to look all the same.
                raise
