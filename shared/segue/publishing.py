"""Say which service has which published port of all nodes: of two that want one, the first by name.

Gateways (what is served?) and command line (what is shown as served?) have to agree on this.
"""

from segue.picture import UP, App, Picture, Service
from segue.spec import Port


def is_there(app: App, service: Service) -> bool:
    """Tell whether it is wanted, or what is left of it may still be used."""
    if service.wanted and app.phase not in ("removing", "removed"):
        return True
    return any(one.phase in UP for slot in service.slots.values() for one in slot.containers())


def is_published(port: Port) -> bool:
    """Tell whether gateways are to serve a port: they speak TCP, at a port that is named."""
    return port.mode == "ingress" and port.protocol == "tcp" and bool(port.published)


def place(port: Port) -> tuple[str, int]:
    """Give where a port is published: the host's address, empty for all of them, and the port."""
    return port.host_ip or "", port.published or 0


def published(picture: Picture) -> dict[tuple[str, int], tuple[App, Service, Port]]:
    """Give by place what is published there, and by which service."""
    found: dict[tuple[str, int], tuple[App, Service, Port]] = {}
    for _, app in sorted(picture.apps.items()):
        for _, service in sorted(app.services.items()):
            if service.revision not in app.specs or not is_there(app, service):
                continue
            for port in service.spec.ports:
                if is_published(port):
                    found.setdefault(place(port), (app, service, port))
    return found
