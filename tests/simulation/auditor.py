"""The auditor of a simulation: it knows what was acknowledged, and nothing else, and looks for it in the book."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

import ledger
from tests.simulation.clients import Acknowledged
from tests.simulation.plan import Settings

Key = tuple[str, str, str]


@dataclass
class Auditor:
    """Acknowledged effects: each key's, and the sum that each account consumed."""

    settings: Settings
    accepted: set[Key] = field(default_factory=set)
    refused: set[Key] = field(default_factory=set)
    consumed: Counter[str] = field(default_factory=Counter)
    numbers: dict[int, int] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    verbs: Counter[str] = field(default_factory=Counter)
    operations: int = 0

    def take(self, acknowledged: Acknowledged) -> str | None:
        """Note a batch; answers what cannot be, where it cannot."""
        expected = self.numbers.get(acknowledged.client, 0)
        if acknowledged.number != expected:
            return f"client {acknowledged.client} answered batch {acknowledged.number}, not {expected}"
        self.numbers[acknowledged.client] = expected + 1
        for answer in acknowledged.answers:
            self.operations += 1
            self.verbs[answer.verb] += 1
            self.outcomes[answer.outcome] += 1
            if answer.key is None:
                continue
            key = (answer.account_id, answer.scope, answer.key)
            if not answer.is_accepted:
                if key not in self.accepted:  # a run settled twice in two ways is refused the second time
                    self.refused.add(key)
            elif key not in self.accepted:
                self.accepted.add(key)
                self.refused.discard(key)
                self.consumed[answer.account_id] += answer.consumed
        return None

    def look(self, engine: Engine) -> list[str]:
        """Compare the book, which no client is writing to, with what was acknowledged; answers what differs."""
        problems: list[str] = []
        with Session(engine) as session:
            problems += [f"audit: {finding}" for finding in ledger.audit(session)]
            rows = session.execute(_KEYS).all()
            found = Counter((row[0], row[1], row[2]) for row in rows)
            problems += [f"{key} was acknowledged and is not in the book" for key in self.accepted - found.keys()]
            problems += [f"{key} is in the book {count} times" for key, count in found.items() if count > 1]
            problems += [f"{key} was refused and is in the book" for key in self.refused & found.keys()]
            problems += [f"{key} was never sent" for key in found if not self._was_sent(key)]
            for account_id, consumed in session.execute(_CONSUMED):
                if consumed != self.consumed[account_id]:
                    known = self.consumed[account_id]
                    problems.append(f"{account_id} consumed {consumed}, acknowledged are {known} micro-credits")
        return problems

    def _was_sent(self, key: Key) -> bool:
        """True for a key of the opening, of a run that was launched, or of a batch up to the last one acknowledged."""
        if key in self.accepted or key[2].startswith(("first/", "line/", "day/", "open/")):
            return True
        client, _, rest = key[2].partition("/")
        number = rest.partition("/")[0]
        return client.isdigit() and number.isdigit() and int(number) <= self.numbers.get(int(client), 0)


_KEYS = text("SELECT account_id, scope, key FROM ledger_entry WHERE key IS NOT NULL")
_CONSUMED = text("SELECT account_id, consumed FROM ledger_account")
