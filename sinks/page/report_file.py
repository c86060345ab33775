"""The report of a document as one HTML file: the parts of the page without links, scripts or requests.

It is for people who have no view: an artefact of a CI job, an attachment. Style is inside the file, and the content
security policy of the file forbids everything else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

from aggregator.snapshot.inputs import CountingRules
from aggregator.snapshot.schema import CriterionDocument, SnapshotDocument
from aggregator.statistics.confusion import Confusion
from sinks.page.figures import Figure, Scale, defined, figures, metric_scale, pooled, queue_tone
from sinks.page.hints import document_hints
from sinks.page.templating import page_environment
from sinks.page.wording import best_threshold, what_if_warning
from sinks.queries.results import Ceiling, Insights


@dataclass(frozen=True, slots=True)
class GateResult:
    """The outcome of a gate for CI."""

    tone: str
    """Class of the style sheet."""
    head: str
    lines: Sequence[str]
    """The pairs that decide."""


@dataclass(frozen=True, slots=True)
class InputSummary:
    """What a report was made of."""

    files: Sequence[str]
    notes: Sequence[str]
    """What was recognised in each file."""
    numbers: Sequence[tuple[str, int]]
    """Names and counts, such as of rows."""


@dataclass(frozen=True, slots=True)
class _Section:
    """A criterion, with the names that the parts of a queue's page read."""

    criterion: CriterionDocument
    figures: list[Figure]
    off_topic: list[Figure]
    scale: Scale
    ceiling: Ceiling
    scale_warnings: Mapping[str, str]
    best_thresholds: Mapping[str, str]
    request: None = None
    sparks: None = None
    off_topic_chosen: bool = False


@dataclass(frozen=True, slots=True)
class _Overview:
    """The whole document, with the names that the cards of a queue's page read."""

    document: SnapshotDocument
    whole: Confusion
    tone: str
    card_scale: Scale
    hints: list[str]
    request: None = None


def report_html(
    document: SnapshotDocument,
    insights: Mapping[str, Insights],
    *,
    rules: CountingRules,
    summary: InputSummary,
    gate: GateResult | None,
    version: str,
) -> str:
    """The report. All its numbers are those of the document and of the insights, by criterion."""
    whole = pooled(document)
    scale = Scale.of([document["cards"]["alignment_low"], defined(whole.baseline)])
    return page_environment().get_template("report.html").render(
        page=_Overview(document, whole, queue_tone(whole, rules.limits), scale, document_hints(document)),
        sections=[
            _section(criterion, insights[criterion["criterion"]], rules) for criterion in document["criteria"]
        ],
        summary=summary,
        gate=gate,
        style=files(__package__).joinpath("static", "page.css").read_text(),
        limits=rules.limits,
        pass_stars=rules.pass_stars,
        version=version,
    )  # fmt: skip


def _section(criterion: CriterionDocument, insights: Insights, rules: CountingRules) -> _Section:
    drawn, off_topic = figures(criterion, rules)
    ceiling, what_ifs = insights.ceiling, insights.what_ifs.items()
    return _Section(
        criterion=criterion,
        figures=drawn,
        off_topic=off_topic,
        scale=metric_scale([*drawn, *off_topic], ceiling),
        ceiling=ceiling,
        scale_warnings={metric: warning for metric, what in what_ifs if (warning := what_if_warning(what))},
        best_thresholds={metric: best for metric, what in what_ifs if (best := best_threshold(what))},
    )
