"""Times candidates side by side: results are checked before anything is timed, rounds are interleaved.

Nothing is gated here: a figure that a machine's load can change is printed, not asserted.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

ROUND_NS = 20_000_000
"""How long one candidate runs in one round, so that short calls are timed in bulk."""


@dataclass(frozen=True)
class Candidate:
    """Something to time. `check` is given the result of one call and raises when it is not what it should be.

    `prepare` is told how many calls come next, and does what is not to be timed of them.
    """

    name: str
    call: Callable[[], Any]
    check: Callable[[Any], None]
    prepare: Callable[[int], None] = lambda _calls: None


@dataclass(frozen=True)
class Timing:
    """What one candidate took, over the rounds; `compare` gives microseconds per call."""

    name: str
    least: float
    median: float
    greatest: float


def timing_of(name: str, taken: Sequence[float]) -> Timing:
    """The minimum, median and maximum of some samples."""
    return Timing(name, min(taken), statistics.median(taken), max(taken))


def compare(candidates: Sequence[Candidate], *, rounds: int = 15) -> list[Timing]:
    """Check every candidate, then time all of them in turns, `rounds` times, with the collector off."""
    for candidate in candidates:
        candidate.prepare(1)
        candidate.check(candidate.call())
    loops = [_loops(candidate) for candidate in candidates]
    samples: list[list[float]] = [[] for _ in candidates]
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for taken, candidate, count in zip(samples, candidates, loops, strict=True):
                taken.append(_elapsed_ns(candidate, count) / count / 1000)
    finally:
        gc.enable()
    return [timing_of(candidate.name, taken) for candidate, taken in zip(candidates, samples, strict=True)]


def _loops(candidate: Candidate) -> int:
    _elapsed_ns(candidate, 1)
    return max(1, ROUND_NS // max(1, _elapsed_ns(candidate, 3) // 3))


def _elapsed_ns(candidate: Candidate, count: int) -> int:
    candidate.prepare(count)
    call = candidate.call
    start = time.perf_counter_ns()
    for _ in range(count):
        call()
    return time.perf_counter_ns() - start


def report(timings: Sequence[Timing]) -> str:
    """An aligned table; `ratio` is each median over the first one's."""
    width = max(len(timing.name) for timing in timings)
    lines = [f"{'us per call':<{width}}  {'min':>9}  {'median':>9}  {'max':>9}  {'ratio':>6}"]
    for timing in timings:
        ratio = timing.median / timings[0].median
        figures = f"{timing.least:>9.2f}  {timing.median:>9.2f}  {timing.greatest:>9.2f}  {ratio:>6.2f}"
        lines.append(f"{timing.name:<{width}}  {figures}")
    return "\n".join(lines)
