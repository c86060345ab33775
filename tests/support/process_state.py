"""What all tests of a process share, and a test may change: whether another passes would depend on their order."""

import gc
import logging
import os
import signal
import socket
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Final

_LOGGERS: Final = (
    *("aggregator", "eval_alignment", "ingest", "sinks", "sources", "streams"),
    *("aiokafka", "asyncio", "faust", "httpx", "uvicorn"),
)
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE)
_freezes = 0
"""Calls that freeze the heap, or its opposite. To count the objects that are frozen would take 25 ms for each test."""


def freeze_heap() -> None:
    """Freeze what exists now, which stays: a full collection would walk it each time. From now on, freezes count."""

    def counted(change: Callable[[], None]) -> Callable[[], None]:
        def call() -> None:
            global _freezes  # noqa: PLW0603 -- the state of the process
            _freezes += 1
            change()

        return call

    gc.collect()
    gc.freeze()
    for name in ("freeze", "unfreeze"):
        setattr(gc, name, counted(getattr(gc, name)))


def process_state() -> dict[str, object]:
    """The state of this process, by what it is called."""
    variables = {f"variable {name}": text for name, text in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    loggers = map(logging.getLogger, _LOGGERS)
    return {
        **variables,
        **{f"logger {each.name}": (each.level, each.disabled, each.propagate, len(each.filters)) for each in loggers},
        "working directory": Path.cwd(),
        "thresholds of the garbage collector": gc.get_threshold(),
        "garbage collection": gc.isenabled(),
        "freezes of the heap": _freezes,
        "tracing of memory": tracemalloc.is_tracing(),
        "level that no logger logs": logging.root.manager.disable,
        "level of the root logger": logging.root.level,
        # An event loop that has handled a signal leaves Python's own handler, in place of that of `conftest.py`.
        "ignored signals": [number.name for number in _SIGNALS if signal.getsignal(number) is signal.SIG_IGN],
        "timeout of sockets": socket.getdefaulttimeout(),
    }


def changes(before: dict[str, object], after: dict[str, object]) -> list[str]:
    """What was changed from one state to the other, in words, without the values of variables."""
    differing = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return [
        name if name.startswith("variable ") else f"{name}: {before.get(name)!r} became {after.get(name)!r}"
        for name in differing
    ]
