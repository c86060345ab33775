"""The log of a worker stays readable while its broker is away."""

import logging

from eval_alignment.logs import REPEAT_SECONDS, Repeats


def record(name: str, line: int, at: float) -> logging.LogRecord:
    made = logging.LogRecord(name, logging.ERROR, "client.py", line, "cannot connect", None, None)
    made.created = at
    return made


def test_aiokafka_says_each_thing_once_in_a_while() -> None:
    repeats = Repeats()
    logged = [at for at in range(100) if repeats.filter(record("aiokafka.conn", 7, float(at)))]
    assert logged == list(range(0, 100, int(REPEAT_SECONDS)))
    assert repeats.filter(record("aiokafka", 8, 99.0)), "another place has its own say"


def test_what_we_say_is_always_logged() -> None:
    repeats = Repeats()
    assert all(repeats.filter(record("streams.engine.watchdog", 7, 1.0)) for _ in range(5))
