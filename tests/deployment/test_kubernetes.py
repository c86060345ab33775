"""The Kubernetes manifests as rendered: hardened, and consistent with the product's settings, ports and paths."""

import ipaddress
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from eval_alignment import settings
from eval_alignment.environment import CONFIG_VARIABLE, ENVIRONMENT_PREFIX
from eval_alignment.main import cli
from eval_alignment.setting_checks import address
from ingest.config import Limits
from sinks.access import HEALTH_PATHS
from streams.worker import DRAIN_SECONDS, END_SECONDS
from tests.deployment.pods import NAMESPACE, WORKLOADS, Pod, objects, of_kind, pods, settings_file
from tests.support.tree import ROOT
from tools.kubernetes import OVERLAYS

ADDRESS = "10.1.2.3"
PODS = [pod for overlay in OVERLAYS for pod in pods(overlay)]
SERVERS = [pod for pod in PODS if pod.port is not None]
LISTENERS = {"worker": "worker_http", "view": "http", "ingest": "ingest_http", "sources": "ingest_http"}
"""The setting with the address of each server."""

every_pod = pytest.mark.parametrize("pod", PODS, ids=lambda pod: f"{pod.overlay}-{pod.name}")
every_server = pytest.mark.parametrize("pod", SERVERS, ids=lambda pod: f"{pod.overlay}-{pod.name}")
every_overlay = pytest.mark.parametrize("overlay", OVERLAYS)


def configured(pod: Pod, directory: Path, monkeypatch: pytest.MonkeyPatch) -> settings.Settings:
    """The settings of the pod's process. Raises SettingsError where one is unknown or invalid."""
    file = directory / "settings.toml"
    file.write_text(settings_file(pod.overlay))
    environment = pod.environment(ADDRESS)
    assert environment.pop(CONFIG_VARIABLE) == "/etc/eval-alignment/settings.toml"
    for name, value in {**environment, CONFIG_VARIABLE: str(file)}.items():
        monkeypatch.setenv(name, value)
    return settings.load()


@every_pod
def test_the_settings_of_a_pod_are_valid(pod: Pod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = configured(pod, tmp_path, monkeypatch)
    assert not loaded.allow_open_bind
    assert loaded.wait_days == 30
    assert loaded.topic_prefix == ""


@every_pod
def test_no_reference_to_a_variable_is_left(pod: Pod) -> None:
    assert [value for value in pod.environment(ADDRESS).values() if "$(" in value] == []


@every_pod
def test_a_pod_runs_a_command_that_exists(pod: Pod) -> None:
    assert "command" not in pod.container
    name, *rest = pod.container["args"]
    command: Any = cli.get_command(None, name)  # type: ignore[arg-type] # it asks for none
    if not rest or rest[0].startswith("-"):
        command.make_context(name, list(rest), resilient_parsing=False)
    else:
        assert rest[0] in command.commands
        command.commands[rest[0]].make_context(rest[0], rest[1:])


def test_an_unknown_option_of_a_command_is_seen() -> None:
    (pod, *_) = (pod for pod in PODS if pod.component == "ingest")
    workload = json.loads(json.dumps(pod.workload))
    workload["spec"]["template"]["spec"]["containers"][0]["args"] = ["ingest", "--source", "none"]
    with pytest.raises(Exception, match="No such option"):
        test_a_pod_runs_a_command_that_exists(Pod(pod.overlay, pod.component, pod.name, workload))


@every_server
def test_a_server_listens_at_its_port_and_knows_the_names_that_it_has(
    pod: Pod, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = configured(pod, tmp_path, monkeypatch)
    setting = LISTENERS[pod.component]
    default = address(settings.Settings.model_fields[setting].default)
    host, port = address(getattr(loaded, setting))
    assert ipaddress.ip_address(host).is_unspecified
    assert port == pod.port == default[1]
    names = {
        f"{service['metadata']['name']}{suffix}"
        for service in of_kind(pod.overlay, "Service").values()
        if service["spec"]["selector"].items() <= pod.labels.items() and "clusterIP" not in service["spec"]
        for suffix in ("", f".{NAMESPACE}", f".{NAMESPACE}.svc")
    }
    assert {ADDRESS, *names} <= set(loaded.allowed_hosts)
    assert names or pod.component == "worker"


@every_server
def test_probes_ask_for_the_paths_of_health(pod: Pod) -> None:
    probes = {kind: pod.container[f"{kind}Probe"] for kind in ("startup", "liveness", "readiness")}
    paths = {kind: probe["httpGet"]["path"] for kind, probe in probes.items()}
    assert paths == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
    assert set(paths.values()) == HEALTH_PATHS
    assert {probe["httpGet"]["port"] for probe in probes.values()} == {"http"}
    # As docs/deployment.md asks of every supervisor.
    assert probes["liveness"]["periodSeconds"] * probes["liveness"]["failureThreshold"] == 30


@every_server
def test_a_pod_has_time_to_end(pod: Pod) -> None:
    sleep = pod.container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    left = pod.spec["terminationGracePeriodSeconds"] - sleep
    assert left > DRAIN_SECONDS + END_SECONDS
    if pod.container["args"][0] == "ingest":
        assert left > Limits().acknowledge_seconds + 1


@every_pod
def test_a_pod_is_hardened(pod: Pod) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    (user, group) = map(int, re.findall(r"^USER (\d+):(\d+)$", dockerfile, re.MULTILINE)[0])
    assert pod.spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": user,
        "runAsGroup": group,
        "fsGroup": group,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert pod.container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod.spec["automountServiceAccountToken"] is False
    # Kubernetes would add variables with the prefix of settings, such as EVAL_ALIGNMENT_VIEW_PORT.
    assert pod.spec["enableServiceLinks"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & pod.spec.keys()
    assert re.findall(r'^ENTRYPOINT \[.*"eval-alignment"\]$', dockerfile, re.MULTILINE)


@every_pod
def test_secrets_are_files_that_only_the_group_of_the_pod_reads(pod: Pod) -> None:
    assert "envFrom" not in pod.container
    assert {key for variable in pod.container["env"] for key in variable.get("valueFrom", {})} <= {"fieldRef"}
    assert [each["kind"] for each in objects(pod.overlay) if each["kind"] == "Secret"] == []
    secret = {}
    for path, volume in pod.mounts().items():
        source = volume.get("secret") or volume.get("projected")
        if source is not None:
            secret[path] = source
            assert source["defaultMode"] == 0o440
    document = tomllib.loads(settings_file(pod.overlay))
    environment = {
        name.removeprefix(ENVIRONMENT_PREFIX).lower(): value for name, value in pod.environment(ADDRESS).items()
    }
    files = [value for name, value in {**document, **environment}.items() if name.endswith("_file")]
    assert "/run/secrets/eval-alignment/token" in files
    assert [file for file in files if file.rpartition("/")[0] not in secret] == []


@every_server
def test_what_a_process_keeps_is_on_a_volume(pod: Pod) -> None:
    kept = pod.environment(ADDRESS).get("EVAL_ALIGNMENT_DATA_DIR")
    mounts = pod.mounts()
    if pod.component == "ingest":
        # Nothing that is read-only can be written.
        assert "--sources" in pod.container["args"] and kept is None
    else:
        assert kept is not None and mounts[kept]["claim"]["accessModes"] == ["ReadWriteOnce"]
    if pod.component in {"view", "sources"}:
        assert pod.workload["spec"]["replicas"] == 1


@every_overlay
def test_a_worker_has_the_name_of_its_pod(overlay: str) -> None:
    workers = [pod for pod in pods(overlay) if pod.component == "worker"]
    names = [pod.environment(ADDRESS)["EVAL_ALIGNMENT_NAME"] for pod in workers]
    assert names == [pod.name for pod in workers]
    assert workers[0].workload["kind"] == "StatefulSet"
    assert len(workers) <= tomllib.loads(settings_file(overlay))["partitions"]


@every_overlay
def test_the_image_is_that_of_the_compose_file(overlay: str) -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert {pod.container["image"] for pod in pods(overlay)} == {services["view"]["image"]}


@every_overlay
def test_selectors_select_pods_of_the_installation(overlay: str) -> None:
    labels = [pod.labels for pod in pods(overlay)]
    for kind in ("Service", "PodDisruptionBudget", "NetworkPolicy", "PodMonitor"):
        for each in of_kind(overlay, kind).values():
            selector = each["spec"].get("selector") or each["spec"]["podSelector"]
            wanted = selector if kind == "Service" else selector["matchLabels"]
            chosen = [label for label in labels if wanted.items() <= label.items()]
            for expression in selector.get("matchExpressions", []) if kind != "Service" else []:
                assert expression["operator"] == "In"
                chosen = [label for label in chosen if label[expression["key"]] in expression["values"]]
            assert chosen, each["metadata"]["name"]
            assert "app.kubernetes.io/name" in wanted


@every_overlay
def test_who_may_be_called_from_outside_is_limited(overlay: str) -> None:
    policies = of_kind(overlay, "NetworkPolicy")
    everything = policies["eval-alignment"]["spec"]
    assert everything["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in everything
    open_to_all = [name for name, each in policies.items() if {} in each["spec"].get("ingress", [])]
    assert open_to_all == []
    outside = {
        name: rule["to"]
        for name, each in policies.items()
        for rule in each["spec"].get("egress", [])
        if any("ipBlock" in to for to in rule["to"])
    }
    assert outside.keys() == {"pulls"}
    assert "169.254.0.0/16" in outside["pulls"][0]["ipBlock"]["except"]


def test_scrapes_have_the_jobs_that_rules_and_dashboards_ask_for() -> None:
    configuration = yaml.safe_load((ROOT / "monitoring" / "prometheus" / "prometheus.yml").read_text())
    jobs = {job["job_name"] for job in configuration["scrape_configs"]}
    replaced = set()
    for monitor in of_kind("production", "PodMonitor").values():
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        assert endpoint["port"] == "http"
        assert endpoint["interval"] == configuration["global"]["scrape_interval"]
        assert endpoint["authorization"] == {"credentials": {"name": "eval-alignment", "key": "token"}}
        rules = {rule.get("targetLabel"): rule for rule in endpoint["relabelings"]}
        replaced.add(rules["job"]["replacement"])
        assert rules["instance"]["sourceLabels"] == ["__meta_kubernetes_pod_name"]
    assert replaced == {job for job in jobs if job.startswith("eval-alignment-")}


@every_overlay
def test_all_workloads_are_looked_at(overlay: str) -> None:
    kinds = {each["kind"] for each in objects(overlay)}
    assert not kinds & {"Pod", "DaemonSet", "CronJob", "ReplicaSet"}
    assert {pod.component for pod in pods(overlay)} == set(of_kind(overlay, *WORKLOADS))
    assert {"topics", "worker", "view", "sources"} <= {pod.component for pod in pods(overlay)}
