"""Say where a service is reached, from a picture: published ports, host names, its own names.

What is published but served by nobody is shown with the reason. Nothing is asked of any gateway.
"""

from collections.abc import Iterator, Mapping

from segue.bridges import search_domain
from segue.picture import App, Container, Gateway, Picture, Service
from segue.publishing import is_published, place, published
from segue.spec import Ingress, Port


def gateways(picture: Picture) -> list[Gateway]:
    """Give the gateways that are at work."""
    found = (picture.gateway(node) for node in sorted(picture.gateways))
    return [one for one in found if one is not None]


def endpoints(picture: Picture, app: App, service: Service) -> list[str]:
    """Say where people reach a service from outside."""
    owners = published(picture)
    said = []
    for port in service.spec.ports:
        why = _unserved(picture, service, port)
        other = owners.get(place(port)) if is_published(port) else None
        if (
            not why
            and other is not None
            and (other[0].name, other[1].name)
            != (
                app.name,
                service.name,
            )
        ):
            why = f"{other[0].name}/{other[1].name} has the port"
        said.append(endpoint(port, why))
    none = "" if gateways(picture) else " (not served: no gateway runs)"
    return said + [f"{host_name(one)}{none}" for one in service.spec.ingress]


def _unserved(picture: Picture, service: Service, port: Port) -> str:
    if port.mode == "host":
        return ""
    if not port.published:
        return "no port is named"
    if port.protocol != "tcp":
        return f"{port.protocol} takes mode: host"
    if service.spec.network_mode is not None:
        return f"network_mode: {service.spec.network_mode}"
    return "" if gateways(picture) else "no gateway runs"


def endpoint(port: Port, unserved: str = "") -> str:
    """Write a port: `node:8080->80` where it is on its slot's node, `*:8080->80` on every node."""
    kind = "" if port.protocol == "tcp" else f"/{port.protocol}"
    why = f" (not served: {unserved})" if unserved else ""
    if port.mode == "ingress" and not port.published:
        return f"{port.target}{kind}{why}"
    host = port.host_ip or ("node" if port.mode == "host" else "*")
    return f"{host}:{port.published or 'any'}->{port.target}{kind}{why}"


def host_name(one: Ingress) -> str:
    """Write a host name and path as the address that people type."""
    return f"http{'s' if one.tls else ''}://{one.host}{one.path}"


def addresses(service: Service, found: Mapping[str, list[str]]) -> Iterator[str]:
    """Write a service's virtual addresses with its ports, and on which nodes they are."""
    routed = service.spec.routed
    ports = f"port{'s' * (len(routed) > 1)} {', '.join(map(str, routed))}"
    for address, nodes in found.items():
        yield f"{address}, {ports}, on {', '.join(nodes)}"


def names(picture: Picture, app: App, service: Service) -> str:
    """Say by which names the app's own containers find a service, and at which ports."""
    if service.spec.network_mode is not None or service.spec.is_job:
        return ""
    ports = ", ".join(
        f"{number}{' (HTTP)' if http else ''}" for number, http in service.spec.routed.items()
    )
    at = f" at {ports}" if ports else ""
    if not any(one.facts.names for one in gateways(picture)):
        return f"{service.name}{at}, on each host its own containers only: no gateway answers names"
    return (
        f"{service.name}, {service.name}.{app.name}, {service.name}.{search_domain(app.name)}{at}"
    )


def is_awaited(picture: Picture, service: Service, container: Container) -> bool:
    """Tell whether a container that works is not led to yet."""
    there = picture.gateway(container.node) is not None
    return there and bool(service.spec.routed) and not container.routed_at


def of_node(picture: Picture, node: str) -> tuple[str, list[str]]:
    """Say in a word what leads to services on a node, and what it cannot do."""
    found = picture.gateway(node)
    if found is None:
        return "none", []
    return found.facts.proxy if found.facts.names else "ports only", found.facts.limits


def gateway_facts(picture: Picture, node: str) -> Iterator[tuple[str, str]]:
    """Describe a node's gateway."""
    found = picture.gateway(node)
    if found is None:
        yield "gateway", "none: published ports, host names and service names are not served there"
        return
    facts = found.facts
    does = "names, addresses, walls and ports" if facts.names else "published ports only"
    yield "gateway", f"{does}, by {facts.proxy}"
    words = "TLS, nobody's certificate is asked" if facts.mesh == "plain" else "mutual TLS"
    yield "reached by others", f"{facts.address}:{facts.port}, {words}" if facts.address else ""
    yield "it cannot", "\n".join(facts.limits)
