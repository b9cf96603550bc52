"""Merging: a base, what overrides it, and what they come to."""

from typing import Any

import pytest
from segue_cli.compose import yaml12
from segue_cli.compose.merging import merge, without_tags
from segue_cli.compose.nodes import plain
from segue_cli.compose.trouble import Trouble

SERVICE = {
    "scalars are replaced": ("{image: a, user: u}", "{image: b}", {"image": "b", "user": "u"}),
    "null keeps what was there": ("{image: a}", "{image: }", {"image": "a"}),
    "lists append": (
        "{cap_add: [A, B]}",
        "{cap_add: [B, C]}",
        {"cap_add": ["A", "B", "C"]},
    ),
    "command is replaced": (
        "{command: [a, b]}",
        "{command: [c]}",
        {"command": ["c"]},
    ),
    "command of another form is replaced": ("{command: a b}", "{command: [c]}", {"command": ["c"]}),
    "entrypoint is replaced": (
        "{entrypoint: [a]}",
        "{entrypoint: b}",
        {"entrypoint": "b"},
    ),
    "healthcheck merges and its test is replaced": (
        "{healthcheck: {test: [CMD, a], interval: 5s}}",
        "{healthcheck: {test: [CMD, b], retries: 2}}",
        {"healthcheck": {"test": ["CMD", "b"], "interval": "5s", "retries": "2"}},
    ),
    "environment merges in both forms": (
        "{environment: [A=1, B=2, C]}",
        "{environment: {B: 3, D: 4}}",
        {"environment": {"A": "1", "B": "3", "C": None, "D": "4"}},
    ),
    "a variable alone takes the value away": (
        "{environment: {A: 1}}",
        "{environment: [A]}",
        {"environment": {"A": None}},
    ),
    "labels merge": (
        "{labels: {a: x}}",
        "{labels: [a=y, b=z]}",
        {"labels": {"a": "y", "b": "z"}},
    ),
    "other ports append": (
        "{ports: ['8080:80']}",
        "{ports: ['8443:443']}",
        {
            "ports": [
                {"target": "80", "published": "8080"},
                {"target": "443", "published": "8443"},
            ]
        },
    ),
    "one port in two forms is one": (
        "{ports: ['8080:80/tcp']}",
        "{ports: [{target: 80, published: 8080, mode: host}]}",
        {"ports": [{"target": "80", "published": "8080", "mode": "host"}]},
    ),
    "a volume at one target is replaced": (
        "{volumes: ['foo:/work', 'a:/a']}",
        "{volumes: ['bar:/work:ro']}",
        {
            "volumes": [
                {"type": "volume", "source": "bar", "target": "/work", "read_only": "true"},
                {"type": "volume", "source": "a", "target": "/a"},
            ]
        },
    ),
    "secrets and configs go by target": (
        "{secrets: [a, b], configs: [c]}",
        "{secrets: [{source: x, target: /run/secrets/a}], configs: [{source: y, target: /c}]}",
        {
            "secrets": [{"source": "x", "target": "/run/secrets/a"}, {"source": "b"}],
            "configs": [{"source": "y", "target": "/c"}],
        },
    ),
    "devices go by their path in the container": (
        "{devices: ['/dev/a:/dev/x']}",
        "{devices: ['/dev/b:/dev/x:r']}",
        {"devices": [{"source": "/dev/b", "permissions": "r", "target": "/dev/x"}]},
    ),
    "depends_on merges in both forms": (
        "{depends_on: [a, b]}",
        "{depends_on: {b: {condition: service_healthy}}}",
        {
            "depends_on": {
                "a": {"condition": "service_started", "required": "true"},
                "b": {"condition": "service_healthy", "required": "true"},
            }
        },
    ),
    "networks merge in both forms": (
        "{networks: [a]}",
        "{networks: {b: {aliases: [x]}}}",
        {"networks": {"a": {}, "b": {"aliases": ["x"]}}},
    ),
    "one value and a list append": (
        "{dns: 1.1.1.1, env_file: a.env}",
        "{dns: [8.8.8.8], env_file: [b.env]}",
        {"dns": ["1.1.1.1", "8.8.8.8"], "env_file": [{"path": "a.env"}, {"path": "b.env"}]},
    ),
    "extra hosts append in both forms": (
        "{extra_hosts: {a: 1.1.1.1, b: [2.2.2.2, 3.3.3.3]}}",
        "{extra_hosts: ['a=1.1.1.1', 'c=4.4.4.4']}",
        {"extra_hosts": ["a=1.1.1.1", "b=2.2.2.2", "b=3.3.3.3", "c=4.4.4.4"]},
    ),
    "logging of one driver merges": (
        "{logging: {driver: json-file, options: {a: 1}}}",
        "{logging: {options: {b: 2}}}",
        {"logging": {"driver": "json-file", "options": {"a": "1", "b": "2"}}},
    ),
    "logging of another driver is replaced": (
        "{logging: {driver: json-file, options: {a: 1}}}",
        "{logging: {driver: syslog, options: {b: 2}}}",
        {"logging": {"driver": "syslog", "options": {"b": "2"}}},
    ),
    "a limit in another form is replaced": (
        "{ulimits: {nofile: 5, core: 0}}",
        "{ulimits: {nofile: {soft: 1, hard: 2}}}",
        {"ulimits": {"nofile": {"soft": "1", "hard": "2"}, "core": "0"}},
    ),
    "deploy merges deeply": (
        "{deploy: {replicas: 1, placement: {constraints: [a]}}}",
        "{deploy: {replicas: 2, placement: {constraints: [b], max_replicas_per_node: 1}}}",
        {
            "deploy": {
                "replicas": "2",
                "placement": {"constraints": ["a", "b"], "max_replicas_per_node": "1"},
            }
        },
    ),
    "build in two forms merges": (
        "{build: .}",
        "{build: {args: [A=1]}}",
        {"build": {"context": ".", "args": ["A=1"]}},
    ),
    "reset takes out": (
        "{image: a, ports: ['80:80'], environment: {FOO: BAR, B: 1}}",
        "{ports: !reset [], environment: {FOO: !reset null}}",
        {"image": "a", "environment": {"B": "1"}},
    ),
    "override replaces whole": (
        "{ports: ['8080:80'], environment: {A: 1}}",
        "{ports: !override ['8443:443'], environment: !override {B: 2}}",
        {"ports": ["8443:443"], "environment": {"B": "2"}},
    ),
    "extensions merge": (
        "{x-a: {b: 1, l: [1]}}",
        "{x-a: {c: 2, l: [2]}}",
        {"x-a": {"b": "1", "l": ["1", "2"], "c": "2"}},
    ),
}


def merged(base: str, over: str) -> tuple[Any, list[str]]:
    trouble = Trouble()
    documents = yaml12.parse(f"{base}\n---\n{over}", "f.yaml", trouble)
    assert documents is not None
    found = plain(without_tags(merge(documents[0], documents[1], trouble)))
    return found, [f"{one.problem.where}: {one.problem.what}" for one in trouble.problems]


@pytest.mark.parametrize("name", SERVICE)
def test_a_service_merges(name: str) -> None:
    base, over, expected = SERVICE[name]
    found, problems = merged(f"services: {{s: {base}}}", f"services: {{s: {over}}}")
    assert problems == []
    assert found == {"services": {"s": expected}}


def test_services_of_both_are_there() -> None:
    found, _ = merged("services: {a: {image: x}}", "services: {b: {image: y}}\nname: n")
    assert found == {"services": {"a": {"image": "x"}, "b": {"image": "y"}}, "name": "n"}


def test_a_whole_service_can_be_reset() -> None:
    found, _ = merged("services: {a: {image: x}, b: {image: y}}", "services: {a: !reset null}")
    assert found == {"services": {"b": {"image": "y"}}}


def test_resources_merge() -> None:
    found, _ = merged(
        "volumes: {v: {labels: [a=1], driver_opts: {o: x}}}\nnetworks: {n: }",
        "volumes: {v: {labels: {b: 2}, external: {name: z}}}\nnetworks: {n: {internal: true}}",
    )
    assert found["volumes"]["v"]["labels"] == {"a": "1", "b": "2"}
    assert found["networks"] == {"n": {"internal": "true"}}


@pytest.mark.parametrize(
    ("base", "over", "what"),
    [
        ("{deploy: {a: b}}", "{deploy: [a]}", "a list cannot be merged with a mapping"),
        ("{cap_add: [A]}", "{cap_add: A}", "text cannot be merged with a list"),
        ("{image: a}", "{image: {b: c}}", "a mapping cannot be merged with text"),
    ],
)
def test_what_cannot_be_merged_is_a_problem(base: str, over: str, what: str) -> None:
    _, problems = merged(f"services: {{s: {base}}}", f"services: {{s: {over}}}")
    assert [problem.partition(": ")[2] for problem in problems] == [what]


def test_an_entry_that_cannot_be_read_is_kept_for_the_conversion_to_refuse() -> None:
    found, problems = merged(
        "services: {s: {ports: [abc]}}", "services: {s: {ports: ['1:2:3:4:5']}}"
    )
    assert found["services"]["s"]["ports"] == ["abc", "1:2:3:4:5"]
    assert problems == []
