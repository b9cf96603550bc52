"""Make what the environment asks for, by OpenTelemetry's own names, and send it where they say.

`console` comes with the SDK, `otlp` with the extra `segue-core[otlp]`; whatever else is installed
(`prometheus`, say) is found by its entry point. Traces are sampled by their id alone, so that all
services keep the same ones: `OTEL_TRACES_SAMPLER` may be any of the standard's six names.
"""

import importlib.metadata
from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    ConsoleSpanExporter,
    SimpleSpanProcessor,
    SpanExporter,
)
from opentelemetry.sdk.trace.sampling import ParentBased, Sampler, TraceIdRatioBased

from segue.telemetry.spans import IDS


class ExportError(Exception):
    """The environment asks for what cannot be had."""


def providers(
    service: str, instance: str, environ: Mapping[str, str]
) -> tuple[TracerProvider | None, MeterProvider | None]:
    """Give the providers that the environment asks for; None for what it does not."""
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None, None
    resource = Resource.create(
        {
            "service.namespace": "segue",
            "service.name": f"segue-{service.replace('_', '-')}",
            "service.instance.id": instance or service,
            "service.version": importlib.metadata.version("segue-core"),
        }
    )
    exporters = [_made("traces", name) for name in _names("TRACES", environ)]
    readers = [_reader(_made("metrics", name)) for name in _names("METRICS", environ)]
    tracers = meters = None
    if exporters:
        tracers = TracerProvider(sampler(environ), resource, id_generator=IDS)
        for exporter in exporters:
            tracers.add_span_processor(_processor(exporter))
    if readers:
        meters = MeterProvider(readers, resource)
    return tracers, meters


def sampler(environ: Mapping[str, str]) -> Sampler:
    """Keep a share of the traces, the same in every process, and none that a caller dropped."""
    name = environ.get("OTEL_TRACES_SAMPLER", "parentbased_always_on")
    shares = {"always_on": 1.0, "always_off": 0.0}
    kind = name.removeprefix("parentbased_")
    try:
        text = environ.get("OTEL_TRACES_SAMPLER_ARG") or "1"
        by_id = TraceIdRatioBased(float(text) if kind == "traceidratio" else shares[kind])
    except (KeyError, ValueError) as error:
        raise ExportError(
            f"OTEL_TRACES_SAMPLER is {name!r} and its argument"
            f" {environ.get('OTEL_TRACES_SAMPLER_ARG')!r}: use always_on, always_off, or"
            " traceidratio with a share from 0 to 1, each also with parentbased_ before it"
        ) from error
    return ParentBased(by_id, remote_parent_sampled=by_id, local_parent_sampled=by_id)


def _names(signal: str, environ: Mapping[str, str]) -> list[str]:
    asked = environ.get(f"OTEL_{signal}_EXPORTER")
    if asked is None:
        places = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
        asked = "otlp" if any(environ.get(place) for place in places) else "none"
    names = [name.strip() for name in asked.split(",")]
    return [name for name in names if name not in ("", "none")]


def _made(signal: str, name: str) -> Any:
    wanted = {"otlp": "otlp_proto_http"}.get(name, name)
    found = importlib.metadata.entry_points(group=f"opentelemetry_{signal}_exporter", name=wanted)
    for entry in found:
        return entry.load()()
    extra = "install segue-core[otlp]" if name == "otlp" else "install the package that has it"
    raise ExportError(f"OTEL_{signal.upper()}_EXPORTER is {name}, which is not here: {extra}")


def _processor(exporter: SpanExporter) -> SpanProcessor:
    """Show a span on a console at once, send it elsewhere in batches."""
    at_once = isinstance(exporter, ConsoleSpanExporter)
    return SimpleSpanProcessor(exporter) if at_once else BatchSpanProcessor(exporter)


def _reader(made: Any) -> MetricReader:
    return made if isinstance(made, MetricReader) else PeriodicExportingMetricReader(made)
