"""`x-ingress`: which host names and paths of the web's own ports lead to a service, on every node.

x-ingress:
  - {host: shop.example, path: /api, port: 8080, tls: shop-certificate}

Without a host it is any, without a path all of them; `tls` names a secret of the app that holds a
certificate and its key, as PEM. What is allowed here goes into a proxy's file as it is.
"""

from typing import Any

from segue.compose.findings import Place, Row
from segue.compose.forms import items, matching, port, text

_HOST = r"\*|[a-z0-9]([a-z0-9-]{0,62})(\.[a-z0-9]([a-z0-9-]{0,62}))*"


def finish(place: Place, entry: dict[str, Any]) -> Any:
    """Judge one that has been read: it needs to say where it leads, and nothing unknown."""
    unknown = sorted(key for key in entry if key.startswith("x-"))
    if unknown:
        return place.wrong(f"has a key {unknown[0]} that is not known", "remove it", "unknown")
    if "port" not in entry and f"{place.at}.port" not in place.findings.failed:
        return place.wrong("has no port", "give the port that the service listens on")
    return entry


def _row(name: str, form: Any, says: str) -> Row:
    return Row(f"services.*.x-ingress{name}", "honour", form, field=f"ingress{name}", says=says)


INGRESS: tuple[Row, ...] = (
    _row("", items(None, finish), says="host names on ports 80 and 443 of every node's gateway"),
    _row("[].host", matching(_HOST, "a host name in lower case, or *"), says="without it any"),
    _row("[].path", matching(r"/[\w.~/-]*", "a path such as /api"), says="without it all"),
    _row("[].port", port, says="that the service listens on, by HTTP"),
    _row("[].tls", text, says="a secret with certificate and key, as PEM"),
)
