"""Judge versions are found without a walk over their verdicts."""

from aggregator.facts import Evaluation, Fact
from sinks.queries.judge_versions import judges_in_use
from sinks.store.store import Store
from tests.support.sample_view import NOW_MS, fill


def verdicts(count: int) -> list[Fact]:
    """Verdicts of two versions each of two metrics, the second version half an hour after the first."""
    return [
        Evaluation(at=NOW_MS + at, id="e", item=f"{judge} {n}", metric=metric, judge=judge, passed=True)
        for metric in ("m", "n")
        for judge, at in (("", 0), ("v2", 1_800_000))
        for n in range(count)
    ]


def steps(store: Store) -> int:
    """Steps of SQLite's machine that finding the versions takes."""
    with store.read() as connection:
        judges_in_use(connection)  # A new connection reads the schema first.
        taken = 0

        def count() -> int:
            nonlocal taken
            taken += 1
            return 0

        connection.set_progress_handler(count, 1)
        found = judges_in_use(connection)
        connection.set_progress_handler(None, 1)
    newest = {metric: (period.judge, period.first_at) for metric, period in found.items()}
    assert newest == dict.fromkeys(("m", "n"), ("v2", NOW_MS + 1_800_000))
    return taken


def test_the_number_of_verdicts_does_not_matter(store: Store) -> None:
    fill(store, verdicts(1))
    few = steps(store)
    fill(store, verdicts(500))
    assert steps(store) == few
