"""The alternative annotator test reads the ratings and verdicts of plain loops over the rows."""

from collections import defaultdict
from datetime import date
from unittest.mock import patch

import pytest
from hypothesis import given, settings

from aggregator.days import Window
from aggregator.facts import Annotation, Evaluation, Fact
from aggregator.policy import Policy
from aggregator.recount import Recount
from aggregator.snapshot.inputs import CountingRules
from aggregator.statistics.alternative import LeftOut
from sinks.page.wording import replaces_people
from sinks.queries.alternative import alternative_annotator
from sinks.queries.deep_dive import ceiling
from sinks.queries.scope import Scope
from tests.unit.aggregator.statistics.test_alternative import left_out
from tests.unit.sinks.queries.test_deep_dive import Plain, criteria, histories, policies, scopes, stored
from tests.unit.sinks.queries.test_people import standing

SCOPE = Scope("support", Window.ALL, date(1970, 1, 8), CountingRules(criterion_metrics={"overall": ["m", "n"]}))


@given(histories, policies, scopes, criteria)
@settings(max_examples=50)
def test_people_are_left_out_one_by_one(history: list[Fact], policy: Policy, scope: Scope, criterion: str) -> None:
    recount = Recount(history)
    human = Plain(recount, scope).human
    ratings: dict[str, dict[str, bool]] = defaultdict(dict)
    for item, rated in standing(history, scope, criterion).items():
        for name, row in rated.items():
            ratings[name][item] = human(row)
    seen: list[list[LeftOut]] = []

    def remember(people: list[LeftOut], _epsilon: float) -> None:
        seen.append(sorted(people))
        raise LookupError

    with stored(history, policy) as store, store.read() as connection:
        current = connection.execute("SELECT metric, item, passed FROM evaluations WHERE current = 1").fetchall()
        verdicts: dict[str, dict[str, bool]] = defaultdict(dict)
        for metric, item, passed in current:
            if scope.rules.on_topic(criterion, metric):
                verdicts[metric][item] = bool(passed)
        expected = [
            counts
            for metric in sorted(verdicts)
            if (counts := sorted(each for each in left_out(ratings, verdicts[metric]) if each.items))
        ]
        if not expected:
            assert alternative_annotator(connection, scope, criterion, 0.2)["metrics"] == []
            return
        with patch("sinks.queries.alternative.alternative", remember), pytest.raises(LookupError):
            alternative_annotator(connection, scope, criterion, 0.2)
    assert seen == expected[:1]


def panel(number: int) -> list[Fact]:
    """An item that three people rate; `m` decides as they do, `n` at random, `off` is off topic."""
    truth, item = number % 3 > 0, f"i{number}"
    votes = [truth, truth if number % 7 else not truth, truth if number % 5 else not truth]
    verdicts = {"m": truth, "n": number % 2 == 0, "off": truth}
    return [
        *(Evaluation(at=1, id="e", item=item, metric=metric, passed=passed) for metric, passed in verdicts.items()),
        *(
            Annotation(at=1, id="a", queue="support", item=item, annotator=f"p{place}", thumbs="up" if vote else "down")
            for place, vote in enumerate(votes)
        ),
    ]


def test_the_answer_in_words() -> None:
    with stored([fact for number in range(60) for fact in panel(number)]) as store, store.read() as connection:
        answer = alternative_annotator(connection, SCOPE, "overall", 0.2)
        agreeing = ceiling(connection, SCOPE, "overall")
    no = "No: n (as good as 0 of 3 people)."
    assert replaces_people(answer, agreeing, {"m"}, str) == f"Yes: m (as good as 3 of 3 people). {no}"
    assert replaces_people(answer, agreeing, {"n"}, str) == (
        "As close to people as they are to each other, but not trusted by the gate: m (as good as 3 of 3 people). "
        f"The test compares a metric only with these people. The gate decides whether it may stand in for them. {no}"
    )
    with stored([fact for number in range(29) for fact in panel(number)]) as store, store.read() as connection:
        few = alternative_annotator(connection, SCOPE, "overall", 0.2)
        nobody = alternative_annotator(connection, SCOPE, "tone", 0.2)
        alone = ceiling(connection, SCOPE, "tone")
    assert few["metrics"][0]["undefined"]["may_replace"] == "few_annotators"
    assert replaces_people(few, agreeing, ()).startswith("That cannot be told yet. It takes 3 people")
    assert "No item was rated by two people" in replaces_people(nobody, alone, ())
