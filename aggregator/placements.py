"""Changes of placement that are not counted yet.

To count that an item left a queue, or came back, costs as much as the item has rows. A change is therefore only noted.
Until something reads the counts, the item counts in the queue as before; one that left and came back costs nothing.
"""


class ChangedPlacements:
    """Items and queues whose placement is another one than is counted."""

    __slots__ = ("_changed", "rows")

    def __init__(self) -> None:
        self._changed: dict[tuple[str, str], int] = {}
        self.rows = 0
        """Number of rows of these items, once for each queue."""

    def add(self, item: str, queue: str, rows: int) -> None:
        """Note that the placement changed; `rows` is the number of rows of the item."""
        self.discard(item, queue)
        self._changed[item, queue] = rows
        self.rows += rows

    def discard(self, item: str, queue: str) -> None:
        """Note that the placement is the counted one."""
        self.rows -= self._changed.pop((item, queue), 0)

    def take(self) -> list[tuple[str, str]]:
        """All that are noted, as (item, queue); none is noted afterwards."""
        changed = list(self._changed)
        self._changed.clear()
        self.rows = 0
        return changed
