"""Cases of comparisons, annotators, corrections and days."""

from typing import Final

from aggregator.policy import Policy
from tests.laws.case import Annotations, Case, Cell, annotation, evaluation

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
        "Input, output and tags change no count.",
        [
            annotation(thumbs="up", input="Where is it?", tags={"plan": "free"}),
            evaluation(passed=True, output="On its way.", tags={"plan": "paid"}),
        ],
        [Annotations(1, 1), Cell("up", "pass")],
        tp=1,
        items=1,
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
    Case(
        "Under policy `majority` an item is one comparison, with what most annotators think.",
        [
            annotation("09:00", annotator="ann", thumbs="up"),
            annotation("10:00", annotator="bob", thumbs="up"),
            annotation("11:00", annotator="cyd", thumbs="down"),
            evaluation(passed=True),
        ],
        [Annotations(3, 1), Cell("up", "pass")],
        tp=1,
        items=1,
        policy=Policy.MAJORITY,
    ),
    Case(
        "Under policy `majority` a tie is a human fail.",
        [
            annotation("09:00", annotator="ann", thumbs="down"),
            annotation("10:00", annotator="bob", thumbs="up"),
            evaluation(passed=True),
        ],
        [Annotations(2, 1), Cell("down", "pass")],
        fp=1,
        items=1,
        policy=Policy.MAJORITY,
    ),
    Case(
        "Under policy `majority` the median of the stars is compared: of an even number the lower one in the middle.",
        [
            annotation("09:00", annotator="ann", stars=5),
            annotation("10:00", annotator="bob", stars=1),
            annotation("11:00", annotator="cyd", stars=4),
            annotation("12:00", annotator="dan", stars=2),
            evaluation(passed=False),
        ],
        [Annotations(4, 1), Cell("2", "fail")],
        tn=1,
        items=1,
        policy=Policy.MAJORITY,
    ),
    Case(
        "Under policy `majority` thumbs stand between 2 and 3 stars.",
        [
            annotation("09:00", annotator="ann", stars=2),
            annotation("10:00", annotator="bob", thumbs="up"),
            annotation("11:00", annotator="cyd", stars=3),
            evaluation(passed=True),
        ],
        [Annotations(3, 1), Cell("up", "pass")],
        tp=1,
        items=1,
        policy=Policy.MAJORITY,
    ),
    Case(
        "Under policy `majority` the comparison is on the day of the newest annotation, for any rating that it has.",
        [
            annotation("09:00", annotator="ann", thumbs="up"),
            annotation("10:00", annotator="bob", thumbs="up"),
            annotation("2026-11-24T09:00:00Z", annotator="cyd", thumbs="down"),
            evaluation(passed=True),
        ],
        [Annotations(2, 0), Annotations(1, 1, day="2026-11-24"), Cell("up", "pass", day="2026-11-24")],
        tp=1,
        items=1,
        policy=Policy.MAJORITY,
    ),
    Case(
        "Under policy `majority` the deletion of an annotation can change the rating and the day of the comparison.",
        [
            annotation("09:00", annotator="ann", thumbs="up"),
            annotation("10:00", annotator="bob", thumbs="down"),
            annotation("2026-11-24T09:00:00Z", annotator="cyd", thumbs="up"),
            annotation("2026-11-24T10:00:00Z", annotator="cyd", deleted=True),
            evaluation(passed=True),
        ],
        [Annotations(2, 1), Cell("down", "pass")],
        fp=1,
        items=1,
        policy=Policy.MAJORITY,
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
        "Events with the same time and id that differ in their tags are versions of one row too.",
        [
            annotation(id="x", thumbs="up", tags={"plan": "free"}),
            annotation(id="x", thumbs="up", tags={"plan": "paid"}),
            annotation(id="x", thumbs="up"),
            evaluation(passed=True),
        ],
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
