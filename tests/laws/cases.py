"""The specification of what counts: small histories with counts written by hand."""

from typing import Final

from tests.laws.annotation_cases import ANNOTATORS, COMPARISONS, DAYS, VERSIONS
from tests.laws.evaluation_cases import FAILURES, JUDGES, QUEUES, VERDICTS

CASES: Final = {
    "Comparisons": COMPARISONS,
    "Several annotators": ANNOTATORS,
    "Corrections and deletions": VERSIONS,
    "Days": DAYS,
    "Verdicts": VERDICTS,
    "Judge versions": JUDGES,
    "Failures": FAILURES,
    "Queues": QUEUES,
}
"""All cases by subject."""
