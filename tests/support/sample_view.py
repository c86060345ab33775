"""A store with a few facts of every kind, and a view of it."""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from aggregator.facts import Annotation, Evaluation, Fact, QueueItem
from aggregator.policy import Policy
from aggregator.snapshot.inputs import CountingRules
from aggregator.tallies import SourcePosition, WaitingState
from sinks.api.services import Services
from sinks.api.sse import EventStreams
from sinks.changes import Changes
from sinks.config import ViewConfig
from sinks.documents import Documents
from sinks.freshness import Freshness
from sinks.metrics import ViewMetrics
from sinks.store.store import Store
from streams.events.decoder import KIND_OF
from streams.kafka.topics import Topics
from tests.support.logs import Logs, steps_of

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
NOW_MS = int(NOW * 1000)
HOUR_MS = 3_600_000
HOSTILE = 'a/b "c"\\ \u202egnp.\u2028 eval_alignment_agreement_ratio{} 1 é%2F?#'
"""A queue's name that tries to break out of paths, labels, lines and quotes."""

FACTS: list[Fact] = [
    Annotation(at=NOW_MS - HOUR_MS, id="a1", queue="support", item="i1", annotator="ann", stars=2, explanation="rude"),
    Annotation(at=NOW_MS - 2 * HOUR_MS, id="a2", queue="support", item="i2", thumbs="up", url="https://x.test/2"),
    Annotation(at=NOW_MS - 2 * HOUR_MS, id="a3", queue="support", item="i2", annotator="bob", thumbs="down"),
    Annotation(at=NOW_MS - 900 * HOUR_MS, id="a4", queue="support", item="i3", criterion="tone", stars=5),
    Evaluation(at=NOW_MS - 5, id="e1", item="i1", metric="relevance", score=0.9, threshold=0.5, passed=True),
    Evaluation(at=NOW_MS - 5, id="e2", item="i2", metric="relevance", judge="v2", passed=False, reason="no"),
    Evaluation(at=NOW_MS - 9, id="e3", item="i2", metric="relevance", judge="v1", passed=True),
    Evaluation(at=NOW_MS - 5, id="e4", item="i3", metric="relevance", passed=True),
    Evaluation(at=NOW_MS - 5, id="e5", item="i1", metric="toxicity", status="error", reason="time-out"),
    QueueItem(at=NOW_MS - 5, id="q1", queue="support", item="i1"),
    QueueItem(at=NOW_MS - 5, id="q2", queue="support", item="i4"),
    Annotation(at=NOW_MS - 5, id="a6", queue="support", item="i5", stars=1),
    Annotation(at=NOW_MS - 5, id="a7", queue="support", item="i3", annotator="bob", deleted=True),
    Evaluation(at=NOW_MS - 5, id="e6", item="i5", metric="relevance", passed=True),
    QueueItem(at=NOW_MS - 5, id="q3", queue="support", item="i5", deleted=True),
    Annotation(at=NOW_MS - 5, id="a5", queue=HOSTILE, item="i1", criterion='"\\', stars=4),
]


def fill(
    store: Store,
    facts: list[Fact],
    at: int = NOW_MS,
    waiting: WaitingState | None = None,
    policy: Policy = Policy.EACH,
) -> set[str]:
    """Apply facts to a store as one checkpoint of one partition; returns the queues that changed.

    `waiting`: what its marker reports of waiting evaluations.
    """
    counts = Counter(KIND_OF[type(fact)] for fact in facts)
    sources = {
        topic: SourcePosition(position=counts[kind], end=counts[kind]) for topic, kind in Topics().sources.items()
    }
    logs = Logs(at=at - 1, sources=sources, waiting=waiting, policy=policy)
    logs.write(facts)
    return store.apply(steps_of(logs), 1)


def view_of(store: Store, directory: Path, rules: CountingRules | None = None) -> Services:
    """A view of what a store holds, caught up."""
    config = ViewConfig(
        client={},
        data_dir=directory,
        rules=rules or CountingRules(),
        version="1.2.3",
        item_url="https://t.test/{level}/{item}",
        queue_url="https://t.test/q/{queue}",
    )
    metrics, changes = ViewMetrics(config.version), Changes()
    return Services(
        config=config,
        store=store,
        documents=Documents(store, config.rules, lambda: datetime.fromtimestamp(NOW, UTC).date()),
        changes=changes,
        metrics=metrics,
        streams=EventStreams(changes, metrics),
        ready=lambda: True,
        freshness=Freshness(config.stale_after_s),
        now=lambda: NOW,
    )
