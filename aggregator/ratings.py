"""The seven rating levels of people and the two verdicts of a metric: how a comparison finds its count.

A cell vector has 14 counts, `down_fail, down_pass, up_fail, up_pass, 1_fail, 1_pass ... 5_fail, 5_pass`. Levels are
kept apart so that what counts as a human pass is decided when the counts are read, never when they are stored.
"""

from typing import Final, Literal

Thumbs = Literal["up", "down"]

LEVELS: Final = ("down", "up", "1", "2", "3", "4", "5")
"""Names of the rating levels, in the order of their index."""

NO_RATING: Final = -1
"""Index of an annotation without a rating: a deletion."""

COUNTS: Final = 2 * len(LEVELS)
"""Length of a cell vector."""

DEFAULT_PASS_STARS: Final = 3
"""Stars from which a person's rating is a pass, unless a setting says otherwise."""


def level_of(thumbs: Thumbs | None, stars: int | None) -> int:
    """Index of a rating in `LEVELS`; `NO_RATING` without one. Exactly one of the two is given otherwise."""
    if stars is not None:
        return stars + 1
    if thumbs is None:
        return NO_RATING
    return 1 if thumbs == "up" else 0


def cell_index(level: int, passed: bool) -> int:
    """Index of a comparison in a cell vector."""
    return 2 * level + passed


def human_passes(level: int, pass_stars: int) -> bool:
    """Whether people who gave this rating called the item good: thumbs up, or `pass_stars` stars or more."""
    return level == 1 or level >= pass_stars + 1
