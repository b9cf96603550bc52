"""What constraints, platforms and preferences say about a node."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from segue.compose import convert
from segue.envelope import Cause
from segue.picture import Node
from segue.placement import ConstraintError, allows, constraint, fact, preference
from segue.spec import Placement, ServiceSpec
from segue.testing.shop import joined

NODE = Node(
    name="a",
    facts=joined(
        "a",
        hostname="alpha.lan",
        platform="linux/amd64",
        labels={
            "disk": "ssd",
            "zone": "z1",
            "a.b": "dotted",
            "example.com/gpu": "yes",
            "größe": "klein",
        },
    ),
    cause=Cause("c", "c"),
)


def verdict(*constraints: str, platform: str | None = None, node: Node = NODE) -> str:
    placement = Placement(constraints=list(constraints), platform=platform)
    return allows(ServiceSpec(image="w", placement=placement), node)


def on(platform: str) -> Node:
    return Node(name="a", facts=joined("a", platform=platform), cause=Cause("c", "c"))


@pytest.mark.parametrize(
    "text",
    [
        "node.labels.disk == ssd",
        "node.labels.disk==ssd",
        "  node.labels.disk   ==  ssd  ",
        "engine.labels.disk == ssd",
        "node.labels.a.b == dotted",
        "node.labels.example.com/gpu == yes",
        "node.labels.größe == klein",
        "node.labels.disk != hdd",
        "node.labels.absent != ssd",
        "node.labels.absent ==",
        "node.id == a",
        "node.hostname == alpha.lan",
        "node.role == worker",
        "node.role != manager",
        "node.platform.os == linux",
        "node.platform.arch == amd64",
        "node.platform.arch == x86_64",
    ],
)
def test_a_constraint_that_holds_refuses_nothing(text: str) -> None:
    assert verdict(text) == ""


@pytest.mark.parametrize(
    "text",
    [
        "node.labels.disk == hdd",
        "node.labels.disk != ssd",
        "node.labels.absent == ssd",
        "node.labels.Disk == ssd",
        "node.id != a",
        "node.role == manager",
        "node.platform.arch != x86_64",
        "node.platform.arch == aarch64",
    ],
)
def test_a_constraint_that_does_not_hold_is_named_in_the_refusal(text: str) -> None:
    assert verdict(text) == f"constraint {text} does not hold"


def test_all_constraints_must_hold_and_the_first_that_does_not_is_named() -> None:
    failing = "node.labels.zone == z2"
    said = verdict("node.labels.disk == ssd", failing, "node.id == b")
    assert said == f"constraint {failing} does not hold"


@pytest.mark.parametrize(
    "text", ["", "node.labels.disk", "node.labels.disk = ssd", "disk == ssd", "node.labels. == x"]
)
def test_what_is_no_constraint_is_told_what_would_be(text: str) -> None:
    with pytest.raises(ConstraintError, match=r"is not"):
        constraint(text)


def test_a_constraint_that_cannot_be_read_refuses_the_node_and_breaks_nothing() -> None:
    """It is in an accepted spec, so whoever accepted it understood it: nobody else may stop."""
    assert "cannot be read" in verdict("node.labels.disk ~ ssd")


@pytest.mark.parametrize(
    ("wanted", "has", "fits"),
    [
        ("linux/amd64", "linux/amd64", True),
        ("linux", "linux/amd64", True),
        ("linux/arm64", "linux/arm64/v8", True),
        ("linux/arm64/v8", "linux/arm64", True),
        ("linux/arm/v7", "linux/arm/v6", False),
        ("linux/arm64", "linux/amd64", False),
        ("windows/amd64", "linux/amd64", False),
        ("linux/x86_64", "linux/amd64", True),
        ("arm64", "linux/arm64/v8", True),
        ("arm64", "linux/amd64", False),
        ("linux/aarch64", "linux/arm64", True),
    ],
)
def test_a_platform_fits_when_what_both_name_is_the_same(
    *, wanted: str, has: str, fits: bool
) -> None:
    assert (verdict(platform=wanted, node=on(has)) == "") is fits


def test_the_refusal_of_a_platform_names_both() -> None:
    assert verdict(platform="linux/arm64") == "platform is linux/amd64, not linux/arm64"


def test_a_variant_is_no_part_of_the_architecture() -> None:
    assert verdict("node.platform.arch == arm64", node=on("linux/arm64/v8")) == ""


def test_a_preference_names_a_fact_of_a_node() -> None:
    assert preference("node.labels.zone") == "node.labels.zone"
    assert fact(NODE, "node.labels.zone") == "z1"
    assert fact(NODE, "node.labels.rack") == ""
    with pytest.raises(ConstraintError, match=r"known are node\.id"):
        preference("zone")


@pytest.mark.parametrize(
    "text",
    ["node.labels.example.com/gpu==yes", "node.labels.größe == klein", "node.role!=manager"],
)
def test_what_the_doorkeeper_lets_in_can_be_read_here(text: str) -> None:
    service = {"image": "w", "deploy": {"placement": {"constraints": [text]}}}
    spec = convert({"services": {"web": service}}, app="shop").spec
    assert spec is not None
    assert allows(spec.services["web"], NODE) == ""


@given(st.text(max_size=40))
def test_whatever_is_written_either_is_refused_or_is_a_constraint_that_reads_back(
    text: str,
) -> None:
    try:
        found = constraint(text)
    except ConstraintError:
        return
    assert constraint(str(found)) == found
