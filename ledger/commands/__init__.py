"""What a caller asks of the ledger: frozen commands that check their own values when they are made. Pure.

May import `model` and `ledger.errors`.

Amounts are `Decimal` or `int` credits with at most six decimals. `at` is when the operation takes effect; None means
the machine's clock. A command's key binds what the caller asked for. It binds neither `at` nor anything that the
ledger computes, so an honest retry is never a conflict. A field that differs from its default is bound together with
its name, so a key that was bound before the field existed still matches.
"""

from __future__ import annotations

from ledger.commands.accounts import Adjust, ExpireDue, GetBalance, OpenAccount, SetCreditLine, SetLimit
from ledger.commands.grants import CostBasis, GrantCredits, GrantKind, Recurrence, RevokeGrant
from ledger.commands.holds import Capture, Extend, OverCapture, Refund, Release, Reserve
from ledger.commands.runs import LaunchRun, SettleRun, launch_scope, request_key

Command = (
    OpenAccount
    | GetBalance
    | ExpireDue
    | SetCreditLine
    | SetLimit
    | Adjust
    | GrantCredits
    | RevokeGrant
    | Reserve
    | Capture
    | Release
    | Extend
    | Refund
    | LaunchRun
    | SettleRun
)


def key_scope(command: Command) -> str:
    """The name space of a command's key. A launch has one for each dataset, settlements have one of their own."""
    if isinstance(command, LaunchRun):
        return launch_scope(command.dataset_id)
    return "settle" if isinstance(command, SettleRun) else ""


def is_repeatable(command: Command) -> bool:
    """True when carrying a command out a second time has no second effect: it has a key, or needs none."""
    return getattr(command, "key", None) is not None or isinstance(command, OpenAccount | ExpireDue | GetBalance)


__all__ = [
    "Adjust",
    "Capture",
    "Command",
    "CostBasis",
    "ExpireDue",
    "Extend",
    "GetBalance",
    "GrantCredits",
    "GrantKind",
    "LaunchRun",
    "OpenAccount",
    "OverCapture",
    "Recurrence",
    "Refund",
    "Release",
    "Reserve",
    "RevokeGrant",
    "SetCreditLine",
    "SetLimit",
    "SettleRun",
    "is_repeatable",
    "key_scope",
    "launch_scope",
    "request_key",
]
