"""Row 19 with the embedded broker: the audit runs and finds no difference."""

import pytest

from tests.support.deployments import Installation
from tests.support.exposition import Series, series, value
from tests.support.processes import get, wait_until

DEADLINE = 60.0
AT = 1_780_000_000_000


def scraped(installation: Installation) -> Series:
    """The worker's metrics."""
    return series(get(f"http://{installation.worker_http}/metrics").body.decode())


@pytest.mark.row(19)
def test_row_19_the_audit_runs_on_the_embedded_broker(embedded: Installation) -> None:
    item = {"at": AT, "item": "audited"}
    embedded.send(
        {**item, "id": "a", "queue": "audited", "thumbs": "up"}, {**item, "id": "e", "metric": "m", "passed": True}
    )
    wait_until(lambda: embedded.document("audited"), DEADLINE, "it is counted")
    partitions = 8
    before = value(scraped(embedded), "eval_alignment_audits_total") or 0

    def every_partition() -> bool:
        return (value(scraped(embedded), "eval_alignment_audits_total") or 0) >= before + partitions

    wait_until(every_partition, DEADLINE, "every partition is audited")
    assert value(scraped(embedded), "eval_alignment_audit_mismatches") == 0
