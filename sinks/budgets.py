"""How much one answer, page or document shows; each states what it leaves out.

A producer can send any number of judge versions, such as the id of a run, and of metrics. Without these bounds one
request would cost memory and time with the square of them.
"""

from collections.abc import Iterable
from typing import Final, TypeVar

import orjson

_T = TypeVar("_T")

VERSIONS: Final = 50
"""Most judge versions in an answer or table, the newest first to be kept; `skip` pages to older ones."""
TESTED_VERSIONS: Final = 20
"""Newest judge versions of which every two are tested; of older ones each with its successor."""
CHANGES: Final = 50
"""Most changes of the judge version in a trend, the newest."""
DAYS: Final = 1_000
"""Most days in a trend, the newest; `skip` pages to older ones."""
PUBLISHED_BYTES: Final = 32 << 20
"""Bytes of the published documents that a trend by publication reads, after which it ends early."""
JUDGES: Final = 50
"""Most judge versions whose thresholds a what-if lists, those with several thresholds first."""
THRESHOLDS: Final = 20
"""Most thresholds of each of them."""
TESTS_ON_PAGE: Final = 30
"""Most tests in words on a page, those of the newest versions."""
METRICS: Final = 100
"""Most metrics of a criterion on one page, those with most comparisons; `from` pages to the others."""
PAGE_NAME_BYTES: Final = 20 * 1024
"""Bytes of their names, after which a page has no further metric: it repeats each of them many times, and in addresses
a character may have twelve bytes.
"""
CRITERIA: Final = 200
"""Most criteria in the navigation of a page, those with most comparisons and the chosen one."""
HEADROOMS: Final = 1_000
"""Most metrics in an answer about the human ceiling, those with most comparisons: as many as a document lists pairs."""
SEGMENTS: Final = 100
"""Most segments in an answer."""
SEGMENTS_READ: Final = 1_000
"""Most segments that an answer chooses from, those with most items: each is an object, and may be tested."""
TAGS: Final = 50
"""Most names of tags in an answer about segments, those of most comparisons."""
NAVIGATION_TALLIES: Final = 50_000
"""Most tallies that a page reads for its navigation, where queues have changed since anybody read them."""
LISTED_PAIRS: Final = 3_000
"""Pairs of criterion and metric after which a page, or an answer, of the list of queues ends early."""
LOOKED_PAIRS: Final = 3_000
"""Most pairs of criterion and metric of the queues that the start page looks into for what to look at first."""
SPARK_TALLIES: Final = 50_000
"""Most tallies of which the list of queues draws the alignment of the last days; a queue with more has no drawing."""
METRICS_UNFOLDED: Final = 4
"""Most metrics that charts and tables of a page show before a reader unfolds the others."""
MATRICES_UNFOLDED: Final = 3
"""Most confusion matrices: one row of a page of 1,440 pixels."""
TABS: Final = 6
"""Most criteria as tabs; more are a menu."""
PEOPLE: Final = 200
"""Most annotators in an answer, those with most annotations."""
DISAGREEMENTS: Final = 100
"""Most items on which people disagree in an answer; `skip` pages to the others."""
ANSWER_BYTES: Final = 1 << 20
"""Bytes of the rows of an answer, after which it ends early; its last row may exceed them."""
ITEM_ROWS: Final = 30
"""Most annotations and most evaluations of an item that a list of items shows, each in two groups."""
ITEM_READ: Final = 200
"""Most annotations and most evaluations of an item that are read at all."""
ITEM_PAIRS: Final = 2_000
"""Most pairs of them in an answer about an item, those in cells first to be kept."""
ITEM_PEOPLE: Final = 20
"""Most people with whom a metric is said to disagree on an item; the number of the others is stated."""
ITEM_CHARACTERS: Final = 2_000
"""Most characters of a text in a list of items; the item's page has all of it."""
COMPARISONS_AT_ONCE: Final = 500_000
"""Most comparisons of a queue whose details are computed while the reader waits."""
LISTED_COMPARISONS: Final = 100_000
"""Most comparisons that a list of items chooses from and sorts, those of the newest annotations; the page states since
when.
"""
LISTED_ANNOTATORS: Final = 100_000
"""Annotations, the newest, whose annotators the menu of a list has."""
SEARCHED_ITEMS: Final = 10_000
"""Most items with the words of a search that its answer chooses from, those that changed last."""
SEARCHED_ROWS: Final = 500
"""Most annotations, and most evaluations, of an item by whose texts it can be found, those that arrived last."""
SEARCHED_CHARACTERS: Final = 200_000
"""Characters of the texts of an item after which the rest is not searched."""


def size_of(row: object) -> int:
    """Bytes of a row in an answer."""
    return len(orjson.dumps(row))


def fitting(rows: Iterable[_T], most_bytes: int) -> list[_T]:
    """The first rows, up to the one that exceeds the bytes of an answer."""
    fitted: list[_T] = []
    left = most_bytes
    for row in rows:
        if left <= 0:
            break
        fitted.append(row)
        left -= size_of(row)
    return fitted
