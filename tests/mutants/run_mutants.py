"""Run mutmut with the tests collected once, and judge no mutant by the clock.

mutmut forks for each mutant, and in each fork pytest begins anew, which takes longer than most
mutants live. Here the fork has the collected tests already, and the mutant takes the place of its
function for good. A mutant that never ends is known by the processor's time it took: on a busy
machine the clock says nothing. What fails is not made smaller, as hypothesis would.
"""

import os
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any

import pytest
from _pytest.config import _prepareconfig  # What `pytest.main` begins with.
from mutmut.__main__ import cli
from mutmut.mutation import trampoline
from mutmut.runners.harness import PytestRunner
from mutmut.state import state
from mutmut.utils.file_utils import change_cwd
from mutmut.workers import isolation

ENDLESS_S = 5  # Of the processor, and twice what the tests took by the clock when they passed.
CHECKED = trampoline.wrap_in_trampoline
functions: list[dict[str, Any]] = []  # Each as it is, and its mutants.


def exchangeable(
    mutants: dict[str, Any],
    is_classmethod: bool = False,  # noqa: FBT001, FBT002 — what it stands for has it so.
) -> Any:
    """Wrap a function so that a fork can put a mutant in its place."""
    if is_classmethod:
        return CHECKED(mutants, is_classmethod)

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        functions.append(mutants)
        checked = CHECKED(mutants)(function)  # For mutmut's own looks at which tests reach what.

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            chosen = mutants.get("chosen")
            return checked(*args, **kwargs) if chosen is None else chosen(*args, **kwargs)

        return call

    return wrap


def choose(mutant: str) -> None:
    """Put one mutant in the place of its function, and every other function in its own."""
    module, _, name = mutant.rpartition(".")
    found = 0
    for mutants in functions:
        one = mutants.get(name)
        is_it = one is not None and one.__module__ == module
        mutants["chosen"] = one if is_it else mutants["_mutmut_orig"]
        found += is_it
    assert found == 1, f"{mutant} is {found} functions' mutant"


class Collected(PytestRunner):
    """Tests that a fork need only run."""

    def collect(self) -> None:
        """Collect all of them, as `pytest.main` would."""
        with change_cwd("mutants"):
            how = ["--rootdir=.", "--tb=no", "-q", "-x", "-s", *self._pytest_add_cli_args]
            config = _prepareconfig([*how, *self._pytest_add_cli_args_test_selection])
            import hypothesis  # Later than pytest looks for what it has to rewrite.

            hypothesis.settings.register_profile(
                "mutants",
                phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
                database=None,
                deadline=None,
                derandomize=True,
            )
            hypothesis.settings.load_profile("mutants")
            config._do_configure()
            self.session = pytest.Session.from_config(config)
            config.hook.pytest_sessionstart(session=self.session)
            config.hook.pytest_collection(session=self.session)
            self.items = {item.nodeid: item for item in self.session.items}

    def run_tests(self, *, mutant_name: str | None, tests: Iterable[str]) -> int:
        """Run these against a mutant until one fails; against none, leave it to mutmut."""
        if not mutant_name:
            return int(super().run_tests(mutant_name=mutant_name, tests=tests))
        choose(mutant_name)
        os.chdir("mutants")
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        items = [self.items[name.removeprefix("mutants/")] for name in tests]
        for item, after in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=after)
            if self.session.testsfailed:
                return 1
        return 0


class Runner(isolation.ForkRunner):
    """Forks that begin with the collected tests."""

    def startup(self) -> None:
        """Collect before the first fork."""
        assert isinstance(self.test_runner, Collected), "mutmut made another"
        self.test_runner.collect()
        super().startup()

    def submit(self, mutant_name: str, tests: list[str], limit_s: int, takes_s: float) -> None:
        """Run a mutant's tests in a fork."""
        passed_s = sum(state().duration_by_test[name] for name in tests)
        super().submit(mutant_name, tests, min(limit_s, ENDLESS_S + int(2 * passed_s)), takes_s)


def never(*, pid: int, timeout_s: float) -> None:
    """End no fork by the clock."""


if __name__ == "__main__":
    parts: Any = isolation
    parts.PytestRunner, parts.ForkRunner, parts.register_timeout = Collected, Runner, never
    wraps_functions: Any = trampoline
    wraps_functions.wrap_in_trampoline = exchangeable
    cli()
