"""The manifests of `deploy/kubernetes`: what renders and checks them, and what a run covers.

`make kubernetes` runs the checks (`__main__.py`). No cluster is needed, and none is run. Tests read what kustomize made
of the overlays from `rendered/`, so they need no program.
"""

from pathlib import Path
from typing import Final, NamedTuple

from tools.records import ROOT

HERE: Final = ROOT / "tools" / "kubernetes"
RECORDS: Final = HERE / "record.json"
"""The last run for each overlay."""
PROGRAMS: Final = ROOT / ".venv-tools" / "kubernetes" / "bin"
"""The programs of `programs.txt` and `requirements.txt`; `make kubernetes` installs them."""
OVERLAYS: Final = ("small", "production")
COVERS: Final = (
    "deploy/kubernetes/base",
    "deploy/kubernetes/overlays",
    "deploy/kubernetes/components/monitoring/kustomization.yaml",
    "deploy/kubernetes/components/monitoring/scrapes.yaml",
    # The shape of the rules. Their content changes more often, and has tests of its own.
    "monitoring/prometheus_rules.py",
    "tools/kubernetes/__init__.py",
    "tools/kubernetes/__main__.py",
    "tools/kubernetes/programs.txt",
    "tools/kubernetes/requirements.txt",
)
KUBERNETES: Final = ("1.30", "1.37")
"""The oldest and the newest Kubernetes whose schemas the objects must have. 1.30 is the first that has `sleep`."""
OPERATOR: Final = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
"""The Go module with the schemas of the Prometheus Operator's kinds."""
STRICTER: Final = ("container-memory-requests-equal-limits", "container-ports-check", "container-seccomp-profile")
"""Checks of kube-score that it leaves out by default."""


class Accepted(NamedTuple):
    """A finding of kube-score that is no fault."""

    check: str
    """The id of the check."""
    summary: str
    """Its text about an object."""
    why: str


ACCEPTED: Final = (
    Accepted(
        "container-resources",
        "CPU limit is not set",
        "A throttled worker may lose its place in the consumer group, and a throttled ingest answers late. Each "
        "process uses about one core at most.",
    ),
    Accepted(
        "container-image-pull-policy",
        "ImagePullPolicy is not set to Always",
        "The image has the tag of a release, which does not change. A pod must also start while the registry is away.",
    ),
    Accepted(
        "statefulset-has-servicename",
        "StatefulSet does not have a valid serviceName",
        "View and sources are one pod each, and nobody calls them by its name. Their Services have an address of their "
        "own, so that clients which keep an address outlive a restart.",
    ),
    Accepted(
        "statefulset-has-host-podantiaffinity",
        "StatefulSet does not have a host podAntiAffinity set",
        "topologySpreadConstraints spread the pods over nodes.",
    ),
    Accepted(
        "deployment-has-host-podantiaffinity",
        "Deployment does not have a host podAntiAffinity set",
        "topologySpreadConstraints spread the pods over nodes.",
    ),
)


def rendered(overlay: str) -> Path:
    """The file with what kustomize made of an overlay, without the rules, which `make rules` made."""
    return HERE / "rendered" / f"{overlay}.yaml"


def covers(overlay: str) -> tuple[str, ...]:
    """The files that a run covers."""
    return (*COVERS, str(rendered(overlay).relative_to(ROOT)))
