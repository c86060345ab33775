"""The seven rating levels of people and the two verdicts of a metric, which together index a cell vector.

A cell vector has 14 counts: `down_fail, down_pass, up_fail, up_pass, 1_fail, 1_pass ... 5_fail, 5_pass`. Levels are
stored apart, so a setting decides at reading time which of them are a human pass.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

Thumbs = Literal["up", "down"]

Rating = Literal["down", "up", "1", "2", "3", "4", "5"]

LEVELS: Final[tuple[Rating, ...]] = ("down", "up", "1", "2", "3", "4", "5")
"""Names of the rating levels, in the order of their index."""

NO_RATING: Final = -1
"""The rating of a deleted annotation."""

RATINGS: Final[Mapping[str | int | None, int]] = {
    rating: index for index, rating in enumerate((None, "down", "up", 1, 2, 3, 4, 5), start=NO_RATING)
}
"""Index in `LEVELS`, or `NO_RATING`, by thumbs or stars."""

ORDER: Final[tuple[Rating, ...]] = ("1", "2", "down", "up", "3", "4", "5")
"""The rating levels from worst to best, for the median of ratings on both scales."""

_BY_RANK: Final = tuple(map(LEVELS.index, ORDER))

COUNTS: Final = 2 * len(LEVELS)
"""Length of a cell vector."""

DEFAULT_PASS_STARS: Final = 3
"""Default of the setting `pass_stars`: the number of stars from which a rating is a human pass."""


def level_of(thumbs: Thumbs | None, stars: int | None) -> int:
    """Index of a rating in `LEVELS`; `NO_RATING` when both arguments are None. At most one of them is given."""
    if stars is not None:
        return stars + 1
    if thumbs is None:
        return NO_RATING
    return 1 if thumbs == "up" else 0


def cell_index(level: int, passed: bool) -> int:
    """Index of a comparison in a cell vector."""
    return 2 * level + passed


def human_passes(level: int, pass_stars: int) -> bool:
    """Whether a rating is a human pass: thumbs up, or `pass_stars` stars or more. `level` is an index in `LEVELS`."""
    return level == 1 or level >= pass_stars + 1


def lower_median(numbers: Sequence[int]) -> int:
    """The rating, an index in `LEVELS`, with which the worse half of ratings ends.

    Args:
        numbers: of ratings, in the order of `LEVELS`; not all 0.
    """
    middle = (sum(numbers) - 1) // 2
    for rating in _BY_RANK:
        middle -= numbers[rating]
        if middle < 0:
            break
    return rating
