"""Findings about the metrics of a criterion: what stands out, which items show it, and what to do about it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from aggregator.snapshot.inputs import CountingRules
from aggregator.snapshot.schema import MetricDocument, NewestJudgeDocument
from aggregator.statistics.error_side import SIGNIFICANCE
from aggregator.statistics.gate import Gate
from sinks.page.figures import Figure, anchor
from sinks.page.formats import count, p_value, percent, plural
from sinks.page.remedies import QueueChoices, Remedies
from sinks.page.urls import Value
from sinks.page.wording import DISAGREEMENT, Lean, isolated, judge_version, lean, lean_sentence, people_disagree
from sinks.queries.results import Ceiling, VersionTest

_FINDINGS: Final = 3
NEW_VERSION_WORSE: Final = "New version worse"
PEOPLE_DISAGREE: Final = "People disagree"


@dataclass(frozen=True, slots=True)
class Highlight:
    """A finding, with a link to its items."""

    tone: str
    head: str
    name: str
    """Name of the metric, or of the criterion."""
    text: str
    action: str
    href: str
    remedies: Sequence[tuple[str, str]] = ()
    """What else to do about it: words and address of each."""
    metric: str | None = None
    """The metric that it is about; None where it is about the criterion."""

    @property
    def key(self) -> str:
        """Element id of its card."""
        return finding_key(self.head, self.name)


def finding_key(head: str, name: str) -> str:
    """Element id of the card with a head about a metric, or about the criterion."""
    return f"f-{anchor(head, name)}"


@dataclass(frozen=True, slots=True)
class _Judged:
    """A metric by its newest judge version, which is the one that the gate is about; where the reader chose a version,
    by the current verdicts of that one, which its items and all other numbers of the page are of.
    """

    figure: Figure
    judge: NewestJudgeDocument | MetricDocument
    lean: Lean

    @property
    def version(self) -> str:
        """The version in a sentence of its own; empty where the metric has one."""
        words = judge_version(self.figure.document)
        return f" {words}." if words else ""

    @property
    def below_baseline(self) -> bool:
        """Whether a constant judge would agree with people at least as often; False while the gate is undecided."""
        alignment, baseline = self.judge["alignment"], self.judge["baseline"]
        decided = self.figure.document["gate_state"] is not Gate.UNDECIDED
        return decided and alignment is not None and baseline is not None and alignment <= baseline

    def items(self, request: QueueChoices, outcome: str) -> str:
        """The address of its items with an outcome."""
        return request.items(**self.choice(outcome))

    def choice(self, outcome: str) -> dict[str, Value]:
        """What chooses its items with an outcome."""
        chosen: dict[str, Value] = {"metric": self.figure.document["metric"], "outcome": outcome}
        # Without a version of its own, the one that the reader chose stays.
        newest = self.figure.document["newest_judge"]
        return {**chosen, "judge": newest["judge"]} if self.version and newest and newest["judge"] else chosen


def newest_of_several(request: QueueChoices, drawn: Sequence[Figure]) -> dict[str, str]:
    """The newest judge version of each metric with several; none where the reader chose a version."""
    return {
        figure.document["metric"]: newest["judge"]
        for figure in drawn
        if request.judge is None
        and figure.document["judge_versions"] > 1
        and (newest := figure.document["newest_judge"]) is not None
    }


def find(
    drawn: Sequence[Figure],
    ceiling: Ceiling | None,
    rules: CountingRules,
    remedies: Remedies,
    tests: Mapping[str, VersionTest],
) -> list[Highlight]:
    """Whether people disagree; judge versions that are worse than the one before, by `tests`; the strictest and the
    most lenient metric, metrics no better than a constant judge, and the closest to people.
    """
    request = remedies.request
    known = [
        _Judged(figure, judge, lean(judge))
        for figure in drawn
        if (judge := figure.document["newest_judge"] if request.judge is None else figure.document) is not None
        and judge["items_compared"] >= rules.limits.items
    ]
    findings = [] if ceiling is None else list(_disagreement(request, ceiling))
    findings += _worse_versions(request, tests, remedies)
    findings += [
        _leaning(request, max(leaning, key=lambda judged: abs(judged.judge["bias"] or 0)), remedies)
        for side in ("fn", "fp")
        if (leaning := [judged for judged in known if judged.lean.side == side])
    ]
    findings += [
        Highlight(
            tone="probation",
            head="No better than a constant",
            name=judged.figure.document["metric"],
            metric=judged.figure.document["metric"],
            text=f"Agrees with people no more often than a judge that never changes its answer.{judged.version}",
            action=f"Read {plural(judged.judge['fp'] + judged.judge['fn'], 'disagreement')}",
            href=judged.items(request, "fp,fn"),
            remedies=remedies.of(judged.figure.document["metric"], judged.choice("fp,fn")),
        )
        for judged in known
        if judged.below_baseline and judged.lean.side == ""
    ]
    closest = max(known, key=lambda judged: judged.judge["alignment"] or 0, default=None)
    if closest is not None and closest.lean.side == "" and not closest.below_baseline:
        findings.append(_closest(request, closest, remedies))
    return _without_repetition(findings[:_FINDINGS])


def _without_repetition(findings: Iterable[Highlight]) -> list[Highlight]:
    """The findings, each remedy only on the first card that has it: labels are for a whole criterion."""
    seen: set[tuple[str, str]] = set()
    cards = []
    for finding in findings:
        cards.append(replace(finding, remedies=[remedy for remedy in finding.remedies if remedy not in seen]))
        seen.update(finding.remedies)
    return cards


def _disagreement(request: QueueChoices, ceiling: Ceiling) -> Iterator[Highlight]:
    if people_disagree(ceiling):
        yield Highlight(
            tone="probation",
            head=PEOPLE_DISAGREE,
            name=ceiling["criterion"],
            text=f"{percent(ceiling['agreement'] or 0)} of the pairs of annotators agree. {DISAGREEMENT}",
            action="Read where people disagree",
            href=request.items("/disagreements"),
        )


def _worse_versions(request: QueueChoices, tests: Mapping[str, VersionTest], remedies: Remedies) -> Iterator[Highlight]:
    """Newest versions with which people agree less often than with the one before; the surest first."""
    for p, metric, test in worse_versions(tests):
        compared: dict[str, Value] = {"depth": metric, "with": f"judge:{test['first']}"}
        new, old = (isolated(test[side]) if test[side] else "the unnamed version" for side in ("second", "first"))
        disagreements: dict[str, Value] = {"metric": metric, "outcome": "fp,fn", "judge": test["second"] or None}
        yield Highlight(
            tone="untrusted",
            head=NEW_VERSION_WORSE,
            name=metric,
            metric=metric,
            text=f"People agree with {new} less often than with {old}. Of {plural(test['items'], 'item')} that both "
            f"judged, only {new} is right on {count(test['second_only'])} and only {old} on "
            f"{count(test['first_only'])}. This is unlikely to be chance (exact McNemar test, p {p_value(p)}).",
            action="Compare the versions",
            href=f"{request.href(**compared)}#side-by-side",
            remedies=remedies.of_version(disagreements),
        )


def worse_versions(tests: Mapping[str, VersionTest]) -> list[tuple[float, str, VersionTest]]:
    """Of tests of newest versions those that found a worse one: p value, metric and test, the surest first."""
    worse = [
        (test["p_value"], metric, test)
        for metric, test in tests.items()
        if test["p_value"] is not None and test["p_value"] < SIGNIFICANCE and test["second_only"] < test["first_only"]
    ]
    return sorted(worse, key=lambda each: each[:2])


def _leaning(request: QueueChoices, judged: _Judged, remedies: Remedies) -> Highlight:
    strict = judged.lean.side == "fn"
    wrong, human_verb = (judged.judge["fn"], "passed") if strict else (judged.judge["fp"], "failed")
    return Highlight(
        tone="untrusted",
        head="Too strict" if strict else "Too lenient",
        name=judged.figure.document["metric"],
        metric=judged.figure.document["metric"],
        text=f"{lean_sentence(judged.judge, judged.lean.side)}.{judged.version}",
        action=f"Read why people {human_verb} {'them' if wrong > 1 else 'it'}",
        href=judged.items(request, judged.lean.side),
        remedies=remedies.of(judged.figure.document["metric"], judged.choice(judged.lean.side)),
    )


def _closest(request: QueueChoices, judged: _Judged, remedies: Remedies) -> Highlight:
    figure, counts, gate = judged.figure, judged.judge, judged.figure.gate_summary
    trusted, wrong = gate.tone == "trusted", counts["fp"] + counts["fn"]
    # The words about a version have its alignment.
    rate = "" if judged.version else f"Agrees with people on {percent(counts['alignment'] or 0)}. "
    return Highlight(
        tone=gate.tone,
        head="Trusted" if trusted else "Closest to people",
        name=figure.document["metric"],
        metric=figure.document["metric"],
        text=rate + (f"{gate.reasons}." if trusted else gate.sentence),
        action=f"Read {plural(wrong, 'disagreement')}" if wrong else "See its numbers",
        href=judged.items(request, "fp,fn") if wrong else f"#m-{figure.key}",
        remedies=remedies.labels() if not trusted else (),
    )
