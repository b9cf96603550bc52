"""Hold a node's lease: when to claim it, what it allows, what has to be dead before the next one.

`Holder` is pure: it is told the time (the host's, which nobody can set and which goes on while the
host sleeps), the fencer's sign of life and what the bus answered, and says what to ask of the bus.
The simulator plays it as the runner does. Laws:

- A container may live until the deadline that is counted from when the last renewal that the bus
  acknowledged was *sent*. Nothing else moves the deadline on.
- A refused claim is looked up before it is believed: it may have been one's own.
- Once a lease is over, what ran under it is over for good; the next lease begins only when a
  fencer has looked after that, so that nothing of it is alive.
- A runner that follows another on the same host goes on with its lease: the sheet outlives both.
"""

import msgspec
from segue.leases import Claim, Standing, Terms
from segue.log import Outcome

RETRY_S, REFUSED_S = 0.5, 0.1
ALIVE_S = 1.0  # A fencer that gave no sign of life for longer is not counted on for a start …
GONE_S = 3.0  # … and for so long, not at all.
HEARD_S = 10.0  # So long after the lease went on late, a death is put down to the fencer.
LOOKS = 3  # Signs of life that hold one whole look after all that was written before.


class Sheet(msgspec.Struct, frozen=True):
    """What the fencer goes by; it is kept where it outlives the runner."""

    session: str = ""  # Who claimed the lease last.
    lease: int = 0  # Names it, by the sequence of its first claim; 0: there is none.
    deadline: float = 0.0
    containers: tuple[str, ...] = ()  # May live until then.
    over: tuple[str, ...] = ()  # Of leases that ended: killed wherever they appear.


class Look(msgspec.Struct, frozen=True):
    """Ask what stands on the node's lease; answer with `looked`, or `unheard`."""


class Renew(msgspec.Struct, frozen=True):
    """Claim the lease behind a sequence; answer with `claimed`."""

    claim: Claim
    after: int


class Holder:
    """One runner's hold on its node's lease. Whoever runs it keeps `sheet` after each call."""

    def __init__(self, session: str, terms: Terms, sheet: Sheet = Sheet()) -> None:  # noqa: B008 — it is frozen.
        self.sheet, self.terms = sheet, terms
        self._claim = Claim(session, terms.ttl_s)
        self._standing: int | None = None  # Behind which to claim; None: to be looked up.
        self._asking = self._confirmed = False
        self._act_at = self._sent_at = 0.0
        self._looks_left = LOOKS if sheet.over else 0
        self._doomed: frozenset[str] = frozenset()  # Whose time was over when the lease went on …
        self._doomed_at = 0.0  # … the last time that it did so late.
        self._sign = 0.0
        self._signed_at = float("-inf")
        self._why = "it has not been asked for yet"

    def step(self, now: float, sign: float) -> Look | Renew | None:
        """Say what to ask of the bus now; `sign` is the fencer's, another one each time."""
        self.notice(now, sign)
        if self._asking or now < self._act_at:
            return None
        if self._standing is None:
            self._asking = True
            return Look()
        if not self.sheet.lease:
            if not self.fencer_lives(now) or self._looks_left:
                return None
            self.sheet = msgspec.structs.replace(self.sheet, session=self._claim.session)
        self._asking, self._sent_at = True, now
        return Renew(self._claim, self._standing)

    def notice(self, now: float, sign: float) -> None:
        """Take note of the fencer's sign of life."""
        if sign != self._sign:
            if self._sign:
                self._signed_at = now
                self._looks_left = max(0, self._looks_left - 1)
            self._sign = sign

    # What the bus answered.

    def looked(self, standing: Standing, now: float) -> None:
        """Learn what stands on the lease."""
        self._asking = False
        claim = standing.claim
        if claim is None:
            self._end("it was not renewed in time" if self.sheet.lease else self._why)
            self._standing = standing.sequence
        elif claim.session in (self._claim.session, self.sheet.session):
            self._standing = standing.sequence
        else:
            self._end(f"another runner of this node holds it (session {claim.session[:8]})")
            self._standing, self._act_at = None, now + RETRY_S

    def claimed(self, outcome: Outcome, now: float) -> None:
        """Learn what became of a claim."""
        self._asking = False
        if outcome.kind == "stored":
            self._standing, self._confirmed = outcome.sequence, True
            self._act_at = self._sent_at + self.terms.renew_s
            if now >= self.sheet.deadline > 0:
                self._doomed, self._doomed_at = frozenset(self.sheet.containers), now
            self.sheet = msgspec.structs.replace(
                self.sheet,
                session=self._claim.session,
                lease=self.sheet.lease or outcome.sequence,
                deadline=self._sent_at + self.terms.ttl_s - self.terms.margin_s,
            )
        elif outcome.kind == "refused":
            self._standing, self._act_at = None, now + REFUSED_S
        else:
            self.unheard(outcome.reason, now)

    def unheard(self, why: str, now: float) -> None:
        """Learn that the bus gave no answer."""
        self._asking, self._act_at, self._why = False, now + RETRY_S, why

    def _end(self, why: str) -> None:
        self._why = why
        if self.sheet.lease:
            over = tuple(dict.fromkeys((*self.sheet.over, *self.sheet.containers)))
            self.sheet = Sheet(session=self._claim.session, over=over)
            self._looks_left = LOOKS if over else 0

    # What it allows.

    def fencer_lives(self, now: float, within_s: float = ALIVE_S) -> bool:
        """Tell whether a fencer is at work."""
        return now - self._signed_at <= within_s

    def held(self, now: float) -> int:
        """Name the lease that is held now; 0: none is, or only an earlier runner said so."""
        return self.sheet.lease if self._confirmed and now < self.sheet.deadline else 0

    def missing(self, now: float, within_s: float = ALIVE_S) -> str:
        """Say what is missing for a strict container to start, or nothing."""
        if not self.fencer_lives(now, within_s):
            return "no fencer is at work on this node: start segue-fencer beside it, as root"
        if not self.held(now):
            return f"this node holds no lease: {self._why}"
        return ""

    def admit(self, container: str, lease: int, now: float) -> str:
        """Put a container on the sheet before it is started, or say why it must not be."""
        words = self.missing(now)
        if words or lease != self.sheet.lease:
            return words or "the lease under which it was to start is over"
        self.keep(container)
        return ""

    def keep(self, container: str) -> None:
        """Have a container live only as long as the lease is held."""
        known = (*self.sheet.containers, *self.sheet.over)
        if self.sheet.lease and container not in known:
            containers = (*self.sheet.containers, container)
            self.sheet = msgspec.structs.replace(self.sheet, containers=containers)

    def let_go(self, gone: frozenset[str]) -> None:
        """Forget containers that are there no more, or strict no more."""
        containers = tuple(one for one in self.sheet.containers if one not in gone)
        over = tuple(one for one in self.sheet.over if one not in gone)
        if (containers, over) != (self.sheet.containers, self.sheet.over):
            self.sheet = msgspec.structs.replace(self.sheet, containers=containers, over=over)

    def killed(self, container: str, now: float) -> bool:
        """Tell whether a container that died now was to die because a lease was over."""
        late = container in self.sheet.containers and now >= self.sheet.deadline
        before = container in self._doomed and now - self._doomed_at < HEARD_S
        return late or before or container in self.sheet.over
