"""Dependencies, names, profiles, extensions, and what a canonical document is."""

from typing import Any

import msgspec
import pytest
from segue.compose import Result, convert
from segue.spec import Dependency, Restart


def converted(services: dict[str, Any], **top: Any) -> Result:
    full = {name: {"image": "x"} | service for name, service in services.items()}
    return convert({"services": full} | top, app="shop")


def problems(found: Result) -> list[str]:
    return [f"{problem.where}: {problem.what}" for problem in found.problems]


def notes(found: Result) -> list[str]:
    return [f"{note.where}: {note.what}" for note in found.notes]


def test_dependencies_in_both_forms() -> None:
    check = {"healthcheck": {"test": "x"}}
    long = {
        "db": {"condition": "service_healthy"},
        "init": {"condition": "service_completed_successfully", "required": "true"},
        "log": {"required": False},
    }
    others: dict[str, Any] = {"db": check, "init": {}, "log": {}}
    found = converted({"a": {"depends_on": ["db"]}, "b": {"depends_on": long}} | others)
    assert found.spec is not None
    assert found.spec.services["a"].depends_on == {"db": Dependency()}
    assert found.spec.services["b"].depends_on == {
        "db": Dependency(condition="healthy"),
        "init": Dependency(condition="completed"),
        "log": Dependency(required=False),
    }


def test_a_service_whose_completion_is_awaited_is_repeated_on_failure_only() -> None:
    wait = {"depends_on": {"init": {"condition": "service_completed_successfully"}}}
    found = converted({"web": wait, "init": {}})
    assert found.spec is not None
    assert found.spec.services["init"].restart == Restart(condition="on-failure")
    assert problems(converted({"web": wait, "init": {"restart": "always"}})) == [
        "services.web.depends_on.init: waits for 'init' to complete, which is always restarted"
    ]


def test_health_that_can_never_be_is_not_waited_for() -> None:
    wait = {"depends_on": {"db": {"condition": "service_healthy"}}}
    off = {"healthcheck": {"disable": True}}
    assert problems(converted({"web": wait, "db": off})) == [
        "services.web.depends_on.db: waits for 'db' to be healthy, whose health check is disabled"
    ]
    assert notes(converted({"web": wait, "db": {}})) == [
        "services.web.depends_on.db: 'db' has no healthcheck here; its image must have one"
    ]


def test_a_missing_dependency_that_is_not_required_is_left_out() -> None:
    found = converted({"web": {"depends_on": {"gone": {"required": False}}}})
    assert found.spec is not None
    assert found.spec.services["web"].depends_on == {}
    assert notes(found) == [
        "services.web.depends_on.gone: there is no service 'gone'; it is not waited for"
    ]


@pytest.mark.parametrize(
    ("waits", "cycles"),
    [
        ({"a": ["b"], "b": []}, []),
        ({"a": ["b"], "b": ["a"]}, ["services.a.depends_on: waits for itself: a → b → a"]),
        (
            {"a": ["b"], "b": ["c"], "c": ["b"]},
            ["services.b.depends_on: waits for itself: b → c → b"],
        ),
        ({"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}, []),
        (
            {"a": ["a"], "b": ["c"], "c": ["b"]},
            [
                "services.a.depends_on: waits for itself: a → a",
                "services.b.depends_on: waits for itself: b → c → b",
            ],
        ),
    ],
)
def test_circles_are_found(waits: dict[str, list[str]], cycles: list[str]) -> None:
    assert problems(converted({k: {"depends_on": v} for k, v in waits.items()})) == cycles


def test_a_long_chain_of_dependencies_is_no_trouble() -> None:
    chain = {f"s{n}": {"depends_on": [f"s{n + 1}"]} for n in range(1999)}
    assert problems(converted(chain | {"s1999": {}})) == []


@pytest.mark.parametrize("name", ["Web", "a.b", "a b", "web/1", "x" * 64, "é"])
def test_a_services_name_must_fit_into_a_subject(name: str) -> None:
    (problem,) = converted({name: {}}).problems
    assert "name" in problem.what
    assert problem.hint


def test_an_apps_name_must_fit_into_a_subject() -> None:
    found = convert({"services": {"web": {"image": "x"}}}, app="My Shop")
    assert problems(found) == ["name: 'My Shop' cannot be an app's name"]


def test_an_app_may_be_deployed_under_another_name() -> None:
    found = converted({"web": {}}, name="other")
    assert found.canonical["name"] == "shop"
    assert notes(found) == ["name: 'other' is deployed as 'shop'"]


def test_a_service_whose_profiles_are_not_active_is_left_out_with_a_note() -> None:
    found = converted({"web": {}, "debug": {"profiles": ["dev"]}})
    assert list(found.canonical["services"]) == ["web"]
    assert notes(found) == [
        "services.debug.profiles: none of dev is active: the service is left out"
    ]


@pytest.mark.parametrize("services", [None, {}, "none"])
def test_an_app_has_services(services: Any) -> None:
    found = convert({} if services == "none" else {"services": services}, app="shop")
    assert problems(found) == ["services: there are no services"]


@pytest.mark.parametrize("services", [[], "x", 5])
def test_services_are_a_mapping(services: Any) -> None:
    (found,) = problems(convert({"services": services}, app="shop"))
    assert found.startswith("services: must be a mapping")


def test_extensions_are_kept_and_so_is_what_later_parts_act_on() -> None:
    found = converted(
        {
            "web": {
                "x-other": {"min": 2},
                "deploy": {
                    "x-own": 1,
                    "endpoint_mode": "dnsrr",
                    "update_config": {"parallelism": "2", "delay": "90s", "order": "start-first"},
                    "rollback_config": {"max_failure_ratio": "0.1"},
                },
            }
        },
        **{"x-app": [1]},
    )
    assert found.spec is not None
    assert found.spec.extensions == {"x-app": [1]}
    assert found.spec.services["web"].extensions == {
        "x-other": {"min": 2},
        "endpoint_mode": "dnsrr",
    }
    assert found.notes == []


def test_what_has_no_effect_is_noted() -> None:
    found = converted(
        {
            "web": {
                "build": {"context": "."},
                "container_name": "my-web",
                "expose": ["3000", "8080-8085/udp"],
                "attach": False,
                "develop": {"watch": []},
                "dns": "1.1.1.1",
                "networks": {"default": {"priority": 5}},
            }
        },
        version="3.9",
    )
    assert found.spec is not None
    assert sorted(note.where for note in found.notes) == [
        "services.web.build",
        "services.web.container_name",
        "services.web.develop",
        "services.web.dns",
        "services.web.networks.default.priority",
        "version",
    ]
    assert "build" not in found.canonical["services"]["web"]


def test_a_containers_name_cannot_be_shared() -> None:
    found = converted({"web": {"container_name": "my-web", "deploy": {"replicas": 2}}})
    assert problems(found) == ["services.web.container_name: not supported"]


def test_aliases_of_one_limit_must_agree() -> None:
    limits = {"deploy": {"resources": {"limits": {"memory": "1g", "cpus": "1", "pids": 5}}}}
    agree = {"mem_limit": "1024m", "cpus": "1.0", "pids_limit": 5}
    assert problems(converted({"web": limits | agree})) == []
    differ = {"mem_limit": "1025m", "cpus": 2, "pids_limit": 6}
    assert len(problems(converted({"web": limits | differ}))) == 3
    assert problems(converted({"web": {"cpus": 1, "cpu_quota": 5000}})) == [
        "services.web.cpu_quota: cannot be set together with cpus"
    ]


def test_all_problems_are_found_in_one_pass() -> None:
    found = converted(
        {
            "Web": {},
            "a": {"image": "", "ports": ["x", "80:80", "y"], "tty": "?", "links": ["b"]},
            "b": {"volumes": ["gone:/x"], "depends_on": ["nope"], "imge": "y"},
        }
    )
    assert [problem.where for problem in found.problems] == [
        "services.Web",
        "services.a.image",
        "services.a.ports[0]",
        "services.a.ports[2]",
        "services.a.tty",
        "services.a.links",
        "services.b.imge",
        "services.b.depends_on[0]",
        "services.b.volumes[0]",
    ]


def test_a_problem_is_told_where_the_author_wrote_it() -> None:
    services = {"web": {"ports": ["bad", "80-82:80-82", "80:80"], "depends_on": ["a", "gone"]}}
    found = converted(services | {"a": {}})
    assert [problem.where for problem in found.problems] == [
        "services.web.ports[0]",
        "services.web.depends_on[1]",
    ]


def test_what_is_not_supported_may_be_left_out() -> None:
    document = {"services": {"web": {"image": "x", "links": ["a"], "volumes": [{"type": "npipe"}]}}}
    strict = convert(document, app="shop")
    lenient = convert(document, app="shop", lenient=True)
    assert strict.spec is None
    assert [problem.kind for problem in strict.problems] == ["unsupported", "unsupported"]
    assert lenient.spec is not None
    assert lenient.notes == strict.problems
    assert lenient.canonical["services"]["web"].keys() == {"image", "networks"}


def test_a_service_that_would_be_built_needs_its_image() -> None:
    document = {"services": {"web": {"build": "."}}}
    assert [(p.where, p.kind) for p in convert(document, app="shop").problems] == [
        ("services.web.build", "unsupported")
    ]
    assert problems(convert(document, app="shop", lenient=True)) == ["services.web: has no image"]


def test_documents_that_mean_the_same_are_one_canonical_document() -> None:
    short = {
        "services": {
            "web": {
                "image": "x",
                "ports": ["8080:80"],
                "environment": ["B=2", "A=1"],
                "command": "a b",
                "depends_on": ["db"],
                "stop_grace_period": "90s",
                "mem_limit": "1g",
            },
            "db": {"image": "y"},
        }
    }
    long = {
        "services": {
            "db": {"image": "y", "networks": ["default"]},
            "web": {
                "mem_limit": 1024**3,
                "stop_grace_period": "1m30s",
                "depends_on": {"db": {"condition": "service_started", "required": True}},
                "command": ["a", "b"],
                "environment": {"A": 1, "B": "2"},
                "ports": [{"target": "80", "published": 8080, "protocol": "tcp"}],
                "image": "x",
            },
        },
        "name": "shop",
    }
    one, other = convert(short, app="shop"), convert(long, app="shop")
    assert one.canonical == other.canonical
    assert str(one.canonical) == str(other.canonical), "in one order"
    assert one.spec == other.spec


def test_leaving_out_what_is_not_supported_never_loses_a_content() -> None:
    document = {"services": {"web": {"image": "x"}}, "secrets": {"s": {"content": "hush"}}}
    found = convert(document, app="shop", lenient=True)
    assert problems(found) == ["secrets.s: has no content"]


def test_an_answer_fits_into_an_event_however_much_is_wrong() -> None:
    web = {f"wrong-{n}": 1 for n in range(5000)} | {"x" * 100_000: 1}
    found = convert({"services": {"web": web}}, app="shop")
    assert len(found.problems) == 501
    assert found.problems[-1].what == "and more: only the first 500 are listed"
    assert len(msgspec.json.encode(found.problems)) < 500_000


def test_nothing_in_a_document_grows_without_bound() -> None:
    ports = [f"{n}-{n + 1023}:{n}-{n + 1023}" for n in range(1, 60_000, 7)]
    (too_many,) = problems(converted({"web": {"ports": ports}}))
    assert too_many == "services.web.ports: the document has more than 10000 ports, mounts, …"
    large = {"web": {"environment": {"A": "x" * 600_000}}}
    assert problems(converted(large)) == ["services: come to 586 KiB, which fits into no event"]
    deep: Any = "x"
    for _ in range(5000):
        deep = [deep]
    assert problems(converted({"web": {"x-deep": deep}})) == [
        "services: are nested more than 64 deep"
    ]
    many: dict[str, Any] = {f"s{n}": {} for n in range(2001)}
    assert problems(converted(many)) == ["services: are more than 2000"]
