"""The key of annotators' pseudonyms belongs to a data directory."""

from pathlib import Path

import pytest

from eval_alignment.local.datadir import EMBEDDED, DataDir, DataDirError


def test_a_directory_with_pseudonyms_keeps_their_key(tmp_path: Path) -> None:
    data = DataDir(tmp_path, EMBEDDED)
    data.check_pseudonyms("")
    data.check_pseudonyms("1a" * 16)
    data.check_pseudonyms("1a" * 16)
    for other, problem in (("2b" * 16, "of key 1a1a1a, and .* has key 2b2b2b"), ("", "no key is set")):
        with pytest.raises(DataDirError, match=problem):
            DataDir(tmp_path, EMBEDDED).check_pseudonyms(other)
