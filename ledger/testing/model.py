"""A model of the ledger that counts credits on its fingers: every single credit is an object in one place.

It shares nothing with the ledger's rules. Time goes on event by event, and the next credit to burn is found by sorting
all of them. It has grants of both kinds, scheduled grants, holds captured in part or beyond what they hold, extension,
grace, refunds, revocation and adjustment. It has no scopes, recurrences, credit lines or limits.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field

NEVER = 10**9
PROMOTIONAL, PAID = 0, 1


@dataclass
class Lot:
    """One grant."""

    number: int
    priority: int
    lapses: int
    kind: int
    effective: int
    is_revoked: bool = False

    def burns(self) -> tuple[int, ...]:
        """Its place in the burn order."""
        return (self.priority, self.lapses, self.kind, self.effective, self.number)


@dataclass
class Finger:
    """One credit: the lot that it came in, and the place where it is."""

    lot: Lot
    place: str = "available"


@dataclass
class ModelHold:
    """One hold: its credits in the order in which they are consumed, without those freed or refunded."""

    expires: int
    grace: int
    fingers: list[Finger]
    state: str = "held"

    @property
    def lapses(self) -> int:
        """The second at which it expires, grace included, and frees its credits."""
        return self.expires + self.grace

    def lying(self, place: str) -> list[Finger]:
        """Its credits that are in a place."""
        return [finger for finger in self.fingers if finger.place == place]


@dataclass
class Hand:
    """One account."""

    time: int = 0
    entries: int = 0
    lots: dict[int, Lot] = field(default_factory=dict)
    fingers: list[Finger] = field(default_factory=list)
    holds: dict[int, ModelHold] = field(default_factory=dict)
    keys: dict[str, tuple[object, ...]] = field(default_factory=dict)

    def lying(self, place: str, lot: Lot | None = None) -> list[Finger]:
        """The credits that are in a place; with `lot`, those of that lot only."""
        return [finger for finger in self.fingers if finger.place == place and lot in (None, finger.lot)]

    def count(self, place: str) -> int:
        """How many credits are in a place."""
        return len(self.lying(place))

    def moments(self) -> list[int]:
        """The seconds at which something may come due, in order."""
        seconds = {hold.lapses for hold in self.holds.values() if hold.state == "held"}
        for lot in self.lots.values():
            seconds |= {lot.lapses, lot.effective}
        return sorted(seconds)

    def walk_to(self, time: int) -> None:
        """Carry out, in order, every event that is due by a time."""
        for second in self.moments():
            if second > time:
                break
            moment, before = max(second, self.time), self.entries
            for number, hold in sorted(self.holds.items()):
                if hold.state == "held" and hold.lapses == second:
                    self.let_go(number, "expired", moment)
                    self.entries += 1
            for _, lot in sorted(self.lots.items()):
                if lot.lapses == second:
                    self.move(self.lying("available", lot), "expired")
            for _, lot in sorted(self.lots.items()):
                if lot.effective == second:
                    self.move(self.lying("scheduled", lot), "available")
            if self.entries > before:
                self.time = moment

    def move(self, fingers: list[Finger], place: str) -> None:
        """One entry that moves credits, unless there are none."""
        self.entries += bool(fingers)
        for finger in fingers:
            finger.place = place

    def freed_to(self, finger: Finger, time: int) -> str:
        """The place of a credit that a hold frees."""
        if finger.lot.is_revoked:
            return "revoked"
        return "expired" if finger.lot.lapses <= time else "available"

    def let_go(self, number: int, state: str, time: int) -> None:
        """End a hold: each credit that it still holds goes to its place."""
        hold = self.holds[number]
        for finger in hold.lying("held"):
            finger.place = self.freed_to(finger, time)
            hold.fingers.remove(finger)
        hold.state = state

    def next_to_burn(self, amount: int) -> list[Finger]:
        """The first credits of those available."""
        return sorted(self.lying("available"), key=lambda finger: finger.lot.burns())[:amount]

    def seen_at(self, time: int) -> Hand:
        """The account as it will be at a time, if nothing else happens."""
        seen = deepcopy(self)
        seen.walk_to(time)
        return seen

    def act(self, time: int, key: str | None, request: tuple[object, ...]) -> str:
        """Carry out a request: `new`, `replay`, or the name of the refusal, after which nothing has moved."""
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
            case ("grant", _, _, int(lapses), _, int(effective)) if lapses <= max(time, effective):
                return "CommandInvalid"
            case ("reserve", int(amount), _, _, False) if amount > self.count("available"):
                return "InsufficientCredits"
            case ("adjust", int(amount)) if -amount > self.count("available"):
                return "InsufficientCredits"
            case ("revoke", int(number)):
                return self.refusal_to_revoke(number, time)
            case ("capture" | "release" | "extend" | "refund", int(number), *_):
                return self.refusal_of_hold(time, number, request)
        return None

    def refusal_to_revoke(self, number: int, time: int) -> str | None:
        """Why a lot cannot be revoked."""
        if number not in self.lots:
            return "GrantNotFound"
        lot = self.lots[number]
        is_over = lot.lapses <= time and not self.lying("held", lot)
        return "GrantEnded" if lot.is_revoked or is_over else None

    def refusal_of_hold(self, time: int, number: int, request: tuple[object, ...]) -> str | None:
        """Why something cannot be done with a hold."""
        if number not in self.holds:
            return "ReservationNotFound"
        hold = self.holds[number]
        match request:
            case ("refund", _, amount):
                there = len(hold.lying("consumed"))
                return (
                    "RefundExceedsCapture" if not there or (amount is not None and int(str(amount)) > there) else None
                )
            case _ if hold.state != "held":
                return "ReservationNotHeld"
            case ("capture", _, int(amount), _, "reject") if amount > len(hold.lying("held")):
                return "CaptureExceedsReservation"
            case ("extend", *_) if hold.expires >= NEVER:
                return "CommandInvalid"
            case ("extend", *_) if hold.expires <= time:
                return "ReservationNotHeld"
        return None

    def perform(self, time: int, request: tuple[object, ...]) -> None:
        """Carry out a request that no rule refuses: one entry."""
        self.entries += 1
        match request:
            case ("grant", int(amount), int(priority), int(lapses), int(kind), int(effective)):
                place = "scheduled" if effective > time else "available"
                self.give(Lot(self.entries, priority, lapses, kind, effective), amount, place)
            case ("adjust", int(amount)) if amount > 0:
                self.give(Lot(self.entries, 100, NEVER, PROMOTIONAL, time), amount, "available")
            case ("adjust", int(amount)):
                for finger in self.next_to_burn(-amount):
                    finger.place = "consumed"
            case ("revoke", int(number)):
                self.lots[number].is_revoked = True
                for place in ("available", "scheduled"):
                    for finger in self.lying(place, self.lots[number]):
                        finger.place = "revoked"
            case _:
                self.perform_on_holds(time, request)

    def perform_on_holds(self, time: int, request: tuple[object, ...]) -> None:
        """Carry out a request about a hold."""
        match request:
            case ("reserve", int(amount), int(lasts), int(grace), _):
                taken = self.next_to_burn(amount)
                for finger in taken:
                    finger.place = "held"
                expires = time + lasts if lasts < NEVER else NEVER
                self.holds[self.entries] = ModelHold(expires, grace if lasts < NEVER else 0, taken)
            case ("capture", int(number), amount, bool(final), str(over)):
                self.capture(number, amount, final, over, time)
            case ("release", int(number), *_):
                self.let_go(number, "released", time)
            case ("extend", int(number), int(by)):
                self.holds[number].expires += by
            case ("refund", int(number), amount):
                self.refund(number, amount, time)

    def give(self, lot: Lot, amount: int, place: str) -> None:
        """Put a new lot's credits somewhere."""
        self.lots[lot.number] = lot
        self.fingers += [Finger(lot, place) for _ in range(amount)]

    def capture(self, number: int, amount: object, final: bool, over: str, time: int) -> None:
        """Consume the first credits of a hold; beyond them available ones, where `over` allows it."""
        hold = self.holds[number]
        held = hold.lying("held")
        wanted = len(held) if amount is None else int(str(amount))
        for finger in held[:wanted]:
            finger.place = "consumed"
        if wanted > len(held) and over == "if_available":
            beyond = self.next_to_burn(wanted - len(held))
            for finger in beyond:
                finger.place = "consumed"
            hold.fingers += beyond
        if final:
            self.let_go(number, "captured", time)

    def refund(self, number: int, amount: object, time: int) -> None:
        """Give back the last consumed credits of a hold, each to its place."""
        hold = self.holds[number]
        consumed = hold.lying("consumed")
        wanted = len(consumed) if amount is None else int(str(amount))
        for finger in consumed[len(consumed) - wanted :]:
            finger.place = self.freed_to(finger, time)
            # Not `remove`, which would find an equal credit.
            hold.fingers = [other for other in hold.fingers if other is not finger]
