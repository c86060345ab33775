"""Names that look alike to a reader."""

import pytest

from aggregator.facts import Annotation, Evaluation, Fact
from aggregator.names import AlikeNames, alike, alike_in
from aggregator.recount import Recount


@pytest.mark.parametrize(
    "other",
    [
        "TONE of voice",
        "tone  of voice",
        " tone of voice ",
        "tone\u00a0of voice",
        "tone_of-voice",
        "to\u200bne of voice",
    ],
)
def test_names_are_alike_that_differ_in_case_blanks_and_invisible_characters(other: str) -> None:
    assert alike(["tone of voice", other, "truth"]) == [sorted(["tone of voice", other])]


@pytest.mark.parametrize("other", ["toneofvoice", "tone of voices", "tone, of voice", "t\u00f6ne of voice"])
def test_names_are_not_alike_that_differ_in_letters(other: str) -> None:
    assert alike(["tone of voice", other]) == []


def test_a_name_is_not_like_itself() -> None:
    assert alike(["tone", "tone"]) == alike([]) == []


def test_a_document_has_alike_criteria_metrics_and_judge_versions_of_one_metric() -> None:
    facts: list[Fact] = [
        Annotation(1, "a", "q", "i", criterion="Truth", thumbs="up"),
        Annotation(1, "b", "q", "i", criterion="truth", thumbs="up"),
        Evaluation(1, "c", "i", "m", judge="V1", passed=True),
        Evaluation(2, "d", "i", "m", judge="v1", passed=True),
        Evaluation(2, "e", "i", "M ", judge="v 1", passed=True),
    ]
    assert list(alike_in(Recount(facts).document("q"))) == [
        AlikeNames("criteria", ["Truth", "truth"]),
        AlikeNames("metrics", ["M ", "m"]),
        AlikeNames("judge versions", ["V1", "v1"]),
    ]
