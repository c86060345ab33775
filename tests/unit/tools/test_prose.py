"""The check of words finds each word with its line, and ignores code and literal uses."""

import pytest

from tools import prose


def words(path: str, text: str) -> list[tuple[int, str]]:
    """Line and words of each finding."""
    return [(wording.line, wording.words) for wording in prose.wordings(path, text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It starts anew.", "anew"),
        ("The view beside the worker", "beside"),
        ("One commit behind another", "behind"),
        ("Whatever comes", "Whatever"),
        ("This record is none.", "is none"),
        ("A process of ours", "of ours"),
        ("It gives a number.", "gives"),
        ("The log says so.", "says"),
        ("It tells the time.", "tells"),
        ("Both at once", "at once"),
        ("until the broker is there", "is there"),
        ("The queue is not there.", "is not there"),
    ],
)
def test_a_word_to_avoid_is_found_with_its_line(text: str, expected: str) -> None:
    assert words("docs/page.md", f"# Page\n\n{text}\n") == [(3, expected)]


def test_a_phrase_is_found_over_the_end_of_a_line() -> None:
    assert words("docs/page.md", "Both of them at\nonce\n") == [(1, "at once")]
    assert words("module.py", "# Both of them at\n# once.\nx = 1\n") == [(1, "at once")]


def test_code_in_markdown_is_not_prose() -> None:
    assert words("docs/page.md", "Run `echo anew` and\n\n```\necho anew\n```\n\nanew\n") == [(7, "anew")]


@pytest.mark.parametrize(
    "text",
    ["Place it behind a reverse proxy.", "None of them is None.", "is none of them", "```\nis none\n```", "`is none`"],
)
def test_a_literal_use_is_allowed(text: str) -> None:
    assert words("docs/page.md", text) == []


def test_only_comments_and_texts_of_python_are_prose() -> None:
    source = '''"""A module
    that starts anew."""

    says = {"says": 1}  # It says one.
    message = f"it gives {says['says']} again"
    '''.replace("\n    ", "\n")
    assert words("module.py", source) == [(2, "anew"), (4, "says"), (5, "gives")]


def test_configuration_is_read_whole_and_a_template_without_its_code() -> None:
    assert words("rules.yml", "# What it\n# says\nsummary: starts anew\n") == [(2, "says"), (3, "anew")]
    assert words("page.html", "{% if x is none %}<p>{{ x.says }} beside</p>{% endif %}") == [(1, "beside")]


def test_a_finding_has_file_line_and_the_better_word() -> None:
    (finding,) = prose.wordings("docs/page.md", "\nanew\n")
    assert str(finding) == 'docs/page.md:2: "anew": write "again", or only the verb'


def test_a_directory_fails_above_its_number_and_shows_all_its_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prose, "REMAINING", {"docs": 2, "streams": 1})
    docs = prose.wordings("docs/page.md", "anew\nanew\n")
    streams = prose.wordings("streams/worker.py", "# anew\n# anew\n")
    root = prose.wordings("README.md", "anew\n")
    assert prose.above([*docs, *streams, *root]) == [*streams, *root]


def test_files_that_are_named_may_have_no_finding(capsys: pytest.CaptureFixture[str]) -> None:
    assert prose.main([str(prose.ROOT / "LICENSE")]) == 0
    assert capsys.readouterr().out == ""
