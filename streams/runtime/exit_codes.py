"""The exit codes of every command, in one table: for the processes, their logs, their supervisors and the docs.

This module is pure: it imports the standard library only.
"""

from enum import Enum
from typing import Final

EVERY: Final = "every command"
GATE: Final = "report --fail-under"
CHECK_GATE: Final = "check --fail-under"
DOCTOR: Final = "doctor"
LOAD: Final = "load --wait"
WORKER: Final = "worker"
VIEW: Final = "view"
INGEST: Final = "ingest"
SOURCE: Final = "source"


class ExitCode(Enum):
    """One way in which a command ends. The name is in the log together with the code.

    Several commands give their own meaning to 0 to 3, because scripts expect that; from 64 on a code has one meaning.
    """

    code: int
    """What the process returns to its parent."""
    commands: tuple[str, ...]
    """The commands that end with this code."""
    meaning: str
    """Why the command ended."""
    action: str
    """What the operator does; empty where there is nothing to do."""
    restart: bool | None
    """Whether a supervisor restarts the process; None where a supervisor has nothing to decide."""

    DONE = 0, (EVERY,), "The command succeeded, or the process stopped in order after SIGTERM or SIGINT."
    PASS = 0, (GATE, CHECK_GATE), "Every requested pair reaches the limit."
    SOUND = 0, (DOCTOR,), "No finding is worse than `info`."
    FAILED = (
        1,
        (EVERY,),
        (
            "The command failed. `topics diff`: a topic differs. `load`, `recount`, `check`: a line is invalid. "
            "`dlq requeue`: an event was not sent."
        ),
        "Read standard error.",
    )
    BELOW = 1, (GATE, CHECK_GATE), "A pair with enough items is below the limit."
    WARNING = 1, (DOCTOR,), "The worst finding is a warning, or a check could not run."
    TOO_FEW = (
        2,
        (GATE, CHECK_GATE),
        "No pair is below the limit, but a pair has too few distinct items, or no pair matches.",
    )
    ERROR = 2, (DOCTOR,), "The worst finding is an error or critical."
    UNREACHABLE = (
        3,
        ("report", "check"),
        (
            "No document: no connection, access refused, the view has not read all events yet, or a file cannot be "
            "read or written."
        ),
        "Check the address and the token, or wait for the view. Read standard error about a file.",
    )
    USAGE = (
        64,
        (EVERY,),
        (
            "Invalid arguments or settings; for a server also an address that needs a token, for `report` also a "
            "queue, criterion or metric that does not exist, for `check` a column that is not found or has an unknown "
            "scale."
        ),
        "Read standard error. No gate of a CI build returns this code.",
        False,
    )
    UNEXPECTED = (
        70,
        (WORKER, VIEW, INGEST),
        "An unknown error.",
        "Report it with the log. Restarting is safe: the broken state was not committed.",
        True,
    )
    BROKER_LOST = (
        71,
        (WORKER, VIEW, INGEST),
        "The broker did not answer, or did not acknowledge a write in time.",
        "Restore the broker. The worker continues from its last checkpoint, the view from its store.",
        True,
    )
    ANOTHER_WRITER = (
        72,
        (WORKER,),
        "Another process writes to a ledger or tallies partition that this worker owns.",
        (
            "A worker that was paused for longer than its session ends this way, once. If it repeats, two workers run "
            "under one name, or another program writes to these topics."
        ),
        True,
    )
    STALLED = (
        73,
        (WORKER,),
        (
            "The worker lost its membership in the consumer group, or events wait and neither commits nor restored "
            "rows advance."
        ),
        "Restarting is enough. If it repeats, read the broker's log for this group.",
        True,
    )
    DRAIN_TIMEOUT = (
        74,
        (WORKER,),
        "The last checkpoint and commit did not finish in time after SIGTERM or SIGINT.",
        "Nothing is lost: uncommitted events are processed again.",
        True,
    )
    ADDRESS_IN_USE = (
        75,
        (WORKER, VIEW, INGEST),
        "Another program listens on the address of its HTTP server.",
        "Stop that program, or set another `worker_http`, `http` or `ingest_http`. The log names the address.",
        True,
    )
    INDEX_IN_USE = (
        76,
        (INGEST, SOURCE),
        "Another process uses the owner index of the sources.",
        "Run one `ingest` with sources that remember their records, and the others with `--sources none`.",
        True,
    )
    STORE_IN_USE = (
        77,
        (VIEW,),
        "Another process uses the data directory: a view, or `up`.",
        (
            "Run one view for each data directory. The log names the directory and who uses it. A restart helps once "
            "that process has ended."
        ),
        True,
    )
    NOT_AUTHORISED = (
        80,
        (WORKER, INGEST),
        "The broker refused the credentials, or an operation on a topic or group.",
        "Check the user's password and access rules.",
        False,
    )
    TOPICS_WRONG = (
        81,
        (WORKER, VIEW),
        "A topic is missing, or the five partitioned topics differ in their number of partitions.",
        (
            "Run `topics diff`. `topics apply` creates a missing topic. It cannot change a number of partitions: "
            'docs/operations.md, "Partitions were added".'
        ),
        False,
    )
    PARTITIONS_CHANGED = (
        82,
        (WORKER,),
        "The number of partitions differs from the one in the claims of all partitions of the ledger.",
        (
            "Partitions were added to a topic, or a setting names the topics of another installation. Kafka cannot "
            'remove partitions. What to do, and where the events are: docs/operations.md, "Partitions were added".'
        ),
        False,
    )
    NEWER_SCHEMA = (
        83,
        (WORKER, VIEW),
        "A newer release has claimed the ledger, or has written the view's store.",
        "Start that release or a newer one. A store can also be moved away: the view rebuilds it from the topics.",
        False,
    )
    LEDGER_LOST = (
        84,
        (WORKER,),
        "The ledger of every partition of the worker is missing.",
        (
            "Restore the topic. Or start once with `--accept-loss`: a shortened ledger continues with the rows that "
            "are left, and a missing ledger is rebuilt from the events that are still in the source topics."
        ),
        False,
    )
    INPUT_LOST = (
        85,
        (WORKER,),
        (
            "Events were deleted from a source topic before the worker read them, or the topic was deleted and created "
            "again."
        ),
        (
            "After a topic was created again, start the worker again: it starts at the oldest event of the new topic. "
            "Otherwise raise the topic's retention, and start once with `--accept-loss` to continue with the oldest "
            "event that is left."
        ),
        False,
    )
    BROKER_UNTRUSTED = (
        87,
        (WORKER, INGEST),
        "The broker's TLS certificate could not be verified.",
        (
            "Compare the broker's certificate with the names in `brokers`, the authority in `ssl_ca_file` and the "
            "date. Check that the port speaks TLS."
        ),
        False,
    )
    STORE_UNUSABLE = (
        88,
        (VIEW, INGEST, SOURCE),
        "The view cannot open its store, or ingest the owner index of its sources.",
        (
            "Check that `data_dir` is a writable directory and has free space. A damaged file can be moved away: the "
            "view rebuilds its store from the topics, ingest its index from the ledger."
        ),
        False,
    )
    RECORD_TOO_LARGE = (
        89,
        (WORKER,),
        "The ledger, the tallies or the dead letters do not take a record because of its size.",
        (
            "The log names topic, key and bytes. Raise `max.message.bytes` of that topic to what `topics diff` lists, "
            "and start the worker again. Nothing is lost: the event is processed again."
        ),
        False,
    )
    NOT_PASSED = (
        90,
        (LOAD,),
        "The broker has the events, but the view did not pass them in time.",
        "Run `doctor`: a worker or the view is away, or the circuit breaker is open. Do not load the events again.",
    )
    INTERRUPTED = 130, (EVERY,), "Interrupted, usually by Ctrl-C."

    def __init__(
        self, code: int, commands: tuple[str, ...], meaning: str, action: str = "", restart: bool | None = None
    ) -> None:
        self.code = code
        self.commands = commands
        self.meaning = meaning
        self.action = action
        self.restart = restart


def codes_without_restart(*commands: str) -> frozenset[int]:
    """Codes of these commands after which a restart cannot help: a person must act first."""
    wanted = {EVERY, *commands}
    return frozenset(ending.code for ending in ExitCode if ending.restart is False and wanted & {*ending.commands})
