"""What services share: networks, volumes, secrets and configs, completed and made into specs."""

from typing import Any

from segue.compose.attributes import TABLE
from segue.compose.findings import Findings
from segue.compose.forms import ordered
from segue.spec import FileSpec, NetworkSpec, VolumeSpec

KINDS = ("networks", "volumes", "secrets", "configs")
# What the kernel mounts over a network: `driver_opts: {type: nfs}` of Docker's own driver.
_OVER_NETWORK = frozenset(
    ("9p", "afs", "ceph", "cifs", "glusterfs", "lustre", "nfs", "nfs4", "ocfs2", "smb3", "smbfs")
)
_CONTENT = ("x-digest", "file", "environment", "content")


def complete(canonical: dict[str, Any], app: str, findings: Findings) -> None:
    """Give every resource its engine name, and services without a network the default one."""
    services = canonical.get("services", {})
    for name, service in services.items():
        if not service.keys() & {"networks", "network_mode"}:
            services[name] = ordered("services.*", service | {"networks": {"default": {}}}, TABLE)
    if any("default" in used for used in _networks(canonical)):
        networks = {"default": {}} | canonical.get("networks", {})
        canonical["networks"] = dict(sorted(networks.items()))
    for kind in KINDS:
        entries = canonical.get(kind, {})
        for key in entries:
            entries[key] = _complete(f"{kind}.{key}", key, entries[key], app, findings)


def _networks(canonical: dict[str, Any]) -> list[dict[str, Any]]:
    services = canonical.get("services", {}).values()
    return [service.get("networks", {}) for service in services]


def _complete(
    at: str, key: str, entry: dict[str, Any], app: str, findings: Findings
) -> dict[str, Any]:
    external = entry.get("external", False)
    if isinstance(external, dict):
        entry = {"name": external.get("name", key)} | entry | {"external": True}
    if not external:
        given = {name: value for name, value in entry.items() if name != "external"}
        return {"name": f"{app}_{key}"} | given
    for other in entry.keys() - {"external", "name"}:
        if not other.startswith("x-") or other == "x-digest":
            findings.at(f"{at}.{other}").wrong(
                "an external resource is only named", f"remove {other} or external", "conflict"
            )
    return {"name": entry.get("name", key)} | entry


def shared_volumes(canonical: dict[str, Any]) -> frozenset[str]:
    """Give the keys of the volumes whose data are the same on every node.

    Of another driver than Docker's own nobody knows that here: its data count as one node's.
    """
    return frozenset(
        key
        for key, entry in canonical.get("volumes", {}).items()
        if entry.get("driver", "local") == "local"
        and entry.get("driver_opts", {}).get("type", "").lower() in _OVER_NETWORK
    )


def volumes(canonical: dict[str, Any]) -> dict[str, VolumeSpec]:
    """Make the app's volumes."""
    return {
        key: VolumeSpec(
            name=entry["name"],
            driver=entry.get("driver", "local"),
            driver_opts=entry.get("driver_opts", {}),
            labels=entry.get("labels", {}),
            external=entry.get("external", False),
        )
        for key, entry in canonical.get("volumes", {}).items()
    }


def networks(canonical: dict[str, Any]) -> dict[str, NetworkSpec]:
    """Make the app's networks."""
    return {
        key: NetworkSpec(
            name=entry["name"],
            internal=entry.get("internal", False),
            labels=entry.get("labels", {}),
            driver_opts=entry.get("driver_opts", {}),
            external=entry.get("external", False),
        )
        for key, entry in canonical.get("networks", {}).items()
    }


def files(canonical: dict[str, Any], kind: str, findings: Findings) -> dict[str, FileSpec]:
    """Make the app's secrets or configs; each has a digest or is external."""
    made: dict[str, FileSpec] = {}
    for key, entry in canonical.get(kind, {}).items():
        at = f"{kind}.{key}"
        external = entry.get("external", False)
        told = {problem.where for problem in findings.problems}
        judged = any(f"{at}.{name}" in told for name in _CONTENT)
        if not external and "x-digest" not in entry and not judged:
            findings.at(at).wrong("has no content", "give file, environment or external")
        made[key] = FileSpec(
            name=entry["name"],
            digest=None if external else entry.get("x-digest"),
            external=external,
            labels=entry.get("labels", {}),
        )
    return made
