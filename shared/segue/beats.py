"""What is said over and over on core NATS, unstored: beats. Nobody may need any one of them."""

import msgspec


class NodeBeat(msgspec.Struct, frozen=True):
    """A node runner is at work. On `beat.node_runner.<node>`, every `NODE_BEAT_EVERY_S`."""

    node: str
    session: str


NODE_BEAT_EVERY_S = 0.5
NODE_BEATS = "beat.node_runner.*"
