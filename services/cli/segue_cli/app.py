"""Every command there is, by name: what it is for and where its code stands.

A command's module is loaded when it is called and not before, so that `segue --help` and a shell's
completion are there at once. The line here is the first line of the command's own docstring.
"""

from typing import NamedTuple

from cyclopts import App, Group, Parameter


class Command(NamedTuple):
    """A command: its name, its function as `module:name` within this package, its one line."""

    name: str
    target: str
    about: str


COMMANDS: dict[str, tuple[Command, ...]] = {
    "Apps": (
        Command("deploy", "deploy:deploy", "Deploy an app from Compose files and follow it."),
        Command("plan", "plan:plan", "Show what a deploy would change, without doing it."),
        Command("config", "config:config", "Check Compose files and print the canonical result."),
        Command("scale", "requests:scale", "Change how many slots services have."),
        Command(
            "rollback", "revisions:rollback", "Have an app be again as an earlier revision had it."
        ),
        Command("remove", "requests:remove", "Remove an app: stop all its containers."),
    ),
    "What is and was": (
        Command("ls", "listing:ls", "List apps and services."),
        Command("ps", "listing:ps", "List slots and the containers that fill them."),
        Command("nodes", "listing:nodes", "List nodes."),
        Command(
            "history",
            "revisions:history",
            "Show an app's revisions: what each changed, how it ended, whether it can be restored.",
        ),
        Command("inspect", "listing:inspect", "Show all that is known of one thing."),
        Command("why", "why:why", "Explain how a thing came to be as it is."),
        Command("events", "events:events", "Show the log, or follow it."),
        Command("diff", "diff:diff", "Compare the cluster at two moments."),
        Command("export", "export:export", "Write a stretch of the log to a file."),
        Command(
            "replay", "replay:replay", "Compare recorded decisions with what services decide now."
        ),
        Command("logs", "logs:logs", "Show what containers print."),
        Command("exec", "execute:execute", "Run a command in a container."),
    ),
    "Cluster": (
        Command("up", "up:up", "Run everything on this host: bus, services, node."),
        Command("down", "down:down", "Stop what `segue up` started; containers go on."),
        Command(
            "doctor", "doctor:doctor", "Check bus, services, nodes and apps, and say what to do."
        ),
        Command("cordon", "requests:cordon", "Let no new containers go to a node."),
        Command("uncordon", "requests:uncordon", "Let a node be used again."),
        Command(
            "rebalance",
            "rebalance:rebalance",
            "Move containers to nodes where they are clearly better off.",
        ),
        Command("backup", "backup:backup", "Keep the log and what belongs to it in a file."),
        Command("restore", "backup:restore", "Bring a log back from a backup."),
        Command("emit", "requests:emit", "Publish an event, as any program may."),
    ),
    "Rollouts": (
        Command(
            "rollout status",
            "rollout:status",
            "Show the rollouts that are under way, how far they are and what they wait for.",
        ),
        Command(
            "rollout pause", "rollout:pause", "Take no further step; what has been begun goes on."
        ),
        Command(
            "rollout resume",
            "rollout:resume",
            "Go on with what is paused, or was held by a failure.",
        ),
        Command(
            "rollout promote",
            "rollout:promote",
            "Find the new version good: what waits for that word goes on.",
        ),
        Command(
            "rollout abort",
            "rollout:abort",
            "Take the app back to the last revision that came up.",
        ),
    ),
    "Scaling": (
        Command(
            "autoscale explain",
            "autoscale:explain",
            "Show a service's load, its replicas, and each decision with its reason.",
        ),
        Command(
            "autoscale pause",
            "autoscale:pause",
            "Leave a service's number of replicas as it is, whatever its load.",
        ),
        Command(
            "autoscale resume",
            "autoscale:resume",
            "Let a service's replicas follow its load again: after a pause, or a number you gave.",
        ),
    ),
    "Hosts": (
        Command("server init", "server:init", "Prepare a control host: bus, keys, services."),
        Command("server token", "server:token_for", "Print what a host needs to join as a node."),
        Command("node ls", "listing:nodes", "List nodes."),
        Command("node inspect", "node:inspect", "Show all that is known of a node."),
        Command(
            "node label", "node:label", "Set or take away labels, which placement constraints see."
        ),
        Command("node cordon", "requests:cordon", "Let no new containers go to a node."),
        Command("node uncordon", "requests:uncordon", "Let a node be used again."),
        Command(
            "node drain", "node:drain", "Empty a node and keep it so, until `segue node uncordon`."
        ),
        Command("node rm", "node:rm", "Forget nodes that will not come back."),
        Command(
            "node join",
            "join:join",
            "Make this host a node: one node runner, one fencer, one gateway.",
        ),
    ),
}


ABOUT_FAMILIES = {
    "autoscale": "See what replicas follow, and have a say in it.",
    "node": "Look at nodes, prepare them, empty them.",
    "rollout": "See how far new versions are, and have a say in it.",
    "server": "Prepare the hosts of the bus and the deciding services.",
}


def names() -> list[str]:
    """Give the first words of all commands, in the order of the help."""
    words = [one.name.partition(" ")[0] for commands in COMMANDS.values() for one in commands]
    return list(dict.fromkeys(words))


def members(family: str) -> list[str]:
    """Give the second words of the commands that begin with this one."""
    heads = [one.name.partition(" ") for commands in COMMANDS.values() for one in commands]
    return [second for first, _, second in heads if first == family and second]


def installed_version() -> str:
    """Tell the version of this package."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 — 20 ms.

    try:
        return version("segue")
    except PackageNotFoundError:
        return "unknown"


def build() -> App:
    """Make the application without loading any command."""
    defaults = Parameter(negative=(), show_default=False)
    app = App(
        name="segue",
        help="Run containers on many hosts; every decision is an event that can be looked up.",
        version=installed_version,
        help_format="plaintext",
        default_parameter=defaults,
        suppress_keyboard_interrupt=False,
    )
    for order, (title, commands) in enumerate(COMMANDS.items()):
        group = Group(title, sort_key=order)
        for place, command in enumerate(commands):
            family, _, name = command.name.rpartition(" ")
            _family(app, family, group, place).command(
                f"segue_cli.{command.target}",
                name=name,
                help=command.about,
                group=None if family else group,
                sort_key=place,
                default_parameter=defaults,
            )
    app.register_install_completion_command(help="Let the shell complete commands and flags.")
    more = Group("More", sort_key=99)
    for flag in ("--help", "--version", "--install-completion"):
        app[flag].group = more
    return app


def _family(app: App, name: str, group: Group, place: int) -> App:
    """Give the application that a command belongs to: `node` for `node ls`, else the whole."""
    if not name:
        return app
    if name not in app:
        made = App(
            name=name,
            help=ABOUT_FAMILIES[name],
            help_format="plaintext",
            version_flags=(),
            group=group,
            sort_key=place,
        )
        app.command(made)
    return app[name]
