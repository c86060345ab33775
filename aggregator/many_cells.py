"""Cells of a day with very many judges, divided into the parts that are published, and kept up as judges change.

A producer may send a judge for each run, so thousands have verdicts on what was annotated on one day. A checkpoint that
divides all of them again costs as much as the day has judges. Here a judge that changes costs its own part. The parts
are those of `parts.split`.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from aggregator import parts
from aggregator.verdicts import Cells, Verdict

MANY: Final = 256
"""A day with more cells keeps them divided; of fewer, dividing them again costs less than it is worth."""


class _Node:
    """A part, or one that is divided."""

    __slots__ = ("judges", "size")

    def __init__(self) -> None:
        self.size = 0
        """Most bytes of its judges as JSON."""
        self.judges = 0


class DividedCells:
    """The cells of a day and metric that count anything, by part.

    Args:
        limit: most bytes of the judges of a part.
    """

    __slots__ = ("_divided", "_limit", "_nodes", "_verdicts", "parts")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.parts: dict[int, Cells] = {}
        """The cells of each part by its number; no part is empty. They share their counts with those of the day."""
        self._nodes: dict[int, _Node] = {}
        """Every part, and every divided one above it."""
        self._divided: set[int] = set()
        self._verdicts: dict[str, int] = {}
        """Number of verdicts of each judge that count anything."""

    def update(self, verdict: Verdict, counts: list[int]) -> None:
        """Take over the counts of a verdict, which may have changed."""
        size, bits = parts.measure(verdict.judge)
        path = self._path(bits)
        cells = self.parts.get(path[-1], {})
        if (verdict in cells) == any(counts):
            return
        if any(counts):
            self.parts.setdefault(path[-1], cells)[verdict] = counts
            self._count(verdict.judge, path, size, +1)
            self._divide(path[-1], len(path) - 1)
            return
        del cells[verdict]
        if not cells:
            del self.parts[path[-1]]
        self._count(verdict.judge, path, size, -1)
        self._join(path)

    def _path(self, bits: int) -> list[int]:
        """The parts from the root to the one of a judge, by the hash of its name."""
        path = [0]
        while path[-1] in self._divided:
            path.append(2 * path[-1] + 1 + (bits >> len(path) - 1 & 1))
        return path

    def _count(self, judge: str, path: Iterable[int], size: int, sign: int) -> None:
        """Count a verdict of a judge; its first or last one changes the sizes of its parts."""
        number = self._verdicts.pop(judge, 0) + sign
        if number:
            self._verdicts[judge] = number
        if number != max(0, sign):
            return
        for part in path:
            node = self._nodes.setdefault(part, _Node())
            node.size += sign * size
            node.judges += sign
            if not node.judges:
                del self._nodes[part]

    def _divide(self, part: int, depth: int) -> None:
        """Divide a part that has become too large."""
        pending = [(part, depth)]
        while pending:
            part, depth = pending.pop()
            if part not in self._nodes or not self._is_divided(part, depth):
                continue
            self._divided.add(part)
            seen: set[str] = set()
            for verdict, counts in self.parts.pop(part).items():
                size, bits = parts.measure(verdict.judge)
                half = 2 * part + 1 + (bits >> depth & 1)
                self.parts.setdefault(half, {})[verdict] = counts
                if verdict.judge not in seen:
                    seen.add(verdict.judge)
                    node = self._nodes.setdefault(half, _Node())
                    node.size += size
                    node.judges += 1
            pending += [(2 * part + 1, depth + 1), (2 * part + 2, depth + 1)]

    def _join(self, path: Iterable[int]) -> None:
        """Join the halves of the first part of a path that needs not be divided any more."""
        for depth, part in enumerate(path):
            if part in self._divided and not self._is_divided(part, depth):
                if joined := dict(self._take(part)):
                    self.parts[part] = joined
                return

    def _take(self, part: int) -> Iterator[tuple[Verdict, list[int]]]:
        """Remove the cells of a part and of all that it is divided into."""
        pending = [part]
        while pending:
            each = pending.pop()
            yield from self.parts.pop(each, {}).items()
            if each != part:
                self._nodes.pop(each, None)
            if each in self._divided:
                self._divided.remove(each)
                pending += [2 * each + 1, 2 * each + 2]

    def _is_divided(self, part: int, depth: int) -> bool:
        node = self._nodes.get(part)
        return node is not None and node.size > self._limit and node.judges > 1 and depth < parts.DEPTH


class ManyCells:
    """The cells of a day by metric, divided.

    Args:
        limit: most bytes of the judges of a part.
    """

    __slots__ = ("_few", "_limit", "_metrics")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._few: dict[str, Cells] = {}
        """Those of metrics with so few that they are one part: a day may have thousands of metrics with one judge."""
        self._metrics: dict[str, DividedCells] = {}

    def update(self, verdict: Verdict, counts: list[int]) -> None:
        """Take over the counts of a verdict, which may have changed."""
        metric = verdict.metric
        divided = self._metrics.get(metric)
        if divided is not None:
            divided.update(verdict, counts)
            if not divided.parts:
                del self._metrics[metric]
            return
        few = self._few.setdefault(metric, {})
        if any(counts):
            few[verdict] = counts
        else:
            few.pop(verdict, None)
        if not few:
            del self._few[metric]
        elif len(few) * parts.MOST_BYTES > self._limit:
            divided = self._metrics[metric] = DividedCells(self._limit)
            for each, of_each in self._few.pop(metric).items():
                divided.update(each, of_each)

    def parts(self, metric: str) -> Mapping[int, Cells]:
        """The cells of a metric by part, as `ShardCounts` publishes them: without any, one part that is empty."""
        divided = self._metrics.get(metric)
        return {0: self._few.get(metric, {})} if divided is None else divided.parts
