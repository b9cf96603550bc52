"""Have services' virtual addresses on the loopback interface; which they are stands in `vips`.

What is ours on `lo` bears a label; an address without it is somebody else's and is never touched.
What is there already, from before a restart or a crash, is taken over as it is.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from segue_gateway.commands import CommandError, run
from segue_gateway.table import Table

LABEL = "lo:segue"


class Addresses:
    """The virtual addresses on this host's `lo`; `label` marks them as ours."""

    def __init__(self, label: str = LABEL) -> None:
        self._label = label

    async def apply(self, table: Table) -> list[str]:
        """Have just the table's addresses; tell what could not be done."""
        wanted = {route.vip for route in table.routes if route.vip}
        try:
            there = _on_loopback(await run("ip", "-json", "-4", "addr", "show", "dev", "lo"))
            lines = _changes(wanted, there, self._label)
            if lines:
                await run("ip", "-force", "-batch", "-", given=lines)
        except CommandError as error:
            return [f"addresses: services have no virtual addresses: {error}"]
        return []

    async def clear(self) -> None:
        """Take all of them away."""
        await self.apply(Table(node=""))


def _on_loopback(shown: bytes) -> dict[str, str]:
    """Read the addresses on `lo`, each with its label."""
    links: list[dict[str, Any]] = json.loads(shown or b"[]")
    return {
        one["local"]: one.get("label", "")
        for link in links
        for one in link.get("addr_info", [])
        if "local" in one
    }


def _changes(wanted: Collection[str], there: Mapping[str, str], label: str) -> str:
    """Word what is to be done; an address that somebody else has put there serves as well."""
    missing: Sequence[str] = sorted(set(wanted) - set(there))
    stale = sorted(one for one, by in there.items() if by == label and one not in wanted)
    return "".join(
        [
            *(f"address del {one}/32 dev lo\n" for one in stale),
            *(f"address add {one}/32 dev lo label {label}\n" for one in missing),
        ]
    )
