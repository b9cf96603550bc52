"""Hold what is asked of a service that has no container yet, until it has one: HAProxy does it.

    frontend p:any:8080 ── no server in shop.web:80 ──▶ backend hold:shop.web:80 ── TLS ──▶
        frontend again:shop.web:80, which refuses while there is none ──▶ backend shop.web:80

A backend without servers holds nothing: it answers 503. But a connection whose TLS greeting fails
is made again, with all of what the asker has sent still unsent, and a frontend can refuse before
the greeting. So HAProxy itself tries again every 100 ms, whatever is spoken, without anybody who
has to tell it, and past reloads: the socket is the newest worker's. Nothing is read of what is
asked, and nothing is proved by the certificate: both ends are the same process. Pure.
"""

from segue_gateway.table import hash_of

AGAIN_EVERY_MS, HOLDS_MOST_S = 100, 300
_HOLD, AGAIN = "hold:", "again:"


def hold_name(backend: str) -> str:
    """Name the backend that holds what another one has no server for."""
    return _HOLD + backend


def again_name(backend: str) -> str:
    """Name the frontend that leads what was held to it."""
    return AGAIN + backend


def rule(backend: str, condition: str = "") -> str:
    """Word what leads to it where there is no server."""
    words = f"{condition} {{ nbsrv({backend}) eq 0 }}".strip()
    return f"  use_backend {hold_name(backend)} if {words}"


def waits(backend: str, held: set[str]) -> str:
    """Word it for a frontend that leads to one backend alone."""
    return f"{rule(backend)}\n" if backend in held else ""


def backend(name: str, folder: str, *, http: bool) -> str:
    """Word what holds: it has one server, that refuses or leads on."""
    mode = "  http-reuse never\n" if http else ""
    return f"""backend {hold_name(name)} from {"http" if http else "tcp"}
  timeout connect {AGAIN_EVERY_MS}ms
  retries {HOLDS_MOST_S * 1000 // AGAIN_EVERY_MS}
{mode}  server again {_socket(name, folder)} send-proxy-v2 ssl verify none
"""


def again(name: str, folder: str, pem: str, *, http: bool) -> str:
    """Word where what was held goes on."""
    return f"""frontend {again_name(name)} from {"http" if http else "tcp"}
  bind {_socket(name, folder)} accept-proxy ssl crt {pem}
  tcp-request connection reject if {{ nbsrv({name}) eq 0 }}
  default_backend {name}
"""


def _socket(name: str, folder: str) -> str:
    """An abstract one: a worker without rights reaches it too, wherever the folder is."""
    return f"abns@segue-{hash_of(folder)}-{hash_of(name)}"
