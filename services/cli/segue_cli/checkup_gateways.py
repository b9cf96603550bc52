"""Judge the nodes' gateways: by what they said when they joined, and by what they answer now.

Pure. Nothing is amiss where nothing is to be served and nobody serves.
"""

from collections.abc import Iterator, Mapping

from segue.asks import Gateway
from segue.picture import Picture
from segue.publishing import is_there

from segue_cli import reach
from segue_cli.checkup import Finding

_START = "run segue-gateway there as root: `segue up` and `segue node join` do so"


def gateways(
    picture: Picture, facts: Mapping[str, Gateway | str], lacks: Mapping[str, str]
) -> Iterator[Finding]:
    """Judge each node's; `lacks`: what one would lack where there is none, if that is known."""
    needed = _needs_one(picture)
    for name in sorted(picture.nodes):
        if picture.nodes[name].phase not in ("up", "suspected"):
            continue
        found = picture.gateway(name)
        if found is None:
            yield _none(name, needed, lacks.get(name, ""))
            continue
        said = facts.get(name, "it was not asked")
        amiss = list(_amiss(name, said, found.facts.limits))
        yield from amiss
        if not amiss:
            does = "names, addresses, walls and ports" if found.facts.names else "published ports"
            yield Finding(_what(name), "ok", f"{found.facts.proxy}: {does}")


def _what(node: str) -> str:
    return f"gateway {node}"


def _needs_one(picture: Picture) -> str:
    """Name a service that is to be reached from outside, if there is one."""
    for name, app in sorted(picture.apps.items()):
        for service in app.services.values():
            served = [one for one in reach.endpoints(picture, app, service) if "node:" not in one]
            if served and is_there(app, service):
                return f"{name}/{service.name}"
    return ""


def _none(node: str, needed: str, lack: str) -> Finding:
    seen = "none: published ports, host names and service names are not served there"
    do = f"{lack}; then {_START}" if lack else _START
    if not needed:
        return Finding(_what(node), "ok", seen)
    return Finding(_what(node), "warn", f"{seen}, such as those of {needed}", do)


def _amiss(node: str, said: Gateway | str, limits: list[str]) -> Iterator[Finding]:
    what = _what(node)
    if isinstance(said, str):
        yield Finding(what, "fail", f"it does not answer: {said}", "look at its log there")
        return
    for words in [*limits, *said.hints]:
        seen, _, do = words.partition(": ")
        yield Finding(what, "warn", seen, do)
    for words in said.problems:
        yield Finding(what, "warn", words, _mend(words))
    for other, how in sorted(said.unreached.items()):
        seen = f"the gateway of {other} does not answer it: {how}"
        do = f"does segue-gateway run on {other}, and does a firewall let TCP 7443 through to it?"
        yield Finding(what, "warn", seen, do)


def _mend(words: str) -> str:
    """Say what helps against what a gateway could not do."""
    if words.startswith("names:"):
        return "have the resolver there leave app bridges alone (dnsmasq: bind-dynamic)"
    if "port is somebody else's" in words:
        return "stop what listens there, or publish another port"
    if words.startswith("ingress"):
        return "deploy the app again with a secret that holds certificate and key, as PEM"
    return "see its log there"
