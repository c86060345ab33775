"""Verdicts, and the comparisons that are counted for each."""

import msgspec


class Verdict(msgspec.Struct, gc=False, eq=False):
    """A verdict of a judge version, as one side of comparisons.

    A shard has one object for each, compared by identity.
    """

    metric: str
    judge: str
    passed: bool
    current: bool
    """Whether it is the newest verdict of the metric on its item."""


Cells = dict[Verdict, list[int]]
"""Numbers of comparisons by rating, in the order of `ratings.LEVELS`, of each verdict."""
