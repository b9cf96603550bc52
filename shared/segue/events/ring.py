"""Who reacts to whom: of each event, who says it and who acts on it.

It decides nothing; it is what the documents, the schemas and the bus's permissions are made from.
Whoever only looks (the command line, a notifier, a program of yours) may follow every event and is
not named. Where two say the same event, its `reason` tells which.
"""

import msgspec

from segue.events import (
    capacity,
    container,
    deploy,
    event,
    gateway,
    image,
    job,
    leader,
    load,
    log,
    node,
    rebalance,
    request,
    rollout,
    scale,
    service,
)
from segue.events.base import Event

ANYONE = "anyone"  # A person, CI, a monitor: any program with a NATS client.
_LEADERS = (
    "autoscaler",
    "deployer",
    "health_monitor",
    "scheduler",
)  # Services of which one instance leads.


class Place(msgspec.Struct, frozen=True):
    """An event's place in the ring, in names of services."""

    authors: tuple[str, ...]
    followers: tuple[str, ...]


def _place(authors: str, followers: str) -> Place:
    return Place(tuple(authors.split()), tuple(followers.split()))


RING: dict[type[Event], Place] = {
    capacity.CapacityExhausted: _place("scheduler", "scheduler"),
    capacity.CapacityEased: _place("scheduler", "scheduler"),
    container.ContainerRequested: _place("deployer", "scheduler"),
    container.ContainerAssigned: _place("scheduler", "node_runner"),
    container.ContainerUnplaceable: _place("scheduler", ""),
    container.ContainerStarted: _place("node_runner", "deployer health_monitor gateway"),
    container.ContainerHealthy: _place("node_runner", "deployer health_monitor gateway"),
    container.ContainerUnhealthy: _place("node_runner", "health_monitor gateway"),
    container.ContainerFailed: _place(
        "node_runner health_monitor", "deployer health_monitor scheduler gateway"
    ),
    container.ContainerFinished: _place("node_runner", "deployer gateway"),
    container.ContainerRetired: _place("deployer", "node_runner scheduler gateway"),
    container.ContainerStopped: _place("node_runner", "deployer scheduler gateway"),
    deploy.DeployRequested: _place(ANYONE, "deployer"),
    deploy.DeployAccepted: _place(
        "deployer", "deployer scheduler node_runner health_monitor autoscaler gateway"
    ),
    deploy.DeployRejected: _place("deployer", ""),
    deploy.DeployCompleted: _place("deployer", "node_runner"),
    deploy.DeployFailed: _place("deployer", ""),
    deploy.DeployReverted: _place("deployer", "deployer"),
    deploy.RemovalRequested: _place(ANYONE, "deployer"),
    deploy.RemovalAccepted: _place("deployer", "deployer gateway"),
    deploy.RemovalRejected: _place("deployer", ""),
    deploy.RemovalCompleted: _place("deployer", "node_runner"),
    event.EventRejected: _place("deployer", ""),
    gateway.GatewayJoined: _place("gateway", "gateway node_runner"),
    gateway.GatewayLeft: _place("gateway", "gateway node_runner"),
    gateway.EndpointReady: _place("gateway", "deployer node_runner"),
    gateway.EndpointDrained: _place("gateway", "node_runner"),
    image.ImagePulling: _place("node_runner", ""),
    image.ImagePulled: _place("node_runner", "scheduler"),
    job.ScheduleDue: _place("deployer", "deployer"),
    job.RunCompleted: _place("deployer", "deployer"),
    job.RunFailed: _place("deployer", "deployer"),
    leader.LeaderElected: Place(_LEADERS, _LEADERS),
    load.LoadHigh: _place(f"{ANYONE} health_monitor", "autoscaler health_monitor"),
    load.LoadLow: _place(f"{ANYONE} health_monitor", "autoscaler health_monitor"),
    load.LoadNormal: _place(f"{ANYONE} health_monitor", "autoscaler health_monitor"),
    log.LogFilling: _place("health_monitor", "health_monitor"),
    log.LogTrimmed: _place("health_monitor", "health_monitor"),
    log.LogEased: _place("health_monitor", "health_monitor"),
    node.NodeJoined: _place("node_runner", "deployer scheduler health_monitor"),
    node.NodeLeft: _place("node_runner", "deployer scheduler health_monitor"),
    node.NodeSuspected: _place("health_monitor", "scheduler"),
    node.NodeLost: _place("health_monitor", "deployer scheduler node_runner gateway"),
    node.NodeLeaseEnded: _place("health_monitor", "deployer scheduler"),
    node.NodeLossHeld: _place("health_monitor", "health_monitor"),
    node.NodeReturned: _place("health_monitor", "deployer scheduler"),
    node.NodeDegraded: _place("node_runner", "scheduler"),
    node.NodeRecovered: _place("node_runner", "scheduler"),
    node.NodeCordonRequested: _place(ANYONE, "deployer"),
    node.NodeUncordonRequested: _place(ANYONE, "deployer"),
    node.NodeCordoned: _place("deployer", "scheduler"),
    node.NodeUncordoned: _place("deployer", "scheduler"),
    node.NodeDrainRequested: _place(ANYONE, "deployer"),
    node.NodeDrainStarted: _place("deployer", "deployer scheduler"),
    node.NodeDrainHeld: _place("deployer", ""),
    node.NodeDrained: _place("deployer", ""),
    node.NodeLabelRequested: _place(ANYONE, "deployer"),
    node.NodeLabelled: _place("deployer", "deployer scheduler"),
    node.NodeRemovalRequested: _place(ANYONE, "deployer"),
    node.NodeRemoved: _place("deployer", "deployer scheduler health_monitor"),
    node.NodeRequestRejected: _place("deployer", ""),
    rebalance.RebalanceRequested: _place(ANYONE, "scheduler"),
    rebalance.RebalancePlanned: _place("scheduler", "deployer"),
    request.RequestWaiting: _place("gateway", "autoscaler gateway"),
    rollout.RollbackRequested: _place(ANYONE, "deployer"),
    rollout.RolloutPauseRequested: _place(ANYONE, "deployer"),
    rollout.RolloutResumeRequested: _place(ANYONE, "deployer"),
    rollout.RolloutPromoteRequested: _place(ANYONE, "deployer"),
    rollout.RolloutAbortRequested: _place(ANYONE, "deployer"),
    rollout.RolloutStarted: _place("deployer", "deployer"),
    rollout.RolloutAdvanced: _place("deployer", "deployer"),
    rollout.RolloutHeld: _place("deployer", ""),
    rollout.RolloutStalled: _place("deployer", "deployer"),
    rollout.RolloutFailed: _place("deployer", "deployer"),
    rollout.RolloutCompleted: _place("deployer", "deployer"),
    rollout.RolloutPaused: _place("deployer", ""),
    rollout.RolloutResumed: _place("deployer", "deployer"),
    rollout.RolloutPromoted: _place("deployer", "deployer"),
    rollout.RolloutRequestRejected: _place("deployer", ""),
    scale.ScaleRequested: _place(ANYONE, "deployer"),
    scale.ScaleAccepted: _place("deployer", "deployer autoscaler gateway"),
    scale.ScaleRejected: _place("deployer", ""),
    scale.ScalePauseRequested: _place(ANYONE, "deployer"),
    scale.ScaleResumeRequested: _place(ANYONE, "deployer"),
    scale.ScalePaused: _place("deployer", "autoscaler"),
    scale.ScaleResumed: _place("deployer", "autoscaler"),
    scale.ScaleDecided: _place("autoscaler", "deployer autoscaler gateway"),
    scale.ScaleHeld: _place("autoscaler", "autoscaler"),
    service.ServiceBusy: _place("health_monitor", "autoscaler health_monitor"),
    service.ServiceFlapping: _place("health_monitor", ""),
    service.ServiceIdle: _place("health_monitor", "autoscaler health_monitor"),
    service.ServiceSteady: _place("health_monitor", ""),
}
