"""Dead letters over a stop and a start: what is kept, and how the file is written."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from eval_alignment.local import saved_dead_letters
from eval_alignment.local.saved_dead_letters import SavedDeadLetters, SavedDeadLettersError, _NewestDeadLetters
from streams.kafka.client import KafkaClient


def record(size: int, timestamp: int = 1, headers: int = 0) -> Any:
    return SimpleNamespace(key=None, value=b"x" * size, headers=[("", b"")] * headers, timestamp=timestamp)


def letters(path: Path) -> SavedDeadLetters:
    return SavedDeadLetters(path, KafkaClient(["127.0.0.1:1"]), "dead", "group")


def test_the_newest_are_kept_up_to_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_dead_letters, "MAX_BYTES", 10)
    for sizes, kept, left_out in (([4, 3, 7], [3, 7], 1), ([3, 7], [3, 7], 0), ([3, 11], [], 2), ([11, 3], [3], 1)):
        newest = _NewestDeadLetters(after=0)
        for size in sizes:
            newest.take(0, [record(size)])
        assert ([len(one.value or b"") for one in newest.records], newest.left_out) == (kept, left_out)


def test_no_more_than_is_kept_is_in_memory_while_the_topic_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_dead_letters, "MAX_BYTES", 10_000)
    newest = _NewestDeadLetters(after=0)
    most = 0
    for _ in range(100):
        newest.take(0, [record(600)] * 3)
        most = max(most, len(newest.records))
    assert (most, newest.left_out) == (16, 300 - 16)


def test_records_beyond_the_retention_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_dead_letters, "MAX_BYTES", 10)
    newest = _NewestDeadLetters(after=5)
    newest.take(0, [record(8, timestamp=5), record(8, timestamp=6)])
    assert (len(newest.records), newest.left_out) == (1, 0)


def test_headers_without_bytes_count_for_the_memory_that_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saved_dead_letters, "MAX_BYTES", 100_000)
    newest = _NewestDeadLetters(after=0)
    newest.take(0, [record(0, headers=10_000)])
    assert not newest.records


def test_an_interrupted_write_leaves_the_earlier_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "dead-letters.ndjson"
    letters(path)._replace([b"first\n"])

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        letters(path)._replace([b"second\n"])
    assert path.read_bytes() == b"first\n"


async def test_without_a_file_nothing_is_put_back(tmp_path: Path) -> None:
    assert await letters(tmp_path / "none").put_back() == 0


@pytest.mark.parametrize("content", [b"{", b'[1,false,"?",null,[]]\n', b"[1]\n"])
async def test_a_damaged_file_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "dead-letters.ndjson"
    path.write_bytes(content)
    with pytest.raises(SavedDeadLettersError, match=r"dead-letters\.ndjson is invalid: .*; move it away"):
        await letters(path).put_back()
