"""Secrets and configs: their contents are kept aside, and the document has digests."""

import hashlib
from collections.abc import Callable

import pytest
from segue.spec import AppSpec, FileSpec
from segue_cli.compose import Loaded, render, to_yaml


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


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_contents_stay_out_of_the_document_and_are_kept_by_digest(
    compose_load: Callable[..., Loaded],
) -> None:
    files = {
        "compose.yaml": """
            services:
              web: {image: x, secrets: [file, var], configs: [text, out]}
            secrets: {file: {file: ./s.bin}, var: {environment: TOKEN}}
            configs: {text: {content: "a=$TOKEN"}, out: {external: true, name: o-1}}
        """,
        "s.bin": b"\x00\xff secret",
    }
    found = compose_load(files, environ={"TOKEN": "hush"})
    app = spec(found)
    assert app.secrets["file"] == FileSpec(name="shop_file", digest=digest(b"\x00\xff secret"))
    assert app.secrets["var"].digest == digest(b"hush")
    assert app.configs["text"].digest == digest(b"a=hush")
    assert app.configs["out"] == FileSpec(name="o-1", external=True)
    assert found.files == {
        digest(content): content for content in (b"\x00\xff secret", b"hush", b"a=hush")
    }
    assert "hush" not in to_yaml(found.document)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("{file: gone}", "compose.yaml:2:15 secrets.s.file: there is no file gone [file]"),
        (
            "{environment: NOPE}",
            (
                "compose.yaml:2:15 secrets.s.environment: the variable NOPE is not set; "
                "set it [variable]"
            ),
        ),
        (
            "{file: big}",
            (
                "compose.yaml:2:15 secrets.s.file: big is larger than 1024 KiB; "
                "put it into the image or a volume [file]"
            ),
        ),
        (
            "{file: ok, environment: A}",
            (
                "compose.yaml:2:25 secrets.s.environment: is given, and so is file; "
                "keep one of them [conflict]"
            ),
        ),
        (
            "{content: hush}",
            (
                "compose.yaml:2:15 secrets.s.content: not supported. A secret never travels in a "
                "document; deploy with the command line from `file` or `environment`. [unsupported]"
            ),
        ),
        (
            "{}",
            (
                "compose.yaml:2:11 secrets.s: has no content; give file, environment or external "
                "[invalid]"
            ),
        ),
    ],
)
def test_what_is_wrong_with_a_secret_is_told_at_its_line(
    compose_load: Callable[..., Loaded], entry: str, problem: str
) -> None:
    text = f"services: {{web: {{image: x, secrets: [s]}}}}\nsecrets: {{s: {entry}}}"
    files = {"compose.yaml": text, "ok": "x", "big": b"x" * (1024**2 + 1)}
    assert said(compose_load(files)) == [problem]


def test_a_secret_that_no_service_uses_is_left_out_with_a_note(
    compose_load: Callable[..., Loaded],
) -> None:
    found = compose_load({"compose.yaml": WEB + "}}\nsecrets: {s: {file: gone}}"})
    assert spec(found).secrets == {}
    assert "secrets.s: is used by no service and is left out" in render(found.notes[0])


def test_bytes_that_are_no_text_reach_a_secret_whole_and_are_refused_elsewhere(
    compose_load: Callable[..., Loaded],
) -> None:
    raw = b"\xffkey"
    environ = {"RAW": raw.decode(errors="surrogateescape")}
    text = "services: {web: {image: x, secrets: [s]%s}}\nsecrets: {s: {environment: RAW}}"
    found = compose_load({"compose.yaml": text % ""}, environ=environ)
    assert spec(found).secrets["s"].digest == digest(raw)
    found = compose_load({"compose.yaml": text % ", environment: [RAW]"}, environ=environ)
    assert said(found) == [
        (
            "compose.yaml:1:56 services.web.environment.RAW: has bytes in it that are not UTF-8; "
            "put them into a secret [invalid]"
        )
    ]
    found = compose_load({"compose.yaml": text % ", x-a: $RAW"}, environ=environ)
    assert "not UTF-8" in said(found)[0]
