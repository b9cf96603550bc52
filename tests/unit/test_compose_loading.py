"""Loading an app from files: its name, variables, files of variables, and what cannot be read."""

from collections.abc import Callable
from pathlib import Path

import pytest
from segue.spec import AppSpec
from segue_cli.compose import Loaded, as_json, default_files, render, to_yaml


def spec(found: Loaded) -> AppSpec:
    assert [render(one) for one in found.problems] == []
    assert found.spec is not None
    return found.spec


def env(found: Loaded, service: str = "web") -> list[str]:
    body: list[str] = spec(found).services[service].container.get("Env", [])
    return body


def said(found: Loaded) -> list[str]:
    return [render(one) for one in found.problems]


WEB = "services: {web: {image: nginx"


def test_an_app_is_loaded(compose_load: Callable[..., Loaded]) -> None:
    found = compose_load({"compose.yaml": "services: {web: {image: nginx}}"})
    assert spec(found).services["web"].image == "nginx"
    assert found.document["name"] == "shop"


@pytest.mark.parametrize(
    ("environ", "text", "app"),
    [
        ({"COMPOSE_PROJECT_NAME": "envy"}, "name: filed", "envy"),
        ({}, "name: filed", "filed"),
        ({"X": "y"}, "name: a-${X}", "a-y"),
        ({}, "", "my_folder"),
    ],
)
def test_an_app_is_named(
    compose_load: Callable[..., Loaded],
    environ: dict[str, str],
    text: str,
    app: str,
) -> None:
    text = f"{text}\nservices: {{web: {{image: 'x:${{COMPOSE_PROJECT_NAME}}'}}}}"
    found = compose_load({"My.Folder/c.yaml": text}, "My.Folder/c.yaml", environ=environ, app=None)
    assert found.app == app
    assert spec(found).services["web"].image == f"x:{app}"


def test_the_last_of_several_files_names_the_app(compose_load: Callable[..., Loaded]) -> None:
    files = {"a.yaml": "name: one\n" + WEB + "}}", "b.yaml": "name: two"}
    assert compose_load(files, "a.yaml", "b.yaml", app=None).app == "two"


def test_a_name_that_cannot_be_an_apps_is_a_problem_with_advice(
    compose_load: Callable[..., Loaded],
) -> None:
    found = compose_load({"compose.yaml": "name: My Shop\n" + WEB + "}}"}, app=None)
    assert said(found) == [
        (
            "compose.yaml:1:1 name: 'My Shop' cannot be an app's name; "
            "use at most 63 of a-z, 0-9, '_' and '-', such as 'my_shop' [invalid]"
        )
    ]


def test_variables_come_from_the_process_then_the_files(
    compose_load: Callable[..., Loaded],
) -> None:
    files = {
        "compose.yaml": WEB + ", environment: {A: $A, B: $B, C: $C}}}",
        ".env": "A=dot\nB=dot\nC=$B-c",
        "own.env": "A=own\nB=own\nC=own",
    }
    assert env(compose_load(files, environ={"A": "proc"})) == ["A=proc", "B=dot", "C=dot-c"]
    found = compose_load(files, env_files=[Path("own.env")])
    assert env(found) == ["A=own", "B=own", "C=own"]


def test_a_variable_that_is_not_set_is_noted_at_its_line(
    compose_load: Callable[..., Loaded],
) -> None:
    found = compose_load({"compose.yaml": "services:\n  web:\n    image: x\n    user: a$NOPE"})
    assert [render(one) for one in found.notes] == [
        (
            "compose.yaml:4:5 services.web.user: the variable NOPE is not set: it is empty; "
            "set it, or give it a default with ${NAME:-default}"
        )
    ]


def test_an_env_file_that_is_named_and_missing_is_a_problem(
    compose_load: Callable[..., Loaded],
) -> None:
    found = compose_load({"compose.yaml": WEB + "}}"}, env_files=[Path("gone.env")])
    assert said(found) == ["gone.env:1:1 there is no file gone.env [file]"]


def test_a_services_environment_comes_before_its_files(compose_load: Callable[..., Loaded]) -> None:
    files = {
        "compose.yaml": WEB + ", env_file: [a.env, {path: b.env}], environment: [C=own, D, E]}}",
        "a.env": "A=a\nB=a\nC=a\nD=a",
        "b.env": "B=b-$A\nP\nQ",
    }
    found = compose_load(files, environ={"E": "mine", "P": "passed"})
    assert env(found) == ["A=a", "B=b-a", "C=own", "E=mine", "P=passed"]


def test_an_env_file_may_be_optional_or_raw(compose_load: Callable[..., Loaded]) -> None:
    files = {
        "compose.yaml": WEB
        + ", env_file: [{path: gone.env, required: false}, {path: r.env, format: raw}]}}",
        "r.env": "A='$B'",
    }
    assert env(compose_load(files)) == ["A='$B'"]


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("gone.env", "compose.yaml:1:32 services.web.env_file: there is no file gone.env [file]"),
        ("[{path: sub}]", "compose.yaml:1:43 services.web.env_file[0]: sub is a folder; "),
        ("[{pth: a.env}]", "compose.yaml:1:43 services.web.env_file[0]: names no file; "),
        ("[{path: a.env, format: x}]", "compose.yaml:1:57 services.web.env_file[0].format: 'x' "),
        ("[{path: a.env, foo: x}]", "compose.yaml:1:57 services.web.env_file[0].foo: unknown key"),
        ("bad.env", "bad.env:2:1 'b c' is no KEY=VALUE; write one variable a line [dotenv]"),
    ],
)
def test_what_is_wrong_with_an_env_file_is_told_at_its_line(
    compose_load: Callable[..., Loaded], entry: str, problem: str
) -> None:
    files = {
        "compose.yaml": WEB + f", env_file: {entry}}}}}",
        "a.env": "A=1",
        "bad.env": "A=1\nb c",
        "sub/x": "",
    }
    (found,) = said(compose_load(files))
    assert found.startswith(problem)


def test_labels_come_before_their_files(compose_load: Callable[..., Loaded]) -> None:
    files = {"compose.yaml": WEB + ", label_file: l, labels: [b=own]}}", "l": "a=1\nb=file"}
    labels = spec(compose_load(files)).services["web"].container["Labels"]
    assert labels == {"a": "1", "b": "own"}


def test_a_file_that_cannot_be_read_is_the_only_problem(
    compose_load: Callable[..., Loaded],
) -> None:
    found = compose_load({"compose.yaml": "services: [\n", "b.yaml": WEB + ", lnks: [x]}}"})
    assert said(found) == ["compose.yaml:2:1 did not find expected node content [yaml]"]
    assert found.spec is None


def test_a_missing_empty_or_foreign_file_is_a_problem(compose_load: Callable[..., Loaded]) -> None:
    assert said(compose_load({}, "gone.yaml")) == [
        "gone.yaml:1:1 there is no file gone.yaml [file]"
    ]
    assert said(compose_load({"e.yaml": "# nothing\n"}, "e.yaml")) == [
        "e.yaml:1:1 the file is empty [yaml]"
    ]
    assert said(compose_load({"l.yaml": b"a: \xff"}, "l.yaml")) == [
        "l.yaml:1:1 is not UTF-8 text; save it as UTF-8 [yaml]"
    ]
    assert said(compose_load({"t.yaml": "- a"}, "t.yaml"))[0] == (
        "t.yaml:1:1 the document must be a mapping with the key 'services' [invalid]"
    )


def test_what_is_not_supported_can_be_left_out_with_a_note(
    compose_load: Callable[..., Loaded],
) -> None:
    text = WEB + ", links: [db], mac_address: x}}"
    assert len(said(compose_load({"compose.yaml": text}))) == 2
    found = compose_load({"compose.yaml": text}, lenient=True)
    assert spec(found).services["web"].image == "nginx"
    assert [one.problem.kind for one in found.notes] == ["unsupported", "unsupported"]


def test_the_canonical_document_reads_back_as_itself(compose_load: Callable[..., Loaded]) -> None:
    text = """
    services:
      web:
        image: x
        command: echo $$HOME "a b"
        environment: {A: "line one\\nline two\\n", B: "012", C: "yes", D: "null", E: ""}
        ports: ["8080:80", {target: 53, protocol: udp, mode: host}]
        healthcheck: {test: curl localhost, interval: 90s}
        secrets: [s]
        x-autoscale: {min: 2, max: 4, target: {cpu: 70%}}
    secrets: {s: {environment: S}}
    """
    first = compose_load({"compose.yaml": text}, environ={"S": "hush"})
    written = to_yaml(first.document)
    second = compose_load({"compose.yaml": written}, app=None)
    assert spec(second) == spec(first)
    assert second.document == first.document
    assert to_yaml(second.document) == written
    assert second.files == {}


def test_files_are_found_here_above_or_by_the_environment(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "a" / "docker-compose.yml").touch()
    (tmp_path / "a" / "compose.override.yaml").touch()
    assert default_files(inner, {}) == [
        tmp_path / "a" / "docker-compose.yml",
        tmp_path / "a" / "compose.override.yaml",
    ]
    (inner / "compose.yaml").touch()
    assert default_files(inner, {}) == [inner / "compose.yaml"]
    assert default_files(inner, {"COMPOSE_FILE": "x.yaml:y.yaml"}) == [
        inner / "x.yaml",
        inner / "y.yaml",
    ]


def test_a_problem_is_one_line_for_people_and_one_object_for_programs(
    compose_load: Callable[..., Loaded],
) -> None:
    (found,) = compose_load({"compose.yaml": WEB + ", links: [db]}}"}).problems
    assert render(found) == (
        "compose.yaml:1:32 services.web.links: not supported. "
        "Services reach each other by name; remove it. [unsupported]"
    )
    assert as_json(found) == {
        "file": "compose.yaml",
        "line": 1,
        "column": 32,
        "where": "services.web.links",
        "what": "not supported",
        "hint": "Services reach each other by name; remove it.",
        "kind": "unsupported",
    }
