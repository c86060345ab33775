"""The exit code of an exception, and the end of a process."""

import subprocess
import sys

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, TopicAuthorizationFailedError

from streams.runtime.exit_codes import ExitCode
from streams.runtime.failures import BrokerUntrustedError, FatalError, exit_code_of, log_end


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (FatalError(ExitCode.LEDGER_LOST, "gone"), ExitCode.LEDGER_LOST),
        (KafkaTimeoutError(), ExitCode.BROKER_LOST),
        (KafkaConnectionError(), ExitCode.BROKER_LOST),
        (TopicAuthorizationFailedError("t"), ExitCode.NOT_AUTHORISED),
        (BrokerUntrustedError("expired"), ExitCode.BROKER_UNTRUSTED),
        (KeyError("bug"), ExitCode.UNEXPECTED),
    ],
)
def test_an_exception_decides_the_exit_code(error: BaseException, ending: ExitCode) -> None:
    assert exit_code_of(error) is ending


def test_an_untrusted_broker_is_handled_where_kafka_errors_are() -> None:
    assert issubclass(BrokerUntrustedError, KafkaError)


@pytest.mark.parametrize(
    ("error", "traceback"), [(TopicAuthorizationFailedError("events"), False), (KafkaError("strange"), True)]
)
def test_a_refusal_that_names_its_topic_needs_no_traceback(
    error: KafkaError, traceback: bool, caplog: pytest.LogCaptureFixture
) -> None:
    log_end("ingest", error)
    assert str(error) in caplog.text
    assert (caplog.records[-1].exc_info is not None) is traceback


ENDS = """
import atexit, logging, threading
from streams.runtime.exit_codes import ExitCode
from streams.runtime.failures import FatalError, end_process
logging.basicConfig(level=logging.INFO)
atexit.register(print, "cleaned up")
def fail():
    try:
        {raises}
    except BaseException as error:
        end_process(error)
threading.Thread(target=fail).start()
threading.Event().wait()
"""


@pytest.mark.parametrize(
    ("raises", "code", "logged"),
    [
        ("raise FatalError(ExitCode.ANOTHER_WRITER, 'offset 5, not 4')", 72, "another_writer (exit code 72)"),
        ("{}['missing']", 70, "KeyError: 'missing'"),
    ],
)
def test_a_failure_ends_the_process_immediately_from_any_thread(raises: str, code: int, logged: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENDS.format(raises=raises)], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == code
    assert logged in done.stderr
    assert "What to do: " in done.stderr
    assert "cleaned up" not in done.stdout
