"""Filters of a list of items that are folded are named above it."""

import pytest

from tests.unit.sinks.page.conftest import Get


@pytest.mark.parametrize(
    ("query", "active"),
    [
        ("window=all", "none"),
        ("window=7d", "last 7 days"),
        ("criterion=helpfulness&window=30d", "helpfulness, last 30 days"),
    ],
)
async def test_folded_filters_name_what_is_chosen(page: Get, query: str, active: str) -> None:
    answer = await page(f"/queues/support/items?{query}")
    fold = next(each for each in answer.all("details") if each.attributes.get("data-key") == "filters")
    assert fold.one("summary").words == f"Filters: {active}"
