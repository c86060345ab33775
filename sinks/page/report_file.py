"""The report of a document as one HTML file: the parts of the page without links, scripts or requests.

It is for people who have no view: an artefact of a CI job, an attachment. Style is inside the file, and the content
security policy of the file forbids everything else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files

from aggregator.snapshot.inputs import CountingRules
from aggregator.snapshot.schema import CriterionDocument, SnapshotDocument
from aggregator.statistics.confusion import Confusion
from sinks.page.figures import Figure, Scale, defined, figures, pooled, queue_tone
from sinks.page.templating import page_environment


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
    request: None = None
    sparks: None = None
    ceiling: None = None
    scale_warnings: Mapping[str, str] = field(default_factory=dict)
    off_topic_chosen: bool = False

    @property
    def shown(self) -> frozenset[str]:
        return frozenset(figure.document["metric"] for figure in (*self.figures, *self.off_topic))


@dataclass(frozen=True, slots=True)
class _Overview:
    """The whole document, with the names that the cards of a queue's page read."""

    document: SnapshotDocument
    whole: Confusion
    tone: str
    card_scale: Scale
    request: None = None


def report_html(
    document: SnapshotDocument, rules: CountingRules, summary: InputSummary, gate: GateResult | None, version: str
) -> str:
    """The report. All its numbers are those of the document."""
    whole = pooled(document)
    scale = Scale.of([document["cards"]["alignment_low"], defined(whole.baseline)])
    return page_environment().get_template("report.html").render(
        page=_Overview(document, whole, queue_tone(whole, rules.limits), scale),
        sections=[_section(criterion, rules) for criterion in document["criteria"]],
        summary=summary,
        gate=gate,
        style=files(__package__).joinpath("static", "page.css").read_text(),
        limits=rules.limits,
        pass_stars=rules.pass_stars,
        version=version,
    )  # fmt: skip


def _section(criterion: CriterionDocument, rules: CountingRules) -> _Section:
    drawn, off_topic = figures(criterion, rules)
    shares = [figure.document[name] for figure in (*drawn, *off_topic) for name in ("alignment_low", "baseline")]
    return _Section(criterion, drawn, off_topic, Scale.of(shares))
