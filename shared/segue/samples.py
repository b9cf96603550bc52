"""What is measured over and over, on core NATS, unstored: samples. Nobody may need any one of them.

The health monitor makes loads of them, where a service has a target for the metric.
"""

from typing import Any

import msgspec

CONTAINER_SAMPLES = "sample.containers.*"
GATEWAY_SAMPLES = "sample.gateways.*"
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


class ServiceTraffic(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one gateway has led to a service; what it holds for want of a replica is in flight."""

    app: str
    service: str
    rps: float = 0.0  # Requests a second; of TCP, new connections.
    inflight: int = 0  # Requests that wait for the end of their answer; connections.
    errors: float = 0.0  # Answers 5xx a second.
    latency_s: float = 0.0  # The mean time from a request to the beginning of its answer …
    timed: int = 0  # … of so many; 0: that was not measured since the last sample.


class GatewaySample(msgspec.Struct, frozen=True):
    """A gateway's services, all that it knows. On `sample.gateways.<node>`, as often as a node's.

    A request counts at the one gateway that it came to, wherever it was led; so they add up.
    """

    node: str
    services: list[ServiceTraffic]


TRAFFIC = ("rps", "inflight", "errors")  # Totals of a gateway; `latency` is a mean.
TIMED_EVERY_S = 10.0  # A latency is said at least so often while anything is asked.


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


def as_service_samples(sample: GatewaySample, of: ServiceTraffic) -> list[ServiceSample]:
    """Give what a gateway says of a service, metric by metric."""

    def said(metric: str, value: float, **more: Any) -> ServiceSample:
        return ServiceSample(
            of.app, of.service, metric, value, source=f"gateway/{sample.node}", **more
        )

    found = [said(name, getattr(of, name), every_s=SAMPLE_EVERY_S) for name in TRAFFIC]
    if of.timed:
        timed = {"mean": True, "weight": float(of.timed), "every_s": TIMED_EVERY_S}
        found.append(said("latency", of.latency_s, **timed))
    return found
