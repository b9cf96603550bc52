"""How the values of single attributes of a service are read, where no general form will do."""

import re
from typing import Any

from segue.compose.attributes.deploy import device_requests
from segue.compose.findings import ABSENT, Place
from segue.compose.forms import choice, optional_pairs, section, text, texts, whole
from segue.compose.values import Invalid, as_duration, as_size, as_whole, duration_text, shown

_IMAGE = re.compile(
    r"[a-zA-Z0-9][a-zA-Z0-9._-]*(?::[0-9]+)?(?:/[a-zA-Z0-9._-]+)*"
    r"(?::[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)
_RESTART = re.compile(r"no|always|unless-stopped|on-failure(?::[0-9]{1,6})?")


def image(place: Place, value: Any) -> Any:
    """Read an image's reference."""
    found = text(place, value)
    if found is ABSENT and place.at not in place.findings.failed:
        return place.wrong("is empty", "name the image to run")
    if found is not ABSENT and not _IMAGE.fullmatch(found):
        return place.wrong(
            f"{shown(found)} is no image", "write [REGISTRY/]NAME[:TAG][@sha256:DIGEST]"
        )
    return found


def build(place: Place, value: Any) -> Any:
    """Remember that a service would be built: beside an image that is noted, else refused."""
    if not isinstance(value, str | dict):
        return place.wrong("must be text or a mapping")
    place.findings.builds.add(place.at.removesuffix(".build"))
    return ABSENT


def environment(place: Place, value: Any) -> Any:
    """Read the environment; a variable without a value is the command line's to resolve."""
    found = optional_pairs(place, value)
    if found is ABSENT:
        return ABSENT
    for key in [key for key, given in found.items() if given is None]:
        place.note(f"{key} has no value and is left out", "give it one, or use the command line")
    return {key: given for key, given in found.items() if given is not None} or ABSENT


def swap(place: Place, value: Any) -> Any:
    """Read memory plus swap; -1 is without limit and 0 asks for nothing."""
    try:
        if str(value).strip() == "-1":
            return -1
        return as_size(value) or ABSENT
    except Invalid as error:
        return place.invalid(error)


def micros(place: Place, value: Any) -> Any:
    """Read microseconds, as a number or a duration."""
    try:
        if isinstance(value, int) or (isinstance(value, str) and value.strip().isdigit()):
            return as_whole(value, 0)
        return duration_text(as_duration(value))
    except Invalid as error:
        return place.invalid(error)


def pull(place: Place, value: Any) -> Any:
    """Read when to pull; timed pulls belong to a later part."""
    found = text(place, value)
    if found in ("daily", "weekly") or str(found).startswith("every_"):
        return place.wrong(f"'{found}' is not supported", "use always or missing", "unsupported")
    if found == "build":
        return place.wrong(
            "'build' is not supported", "build and push in CI; Segue runs images", "unsupported"
        )
    if found == "refresh":
        return place.wrong("'refresh' is not supported", "use always", "unsupported")
    found = "missing" if found == "if_not_present" else found
    return choice("always", "missing", "never")(place, found) if found is not ABSENT else found


def restart(place: Place, value: Any) -> Any:
    """Read when to start again; a parser of YAML 1.1 gives `no` as false."""
    found = text(place, "no" if value is False else value)
    if found is ABSENT or _RESTART.fullmatch(found):
        return found
    return place.wrong(
        f"{shown(found)} is not known", "use no, always, unless-stopped or on-failure[:COUNT]"
    )


def security(place: Place, value: Any) -> Any:
    """Read security options; a profile in a file is not on the node."""
    found = texts(place, value)
    for index, option in enumerate([] if found is ABSENT else found):
        name, _, profile = option.replace(":", "=", 1).partition("=")
        if name == "seccomp" and not profile.startswith(("{", "unconfined", "builtin")):
            place.item(index).wrong(
                f"the profile {shown(profile)} is a file of this machine",
                "write the profile's JSON after 'seccomp='",
                "portability",
            )
    return found


def hosts(place: Place, value: Any) -> Any:
    """Read additional hosts as `NAME=ADDRESS` lines."""
    lines: list[str] = []
    given: list[tuple[Place, Any]] = []
    if isinstance(value, dict):
        for host, addresses in value.items():
            many = addresses if isinstance(addresses, list) else [addresses]
            given += [(place.key(str(host), name=True), f"{host}={address}") for address in many]
    elif isinstance(value, list):
        given = [(place.item(index), item) for index, item in enumerate(value)]
    else:
        return place.wrong("must be a mapping or a list of HOST=ADDRESS")
    for at, item in given:
        line = text(at, item)
        if line is ABSENT:
            continue
        host, mark, address = line.partition("=") if "=" in line else line.partition(":")
        address = address.strip()
        if not (host and mark and address):
            at.wrong(f"{shown(line)} is no host with an address", "write HOST=ADDRESS")
            continue
        if address.startswith("[") and address.endswith("]"):
            address = address[1:-1]
        lines.append(f"{host.strip()}={address}")
    return sorted(set(lines)) or ABSENT


def tmpfs(place: Place, value: Any) -> Any:
    """Read a path in the container, with options of the mount."""
    found = text(place, value)
    if found is ABSENT or found.startswith("/"):
        return found
    return place.wrong(f"{shown(found)} is not an absolute path", "write /PATH[:OPTIONS]")


def ulimits(place: Place, value: Any) -> Any:
    """Read named limits, each one number or a soft and a hard one; -1 is without limit."""
    if not isinstance(value, dict):
        return place.wrong("must be a mapping")
    limit = whole(-1)
    read: dict[str, Any] = {}
    for name, given in sorted(value.items(), key=lambda item: str(item[0])):
        at = place.key(str(name), name=True)
        if given is None:
            continue
        if not isinstance(given, dict):
            both = limit(at, given)
            if both is not ABSENT:
                read[str(name)] = {"soft": both, "hard": both}
            continue
        found = section(at, given)
        if found.keys() >= {"soft", "hard"}:
            if -1 < found["hard"] < found["soft"]:
                at.wrong(f"soft {found['soft']} is above hard {found['hard']}", "raise hard")
            read[str(name)] = found
        elif not at.findings.failed & {f"{at.at}.soft", f"{at.at}.hard"}:
            at.wrong("needs both soft and hard", "give both, or one number for both")
    return read or ABSENT


def ours(place: Place, value: Any) -> Any:
    """Read Segue's own keys; what it does not know would have no effect, so it is refused."""
    known = list(place.table[place.path])
    if isinstance(value, dict):
        for key in [key for key in value if str(key) not in known]:
            place.key(str(key)).wrong("unknown key", f"known are {', '.join(known)}", "unknown")
        value = {key: given for key, given in value.items() if str(key) in known}
    return section(place, value) or ABSENT


def least_up(place: Place, value: Any) -> Any:
    """Read how many slots stay up, a number of them or a share in percent."""
    given = str(value).strip()
    if isinstance(value, str) and given.endswith("%"):
        percent = given.removesuffix("%").strip()
        if percent.isascii() and percent.isdigit() and int(percent) <= 100:
            return f"{int(percent)}%"
        return place.wrong(f"{shown(value)} is no share", "write 0% to 100%, or a number of slots")
    return whole(0, 100_000)(place, value)


def gpus(place: Place, value: Any) -> Any:
    """Read device requests of which each has the capability `gpu`; `all` is every one."""
    if value == "all":
        value = [{"count": "all"}]
    if not isinstance(value, list):
        return place.wrong(f"{shown(value)} is not known", "use all, or [{count: 1}]")
    found = device_requests(place, value)
    if found is ABSENT:
        return ABSENT
    return [
        request | {"capabilities": sorted({"gpu", *request.get("capabilities", [])})}
        for request in found
    ]
