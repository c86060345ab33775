"""A missing thing skips its tests with one line in the summary; a required thing must be there and be used."""

import pytest

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.slow

CONFTEST = """
import pytest
from tests.conftest import *

@pytest.fixture
def thing(requirements):
    requirements.provide("kafka", {reason!r})
"""


def run(
    pytester: pytest.Pytester, reason: str | None, test: str = "def test_it(thing): pass", *options: str
) -> pytest.RunResult:
    """Run a test of a thing that is missing for this reason."""
    pytester.makeconftest(CONFTEST.format(reason=reason))
    pytester.makepyfile(test)
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", *options)


@pytest.fixture(autouse=True)
def _path(pytester: pytest.Pytester, pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(pytestconfig.rootpath))
    monkeypatch.delenv("EVAL_ALIGNMENT_REQUIRE", raising=False)
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")


def test_a_missing_thing_is_one_plain_line_of_the_summary(pytester: pytest.Pytester) -> None:
    test = (
        "import pytest\ndef test_a(thing): pass\ndef test_b(thing): pass\ndef test_c(): pytest.skip('no such system')"
    )
    result = run(pytester, "java is not on PATH", test)
    result.assert_outcomes(skipped=3)
    assert result.ret == pytest.ExitCode.OK
    mentions = [line for line in result.outlines if "java" in line or "no such system" in line]
    assert mentions == ["Tests not run: 2 (kafka is missing: java is not on PATH), 1 (no such system)"]


def test_the_summary_counts_the_skips_of_several_processes(pytester: pytest.Pytester) -> None:
    result = run(pytester, "no java", "def test_a(thing): pass\ndef test_b(thing): pass", "-n", "2")
    result.stdout.fnmatch_lines(["Tests not run: 2 (kafka is missing: no java)"])


def test_a_required_thing_that_another_process_used_is_met(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVAL_ALIGNMENT_REQUIRE", "kafka")
    assert run(pytester, None, "def test_a(thing): pass", "-n", "1").ret == pytest.ExitCode.OK


def test_a_required_thing_that_is_missing_fails_its_test(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVAL_ALIGNMENT_REQUIRE", "kafka")
    result = run(pytester, "no java")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*kafka is required by EVAL_ALIGNMENT_REQUIRE, and missing: no java"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_a_required_thing_that_no_test_used_fails_the_run(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVAL_ALIGNMENT_REQUIRE", "kafka, promtool")
    result = run(pytester, None)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["Required by EVAL_ALIGNMENT_REQUIRE, but no test ran with it: promtool"])
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_a_required_thing_that_was_used_passes_without_a_line(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVAL_ALIGNMENT_REQUIRE", "kafka")
    result = run(pytester, None)
    result.assert_outcomes(passed=1)
    assert "kafka" not in result.stdout.str()
    assert result.ret == pytest.ExitCode.OK


def test_an_unknown_requirement_is_refused(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVAL_ALIGNMENT_REQUIRE", "kafak")
    assert run(pytester, None).ret == pytest.ExitCode.USAGE_ERROR
