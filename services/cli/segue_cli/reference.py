"""Write the page of all commands from the commands themselves: `docs/cli.md`.

    python -m segue_cli.reference > docs/cli.md

What a command says of itself is said once, in its code; the page and `--help` repeat it.
"""

import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any

from cyclopts import App, Argument

from segue_cli.app import COMMANDS, Command, build

HEAD = """\
# The command line

<!-- Written by `python -m segue_cli.reference > docs/cli.md`; a test compares. -->

`segue` publishes and subscribes like any other program on the bus; `uv tool install 'segue[all]'`
brings it with every service and a bus server. `segue --install-completion` teaches your shell.

**Which bus**, in this order: the flags `--nats`, `--context` or `--data-dir`; `NATS_URL` and the
other variables of the `nats` command, or the context it has selected; the bus of the `segue up` on
this host; `nats://127.0.0.1:4222`.

**Output.** Tables are for terminals. `--json` gives one JSON object a line, and its fields stay.
Errors go to stderr: one line that says what is wrong, one that says what to do. `NO_COLOR` and
`FORCE_COLOR` are heeded; `SEGUE_DEBUG=1` adds tracebacks.

**Exit codes.**

| code | meaning |
|---:|---|
| 0 | done |
| 1 | failed; for `plan`: it cannot be told; for `replay`: decisions differ |
| 2 | wrong usage, or input with problems; for `plan`: something would change |
| 3 | there is nothing of that name |
| 4 | it did not happen in time |
| 5 | the bus cannot be reached |
| 130 | interrupted by Ctrl-C; what was asked for goes on |
"""
_SHARED = "Bus"  # Flags that nearly every command has are listed once.
_KINDS = {"Path": "PATH", "str": "TEXT", "int": "N", "float": "N"}


def page() -> str:
    """Give the whole page."""
    app = build()
    parts = [HEAD, *_contents()]
    for title, commands in COMMANDS.items():
        parts.append(f"## {title}\n")
        parts += [part for command in commands for part in _section(app, command)]
    parts += ["## Flags for the bus\n", *_table(_shared(app))]
    return "\n".join(parts).rstrip() + "\n"


def _contents() -> Iterator[str]:
    yield "| command | what it does |\n|---|---|"
    for commands in COMMANDS.values():
        for command in commands:
            place = f"segue-{command.name}".replace(" ", "-")
            yield f"| [`{command.name}`](#{place}) | {command.about} |"
    yield ""


def _section(app: App, command: Command) -> Iterator[str]:
    made = app
    for word in command.name.split():
        made = made[word]
    arguments = [a for a in made.assemble_argument_collection() if a.show]
    own = [a for a in arguments if _SHARED not in _groups(a)]
    places = [a for a in own if not a.names or not a.names[0].startswith("-")]
    flags = [a for a in own if a not in places]
    yield f"### segue {command.name}\n"
    yield "```sh"
    yield " ".join(["segue", command.name, *map(_placed, places), *(["[FLAGS]"] if flags else [])])
    yield "```\n"
    yield _prose(made.default_command, command.about)
    if places:
        yield from _table(places, title="argument")
    if flags:
        yield from _table(flags)
    if len(own) < len(arguments):
        yield "and the [flags for the bus](#flags-for-the-bus).\n"


def _prose(function: Any, about: str) -> str:
    text = inspect.getdoc(function) or about
    return text.partition("Parameters\n---")[0].strip() + "\n"


def _groups(argument: Argument) -> list[str]:
    groups = argument.parameter.group or ()
    listed = groups if isinstance(groups, Iterable) and not isinstance(groups, str) else (groups,)
    return [str(getattr(group, "_name", group)) for group in listed]


def _placed(argument: Argument) -> str:
    name = argument.names[0] if argument.names else "…"
    if argument.field_info.kind is inspect.Parameter.VAR_POSITIONAL:
        return f"[{name}…]"
    return name if argument.required else f"[{name}]"


def _table(arguments: Iterable[Argument], *, title: str = "flag") -> Iterator[str]:
    yield f"| {title} | meaning |\n|---|---|"
    for argument in arguments:
        names = ", ".join(f"`{name}`" for name in argument.names)
        kind = _kind(argument)
        shown = argument.parameter.show_default is True
        default = f" (default: `{argument.field_info.default}`)" if shown else ""
        about = (argument.parameter.help or "").replace("|", "\\|")
        yield f"| {names}{kind} | {about}{default} |"
    yield ""


def _kind(argument: Argument) -> str:
    """Name what a flag takes; nothing for a switch."""
    if not argument.names[0].startswith("-"):
        return ""
    hint = str(argument.hint)
    if "bool" in hint:
        return ""
    for kind, shown in _KINDS.items():
        if re.search(rf"\b{kind}\b", hint):
            return f" {shown}"
    choices = re.findall(r"'([\w-]+)'", hint)
    return " " + "\\|".join(choices) if choices else " VALUE"


def _shared(app: App) -> list[Argument]:
    arguments = app["ls"].assemble_argument_collection()
    return [a for a in arguments if a.show and _SHARED in _groups(a)]


if __name__ == "__main__":
    print(page(), end="")
