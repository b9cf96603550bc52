"""The house style, as far as a machine can hold it; what ruff can hold stands in pyproject.toml."""

import ast
import functools
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from segue.events import REGISTRY

ROOT = Path(__file__).parents[2]
LINES_MAX = 400
FUNCTION_LINES_MAX = 50
LAW_CHARACTERS_MIN = 40
VAGUE = {"common", "handlers", "helper", "helpers", "manager", "misc", "models", "util", "utils"}
# Each with a letter in brackets, or this file would be the first to fail.
UNFINISHED = re.compile(r"\b(TOD[O]|FIXM[E]|XX[X]|HAC[K])\b")
SOMEBODYS_MACHINE = re.compile(r"(?<![\w.])/(home|Users|root|work)/[\w.]")
SILENCED = re.compile(
    r"#\s*(?:noqa\b(?::\s*[A-Z]+\d+(?:,\s*[A-Z]+\d+)*)?"
    r"|type:\s*ignore(?:\[[\w, -]+\])?"
    r"|pragma:\s*no\s+cover)(?P<why>.*)"
)
SHELL = re.compile(r"#!.*\b(ba)?sh\b")
ALSO_A_WORD = {"node.lost"}  # Also a reason for which a container fails.
ALSO_OUTPUT = {".txt", ".lock", ".json"}  # Kept as a program wrote it.

Rule = Callable[[Path], Iterable[str]]


@functools.cache
def files() -> tuple[Path, ...]:
    """Give every text file that is or would be committed."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = (ROOT / name for name in sorted(set(listed.split("\0"))) if name)
    return tuple(path for path in found if path.is_file() and "fuzz/corpus" not in str(path))


def python() -> list[Path]:
    return [path for path in files() if path.suffix == ".py"]


def product() -> list[Path]:
    """Give the Python files that run on somebody's hosts."""
    shipped = [p for p in python() if p.relative_to(ROOT).parts[0] in ("services", "shared")]
    return [path for path in shipped if "testing" not in path.parts]


@functools.cache
def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(text(path), str(path))


def holds(paths: Iterable[Path], rule: Rule) -> None:
    __tracebackhide__ = True
    found = [f"{path.relative_to(ROOT)}:{one}" for path in paths for one in rule(path)]
    assert not found, "\n".join(("", *found))


def lines(path: Path, wrong: Callable[[str], object]) -> Iterator[str]:
    for number, line in enumerate(text(path).splitlines(), 1):
        if wrong(line):
            yield f"{number}: {line.strip()}"


def test_a_file_fits_in_a_head() -> None:
    def rule(path: Path) -> Iterator[str]:
        if (count := text(path).count("\n")) >= LINES_MAX:
            yield f" {count} lines; split it by what it decides"

    holds(python(), rule)


def test_a_function_fits_on_a_screen() -> None:
    def rule(path: Path) -> Iterator[str]:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno:
                count = node.end_lineno - node.lineno + 1
                if count > FUNCTION_LINES_MAX:
                    yield f"{node.lineno}: {node.name} has {count} lines"

    holds(python(), rule)


def test_a_module_is_called_for_what_it_is_about() -> None:
    assert [str(path) for path in python() if path.stem in VAGUE] == []


def test_a_file_opens_with_its_law() -> None:
    def rule(path: Path) -> Iterator[str]:
        if len(ast.get_docstring(tree(path)) or "") < LAW_CHARACTERS_MIN:
            yield "1: say what it decides and what it never does"

    holds((path for path in python() if not path.is_relative_to(ROOT / "tests")), rule)


def test_nothing_is_left_for_later() -> None:
    ours = [p for p in files() if p.suffix not in ALSO_OUTPUT and p.name != "LICENSE"]
    holds(ours, lambda path: lines(path, UNFINISHED.search))


def test_no_path_of_somebodys_machine_is_written_down() -> None:
    ours = [path for path in files() if path.name not in ("LICENSE", "test_tidy.py")]
    holds(ours, lambda path: lines(path, SOMEBODYS_MACHINE.search))


def test_a_text_file_ends_with_one_line_end_and_has_no_blanks_at_line_ends() -> None:
    def rule(path: Path) -> Iterator[str]:
        if text(path) and (not text(path).endswith("\n") or text(path).endswith("\n\n")):
            yield " does not end with one line end"
        if path.suffix not in ALSO_OUTPUT:
            yield from lines(path, lambda line: line != line.rstrip())

    holds(files(), rule)


def test_whoever_silences_a_checker_says_why() -> None:
    def unexplained(line: str) -> bool:
        found = SILENCED.search(line)
        return found is not None and not re.search(r"\w{2}", found["why"])

    holds(python(), lambda path: lines(path, unexplained))


def called(path: Path, what: str) -> Iterator[str]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == what:
            yield f"{node.lineno}: {ast.unparse(node)}"


def test_a_service_says_it_in_an_event_or_a_log_line() -> None:
    services = [path for path in product() if "segue_cli" not in path.parts]
    holds(services, lambda path: called(path, "print"))


def test_nobody_sleeps_on_a_thread() -> None:
    holds(product(), lambda path: called(path, "time.sleep"))


def test_a_directory_is_not_a_package() -> None:
    def rule(path: Path) -> Iterator[str]:
        for node in ast.walk(tree(path)):
            heads: set[str] = set()
            if isinstance(node, ast.Import):
                heads = {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                heads = {node.module.split(".")[0]}
            if heads & {"services", "shared", "tests"}:
                yield f" {ast.unparse(node)}"

    holds(python(), rule)


def literals(path: Path) -> Iterator[tuple[int, str]]:
    """Give the strings of a file that are not documentation."""
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree(path)):
        match node:
            case ast.Constant(value=str(literal)) if id(node) not in documentation:
                yield node.lineno, literal


def test_an_events_type_is_spelt_once() -> None:
    def rule(path: Path) -> Iterator[str]:
        for number, literal in literals(path):
            if literal not in ALSO_A_WORD and ".".join(literal.split(".")[:2]) in REGISTRY:
                yield f"{number}: {literal!r}: say it with the class, as in NodeLost.type"

    elsewhere = [path for path in product() if path.parent.name != "events"]
    holds(elsewhere, rule)


def test_a_shell_script_is_sound() -> None:
    shellcheck = str(Path(sys.executable).with_name("shellcheck"))  # Of this environment.

    def rule(path: Path) -> Iterator[str]:
        # Left out: what forbids `if function`, and braces around every name.
        command = [shellcheck, "--enable=all", "--exclude=SC2250,SC2310,SC2312", str(path)]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        if found.returncode:
            yield f"\n{found.stdout}{found.stderr}"

    scripts = [p for p in files() if p.suffix in ("", ".sh") and SHELL.match(text(p))]
    holds(scripts, rule)


def test_a_link_between_documents_leads_somewhere() -> None:
    def rule(path: Path) -> Iterator[str]:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text(path)):
            if not re.match(r"\w+:", target) and not (path.parent / target).exists():
                yield f" {target}"

    holds([path for path in files() if path.suffix == ".md"], rule)


def test_ci_runs_what_a_developer_runs_and_nothing_else() -> None:
    said = [line for line in text(ROOT / ".ci" / "run").splitlines() if line[:1] not in ("", "#")]
    assert said == ["set -eu", 'exec "$(dirname "$0")/../deploy/bootstrap" test']


SERVICES = sorted(path.parent for path in (ROOT / "services").glob("*/pyproject.toml"))


@pytest.mark.parametrize("folder", SERVICES, ids=lambda path: path.name)
def test_a_service_is_known_wherever_it_must_be(folder: Path) -> None:
    own = tomllib.loads(text(folder / "pyproject.toml"))["project"]
    root = tomllib.loads(text(ROOT / "pyproject.toml"))
    package = f"segue_{folder.name}"
    linter = root["tool"]["importlinter"]
    independent = next(c for c in linter["contracts"] if c["type"] == "independence")
    assert (folder / package / "py.typed").exists()
    begins = "beginning" if (folder / package / "beginning.py").exists() else "__main__"
    assert f"{package}.{begins}:main" in own["scripts"].values(), "its command"
    assert own["name"] in root["project"]["dependencies"], "uv sync would remove it"
    assert own["name"] in root["tool"]["uv"]["sources"], "uv would look for it elsewhere"
    assert package in linter["root_packages"], "no contract would look at it"
    assert package in independent["modules"], "it could import another service"
    assert package in root["tool"]["coverage"]["run"]["source_pkgs"], "nobody would count it"
