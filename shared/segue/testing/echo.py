"""The smallest core there is, and a log on which machines run it while time moves by hand."""

import msgspec

from segue.core import Core, Decision
from segue.envelope import encode
from segue.events.deploy import RemovalRejected, RemovalRequested
from segue.log import Outcome
from segue.shell.commands import Append, Beat, Note, Say
from segue.shell.machine import Machine
from segue.testing.simlog import SimLog


class Echo(Core):
    """Rejects every removal that somebody requests."""

    service = "echo"

    def __init__(self) -> None:
        super().__init__()
        self.news: list[object] = []

    def hear(self, news: object, now: float) -> None:  # noqa: ARG002 — as every core is called.
        """Remember it."""
        self.news.append(news)

    def decide(self, now: float) -> list[Decision]:  # noqa: ARG002 — as every core is called.
        """Reject what is open."""
        return [
            Decision(RemovalRejected(app=r.data["app"], problems=[]), r.cause)
            for r in self.picture.state.requests.values()
            if r.type == "removal.requested"
        ]


class EchoStage:
    """A log and machines that follow it; time moves by hand."""

    def __init__(self, *names: str) -> None:
        self.log = SimLog()
        self.now = 100.0
        self.notes: list[Note] = []
        self.beats: list[Beat] = []
        self.machines = {name: self.machine(name) for name in names}

    def machine(self, name: str, session: str = "") -> Machine:
        """Make one that is connected."""
        session = session or f"run-{name}"
        made = Machine(Echo(), instance=name, session=session, note=self.notes.append)
        made.connected(self.log.head(self.now + 1000), self.now)
        return made

    def request(self, app: str) -> None:
        """Ask for an app to be removed."""
        event = RemovalRequested(app=app)
        message = encode(event, id=f"r-{app}-{len(self.log.stored)}", source="/t", time=0)
        self.log.append([message], None, self.now + 1000)

    def read(self, name: str) -> None:
        """Let one read all there is."""
        machine = self.machines[name]
        machine.read(self.log.after(machine.read_to), self.now)

    def write(self, name: str, append: Append) -> Outcome:
        """Store a write, and tell its writer."""
        outcome = self.log.append(append.messages, append.fence, self.now + 1000)
        self.machines[name].wrote(append.number, outcome, self.now)
        return outcome

    def turn(self, name: str) -> list[Append]:
        """Read everything, step once, carry out what is said; give the writes."""
        self.read(name)
        machine = self.machines[name]
        appends = []
        for command in machine.step(self.now):
            if isinstance(command, Append):
                appends.append(command)
                self.write(name, command)
            elif isinstance(command, Say):
                self.beats.append(msgspec.json.decode(command.data, type=Beat))
        return appends

    def settle(self, name: str) -> None:
        """Let one go on until it writes no more."""
        while self.turn(name):
            pass

    def subjects(self) -> list[str]:
        """Give what is in the log."""
        return [stored.subject for stored in self.log.stored]
