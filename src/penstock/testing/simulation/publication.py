"""One publication as the simulation knows it: the model that a broker's answers are held to."""

from __future__ import annotations

from penstock.message import Again, Lease, Message, Settlement
from penstock.testing.simulation.violation import Violation

__all__ = ["SLACK", "Instant", "Publication"]

SLACK = 0.002  # seconds: engines may keep times in whole milliseconds


class Instant:
    """When something was carried out: the step, and the broker's clock at that step."""

    __slots__ = ("boot", "epoch", "step", "wall")

    def __init__(self, step: int, epoch: int, boot: float, wall: float) -> None:
        self.step = step
        self.epoch = epoch  # counts the boots
        self.boot = boot
        self.wall = wall


class Publication:
    """What is known of one publication, and what is only possible."""

    __slots__ = (
        "attempt",
        "deaths",
        "due",
        "due_since",
        "end",
        "end_fence",
        "ended_at",
        "epoch",
        "fence",
        "first_step",
        "handed_back",
        "in_doubt",
        "key",
        "lease",
        "message",
        "number",
        "place",
        "seen_step",
        "stored_step",
        "until",
    )

    def __init__(self, message: Message, number: int) -> None:
        self.key = message.key
        self.message = message
        self.number = number  # in the order in which keys were made
        self.first_step: int | None = None  # of the first exchange that may have stored it
        self.stored_step: int | None = None  # from which on it was certainly stored
        self.place = 0  # within the batch that stored it
        self.due = message.ready_at  # wall time before which it must not run
        self.due_since = 0  # the step from which `due` holds
        self.fence = self.attempt = self.deaths = 0  # of the last lease that was seen
        self.seen_step = 0
        self.lease: Lease | None = None  # until it is settled, even if it has run out
        self.until = 0.0  # boot time to which the lease certainly holds
        self.epoch = 0  # the boot it belongs to
        self.handed_back: list[int] = []  # fences
        self.in_doubt: dict[int, list[Settlement]] = {}  # by fence: perhaps carried out
        self.end = ""
        self.end_fence = 0
        self.ended_at = 0.0

    @property
    def name(self) -> str:
        """``m7`` is the seventh key that was made."""
        return f"m{self.number}"

    @property
    def changed_step(self) -> int:
        """The last step at which it was stored, leased or handed back."""
        return max(self.stored_step or 0, self.seen_step, self.due_since)

    @property
    def untouched(self) -> bool:
        """Never leased, as far as anybody saw, and never in doubt."""
        return not self.attempt and not self.end

    def holds(self, lease: Lease) -> bool:
        """True when that lease is the latest of this publication, whether or not it ran out."""
        return not self.end and self.lease is not None and self.fence == lease.fence

    def valid(self, now: Instant) -> bool:
        """True while the latest lease certainly has not run out and nothing is in doubt."""
        return (
            self.lease is not None
            and self.epoch == now.epoch
            and now.boot < self.until - SLACK
            and self.fence not in self.in_doubt
        )

    def lapsed(self, now: Instant) -> bool:
        """True when the latest lease may have run out by now."""
        return self.lease is not None and not self.valid(now)

    def overtakes(self, lease: Lease) -> bool:
        """True when that lease is heard of only after a later one of this publication."""
        return lease.fence < self.fence

    # --- what a lease must be --------------------------------------------------------------

    def leased(
        self, lease: Lease, ttl: float, first: Instant, now: Instant, *, complete: bool
    ) -> None:
        """Somebody got a lease. ``complete``: no lease since the last one went unseen."""
        self._check_stored(now)
        self._check_open(lease)
        self._check_single(lease, now)
        self._check_counts(lease, complete=complete)
        self._check_message(lease)
        self.lease, self.fence = lease, lease.fence
        self.attempt, self.deaths = lease.attempt, lease.deaths
        self.seen_step = now.step
        self.until, self.epoch = first.boot + ttl, now.epoch

    def _check_stored(self, now: Instant) -> None:
        if self.first_step is None or self.first_step > now.step:
            raise Violation("phantom", f"{self.name} was leased and was never published")

    def _check_open(self, lease: Lease) -> None:
        if self.end:
            raise Violation(
                "rerun",
                f"{self.name} was leased (attempt {lease.attempt}) after it was settled: "
                f"{self.end} by fence {self.end_fence}",
            )

    def _check_single(self, lease: Lease, now: Instant) -> None:
        if self.valid(now):
            raise Violation(
                "two holders",
                f"{self.name} was leased (fence {lease.fence}) while the lease of fence "
                f"{self.fence} holds for another {self.until - now.boot:.3f} s",
            )
        if lease.fence <= self.fence:
            raise Violation(
                "fence", f"{self.name}: fence {lease.fence} does not exceed {self.fence}"
            )

    def _check_counts(self, lease: Lease, *, complete: bool) -> None:
        lapsed = self.lease is not None
        if lease.attempt <= self.attempt or lease.deaths < self.deaths:
            text = f"attempt {lease.attempt}, deaths {lease.deaths} after attempt {self.attempt}"
            raise Violation("counts", f"{self.name}: {text}, deaths {self.deaths}")
        if not complete or self.fence in self.in_doubt:
            return
        expected = (self.attempt + 1, self.deaths + lapsed)
        if (lease.attempt, lease.deaths) != expected:
            raise Violation(
                "counts",
                f"{self.name}: attempt {lease.attempt}, deaths {lease.deaths}; "
                f"expected attempt {expected[0]}, deaths {expected[1]}",
            )

    def _check_message(self, lease: Lease) -> None:
        ours, theirs = self.message, lease.message
        same = all(
            getattr(ours, name) == getattr(theirs, name)
            for name in ("id", "queue", "body", "priority", "expires_at")
        )
        if not same or not ours.headers.items() <= theirs.headers.items():
            raise Violation("message", f"{self.name} came back as {theirs}; it was {ours}")

    # --- what may have been settled --------------------------------------------------------

    def doubt(self, settlement: Settlement) -> None:
        """Its holder asked for this and never heard whether it was done."""
        self.in_doubt.setdefault(settlement.lease.fence, []).append(settlement)

    def doubted(self, settlement: Settlement) -> bool:
        """True when the holder of this fence asked for it before, without an answer."""
        return settlement in self.in_doubt.get(settlement.lease.fence, ())

    def hand_back(self, settlement: Again, now: Instant) -> None:
        """The holder gave it back."""
        self.lease = None
        self.handed_back.append(self.fence)
        self.due = max(settlement.message.ready_at, settlement.at)
        if not self.doubted(settlement):  # else it may have been back, and due, before
            self.due_since = now.step

    def finish(self, end: str, now: Instant) -> None:
        """It ended."""
        self.end, self.end_fence, self.ended_at = end, self.fence, now.boot

    def __repr__(self) -> str:
        return f"<{self.name} of {self.message.id}: {self.story()}>"

    def story(self) -> str:
        """How it stands, in words."""
        if self.end:
            return self.end
        if self.lease is not None:
            return f"leased by fence {self.fence} and never settled"
        return f"handed back {self.attempt} times" if self.attempt else "never leased"
