"""The pods of `deploy/kubernetes` as Kubernetes would start them: names, environments, ports, mounts and probes.

The objects are those that kustomize rendered (`make kubernetes`). Nothing here knows what the product expects.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import yaml

from tools.kubernetes import rendered

NAMESPACE: Final = "eval-alignment"
WORKLOADS: Final = ("Job", "StatefulSet", "Deployment")


@cache
def objects(overlay: str) -> Sequence[Mapping[str, Any]]:
    """All objects of an overlay, without rules."""
    return list(yaml.safe_load_all(rendered(overlay).read_text(encoding="utf-8")))


def of_kind(overlay: str, *kinds: str) -> Mapping[str, Mapping[str, Any]]:
    """The objects of these kinds, by their names without the product's."""
    return {
        str(each["metadata"]["name"]).removeprefix("eval-alignment-"): each
        for each in objects(overlay)
        if each["kind"] in kinds
    }


@dataclass(frozen=True)
class Pod:
    """One pod of a workload."""

    overlay: str
    component: str
    """The workload's name without the product's."""
    name: str
    workload: Mapping[str, Any]

    @property
    def spec(self) -> Mapping[str, Any]:
        """The spec of the pod."""
        spec: Mapping[str, Any] = self.workload["spec"]["template"]["spec"]
        return spec

    @property
    def labels(self) -> Mapping[str, str]:
        """The labels of the pod."""
        labels: Mapping[str, str] = self.workload["spec"]["template"]["metadata"]["labels"]
        return labels

    @property
    def container(self) -> Mapping[str, Any]:
        """Its only container."""
        (container,) = self.spec["containers"]
        only: Mapping[str, Any] = container
        return only

    @property
    def port(self) -> int | None:
        """The port that it serves; None for a Job."""
        ports = self.container.get("ports", [])
        assert [port["name"] for port in ports] in ([], ["http"])
        return int(ports[0]["containerPort"]) if ports else None

    def environment(self, address: str) -> dict[str, str]:
        """The variables of its container, where the pod has this address."""
        fields = {"status.podIP": address, "metadata.name": self.name, "metadata.namespace": NAMESPACE}
        variables: dict[str, str] = {}
        for variable in self.container["env"]:
            if "valueFrom" in variable:
                variables[variable["name"]] = fields[variable["valueFrom"]["fieldRef"]["fieldPath"]]
            else:
                # Only variables that come earlier in the list are expanded; other references stay as they are.
                variables[variable["name"]] = re.sub(
                    r"\$\((\w+)\)", lambda match: variables.get(match[1], match[0]), variable["value"]
                )
        return variables

    def mounts(self) -> dict[str, Mapping[str, Any]]:
        """The volume of each path in the container; a claim is `{"claim": ...}`."""
        volumes = {volume["name"]: volume for volume in self.spec["volumes"]}
        for claim in self.workload["spec"].get("volumeClaimTemplates", []):
            volumes[claim["metadata"]["name"]] = {"claim": claim["spec"]}
        return {mount["mountPath"]: volumes[mount["name"]] for mount in self.container["volumeMounts"]}


def pods(overlay: str) -> Iterator[Pod]:
    """Every pod of an overlay; of an autoscaled workload the fewest."""
    fewest = {
        scaler["spec"]["scaleTargetRef"]["name"]: scaler["spec"]["minReplicas"]
        for scaler in of_kind(overlay, "HorizontalPodAutoscaler").values()
    }
    for component, workload in of_kind(overlay, *WORKLOADS).items():
        name = workload["metadata"]["name"]
        count = 1 if workload["kind"] == "Job" else workload["spec"].get("replicas") or fewest[name]
        for number in range(count):
            yield Pod(overlay, component, f"{name}-{number}", workload)


def settings_file(overlay: str) -> str:
    """The text of the settings that all pods mount."""
    (config,) = (each for each in objects(overlay) if each["kind"] == "ConfigMap")
    return str(config["data"]["settings.toml"])
