"""A realistic queue: two criteria; a strict, a lenient and a fair metric; annotators who mostly agree."""

import random

from aggregator.days import DAY_MS
from aggregator.facts import Annotation, Evaluation, Fact, QueueItem

QUEUE = "Support / EN"
QUESTIONS = (
    "How long can I return the shoes? I bought them three weeks ago and wore them twice.",
    "My parcel has not moved since Monday. Where is it?",
    "Please cancel my subscription, and confirm that nothing is charged in December.",
)
ANSWER = (
    "Thank you for your message, and sorry for the trouble!\n\nYou can return items within 14 days of delivery.\n"
    "1. Open Orders and choose the order.\n2. Choose Return, and the reason.\n3. Print the label.\n"
    "4. Bring the parcel to a shop.\n\nThe money is with you five days after we have the parcel.\nYour support team"
)
"""More lines than a list shows."""


def sample_queue(now: int, items: int = 120) -> list[Fact]:
    """Facts of the last 20 days before `now`: some items wait for evaluation, one metric got a new judge version.

    Items of the plan `trial` are those on which the lenient metric errs.
    """
    luck = random.Random(1)
    facts: list[Fact] = []
    for number in range(items):
        at, item, quality = now - (number % 20) * DAY_MS - number, f"trace-{number:04}", luck.random()
        plan = "trial" if 0.2 < quality < 0.4 else "team" if number % 3 else "free"
        facts.append(
            QueueItem(
                at=at, id=f"q{number}", queue=QUEUE, item=item, input=QUESTIONS[number % 3],
                output=ANSWER if number % 2 else "You can return it within 14 days.",
                tags={"plan": plan},
            )
        )  # fmt: skip
        for place, annotator in enumerate(("ann", "bob")[: 1 + number % 2]):
            seen = min(0.99, max(0.0, quality + luck.gauss(0, 0.08)))
            facts += [
                Annotation(
                    at=at, id=f"h{number}.{place}", queue=QUEUE, item=item, criterion="helpfulness",
                    annotator=annotator, thumbs="up" if seen >= 0.4 else "down",
                    explanation="Names the next step." if seen >= 0.4 else "The refund period is wrong.",
                ),
                Annotation(
                    at=at, id=f"t{number}.{place}", queue=QUEUE, item=item, criterion="tone", annotator=annotator,
                    stars=1 + int(5 * seen),
                ),
            ]  # fmt: skip
        if number % 10 == 9:
            continue
        for metric, lean in (("strict_judge", -0.25), ("lenient_judge", 0.25), ("relevancy", 0.0)):
            for judge in ("p1", "p2") if metric == "relevancy" and number % 20 < 8 else ("p1",):
                score = round(min(1.0, max(0.0, quality + lean + luck.gauss(0, 0.06 if judge == "p2" else 0.12))), 3)
                facts.append(
                    Evaluation(
                        at=at + 1 + (judge == "p2"), id=f"{metric}{judge}{number}", item=item, metric=metric,
                        judge=judge, score=score, threshold=0.4, passed=score >= 0.4, reason=f"Scored {score:.2f}.",
                    )
                )  # fmt: skip
    return facts
