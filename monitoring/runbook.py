"""`python -m monitoring.runbook URL`: write the address of your runbook into the alert rules and their test cases.

Every alert links to its section of the runbook. A link must be absolute to work in a message, and only you know where
you publish docs/runbook.md. `make rules RUNBOOK=URL` runs this.
"""

import re
from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path

PLACEHOLDER = "https://runbooks.example.com/eval-alignment/runbook.md"
"""The address in the committed rules."""

_LINK = re.compile(r"(?<=runbook_url: )\S+(?=#\w)")


def with_runbook(rules: str, url: str) -> str:
    """The text of a file of rules or cases with `url` as the address of the runbook. The anchors stay."""
    return _LINK.sub(lambda _: url, rules)


def address(text: str) -> str:
    """An absolute address without an anchor; raises ArgumentTypeError for anything else."""
    if not re.fullmatch(r"https?://[^\s#]+", text):
        raise ArgumentTypeError(f"{text!r} is not an address such as {PLACEHOLDER}")
    return text


def main() -> None:
    """Rewrite the files in place."""
    parser = ArgumentParser(prog="python -m monitoring.runbook")
    parser.add_argument("url", type=address, help=f"where docs/runbook.md is published, such as {PLACEHOLDER}")
    parser.add_argument("--directory", type=Path, default=Path(__file__).with_name("prometheus"))
    chosen = parser.parse_args()
    for path in sorted(chosen.directory.glob("*/*.yml")):
        text = path.read_text(encoding="utf-8")
        path.write_text(with_runbook(text, chosen.url), encoding="utf-8")


if __name__ == "__main__":
    main()
