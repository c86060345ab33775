"""Hypothesis strategies for facts: few names and few times, so that rows collide, tie and change often."""

from typing import Any

from hypothesis import strategies as st

from aggregator.days import DAY_MS
from aggregator.facts import Annotation, Evaluation, Fact, QueueItem

QUEUES = ("support", "a/b")
ITEMS = ("i1", "i2", "i3")
CRITERIA = ("overall", "tone")
ANNOTATORS = ("", "ann", "bob")
METRICS = ("relevance", "toxicity")
JUDGES = ("", "v1", "v2")

# Two days around midnight, so that a correction can also move a comparison to another day.
times = st.integers(DAY_MS - 3, DAY_MS + 3)
ids = st.sampled_from(("a", "b", "ab", "c"))
texts = st.none() | st.sampled_from(("why", "y" * 100))
tags = st.none() | st.dictionaries(st.sampled_from(("plan", "lang")), st.sampled_from(("free", "é")), min_size=1)
about_item: st.SearchStrategy[dict[str, Any]] = st.just({}) | st.fixed_dictionaries(
    {"input": texts, "output": texts, "tags": tags}
)
"""Fields of every event that is no deletion. Most events have none of them."""


@st.composite
def annotations(draw: st.DrawFn) -> Annotation:
    """An annotation or its deletion."""
    identity: dict[str, Any] = {
        "at": draw(times),
        "id": draw(ids),
        "queue": draw(st.sampled_from(QUEUES)),
        "item": draw(st.sampled_from(ITEMS)),
        "criterion": draw(st.sampled_from(CRITERIA)),
        "annotator": draw(st.sampled_from(ANNOTATORS)),
    }
    if draw(st.integers(0, 5)) == 0:
        return Annotation(**identity, deleted=True)
    identity |= draw(about_item)
    if draw(st.booleans()):
        return Annotation(**identity, thumbs=draw(st.sampled_from(("up", "down"))), explanation=draw(texts))
    return Annotation(**identity, stars=draw(st.integers(1, 5)), explanation=draw(texts))


@st.composite
def evaluations(draw: st.DrawFn) -> Evaluation:
    """A verdict, a failure or a deletion."""
    identity: dict[str, Any] = {
        "at": draw(times),
        "id": draw(ids),
        "item": draw(st.sampled_from(ITEMS)),
        "metric": draw(st.sampled_from(METRICS)),
        "judge": draw(st.sampled_from(JUDGES)),
    }
    what = draw(st.sampled_from(("verdict", "verdict", "verdict", "failure", "deletion")))
    if what == "deletion":
        return Evaluation(**identity, deleted=True)
    identity |= draw(about_item)
    if what == "failure":
        return Evaluation(**identity, status=draw(st.sampled_from(("error", "skipped"))), reason=draw(texts))
    return Evaluation(
        **identity,
        score=draw(st.none() | st.sampled_from((0.0, 0.5, 1.0))),
        passed=draw(st.booleans()),
        reason=draw(texts),
    )


@st.composite
def queue_items(draw: st.DrawFn) -> QueueItem:
    """An item put into a queue, or taken out."""
    identity: dict[str, Any] = {
        "at": draw(times),
        "id": draw(ids),
        "queue": draw(st.sampled_from(QUEUES)),
        "item": draw(st.sampled_from(ITEMS)),
    }
    if draw(st.booleans()):
        return QueueItem(**identity, deleted=True)
    return QueueItem(**identity, **draw(about_item))


facts: st.SearchStrategy[Fact] = st.one_of(annotations(), annotations(), evaluations(), evaluations(), queue_items())
histories = st.lists(facts, max_size=40)
"""A history in the order of arrival."""
