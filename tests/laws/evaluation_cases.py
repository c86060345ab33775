"""Cases of verdicts, judge versions, failures and queues."""

from typing import Final

from tests.laws.case import Annotations, Case, Cell, Coverage, Funnel, annotation, evaluation, queue_item

VERDICTS: Final = (
    Case(
        "A score at the threshold or above it passes.",
        [
            *(annotation(item=item, thumbs="up") for item in "abc"),
            evaluation(item="a", score=0.69, threshold=0.7),
            evaluation(item="b", score=0.7, threshold=0.7),
            evaluation(item="c", score=0.71, threshold=0.7),
        ],
        [Annotations(3, 3), Cell("up", "fail"), Cell("up", "pass", 2)],
        tp=2,
        fn=1,
        items=3,
    ),
    Case(
        "Where lower is better, a score at the threshold or below it passes.",
        [
            *(annotation(item=item, thumbs="up") for item in "abc"),
            evaluation(item="a", score=0.19, threshold=0.2, direction="lower"),
            evaluation(item="b", score=0.2, threshold=0.2, direction="lower"),
            evaluation(item="c", score=0.21, threshold=0.2, direction="lower"),
        ],
        [Annotations(3, 3), Cell("up", "pass", 2), Cell("up", "fail")],
        tp=2,
        fn=1,
        items=3,
    ),
    Case(
        "An explicit `passed` wins over score and threshold.",
        [annotation(thumbs="up"), evaluation(score=0.1, threshold=0.7, passed=True)],
        [Annotations(1, 1), Cell("up", "pass")],
        tp=1,
        items=1,
    ),
)

JUDGES: Final = (
    Case(
        "Of two judge versions the newer verdict is the item's current one; the other is superseded.",
        [
            annotation(thumbs="up"),
            evaluation("09:00", judge="v1", passed=False),
            evaluation("10:00", judge="v2", passed=True),
        ],
        [Annotations(1, 1), Cell("up", "fail", judge="v1", superseded=True), Cell("up", "pass", judge="v2")],
        tp=1,
        items=1,
    ),
    Case(
        "When the older version judges the item again, its verdict is the current one again.",
        [
            annotation(thumbs="up"),
            evaluation("09:00", judge="v1", passed=False),
            evaluation("10:00", judge="v2", passed=True),
            evaluation("11:00", judge="v1", passed=False),
        ],
        [Annotations(1, 1), Cell("up", "fail", judge="v1"), Cell("up", "pass", judge="v2", superseded=True)],
        fn=1,
        items=1,
    ),
    Case(
        "The deletion of the current verdict makes the other version's verdict current.",
        [
            annotation(thumbs="up"),
            evaluation("09:00", judge="v1", passed=False),
            evaluation("10:00", judge="v2", passed=True),
            evaluation("11:00", judge="v2", deleted=True),
        ],
        [Annotations(1, 1), Cell("up", "fail", judge="v1")],
        fn=1,
        items=1,
    ),
    Case(
        "Two annotators and two judge versions are four comparisons, two of them with the current verdict.",
        [
            annotation(annotator="ann", thumbs="up"),
            annotation(annotator="bob", thumbs="up"),
            evaluation("09:00", judge="v1", passed=False),
            evaluation("10:00", judge="v2", passed=True),
        ],
        [Annotations(2, 2), Cell("up", "fail", 2, judge="v1", superseded=True), Cell("up", "pass", 2, judge="v2")],
        tp=2,
        items=1,
    ),
)

FAILURES: Final = (
    Case(
        "A failure after a verdict changes nothing: an error is not a verdict.",
        [queue_item(), annotation(thumbs="up"), evaluation("09:00", passed=True), evaluation("10:00", status="error")],
        [Annotations(1, 1), Cell("up", "pass"), Coverage(passed=1)],
        tp=1,
        items=1,
        funnel=Funnel(queued=1),
    ),
    Case(
        "A verdict after a failure counts, and the failure does not show any more.",
        [queue_item(), annotation(thumbs="up"), evaluation("09:00", status="error"), evaluation("10:00", passed=True)],
        [Annotations(1, 1), Cell("up", "pass"), Coverage(passed=1)],
        tp=1,
        items=1,
        funnel=Funnel(queued=1),
    ),
    Case(
        "A failure without a verdict is coverage and never a fail.",
        [queue_item(), annotation(thumbs="up"), evaluation(status="error")],
        [Annotations(1, 0), Coverage(error=1)],
        funnel=Funnel(queued=1, errored=1),
    ),
    Case(
        "Of several failures the newest shows.",
        [
            queue_item(),
            annotation(thumbs="up"),
            evaluation("09:00", judge="v1", status="error"),
            evaluation("10:00", judge="v2", status="skipped"),
        ],
        [Annotations(1, 0), Coverage(skipped=1)],
        funnel=Funnel(queued=1, errored=1),
    ),
    Case(
        "A newer deletion hides the failures of its judge.",
        [queue_item(), annotation(thumbs="up"), evaluation("09:00", status="error"), evaluation("10:00", deleted=True)],
        [Annotations(1, 0)],
        funnel=Funnel(queued=1, waiting_evaluation=1),
    ),
)

QUEUES: Final = (
    Case(
        "An item that is taken out of the queue counts nowhere in it; other queues keep it.",
        [
            annotation(thumbs="up"),
            annotation(queue="sales", thumbs="up"),
            evaluation(passed=True),
            queue_item("08:00"),
            queue_item("12:00", deleted=True),
        ],
        [Annotations(1, 1, queue="sales"), Cell("up", "pass", queue="sales")],
    ),
    Case(
        "An item that is put back counts as before, with its annotations.",
        [
            annotation(thumbs="up"),
            evaluation(passed=True),
            queue_item("08:00"),
            queue_item("12:00", deleted=True),
            queue_item("13:00"),
        ],
        [Annotations(1, 1), Cell("up", "pass"), Coverage(passed=1)],
        tp=1,
        items=1,
        funnel=Funnel(queued=1),
    ),
    Case(
        "An item of the queue that nobody annotated counts in its metrics' coverage, on the day of the evaluation.",
        [queue_item(), evaluation("2026-11-24T09:00:00Z", passed=False)],
        [Coverage(failed=1, day="2026-11-24")],
        funnel=Funnel(queued=1, waiting_annotation=1),
    ),
    Case(
        "Coverage counts an item once for each metric, with the current verdict.",
        [
            queue_item(),
            evaluation("09:00", judge="v1", passed=False),
            evaluation("10:00", judge="v2", passed=True),
            evaluation("09:00", metric="toxicity", passed=True),
        ],
        [Coverage(passed=1), Coverage(passed=1, metric="toxicity")],
        funnel=Funnel(queued=1, waiting_annotation=1),
    ),
    Case(
        "An item of the queue that nobody evaluated waits for its evaluation.",
        [queue_item(item="t1"), queue_item(item="t2"), evaluation(item="t2", passed=True), annotation(stars=4)],
        [Annotations(1, 0), Coverage(passed=1)],
        funnel=Funnel(queued=2, waiting_evaluation=1, waiting_annotation=1),
    ),
)
