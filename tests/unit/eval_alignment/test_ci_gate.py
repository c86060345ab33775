"""The gate of a document that does not list all pairs."""

from aggregator.facts import Annotation, Evaluation, Fact
from aggregator.recount import Recount
from aggregator.snapshot.build import PAIRS
from aggregator.snapshot.schema import SnapshotDocument
from eval_alignment.ci_gate import GateRequest, decide, missing_names, outcome_lines
from streams.runtime.exit_codes import ExitCode


def document_of(metrics: int) -> SnapshotDocument:
    """A queue with one item, which people and all metrics pass."""
    facts: list[Fact] = [Annotation(at=1, id="a", queue="q", item="i", stars=5)]
    facts += [Evaluation(at=1, id="e", item="i", metric=f"m{number:04}", passed=True) for number in range(metrics)]
    document = Recount(facts).document("q")
    assert document is not None
    return document


def test_pairs_that_a_document_leaves_out_are_not_decided() -> None:
    request = GateRequest(limit=0.1, bound="point", items=1)
    assert decide(document_of(PAIRS), request)[0] is ExitCode.PASS
    document = document_of(PAIRS + 2)
    outcome, deciding = decide(document, request)
    assert outcome is ExitCode.TOO_FEW
    (line,) = outcome_lines(outcome, deciding, request)
    assert line.startswith("too few: overall / 2 metrics that the document leaves out")
    assert decide(document, GateRequest(limit=0.1, bound="point", items=1, metric="m0001"))[0] is ExitCode.PASS
    message = missing_names(document, GateRequest(limit=0.1, metric=f"m{PAIRS + 1:04}"))
    assert message is not None and "among the pairs with most comparisons" in message
