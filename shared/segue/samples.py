"""What is measured over and over, on core NATS, unstored: samples. Nobody may need any one of them.

The health monitor makes loads of them, where a service has a target for the metric.
"""

from typing import Any

import msgspec

CONTAINER_SAMPLES = "sample.containers.*"
SERVICE_SAMPLES = "sample.service.*.*.*"
SAMPLE_EVERY_S = 2.0


class ContainerSample(msgspec.Struct, frozen=True):
    """What one container has used."""

    app: str
    service: str
    slot: int
    attempt: int
    cpu_s: float  # Since it began.
    memory_bytes: int  # Its working set: without the pages that can be dropped at any time.


class NodeSample(msgspec.Struct, frozen=True):
    """A node's containers. On `sample.containers.<node>`, every `SAMPLE_EVERY_S`."""

    node: str
    at_s: float  # By the node's own monotonic clock, which rates are reckoned by.
    containers: list[ContainerSample]


class ServiceSample(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a service as a whole has to do. On `sample.service.<app>.<service>.<metric>`.

    The subject's own words may be left out of the body: `{"value": 250}` says all there is to say.
    Totals of several sources add up; of means, such as a latency, the mean by weight is taken.
    """

    app: str
    service: str
    metric: str
    value: float  # Of all replicas together, unless it is a mean.
    source: str = ""  # Who measures it, where there are several.
    mean: bool = False
    weight: float = 1.0  # Such as the number of requests that the mean is of.
    every_s: float = 15.0  # So often it is said; it means nothing any more after three times that.

    @property
    def subject(self) -> str:
        """Where on the bus it is said."""
        return f"sample.service.{self.app}.{self.service}.{self.metric}"


def service_sample(subject: str, data: bytes) -> ServiceSample:
    """Read a sample of a service, or raise `msgspec.MsgspecError`."""
    body = msgspec.json.decode(data, type=dict[str, Any])
    app, service, metric = subject.split(".")[2:5]
    return msgspec.convert(body | {"app": app, "service": service, "metric": metric}, ServiceSample)
