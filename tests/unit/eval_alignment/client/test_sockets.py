"""Both clients against a server with sockets: it goes away and comes back, hangs, and closes connections."""

import asyncio
import logging
import os
import re
import threading
import time
from collections.abc import Iterator

import pytest

from eval_alignment import AsyncClient, Client, ClientError, DeliveryError, QueueFullError, RejectedEvent
from tests.support.stub_ingest import StubAnswer, StubIngest, StubRequest, accepting
from tests.support.waiting import eventually
from tests.unit.eval_alignment.client.driven import CLIENTS, DrivenClient, not_sent

DEADLINE_S = 60.0


@pytest.fixture
def ingest() -> Iterator[StubIngest]:
    """A running stub."""
    with StubIngest() as stub:
        yield stub


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest, ingest: StubIngest) -> Iterator[DrivenClient]:
    """A client of each kind for the stub."""
    made: DrivenClient = CLIENTS[request.param](ingest.url, batch_events=10, close_s=DEADLINE_S)
    yield made
    made.end()


def test_what_a_server_acknowledged_before_it_went_away_stays_and_the_rest_is_sent_when_it_is_back(
    ingest: StubIngest, client: DrivenClient
) -> None:
    acknowledged: set[str] = set()

    def flaky(request: StubRequest) -> StubAnswer:
        # Every third request loses its connection, as in a kill before the answer.
        if len(ingest.requests) % 3 == 0:
            return StubAnswer(0)
        acknowledged.update(event["id"] for event in request.events)
        return accepting(request)

    ingest.script = flaky
    ids = [client.queue_item(queue="q", item=str(number)) for number in range(35)]
    client.flush(DEADLINE_S)
    assert acknowledged == set(ids)
    ingest.stop()
    ids += [client.queue_item(queue="q", item=str(number)) for number in range(15)]
    assert re.search(r"15 not sent: .*\[Errno 111\]", str(not_sent(client)))
    ingest.script = accepting
    ingest.start()
    client.close()
    assert client.accepted == 50
    assert set(ingest.ids()) == set(ids)


def test_a_server_that_never_answers_costs_a_close_no_more_than_its_time(
    ingest: StubIngest, client: DrivenClient
) -> None:
    release = threading.Event()

    def hang(request: StubRequest) -> StubAnswer:
        release.wait(DEADLINE_S)
        return accepting(request)

    ingest.script = hang
    try:
        client.queue_item(queue="q", item="1")
        started = time.monotonic()
        with pytest.raises(DeliveryError, match="1 not sent: there was not enough time"):
            client.close(timeout_s=0.5)
        assert time.monotonic() - started < 20
    finally:
        release.set()


def test_threads_share_a_client(ingest: StubIngest) -> None:
    def send(client: Client, name: str) -> None:
        for number in range(200):
            client.queue_item(queue=name, item=str(number), id=f"{name}-{number}")
        client.flush(DEADLINE_S)

    with Client(ingest.url, max_events=50, batch_events=20, block_s=DEADLINE_S, close_s=DEADLINE_S) as client:
        threads = [threading.Thread(target=send, args=(client, f"t{number}")) for number in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client.accepted == 1_000
    assert sorted(ingest.ids()) == sorted(f"t{thread}-{number}" for thread in range(5) for number in range(200))
    for name in ("t0", "t4"):
        assert [id for id in ingest.ids() if id.startswith(name)] == [f"{name}-{number}" for number in range(200)]


def test_a_callback_may_send_a_corrected_event_but_not_wait_for_itself(ingest: StubIngest) -> None:
    errors: list[str] = []

    def correct(_: RejectedEvent) -> None:
        sender.queue_item(queue="q", item="corrected")
        for call in (sender.flush, sender.close):
            with pytest.raises(RuntimeError, match="cannot be called by a callback") as raised:
                call()
            errors.append(str(raised.value))

    def reject_first(request: StubRequest) -> StubAnswer:
        if len(ingest.requests) > 1:
            return accepting(request)
        return StubAnswer(422, {"accepted": 0, "rejected": [{"index": 0, "reason": "malformed", "detail": ""}]})

    ingest.script = reject_first
    sender = Client(ingest.url, on_rejected=correct)
    sender.queue_item(queue="q", item="wrong")
    sender.flush(DEADLINE_S)
    sender.close(DEADLINE_S)
    assert [request.events[0]["item"] for request in ingest.requests] == ["wrong", "corrected"]
    assert len(errors) == 2


def test_a_callback_does_not_wait_for_room_that_only_its_own_thread_makes(ingest: StubIngest) -> None:
    full: list[float] = []

    def fill(_: RejectedEvent) -> None:
        sender.queue_item(queue="q", item="1")
        started = time.monotonic()
        with pytest.raises(QueueFullError):
            sender.queue_item(queue="q", item="2")
        full.append(time.monotonic() - started)

    ingest.script = lambda _: StubAnswer(422, {"accepted": 0, "rejected": [{"index": 0, "reason": "malformed"}]})
    sender = Client(ingest.url, max_events=1, block_s=DEADLINE_S, on_rejected=fill)
    sender.queue_item(queue="q", item="0")
    sender.flush(DEADLINE_S)
    ingest.script = accepting
    sender.close(DEADLINE_S)
    assert max(full) < DEADLINE_S / 2


def test_the_threads_of_a_client_do_not_keep_a_program_and_end_with_it(ingest: StubIngest) -> None:
    # Threads of other tests may end meanwhile.
    before = set(threading.enumerate())
    client = Client(ingest.url)
    assert set(threading.enumerate()) <= before
    client.queue_item(queue="q", item="1")
    (thread,) = [each for each in set(threading.enumerate()) - before if each.name == "eval-alignment-client"]
    assert thread.daemon
    client.close()
    assert not thread.is_alive()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_sends_its_own_events_and_not_those_of_its_parent(ingest: StubIngest) -> None:
    ingest.script = lambda _: StubAnswer(503, {}, {"Retry-After": "60"})
    client = Client(ingest.url)
    client.queue_item(queue="q", item="parent", id="parent")
    with pytest.raises(DeliveryError):
        client.flush(DEADLINE_S)
    ingest.requests.clear()
    ingest.script = accepting
    child = os.fork()
    if child == 0:
        code = 1
        try:
            assert client.pending == 0
            client.queue_item(queue="q", item="child", id="child")
            client.close(DEADLINE_S)
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert ingest.ids() == ["child"]
    assert client.pending == 1
    with pytest.raises(DeliveryError):
        client.close(timeout_s=0)


async def test_an_async_client_does_not_block_its_event_loop(ingest: StubIngest) -> None:
    release = threading.Event()

    def hang(request: StubRequest) -> StubAnswer:
        release.wait(DEADLINE_S)
        return accepting(request)

    ingest.script = hang
    async with AsyncClient(ingest.url, max_events=1, linger_s=0, close_s=DEADLINE_S) as client:
        await client.queue_item(queue="q", item="1")
        waiting = asyncio.create_task(client.queue_item(queue="q", item="2"))
        await asyncio.to_thread(ingest.arrived.wait, DEADLINE_S)
        assert not waiting.done()
        release.set()
        await waiting
    assert client.accepted == 2


def test_an_async_client_belongs_to_one_event_loop_and_reports_what_its_end_left(
    ingest: StubIngest, caplog: pytest.LogCaptureFixture
) -> None:
    client = AsyncClient(ingest.url, linger_s=60)
    asyncio.run(_queue(client))
    with pytest.raises(ClientError, match="event loop"):
        asyncio.run(_queue(client))
    with caplog.at_level(logging.ERROR):
        client._at_exit(time.monotonic())
    assert "1 not sent: the client was ended by an error: CancelledError()" in caplog.text
    assert ingest.requests == []


async def _queue(client: AsyncClient) -> None:
    await client.queue_item(queue="q", item="1")
    # The sender begins to wait for the time of the batch.
    await asyncio.sleep(0)


async def test_a_closed_async_client_leaves_no_task(ingest: StubIngest) -> None:
    release = threading.Event()

    def hang(request: StubRequest) -> StubAnswer:
        release.wait(DEADLINE_S)
        return accepting(request)

    ingest.script = hang
    client = AsyncClient(ingest.url, linger_s=0)
    await client.queue_item(queue="q", item="1")
    await asyncio.to_thread(ingest.arrived.wait, DEADLINE_S)
    try:
        with pytest.raises(DeliveryError):
            await client.close(timeout_s=0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
    finally:
        release.set()


async def test_a_cancelled_close_reports_what_was_not_sent(
    ingest: StubIngest, caplog: pytest.LogCaptureFixture
) -> None:
    ingest.script = lambda _: StubAnswer(503, {})
    client = AsyncClient(ingest.url, linger_s=0)
    await client.queue_item(queue="q", item="1")
    # The answer to the first request is known when there is another one.
    await eventually(lambda: len(ingest.requests) > 1)
    closing = asyncio.create_task(client.close(DEADLINE_S))
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert "1 not sent: 503 Service Unavailable" in caplog.text
