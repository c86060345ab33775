"""`make kubernetes`: render the overlays of `deploy/kubernetes`, check every object, and record that all held.

Each object is checked against the schema of its kind, without a field that the schema does not have: those of
Kubernetes by kubernetes-validate, those of the Prometheus Operator by its resource definitions. kube-score must find
nothing but what `ACCEPTED` lists, and everything in that list.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import jsonschema
import yaml

from tools.kubernetes import (
    ACCEPTED,
    HERE,
    KUBERNETES,
    OPERATOR,
    OVERLAYS,
    PROGRAMS,
    RECORDS,
    STRICTER,
    covers,
    rendered,
)
from tools.records import ROOT, RunRecord, content_hashes, load, save

_GROUP: Final = "monitoring.coreos.com"


def main() -> int:
    """Check all overlays; returns the exit code."""
    if missing := [f"{program} is not found" for program in ("go", "git") if shutil.which(program) is None]:
        sys.stderr.write("make kubernetes cannot run here:\n" + "".join(f"  {line}\n" for line in missing))
        return 2
    schemas = _operator_schemas()
    findings: set[tuple[str, str]] = set()
    objects: dict[str, int] = {}
    problems: list[str] = []
    for overlay in OVERLAYS:
        _note(f"{overlay}: render and check")
        text = _render(overlay)
        documents = list(yaml.safe_load_all(text))
        objects[overlay] = len(documents)
        problems += [f"{overlay}: {line}" for line in (*_invalid(documents), *_invalid_of_operator(documents, schemas))]
        found = set(_findings(text))
        findings |= {(check, summary) for _, check, summary in found}
        known = {(accepted.check, accepted.summary) for accepted in ACCEPTED}
        problems += [f"{overlay}: {name}: {check}: {text}" for name, check, text in found if (check, text) not in known]
    unused = [accepted for accepted in ACCEPTED if (accepted.check, accepted.summary) not in findings]
    problems += [f"kube-score no longer finds {accepted.check}: remove it from ACCEPTED" for accepted in unused]
    if problems:
        sys.stderr.write("".join(f"{line}\n" for line in sorted(problems)))
        return 1
    _save(objects)
    return 0


def _save(objects: Mapping[str, int]) -> None:
    versions = dict(re.findall(r"([\w-]+)@v([\d.]+)", (HERE / "programs.txt").read_text() + OPERATOR))
    locked = re.findall(r"^kubernetes-validate==(\S+)", (HERE / "requirements.txt").read_text(), re.MULTILINE)
    shown = {
        "kustomize": versions["v5"],
        "kube-score": versions["kube-score"],
        "kubernetes-validate": locked[0],
        "Kubernetes": ", ".join(KUBERNETES),
        "Prometheus Operator": versions["prometheus-operator"],
    }
    day = datetime.now(UTC).date().isoformat()
    records = {
        overlay: RunRecord(day, {**shown, "objects": objects[overlay]}, content_hashes(covers(overlay)))
        for overlay in OVERLAYS
    }
    save(RECORDS, load(RECORDS) | records)


def _invalid(documents: Sequence[Any]) -> Iterator[str]:
    """What kubernetes-validate does not accept of Kubernetes' own kinds, in the oldest and the newest version."""
    own = [document for document in documents if not document["apiVersion"].startswith(f"{_GROUP}/")]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump_all(own, file)
        file.flush()
        for version in KUBERNETES:
            command = [str(PROGRAMS / "kubernetes-validate"), "--strict", "--kubernetes-version", version, file.name]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            lines = (done.stdout + done.stderr).splitlines()
            passed = [line for line in lines if re.match(r"INFO +.*passed", line)]
            # It only warns of a kind that it does not know.
            others = [line for line in lines if line not in passed]
            yield from (f"Kubernetes {version}: {line}" for line in others)
            if done.returncode or len(passed) != len(own):
                yield f"Kubernetes {version}: {len(passed)} of {len(own)} objects passed, exit code {done.returncode}"


def _operator_schemas() -> Path:
    """The directory with the resource definitions of the Prometheus Operator."""
    done = subprocess.run(["go", "mod", "download", "-json", OPERATOR], capture_output=True, text=True, check=True)
    return Path(json.loads(done.stdout)["Dir"]) / "example" / "prometheus-operator-crd"


def _operator_schema(directory: Path, document: Any) -> Any:
    """The schema of an object's kind and version, closed to fields that it does not have."""
    group, _, version = document["apiVersion"].partition("/")
    text = (directory / f"{group}_{document['kind'].lower()}s.yaml").read_text(encoding="utf-8")
    (schema,) = (
        served["schema"]["openAPIV3Schema"]
        for served in yaml.safe_load(text)["spec"]["versions"]
        if served["name"] == version
    )
    return _closed(schema)


def _closed(schema: Any) -> Any:
    """A schema whose objects have no other fields than it names."""
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(part) for name, part in schema.items()}
    if isinstance(schema.get("properties"), dict) and not schema.get("x-kubernetes-preserve-unknown-fields"):
        closed.setdefault("additionalProperties", False)
    return closed


def _invalid_of_operator(documents: Sequence[Any], schemas: Path) -> Iterator[str]:
    """What the schemas of the Prometheus Operator do not accept of its kinds."""
    for document in documents:
        if document["apiVersion"].startswith(f"{_GROUP}/"):
            name = f"{document['kind']} {document['metadata']['name']}"
            schema = _operator_schema(schemas, document)
            for error in jsonschema.Draft202012Validator(schema).iter_errors(document):
                yield f"{name}: {error.json_path}: {error.message}"


def _findings(text: str) -> Iterator[tuple[str, str, str]]:
    """Object, check and summary of everything that kube-score does not find good."""
    stricter = [word for check in STRICTER for word in ("--enable-optional-test", check)]
    command = [str(PROGRAMS / "kube-score"), "score", "--output-format", "json", *stricter, "-"]
    # It exits with 1 where it has a finding.
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    for scored in json.loads(done.stdout):
        for check in scored["checks"]:
            if not check["skipped"] and check["grade"] < 10:
                for comment in check["comments"] or [{"summary": ""}]:
                    yield scored["object_name"], check["check"]["id"], comment["summary"]


def _render(overlay: str) -> str:
    """What kustomize makes of an overlay; keeps it for the tests."""
    directory = ROOT / "deploy" / "kubernetes" / "overlays" / overlay
    command = [str(PROGRAMS / "kustomize"), "build", str(directory)]
    text = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    kept = [part for part in text.split("---\n") if "\nkind: PrometheusRule\n" not in f"\n{part}"]
    rendered(overlay).write_text("---\n".join(kept), encoding="utf-8")
    return text


def _note(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
