"""A partition in quarantine: page, readiness and API have the reason of its worker."""

from aggregator.tallies import CheckpointMarker
from sinks.api.services import Services
from tests.support.html import read
from tests.support.sample_view import NOW_MS
from tests.unit.sinks.page.conftest import connected

REASON = "more tallies than max_tallies = 500,000. Most are of item '<b>hot</b>' in queue 'q'"


async def test_page_readiness_and_api_have_the_reason_of_the_worker(services: Services) -> None:
    services.freshness.expect(range(2))
    marker = CheckpointMarker(
        ledger="l", position=1, policy="each", at=NOW_MS, sources={}, quarantined={"1": f"{REASON}."}
    )
    services.freshness.closed(0, marker, NOW_MS)
    async with connected(services) as client:
        readiness = (await client.get("/readyz")).json()
        listed = (await client.get("/api/v1/queues")).json()
        page = read((await client.get("/queues/support")).text)
    assert readiness["stale"]
    assert readiness["stale_reason"] == listed["stale_reason"] == f"partition 1 is in quarantine: {REASON}"
    assert f"Stale Partition 1 is in quarantine: {REASON}." in page.one("p", class_="banner").words
