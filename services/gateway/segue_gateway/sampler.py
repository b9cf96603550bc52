"""Say over and over what is led to each service, as the host's proxy counts it.

It decides nothing: a sample that cannot be taken or said is followed by the next.
"""

import time

import anyio
import msgspec
from segue.bus import Bus
from segue.samples import SAMPLE_EVERY_S, GatewaySample

from segue_gateway.proxy import Proxy
from segue_gateway.runtime import RuntimeAwayError
from segue_gateway.traffic import Meter


async def run(bus: Bus, node: str, proxy: Proxy) -> None:
    """Sample until cancelled."""
    meter, encode = Meter(), msgspec.json.Encoder().encode
    while True:
        try:
            services, workers = await proxy.traffic()
        except RuntimeAwayError:
            pass  # It is looked after elsewhere.
        else:
            sample = GatewaySample(node, meter.measured(workers, services, time.monotonic()))
            await bus.say(f"sample.gateways.{node}", encode(sample))
        await anyio.sleep(SAMPLE_EVERY_S)
