"""What is said over and over on core NATS, unstored: beats. Nobody may need any one of them."""

import msgspec


class NodeBeat(msgspec.Struct, frozen=True):
    """A node runner is at work. On `beat.node_runner.<node>`, every `NODE_BEAT_EVERY_S`."""

    node: str
    session: str


NODE_BEAT_EVERY_S = 0.5
NODE_BEATS = "beat.node_runner.*"


class GatewayBeat(msgspec.Struct, frozen=True, omit_defaults=True):
    """A gateway is at work. On `beat.gateway.<node>`, every `GATEWAY_BEAT_EVERY_S` and on news."""

    node: str
    session: str
    applied: int  # What the log says up to this sequence is what its proxy does.
    in_flight: dict[str, int] = {}  # Connections to containers that it drains, by name and attempt.


GATEWAY_BEAT_EVERY_S = 0.5
GATEWAY_BEATS = "beat.gateway.*"
