"""What an app's containers share on a node: its networks and volumes.

Both are made when the first container needs them, and are ours by label. What existed before under
the same name stays its owner's: a volume is used, a network is refused.
"""

from collections.abc import Callable
from typing import Any

import anyio
from docker import APIClient
from segue.bridges import bridge_name
from segue.spec import NetworkSpec, VolumeSpec

from segue_node_runner import labels
from segue_node_runner.effects import RemoveApp, Start
from segue_node_runner.errors import EngineError
from segue_node_runner.sdk import Calls

_BRIDGE = "com.docker.network.bridge.name"


class Commons:
    """The networks and volumes of one engine."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._known: set[tuple[str, str, str]] = set()  # Seen on the engine since `forget`.
        self._gateways: dict[str, str] = {}  # The host's address, by network.
        self._making: dict[tuple[str, str, str], anyio.Lock] = {}

    def forget(self) -> None:
        """Look again at everything: someone may have removed what was there."""
        self._known.clear()
        self._gateways.clear()

    async def networks(self, order: Start) -> None:
        """Have every network of the ordered service."""
        for key in sorted(order.runs.networks):
            if network := order.spec.networks.get(key):
                await self._have("network", network, order)

    async def gateways(self, order: Start) -> list[str]:
        """Give the host's addresses on the networks of the ordered service, which are there."""
        keys = [key for key in sorted(order.runs.networks) if key in order.spec.networks]
        names = [order.spec.networks[key].name for key in keys]
        for name in names:
            if name not in self._gateways:

                def look(api: APIClient, of: str = name) -> dict[str, Any]:
                    found: dict[str, Any] = api.inspect_network(of)
                    return found

                self._gateways[name] = _gateway(await self._calls.quick(look))
        return [self._gateways[name] for name in names if self._gateways[name]]

    async def volumes(self, order: Start) -> None:
        """Have every named volume of the ordered service."""
        for key in sorted(order.runs.volumes):
            if volume := order.spec.volumes.get(key):
                await self._have("volume", volume, order)

    async def remove(self, effect: RemoveApp) -> None:
        """Remove the app's networks, and its volumes too if told so."""
        wanted = {"label": [f"{labels.CLUSTER}={effect.cluster}", f"{labels.APP}={effect.app}"]}
        for network in await self._calls.quick(lambda api: api.networks(filters=wanted)):
            await self._gone(APIClient.remove_network, network["Id"])
        if effect.volumes:
            found = await self._calls.quick(lambda api: api.volumes(filters=wanted))
            for volume in found["Volumes"] or []:
                await self._gone(APIClient.remove_volume, volume["Name"])
        self.forget()

    async def owners(self, cluster: str) -> tuple[list[str], list[str]]:
        """Give the apps that have networks here, and those that have volumes."""
        wanted = {"label": [f"{labels.CLUSTER}={cluster}"]}
        networks = await self._calls.quick(lambda api: api.networks(filters=wanted))
        volumes = await self._calls.quick(lambda api: api.volumes(filters=wanted))
        return _apps(networks), _apps(volumes["Volumes"] or [])

    async def _have(self, kind: str, spec: NetworkSpec | VolumeSpec, order: Start) -> None:
        thing = (kind, order.cluster, spec.name)
        if thing in self._known:
            return
        async with self._making.setdefault(thing, anyio.Lock()):
            if thing not in self._known:
                if isinstance(spec, NetworkSpec):
                    await self._have_network(spec, order)
                else:
                    await self._have_volume(spec, order)
                self._known.add(thing)

    async def _have_network(self, spec: NetworkSpec, order: Start) -> None:
        if await self._network_is_there(spec, order):
            return
        if spec.external:
            words = f"there is no network {spec.name}: make it, or take `external` from it"
            raise EngineError("invalid", words)

        bridge = bridge_name(order.cluster, order.node, spec.name)

        def make(api: APIClient) -> None:
            api.create_network(
                spec.name,
                driver="bridge",
                options={_BRIDGE: bridge} | spec.driver_opts,
                internal=spec.internal,
                attachable=spec.attachable,
                labels=_marks(order) | spec.labels,
                check_duplicate=True,
            )

        try:
            await self._calls.start(make)
        except EngineError as error:
            # Someone else made it meanwhile, or a try that got no answer did.
            known = error.kind in {"conflict", "timeout"}
            if not known or not await self._network_is_there(spec, order):
                raise

    async def _network_is_there(self, spec: NetworkSpec, order: Start) -> bool:
        filters = {"name": [f"^{spec.name}$"]}
        found = await self._calls.quick(lambda api: api.networks(filters=filters))
        found = [network for network in found if network["Name"] == spec.name]
        if not found or spec.external:
            return bool(found)
        owners = [(network.get("Labels") or {}).get(labels.CLUSTER) for network in found]
        if order.cluster not in owners:
            words = (
                f"a network {spec.name} exists that is not this cluster's: remove it, "
                "give the app's network another name, or mark it `external`"
            )
            raise EngineError("invalid", words)
        return True

    async def _have_volume(self, spec: VolumeSpec, order: Start) -> None:
        if spec.external:
            try:
                await self._calls.quick(lambda api: api.inspect_volume(spec.name))
            except EngineError as error:
                if error.kind != "missing":
                    raise
                words = f"there is no volume {spec.name}: make it, or take `external` from it"
                raise EngineError("invalid", words) from error
            return
        marks = _marks(order) | spec.labels
        await self._calls.quick(
            lambda api: api.create_volume(spec.name, spec.driver, spec.driver_opts, marks)
        )

    async def _gone(self, remove: Callable[[APIClient, str], object], name: str) -> None:
        try:
            await self._calls.quick(lambda api: remove(api, name))
        except EngineError as error:
            if error.kind != "missing":
                raise


def _gateway(network: dict[str, Any]) -> str:
    """Give the host's address on a network; a network of another kind may have none."""
    if network.get("Driver") != "bridge":
        return ""
    given = (network.get("IPAM") or {}).get("Config") or []
    found = (one.get("Gateway", "").split("/")[0] for one in given)
    return next((one for one in found if "." in one), "")


def _apps(things: list[dict[str, Any]]) -> list[str]:
    owners = {(thing.get("Labels") or {}).get(labels.APP) for thing in things}
    return sorted(owner for owner in owners if owner)


def _marks(order: Start) -> dict[str, str]:
    return {labels.CLUSTER: order.cluster, labels.APP: order.app}
