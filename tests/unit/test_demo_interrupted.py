"""The demo, where it needs neither bus nor engine."""

import contextlib
import importlib.util
import pathlib
import signal

import pytest

FILE = pathlib.Path(__file__).parents[2] / "deploy" / "demo.py"


def test_no_patience_with_what_does_not_answer_swallows_a_ctrl_c() -> None:
    spec = importlib.util.spec_from_file_location("segue_demo", FILE)
    assert spec is not None
    assert spec.loader is not None
    demo = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(demo)
    before = {each: signal.getsignal(each) for each in demo.ENDING}
    try:
        with pytest.raises(KeyboardInterrupt), contextlib.suppress(Exception):
            demo._interrupted(signal.SIGINT, None)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
