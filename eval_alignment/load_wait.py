"""`load --wait`: waits until a view shows what was loaded.

A view moves its source positions together with the rows and counts of a checkpoint, in one transaction. So when its
positions have passed an event, the event is counted, or it is a dead letter.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from eval_alignment.view_client import UnreachableError, View
from streams.kafka.topics import Topics
from streams.runtime.errors import EvalAlignmentError
from streams.runtime.exit_codes import ExitCode

FIRST_SECONDS: Final = 0.05
LONGEST_SECONDS: Final = 1.0
_SHOWN: Final = 5

SourcePartition = tuple[str, int]
"""Topic and partition."""


class OtherDeploymentError(EvalAlignmentError):
    """The view shows the events of other topics or of another broker than those that `load` writes to."""

    exit_code = ExitCode.USAGE


class NotPassedError(EvalAlignmentError):
    """The view did not pass the loaded events in time; the message names the partitions, with both offsets."""

    exit_code = ExitCode.NOT_PASSED


@dataclass(slots=True)
class ViewWait:
    """Waits for one view. `check` it before the first event is sent.

    Args:
        view: the view.
        topics: the topics that the events are sent to.
        seconds: how long `until_passed` waits.
        clock: returns seconds.
        sleep: sleeps for a number of seconds.
    """

    view: View
    topics: Topics
    seconds: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep
    _before: Mapping[SourcePartition, int] = field(default_factory=dict)

    def check(self) -> None:
        """Raise UnreachableError, or OtherDeploymentError when the view shows other topics."""
        self._before = self._positions()
        shown = sorted({topic for topic, _ in self._before})
        if shown and not set(shown) >= set(self.topics.sources):
            raise OtherDeploymentError(
                f"{self.view.url} shows the events of {', '.join(shown)}, not of {', '.join(self.topics.sources)}: "
                "name the view of this deployment, or check the topic settings"
            )

    def until_passed(self, acknowledged: Mapping[SourcePartition, int]) -> None:
        """Return once the view's positions have passed these offsets. Raises NotPassedError, OtherDeploymentError.

        Args:
            acknowledged: by source partition, the highest offset that the broker acknowledged.
        """
        self._check_offsets(acknowledged)
        deadline = self.clock() + self.seconds
        pause = FIRST_SECONDS
        while waiting := list(self._waiting(acknowledged)):
            left = deadline - self.clock()
            if left <= 0:
                more = f" and {len(waiting) - _SHOWN} more" if len(waiting) > _SHOWN else ""
                raise NotPassedError(
                    f"{self.view.url} has not passed the loaded events after {self.seconds:g} s: "
                    f"{', '.join(waiting[:_SHOWN])}{more}. The broker has them: run `doctor`, do not load them again"
                )
            self.sleep(min(pause, left))
            pause = min(2 * pause, LONGEST_SECONDS)

    def until_caught_up(self, ends: Mapping[SourcePartition, int]) -> None:
        """Return once the view's positions have reached these ends. Raises as `until_passed`."""
        self.until_passed({place: end - 1 for place, end in ends.items() if end > self._before.get(place, 0)})

    def _check_offsets(self, acknowledged: Mapping[SourcePartition, int]) -> None:
        for (topic, partition), offset in acknowledged.items():
            position = self._before.get((topic, partition), 0)
            if position > offset:
                raise OtherDeploymentError(
                    f"{self.view.url} was at position {position} of {topic}[{partition}] before the broker "
                    f"acknowledged offset {offset}: it shows the events of another broker"
                )

    def _waiting(self, acknowledged: Mapping[SourcePartition, int]) -> Iterator[str]:
        """What the view has not passed. A view that restarts is not reachable for a while."""
        try:
            positions = self._positions()
        except UnreachableError as error:
            yield str(error)
            return
        for (topic, partition), offset in sorted(acknowledged.items()):
            position = positions.get((topic, partition))
            if position is None or position <= offset:
                shown = "no position" if position is None else f"position {position}"
                yield f"{topic}[{partition}]: acknowledged offset {offset}, {shown}"

    def _positions(self) -> dict[SourcePartition, int]:
        return {(source["topic"], source["partition"]): source["position"] for source in self.view.positions()}
