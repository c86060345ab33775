"""`make sbom`: write dist/sbom.cdx.json, a CycloneDX bill of materials of the packages in the image."""

import json
import subprocess
import sys
from importlib.metadata import metadata

from packaging.utils import canonicalize_name

from tools.records import ROOT
from tools.sbom import IMAGE, PROGRAMS, TARGET, licences, locked_packages


def main() -> int:
    """Write the bill, and fail unless each package is locked and has a licence; returns the exit code."""
    TARGET.parent.mkdir(exist_ok=True)
    about = ("--pyproject", str(ROOT / "pyproject.toml"), "--mc-type", "application")
    subprocess.run(
        [
            *(str(PROGRAMS / "cyclonedx-py"), "environment", *about),
            *("--output-reproducible", "--output-file", str(TARGET), str(IMAGE)),
        ],
        check=True,
    )
    bill = json.loads(TARGET.read_bytes())
    components = bill["components"]
    for part in components:
        # cyclonedx-py does not know every name of a licence.
        part.setdefault("licenses", [{"license": {"name": name}} for name in sorted(licences(metadata(part["name"])))])
    TARGET.write_text(json.dumps(bill, indent=2) + "\n", encoding="utf-8")
    unlocked = {canonicalize_name(part["name"]) for part in components} - locked_packages().keys()
    unlicensed = [part["name"] for part in components if not part["licenses"]]
    if unlocked or unlicensed or not components:
        sys.stderr.write(
            f"{len(components)} packages; not locked: {sorted(unlocked)}; without a licence: {unlicensed}\n"
        )
        return 1
    sys.stdout.write(f"{TARGET.relative_to(ROOT)}: {len(components)} packages\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
