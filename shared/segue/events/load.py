"""How much a service has to do, per metric, against what its replicas are meant for.

normal ⇄ high, normal ⇄ low      each said again when it has moved while it lasts

The health monitor says it of what is measured; any program may say it of what only it knows.
"""

from segue.events.base import Event


class LoadEvent(Event, scope=("app", "service", "metric")):
    """Common to all: of what, how much there is, and how much there is to be."""

    app: str
    service: str
    metric: str
    value: float  # The mean per replica: cpu and memory in percent, latency in seconds.
    target: float = 0.0  # What it is to be; 0: what the service says (`x-autoscale.target`).
    replicas: int = 0  # So many the mean is of; 0: of as many as the service has.
    window_s: float = 0.0  # So long was measured.
    words: str = ""  # What else is to be known of it, such as whose samples are missing.


class LoadHigh(LoadEvent, type="load.high"):
    """There is more to do than the replicas are meant for. The autoscaler reacts."""


class LoadLow(LoadEvent, type="load.low"):
    """There is less to do than the replicas are meant for. The autoscaler reacts."""


class LoadNormal(LoadEvent, type="load.normal"):
    """The replicas are as many as the load needs, or nothing is known of it any more.

    The autoscaler reacts: the metric asks for no other number.
    """
