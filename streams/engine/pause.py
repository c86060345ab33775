"""Reports an open circuit breaker: health, metric and log name the first offenders and the remedy."""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from streams.engine.circuit_breaker import CircuitBreaker
from streams.engine.partition import OwnedPartition
from streams.runtime.health import Health
from streams.runtime.metrics import WorkerMetrics

_log = logging.getLogger(__name__)

_LOG_SECONDS: Final = 60.0
_SHOWN_PLACES: Final = 3


class PauseReport:
    """What a paused worker reports.

    Args:
        health: gets the reason, without anything that a sender wrote: it is served without a token.
        metrics: get the state.
        clock: returns seconds.
    """

    def __init__(self, health: Health, metrics: WorkerMetrics, clock: Callable[[], float] = time.monotonic) -> None:
        self._health = health
        self._metrics = metrics
        self._clock = clock
        self._logged: tuple[float, int] | None = None
        """When the last line was logged, and the number of events in it."""

    def update(self, circuit_breaker: CircuitBreaker, partitions: Iterable[OwnedPartition]) -> None:
        """Report what the open circuit breaker holds back; logs when it opens, then once a minute while it grows."""
        held = [owned.held for owned in partitions]
        invalid = sum(one.invalid for one in held)
        do = remedy(invalid, [one.last for one in held if one.last is not None])
        first = ", ".join(example.brief for example in circuit_breaker.offenders)
        self._health.circuit_breaker = f"{circuit_breaker.open_reason}, the first: {first}. {do}"
        self._metrics.circuit_breaker_open.set(1)
        now = self._clock()
        if self._logged is None:
            self._logged = now, invalid
            examples = " | ".join(map(str, circuit_breaker.offenders))
            _log.error("circuit breaker open: %s. The first: %s. %s", circuit_breaker.open_reason, examples, do)
        elif now - self._logged[0] >= _LOG_SECONDS and invalid != self._logged[1]:
            self._logged = now, invalid
            _log.error("circuit breaker is still open, and invalid events still arrive. %s", do)


def remedy(invalid: int, last: Sequence[str]) -> str:
    """What an operator does about an open circuit breaker.

    Args:
        invalid: number of the events that it holds back.
        last: the place of the last of them in each partition.
    """
    more = f" and {len(last) - _SHOWN_PLACES} more partitions" if len(last) > _SHOWN_PLACES else ""
    places = ", ".join(last[:_SHOWN_PLACES]) + more
    events = f"the {invalid} invalid events up to {places}" if last else "the invalid events that it has seen"
    return (
        "Stop the producer, then restart this worker: "
        f"{events} become dead letters, and valid events are counted. Until then nothing is processed and nothing is "
        "lost; `eval-alignment dlq peek` lists what is held back"
    )
