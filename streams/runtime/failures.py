"""How a process ends after an error: the exit code of an exception, and the end itself.

A failure of a worker ends the process immediately. A graceful end would checkpoint and commit the very state that was
just found to be broken; a killed process leaves its last complete checkpoint, from which the next process restores.
"""

import logging
import os
import sys
from typing import Final, NoReturn

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)

from streams.runtime.errors import EvalAlignmentError
from streams.runtime.exit_codes import ExitCode

_log = logging.getLogger(__name__)

REFUSALS: Final = (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)
"""How a broker refuses a user: its password, or a right."""


class FatalError(EvalAlignmentError):
    """Ends the process with `exit_code`. The message is what was observed."""

    def __init__(self, exit_code: ExitCode, message: str) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class BrokerUntrustedError(EvalAlignmentError, KafkaError):
    """The broker's TLS certificate could not be verified, or the port does not speak TLS."""

    exit_code = ExitCode.BROKER_UNTRUSTED


def exit_code_of(error: BaseException) -> ExitCode:
    """Return the exit code of a process that ends with this exception."""
    if isinstance(error, EvalAlignmentError):
        return error.exit_code
    if isinstance(error, REFUSALS):
        return ExitCode.NOT_AUTHORISED
    if isinstance(error, KafkaError):
        return ExitCode.BROKER_LOST
    return ExitCode.UNEXPECTED


def log_end(process: str, error: BaseException) -> ExitCode:
    """Log why a process ends and what to do; return its exit code.

    With a traceback, except where the message is enough: errors of the product, and a broker that is away or refuses.
    """
    ending = exit_code_of(error)
    _log.critical(
        "%s ends: %s (exit code %d). %s Observed: %s. What to do: %s",
        process,
        ending.name.lower(),
        ending.code,
        ending.meaning,
        str(error) or repr(error),
        ending.action,
        exc_info=None if isinstance(error, (EvalAlignmentError, KafkaConnectionError, *REFUSALS)) else error,
    )
    return ending


def end_process(error: BaseException) -> NoReturn:
    """Log the failure of a worker and end the process with its code; from any thread, without any clean-up."""
    exit_now(log_end("worker", error))


def exit_now(ending: ExitCode) -> NoReturn:
    """End the process immediately, after flushing the log and the standard streams."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(ending.code)
