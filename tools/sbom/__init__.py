"""Licences of the packages in the image, and its bill of materials.

`make sbom` writes the bill of materials (`__main__.py`). A test reads the licences of the locked packages, so that no
package comes in under a licence that is not in `ALLOWED`.
"""

import re
from email.message import Message
from importlib.metadata import PackageMetadata, metadata
from pathlib import Path
from typing import Final

from tools.records import ROOT

PROGRAMS: Final = ROOT / ".venv-tools" / "sbom" / "bin"
IMAGE: Final = ROOT / ".venv-tools" / "image"
"""An environment with the packages of the image."""
TARGET: Final = ROOT / "dist" / "sbom.cdx.json"

ALLOWED: Final = frozenset(
    {
        "Apache-2.0",
        "BSD",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "MIT",
        # Weak copyleft, for changes of its own files. The image has them unchanged.
        "MPL-2.0",
        "PSF-2.0",
        # Of venusian. In the manner of BSD.
        "Repoze",
    }
)
"""SPDX identifiers; `BSD` is one of the BSD licences whose package does not state which."""

_SPDX: Final = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD",
    "BSD-derived (Repoze)": "Repoze",
    "MIT License": "MIT",
}
"""Other names of licences in the metadata of packages."""


def locked_packages(lock: Path = ROOT / "requirements.txt") -> dict[str, str]:
    """Version of each package of a lock file by its name, of every system."""
    return dict(re.findall(r"^([a-z0-9-]+)==([^\s;]+)", lock.read_text(encoding="utf-8"), re.MULTILINE))


def licences(package: PackageMetadata | Message) -> set[str]:
    """The licences that a package's metadata name, as SPDX identifiers where they are known; empty if it names none.

    Of a choice (`OR`), all are returned: whoever passes the image on may choose.
    """
    (expression, *_) = package.get_all("License-Expression") or [""]
    (text, *_) = package.get_all("License") or [""]
    # Some have the whole text of the licence here.
    if not expression and text and "\n" not in text and text != "UNKNOWN":
        expression = _SPDX.get(text, text)
    if expression:
        return set(re.split(r"\s+(?:AND|OR)\s+", re.sub(r"[()]", "", expression)))
    classified = [
        line.rpartition(" :: ")[2] for line in package.get_all("Classifier", []) if line.startswith("License")
    ]
    return {_SPDX.get(name, name) for name in classified}


def refused(name: str, package: Message | None = None) -> set[str]:
    """Licences of an installed package that are not allowed. Raises PackageNotFoundError when it is not installed."""
    named = licences(metadata(name) if package is None else package)
    return (named - ALLOWED) if named else {"no licence"}
