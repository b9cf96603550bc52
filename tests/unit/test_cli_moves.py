"""What `ps` says of a slot that moves: there are two containers, and what becomes of each."""

from segue.events.deploy import DeployRequested
from segue.events.node import NodeDrainRequested
from segue.testing.stage import Stage
from segue_cli import rows
from segue_deployer.core import Deployer
from segue_scheduler.core import Scheduler


def test_both_containers_of_a_move_say_what_they_are() -> None:
    made = Stage(Deployer(), Scheduler())
    made.join("node-a")
    made.ask(DeployRequested(app="shop", compose={"services": {"web": {"image": "w"}}}))
    made.join("node-b")
    made.silent |= {"node-b"}
    made.ask(NodeDrainRequested(node="node-a", deadline_s=600.0))
    found = rows.slots(made.cores[0].picture)
    assert [(row.attempt, row.node, row.note) for row in found] == [
        (1, "node-a", "works on until attempt 2 is ready"),
        (2, "node-b", "is to relieve attempt 1 on node-a"),
    ]
