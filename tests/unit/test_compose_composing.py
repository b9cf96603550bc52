"""Several files and services become one document: extends, merge, include, profiles."""

from collections.abc import Callable

import pytest
from segue.spec import AppSpec
from segue_cli.compose import Loaded, render


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


def test_a_service_extends_one_of_its_file_and_that_one_another(
    compose_load: Callable[..., Loaded],
) -> None:
    text = """
    services:
      base: {image: busybox, user: root, environment: {TZ: utc, PORT: 80}}
      common: {extends: {service: base}, environment: [PORT=90]}
      web: {extends: common, command: run}
    """
    found = spec(compose_load({"compose.yaml": text})).services["web"]
    assert found.image == "busybox"
    assert found.container["User"] == "root"
    assert found.container["Env"] == ["PORT=90", "TZ=utc"]


def test_a_service_extends_one_of_another_file_whose_paths_are_its_own(
    compose_load: Callable[..., Loaded],
) -> None:
    files = {
        "compose.yaml": "services: {web: {extends: {file: sub/base.yaml, service: app}}}",
        "sub/base.yaml": "services: {app: {extends: root}, root: {image: $IMG, env_file: x.env}}",
        "sub/x.env": "A=sub",
        ".env": "IMG=nginx",
    }
    found = compose_load(files)
    assert spec(found).services["web"].image == "nginx"
    assert env(found) == ["A=sub"]
    assert list(spec(found).services) == ["web"]


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        (
            {"compose.yaml": "services: {a: {extends: b}, b: {extends: a}}"},
            "compose.yaml:1:16 services.a.extends: extends itself: a → b → a; break the circle",
        ),
        (
            {"compose.yaml": "services: {a: {extends: a}}"},
            "compose.yaml:1:16 services.a.extends: extends itself: a → a; break the circle",
        ),
        (
            {"compose.yaml": "services: {a: {extends: nope}}"},
            "compose.yaml:1:16 services.a.extends: there is no service 'nope' in compose.yaml",
        ),
        (
            {"compose.yaml": "services: {a: {extends: {service: x, file: b.yaml}}}"},
            "compose.yaml:1:38 services.a.extends.file: there is no file b.yaml",
        ),
        (
            {
                "compose.yaml": "services: {a: {extends: {service: x, file: b.yaml}}}",
                "b.yaml": "services: {y: {image: z}}",
            },
            "compose.yaml:1:16 services.a.extends: there is no service 'x' in b.yaml",
        ),
        (
            {"compose.yaml": "services: {a: {extends: {service: x, file: 'https://x/y'}}}"},
            (
                "compose.yaml:1:38 services.a.extends.file: 'https://x/y' is not a local file. "
                "Segue reads local files only: fetch it first and name the copy."
            ),
        ),
        (
            {"compose.yaml": "services: {a: {image: i, extends: {file: x}}}"},
            "compose.yaml:1:26 services.a.extends: names no service; write service: NAME",
        ),
    ],
)
def test_what_cannot_be_extended_is_a_problem(
    compose_load: Callable[..., Loaded], files: dict[str, str], problem: str
) -> None:
    found = said(compose_load(files))
    assert found[0].startswith(problem)
    assert all("extends" in one for one in found), "nothing that only follows from it"


def test_extending_in_a_circle_of_files_ends(compose_load: Callable[..., Loaded]) -> None:
    files = {
        "compose.yaml": "services: {a: {extends: {service: b, file: b.yaml}}}",
        "b.yaml": "services: {b: {extends: {service: a, file: compose.yaml}}}",
    }
    assert "extends itself: a → b → a" in said(compose_load(files))[0]


def test_an_extending_service_takes_out_what_it_resets(compose_load: Callable[..., Loaded]) -> None:
    text = """
    services:
      base: {image: x, ports: ["80:80"], environment: {A: 1, B: 2}}
      web: {extends: base, ports: !reset [], environment: {A: !reset null}}
    """
    found = compose_load({"compose.yaml": text})
    assert spec(found).services["web"].ports == []
    assert env(found) == ["B=2"]


def test_several_files_and_documents_merge_in_order(compose_load: Callable[..., Loaded]) -> None:
    files = {
        "a.yaml": WEB + ", environment: {A: a, B: a, C: a}}}",
        "b.yaml": "services: {web: {environment: [B=b, C=b]}}\n---\n"
        "services: {web: {environment: [C=c]}}",
    }
    assert env(compose_load(files, "a.yaml", "b.yaml")) == ["A=a", "B=b", "C=c"]


def test_paths_of_later_files_start_at_the_folder_of_the_first(
    compose_load: Callable[..., Loaded],
) -> None:
    files = {
        "one/a.yaml": WEB + "}}",
        "two/b.yaml": "services: {web: {env_file: x.env}}",
        "one/x.env": "A=one",
        "two/x.env": "A=two",
    }
    assert env(compose_load(files, "one/a.yaml", "two/b.yaml")) == ["A=one"]


def test_what_is_included_is_a_project_of_its_own(compose_load: Callable[..., Loaded]) -> None:
    files = {
        "compose.yaml": "include: [sub/compose.yaml]\n"
        "services: {web: {image: x, depends_on: [db], environment: {V: $V, W: $W}}}",
        ".env": "V=ours",
        "sub/compose.yaml": "services: {db: {image: y, env_file: x.env, "
        "environment: {V: $V, W: $W}, volumes: ['d:/d']}}\nvolumes: {d: }",
        "sub/.env": "V=theirs\nW=theirs",
        "sub/x.env": "X=sub",
    }
    found = compose_load(files)
    assert env(found, "db") == ["V=ours", "W=theirs", "X=sub"]
    assert env(found) == ["V=ours", "W="]
    assert spec(found).volumes["d"].name == "shop_d"


def test_include_in_long_syntax(compose_load: Callable[..., Loaded]) -> None:
    files = {
        "compose.yaml": "include: [{path: [sub/a.yaml, sub/b.yaml], project_directory: other, "
        "env_file: my.env}]\nservices: {web: {image: x}}",
        "sub/a.yaml": "services: {db: {image: y, env_file: x.env}}",
        "sub/b.yaml": "services: {db: {environment: {V: $V}}}",
        "other/x.env": "X=other",
        "my.env": "V=mine",
    }
    assert env(compose_load(files), "db") == ["V=mine", "X=other"]


def test_includes_include(compose_load: Callable[..., Loaded]) -> None:
    files = {
        "compose.yaml": "include: a/a.yaml\nservices: {web: {image: x}}",
        "a/a.yaml": "include: [b/b.yaml]\nservices: {a: {image: x}}",
        "a/b/b.yaml": "services: {b: {image: x}}",
    }
    assert sorted(spec(compose_load(files)).services) == ["a", "b", "web"]


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        (
            {
                "compose.yaml": "include: [a.yaml]\nservices: {db: {image: x}}",
                "a.yaml": "services: {db: {image: y}}",
            },
            (
                "compose.yaml:1:11 include[0]: services.db is defined here and at compose.yaml:2; "
                "rename one of them [conflict]"
            ),
        ),
        (
            {
                "compose.yaml": "include: [a.yaml]\nservices: {db: {image: x}}",
                "a.yaml": "include: [compose.yaml]",
            },
            "a.yaml:1:11 include[0]: compose.yaml includes itself; break the circle [reference]",
        ),
        (
            {"compose.yaml": "include: [gone.yaml]\nservices: {db: {image: x, depends_on: [a]}}"},
            "compose.yaml:1:11 include[0]: there is no file gone.yaml [file]",
        ),
        (
            {"compose.yaml": "include: ['oci://x/y']\nservices: {db: {image: x}}"},
            (
                "compose.yaml:1:11 include[0]: 'oci://x/y' is not a local file. "
                "Segue reads local files only: fetch it first and name the copy. [unsupported]"
            ),
        ),
        (
            {"compose.yaml": "include: [{pth: x}]\nservices: {db: {image: x}}"},
            "compose.yaml:1:11 include[0]: names no file; write path: FILE [reference]",
        ),
    ],
)
def test_what_cannot_be_included_is_a_problem(
    compose_load: Callable[..., Loaded], files: dict[str, str], problem: str
) -> None:
    assert said(compose_load(files))[0] == problem


def test_the_same_resource_in_two_files_is_no_conflict(compose_load: Callable[..., Loaded]) -> None:
    files = {
        "compose.yaml": "include: [a.yaml]\n" + WEB + ", networks: [n]}}\nnetworks: {n: }",
        "a.yaml": "services: {db: {image: y, networks: [n]}}\nnetworks: {n: }",
    }
    assert list(spec(compose_load(files)).networks) == ["n"]


PROFILES = """
services:
  foo: {image: foo}
  bar: {image: bar, profiles: [test]}
  baz: {image: baz, depends_on: [bar], profiles: [test]}
  zot: {image: zot, depends_on: [bar], profiles: [debug]}
"""


@pytest.mark.parametrize(
    ("profiles", "targets", "services"),
    [
        ([], [], ["foo"]),
        (["test"], [], ["bar", "baz", "foo"]),
        (["debug", "test"], [], ["bar", "baz", "foo", "zot"]),
        (["*"], [], ["bar", "baz", "foo", "zot"]),
        ([], ["bar"], ["bar", "baz", "foo"]),
        (["test"], ["zot"], ["bar", "baz", "foo", "zot"]),
    ],
)
def test_profiles_choose_services(
    compose_load: Callable[..., Loaded],
    profiles: list[str],
    targets: list[str],
    services: list[str],
) -> None:
    found = compose_load({"compose.yaml": PROFILES}, profiles=profiles, targets=targets)
    assert sorted(spec(found).services) == services


def test_profiles_come_from_the_environment_too(compose_load: Callable[..., Loaded]) -> None:
    found = compose_load({"compose.yaml": PROFILES}, environ={"COMPOSE_PROFILES": "a, test"})
    assert "baz" in spec(found).services


def test_a_dependency_whose_profile_is_not_active_is_a_problem(
    compose_load: Callable[..., Loaded],
) -> None:
    assert said(compose_load({"compose.yaml": PROFILES}, profiles=["debug"])) == [
        (
            "compose.yaml:6:34 services.zot.depends_on[0]: there is no service 'bar'; "
            "correct the name, or activate its profile [reference]"
        )
    ]


def test_a_target_that_does_not_exist_is_a_problem(compose_load: Callable[..., Loaded]) -> None:
    found = compose_load({"compose.yaml": PROFILES}, targets=["nope"])
    assert said(found) == ["compose.yaml:2:1 services: there is no service 'nope' [invalid]"]
