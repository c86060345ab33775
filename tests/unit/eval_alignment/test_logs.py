"""Logs: the two formats, and the records of libraries that are dropped."""

import json
import logging
import sys
from collections.abc import Iterator

import httpx
import pytest

from eval_alignment.logs import HTTP_REPEAT_SECONDS, REPEAT_SECONDS, LogFormat, NoiseFilter, configure
from tests.support.tree import PACKAGES

LIBRARIES = ("aiokafka", "faust", "httpcore", "httpx", "mode", "uvicorn")


@pytest.fixture(autouse=True)
def _root_logger() -> Iterator[None]:
    """Restore the handlers and levels that `configure` changes."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    levels = {name: logging.getLogger(name).level for name in PACKAGES + LIBRARIES}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def record(name: str, line: int, at: float, message: str = "something failed") -> logging.LogRecord:
    one = logging.LogRecord(name, logging.ERROR, "client.py", line, message, None, None)
    one.created = at
    return one


def logged(log_format: LogFormat, capsys: pytest.CaptureFixture[str]) -> str:
    configure("info", log_format)
    logger = logging.getLogger("streams.test")
    logger.info("worker %s", "starts", extra={"release": "1.2.3", "partitions": 8})
    try:
        raise OSError("disk full")
    except OSError:
        logger.exception("checkpoint failed")
    return capsys.readouterr().err


def test_a_json_log_is_one_object_per_record_with_its_fields_and_exception(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = map(json.loads, logged("json", capsys).splitlines())
    assert first.pop("time").endswith("Z")
    assert first == {
        "level": "info",
        "logger": "streams.test",
        "message": "worker starts",
        "release": "1.2.3",
        "partitions": 8,
    }
    assert list(second)[:4] == ["time", "level", "logger", "message"]
    assert second["exception"].splitlines()[-1] == "OSError: disk full"


def test_a_text_log_has_the_fields_at_the_end_of_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    first, second, *traceback = logged("text", capsys).splitlines()
    assert first.partition(" ")[2] == "INFO    streams.test: worker starts release=1.2.3 partitions=8"
    assert second.endswith("ERROR   streams.test: checkpoint failed")
    assert traceback[-1] == "OSError: disk full"


@pytest.mark.parametrize(("terminal", "first"), [(True, "2"), (False, "{")])
def test_auto_is_text_on_a_terminal_only(
    terminal: bool, first: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal)
    assert logged("auto", capsys)[0] == first


def test_each_place_in_aiokafka_logs_once_a_minute() -> None:
    noise = NoiseFilter()
    passed = [at for at in range(300) if noise.filter(record("aiokafka.conn", 7, float(at)))]
    assert passed == list(range(0, 300, int(REPEAT_SECONDS)))
    assert noise.filter(record("aiokafka", 8, 299.0)), "another place has its own minute"


@pytest.mark.parametrize("library", ["uvicorn.error", "asyncio"])
def test_each_kind_of_failure_of_a_server_is_logged_once_in_ten_seconds_with_a_count(library: str) -> None:
    def failed(at: float, error: Exception) -> logging.LogRecord:
        one = record(library, 7, at, "Exception in ASGI application\n")
        try:
            raise error
        except (OSError, ValueError):
            one.exc_info = sys.exc_info()
        return one

    noise = NoiseFilter()
    flood = [failed(tenth / 10, OSError(24, "Too many open files")) for tenth in range(250)]
    passed = [one for one in flood if noise.filter(one)]
    assert [one.created for one in passed] == [0.0, HTTP_REPEAT_SECONDS, 2 * HTTP_REPEAT_SECONDS]
    assert [vars(one).get("count") for one in passed] == [None, 100, 100]
    assert noise.filter(failed(24.0, ValueError("another kind")))


def test_what_the_listener_counts_itself_is_not_logged_by_its_library() -> None:
    assert not NoiseFilter().filter(record("uvicorn.error", 7, 1.0, "Invalid HTTP request received."))


def test_records_of_the_product_always_pass() -> None:
    noise = NoiseFilter()
    assert all(noise.filter(record("streams.engine.watchdog", 7, 1.0)) for _ in range(5))


@pytest.mark.parametrize(
    "message",
    [
        "Group Coordinator Request failed: [Error 15] GroupCoordinatorNotAvailableError",
        "Unable connect to \"127.0.0.1:9092\": [Errno 111] Connect call failed ('127.0.0.1', 9092)",
        "Unable connect to node with id 1: KafkaConnectionError: Connection at 127.0.0.1:9092 closed",
        "Unable to update metadata from [1]",
        "Failed fetch messages from 1: NodeNotReadyError: Attempt to send a request to node which is not ready",
    ],
)
def test_what_a_client_expects_while_a_broker_starts_or_is_away_is_dropped(message: str) -> None:
    assert not NoiseFilter().filter(record("aiokafka.consumer.group_coordinator", 7, 1.0, message))
    assert NoiseFilter().filter(record("streams.engine.watchdog", 7, 1.0, message))


def test_level_debug_drops_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    for level in ("info", "debug"):
        configure(level, "text")
        logging.getLogger("aiokafka").error("Unable to update metadata from [1]")
    assert capsys.readouterr().err.count("Unable to update metadata") == 1


def test_starts_and_stops_of_fausts_services_are_dropped_but_not_their_errors() -> None:
    start = record("streams.kafka.batches", 7, 1.0, "[^---BatchThread]: Starting...")
    assert NoiseFilter().filter(start)
    start.levelno = logging.INFO
    assert not NoiseFilter().filter(start)


def test_level_debug_is_that_of_the_products_loggers_only(capsys: pytest.CaptureFixture[str]) -> None:
    """Libraries log requests, headers and addresses with their secrets."""
    configure("debug", "text")
    names = {*logging.root.manager.loggerDict, *LIBRARIES, "aiokafka.conn", "httpcore.http11", "any.other"}
    for name in sorted(names):
        logging.getLogger(name).debug("in %s", name)
    logged = {line.split(": in ", 1)[1] for line in capsys.readouterr().err.splitlines() if ": in " in line}
    assert logged == {name for name in names if name.split(".")[0] in PACKAGES}


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_a_request_over_http_logs_no_secret(level: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure(level, "text")
    transport = httpx.MockTransport(lambda _: httpx.Response(200))
    with httpx.Client(transport=transport, headers={"Authorization": "Bearer s3cret"}) as client:
        client.get("http://user:s3cret@tool.example/api?key=s3cret")
    assert "s3cret" not in capsys.readouterr().err


def test_a_lower_level_after_debug_applies_to_the_product(capsys: pytest.CaptureFixture[str]) -> None:
    configure("debug", "text")
    configure("warning", "text")
    logging.getLogger("streams.test").info("not logged")
    assert capsys.readouterr().err == ""
