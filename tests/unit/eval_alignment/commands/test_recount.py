"""`recount` of the SummEval events."""

import json
from pathlib import Path

import pytest

from tests.support.processes import run
from tests.support.summeval import QUEUE, Expected, files


@pytest.fixture(scope="module")
def expected(summeval: Path) -> Expected:
    return Expected.read(summeval)


def test_recount_of_the_summeval_files_gives_the_expected_counts(
    summeval: Path, tmp_path: Path, expected: Expected
) -> None:
    done = run("recount", *map(str, files(summeval)), "--json", home=tmp_path)
    (document,) = json.loads(done.stdout)
    assert document["queue"] == QUEUE
    assert expected.shown_by(document)
