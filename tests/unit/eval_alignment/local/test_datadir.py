"""What belongs to a data directory: a kind of broker, and the key of annotators' pseudonyms."""

from pathlib import Path

import pytest

from eval_alignment.local.datadir import EMBEDDED, EXTERNAL, DataDir, DataDirError


def test_a_directory_with_pseudonyms_keeps_their_key(tmp_path: Path) -> None:
    data = DataDir(tmp_path, EMBEDDED)
    data.check_pseudonyms("")
    data.check_pseudonyms("1a" * 16)
    data.check_pseudonyms("1a" * 16)
    for other, problem in (("2b" * 16, "of key 1a1a1a, and .* has key 2b2b2b"), ("", "no key is set")):
        with pytest.raises(DataDirError, match=problem):
            DataDir(tmp_path, EMBEDDED).check_pseudonyms(other)


def test_a_directory_belongs_to_one_kind_of_broker(tmp_path: Path) -> None:
    with DataDir(tmp_path, EMBEDDED).locked():
        pass
    with pytest.raises(DataDirError, match="belongs to an embedded broker"), DataDir(tmp_path, EXTERNAL).locked():
        pass


def test_an_empty_mark_of_a_disk_that_was_full_is_written_again(tmp_path: Path) -> None:
    (tmp_path / "broker").touch()
    with DataDir(tmp_path, EMBEDDED).locked():
        pass
    with pytest.raises(DataDirError, match="belongs to an embedded broker"), DataDir(tmp_path, EXTERNAL).locked():
        pass
