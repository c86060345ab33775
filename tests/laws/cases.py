"""The specification of what counts: small histories with counts written by hand."""

from typing import Final

from aggregator.policy import Policy
from tests.laws.case import Annotations, Case, Cell, Coverage, Funnel, annotation, evaluation, queue_item

COMPARISONS: Final = (
    Case(
        "An annotation and an evaluation of the same item make one comparison.",
        [annotation(thumbs="up"), evaluation(passed=True)],
        [Annotations(1, 1), Cell("up", "pass")],
        tp=1,
        items=1,
    ),
    Case(
        "People are the truth: four items give the four outcomes.",
        [
            annotation(item="a", thumbs="up"),
            annotation(item="b", thumbs="up"),
            annotation(item="c", thumbs="down"),
            annotation(item="d", thumbs="down"),
            evaluation(item="a", passed=True),
            evaluation(item="b", passed=False),
            evaluation(item="c", passed=False),
            evaluation(item="d", passed=True),
        ],
        [
            Annotations(4, 4),
            Cell("up", "pass"),
            Cell("up", "fail"),
            Cell("down", "fail"),
            Cell("down", "pass"),
        ],
        tp=1,
        fn=1,
        tn=1,
        fp=1,
        items=4,
    ),
    Case(
        "Each number of stars has cells of its own; 3 stars or more are a pass by default.",
        [
            *(annotation(item=f"t{stars}", stars=stars) for stars in (1, 2, 3, 4, 5)),
            *(evaluation(item=f"t{stars}", passed=True) for stars in (1, 2, 3, 4, 5)),
        ],
        [
            Annotations(5, 5),
            Cell("1", "pass"),
            Cell("2", "pass"),
            Cell("3", "pass"),
            Cell("4", "pass"),
            Cell("5", "pass"),
        ],
        tp=3,
        fp=2,
        items=5,
    ),
    Case(
        "An annotation of an item that nobody evaluated is counted and is not compared.",
        [annotation(thumbs="up"), evaluation(item="another", passed=True)],
        [Annotations(1, 0)],
    ),
    Case(
        "An item that is annotated first and evaluated two days later is compared on the day of the annotation.",
        [annotation(thumbs="up"), evaluation("2026-11-25T07:00:00Z", passed=True)],
        [Annotations(1, 1), Cell("up", "pass")],
        tp=1,
        items=1,
    ),
    Case(
        "Every criterion is compared with every metric of the item: two by two make four comparisons on one item.",
        [
            annotation(criterion="helpfulness", stars=5),
            annotation(criterion="tone", stars=1),
            evaluation(metric="relevance", passed=True),
            evaluation(metric="toxicity", passed=False),
        ],
        [
            Annotations(1, 1, criterion="helpfulness"),
            Annotations(1, 1, criterion="tone"),
            Cell("5", "pass", criterion="helpfulness", metric="relevance"),
            Cell("5", "fail", criterion="helpfulness", metric="toxicity"),
            Cell("1", "pass", criterion="tone", metric="relevance"),
            Cell("1", "fail", criterion="tone", metric="toxicity"),
        ],
        tp=1,
        fn=1,
        tn=1,
        fp=1,
        items=1,
    ),
    Case(
        "An item that is annotated in two queues is compared in each of them.",
        [annotation(thumbs="up"), annotation(queue="sales", thumbs="down"), evaluation(passed=True)],
        [
            Annotations(1, 1),
            Cell("up", "pass"),
            Annotations(1, 1, queue="sales"),
            Cell("down", "pass", queue="sales"),
        ],
        tp=1,
        items=1,
    ),
)

ANNOTATORS: Final = (
    Case(
        "Two annotators of one item are two comparisons on one distinct item (policy `each`).",
        [
            annotation("09:00", annotator="ann", thumbs="up"),
            annotation("10:00", annotator="bob", thumbs="down"),
            evaluation(passed=True),
        ],
        [Annotations(2, 2), Cell("up", "pass"), Cell("down", "pass")],
        tp=1,
        fp=1,
        items=1,
    ),
    Case(
        "Under policy `latest` only the newest annotation is compared; the other one stays an annotation.",
        [
            annotation("09:00", annotator="ann", thumbs="up"),
            annotation("10:00", annotator="bob", thumbs="down"),
            evaluation(passed=True),
        ],
        [Annotations(2, 1), Cell("down", "pass")],
        fp=1,
        items=1,
        policy=Policy.LATEST,
    ),
    Case(
        "Under policy `latest` the newest annotation is chosen for each criterion.",
        [
            annotation("09:00", annotator="ann", criterion="tone", thumbs="up"),
            annotation("10:00", annotator="bob", thumbs="down"),
            evaluation(passed=True),
        ],
        [
            Annotations(1, 1, criterion="tone"),
            Annotations(1, 1),
            Cell("up", "pass", criterion="tone"),
            Cell("down", "pass"),
        ],
        tp=1,
        fp=1,
        items=1,
        policy=Policy.LATEST,
    ),
    Case(
        "Under policy `latest` the deletion of the newest annotation brings the one before back.",
        [
            annotation("09:00", annotator="ann", thumbs="up"),
            annotation("10:00", annotator="bob", thumbs="down"),
            annotation("11:00", annotator="bob", deleted=True),
            evaluation(passed=True),
        ],
        [Annotations(1, 1), Cell("up", "pass")],
        tp=1,
        items=1,
        policy=Policy.LATEST,
    ),
)

VERSIONS: Final = (
    Case(
        "A later event of the same annotator corrects the rating; whichever arrives first, the later time counts.",
        [annotation("11:00", stars=1), annotation("09:00", stars=5), evaluation(passed=True)],
        [Annotations(1, 1), Cell("1", "pass")],
        fp=1,
        items=1,
    ),
    Case(
        "Of two events with the same time, the one with the higher id counts.",
        [annotation(id="x2", stars=5), annotation(id="x1", stars=1), evaluation(passed=True)],
        [Annotations(1, 1), Cell("5", "pass")],
        tp=1,
        items=1,
    ),
    Case(
        "Of two events with the same time and id, the content decides, in every order of arrival.",
        [annotation(id="x", thumbs="down"), annotation(id="x", thumbs="up"), evaluation(passed=True)],
        [Annotations(1, 1), Cell("up", "pass")],
        tp=1,
        items=1,
    ),
    Case(
        "A correction on the next day moves the comparison to that day.",
        [annotation(stars=1), annotation("2026-11-24T09:00:00Z", stars=5), evaluation(passed=True)],
        [Annotations(1, 1, day="2026-11-24"), Cell("5", "pass", day="2026-11-24")],
        tp=1,
        items=1,
    ),
    Case(
        "A deleted annotation counts nowhere.",
        [annotation("09:00", thumbs="up"), annotation("10:00", deleted=True), evaluation(passed=True)],
        [],
    ),
    Case(
        "A deletion keeps out an older event that arrives after it.",
        [annotation("10:00", deleted=True), evaluation(passed=True), annotation("09:00", thumbs="up")],
        [],
    ),
    Case(
        "An event that is newer than the deletion counts again.",
        [
            annotation("09:00", thumbs="up"),
            annotation("10:00", deleted=True),
            annotation("11:00", thumbs="down"),
            evaluation(passed=True),
        ],
        [Annotations(1, 1), Cell("down", "pass")],
        fp=1,
        items=1,
    ),
    Case(
        "A deleted evaluation leaves the annotation without a comparison.",
        [annotation(thumbs="up"), evaluation("09:00", passed=True), evaluation("10:00", deleted=True)],
        [Annotations(1, 0)],
    ),
)

DAYS: Final = (
    Case(
        "A day ends at midnight UTC.",
        [
            annotation("2026-11-23T23:59:59.999Z", item="a", thumbs="up"),
            annotation("2026-11-24T00:00:00Z", item="b", thumbs="up"),
            evaluation(item="a", passed=True),
            evaluation(item="b", passed=True),
        ],
        [
            Annotations(1, 1),
            Cell("up", "pass"),
            Annotations(1, 1, day="2026-11-24"),
            Cell("up", "pass", day="2026-11-24"),
        ],
        tp=2,
        items=2,
    ),
    Case(
        "A time with an offset counts on its day in UTC.",
        [annotation("2026-11-24T01:30:00+02:00", thumbs="up"), evaluation(passed=True)],
        [Annotations(1, 1), Cell("up", "pass")],
        tp=1,
        items=1,
    ),
)

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

CASES: Final = {
    "Comparisons": COMPARISONS,
    "Several annotators": ANNOTATORS,
    "Corrections and deletions": VERSIONS,
    "Days": DAYS,
    "Verdicts": VERDICTS,
    "Judge versions": JUDGES,
    "Failures": FAILURES,
    "Queues": QUEUES,
}
"""All cases by subject."""
