"""Findings about the metrics of a criterion: what stands out, which items show it, and what to do about it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from aggregator.snapshot.inputs import CountingRules
from aggregator.snapshot.schema import NewestJudgeDocument
from aggregator.statistics.confusion import Outcome
from sinks.page.advice import Advice, Advisor
from sinks.page.figures import Figure, anchor
from sinks.page.formats import count, p_value, percent, plural
from sinks.page.judged import Judged, worse_versions
from sinks.page.remedies import TRY_THRESHOLD, QueueChoices, Remedies
from sinks.page.wording import DISAGREEMENT, isolated, lean, lean_sentence, people_disagree
from sinks.queries.results import Ceiling, VersionTest

FINDINGS_UNFOLDED: Final = 3
"""Most findings that a page shows before a reader unfolds the others."""
_SAID: Final = 3
_ADVISED: Final = 9
"""Most findings with advice, which may need queries."""
BORDERLINE: Final = 0.01
"""p-value above which a difference that is significant is called borderline."""
NEW_VERSION_WORSE: Final = "New version worse"
PEOPLE_DISAGREE: Final = "People disagree"
NO_BETTER: Final = "No better than a constant judge"


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
    help: str = "Gate"
    """The term that explains how it was found."""
    outcomes: Sequence[Outcome] = ()
    """Of the misaligned items that it is about."""
    said: Sequence[tuple[str, int, str]] = ()
    """What people wrote often about these items: words, number of texts, and the address of the items with them."""
    advice: Advice | None = None
    """What to do about it; None while that is not known."""

    @property
    def key(self) -> str:
        """Element id of its card."""
        return finding_key(self.head, self.name)


def finding_key(head: str, name: str) -> str:
    """Element id of the card with a head about a metric, or about the criterion."""
    return f"f-{anchor(head, name)}"


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
    advisor: Advisor | None,
) -> list[Highlight]:
    """Whether people disagree; judge versions that are worse than the one before; the strictest and the
    most lenient metric, metrics no better than a constant judge, and the closest to people. The first are shown, the
    others folded: links of the start page may lead to each.

    Without an `advisor` nobody knows what to do about them, nor which versions are worse.
    """
    request = remedies.request
    known = [
        judged
        for figure in drawn
        if (judged := Judged.of(request, figure)) is not None and judged.judge["items_compared"] >= rules.limits.items
    ]
    findings = [] if ceiling is None else list(_disagreement(request, ceiling))
    findings += [] if advisor is None else _worse_versions(request, advisor.tests, drawn, remedies)
    findings += [
        # The start page names the same one.
        _leaning(request, min(leaning, key=lambda judged: (-abs(judged.judge["bias"] or 0), judged.metric)), remedies)
        for side in ("fn", "fp")
        if (leaning := [judged for judged in known if judged.lean.side == side])
    ]
    findings += [
        Highlight(
            tone="probation",
            head=NO_BETTER,
            help="Constant judge",
            outcomes=("fp", "fn"),
            name=judged.figure.document["metric"],
            metric=judged.figure.document["metric"],
            text=f"A judge that always answers the same does as well.{judged.version}",
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
    return _without_repetition(_advised(findings, known, advisor))


def _advised(findings: Sequence[Highlight], known: Sequence[Judged], advisor: Advisor | None) -> Iterator[Highlight]:
    """The findings with what to do about each."""
    of_metrics = {judged.metric: judged for judged in known}
    for place, finding in enumerate(findings):
        if advisor is None or place >= _ADVISED:
            yield finding
        elif finding.metric is None:
            yield replace(finding, advice=advisor.of_people())
        elif finding.metric in of_metrics:
            advice = advisor.of_metric(of_metrics[finding.metric].figure)
            offered = advisor.leaves_threshold(finding.metric)
            remedies = [each for each in finding.remedies if offered or each[0] != TRY_THRESHOLD]
            said = _said(of_metrics[finding.metric], finding, advisor) if place < FINDINGS_UNFOLDED else ()
            yield replace(finding, advice=advice, said=said, remedies=remedies)
        else:
            yield finding


def _said(judged: Judged, finding: Highlight, advisor: Advisor) -> list[tuple[str, int, str]]:
    """What people wrote often about the items of a finding."""
    if not finding.outcomes:
        return []
    people = advisor.queries.words(judged.metric, finding.outcomes, judged.own_version).people
    if people is None or people.elsewhere_too:
        return []
    choice, request = judged.choice(",".join(finding.outcomes)), advisor.remedies.request
    return [
        (each.words, each.texts, request.items(**{**choice, "search": each.words})) for each in people.phrases[:_SAID]
    ]


def _without_repetition(findings: Iterable[Highlight]) -> list[Highlight]:
    """The findings, each remedy only on the first card that has it: labels are for a whole criterion."""
    seen: set[tuple[str, str]] = set()
    cards = []
    for finding in findings:
        advised = () if finding.advice is None else (finding.advice.href, finding.advice.replaces)
        remedies = [each for each in finding.remedies if each not in seen and each[1] not in advised]
        cards.append(replace(finding, remedies=remedies))
        seen.update(finding.remedies)
    return cards


def _disagreement(request: QueueChoices, ceiling: Ceiling) -> Iterator[Highlight]:
    if people_disagree(ceiling):
        yield Highlight(
            tone="probation",
            head=PEOPLE_DISAGREE,
            help="Human ceiling",
            name=ceiling["criterion"],
            text=f"{percent(ceiling['agreement'] or 0)} of the pairs of annotators agree. {DISAGREEMENT}",
            action="Read where people disagree",
            href=request.items("/disagreements"),
        )


def _worse_versions(
    request: QueueChoices, tests: Mapping[str, VersionTest], drawn: Sequence[Figure], remedies: Remedies
) -> Iterator[Highlight]:
    """Newest versions with which people agree less often than with the one before; the surest first."""
    newest = {figure.document["metric"]: figure.document["newest_judge"] for figure in drawn}
    for p, metric, test in worse_versions(tests):
        compared = {"depth": metric, "with": f"judge:{test['first']}"}
        new, old = (isolated(test[side]) if test[side] else "the unnamed version" for side in ("second", "first"))
        disagreements = {"metric": metric, "outcome": "fp,fn", "judge": test["second"] or None}
        yield Highlight(
            tone="untrusted",
            head=NEW_VERSION_WORSE,
            help="Judge version",
            name=metric,
            metric=metric,
            text=f"People agree with {new} less often than with {old}, {_chance(p)}. "
            f"Of {plural(test['items'], 'item')} that both judged, only {new} is right on "
            f"{count(test['second_only'])} and only {old} on {count(test['first_only'])}.{_error_kind(newest[metric])}",
            action="Compare the versions",
            href=f"{request.href(**compared)}#side-by-side",
            remedies=remedies.of_version(metric, disagreements),
        )


def _chance(p: float) -> str:
    if p > BORDERLINE:
        return f"which is borderline (p {p_value(p)})"
    return "and this is unlikely to be chance"


def _error_kind(judge: NewestJudgeDocument | None) -> str:
    """A sentence on the side on which a version errs; empty where no test finds one."""
    if judge is None or not (side := lean(judge)).side:
        return ""
    name = isolated(judge["judge"]) if judge["judge"] else "The unnamed version"
    sentence = lean_sentence(judge, side.side)
    return f" {name} is {side.head.lower()}: it {sentence[:1].lower()}{sentence[1:]}."


def _leaning(request: QueueChoices, judged: Judged, remedies: Remedies) -> Highlight:
    strict = judged.lean.side == "fn"
    wrong, human_verb = (judged.judge["fn"], "passed") if strict else (judged.judge["fp"], "failed")
    return Highlight(
        tone="untrusted",
        head="Too strict" if strict else "Too lenient",
        help="Error side",
        outcomes=("fn",) if strict else ("fp",),
        name=judged.figure.document["metric"],
        metric=judged.figure.document["metric"],
        text=f"{lean_sentence(judged.judge, judged.lean.side)}.{judged.version}",
        action=f"Read why people {human_verb} {'them' if wrong > 1 else 'it'}",
        href=judged.items(request, judged.lean.side),
        remedies=remedies.of(judged.figure.document["metric"], judged.choice(judged.lean.side)),
    )


def _closest(request: QueueChoices, judged: Judged, remedies: Remedies) -> Highlight:
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
