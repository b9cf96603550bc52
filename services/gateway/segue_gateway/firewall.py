"""Tell which firewall of the host may be in a gateway's way. It looks, and changes nothing.

Our walls never open what another table closes: where the host refuses by default what comes in,
names and addresses are out of its containers' reach.
"""

import re
from collections.abc import Iterator

from segue.bridges import MARK

from segue_gateway.commands import CommandError, run

_TABLE = re.compile(r"^table (\w+) (\S+) {$")
_CHAIN = re.compile(r"^\s+chain (\S+) {")
_CLOSED = re.compile(r"type filter hook input .*policy drop;")


async def hints() -> list[str]:
    """Give a sentence for each chain that refuses by default and says nothing of app bridges."""
    try:
        chains = (await run("nft", "--stateless", "list", "chains")).decode(errors="replace")
        found = []
        for family, table, chain in closed(chains):
            words = (await run("nft", "list", "chain", family, table, chain)).decode(
                errors="replace"
            )
            if f'"{MARK}' not in words and f" {MARK}+" not in words:
                found.append(
                    f"its firewall refuses by default (table {family} {table}, chain {chain}): "
                    f'nft insert rule {family} {table} {chain} iifname "{MARK}*" accept'
                )
    except CommandError:
        return []  # `limits` tells of it.
    return found


def closed(chains: str) -> Iterator[tuple[str, str, str]]:
    """Give family, table and name of the chains that refuse by default what comes to the host."""
    family = table = chain = ""
    for line in chains.splitlines():
        if begins := _TABLE.match(line):
            family, table = begins[1], begins[2]
        elif begins := _CHAIN.match(line):
            chain = begins[1]
        elif _CLOSED.search(line):
            yield family, table, chain
