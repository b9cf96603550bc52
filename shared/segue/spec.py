"""What is to run: the canonical form of an app, as `deploy.accepted` carries it.

The form holds what a core decides on as typed fields, in base units (seconds, bytes, millicores),
and all else that a container is made of as `container`, a fragment of the engine's own create
call that no core reads. Compose files become this in `segue.compose`; nothing here reads files.
"""

import hashlib
from typing import Any, Literal

import msgspec

from segue.jobs import JOB, Job, Schedule


class Spec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A part of an app's canonical form; equal content is equal and has equal bytes."""


class Health(Spec, frozen=True):
    """The engine's own health check. Durations in seconds; the defaults are the engine's."""

    test: list[str]  # ["CMD", …] or ["CMD-SHELL", line]
    interval_s: float = 30.0
    timeout_s: float = 30.0
    retries: int = 3
    start_period_s: float = 0.0
    start_interval_s: float | None = None  # Needs engine API 1.44; ignored with a note before.


class Probe(Spec, frozen=True):
    """How a container's node asks it over the network whether it works. Durations in seconds.

    Of `http` an answer from 200 to 399 passes, of `tcp` a connection, of `nats` a server's
    greeting.
    """

    kind: Literal["http", "tcp", "nats"]
    port: int  # In the container: nothing has to be published.
    path: str = "/"
    every_s: float = 5.0
    timeout_s: float = 2.0
    failures: int = 3  # So many in a row, and it fails; before it has ever passed, in that time.
    successes: int = 1  # So many in a row, and it passes.
    start_s: float = 60.0  # Until it has passed once it is not held to be dead before this time.


class Restart(Spec, frozen=True):
    """When an ended container is followed by another (Compose `deploy.restart_policy`).

    `delay_s` None is Segue's own back-off: at once, then 1 s doubling to 60 s with full jitter.
    """

    condition: Literal["none", "on-failure", "any"] = "any"
    delay_s: float | None = None
    max_attempts: int | None = None  # None: without end.
    window_s: float | None = None  # Attempts are counted within it; None: over the slot's life.


class Dependency(Spec, frozen=True):
    """A gate on the first start of a service's containers."""

    condition: Literal["started", "healthy", "completed"] = "started"
    required: bool = True


class Placement(Spec, frozen=True):
    """Where slots may be and should be."""

    constraints: list[str] = []  # "node.labels.disk == ssd"
    spread: list[str] = []  # "node.labels.zone"
    max_per_node: int = 0  # 0: no limit.
    platform: str | None = None  # "linux/amd64"


class Update(Spec, frozen=True):
    """How a service's slots go to another version (`deploy.update_config`, `rollback_config`)."""

    parallelism: int | None = None  # Slots at once; 0: all; None: a quarter, and at least one.
    delay_s: float = 0.0  # From the end of a step to the next, if it is longer than `monitor_s`.
    order: Literal["start-first", "stop-first"] | None = None  # None: start-first where it can be.
    failure_action: Literal["rollback", "pause", "continue"] = "rollback"
    monitor_s: float = 10.0  # So long a new container has to be ready before it is trusted.
    max_failure_ratio: float = 0.0  # Of the slots: so many may fail.

    def at_once(self, slots: int) -> int:
        """Tell how many of so many slots may be under way at once."""
        if self.parallelism is None:
            return max(1, slots // 4)
        return min(self.parallelism, slots) or slots


class Strategy(Spec, frozen=True):
    """In which order a version is trusted (`x-segue.rollout`)."""

    kind: Literal["rolling", "canary", "blue_green"] = "rolling"
    canary: int = 1  # So many slots try the new version first …
    canary_percent: int = 0  # … or, if this is given, this share of them.
    promote: Literal["auto", "manual"] = "auto"  # Who finds it good: its being ready, or a person.
    deadline_s: float = 300.0  # So long nothing may come further, the time of pulls left out.

    def canaries(self, slots: int) -> int:
        """Tell how many of so many slots are the canary."""
        share = -(-slots * self.canary_percent // 100)
        return max(1, min(slots, share if self.canary_percent else self.canary))


# What is the default itself, not only its equal, is left out of the bytes that a digest is made of.
_UPDATE, _STRATEGY = Update(), Strategy()
_ROLLBACK = Update(failure_action="continue")  # Whoever goes back waits for nobody.


class Resources(Spec, frozen=True):
    """What a slot is promised. Limits that the engine enforces stand in `container`."""

    cpu_millicores: int = 0
    memory_bytes: int = 0


class Pace(Spec, frozen=True):
    """How fast a number of replicas may follow its load in one direction.

    The words are those of the Kubernetes HPA: a stabilisation window, and two policies of which
    the one that allows more counts.
    """

    window_s: float = 0.0  # The most careful number that was recommended in this time counts.
    step: int = 4  # So many slots …
    step_percent: int = 100  # … or this share of them, whichever is more …
    every_s: float = 15.0  # … within so much time.


_UP, _DOWN = Pace(), Pace(window_s=120.0, step=0)


class Span(Spec, frozen=True):
    """A span of time that comes again and again, in which there are at least so many replicas."""

    start: str  # Five fields of cron …
    end: str
    min: int
    zone: str = "UTC"  # … in this time zone of the tz database.


class Autoscale(Spec, frozen=True):
    """Between which bounds, and by which load, a service's number of replicas follows by itself."""

    max: int
    min: int = 1
    target: dict[str, float] = {}  # The mean per replica; of cpu and memory in percent of `whole`.
    tolerance: float = 0.1  # So far from the target nothing is done.
    up: Pace = _UP
    down: Pace = _DOWN
    whole: Resources = Resources()  # What 100 % is.
    schedule: list[Span] = []
    idle_s: float = 300.0  # With `min: 0`: so long nobody asks anything before there is none.

    def within(self, replicas: int) -> int:
        """Give the nearest number that the bounds allow."""
        return max(self.min, min(self.max, replicas))


class Port(Spec, frozen=True):
    """A published port. `mode: host` binds it on the slot's node; `ingress` is the gateway's."""

    target: int
    published: int | None = None  # None in host mode: the engine picks one.
    protocol: Literal["tcp", "udp", "sctp"] = "tcp"
    mode: Literal["host", "ingress"] = "ingress"
    host_ip: str | None = None
    name: str | None = None
    app_protocol: str | None = None


class Ingress(Spec, frozen=True):
    """A host name and path of the web's own ports, on every node, that lead to a service."""

    port: int  # That the service listens on.
    host: str = "*"  # Any.
    path: str = "/"
    tls: str | None = None  # The app's secret that holds certificate and key, as PEM.


class Mount(Spec, frozen=True):
    """A volume, bind or tmpfs in the container. `source` of a volume is its key in the app."""

    kind: Literal["volume", "bind", "tmpfs"]
    target: str
    source: str | None = None
    read_only: bool = False
    shared: bool = False  # A volume that is the same on every node.
    options: dict[str, Any] = {}  # The engine's VolumeOptions / BindOptions / TmpfsOptions.


class FileRef(Spec, frozen=True):
    """A secret or config as a file in the container."""

    source: str  # Its key in the app.
    target: str  # Absolute path in the container.
    uid: str = "0"
    gid: str = "0"
    mode: int = 0o444


class NetworkRef(Spec, frozen=True):
    """A service's place on one of the app's networks."""

    aliases: list[str] = []


class ServiceSpec(Spec, frozen=True):
    """One service: every slot of it runs this."""

    image: str
    mode: Literal["replicated", "global", "replicated-job", "global-job"] = "replicated"
    replicas: int = 1
    pull: Literal["missing", "always", "never"] = "missing"
    stop_grace_s: float = 10.0
    drain_s: float = 10.0  # How long what flows through gateways may go on before the stop.
    health: Health | None = None
    readiness: Probe | None = None  # While it fails, the container is out of service.
    liveness: Probe | None = None  # When it fails, the container is replaced.
    autoscale: Autoscale | None = None  # None: it has as many replicas as it is told.
    job: Job = JOB
    schedule: Schedule | None = None  # Of a job that is run again and again.
    restart: Restart = Restart()
    depends_on: dict[str, Dependency] = {}
    placement: Placement = Placement()
    resources: Resources = Resources()
    ports: list[Port] = []
    expose: list[int] = []  # TCP ports that it listens on for other services.
    ingress: list[Ingress] = []
    proxied: list[int] = []  # Ports behind which gateways tell who asks by PROXY v2.
    mounts: list[Mount] = []
    secrets: list[FileRef] = []
    configs: list[FileRef] = []
    networks: dict[str, NetworkRef] = {}  # By the network's key in the app.
    network_mode: str | None = None  # "none" or "host"; None: `networks`.
    labels: dict[str, str] = {}  # The service's own (deploy.labels).
    strict: bool = False  # No slot ever runs twice: it is replaced only once it is surely dead.
    min_available: int = 0  # So many slots stay up while others are moved …
    min_available_percent: int = 0  # … and at least this share of them.
    on_return: Literal["keep_newest", "keep_original"] = "keep_newest"  # Of two in one slot.
    update: Update = _UPDATE
    rollback: Update = _ROLLBACK
    strategy: Strategy = _STRATEGY
    container: dict[str, Any] = {}  # Fragment of the engine's create body, Config and HostConfig.
    extensions: dict[str, Any] = {}  # x-* keys, as written.

    @property
    def routed(self) -> dict[int, bool]:
        """The ports that gateways lead to, each with whether it speaks HTTP."""
        if self.is_job or self.network_mode is not None:
            return {}
        tcp = [port for port in self.ports if port.protocol == "tcp"]
        web = {port.target for port in tcp if port.app_protocol == "http"}
        web |= {one.port for one in self.ingress}
        there = {*self.expose, *(port.target for port in tcp), *web}
        return {number: number in web for number in sorted(there)}

    @property
    def is_job(self) -> bool:
        """Its containers are to end by themselves."""
        return self.mode.endswith("-job")

    @property
    def is_global(self) -> bool:
        """One slot on every node that its constraints allow."""
        return self.mode.startswith("global")

    @property
    def checked(self) -> bool:
        """Whether a container of it does its work is asked, not taken for granted once it runs."""
        is_off = self.health is None or self.health.test == ["NONE"]
        return not is_off or self.readiness is not None

    def least_up(self, slots: int) -> int:
        """Tell how many of so many slots stay up while others are moved."""
        return max(self.min_available, -(-slots * self.min_available_percent // 100))

    @property
    def alone(self) -> str:
        """Why a slot cannot run the older and the newer container side by side, or nothing."""
        if self.strict:
            return "a slot of it may never run twice"
        if self.local_volumes:
            return f"the data of volume {', '.join(self.local_volumes)} are for one at a time"
        ports = [port.published for port in self.ports if port.mode == "host" and port.published]
        return f"it binds port {ports[0]} of its node" if ports else ""

    @property
    def volumes(self) -> list[str]:
        """Keys of the app's volumes that it mounts."""
        return [m.source for m in self.mounts if m.kind == "volume" and m.source]

    @property
    def local_volumes(self) -> list[str]:
        """Keys of those whose data live on one node."""
        shared = {mount.source for mount in self.mounts if mount.shared}
        return [key for key in self.volumes if key not in shared]


class VolumeSpec(Spec, frozen=True):
    """A volume of the app; `name` is the engine's name for it."""

    name: str
    driver: str = "local"
    driver_opts: dict[str, str] = {}
    labels: dict[str, str] = {}
    external: bool = False


class NetworkSpec(Spec, frozen=True):
    """A network of the app: one bridge on each node that needs it, `name` its engine name."""

    name: str
    internal: bool = False
    attachable: bool = True
    labels: dict[str, str] = {}
    driver_opts: dict[str, str] = {}
    external: bool = False


class FileSpec(Spec, frozen=True):
    """A secret's or config's content, by reference: never in an event, always in the file store.

    `digest` is the sha256 of the content, hexadecimal, and its key in the store; None when
    `external`: then `name` is the key.
    """

    name: str
    digest: str | None = None
    external: bool = False
    labels: dict[str, str] = {}


class AppSpec(Spec, frozen=True):
    """An app: its services and what they share."""

    services: dict[str, ServiceSpec]
    volumes: dict[str, VolumeSpec] = {}
    networks: dict[str, NetworkSpec] = {}
    secrets: dict[str, FileSpec] = {}
    configs: dict[str, FileSpec] = {}
    extensions: dict[str, Any] = {}


def digest(app: AppSpec, service: str) -> str:
    """Name what makes a slot of `service` differ from another: 12 hexadecimal digits.

    What only others act on is left out (scale and what moves it, how jobs are run, restart policy,
    dependencies, probes, time to drain, placement, labels of the service, how it is moved and kept,
    extensions, what only gateways serve): changing it replaces no container.
    """
    spec = app.services[service]
    runs = msgspec.structs.replace(
        spec,
        replicas=1,
        autoscale=None,
        job=JOB,
        schedule=None,
        restart=Restart(),
        depends_on={},
        drain_s=10.0,
        readiness=None,
        liveness=None,
        placement=Placement(platform=spec.placement.platform),  # It chooses the image.
        labels={},
        strict=False,
        min_available=0,
        min_available_percent=0,
        on_return="keep_newest",
        update=_UPDATE,
        rollback=_ROLLBACK,
        strategy=_STRATEGY,
        extensions={},
        ports=[port for port in spec.ports if port.mode == "host"],
        expose=[],
        ingress=[],
    )
    shared = [
        [app.volumes[key] for key in sorted(spec.volumes) if key in app.volumes],
        [app.networks[key] for key in sorted(spec.networks) if key in app.networks],
        [app.secrets[ref.source] for ref in spec.secrets if ref.source in app.secrets],
        [app.configs[ref.source] for ref in spec.configs if ref.source in app.configs],
    ]
    return hashlib.sha256(msgspec.json.encode([runs, shared], order="deterministic")).hexdigest()[
        :12
    ]
