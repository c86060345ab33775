"""A missing requirement skips loudly, or fails where it is required; a required thing must have been used."""

import pytest

pytest_plugins = ["pytester"]

CONFTEST = """
import pytest
from tests.conftest import *

@pytest.fixture
def thing(requirements):
    requirements.provide("kafka", {reason!r})
"""


def run(pytester: pytest.Pytester, reason: str | None, test: str = "def test_it(thing): pass") -> pytest.RunResult:
    pytester.makeconftest(CONFTEST.format(reason=reason))
    pytester.makepyfile(test)
    return pytester.runpytest_subprocess("-p", "no:cacheprovider")


@pytest.fixture(autouse=True)
def _path(pytester: pytest.Pytester, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(pytestconfig.rootpath))
    monkeypatch.delenv("EVAL_ALIGNMENT_REQUIRE", raising=False)
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")


def test_missing_is_a_loud_skip(pytester: pytest.Pytester) -> None:
    result = run(pytester, "no java")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*NOT EVERYTHING RAN*", "NOT RUN, kafka is missing: no java"])
    assert result.ret == pytest.ExitCode.OK


def test_missing_and_required_fails(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVAL_ALIGNMENT_REQUIRE", "kafka")
    result = run(pytester, "no java")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*kafka is required by EVAL_ALIGNMENT_REQUIRE, and missing: no java"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_required_and_never_used_fails(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVAL_ALIGNMENT_REQUIRE", "kafka, promtool")
    result = run(pytester, None)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["REQUIRED BY EVAL_ALIGNMENT_REQUIRE, BUT NO TEST RAN WITH IT: promtool"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_required_and_used_passes_quietly(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVAL_ALIGNMENT_REQUIRE", "kafka")
    result = run(pytester, None)
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*NOT EVERYTHING RAN*")
    assert result.ret == pytest.ExitCode.OK


def test_an_unknown_requirement_is_refused(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVAL_ALIGNMENT_REQUIRE", "kafak")
    assert run(pytester, None).ret == pytest.ExitCode.USAGE_ERROR


def test_any_other_skip_is_told_too(pytester: pytest.Pytester) -> None:
    result = run(pytester, None, "import pytest\ndef test_it(): pytest.skip('no such system')")
    result.stdout.fnmatch_lines(["SKIPPED, 1 tests: no such system"])
