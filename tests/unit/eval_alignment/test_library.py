"""`from eval_alignment import ...`: what it exports, what it loads, and the function `recount`."""

import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

import eval_alignment
from eval_alignment import InvalidEventError, Policy, Recount, recount

AT = datetime(2026, 11, 23, 10, 15, tzinfo=UTC)
ANNOTATION: dict[str, Any] = {"id": "a1", "at": AT, "queue": "q", "item": "i", "annotator": "n", "thumbs": "up"}
LATER = {**ANNOTATION, "id": "a2", "annotator": "o", "at": AT.replace(hour=11)}
EVALUATION = b'{"id": "e1", "at": "2026-11-23T10:14:02Z", "item": "i", "metric": "m", "score": 0.81, "threshold": 0.5}'


def comparisons(counted: Recount) -> int:
    return counted.document("q")["cards"]["comparisons"]


def test_every_exported_name_exists_and_is_the_one_of_its_module() -> None:
    for name in eval_alignment.__all__:
        value = getattr(eval_alignment, name)
        if name in eval_alignment._MODULES:
            assert value is getattr(sys.modules[eval_alignment._MODULES[name]], name)
    assert set(eval_alignment.__all__) == {*eval_alignment._MODULES, "__version__"}
    assert set(eval_alignment.__all__) <= set(dir(eval_alignment))


def test_an_unknown_name_is_an_import_error() -> None:
    with pytest.raises(ImportError, match="nothing"):
        from eval_alignment import nothing  # noqa: F401, PLC0415 -- that is the test


def test_importing_the_package_loads_nothing_of_the_product() -> None:
    program = "import sys, eval_alignment; print(*(m for m in sys.modules if m.partition('.')[0] in sys.argv[1:]))"
    names = ["aggregator", "streams", "sinks", "orjson", "msgspec", "email"]
    ended = subprocess.run([sys.executable, "-c", program, *names], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == ""


def test_recount_takes_mappings_text_and_bytes() -> None:
    assert comparisons(recount([ANNOTATION, LATER, EVALUATION])) == 2
    assert comparisons(recount([ANNOTATION, "\n", EVALUATION.decode()])) == 1


def test_recount_applies_the_policy() -> None:
    assert comparisons(recount([ANNOTATION, LATER, EVALUATION], policy=Policy.LATEST)) == 1


def test_recount_names_the_first_invalid_event() -> None:
    with pytest.raises(InvalidEventError, match=r"event 2: missing_field: .*item"):
        recount([ANNOTATION, {"id": "e1", "at": AT, "metric": "m", "passed": True}])
