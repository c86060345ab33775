"""Text for a terminal that may be gone."""

import os
import subprocess
import sys

PROGRAM = r"""
import sys
from eval_alignment.terminal_text import tell
for line in sys.argv[1:] or ("one", "\u00fc\ud83d"): tell(line)
print("goes on", file=sys.stderr)
"""


def _run(stdout: int, *lines: str, encoding: str = "utf-8") -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *lines],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
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


def test_a_process_goes_on_when_its_reader_does_not_read() -> None:
    reader, writer = os.pipe()
    try:
        # More than a pipe holds, twice: what has no room is lost.
        assert _run(writer, *["x" * 100_000] * 2) == (0, "goes on\n")
        held = os.read(reader, 1 << 20)
        assert len(held) < 100_000
        assert set(held) == set(b"x")
        assert _run(writer, "read again") == (0, "goes on\n")
        assert os.read(reader, 100) == b"read again\n"
    finally:
        os.close(reader)
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
            assert _run(writer, encoding=encoding) == (0, "goes on\n")
        finally:
            os.close(writer)
        with os.fdopen(reader, encoding="utf-8") as lines:
            assert lines.read() == shown
