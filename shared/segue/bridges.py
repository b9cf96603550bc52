"""What a node's runner and its gateway agree on about the bridges that apps' networks are.

A bridge's name on the host follows from what its network is called, and begins with a mark of
ours: so a gateway guards it and answers there from the moment it exists, before any container is on
it. Nothing here does I/O.
"""

import hashlib

DOMAIN = "segue.internal"  # The suffix of every name that gateways answer.
MARK = "sg-"  # What every such bridge's name begins with.


def bridge_name(cluster: str, node: str, network: str) -> str:
    """Name the bridge of the engine's network `network`: 15 characters, the most Linux allows.

    Cluster and node are in it because several engines may share one host.
    """
    return MARK + hashlib.sha256(f"{cluster}/{node}/{network}".encode()).hexdigest()[:12]


def search_domain(app: str) -> str:
    """Give the domain in which an app's services have their short names."""
    return f"{app}.{DOMAIN}"
