"""What to do about a metric: one sentence, with a number from the computation of the chart that it links to."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from aggregator.statistics.confusion import Z_99, wilson
from aggregator.statistics.error_side import ErrorSide
from aggregator.statistics.gate import Gate
from sinks import budgets
from sinks.page.deep_dive import DIVISIONS, CachedQueries
from sinks.page.figures import Figure
from sinks.page.formats import count, percent, plural, threshold
from sinks.page.judged import Judged, worse_versions
from sinks.page.remedies import Remedies
from sinks.page.segments_card import opposed
from sinks.page.wording import is_end_of_scale, isolated, people_disagree
from sinks.queries.results import Ceiling, Cut, VersionTest, WhatIf
from sinks.queries.side_by_side import JudgedBy

_COMPUTED: Final = 12
"""Most metrics of one page whose thresholds are computed for advice."""
_DIVIDED: Final = 3
"""Metrics of one page whose tags are looked through before a threshold is advised, with any number of comparisons."""
_LOOKED: Final = 10_000
"""Most comparisons, together, of further metrics whose tags are looked through: each that still fits in. The advice
about others states that theirs were not.
"""
_NOT_LOOKED: Final = " Its tags were not checked for values that it hurts: see the segments of the metric."


@dataclass(frozen=True, slots=True)
class Advice:
    """What to do: a sentence that begins with a link."""

    action: str
    rest: str
    """The sentence after the link."""
    href: str | None
    """None where nothing is to be done."""
    replaces: str | None = None
    """Address of the remedy that it makes needless, where that is not its own."""


def settle_the_guideline(remedies: Remedies, ceiling: Ceiling) -> Advice:
    """The advice where people agree no better than by chance: then no change of a metric can be judged."""
    return Advice(
        "Settle the guideline first",
        f": people disagree here. Two of them agree on {percent(ceiling['agreement'] or 0)} of "
        f"{plural(ceiling['pairs'], 'pair')} of ratings, no better than chance.",
        remedies.request.items("/disagreements"),
    )


def better_threshold(what: WhatIf) -> tuple[Cut, Cut] | None:
    """The counts now and at the recommended threshold, where that clearly helps; else None.

    The lower bound of the 99 % interval of its alignment must be above the alignment now. At 95 % the advice about a
    metric at the border would change with every few annotations.
    """
    best, now = what["recommended"], what["now"]
    if best is None or now is None or is_end_of_scale(what, best):
        return None
    low, _ = wilson(best["alignment"], what["items"], Z_99)
    return (now, best) if low > now["alignment"] else None


@dataclass
class Advisor:
    """Advice about the metrics of a criterion on one page."""

    remedies: Remedies
    queries: CachedQueries
    ceiling: Ceiling
    tests: Mapping[str, VersionTest]
    """Tests of the newest judge versions against the ones before, by metric."""
    items_needed: int
    """Compared items below which nothing can be told about a metric."""
    _computed: dict[str, WhatIf] = field(default_factory=dict)
    _advice: dict[str, Advice | None] = field(default_factory=dict)
    _divided: int = 0
    """Metrics whose tags were looked through."""
    _looked: int = 0
    """Comparisons of those beyond the first ones."""

    def of_people(self) -> Advice:
        """The advice for a criterion on which people disagree."""
        return settle_the_guideline(self.remedies, self.ceiling)

    def of_metric(self, figure: Figure) -> Advice | None:
        """The advice for a metric; None where nothing is known about it yet."""
        metric = figure.document["metric"]
        if metric not in self._advice:
            judged = Judged.of(self.remedies.request, figure)
            self._advice[metric] = None if judged is None else self._of(judged)
        return self._advice[metric]

    def leaves_threshold(self, metric: str) -> bool:
        """Whether to offer the thresholds of a metric: not where none is better, or one is the advice."""
        what = self._computed.get(metric)
        if what is None:
            return True
        best = what["recommended"]
        return best is not None and not is_end_of_scale(what, best) and better_threshold(what) is None

    def _of(self, judged: Judged) -> Advice | None:
        if people_disagree(self.ceiling):
            return self.of_people()
        for _, metric, test in worse_versions(self.tests):
            if metric == judged.metric:
                return self._go_back(metric, test)
        if judged.judge["items_compared"] < self.items_needed:
            return self._label(judged, "nothing can be told about it before that")
        what = self._what_if(judged)
        if what is not None and (found := better_threshold(what)) is not None:
            if not self._may_look(judged):
                return self._move(judged, what, *found, _NOT_LOOKED)
            return self._opposed(judged, *found) or self._move(judged, what, *found, self._left_out(judged))
        return self._keep_scores(judged, what)

    def _keep_scores(self, judged: Judged, what: WhatIf | None) -> Advice | None:
        """The advice where no other threshold helps."""
        if judged.figure.document["gate_state"] is Gate.TRUSTED:
            return Advice("Nothing to change", ". Label some items of each new judge version.", None)
        if not judged.lean.side and not judged.below_baseline:
            more = self._label(judged, "if it keeps agreeing as often, its gate state improves")
            if more is not None:
                return more
        return self._read(judged, what)

    def _read(self, judged: Judged, what: WhatIf | None) -> Advice | None:
        counts, side = judged.judge, judged.lean.side
        wrong = {"fn": counts["fn"], "fp": counts["fp"]}.get(side, counts["fn"] + counts["fp"])
        number = count(wrong) if wrong > 1 else "one"
        version = f" of {isolated(judged.own_version)}" if judged.own_version else ""
        words = {"fn": f"{number}{version} that people passed", "fp": f"{number}{version} that people failed"}
        return Advice(
            f"Read the {words.get(side) or plural(wrong, 'disagreement') + version}",
            f", and change the prompt{_why_not(what)}.",
            judged.items(self.remedies.request, side or "fp,fn"),
        )

    def _label(self, judged: Judged, why: str) -> Advice | None:
        needed = judged.figure.document["labels_needed"]
        if not needed:
            return None
        replaced = next((address for _, address in self.remedies.labels()), None)
        href = self.remedies.to_label(judged.metric)
        return Advice(f"Label {plural(needed, 'more item')}", f": {why}.", href, replaced)

    def _go_back(self, metric: str, test: VersionTest) -> Advice:
        new, old = test["second"], test["first"]
        answer = self.queries.side_by_side(JudgedBy(metric, new), JudgedBy(metric, old))
        now, before = answer["first"]["alignment"] or 0, answer["second"]["alignment"] or 0
        name_old, name_new = (isolated(name) if name else "the unnamed one" for name in (old, new))
        href = self.remedies.request.href(depth=metric, **{"with": f"judge:{old}"})
        return Advice(
            f"Go back to judge version {name_old}",
            f": on the {plural(answer['items'], 'item')} that both judged it agrees with people on "
            f"{percent(before)}, {name_new} on {percent(now)}.",
            f"{href}#side-by-side",
        )

    def _may_look(self, judged: Judged) -> bool:
        """Whether there is time to look through the tags of a metric, which is counted as done."""
        self._divided += 1
        if self._divided <= _DIVIDED:
            return True
        looked = self._looked + judged.figure.document["comparisons"]
        if looked > _LOOKED:
            return False
        self._looked = looked
        return True

    def _left_out(self, judged: Judged) -> str:
        """A sentence about the tags that are not looked through; empty where all are."""
        tags = self._queries_of(judged).segments(judged.metric, None)["tags"]
        if len(tags) <= DIVISIONS:
            return ""
        number = f"{len(tags)} or more" if len(tags) >= budgets.TAGS else f"{len(tags)}"
        return f" Of its {number} tags, the {DIVISIONS} with most comparisons were checked for values that it hurts."

    def _opposed(self, judged: Judged, now: Cut, best: Cut) -> Advice | None:
        """The advice where a threshold would make the errors of a tag's value worse; None without such."""
        stricter = best["tp"] + best["fp"] < now["tp"] + now["fp"]
        side: Literal[ErrorSide.TOO_STRICT, ErrorSide.TOO_LENIENT] = (
            ErrorSide.TOO_STRICT if stricter else ErrorSide.TOO_LENIENT
        )
        here, elsewhere, outcome = ("strict", "stricter", "fn") if stricter else ("lenient", "more lenient", "fp")
        found = opposed(self._queries_of(judged).divisions(judged.metric), side)
        if found is None:
            return None
        tag, value = found[0], found[1]["value"] or ""
        own = {"judge": judged.own_version} if judged.own_version else {}
        return Advice(
            f"Too {here} for {isolated(tag)}: {isolated(value)}: read these first",
            f", and change the prompt. A threshold that helps elsewhere makes the metric {elsewhere} here.",
            self.remedies.request.items(metric=judged.metric, outcome=outcome, tag=f"{tag}:{value}", **own),
        )

    def _what_if(self, judged: Judged) -> WhatIf | None:
        """The thresholds of the version that the advice is about, if the metric has scores."""
        scored = self.remedies.scored
        if scored is None or judged.metric not in scored or len(self._computed) >= _COMPUTED:
            return None
        answer = self._computed[judged.metric] = self._queries_of(judged).what_if(judged.metric, 1.0)
        return answer

    def _queries_of(self, judged: Judged) -> CachedQueries:
        """The queries of the version that the advice is about."""
        queries = self.queries
        if judged.own_version is None:
            return queries
        scope = replace(queries.scope, judge=judged.own_version)
        return CachedQueries(queries.cache, queries.connection, scope, queries.revision, queries.criterion)

    def _move(self, judged: Judged, what: WhatIf, now: Cut, best: Cut, unseen: str) -> Advice:
        current, better = what["threshold"], best["cut"]
        new = threshold(better, current)
        if what["thresholds"] > 1 or current is None or better is None:
            action = f"Use {new} as the only threshold"
        else:
            verb = "Lower" if better < current else "Raise"
            action = f"{verb} the threshold from {threshold(current, better)} to {new}"
        version = f" of {isolated(judged.own_version)}" if judged.own_version else ""
        request = self.remedies.request
        own = {"judge": judged.own_version} if judged.own_version else {}
        return Advice(
            action,
            f": alignment {percent(now['alignment'])} becomes {percent(best['alignment'])} on these "
            f"{plural(what['scored'], 'comparison')}{version}.{unseen}",
            f"{request.href(depth=judged.metric, **own)}#whatif",
        )


def _why_not(what: WhatIf | None) -> str:
    if what is None:
        return ""
    best = what["recommended"]
    if best is None:
        return ": no other threshold helps"
    if is_end_of_scale(what, best):
        return " or the metric: its scores do not separate what people pass from what they fail"
    return ": another threshold helps by no more than noise"
