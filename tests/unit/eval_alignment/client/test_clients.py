"""Both clients against scripted answers: what is acknowledged, reported, repeated and raised."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from email.utils import formatdate
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from eval_alignment import ClientError, DeliveryError, EventWarning, InvalidEventError, QueueFullError, RejectedEvent
from tests.unit.eval_alignment.client.driven import CLIENTS, DrivenClient, not_sent

TOKEN = "0123456789abcdef0123456789abcdef"

Make = Callable[..., DrivenClient]


class Ingest:
    """Answers by a script, the last one again and again; remembers the requests."""

    def __init__(self, *script: Any) -> None:
        self.script = list(script) or [200]
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        step = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(step, Exception):
            raise step
        if callable(step):
            step = step(self.events(-1))
        if isinstance(step, httpx.Response):
            return step
        return httpx.Response(step, json={"accepted": len(self.events(-1))} if step == 200 else {"detail": "why"})

    def events(self, number: int) -> list[dict[str, Any]]:
        """The events of one request."""
        return [orjson.loads(line) for line in self.requests[number].content.splitlines()]

    def ids(self) -> list[list[str]]:
        """Ids of the events of each request."""
        return [[event["id"] for event in self.events(number)] for number in range(len(self.requests))]


def rejecting(*ids: str) -> Callable[[list[dict[str, Any]]], httpx.Response]:
    """A step that rejects the events of these ids, and warns of the first that it takes."""

    def step(events: list[dict[str, Any]]) -> httpx.Response:
        rejected = [
            {"index": index, "id": event["id"], "reason": "future_timestamp", "detail": "at is ahead - at `$.at`"}
            for index, event in enumerate(events)
            if event["id"] in ids
        ]
        taken = [index for index, event in enumerate(events) if event["id"] not in ids]
        warnings = [{"index": taken[0], "message": "two contents"}] if taken else []
        body = {"accepted": len(taken), "rejected": rejected, "warnings": warnings}
        return httpx.Response(207 if taken else 422, json=body)

    return step


@pytest.fixture(params=CLIENTS)
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes a client of each kind, which is closed without waiting at the end of the test."""
    with ExitStack() as stack:

        def client(ingest: Ingest, **options: Any) -> DrivenClient:
            made: DrivenClient = CLIENTS[request.param](transport=httpx.MockTransport(ingest), **options)
            stack.callback(made.end)
            return made

        yield client


def annotate(client: DrivenClient, id: str = "a1", **more: Any) -> str:
    """Queue an annotation."""
    return client.annotate(**{"queue": "q", "item": "i", "thumbs": "up", "id": id, **more})


def test_events_are_sent_in_one_batch_with_all_their_fields(make: Make) -> None:
    ingest = Ingest()
    client = make(ingest)
    annotate(client, "a1", annotator="ana")
    client.evaluate(item="i", metric="m", passed=True, id="e1", at=1_772_452_800_000)
    client.queue_item(queue="q", item="i", id="q1")
    assert client.pending == 3
    client.flush()
    assert (client.accepted, client.rejected, client.pending) == (3, 0, 0)
    assert ingest.ids() == [["a1", "e1", "q1"]]
    assert ingest.events(0)[1] == {
        "kind": "evaluation",
        "item": "i",
        "metric": "m",
        "passed": True,
        "id": "e1",
        "at": 1_772_452_800_000,
    }
    request = ingest.requests[0]
    assert (request.method, str(request.url)) == ("POST", "http://127.0.0.1:8389/api/v1/events")
    assert request.headers["content-type"] == "application/x-ndjson"
    assert "authorization" not in request.headers


def test_an_invalid_event_raises_and_is_not_queued(make: Make) -> None:
    client = make(Ingest())
    with pytest.raises(InvalidEventError, match="both ratings"):
        annotate(client, stars=4)
    with pytest.raises(TypeError, match="did you mean `annotator`"):
        annotate(client, annotater="ana")
    assert client.pending == 0


def test_rejected_events_are_raised_once_with_index_id_reason_and_detail_and_not_sent_again(make: Make) -> None:
    ingest = Ingest(rejecting("b", "c"), rejecting("d"), 200)
    client = make(ingest)
    for id in "abc":
        annotate(client, id)
    with pytest.raises(DeliveryError, match=r"2 rejected, first event 1 \(id b\): future_timestamp: at is") as raised:
        client.flush()
    assert [(entry.index, entry.id, entry.reason) for entry in raised.value.rejected] == [
        (1, "b", "future_timestamp"),
        (2, "c", "future_timestamp"),
    ]
    assert raised.value.rejected[0].event.fields["queue"] == "q"
    assert (raised.value.rejected_count, raised.value.unsent) == (2, [])
    annotate(client, "d")
    with pytest.raises(DeliveryError, match=r"1 rejected, first event 3 \(id d\)"):
        client.close()
    client.close()
    assert ingest.ids() == [["a", "b", "c"], ["d"]]
    assert (client.accepted, client.rejected) == (1, 3)


def test_callbacks_get_what_is_rejected_and_warned_of(make: Make) -> None:
    rejected: list[RejectedEvent] = []
    warnings: list[EventWarning] = []
    client = make(Ingest(rejecting("b")), on_rejected=rejected.append, on_warning=warnings.append)
    annotate(client, "a")
    annotate(client, "b")
    client.flush()
    assert [(entry.id, entry.detail) for entry in rejected] == [("b", "at is ahead - at `$.at`")]
    assert [str(entry) for entry in warnings] == ["event 0 (id a): two contents"]


def test_without_callbacks_warnings_and_rejections_are_logged(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    client = make(Ingest(rejecting("b")))
    annotate(client, "a")
    annotate(client, "b")
    with pytest.raises(DeliveryError):
        client.flush()
    messages = [record.getMessage() for record in caplog.records if record.name == "eval_alignment.client"]
    assert messages == [
        "events rejected: 1, first event 1 (id b): future_timestamp: at is ahead - at `$.at`",
        "event accepted with a warning: event 0 (id a): two contents",
    ]


def test_an_error_of_a_callback_ends_the_client_and_is_raised_by_every_call(make: Make) -> None:
    def callback(_: RejectedEvent) -> None:
        raise RuntimeError("disk full")

    client = make(Ingest(rejecting("a")), on_rejected=callback)
    annotate(client, "a")
    for call in (client.flush, client.flush, lambda: annotate(client), client.close):
        with pytest.raises(ClientError, match="disk full") as raised:
            call()
        assert isinstance(raised.value.__cause__, RuntimeError)
    assert client.rejected == 1


def test_a_failed_batch_is_repeated_byte_for_byte(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "eval_alignment.client")
    reset = httpx.ReadError("Connection reset by peer")
    ingest = Ingest(httpx.Response(503, headers={"Retry-After": "0"}), reset, 200)
    client = make(ingest)
    id = client.annotate(queue="q", item="i", thumbs="up")
    client.flush()
    assert len({request.content for request in ingest.requests}) == 1
    assert ingest.ids() == [[id]] * 3
    assert client.accepted == 1
    assert [record.getMessage() for record in caplog.records if record.name == "eval_alignment.client"] == [
        "events cannot be sent, retrying: 503 Service Unavailable",
        "events cannot be sent, retrying: http://127.0.0.1:8389/api/v1/events: Connection reset by peer",
        "events are sent again",
    ]


def test_a_date_in_the_past_is_retried_now_and_one_beyond_the_deadline_raises_now(make: Make) -> None:
    past = httpx.Response(429, headers={"Retry-After": formatdate(time.time() - 60, usegmt=True)})
    client = make(Ingest(past, 200))
    annotate(client)
    client.flush()
    later = httpx.Response(429, headers={"Retry-After": "7200"})
    client = make(Ingest(later))
    annotate(client)
    started = time.monotonic()
    with pytest.raises(DeliveryError, match=r"429 .*asks to wait 7,200 s, which is cut to 300 s"):
        client.flush(timeout_s=120)
    assert time.monotonic() - started < 60
    assert client.pending == 1


def test_a_wrong_token_is_raised_by_flush_and_the_events_stay(make: Make, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("wrong\n")
    right = f"Bearer {TOKEN}"
    ingest = Ingest()
    ingest.script = [lambda _: 200 if ingest.requests[-1].headers["Authorization"] == right else 401]
    client = make(ingest, token_file=file)
    annotate(client)
    with pytest.raises(DeliveryError, match=r"1 not sent: http://.*/api/v1/events: 401 Unauthorized: why") as raised:
        client.flush(timeout_s=120)
    assert [event.id for event in raised.value.unsent] == ["a1"]
    file.unlink()
    with pytest.raises(DeliveryError, match=r"token: .*No such file"):
        client.flush(timeout_s=120)
    file.write_text(TOKEN)
    client.flush()
    assert client.accepted == 1


def test_a_redirect_is_not_followed_with_the_token(make: Make) -> None:
    ingest = Ingest(httpx.Response(307, headers={"Location": "http://elsewhere.example/api/v1/events"}))
    client = make(ingest, token=TOKEN)
    annotate(client)
    with pytest.raises(DeliveryError, match="307 Temporary Redirect: redirects are not followed"):
        client.flush()
    assert {request.url.host for request in ingest.requests} == {"127.0.0.1"}
    assert ingest.requests[0].headers["Authorization"] == f"Bearer {TOKEN}"


def test_a_full_queue_waits_and_then_raises(make: Make) -> None:
    ingest = Ingest(httpx.ConnectError("refused"))
    client = make(ingest, max_events=2, block_s=0.05)
    annotate(client, "a")
    annotate(client, "b")
    with pytest.raises(QueueFullError, match=r"2 events \(\d+ bytes\) wait to be sent"):
        annotate(client, "c")
    ingest.script = [200]
    client.flush()
    annotate(client, "c")
    client.close()
    assert client.accepted == 3


def test_a_call_that_waits_for_room_goes_on_when_there_is_room(make: Make) -> None:
    client = make(Ingest(), max_events=1, linger_s=0, block_s=60)
    for number in range(20):
        annotate(client, str(number))
    client.close()
    assert client.accepted == 20


def test_close_raises_what_could_not_be_sent_within_its_time(make: Make) -> None:
    client = make(Ingest(httpx.ConnectError("Connection refused")))
    annotate(client, "a")
    annotate(client, "b")
    not_sent(client)
    with pytest.raises(DeliveryError, match=r"2 not sent: http://.*: Connection refused") as raised:
        client.close(timeout_s=0.2)
    assert [event.id for event in raised.value.unsent] == ["a", "b"]
    assert raised.value.unsent[0].fields["thumbs"] == "up"
    assert (client.pending, client.accepted) == (0, 0)
    with pytest.raises(ClientError, match="closed"):
        annotate(client)
    with pytest.raises(ClientError, match="closed"):
        client.flush()


def test_a_with_block_raises_what_was_not_delivered_but_not_instead_of_its_own_error(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(DeliveryError, match="1 rejected"), make(Ingest(rejecting("a"))) as client:
        annotate(client, "a")
    with pytest.raises(KeyError) as raised, make(Ingest(rejecting("a"))) as client:  # noqa: PT012
        annotate(client, "a")
        raise KeyError("own")
    assert raised.value.__notes__ == [
        "events were not delivered: 1 rejected, first event 0 (id a): future_timestamp: at is ahead - at `$.at`"
    ]
    assert "not delivered" in caplog.text


def test_a_batch_that_is_too_large_is_halved_and_one_event_is_told_alone(make: Make) -> None:
    ingest = Ingest(lambda events: 413 if any(len(event.get("explanation", "")) > 9 for event in events) else 200)
    rejected: list[RejectedEvent] = []
    client = make(ingest, on_rejected=rejected.append)
    for number in range(20):
        annotate(client, str(number), explanation="x" * (10 if number == 7 else 9))
    client.flush()
    assert [(entry.id, entry.reason) for entry in rejected] == [("7", "oversized")]
    assert "the server does not take" in rejected[0].detail
    assert (client.accepted, client.rejected) == (19, 1)


def test_neither_token_nor_events_are_in_the_representation(make: Make) -> None:
    client = make(Ingest(), token=TOKEN)
    annotate(client)
    shown = repr(getattr(client, "client", client))
    assert "http://127.0.0.1:8389" in shown
    assert TOKEN not in shown


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "ftp://host"}, "not an http or https address"),
        ({"url": "host:8389"}, "not an http or https address"),
        ({"url": "http://host:99999"}, "invalid port"),
        ({"url": f"http://host?token={TOKEN}"}, "query"),
        ({"url": "http://host#part"}, "fragment"),
        ({"url": f"http://user:{TOKEN}@host"}, "use `token`"),
        ({"token": f"{TOKEN}\nX: y"}, "white space"),
        ({"token": ""}, "empty"),
        ({"token": TOKEN, "token_file": "x"}, "only one"),
        ({"batch_events": 10_001}, "1 to 10,000"),
        ({"max_events": 0}, "at least 1"),
        ({"linger_s": -1}, "negative"),
    ],
)
def test_invalid_options_raise_without_the_token(make: Make, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        make(Ingest(), **options)
    assert TOKEN not in str(raised.value)


def test_the_environment_has_address_and_token(make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EVAL_ALIGNMENT_CLIENT_URL", "https://ingest.example/base/")
    monkeypatch.setenv("EVAL_ALIGNMENT_CLIENT_TOKEN", TOKEN)
    ingest = Ingest()
    client = make(ingest)
    annotate(client)
    client.close()
    assert str(ingest.requests[0].url) == "https://ingest.example/base/api/v1/events"
    assert ingest.requests[0].headers["Authorization"] == f"Bearer {TOKEN}"
    monkeypatch.setenv("EVAL_ALIGNMENT_CLIENT_TOKEN_FILE", str(tmp_path / "none"))
    with pytest.raises(ValueError, match="only one"):
        make(Ingest())
    monkeypatch.delenv("EVAL_ALIGNMENT_CLIENT_TOKEN")
    with pytest.raises(FileNotFoundError):
        make(Ingest())
