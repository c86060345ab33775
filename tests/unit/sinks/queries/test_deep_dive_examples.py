"""Deep-dive results of small stores, number by number."""

import pytest

from aggregator.days import DAY_MS, Window
from aggregator.facts import Annotation, Evaluation, Fact, QueueItem
from aggregator.snapshot.inputs import CountingRules
from aggregator.statistics.confusion import wilson
from aggregator.statistics.segments import fisher
from aggregator.statistics.versions import mcnemar
from sinks.queries import deep_dive
from sinks.queries.rows import panels, scales
from sinks.queries.scope import Scope
from sinks.queries.thresholds import what_if
from tests.unit.sinks.queries.test_deep_dive import TODAY, stored

SCOPE = Scope("q", Window.ALL, TODAY, CountingRules())


def test_what_if_of_a_metric_that_passes_low_scores() -> None:
    facts: list[Fact] = []
    for number, (score, stars) in enumerate([(0.1, 5), (0.2, 5), (0.3, 1), (0.4, 5), (0.9, 1)]):
        facts.append(Annotation(at=1, id="a", queue="q", item=f"i{number}", stars=stars))
        row = Evaluation(
            at=number, id="e", item=f"i{number}", metric="m", score=score, threshold=0.5, direction="lower"
        )
        row.passed = score <= 0.5
        facts.append(row)
    facts.append(Annotation(at=1, id="a", queue="q", item="unscored", stars=1))
    facts.append(Evaluation(at=9, id="e", item="unscored", metric="m", passed=True))
    with stored(facts) as store, store.read() as connection:
        answer = what_if(connection, SCOPE, "overall", "m", cost=10)
    best, cheapest = answer["best_alignment"], answer["best_cost"]
    assert best is not None
    assert cheapest is not None
    assert (answer["direction"], answer["threshold"], answer["thresholds"]) == ("lower", 0.5, 1)
    assert (answer["comparisons"], answer["scored"]) == (6, 5)
    # Both cuts give four of five; 0.4 is nearer to where the threshold is.
    assert (best["cut"], best["alignment"], cheapest["cut"]) == (0.4, 0.8, 0.2)
    assert [cut["cut"] for cut in answer["sweep"]] == [None, 0.1, 0.2, 0.3, 0.4, 0.9]
    assert answer["auc"] == pytest.approx(5 / 6)


def test_the_threshold_is_the_newest_evaluations() -> None:
    facts: list[Fact] = []
    for at, (item, threshold) in enumerate([("i", 0.9), ("j", 0.2), ("k", None)]):
        facts.append(Annotation(at=1, id="a", queue="q", item=item, stars=5))
        facts.append(Evaluation(at=at, id="e", item=item, metric="m", score=1, threshold=threshold, passed=True))
    with stored(facts) as store, store.read() as connection:
        answer = what_if(connection, SCOPE, "overall", "m")
    assert (answer["threshold"], answer["thresholds"]) == (0.2, 2)


def test_mixed_directions_and_missing_thresholds_are_reported() -> None:
    facts: list[Fact] = [
        Annotation(at=1, id="a", queue="q", item="i", stars=5),
        Annotation(at=1, id="a", queue="q", item="j", stars=5),
        Evaluation(at=1, id="e", item="i", metric="m", score=0.5, passed=True),
        Evaluation(at=1, id="e", item="j", metric="m", score=0.5, direction="lower", passed=True),
    ]
    with stored(facts) as store, store.read() as connection:
        answer = what_if(connection, SCOPE, "overall", "m")
    assert (answer["direction"], answer["auc"], answer["sweep"]) == (None, None, [])
    assert (answer["undefined"]["auc"], answer["undefined"]["threshold"]) == ("mixed_directions", "no_threshold")
    assert answer["now"] is not None
    assert answer["now"]["alignment"] == 1


def test_many_cuts_are_selected_and_the_best_is_among_them() -> None:
    facts: list[Fact] = []
    for number in range(1_000):
        facts.append(Annotation(at=1, id="a", queue="q", item=f"i{number}", stars=5 if number >= 333 else 1))
        facts.append(Evaluation(at=1, id="e", item=f"i{number}", metric="m", score=number / 1000, passed=True))
    with stored(facts) as store, store.read() as connection:
        answer = what_if(connection, SCOPE, "overall", "m")
    best = answer["best_alignment"]
    assert best is not None
    assert (best["cut"], best["alignment"], answer["cuts"]) == (0.333, 1, 1_001)
    assert best in answer["sweep"]
    assert 200 <= len(answer["sweep"]) <= 203


def test_epochs_of_a_criterion_are_those_of_its_on_topic_metrics() -> None:
    facts: list[Fact] = [Annotation(at=5 * DAY_MS, id="a", queue="q", item="i", stars=5)]
    for metric in ("m", "other"):
        for judge, at in (("old", DAY_MS), ("new", 3 * DAY_MS)):
            passed = judge == "new"
            facts.append(Evaluation(at=at, id="e", item="i", metric=metric, judge=judge, passed=passed))
    scope = Scope("q", Window.ALL, TODAY, CountingRules(criterion_metrics={"overall": ("m",)}))
    with stored(facts) as store, store.read() as connection:
        epochs = deep_dive.trend(connection, scope, "overall")["epochs"]
        named = deep_dive.trend(connection, scope, "overall", "other")["epochs"]
    # The day of the annotation: before it, nothing was compared with the new version.
    assert [(e["day"], e["metric"], e["previous"], e["judge"]) for e in epochs] == [("1970-01-06", "m", "old", "new")]
    assert (epochs[0]["before"]["alignment"], epochs[0]["after"]["alignment"]) == (0, 1)
    assert [e["metric"] for e in named] == ["other"]


def test_people_who_are_split_decide_for_no_version() -> None:
    facts: list[Fact] = []
    for item, stars in (("split", (5, 1)), ("clear", (5, 4))):
        for who, given_stars in zip(("ann", "bob"), stars, strict=True):
            facts.append(Annotation(at=1, id="a", queue="q", item=item, annotator=who, stars=given_stars))
        facts += [
            Evaluation(at=1, id="e", item=item, metric="m", judge=judge, passed=judge == "v1") for judge in ("v1", "v2")
        ]
    with stored(facts) as store, store.read() as connection:
        (test,) = deep_dive.versions(connection, SCOPE, "overall", "m")["tests"]
    assert (test["items"], test["first_only"], test["second_only"], test["p_value"]) == (2, 1, 0, 1)


def test_items_with_off_topic_metrics_only_do_not_narrow_a_trend() -> None:
    facts: list[Fact] = []
    for item, metric in (("i", "m"), ("j", "other")):
        facts.append(Annotation(at=1, id="a", queue="q", item=item, stars=5))
        facts.append(Evaluation(at=1, id="e", item=item, metric=metric, passed=True))
    scope = Scope("q", Window.ALL, TODAY, CountingRules(criterion_metrics={"overall": ("m",)}))
    with stored(facts) as store, store.read() as connection:
        (day,) = deep_dive.trend(connection, scope, "overall")["days"]
    assert (day["n"], day["items"], day["low"]) == (1, 1, wilson(1, 1)[0])


def test_the_pass_rate_to_correct_is_of_the_windows_verdicts() -> None:
    facts: list[Fact] = []
    for item, at in (("old", 0), ("new", 2 * DAY_MS)):
        facts.append(QueueItem(at=1, id="q", queue="q", item=item))
        facts.append(Evaluation(at=at, id="e", item=item, metric="m", passed=True))
    with stored(facts) as store, store.read() as connection:
        for window, evaluated in ((Window.ALL, 2), (Window.DAYS_7, 1)):
            (judge,) = deep_dive.corrected(connection, Scope("q", window, TODAY, CountingRules()), "overall", "m")[
                "judges"
            ]
            assert (judge["evaluated"], judge["pass_rate"]) == (evaluated, 1)


def test_a_change_of_the_judge_is_on_the_day_of_its_first_comparison() -> None:
    """The version judged its first item on day 1, and items that people annotated from day 3 on."""
    facts: list[Fact] = []
    for day, judge, at in ((1, "old", 0), (2, "old", 0), (3, "new", 1), (4, "new", 4)):
        facts.append(Annotation(at=day * DAY_MS, id="a", queue="q", item=f"i{day}", stars=5))
        facts.append(Evaluation(at=at * DAY_MS, id="e", item=f"i{day}", metric="m", judge=judge, passed=True))
    with stored(facts) as store, store.read() as connection:
        (change,) = deep_dive.trend(connection, SCOPE, "overall")["epochs"]
    assert (change["day"], change["previous"], change["judge"]) == ("1970-01-04", "old", "new")


def test_a_change_of_the_judge_is_not_before_its_first_verdict() -> None:
    """The new version judged on day 6 what people annotated on day 1."""
    facts: list[Fact] = [Annotation(at=DAY_MS, id="a", queue="q", item="i", stars=5)]
    for judge, at in (("old", 1), ("new", 6)):
        facts.append(Evaluation(at=at * DAY_MS, id="e", item="i", metric="m", judge=judge, passed=True))
    with stored(facts) as store, store.read() as connection:
        (change,) = deep_dive.trend(connection, SCOPE, "overall")["epochs"]
        (published,) = deep_dive.published(connection, SCOPE, "overall")["epochs"]
    assert change["day"] == published["day"] == "1970-01-07"


@pytest.mark.parametrize(
    ("old", "new", "expected"), [(20, 39, "better"), (39, 20, "worse"), (30, 33, "unclear"), (33, 30, "unclear")]
)
@pytest.mark.parametrize("shared", [True, False])
def test_a_new_version_is_better_or_worse_only_where_this_is_unlikely_to_be_chance(
    old: int, new: int, expected: str, shared: bool
) -> None:
    """40 items each, of which `old` and `new` are right: the same items, or others."""
    facts: list[Fact] = []
    for judge, right, at in (("old", old, 1), ("new", new, 2)):
        for number in range(40):
            item = f"i{number}" if shared else f"{judge}{number}"
            facts.append(Annotation(at=1, id="a", queue="q", item=item, stars=5))
            facts.append(Evaluation(at=at, id="e", item=item, metric="m", judge=judge, passed=number < right))
    with stored(facts) as store, store.read() as connection:
        (change,) = deep_dive.trend(connection, SCOPE, "overall")["epochs"]
    assert change["change"] == expected
    assert (change["p_value"] < 0.05) is (expected != "unclear")
    assert change["p_value"] == pytest.approx(
        mcnemar(max(0, old - new), max(0, new - old)) if shared else fisher((new, 40 - new), (old, 40 - old))
    )


@pytest.mark.parametrize(
    ("old_only", "new_only", "by_shared"), [(3, 2, False), (4, 2, False), (6, 5, False), (0, 6, True), (6, 0, True)]
)
def test_few_shared_items_decide_only_where_they_show_a_difference(
    old_only: int, new_only: int, by_shared: bool
) -> None:
    """On 12 items that both judged few differ; of 200 others each, the old version has 95 % right, the new one 60 %."""
    facts: list[Fact] = []

    def judge_item(item: str, **verdicts: bool) -> None:
        facts.append(Annotation(at=1, id="a", queue="q", item=item, stars=5))
        for at, (judge, passed) in enumerate(verdicts.items(), start=1 if "old" in verdicts else 2):
            facts.append(Evaluation(at=at, id="e", item=item, metric="m", judge=judge, passed=passed))

    for number in range(12):
        old_wrong = old_only <= number < old_only + new_only
        judge_item(f"shared{number}", old=not old_wrong, new=number >= old_only)
    for number in range(200):
        judge_item(f"old{number}", old=number < 190)
        judge_item(f"new{number}", new=number < 120)
    with stored(facts) as store, store.read() as connection:
        (change,) = deep_dive.trend(connection, SCOPE, "overall")["epochs"]
    assert change["change"] == ("better" if new_only == 6 else "worse")
    counted = [(share["k"], share["items"] - share["k"]) for share in (change["after"], change["before"])]
    assert change["p_value"] == pytest.approx(mcnemar(old_only, new_only) if by_shared else fisher(*counted))


def test_versions_that_a_third_one_superseded_are_compared_once() -> None:
    facts: list[Fact] = [Annotation(at=1, id="a", queue="q", item="i", stars=5)]
    facts += [
        Evaluation(at=at, id="e", item="i", metric="m", judge=judge, passed=judge != "v1")
        for at, judge in enumerate(("v1", "v2", "v3"))
    ]
    with stored(facts) as store, store.read() as connection:
        tests = deep_dive.versions(connection, SCOPE, "overall", "m")["tests"]
    assert [(t["first"], t["second"], t["items"], t["first_only"], t["second_only"]) for t in tests] == [
        ("v1", "v2", 1, 0, 1),
        ("v1", "v3", 1, 0, 1),
        ("v2", "v3", 1, 0, 0),
    ]


def test_scales_are_read_from_rows_only_where_versions_ever_differed() -> None:
    def rows(metric: str, *verdicts: tuple[str, float, float | None]) -> list[Fact]:
        return [
            Evaluation(
                DAY_MS,
                f"{metric}{number}",
                f"i{number}",
                metric,
                judge=judge,
                score=score,
                threshold=limit,
                passed=True,
            )
            for number, (judge, score, limit) in enumerate(verdicts)
        ]

    facts: list[Fact] = [Annotation(DAY_MS, f"a{number}", "q", f"i{number}", stars=5) for number in range(3)]
    facts += rows("one", ("v1", 0.2, 0.5), ("v1", 1.0, 0.5), ("v2", 0.9, None))
    facts += rows("newer threshold", ("v1", 0.2, 0.5), ("v1", 0.3, 0.6), ("v2", 0.9, 0.6))
    facts += rows("two scales", ("v1", 0.2, 0.5), ("v2", 85, 70), ("v2", 12, 70))
    facts += rows("two scales of scores", ("v1", 0.2, None), ("v1", 85, None), ("v1", 12, None))
    facts.append(Evaluation(DAY_MS, "u", "unrated", "elsewhere", judge="v1", score=0.85, threshold=0.5, passed=True))
    with stored(facts) as store, store.read() as connection:
        found = scales(connection, SCOPE, "overall")
    assert found == {
        "one": ({}, False),
        "newer threshold": ({"v1": [0.5, 0.6], "v2": [0.6]}, False),
        "two scales": ({"v1": [0.5], "v2": [70]}, True),
        "two scales of scores": ({"v1": []}, True),
    }


@pytest.mark.parametrize("people", [255, 256, 300])
def test_an_item_may_have_any_number_of_annotators(people: int) -> None:
    facts: list[Fact] = [Annotation(1, f"{name}", "q", "many", annotator=f"{name}", stars=5) for name in range(people)]
    facts.append(Annotation(1, "a", "q", "two", annotator="a", thumbs="up"))
    facts.append(Annotation(1, "b", "q", "two", annotator="b", thumbs="down"))
    facts.append(Annotation(1, "alone", "q", "one", annotator="alone", stars=1))
    with stored(facts) as store, store.read() as connection:
        found, annotators = panels(connection, SCOPE, "overall")
    assert sorted((tuple(levels), items) for levels, items in found) == [
        ((0, 0, 0, 0, 0, 0, people), 1),
        ((1, 1, 0, 0, 0, 0, 0), 1),
    ]
    assert annotators == people + 2
