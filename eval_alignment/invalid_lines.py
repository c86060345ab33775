"""Reports the invalid lines of an input: the first ones, and how many there are by reason."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from streams.events.decoder import Rejection

_SHOWN: Final = 100
"""Invalid lines that are reported one by one: an input may have millions."""


@dataclass(slots=True)
class InvalidLines:
    """Reports and counts the lines that the decoder rejects.

    Args:
        report: takes a message.
    """

    report: Callable[[str], object]
    _reasons: Counter[str] = field(default_factory=Counter)

    def add(self, where: str, rejection: Rejection) -> None:
        """Count a line, and report it if it is one of the first."""
        if self.total < _SHOWN:
            self.report(f"{where}: {rejection.reason.value}: {rejection.detail}")
        self._reasons[rejection.reason.value] += 1

    @property
    def total(self) -> int:
        """Number of invalid lines."""
        return self._reasons.total()

    def summary(self) -> Iterator[str]:
        """A line with the number of invalid lines by reason, if there are any."""
        if self._reasons:
            listed = ", ".join(f"{count} {reason}" for reason, count in self._reasons.most_common())
            unseen = f" (the first {_SHOWN} are above)" if self.total > _SHOWN else ""
            yield f"{self.total} invalid lines: {listed}{unseen}"
