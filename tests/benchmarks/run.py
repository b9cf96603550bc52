"""Run benchmarks one after the other and print one table of all: `just bench [NAME [FLAG …]]`.

Without a name all are run, but for those of three hosts and of hours' length unless `--hosts` asks for them too.
Each writes its lines into `.bench/NAME.json` as they come; the whole table goes to `.bench/table.md`.
One that fails is named at the end, and the others go on.
"""

import json
import pathlib
import subprocess
import sys
import time

import msgspec

from segue.testing.bench import FOLDER, HEAD, Row

HERE = pathlib.Path(__file__).parent
ALONE = (  # From the smallest part to the whole.
    "envelope_cost",
    "decisions",
    "core_cost",
    "probe_cost",
    "followers",
    "event_hop",
    "load_to_assigned",
    "replay_start",
    "cell",
    "gateway",
    "sandboxes",
    "main_job",
    "beside_swarm",
    "at_rest",
)
HOSTS = ("bus_of_three", "mesh_losses", "host_loss")


def run(name: str, flags: list[str]) -> bool:
    """Run one; tell whether it went well."""
    begun = time.monotonic()
    done = subprocess.run([sys.executable, str(HERE / f"{name}.py"), *flags], check=False)
    print(f"\n{name} took {time.monotonic() - begun:.0f} s", flush=True)
    return done.returncode == 0


def table(names: list[str]) -> str:
    """Put all their lines together, with what they ran on."""
    lines, ran_on = [], ""
    for name in names:
        file = FOLDER / f"{name}.json"
        if file.exists():
            found = json.loads(file.read_text())
            rows = msgspec.convert(found["rows"], list[Row])
            lines += [f"| **{name}** | | | | | | | |", *(row.line() for row in rows)]
            on = found["machine"]
            ran_on = f"{found['begun'][:10]}: " + ", ".join(f"{k} {on[k]}" for k in on)
    return f"{ran_on}\n\n{HEAD}\n" + "\n".join(lines) + "\n"


def main() -> None:
    words = sys.argv[1:]
    if words and not words[0].startswith("-"):
        sys.exit(0 if run(words[0], words[1:]) else 1)
    names = [*ALONE, *(HOSTS if "--hosts" in words else ())]
    flags = [word for word in words if word != "--hosts"]
    for name in names:
        (FOLDER / f"{name}.json").unlink(missing_ok=True)
    failed = [name for name in names if not run(name, flags)]
    whole = table(names)
    (FOLDER / "table.md").write_text(whole)
    print(f"\n{whole}")
    if failed:
        sys.exit(f"these failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
