"""What the services of docker-compose.yml must do on a Docker Engine. The checks run in order, each on what the ones
before it left.
"""

import json
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from tools.containers.commands import ContainerError, await_that, note, require
from tools.containers.installation import Installation

WORKERS: Final = ("worker-1", "worker-2")
PORTS: Final = {"worker-1": 8391, "worker-2": 8391, "view": 8390, "ingest": 8389}
"""Our processes, and the ports of their HTTP servers."""
BY_KAFKA: Final = range(4_000)
BY_HTTP: Final = range(4_000, 4_300)
UNDER_KILLS: Final = range(4_300, 30_000)
WAITING: Final = range(30_000, 32_000)
"""Items, by the check that sends their events."""


class Events:
    """An annotation and an evaluation of each item, and the comparisons that they make."""

    def __init__(self) -> None:
        # An evaluation waits for some weeks only.
        self._at = (datetime.now(UTC) - timedelta(hours=1)).isoformat(timespec="seconds")

    def annotations(self, items: range) -> str:
        """NDJSON: of three items two are accepted."""
        given = {"at": self._at, "queue": "check", "criterion": "c", "annotator": "n"}
        return self._lines(
            {**given, "id": f"a{n}", "item": f"i{n}", "thumbs": "up" if n % 3 else "down"} for n in items
        )

    def evaluations(self, items: range) -> str:
        """NDJSON: of five items three pass."""
        given = {"at": self._at, "metric": "m", "threshold": 0.5}
        return self._lines({**given, "id": f"e{n}", "item": f"i{n}", "score": 0.9 if n % 5 < 3 else 0.1} for n in items)

    def both(self, items: range) -> str:
        """The events of blocks of items in turn."""
        blocks = [items[start : start + 1000] for start in range(0, len(items), 1000)]
        return "".join(self.annotations(block) + self.evaluations(block) for block in blocks)

    @staticmethod
    def outcomes(items: range) -> dict[str, int]:
        """The comparisons of these items, by outcome."""
        names = {(True, True): "tp", (True, False): "fn", (False, True): "fp", (False, False): "tn"}
        return dict(Counter(names[n % 3 > 0, n % 5 < 3] for n in items))

    @staticmethod
    def _lines(events: Iterator[dict[str, Any]]) -> str:
        return "".join(f"{json.dumps(event)}\n" for event in events)


class InstallationChecks:
    """The checks, and the events that they send."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._events = Events()

    def run(self) -> int:
        """Run all; returns their number. Raises ContainerError where one fails."""
        checks: tuple[Callable[[], None], ...] = (
            self._healthy,
            self._hardened,
            self._networks,
            self._access,
            self._scraped,
            self._loaded,
            self._killed_under_load,
            self._waiting_survives,
            self._volumes_survive,
            self._waiting_counts,
            self._wrong_settings,
            self._stopped,
        )
        for check in checks:
            started = time.monotonic()
            check()
            note(f"ok ({time.monotonic() - started:.0f} s): {(check.__doc__ or '').rstrip('.')}")
        return len(checks)

    def _healthy(self) -> None:
        """All processes are healthy."""
        self._installation.up()

    def _hardened(self) -> None:
        """No process has capabilities, may gain privileges, is root, or may write to its root: the kernel states it."""
        for service in self._installation.processes:
            process = Path(f"/proc/{self._installation.first_process(service)}")
            status = (process / "status").read_text(encoding="utf-8")
            for line in (r"CapBnd:\s0+", r"NoNewPrivs:\s1", r"Seccomp:\s2", r"Uid:\s[1-9].*"):
                require(re.search(rf"^{line}$", status, re.MULTILINE) is not None, f"{line} of {service}")
            mounts = [line.split() for line in (process / "mountinfo").read_text(encoding="utf-8").splitlines()]
            options = next(words[5] for words in mounts if words[4] == "/")
            require("ro" in options.split(","), f"a read-only root of {service}, not {options}")
            limits = (process / "limits").read_text(encoding="utf-8")
            require(re.search(r"Max open files +16384 ", limits) is not None, f"a limit of open files of {service}")

    def _networks(self) -> None:
        """All networks of workers are internal, and monitoring does not reach Kafka."""
        for service in WORKERS:
            networks = self._installation.inspect(service)["NetworkSettings"]["Networks"]
            internal = self._installation.engine.docker("network", "inspect", "--format", "{{.Internal}}", *networks)
            require(set(internal.split()) == {"true"}, f"internal networks of {service} only: {[*networks]} {internal}")
        for address in self._installation.addresses("kafka"):
            for service in ("prometheus", "alertmanager"):
                require(not self._connects(service, address, 19092), f"{service} does not reach Kafka at {address}")
        reached = [self._connects("worker-1", address, 19092) for address in self._installation.addresses("kafka")]
        require(any(reached), "a worker reaches Kafka")

    def _in_network_of(self, service: str, *command: str) -> str:
        process = self._installation.first_process(service)
        return self._installation.engine.in_network("nsenter", f"--target={process}", "--net", "--", *command)

    def _connects(self, service: str, address: str, port: int) -> bool:
        try:
            self._in_network_of(service, "timeout", "2", "bash", "-c", f"exec 3<>/dev/tcp/{address}/{port}")
        except ContainerError:
            return False
        return True

    def _access(self) -> None:
        """The page and `/metrics` need the token and a known host, `/readyz` neither."""
        for service, port in PORTS.items():
            url = f"http://{self._installation.addresses(service)[0]}:{port}"
            known = ("--header", f"Host: {service}:{port}")
            token = self._installation.authorization
            statuses = {
                200: self._installation.get(f"{url}/metrics", *known, *token)[0],
                401: self._installation.get(f"{url}/metrics", *known)[0],
                400: self._installation.get(f"{url}/metrics", *token)[0],
            }
            require(all(wanted == status for wanted, status in statuses.items()), f"{service}: {statuses}")
            require(self._installation.get(f"{url}/readyz")[0] == 200, f"/readyz of {service} at {url}")
        status, page = self._installation.get("http://127.0.0.1:8390/", *self._installation.authorization)
        require(status == 200 and "<html" in page, "the page on its published port")

    def _scraped(self) -> None:
        """Prometheus scrapes every process, and has the lag of both workers and an Alertmanager."""
        targets = {f"{name}:{port}" for name, port in {**PORTS, "alertmanager": 9093}.items()}
        self._await_instances("up == 1", targets)
        self._await_instances("eval_alignment_lag_events", {"worker-1:8391", "worker-2:8391"})
        discovered = "prometheus_notifications_alertmanagers_discovered == 1"
        await_that("Prometheus has an Alertmanager", lambda: bool(self._installation.query(discovered)))

    def _await_instances(self, expression: str, wanted: set[str]) -> None:
        def instances() -> set[str]:
            return {sample["metric"]["instance"] for sample in self._installation.query(expression)}

        await_that(lambda: f"{expression} of {wanted}, not only {instances()}", lambda: wanted <= instances())

    def _loaded(self) -> None:
        """Events by Kafka and by HTTP become gauges in Prometheus."""
        self._installation.load(self._events.both(BY_KAFKA))
        path = self._installation.directory / "by-http.ndjson"
        path.write_text(self._events.both(BY_HTTP), encoding="utf-8")
        options = ("--header", "Content-Type: application/x-ndjson", "--data-binary", f"@{path}")
        url = "http://127.0.0.1:8389/api/v1/events"
        status, body = self._installation.get(url, *self._installation.authorization, *options)
        require(status == 200, f"ingest acknowledges events, not {status} {body}")
        self._await_gauges(range(BY_HTTP.stop))

    def _await_gauges(self, items: range) -> None:
        wanted = self._events.outcomes(items)

        def shown() -> dict[str, int]:
            samples = self._installation.query('eval_alignment_comparisons{queue="check"}')
            return {sample["metric"]["outcome"]: int(sample["value"][1]) for sample in samples}

        await_that(lambda: f"gauges of {len(items)} comparisons: {wanted}, not {shown()}", lambda: shown() == wanted)

    def _killed_under_load(self) -> None:
        """Under load, processes are killed and a worker drains by SIGTERM: all return, and every event counts once."""
        loading = self._installation.start_load(self._events.both(UNDER_KILLS))
        await_that("events of the load count", lambda: self._installation.counted() > UNDER_KILLS.start)
        # The process itself, `run-or-park`, and process 1.
        for service, depth in {"worker-1": 2, "ingest": 1, "view": 0}.items():
            self._kill(service, depth)
        self._installation.compose("stop", "worker-2")
        self._require_exit("worker-2", 0)
        self._installation.engine.docker("start", self._installation.container("worker-2"))
        require(loading.wait() == 0, "Kafka acknowledges every event of the load")
        self._installation.await_healthy()
        for service in ("worker-1", "ingest", "view"):
            require(self._installation.inspect(service)["RestartCount"] >= 1, f"a restart of {service}")
        self._await_gauges(range(UNDER_KILLS.stop))

    def _kill(self, service: str, depth: int) -> None:
        """Send SIGKILL to the process at this depth below process 1 of a service."""
        process = self._installation.first_process(service)
        for _ in range(depth):
            children = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="utf-8").split()
            require(len(children) == 1, f"one child of process {process} of {service}, not {children}")
            process = int(children[0])
        os.kill(process, signal.SIGKILL)

    def _require_exit(self, service: str, *codes: int) -> None:
        code = self._installation.inspect(service)["State"]["ExitCode"]
        require(code in codes, f"{service} ends with exit code {codes}, not {code}")

    def _waiting_survives(self) -> None:
        """Evaluations wait on the workers' disks, also after a worker and Kafka were killed."""
        self._installation.load(self._events.evaluations(WAITING))
        # The gauge is an estimate after a kill. That nothing is lost shows when the annotations come.
        self._await_instances("eval_alignment_waiting_evaluations > 0", {"worker-1:8391", "worker-2:8391"})
        self._kill("worker-2", 2)
        self._kill("kafka", 0)
        await_that("Kafka is killed", lambda: self._installation.inspect("kafka")["RestartCount"] >= 1)
        self._installation.await_healthy()

    def _volumes_survive(self) -> None:
        """`down` and `up` keep counts, stores of workers and the series of Prometheus; every volume has a name."""
        before = time.time()
        counts = self._installation.query('sum(eval_alignment_comparisons{queue="check"})', before)
        # A worker that stops writes what waits in its memory to its store, which it may not have had until then.
        self._installation.compose("restart", *WORKERS)
        self._installation.await_healthy()
        stores = self._waiting_stores()
        self._installation.compose("down")
        unnamed = {name for name in self._installation.volumes() if re.fullmatch(r"[0-9a-f]{64}", name)}
        require(not unnamed, f"no volume without a name, not {unnamed}")
        self._installation.up()
        require(self._waiting_stores() == stores, f"stores of workers: {stores}, not {self._waiting_stores()}")
        counted = self._installation.counted()
        require(counted == UNDER_KILLS.stop, f"{UNDER_KILLS.stop} comparisons, not {counted}")
        again = self._installation.query('sum(eval_alignment_comparisons{queue="check"})', before)
        require(bool(counts) and again == counts, f"series of before `down`: {counts}, not {again}")

    def _waiting_stores(self) -> dict[str, list[str]]:
        """The identities of the stores on the volume of each worker. A store that was made again has another one."""
        return {service: self._identities(service) for service in WORKERS}

    def _identities(self, service: str) -> list[str]:
        command = ("find", "/data/waiting", "-name", "IDENTITY", "-exec", "cat", "{}", ";")
        identities = self._installation.engine.docker("exec", self._installation.container(service), *command).split()
        require(bool(identities), f"a store of {service}")
        return sorted(identities)

    def _waiting_counts(self) -> None:
        """What waited is compared when its annotations come."""
        self._installation.load(self._events.annotations(WAITING))
        self._await_gauges(range(WAITING.stop))

    def _wrong_settings(self) -> None:
        """A worker with wrong settings is parked, unhealthy, with the reason in its log; with right ones it works."""
        health = {"interval": "2s", "start_period": "1s"}
        wrong = {"worker-1": {"environment": {"EVAL_ALIGNMENT_PARTITIONS": "none"}, "healthcheck": health}}
        overrides = self._installation.overrides
        overrides.append(self._installation.override("wrong", wrong))
        self._installation.compose("up", "--detach", "--no-deps", "--no-build", "worker-1")
        self._installation.await_health("worker-1", "unhealthy")
        state = self._installation.inspect("worker-1")
        require(state["State"]["Status"] == "running" and state["RestartCount"] == 0, "a parked worker-1")
        log = self._installation.log("worker-1")
        require("run-or-park: on hold" in log and "exit code 64" in log, f"a reason in the log, not {log}")
        overrides.pop()
        self._installation.up("worker-1")

    def _stopped(self) -> None:
        """Every process ends by SIGTERM within its grace period."""
        self._installation.compose("stop")
        for service in self._installation.processes:
            # A Java program that was asked to stop ends with the number of the signal.
            self._require_exit(service, *((0, 143) if service == "kafka" else (0,)))


def check_installation(installation: Installation) -> int:
    """Start the services and check them; returns the number of checks. Raises ContainerError where one fails."""
    try:
        return InstallationChecks(installation).run()
    except BaseException:
        for service in installation.services:
            with suppress(ContainerError):
                note(f"--- {service}\n{installation.log(service)}")
        raise
    finally:
        installation.down()
