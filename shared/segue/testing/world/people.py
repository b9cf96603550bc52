"""The simulated people and programs: what they ask for at random, and what they should get."""

import json

import msgspec

from segue.envelope import encode
from segue.events import Event
from segue.events.deploy import DeployRequested, RemovalRequested
from segue.events.node import (
    NodeCordonRequested,
    NodeDrainRequested,
    NodeLabelRequested,
    NodeRemovalRequested,
    NodeUncordonRequested,
)
from segue.events.scale import ScaleRequested, ScaleResumeRequested
from segue.log import Message
from segue.testing.world import loads, releases
from segue.testing.world.bus import SimBus
from segue.testing.world.sim import Sim

APPS = ("shop", "blog", "bank")
SERVICES = ("web", "db", "job")
PETITIONS = 0.2  # … and so much of one of loads about what follows them.
RELEASES = 0.7  # So much of what is asked for in a run of releases is about them.


class People:
    """Ask for things, now and then for nonsense."""

    def __init__(self, sim: Sim, bus: SimBus, slots: int, nodes: list[str]) -> None:
        self.sim, self.bus, self.slots, self.nodes = sim, bus, slots, nodes
        self.asked = 0
        self.releasing, self.following = releases.are_on(sim.seed), loads.are_on(sim.seed)

    def say(self, event: Event) -> None:
        """Publish a request as any program does; what is deployed may follow its load."""
        self.asked += 1
        web = event.compose["services"].get("web") if isinstance(event, DeployRequested) else None
        if self.following and web is not None:
            loads.follow(self.sim.random, web, self.slots)
        event_id = f"ask-{self.asked}"
        self.bus.say([encode(event, id=event_id, source="/people", time=self.bus.time)])

    def ask(self) -> None:
        """Ask for one thing at random."""
        dice = self.sim.random
        if self.following and dice.random() < PETITIONS:
            self.say(loads.petition(dice, dice.choice(APPS)))
        elif self.releasing and dice.random() < RELEASES:
            wish = releases.wish(dice, APPS[0], self.slots)
            self.say(wish)
            if isinstance(wish, DeployRequested):
                self.sim.at(self.sim.between(1, 15), self._follow)
        else:
            self._ask()

    def _follow(self) -> None:
        """Have a say in what was asked for a while ago."""
        self.say(releases.petition(self.sim.random, APPS[0]))

    def _ask(self) -> None:
        dice = self.sim.random
        app = dice.choice(APPS)
        node = dice.choice(self.nodes)
        match dice.randrange(16):
            case 0 | 1 | 2 | 3:
                self.say(DeployRequested(app=app, compose=self.compose()))
            case 4 | 5 | 6:
                replicas = dice.randint(0, self.slots // 2)
                self.say(ScaleRequested(app=app, service="web", replicas=replicas))
            case 7:
                self.say(RemovalRequested(app=app))
            case 8:
                self.say(NodeCordonRequested(node=node))
            case 9:
                self.say(NodeUncordonRequested(node=node))
            case 10 | 11:
                self.say(NodeDrainRequested(node=node, deadline_s=dice.choice((5.0, 30.0, 60.0))))
            case 12:
                self.say(NodeRemovalRequested(node=node, force=dice.random() < 0.5))
            case 13:
                zone = dice.choice(({"zone": "z"}, {"zone": "y"}))
                self.say(NodeLabelRequested(node=node, set=zone))
            case 14:
                self.bare(f"deploy.requested.{app}", self.compose())
            case _:
                self.babble(app)

    def let_go(self) -> None:
        """Leave most of what follows its load to itself again."""
        for app in APPS if self.following else ():
            if self.sim.chance(0.8):
                self.say(ScaleResumeRequested(app=app, service="web"))

    def give_up(self, node: str) -> None:
        """Want a node forgotten at once, whatever runs there."""
        self.say(NodeRemovalRequested(node=node, force=True))

    def deploy_strict(self) -> None:
        """Deploy an app of which one service may never run twice."""
        self.say(
            DeployRequested(app=self.sim.random.choice(APPS), compose=self.compose(strict=1.0))
        )

    def compose(self, strict: float = 0.7) -> dict[str, object]:
        """Make a Compose document, with a strict service in such a share of the throws."""
        dice = self.sim.random
        web: dict[str, object] = {
            "image": f"web:{dice.randint(1, 3)}",
            "deploy": {
                "replicas": dice.randint(1, self.slots // 2),
                "resources": {"reservations": {"cpus": "0.5", "memory": "64M"}},
            },
        }
        if dice.random() < 0.4:
            web["x-segue"] = {
                "min_available": dice.choice((1, "50%", "100%")),
                "on_return": dice.choice(("keep_newest", "keep_original")),
            }
        services: dict[str, object] = {"web": web}
        if dice.random() < strict:
            services["boss"] = {
                "image": f"boss:{dice.randint(1, 2)}",
                "x-segue": {"singleton": True},
            }
        if dice.random() < 0.5:
            db: dict[str, object] = {"image": "db:1", "healthcheck": {"test": ["CMD", "true"]}}
            if dice.random() < 0.3:
                db["volumes"] = ["data:/data"]
            services["db"] = db
            if dice.random() < 0.5:
                web["depends_on"] = {"db": {"condition": "service_healthy"}}
        if dice.random() < 0.2:
            services["agent"] = {"image": "agent:1", "deploy": {"mode": "global"}}
        return {"services": services, "volumes": {"data": {}}}

    def bare(self, subject: str, body: dict[str, object]) -> None:
        """Publish JSON without an envelope."""
        self.asked += 1
        self.bus.say([Message(subject, f"ask-{self.asked}", msgspec.json.encode(body))])

    def babble(self, app: str) -> None:
        """Publish what nobody can read, or what nobody can grant."""
        self.sim.mark("babble")
        dice = self.sim.random
        self.asked += 1
        nonsense = dice.choice(
            [b"\xff\xfe", b"{", b"[]", json.dumps({"services": {"web": {}}}).encode()]
        )
        self.bus.say([Message(f"deploy.requested.{app}", f"ask-{self.asked}", nonsense)])
