"""What is known of a program that a supervisor starts again and again."""

import sys
from pathlib import Path

from segue_cli.supervisor import Program

FAILS = [sys.executable, "-c", "raise ValueError('no luck')"]


async def test_what_a_program_complained_of_stands_until_its_next_run_says_something(
    tmp_path: Path,
) -> None:
    program = Program("it", FAILS, {}, tmp_path / "log")
    await program.start()
    await program.wait()
    assert program.complaint() == "ValueError: no luck"
    program.command = ["sleep", "1000"]
    await program.start()
    assert program.complaint() == "ValueError: no luck"
    with program.log.open("a") as log:
        log.write('{"level": "info", "message": "starts"}\n')
    assert program.complaint() == ""
    await program.stop()
