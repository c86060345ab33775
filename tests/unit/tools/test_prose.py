"""The check of words finds each word with its line, and ignores code and literal uses."""

from pathlib import Path

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
    [
        "Place it behind a reverse proxy.",
        "15.0 s behind",
        "It gives up after 30 s.",
        "None of them is None.",
        "is none of them",
        "```\nis none\n```",
        "`is none`",
    ],
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


def test_a_finding_fails_the_check_and_is_printed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert prose.main([str(prose.ROOT / "LICENSE")]) == 0
    page = tmp_path / "page.md"
    page.write_text("It starts anew.\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prose, "ROOT", tmp_path)
        assert prose.main([str(page)]) == 1
    assert capsys.readouterr().out == 'page.md:1: "anew": write "again", or only the verb\n'


def test_the_repository_has_no_finding() -> None:
    assert [str(wording) for wording in prose.check(prose.files())] == []
