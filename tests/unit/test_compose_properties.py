"""Converting never fails, whatever it is given, and canonical documents convert to themselves."""

import copy
import json
import pathlib
import tempfile
from typing import Any

import hypothesis
import hypothesis.strategies as st
import msgspec
from segue.compose import convert
from segue.compose.attributes import TABLE
from segue.spec import AppSpec
from segue_cli.compose import load, render, yaml12
from segue_cli.compose.interpolation import Unfilled, substitute
from segue_cli.compose.nodes import plain
from segue_cli.compose.trouble import Trouble
from segue_cli.compose.writing import to_yaml

WORDS = sorted({key for keys in TABLE.values() for key in keys})
NAMES = ["web", "db", "data", "default"]
TELLING = [
    "80", "8080:80", "80-82:80-82/udp", "data:/d", "/srv:/d:ro", "./x:/d", "1s", "1m30s", "10m",
    "0.5", "0444", "true", "no", "all", "tcp", "host", "always", "any", "A=1", "A", "/x", "bind",
    "volume", "tmpfs", "service_healthy", "node.labels.a == b", "on-failure:3", "global", "x",
    "web", "db", "data", "default", "$X", "x:1@sha256:" + "a" * 64, "linux/amd64", "CMD", "NONE",
]  # fmt: skip
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(TELLING),
)
trees: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from([*WORDS, *NAMES]) | st.text(max_size=4), inner, max_size=4),
    ),
    max_leaves=12,
)


def shaped(path: str) -> st.SearchStrategy[Any]:
    """Give sections of roughly the right shape, so that many attributes get far."""
    own: dict[str, st.SearchStrategy[Any]] = {}
    for key in TABLE[path]:
        below = f"{path}.{key}" if path else key
        options = [scalars, st.lists(st.sampled_from(TELLING), max_size=2), trees]
        if below in TABLE:
            options.append(shaped(below))
        if f"{below}[]" in TABLE:
            options.append(st.lists(shaped(f"{below}[]"), max_size=2))
        if f"{below}.*" in TABLE:
            names = st.sampled_from(NAMES)
            options.append(st.dictionaries(names, shaped(f"{below}.*"), max_size=2))
        own[key] = st.one_of(options[::-1])
    keys = st.lists(st.sampled_from(sorted(own)), max_size=5, unique=True)
    return keys.flatmap(lambda chosen: st.fixed_dictionaries({key: own[key] for key in chosen}))


documents = st.one_of(shaped(""), st.dictionaries(st.text(max_size=5), trees, max_size=3))


@hypothesis.given(document=documents, lenient=st.booleans())
def test_no_document_makes_it_fail(document: dict[str, Any], *, lenient: bool) -> None:
    before = copy.deepcopy(document)
    found = convert(document, app="shop", lenient=lenient)
    assert repr(document) == repr(before), "it changes nothing"
    assert (found.spec is None) == bool(found.problems)
    assert all(problem.what for problem in found.problems + found.notes)


def good(values: dict[str, list[Any]]) -> st.SearchStrategy[Any]:
    """Give mappings of some of the keys, each with one of its values."""
    every = {key: st.sampled_from(options) for key, options in values.items()}
    return st.fixed_dictionaries({}, optional=every)


SERVICES = good(
    {
        "command": ["a 'b c'", ["a", 1], [], ""],
        "entrypoint": ["x", []],
        "environment": [["A=1", "B"], {"A": 1, "B": None, "C": True}],
        "labels": [["a=b", "c"], {"d": 5}],
        "ports": [["8080:80"], ["9000-9002:80-82"], [{"target": 53, "mode": "host"}], [3000]],
        "volumes": [["data:/d"], ["/srv:/s:ro,rshared"], [{"type": "tmpfs", "target": "/t"}]],
        "networks": [["default"], {"default": None}, {"default": {"aliases": ["x"]}}],
        "deploy": [
            {"replicas": "2", "update_config": {"delay": "90s", "max_failure_ratio": 0.5}},
            {"mode": "global", "placement": {"constraints": ["node.labels.a!=b"]}},
            {"restart_policy": {"condition": "none", "delay": 0, "max_attempts": 0}},
            {"resources": {"reservations": {"cpus": ".333", "memory": "1.5m"}}},
        ],
        "healthcheck": [{"test": "x"}, {"disable": "yes"}, {"test": ["CMD", "a"], "retries": "2"}],
        "secrets": [["s"], [{"source": "s", "mode": 0o777, "target": "t"}]],
        "configs": [["c"]],
        "ulimits": [{"nofile": 5, "core": {"soft": -1, "hard": "-1"}}],
        "extra_hosts": [["a=1.1.1.1"], {"b": ["::1", "2.2.2.2"]}],
        "logging": [{"driver": "local", "options": {"a": None, "b": 1}}],
        "devices": [["/dev/a:/dev/b:r", "v.com/c=d"]],
        "gpus": ["all", [{"count": 2, "options": ["a=b"]}]],
        "tmpfs": ["/run:size=1m", ["/a", "/b"]],
        "stop_grace_period": ["90s", "0"],
        "mem_limit": ["300m", 314572800],
        "cpus": ["0.50", 1.5, 2],
        "cpu_rt_period": ["1400us", 11000],
        "blkio_config": [{"weight": "10", "device_read_bps": [{"path": "/d", "rate": "1k"}]}],
        "x-own": [{"deep": [1, None, "x"]}],
        "tty": ["on", False],
        "init": ["false"],
        "expose": [[80, "81-82/udp"]],
        "build": [".", {"context": "."}],
        "profiles": [[], None],
        "pull_policy": ["if_not_present"],
    }
)


@hypothesis.given(SERVICES, SERVICES)
def test_a_canonical_document_converts_to_itself_and_to_an_equal_spec(
    web: dict[str, Any], db: dict[str, Any]
) -> None:
    db = {key: value for key, value in db.items() if key != "ports"}
    document = {
        "services": {"web": {"image": "x", "depends_on": ["db"]} | web, "db": {"image": "y"} | db},
        "volumes": {"data": None},
        "secrets": {"s": {"x-digest": "ab" * 32}},
        "configs": {"c": {"external": {"name": "e"}}},
    }
    first = convert(document, app="shop")
    if web.get("deploy", {}).get("mode") == "global" and first.spec is None:
        return  # A global service cannot have what another draw gave it.
    assert first.problems == []
    again = convert(first.canonical, app="shop")
    assert again.canonical == first.canonical
    assert again.spec == first.spec
    travelled = msgspec.json.decode(msgspec.json.encode(first.canonical))
    assert convert(travelled, app="shop").spec == first.spec
    assert first.spec == msgspec.json.decode(msgspec.json.encode(first.spec), type=AppSpec)


@hypothesis.given(SERVICES)
def test_a_canonical_document_survives_yaml(web: dict[str, Any]) -> None:
    found = convert(
        {
            "services": {"web": {"image": "x"} | web},
            "volumes": {"data": {}},
            "secrets": {"s": {"external": True}},
            "configs": {"c": {"external": True}},
        },
        app="shop",
    )
    trouble = Trouble()
    read = yaml12.parse(to_yaml(found.canonical).replace("$$", "$"), "f.yaml", trouble)
    assert read is not None
    assert trouble.problems == []
    again = convert(plain(read[0]), app="shop")
    assert again.spec is None or found.spec is None or again.spec.services.keys() == {"web"}
    own = {"x-own": None}
    assert {**again.canonical["services"]["web"], **own} == {
        **found.canonical["services"]["web"],
        **own,
    }


@hypothesis.given(st.text())
def test_no_text_makes_the_yaml_reader_fail(text: str) -> None:
    yaml12.parse(text, "f.yaml", Trouble())


@hypothesis.given(st.text(alphabet="[]{}:,&*!<>-? \nab\"'#|", max_size=60))
def test_no_yaml_makes_the_yaml_reader_fail(text: str) -> None:
    yaml12.parse(text, "f.yaml", Trouble())


@hypothesis.given(st.text(alphabet="${}:-?+Aa1 ", max_size=30))
def test_a_template_is_filled_in_or_refused(template: str) -> None:
    try:
        filled = substitute(template, {"A": "$a"}, lambda _name: None)
    except Unfilled as error:
        assert error.what  # noqa: PT017 — either outcome is right.
    else:
        assert "$" in template or filled == template


@hypothesis.given(st.text())
def test_a_doubled_dollar_sign_is_one_whatever_stands_around_it(text: str) -> None:
    assert substitute(text.replace("$", "$$"), {}, lambda _name: None) == text


# Files that are read: what is extended and included is the file itself, or not there.
written = st.one_of(
    documents,
    st.fixed_dictionaries(
        {
            "services": st.dictionaries(
                st.sampled_from(NAMES),
                st.one_of(
                    trees,
                    good(
                        {
                            "image": ["x", "$X", "${X:?no}", None],
                            "extends": ["web", {"service": "db", "file": "f.yaml"}, [], {"a": 1}],
                            "env_file": ["f.env", ["gone.env"], [{"path": "f.env", "format": 1}]],
                            "label_file": ["f.env", [1]],
                            "environment": [["A=1", "B", {}], {"A": None, "B": [1]}, "x"],
                            "profiles": ["a", [1], {"b": 1}],
                            "secrets": [["s"], "s", [{"source": 1}], [[]]],
                            "ports": [["80:80"], [{}], "80", [[]]],
                            "depends_on": [["web"], {"db": None}, "x", [{}]],
                            "ulimits": [{"a": 1}, {"a": {"soft": 1}}, [1]],
                            "logging": [{"driver": "a"}, {"driver": []}, "x"],
                            "extra_hosts": [{"a": ["b", []]}, ["a=b"], "x"],
                            "build": [".", {"args": ["a"]}, []],
                        }
                    ),
                ),
                max_size=3,
            )
        },
        optional={
            "include": st.sampled_from(["f.yaml", ["gone.yaml"], [{"path": []}], {"a": 1}, 5]),
            "secrets": st.sampled_from([{"s": {"file": "f.env"}}, {"s": {"file": []}}, [1], "s"]),
            "configs": st.sampled_from([{"s": {"content": {}}}, {"s": 1}, None]),
            "name": st.sampled_from(["x", ["x"], "$X"]),
        },
    ),
)


@hypothesis.example(base={}, over={"include": "\0"}, tag="")
@hypothesis.example(base={"services": {"web": {"env_file": "\0"}}}, over={}, tag="")
@hypothesis.example(base={"services": {"web": {"extends": {"file": "\0"}}}}, over={}, tag="")
@hypothesis.given(base=written, over=written, tag=st.sampled_from(["", "!reset ", "!override "]))
def test_no_files_make_loading_fail(base: Any, over: Any, tag: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        texts = [json.dumps(document) for document in (base, over)]
        tagged = texts[1].replace(": [", f": {tag}[").replace(": {", f": {tag}{{")
        (folder / "f.yaml").write_text(texts[0])
        (folder / "g.yaml").write_text(tagged)
        (folder / "f.env").write_text("A=1\nB\n")
        files = [folder / "f.yaml", folder / "g.yaml"]
        found = load(files, environ={"A": "a"}, app="shop")
    assert (found.spec is None) == bool(found.problems)
    assert all(render(one) for one in found.problems + found.notes)
