"""Check the words of the repository: `python -m tools.prose [FILE ...]`, a part of `make lint`.

The check reads prose only: Markdown and HTML without code, the comments and the texts of Python files, and the whole
text of configuration, SQL and scripts. It reports `file:line: "word": write this`, and ends with exit code 1.
Without arguments it reads every file of the repository.
"""

import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent


class WordRule(NamedTuple):
    """Words to avoid, and the words to write instead."""

    pattern: re.Pattern[str]
    better: str


def _rule(words: str, better: str) -> WordRule:
    pattern = words.replace(" ", r"\s+")
    return WordRule(re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE), better)


RULES = (
    _rule("anew", '"again", or only the verb'),
    _rule("beside", '"alongside" or "next to"'),
    _rule("behind", '"after" (for a reverse proxy, "behind a proxy" is allowed)'),
    _rule("whatever", '"any", "every", or the list of what is meant'),
    _rule("(?:is|are|was|were) (?-i:none)(?! of)", '"is not a valid ...", or "has no ..."'),
    _rule("of ours", '"our ...", or the name of the thing'),
    _rule("gives", '"returns", "yields" or "produces"'),
    _rule("says", '"reports", "states" or "shows"'),
    _rule("tells", '"reports", "states" or "shows"'),
    _rule("at once", '"together" or "immediately"'),
    _rule("(?:is|are|was|were) (?:not )?there", '"exists", "is present" or "is not found"'),
)
LITERAL = re.compile(
    r"behind (?:an? |the )?(?:\w+ )?(?:proxy|ingress|load balancer|firewall)|\d s behind|gives up", re.IGNORECASE
)
"""Uses in the literal sense."""

EXCLUDED = {"tools/prose.py", "tests/unit/tools/test_prose.py", "LICENSE"}
"""Files that list the words, and a text that is not ours."""

_MARKUP = {".md", ".html"}
_PLAIN = {
    *(".yml", ".yaml", ".toml", ".sql", ".js", ".css", ".conf", ".service", ".target", ".env", ".java", ".xml"),
    *(".sh", ".Containerfile"),
}
_PLAIN_NAMES = {"Makefile", "Dockerfile", "run", "smoke"}
_CODE = re.compile(
    r"^(?P<fence>```|~~~).*?^(?P=fence)|``[^`]*``|`[^`]*`|<code>.*?</code>|\{%.*?%\}|\{\{.*?\}\}",
    re.DOTALL | re.MULTILINE,
)
_EXPRESSION = re.compile(r"\{[^{}\n]*\}")
_COMMENT_LEAD = re.compile(r"^[ \t]*#+|^[ \t]*(?://+|\*+)", re.MULTILINE)
_TEXT_TOKENS = {tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", tokenize.STRING)}


class Wording(NamedTuple):
    """A word to avoid, with its place."""

    path: str
    line: int
    words: str
    better: str

    def __str__(self) -> str:
        return f'{self.path}:{self.line}: "{self.words}": write {self.better}'


def wordings(path: str, text: str) -> list[Wording]:
    """The words to avoid in a file's text, in order; the path's suffix decides what of the text is prose."""
    found = []
    for first_line, prose in _prose(Path(path), text):
        literal = [match.span() for match in LITERAL.finditer(prose)]
        for rule in RULES:
            for match in rule.pattern.finditer(prose):
                if not any(start < match.end() and match.start() < end for start, end in literal):
                    line = first_line + prose.count("\n", 0, match.start())
                    found.append(Wording(path, line, " ".join(match[0].split()), rule.better))
    return sorted(found)


def _prose(path: Path, text: str) -> Iterator[tuple[int, str]]:
    """Passages of prose, each with the number of its first line. A phrase may run over the lines of a passage."""
    if path.suffix == ".py":
        yield from _python_prose(text)
    elif path.suffix in _MARKUP:
        yield 1, _CODE.sub(_blank, text)
    else:
        yield 1, _COMMENT_LEAD.sub(_blank, text)


def _python_prose(source: str) -> Iterator[tuple[int, str]]:
    """Blocks of comments, docstrings, and other texts of more than one word."""
    block: list[str] = []
    last = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        line = token.start[0]
        if token.type == tokenize.COMMENT:
            if block and line != last + 1:
                yield last - len(block) + 1, "\n".join(block)
                block = []
            block.append(_CODE.sub(_blank, token.string.lstrip("#")))
            last = line
        elif token.type in _TEXT_TOKENS and " " in token.string:
            yield line, _EXPRESSION.sub(_blank, _CODE.sub(_blank, token.string))
    if block:
        yield last - len(block) + 1, "\n".join(block)


def _blank(match: re.Match[str]) -> str:
    """Code in place: it ends a phrase, and lines keep their numbers."""
    return re.sub(r"[^\n]", "\0" if match[0].strip("#/* \t") else " ", match[0])


def files() -> list[str]:
    """The paths of the files that git tracks or would add."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\0")
    return sorted(name for name in set(listed) - {""} if (ROOT / name).is_file())


def check(paths: Sequence[str]) -> list[Wording]:
    """The words to avoid in files of the repository."""
    return [wording for path in paths if _has_prose(path) for wording in wordings(path, _text(path))]


def _has_prose(path: str) -> bool:
    suffix = Path(path).suffix
    known = suffix in _MARKUP or suffix in _PLAIN or suffix == ".py" or Path(path).name in _PLAIN_NAMES
    return known and path not in EXCLUDED


def _text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def main(arguments: Sequence[str]) -> int:
    """Check the named files, or else all; print the findings, and return the exit code."""
    named = [Path(name).resolve().relative_to(ROOT).as_posix() for name in arguments]
    found = check(named or files())
    for wording in found:
        sys.stdout.write(f"{wording}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
