"""What the shell's machine says again, and what it does not."""

from segue.core import Decision
from segue.events.deploy import RemovalRejected
from segue.log import Outcome
from segue.shell.commands import Append
from segue.shell.machine import RETRY_MOST_S, Machine
from segue.testing.echo import Echo
from segue.testing.echo import EchoStage as Stage


class Fickle(Echo):
    """Owes answers only while it pleases."""

    pleases = True

    def decide(self, now: float) -> list[Decision]:
        return super().decide(now) if self.pleases else []


def test_what_is_owed_no_more_when_its_write_is_to_be_repeated_is_kept_out_by_another_term() -> (
    None
):
    stage = Stage("a")
    core = Fickle()
    machine = Machine(core, instance="a", session="run-a", note=stage.notes.append)
    machine.connected(stage.log.head(stage.now + 1000), stage.now)
    stage.machines["a"] = machine
    stage.settle("a")
    stage.request("shop")
    stage.read("a")
    (first,) = [c for c in machine.step(stage.now) if isinstance(c, Append)]
    machine.wrote(first.number, Outcome("unknown"), stage.now)
    core.pleases = False
    stage.now += 1
    (election,) = stage.turn("a")
    assert election.messages[0].subject == "leader.elected.echo"
    assert stage.turn("a") == []
    late = stage.log.append(first.messages, first.fence, stage.now + 1000)
    assert late.kind == "refused", "what was on its way comes too late"
    core.pleases = True
    (second,) = stage.turn("a")
    assert [m.id for m in second.messages] == [m.id for m in first.messages]
    assert machine.repeats == 0


class Stubborn(Echo):
    """Owes for ever what it owed once, and wants to be asked again at once."""

    def decide(self, now: float) -> list[Decision]:
        self.wake_at = now
        return [Decision(RemovalRejected(app="shop", problems=[]), None)]


def test_a_core_that_owes_what_the_log_holds_is_not_asked_again_and_again() -> None:
    stage = Stage("a")
    machine = Machine(Stubborn(), instance="a", session="run-a", note=stage.notes.append)
    machine.connected(stage.log.head(stage.now + 1000), stage.now)
    stage.machines["a"] = machine
    stage.settle("a")
    assert stage.subjects() == ["leader.elected.echo", "removal.rejected.shop"]
    for _ in range(10):
        stage.settle("a")
    assert machine.repeats == 1
    assert machine.wake_at is not None
    assert machine.wake_at > stage.now
    stage.now += RETRY_MOST_S
    stage.settle("a")
    assert machine.repeats == 2
