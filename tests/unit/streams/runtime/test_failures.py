"""The table of failures, and how one ends a process."""

import subprocess
import sys

import pytest
from aiokafka.errors import KafkaTimeoutError, TopicAuthorizationFailedError

from streams.runtime.failures import Failure, WorkerFailure, failure_of


def test_every_failure_has_a_code_of_its_own_and_says_what_to_do() -> None:
    codes = [failure.value.code for failure in Failure]
    assert len(set(codes)) == len(codes)
    # 1 and 2 are Python's and click's, from 126 on the shell's.
    assert all(64 <= code < 126 for code in codes)
    for failure in Failure:
        assert failure.value.cause.endswith(".")
        assert failure.value.operator.endswith(".")


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (WorkerFailure(Failure.LEDGER_LOST, "gone"), Failure.LEDGER_LOST),
        (KafkaTimeoutError(), Failure.BROKER_LOST),
        (TopicAuthorizationFailedError("t"), Failure.NOT_AUTHORISED),
        (KeyError("bug"), Failure.UNEXPECTED),
    ],
)
def test_an_exception_means_a_failure(error: BaseException, failure: Failure) -> None:
    assert failure_of(error) is failure


ENDS = """
import atexit, logging, threading
from streams.runtime.failures import Failure, WorkerFailure, end_process
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
        ("raise WorkerFailure(Failure.ANOTHER_WRITER, 'offset 5, not 4')", 72, "another_writer (exit code 72)"),
        ("{}['missing']", 70, "KeyError: 'missing'"),
    ],
)
def test_a_failure_ends_the_process_at_once_from_any_thread(raises: str, code: int, logged: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENDS.format(raises=raises)], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == code
    assert logged in done.stderr
    assert "What to do: " in done.stderr
    assert "cleaned up" not in done.stdout
