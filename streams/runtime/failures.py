"""How a worker ends: one table of exit codes, for the process, its log and the docs.

A failure ends the process at once. A graceful end would checkpoint and commit the very state that was just declared
broken; a process that is gone leaves the last whole checkpoint, from which the next one restores.
"""

import logging
import os
import sys
from dataclasses import dataclass
from enum import Enum
from typing import NoReturn

from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)

from streams.kafka.client import BrokerUntrustedError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ExitCode:
    """One way to end: exit code, cause, whether a supervisor restarts the worker, and what the operator does."""

    code: int
    cause: str
    restart: bool
    operator: str


class Failure(Enum):
    """Every way in which a worker ends by itself. The name stands in the log beside the code."""

    UNEXPECTED = ExitCode(
        70,
        "An error that the worker does not know.",
        True,
        "Report it with the log. Restarting is safe: nothing of the broken state was committed.",
    )
    BROKER_LOST = ExitCode(
        71,
        "The broker did not answer, or did not acknowledge a write in time.",
        True,
        "Bring the broker back; the worker goes on from its last checkpoint.",
    )
    ANOTHER_WRITER = ExitCode(
        72,
        "Somebody else writes to a ledger or tallies partition that this worker owns.",
        True,
        "A worker that was paused past its session ends this way, once. When it repeats: two workers run under one "
        "name, or something else writes to these topics.",
    )
    STALLED = ExitCode(
        73,
        "Membership in the consumer group was lost, or events wait and neither commits nor restored rows move.",
        True,
        "Restarting heals it. When it repeats, look at the broker's log for this group.",
    )
    DRAIN_TIMEOUT = ExitCode(
        74,
        "The last checkpoint and commit did not end in time after SIGTERM or SIGINT.",
        True,
        "Nothing is lost: what was not committed is processed again.",
    )
    NOT_AUTHORISED = ExitCode(
        80,
        "The broker refused the credentials, or an operation on a topic or group.",
        False,
        "Check the user's password and access rules.",
    )
    TOPICS_WRONG = ExitCode(
        81,
        "A topic is missing, or the five partitioned topics do not have one number of partitions.",
        False,
        "Run `topics diff`, then `topics apply`.",
    )
    PARTITIONS_CHANGED = ExitCode(
        82,
        "The number of partitions is not the one in the ledger's claim.",
        False,
        "It cannot change for a prefix of topics. Load an `export` under a new prefix with the new number.",
    )
    NEWER_SCHEMA = ExitCode(
        83,
        "The ledger was claimed by a newer release.",
        False,
        "Start that release, or a newer one.",
    )
    LEDGER_LOST = ExitCode(
        84,
        "The ledger is gone or shorter than what was published from it.",
        False,
        "Restore the topic. Or start once with --accept-loss: a shortened ledger goes on with what is left of it, and "
        "a ledger that is gone is rebuilt from the events that are still in the source topics.",
    )
    INPUT_LOST = ExitCode(
        85,
        "Events were deleted from a source topic before they were read, or the topic was made anew.",
        False,
        "Raise the topic's retention. Start once with --accept-loss to go on with the oldest event that is left.",
    )
    LEDGER_UNREADABLE = ExitCode(
        86,
        "A ledger or tallies partition holds a record that is not ours.",
        False,
        "The log names topic, partition and offset. Find out who wrote it; only workers may write there.",
    )
    BROKER_UNTRUSTED = ExitCode(
        87,
        "The broker did not prove by TLS that it is the one that was asked for.",
        False,
        "Compare the broker's certificate with the names in `brokers`, the authority in `ssl_ca_file` and the date. "
        "See whether the port speaks TLS.",
    )


class WorkerFailure(Exception):
    """Carries a failure to the place that ends the process; `detail` says what was seen."""

    def __init__(self, failure: Failure, detail: str) -> None:
        super().__init__(detail)
        self.failure = failure


def failure_of(error: BaseException) -> Failure:
    """The failure that an exception means."""
    if isinstance(error, WorkerFailure):
        return error.failure
    refused = (
        ClusterAuthorizationFailedError,
        GroupAuthorizationFailedError,
        SaslAuthenticationFailed,
        TopicAuthorizationFailedError,
        UnsupportedSaslMechanismError,
    )
    if isinstance(error, refused):
        return Failure.NOT_AUTHORISED
    if isinstance(error, BrokerUntrustedError):
        return Failure.BROKER_UNTRUSTED
    if isinstance(error, KafkaError):
        return Failure.BROKER_LOST
    return Failure.UNEXPECTED


def end_process(error: BaseException) -> NoReturn:
    """Log the failure, flush the log, and end the process with its code; from any thread, without any clean-up."""
    failure = failure_of(error)
    ending = failure.value
    _log.critical(
        "worker ends: %s (exit code %d). %s Seen: %s. What to do: %s",
        failure.name.lower(),
        ending.code,
        ending.cause,
        str(error) or repr(error),
        ending.operator,
        exc_info=None if isinstance(error, WorkerFailure) else error,
    )
    exit_now(ending.code)


def exit_now(code: int) -> NoReturn:
    """End the process at once after flushing log and standard streams."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
