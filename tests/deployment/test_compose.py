"""docker-compose.yml and Dockerfile: hardened, and consistent with the product's settings.

Docker Compose itself reads the file, hadolint the Dockerfile (`make lint`), and `make containers` runs both.
"""

import json
import re
import tomllib
from datetime import timedelta
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

from eval_alignment import settings
from streams.worker import DRAIN_SECONDS, END_SECONDS
from tests.support.tree import ROOT
from tools.containers.commands import ContainerError
from tools.containers.compose_file import compose_file, read_compose_file

OURS = ("topics", "worker-1", "worker-2", "view", "ingest")
WORKERS = ("worker-1", "worker-2")
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SERVICES: dict[str, dict[str, Any]] = compose_file()["services"]
NETWORKS: dict[str, dict[str, Any]] = compose_file()["networks"]


def instructions(name: str) -> list[str]:
    """The arguments of every instruction of this name in the Dockerfile, in order."""
    joined = re.sub(r"\\\n", " ", DOCKERFILE)
    return re.findall(rf"^{name} (.*)$", joined, re.MULTILINE)


def secrets(service: str) -> dict[str, str]:
    """The secrets of a service: name to path in its container."""
    return {secret["source"]: secret["target"] for secret in SERVICES[service].get("secrets", [])}


def grace_period(service: str) -> timedelta:
    """Time between SIGTERM and SIGKILL."""
    match = re.fullmatch(r"(?:(\d+)m)?(\d+)s", SERVICES[service]["stop_grace_period"])
    assert match is not None
    return timedelta(minutes=int(match[1] or 0), seconds=int(match[2]))


def test_docker_compose_rejects_a_misspelt_file(tmp_path: Path) -> None:
    path = tmp_path / "docker-compose.yml"
    path.write_text((ROOT / "docker-compose.yml").read_text().replace("healthcheck:", "helthcheck:"))
    with pytest.raises(ContainerError, match="helthcheck"):
        read_compose_file(path)


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_is_hardened(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"[1-9]\d*:\d+", service["user"])
    assert service["mem_limit"] == service["memswap_limit"]
    assert service["pids_limit"]
    assert service["ulimits"]["nofile"]
    assert not {"privileged", "cap_add", "devices", "network_mode", "pid", "ipc", "env_file"} & service.keys()
    assert "docker.sock" not in json.dumps(service)


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_on_loopback_only(name: str) -> None:
    assert all(port["host_ip"] == "127.0.0.1" for port in SERVICES[name].get("ports", []))


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned_to_a_version(name: str) -> None:
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", SERVICES[name]["image"])


def test_the_image_has_the_version_of_the_project_and_comes_from_no_registry() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert {SERVICES[name]["image"] for name in OURS} == {f"eval-alignment:{version}"}
    assert {SERVICES[name]["pull_policy"] for name in OURS} == {"never"}
    assert [name for name in SERVICES if "build" in SERVICES[name]] == ["topics"]


def test_every_service_has_a_health_check_and_is_restarted() -> None:
    for name, service in SERVICES.items():
        if name == "topics":
            assert service["restart"] == "no"
            assert service["healthcheck"] == {"disable": True}
            continue
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["start_interval"]
        program = service["healthcheck"]["test"][1].rpartition("/")[2]
        assert program in {"health", "wget", "kafka-broker-api-versions.sh"}


def test_a_service_starts_after_its_dependencies() -> None:
    for name, service in SERVICES.items():
        for needed, how in service.get("depends_on", {}).items():
            condition = "service_completed_successfully" if needed == "topics" else "service_healthy"
            assert how == {"condition": condition, "required": True}, name
    assert "topics" in SERVICES["worker-1"]["depends_on"]
    assert "kafka" in SERVICES["topics"]["depends_on"]


@pytest.mark.parametrize("name", WORKERS)
def test_the_grace_period_lets_a_worker_drain(name: str) -> None:
    assert grace_period(name) > timedelta(seconds=DRAIN_SECONDS + END_SECONDS)


@pytest.mark.parametrize("name", [*WORKERS, "view", "ingest"])
def test_processes_start_through_run_or_park(name: str) -> None:
    assert SERVICES[name]["entrypoint"] == ["tini", "--", "run-or-park", "eval-alignment"]


@pytest.mark.parametrize("name", OURS)
def test_the_environment_of_a_service_is_valid_settings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in SERVICES[name]["environment"].items():
        monkeypatch.setenv(variable, value)
    settings.load()


@pytest.mark.parametrize("name", [*WORKERS, "view", "ingest"])
def test_a_process_allows_its_service_name_and_requires_the_token(name: str) -> None:
    environment = SERVICES[name]["environment"]
    assert json.loads(environment["EVAL_ALIGNMENT_ALLOWED_HOSTS"]) == [name]
    assert environment["EVAL_ALIGNMENT_TOKEN_FILE"] == "/run/secrets/token"
    assert secrets(name) == {"token": "/run/secrets/token"}
    assert "EVAL_ALIGNMENT_ALLOW_OPEN_BIND" not in environment


def test_worker_names_are_stable_and_unique() -> None:
    for name in WORKERS:
        assert SERVICES[name]["environment"]["EVAL_ALIGNMENT_NAME"] == name
        assert SERVICES[name]["hostname"] == name
        assert "deploy" not in SERVICES[name]


@pytest.mark.parametrize("name", [*WORKERS, "view", "ingest"])
def test_a_process_keeps_its_data_on_a_volume_of_its_own(name: str) -> None:
    (volume,) = SERVICES[name]["volumes"]
    assert volume["type"] == "volume"
    assert volume["source"] == name
    assert volume["target"] == SERVICES[name]["environment"]["EVAL_ALIGNMENT_DATA_DIR"]


def test_what_is_mounted_exists_and_everything_declared_is_used() -> None:
    mounts = [mount for service in SERVICES.values() for mount in service.get("volumes", [])]
    assert {mount["source"] for mount in mounts if mount["type"] == "volume"} == compose_file()["volumes"].keys()
    assert {network for service in SERVICES.values() for network in service["networks"]} == NETWORKS.keys()
    assert {name for service in SERVICES for name in secrets(service)} == compose_file()["secrets"].keys()
    bound = [Path(mount["source"]) for mount in mounts if mount["type"] == "bind"]
    assert bound
    assert [path for path in bound if not path.exists()] == []


def test_prometheus_and_grafana_do_not_reach_kafka() -> None:
    assert {n for n, service in SERVICES.items() if "kafka" in service["networks"]} == {"kafka", *OURS}


@pytest.mark.parametrize("name", SERVICES)
def test_only_a_published_port_leads_out_and_over_a_network_of_its_own(name: str) -> None:
    outward = {network for network in SERVICES[name]["networks"] if not NETWORKS[network].get("internal")}
    assert outward == ({f"{name}-port"} if "ports" in SERVICES[name] else set())


def test_prometheus_scrapes_every_process_by_its_name_and_with_the_token() -> None:
    document = yaml.safe_load((ROOT / "monitoring" / "prometheus" / "prometheus.yml").read_text())
    jobs = document["scrape_configs"]
    targets = {t: job for job in jobs for group in job["static_configs"] for t in group["targets"]}
    processes = ("worker-1:8391", "worker-2:8391", "view:8390", "ingest:8389")
    assert set(processes) <= targets.keys()
    for target in processes:
        # Prometheus resolves it relative to its configuration file.
        credentials = Path("/etc/prometheus") / targets[target]["authorization"]["credentials_file"]
        assert secrets("prometheus")["token"] == str(credentials)


def test_alertmanager_remembers_a_notification_for_longer_than_any_repeat_interval() -> None:
    text = (ROOT / "monitoring" / "alertmanager" / "alertmanager.yml").read_text()
    intervals = re.findall(r"repeat_interval: (\d+)([hd])$", text, re.MULTILINE)
    longest = max(int(number) * {"h": 1, "d": 24}[unit] for number, unit in intervals)
    (retention,) = [option for option in SERVICES["alertmanager"]["command"] if "--data.retention=" in option]
    match = re.fullmatch(r"--data\.retention=(\d+)h", retention)
    assert match is not None
    assert int(match[1]) > longest


def test_the_image_installs_locked_packages_only() -> None:
    steps = [line for line in re.sub(r"\\\n", " ", DOCKERFILE).split("&&") if "-m pip " in line]
    locked = [step for step in steps if "--require-hashes" in step and "-r requirements" in step]
    built = [step for step in steps if "--no-index --no-deps" in step]
    assert len(locked) == len(built) == 2
    assert len(steps) == 4


def test_the_base_image_is_pinned_and_the_user_is_that_of_the_services() -> None:
    (base,) = instructions("ARG")
    assert re.fullmatch(r"PYTHON=3\.\d+\.\d+-slim-\w+", base)
    assert {line.split(" AS ")[0] for line in instructions("FROM")} == {"python:${PYTHON}"}
    assert instructions("USER") == [SERVICES["view"]["user"]]
    assert instructions("ENTRYPOINT") == ['["tini", "--", "eval-alignment"]']
    assert instructions("HEALTHCHECK")[0].endswith('CMD ["health"]')


def test_the_build_context_holds_exactly_the_files_that_are_copied() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert lines[0] == "*"
    allowed = [line[1:] for line in lines if line.startswith("!")]
    copied = [
        source
        for line in instructions("COPY")
        if "--from" not in line
        for source in [word for word in line.split() if not word.startswith("--")][:-1]
    ]
    assert [source for source in copied if not (ROOT / source).exists()] == []
    assert [s for s in copied if not any(s == a or fnmatch(s, f"{a}/*") for a in allowed)] == []
    assert [a for a in allowed if not any(s == a or fnmatch(s, f"{a}/*") for s in copied)] == []
