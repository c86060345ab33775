"""promptfoo: components, never the result that a person overrode."""

from typing import Any

from aggregator.facts import Annotation, Evaluation
from tests.support.sources import facts_of, skips_of, tool_source


def _component(kind: str = "llm-rubric", passed: bool = True, **fields: Any) -> dict[str, Any]:
    own = ("metric", "provider", "threshold", "weight")
    assertion = {"type": kind} | {name: fields.pop(name) for name in own if name in fields}
    return {"pass": passed, "score": 0.4, "reason": "so", "assertion": assertion, **fields}


def _file(*components: Any, exported: str | None = "2026-11-21T07:00:00.999Z", **fields: Any) -> dict[str, Any]:
    result = {"id": "r-1", "success": False, "score": 0, "vars": {"t": {"id": 17}}} | fields
    result.setdefault("gradingResult", {"pass": False, "score": 0, "componentResults": list(components)})
    return {
        "evalId": "eval-1",
        "results": {"version": 3, "timestamp": "2026-11-20T07:00:00.1239Z", "results": [result]},
        "metadata": {"exportedAt": exported} if exported else None,
    }


def test_verdicts_are_of_the_evaluation_and_ratings_of_the_export() -> None:
    rating, verdict = facts_of(
        tool_source("promptfoo", queue="q", item="vars.t.id"), _file(_component("human"), _component(passed=False))
    )
    assert isinstance(rating, Annotation) and (rating.thumbs, rating.at) == ("up", 1795244400999)
    assert isinstance(verdict, Evaluation) and (verdict.passed, verdict.at) == (False, 1795158000123)
    assert (rating.item, verdict.item) == ("17", "17")
    assert (rating.id, verdict.id) == ("promptfoo:r-1/human@1795244400999", "promptfoo:r-1/llm-rubric@1795158000123")
    (early,) = facts_of(tool_source("promptfoo", queue="q"), _file(_component("human"), exported=None))
    assert early.at == verdict.at


def test_success_and_score_of_the_result_are_not_read() -> None:
    (fact,) = facts_of(tool_source("promptfoo"), _file(_component(metric="kind", passed=True)))
    assert isinstance(fact, Evaluation) and (fact.metric, fact.passed, fact.score) == ("kind", True, 0.4)


def test_a_negated_assertion_is_turned_already() -> None:
    (fact,) = facts_of(tool_source("promptfoo"), _file(_component("not-contains", passed=True)))
    assert isinstance(fact, Evaluation) and (fact.metric, fact.passed) == ("not-contains", True)


def test_a_grader_that_failed_is_an_error_whatever_it_states() -> None:
    (fact,) = facts_of(tool_source("promptfoo"), _file(_component(metadata={"graderError": True})))
    assert isinstance(fact, Evaluation) and (fact.status, fact.reason, fact.score) == ("error", "so", None)


def test_the_judge_is_the_provider_as_text_or_object() -> None:
    providers: list[Any] = ["p:m", {"id": "p:m", "config": {}}, {"config": {}}, None]
    judges = [facts_of(tool_source("promptfoo"), _file(_component(provider=provider)))[0] for provider in providers]
    assert [fact.judge for fact in judges if isinstance(fact, Evaluation)] == ["p:m", "p:m", "", ""]


def test_the_judge_is_else_the_provider_that_grades_the_test() -> None:
    test = {"vars": {}, "options": {"provider": {"id": "p:m"}}}
    components = _component(), _component("not-g-eval"), _component("factuality", provider="own"), _component("equals")
    facts = facts_of(tool_source("promptfoo"), _file(*components, testCase=test))
    assert [fact.judge for fact in facts if isinstance(fact, Evaluation)] == ["p:m", "p:m", "own", ""]


def test_a_pass_of_weight_0_is_no_verdict() -> None:
    file = _file(_component(passed=True, weight=0))
    assert skips_of(tool_source("promptfoo"), file) == {"no_rule": 1}
    (by_rule,) = facts_of(tool_source("promptfoo", metrics={"llm-rubric": {"threshold": 0.5}}), file)
    (by_assertion,) = facts_of(tool_source("promptfoo"), _file(_component(passed=True, weight=0, threshold=0.4)))
    assert [fact.passed for fact in (by_rule, by_assertion) if isinstance(fact, Evaluation)] == [False, True]


def test_a_comment_made_after_the_rating_is_at_the_result() -> None:
    def explanation(comment: str | None, later: str | None) -> str | None:
        grading = {"componentResults": [_component("human", comment=comment)], "comment": later}
        (rating,) = facts_of(tool_source("promptfoo", queue="q"), _file(gradingResult=grading))
        assert isinstance(rating, Annotation)
        return rating.explanation

    assert explanation("Right.", None) == "Right."
    assert explanation("Right.", "Right, but rude.") == explanation(None, "!highlight Right, but rude.")
    assert explanation(None, "Right, but rude.") == "Right, but rude."
    assert explanation(None, "!highlight") is None


def test_the_second_of_one_name_is_counted_and_does_not_replace_the_first() -> None:
    file = _file(_component("contains", passed=True), _component("contains", passed=False))
    (fact,) = facts_of(tool_source("promptfoo"), file)
    assert isinstance(fact, Evaluation) and fact.passed
    assert skips_of(tool_source("promptfoo"), file) == {"repeated": 1}


def test_what_is_no_verdict_of_one_assertion_is_skipped() -> None:
    source = tool_source("promptfoo", queue="q", item="vars.gone")
    assert skips_of(source, _file(gradingResult=None)) == {"not_run": 1}
    assert skips_of(source, _file(_component("assert-set"), _component() | {"assertion": None})) == {"aggregate": 2}
    assert skips_of(source, _file(_component())) == {"no_item": 1}


def test_a_result_without_id_has_a_natural_key() -> None:
    (fact,) = facts_of(tool_source("promptfoo"), _file(_component(), id=None, testIdx=2, promptIdx=1))
    assert (fact.item, fact.id) == ("eval-1/2/1", "promptfoo:eval-1/2/1/llm-rubric@1795158000123")
