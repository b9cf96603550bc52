"""Who leads. The sequence of the newest `leader.elected.<service>` is the leader's term."""

from segue.events.base import Event


class LeaderElected(Event, type="leader.elected", scope=("service",)):
    """An instance of a service leads from here on; every earlier leader's word is refused."""

    service: str
    instance: str
    after: int = 0  # The term it ends; 0 for the first.
