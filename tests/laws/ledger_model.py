"""A ledger that counts credits on its fingers, to hold the real one against.

Every single credit is an object that lies somewhere. Nothing here is shared with the ledger's rules: time is walked
second by second, and what is next to burn is found by looking at every credit.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field

NEVER = 10**9


@dataclass
class Finger:
    """One credit: the lot it came in, and where it lies."""

    lot: int
    priority: int
    lapses: int
    place: str = "available"
    hold: int | None = None


@dataclass
class ModelHold:
    """One hold: its credits in the order in which they will be consumed."""

    lapses: int
    state: str
    fingers: list[Finger]


@dataclass
class Hand:
    """One account."""

    time: int = 0
    entries: int = 0
    fingers: list[Finger] = field(default_factory=list)
    holds: dict[int, ModelHold] = field(default_factory=dict)
    keys: dict[str, tuple[object, ...]] = field(default_factory=dict)

    def count(self, place: str) -> int:
        """How many credits lie there."""
        return sum(finger.place == place for finger in self.fingers)

    def walk_to(self, time: int) -> int | None:
        """Let everything lapse that lapses by a time; answers the last second in which something did."""
        last = None
        for second in sorted({f.lapses for f in self.fingers} | {h.lapses for h in self.holds.values()}):
            if second > time:
                break
            moment = max(second, self.time)
            for number, hold in sorted(self.holds.items()):
                if hold.state == "held" and hold.lapses == second:
                    self.let_go(number, "expired", 0, moment)
                    last = moment
            for lot in sorted({f.lot for f in self.fingers if f.lapses == second and f.place == "available"}):
                self.entries += 1
                last = moment
                for finger in self.fingers:
                    if finger.lot == lot and finger.place == "available":
                        finger.place = "expired"
            if last is not None:
                self.time = max(self.time, last)
        return last

    def let_go(self, number: int, state: str, consumed: int, time: int) -> None:
        """End a hold: consume its first credits, and let the others lie where they belong."""
        hold = self.holds[number]
        for index, finger in enumerate(hold.fingers):
            if index < consumed:
                finger.place = "consumed"
            else:
                finger.place = "expired" if finger.lapses <= time else "available"
        hold.state = state
        self.entries += 1

    def seen_at(self, time: int) -> Hand:
        """The hand as it will lie at a time."""
        seen = deepcopy(self)
        seen.walk_to(time)
        return seen

    def act(self, time: int, key: str | None, request: tuple[object, ...]) -> str:
        """Carry a request out; answers `new`, `replay`, or the name of the refusal, and then nothing has moved."""
        if key is not None and key in self.keys:
            return "replay" if self.keys[key] == request else "IdempotencyConflict"
        tried = deepcopy(self)
        time = max(time, tried.time)
        tried.walk_to(time)
        refusal = tried.refusal(time, request)
        if refusal is not None:
            return refusal
        tried.perform(time, request)
        tried.time = time
        if key is not None:
            tried.keys[key] = request
        self.__dict__.update(tried.__dict__)
        return "new"

    def refusal(self, time: int, request: tuple[object, ...]) -> str | None:
        """Why a request cannot be carried out."""
        match request:
            case ("grant", _, _, int(lapses)) if lapses <= time:
                return "CommandInvalid"
            case ("reserve", int(amount), _) if amount > self.count("available"):
                return "InsufficientCredits"
            case ("capture" | "release", int(number), _) if number not in self.holds:
                return "ReservationNotFound"
            case ("capture" | "release", int(number), _) if self.holds[number].state != "held":
                return "ReservationNotHeld"
            case ("capture", int(number), int(amount)) if amount > len(self.holds[number].fingers):
                return "CaptureExceedsReservation"
        return None

    def perform(self, time: int, request: tuple[object, ...]) -> None:
        """Carry out a request that nothing speaks against."""
        match request:
            case ("grant", int(amount), int(priority), int(lapses)):
                self.entries += 1
                self.fingers += [Finger(self.entries, priority, lapses) for _ in range(amount)]
            case ("reserve", int(amount), int(lasts)):
                self.entries += 1
                free = [finger for finger in self.fingers if finger.place == "available"]
                free.sort(key=lambda finger: (finger.priority, finger.lapses, finger.lot))
                taken = free[:amount]
                for finger in taken:
                    finger.place = "held"
                lapses = time + lasts if lasts < NEVER else NEVER
                self.holds[self.entries] = ModelHold(lapses, "held", taken)
            case ("capture", int(number), amount):
                size = len(self.holds[number].fingers)
                self.let_go(number, "captured", size if amount is None else int(str(amount)), time)
            case ("release", int(number), _):
                self.let_go(number, "released", 0, time)
