"""Text for a terminal that may be gone."""

import os
import subprocess
import sys

PROGRAM = r"""
import sys
from eval_alignment.terminal_text import tell
for line in ("one", "\u00fc\ud83d"): tell(line)
print("goes on", file=sys.stderr)
"""


def _run(stdout: int, encoding: str = "utf-8") -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )
    return done.returncode, done.stderr


def test_a_process_goes_on_when_nobody_reads_it() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        assert _run(writer) == (0, "goes on\n")
    finally:
        os.close(writer)


def test_a_process_goes_on_when_the_disk_is_full() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        assert _run(full) == (0, "goes on\n")
    finally:
        os.close(full)


def test_every_text_is_printed_in_the_encoding_of_the_terminal() -> None:
    for encoding, shown in (("utf-8", "one\n\u00fc\\ud83d\n"), ("ascii", "one\n\\xfc\\ud83d\n")):
        reader, writer = os.pipe()
        try:
            assert _run(writer, encoding) == (0, "goes on\n")
        finally:
            os.close(writer)
        with os.fdopen(reader, encoding="utf-8") as lines:
            assert lines.read() == shown
