"""Retries: repeated for the given errors only, until the block succeeds, each with a warning."""

import logging

import pytest
import stamina

from streams.runtime.retries import LONGEST_SECONDS, retry_forever


async def attempts(failures: list[Exception], *errors: type[Exception]) -> int:
    """Run a block that raises these exceptions, then succeeds; returns the number of its runs."""
    pending = list(failures)
    async for attempt in retry_forever(*errors):
        with attempt:
            if pending:
                raise pending.pop(0)
            return attempt.num
    raise AssertionError("it retries until the block succeeds")


async def test_a_block_is_retried_until_it_succeeds_and_the_first_failure_is_a_warning(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.runtime.retries.FIRST_SECONDS", 0.001)
    with caplog.at_level(logging.DEBUG, "streams.runtime.retries"):
        assert await attempts([OSError("disk full"), TimeoutError("no answer")], OSError, TimeoutError) == 3
    assert [(record.levelname, record.getMessage().partition(",")[0]) for record in caplog.records] == [
        ("WARNING", "OSError: disk full"),
        ("DEBUG", "TimeoutError: no answer"),
    ]


async def test_another_error_is_raised() -> None:
    with pytest.raises(ValueError, match="invalid"):
        await attempts([ValueError("invalid")], OSError)


async def test_the_wait_grows_to_its_limit_however_long_an_outage_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr("asyncio.sleep", sleep)
    assert await attempts([OSError("disk full")] * 1_200, OSError) == 1_201
    assert 0.1 <= waits[0] <= 0.2
    assert waits[-1] == max(waits) == LONGEST_SECONDS


def test_the_library_adds_no_other_hooks() -> None:
    assert len(stamina.instrumentation.get_on_retry_hooks()) == 1
