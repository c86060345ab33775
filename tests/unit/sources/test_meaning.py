"""The meaning of judgements by the rules of a source; every value is invented."""

from typing import Any

import pytest

from sources.meaning import Judgement, Rules
from sources.records import Said, Skip, SkipReason
from sources.rules import SourceSettings
from streams.events.decoder import MetricDefaults
from streams.events.wire import AnnotationEvent, EvaluationEvent


def rules(defaults: dict[str, MetricDefaults] | None = None, **config: Any) -> Rules:
    return Rules(SourceSettings.model_validate({"tool": "langfuse", "queue": "q", **config}), defaults or {})


def rated(rule: Any, value: Any, **more: Any) -> Any:
    """Stars or thumbs of a value, or why it is no rating."""
    config: Any = {} if rule is None else {"criteria": {"tone": {"rating": rule}}}
    said = rules(**config).annotation(Judgement(name="tone", item="i", value=value, **more))
    if isinstance(said, Skip):
        return said.reason
    assert isinstance(said.event, AnnotationEvent)
    return said.event.thumbs or said.event.stars


def judged(rule: dict[str, Any] | None, defaults: dict[str, MetricDefaults] | None = None, **said: Any) -> Any:
    """The event of a judgement, or why it has no event."""
    config = {} if rule is None else {"metrics": {"tone": rule}}
    result = rules(defaults, **config).evaluation(Judgement(name="tone", item="i", **said))
    return result.reason if isinstance(result, Skip) else result.event


@pytest.mark.parametrize(
    ("scale", "value", "rating"),
    [
        ("stars", 4, 4),
        ("stars", 4.0, 4),
        ("stars", "5", 5),
        ("stars", 0, SkipReason.OFF_SCALE),
        ("stars", 6, SkipReason.OFF_SCALE),
        ("stars", 3.5, SkipReason.OFF_SCALE),
        ("stars", True, SkipReason.OFF_SCALE),
        ("stars", "good", SkipReason.OFF_SCALE),
        ("stars", None, SkipReason.OFF_SCALE),
        ("thumbs", True, "up"),
        ("thumbs", 0.0, "down"),
        ("thumbs", "false", "down"),
        ("thumbs", "1", "up"),
        ("thumbs", 0.5, SkipReason.OFF_SCALE),
        ("thumbs", -1, SkipReason.OFF_SCALE),
        ({"up": ["Yes"], "down": ["No"]}, "No", "down"),
        ({"up": ["Yes"], "down": ["No"]}, "yes", SkipReason.LABEL_UNMAPPED),
        ({"up": ["4", "5"], "down": ["1"]}, 5.0, "up"),
        ({"up": ["true"], "down": ["false"]}, False, "down"),
        ({"pass_at": 0.5}, 0.5, "up"),
        ({"pass_at": 0.5}, 0.49, "down"),
        ({"pass_at": 3, "direction": "lower"}, 3, "up"),
        ({"pass_at": 3, "direction": "lower"}, 4, "down"),
        ({"pass_at": 0.5}, True, SkipReason.OFF_SCALE),
        ({"pass_at": 0.5}, "n/a", SkipReason.OFF_SCALE),
        (None, 4, SkipReason.NO_RULE),
        (None, True, SkipReason.NO_RULE),
    ],
)
def test_a_rating_is_read_by_the_scale_of_its_rule(scale: Any, value: Any, rating: Any) -> None:
    assert rated(scale, value) == rating


def test_a_rule_decides_before_what_the_tool_itself_reports() -> None:
    assert rated(None, 4, scale="stars") == 4
    assert rated(None, None, passed=False) == "down"
    assert rated({"pass_at": 4}, 4, scale="stars", passed=False) == "up"


def test_a_tool_with_label_and_score_has_the_one_that_the_scale_needs() -> None:
    assert rated("stars", 4.0, label="Good") == 4
    assert rated({"up": ["Good"], "down": []}, 4.0, label="Good") == "up"


def test_a_verdict_is_explicit_then_by_label_then_by_score() -> None:
    rule = {"pass": ["ok"], "fail": ["bad"], "threshold": 0.5}
    assert judged(rule, value=0.1, label="bad", passed=True).passed is True
    assert judged(rule, value=0.9, label="bad").passed is False
    by_score = judged(rule, value=0.9, label="other")
    assert (by_score.passed, by_score.score, by_score.threshold) == (None, 0.9, 0.5)
    assert judged({"pass": ["ok"]}, value="other") is SkipReason.NO_RULE
    assert judged({"pass": ["ok"]}, value=0.9) is SkipReason.NO_RULE
    assert judged(None, value=None) is SkipReason.NO_RULE


def test_thresholds_are_those_of_the_rule_then_of_the_record_then_of_the_deployment() -> None:
    defaults = {"tone": MetricDefaults(0.7, "lower")}
    assert judged({"threshold": 0.5}, defaults, value=0.6, threshold=0.6).threshold == 0.5
    assert judged({}, defaults, value=0.6, threshold=0.6).threshold == 0.6
    last = judged({}, defaults, value=0.6)
    assert (last.threshold, last.direction) == (0.7, "lower")
    assert judged({"direction": "higher"}, defaults, value=0.6).direction == "higher"
    renamed = judged({"metric": "style"}, {"style": MetricDefaults(0.9)}, value=0.6)
    assert (renamed.metric, renamed.threshold) == ("style", 0.9)


def test_a_judge_that_failed_has_no_score_and_no_verdict() -> None:
    rule = {"threshold": 0.5, "error": ["ERROR"], "judge": "mine"}
    failed = judged(rule, value=0.9, passed=True, error="timeout", comment="fine", judge="theirs")
    assert failed == EvaluationEvent(
        item="i", level="trace", metric="tone", judge="mine", status="error", reason="timeout"
    )
    assert judged(rule, value="ERROR", comment="quota").reason == "quota"
    assert judged(rule, value=1.0, error="").status == "error"


@pytest.mark.parametrize(
    ("word", "role"), [("app", "human"), ("api", "judge"), ("other", None), ("sdk", "judge"), (None, None)]
)
def test_the_role_is_configured_or_the_tools_own_word_or_else_by_the_table_of_the_name(
    word: str | None, role: str | None
) -> None:
    chosen = rules(roles={"api": "judge"}, criteria={"both": {}, "rated": {}}, metrics={"both": {}, "scored": {}})
    reliable: Any = {"app": "human", "api": "human", "sdk": "judge"}
    for name, by_name in (("rated", "human"), ("scored", "judge"), ("both", None), ("neither", None)):
        expected = role or by_name
        found = chosen.role(name, word, reliable)
        assert found == expected or (expected is None and isinstance(found, Skip))
        if isinstance(found, Skip):
            assert found.reason is SkipReason.ROLE_UNKNOWN


def test_a_queue_is_mapped_or_the_default_or_missing() -> None:
    said = Judgement(name="tone", item="i", passed=True, queue="7")
    assert rules(queue=None, queues={"7": "support"}).queue("7") == "support"
    assert rules().queue("7") == "q"
    missing = rules(queue=None, queues={"8": "support"}).annotation(said)
    assert isinstance(missing, Skip) and missing.reason is SkipReason.NO_QUEUE and "'7'" in missing.why
    assert isinstance(rules(queue=None).queue(None), Skip)


def test_names_are_the_tools_unless_a_rule_renames() -> None:
    said = rules(criteria={"Tone": {"criterion": "tone"}}).annotation(Judgement(name="Tone", item="i", passed=True))
    assert isinstance(said, Said) and isinstance(said.event, AnnotationEvent) and said.event.criterion == "tone"


def test_without_an_item_nothing_is_said() -> None:
    for result in (
        rules().annotation(Judgement(item="", passed=True)),
        rules().evaluation(Judgement(item=None, passed=True)),
        rules().queue_item("7", None),
    ):
        assert isinstance(result, Skip) and result.reason is SkipReason.NO_ITEM


def test_a_path_without_an_item_is_named() -> None:
    skip = rules(item="data.trace_id").annotation(Judgement(item=None, passed=True))
    assert isinstance(skip, Skip) and skip.why == "nothing is at `item` = 'data.trace_id'"


def test_a_name_without_a_rule_is_kept_no_longer_than_names_of_events_are() -> None:
    name = "tone" * 1000
    skips = [rules().role(name), rules().annotation(Judgement(name=name, item="i", value=0.5))]
    names = [skip.unruled and skip.unruled.name for skip in skips if isinstance(skip, Skip)]
    assert names == [name[:128]] * 2
