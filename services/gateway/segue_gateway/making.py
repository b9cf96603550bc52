"""Make a gateway's table from the picture: which services it leads to, and to which containers.

A service is in it if its app has a container on this host, or if people reach it from outside; all
of its containers are, wherever they are. Pure: the same picture and held addresses give the same.
"""

import ipaddress
from collections.abc import Iterator

from segue.events.container import Address
from segue.events.gateway import GatewayJoined
from segue.picture import UP, App, Container, Picture, Service
from segue.publishing import is_published, is_there, published
from segue.spec import AppSpec
from segue.wants import routed

from segue_gateway.table import (
    Bridge,
    Endpoint,
    Inbound,
    Ingress,
    Neighbour,
    Port,
    Published,
    Route,
    Table,
    inbound_name,
    subnet,
)
from segue_gateway.vips import allocate


def table(
    picture: Picture, me: GatewayJoined, held: dict[str, str], pool: ipaddress.IPv4Network
) -> tuple[Table, dict[str, str]]:
    """Make the table; give with it the virtual addresses that are to be held from now on."""
    bridges = sorted(_bridges(picture, me.node), key=lambda one: (one.app, one.network))
    here = {one.app for one in picture.on_node.get(me.node, {}).values()}
    found = [
        (app, service, spec)
        for _, app in sorted(picture.apps.items())
        for _, service in sorted(app.services.items())
        if (spec := app.specs.get(service.revision)) is not None and is_there(app, service)
    ]
    named = {f"{app.name}/{service.name}" for app, service, _ in found if service.spec.routed}
    held = allocate(named, held, pool)
    routes = [
        _route(picture, me, (app, service, spec), bridges, held if me.names else {})
        for app, service, spec in found
        if not service.spec.is_job and (app.name in here or _is_public(service))
    ]
    made = Table(
        cluster=picture.state.cluster,
        node=me.node,
        mesh_port=me.port,
        bridges=bridges,
        routes=routes,
        published=list(_published(picture)),
        ingress=[one for app, service, spec in found for one in _ingress(app, service, spec)],
        inbound=list(_inbound(picture, me.node)),
        neighbours=[one for one, mesh in _others(picture, me) if mesh == me.mesh],
        apart=[one for one, mesh in _others(picture, me) if mesh != me.mesh],
    )
    return made, held


def _is_public(service: Service) -> bool:
    return bool(service.spec.ingress) or any(map(is_published, service.spec.ports))


def _bridges(picture: Picture, node: str) -> Iterator[Bridge]:
    seen: dict[tuple[str, str], None] = {}
    for container in picture.on_node.get(node, {}).values():
        for one in container.addresses:
            if (container.app, one.network) in seen:
                continue
            seen[container.app, one.network] = None
            yield Bridge(
                app=container.app,
                network=one.network,
                subnet=subnet(one.address, one.prefix),
                gateway=one.gateway or _first(one),
                internal=not one.gateway,
            )


def _first(one: Address) -> str:
    """Give the host's address on an internal network: the engine takes the first one."""
    return str(next(ipaddress.ip_network(subnet(one.address, one.prefix)).hosts()))


def _route(
    picture: Picture,
    me: GatewayJoined,
    of: tuple[App, Service, AppSpec],
    bridges: list[Bridge],
    held: dict[str, str],
) -> Route:
    app, service, spec = of
    networks = {
        spec.networks[key].name: sorted(ref.aliases)
        for key, ref in sorted(service.spec.networks.items())
        if key in spec.networks
    }
    sources = [one.subnet for one in bridges if one.app == app.name and one.network in networks]
    ports = [Port(number=number, http=http) for number, http in service.spec.routed.items()]
    vip = held.get(f"{app.name}/{service.name}", "") if ports and sources else ""
    return Route(
        app=app.name,
        service=service.name,
        vip=vip,
        sources=sources if vip else [],
        networks=networks,
        ports=ports,
        endpoints=list(_endpoints(picture, me, service)),
        held=service.spec.autoscale is not None and not service.spec.autoscale.min,
        round_robin=service.spec.extensions.get("endpoint_mode") == "dnsrr",
    )


def _endpoints(picture: Picture, me: GatewayJoined, service: Service) -> Iterator[Endpoint]:
    open_to_new = {one.key for one in routed(picture, service)}
    for _, slot in sorted(service.slots.items()):
        for one in sorted(slot.containers(), key=lambda one: one.attempt):
            draining = one.key not in open_to_new
            if draining and not _drains(picture, one):
                continue
            there = _at(picture, me, one)
            if there is not None:
                address, port, addresses = there
                made = picture.spec(one)
                yield Endpoint(
                    slot=one.slot,
                    attempt=one.attempt,
                    node=one.node,
                    address=address,
                    port=port,
                    addresses=addresses,
                    local=one.node == me.node,
                    proxied=made.proxied if made is not None else [],
                    draining=draining,
                )


def _drains(picture: Picture, one: Container) -> bool:
    """Tell whether connections to a container that gets no new ones may go on."""
    is_going = bool(one.retired) or one.phase == "unhealthy"
    return one.phase in UP and is_going and not picture.is_gone(one)


def _at(
    picture: Picture, me: GatewayJoined, one: Container
) -> tuple[str, int, dict[str, str]] | None:
    """Tell where a container is reached from this host, if it is."""
    if one.node == me.node:
        addresses = {where.network: where.address for where in one.addresses}
        return (next(iter(addresses.values())), 0, addresses) if addresses else None
    gateway = picture.gateways.get(one.node)
    if gateway is None or gateway.left or not gateway.facts.address:
        return None
    return gateway.facts.address, gateway.facts.port, {}


def _published(picture: Picture) -> Iterator[Published]:
    for (host_ip, number), (app, service, port) in published(picture).items():
        yield Published(
            published=number,
            app=app.name,
            service=service.name,
            target=port.target,
            http=service.spec.routed.get(port.target, False),
            host_ip=host_ip,
        )


def _ingress(app: App, service: Service, spec: AppSpec) -> Iterator[Ingress]:
    newest = app.specs.get(app.revision, spec)  # A new certificate alone is no new version of it.
    for one in service.spec.ingress:
        secret = newest.secrets.get(one.tls) if one.tls else None
        yield Ingress(
            host=one.host,
            path=one.path,
            app=app.name,
            service=service.name,
            target=one.port,
            tls=(secret.digest or secret.name) if secret else "",
        )


def _inbound(picture: Picture, node: str) -> Iterator[Inbound]:
    for key, one in sorted(picture.on_node.get(node, {}).items()):
        spec = picture.spec(one)
        if spec is None or not one.addresses or one.phase not in UP:
            continue
        for number in spec.routed:
            name = inbound_name(one.app, one.service, f"{key[2]}-{key[3]}", number, node)
            yield Inbound(
                name=name,
                address=one.addresses[0].address,
                port=number,
                app=one.app,
                service=one.service,
                proxied=number in spec.proxied,
            )


def _others(picture: Picture, me: GatewayJoined) -> Iterator[tuple[Neighbour, str]]:
    for node, gateway in sorted(picture.gateways.items()):
        facts = gateway.facts
        if node != me.node and facts.address and not gateway.left:
            yield Neighbour(node=node, address=facts.address, port=facts.port), facts.mesh
