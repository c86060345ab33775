"""Write all pages to the directory that is the only argument."""

import sys
from pathlib import Path

from tools.reference import pages


def main() -> None:
    """Write all pages."""
    directory = Path(sys.argv[1])
    directory.mkdir(exist_ok=True)
    for name, text in pages().items():
        (directory / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
