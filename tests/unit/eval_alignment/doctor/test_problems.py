"""`doctor`: every problem of the table from an observation, and the output of the command."""

import json
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, SaslAuthenticationFailed, UnsupportedSaslMechanismError
from click.testing import CliRunner

from aggregator.facts import Annotation, Evaluation
from aggregator.ledger_ids import renewed
from aggregator.policy import Policy
from aggregator.recount import Recount
from aggregator.tallies import CheckpointMarker, WaitingState
from eval_alignment.commands.doctor import doctor
from eval_alignment.doctor.broker import Described, Reached, judge_broker, judge_topics, problem_of
from eval_alignment.doctor.checks import CHECKS
from eval_alignment.doctor.contents import judge_names, judge_scales
from eval_alignment.doctor.counting import Recounted, choose, compare, judge_recount
from eval_alignment.doctor.disk import Disk, judge_disk
from eval_alignment.doctor.findings import Finding, exit_code, not_run, ok, ordered, problem_found, skipped
from eval_alignment.doctor.http import Answer
from eval_alignment.doctor.monitoring import Prometheus, Rule, Scraped, judge_alertmanager, judge_prometheus
from eval_alignment.doctor.problems import Problem
from eval_alignment.doctor.processes import (
    Process,
    judge_circuit_breaker,
    judge_clock,
    judge_ingest,
    judge_versions,
    judge_view,
    judge_worker,
)
from eval_alignment.doctor.progress import GroupState, Offsets, judge_commits, judge_lag, judge_workers
from eval_alignment.doctor.severity import Severity
from eval_alignment.doctor.sources import RecentDeadLetters, SampledRecord, judge_dead_letters, judge_producers
from eval_alignment.doctor.waiting import judge_waiting
from streams.events.example import RejectedExample
from streams.kafka.topics import Difference, Topics, TopicsDiff
from streams.ledger.claim import Claim
from streams.runtime.exit_codes import ExitCode
from tests.unit.eval_alignment.doctor.observed import BUILD, NOBODY, URL, answer, process, storing, waits
from tests.unit.eval_alignment.doctor.test_contents import evaluated

NOW_MS = 1_780_000_000_000
TOPICS = Topics()
TP = TopicPartition(TOPICS.annotations, 3)


def markers(
    partition: int = 0,
    *,
    age_s: float = 1.0,
    ledger: str = "l1",
    policy: str = "each",
    behind: str | None = None,
    waited_s: float = 0.0,
    waiting: WaitingState | None = None,
) -> Any:
    at = NOW_MS - int(age_s * 1000)
    marker = CheckpointMarker(ledger=ledger, position=9, policy=policy, at=at - int(waited_s * 1000), sources={})
    if behind is not None:
        marker["behind"] = behind
    if waiting is not None:
        marker["waiting"] = waiting
    return {partition: (marker, at)}


def workers(
    group: GroupState | None = None, closes: Mapping[int, Any] | None = None, partitions: int = 1
) -> list[Finding]:
    return judge_workers(group or GroupState("g", "Stable", 1), closes or markers(), partitions, Policy.EACH, NOW_MS)


def offsets(
    committed: int | None, end: int, start: int = 0, stable: int | None = None
) -> dict[TopicPartition, Offsets]:
    return {TP: Offsets(start, end, committed, stable)}


def recounted(**changed: Any) -> list[Finding]:
    seen: dict[str, Any] = {
        "partition": 1,
        "claim": Claim("l1", 8, Policy.EACH, 1, "w1", 1),
        "position": 9,
        "end": 9,
        "highest": 9,
        "rows": 5,
        "tallies": 2,
        "differences": [],
    }
    return judge_recount(Recounted(**(seen | changed)), 8)


def worker(
    *,
    live: bool = True,
    reasons: Sequence[str] = (),
    metrics: str = BUILD,
    quarantined: Mapping[str, str] = MappingProxyType({}),
) -> Process:
    readiness = answer(ready=not reasons, reasons=reasons, quarantined=dict(quarantined))
    return process(answer(live=live, reasons=reasons), readiness, metrics)


def view(*, ready: bool = True, stale: bool = False, metrics: str = BUILD) -> Process:
    return process(answer(status="ok"), answer(ready=ready, stale=stale, as_of="2026-01-01T00:00:00.000Z"), metrics)


def ingest(*, reasons: Sequence[str] = (), metrics: str = BUILD) -> Process:
    return process(answer(status="ok"), answer(ready=not reasons, reasons=reasons), metrics)


def ahead(seconds: float) -> Process:
    return Process(URL, Answer(URL, 200, ahead_s=seconds), answer(), answer())


def topics(what: str, expected: str = "a", actual: str = "b") -> list[Finding]:
    return judge_topics(Described({}, TopicsDiff([Difference(TOPICS.facts, what, expected, actual)], [])), TOPICS)


def prometheus(
    rules: Sequence[Rule] = (Rule("EvalAlignmentX", True, "", False),),
    targets: Sequence[Scraped] = (Scraped(URL, ""),),
    managers: Sequence[str] = (URL,),
) -> Prometheus:
    return Prometheus(URL, "", rules, targets, managers)


def broker(*problems: Problem | None) -> list[Finding]:
    return judge_broker([Reached(f"b{number}:1", False, problem, "why") for number, problem in enumerate(problems)])


MIB = 1 << 20

CASES: dict[Problem, Callable[[], list[Finding]]] = {
    Problem.BROKER_NAME: lambda: broker(Problem.BROKER_NAME),
    Problem.BROKER_REFUSED: lambda: broker(Problem.BROKER_REFUSED),
    Problem.BROKER_TIMEOUT: lambda: broker(Problem.BROKER_TIMEOUT),
    Problem.BROKER_TLS: lambda: broker(Problem.BROKER_TLS),
    Problem.BROKER_SASL: lambda: broker(Problem.BROKER_SASL),
    Problem.BROKER_PROTOCOL: lambda: broker(Problem.BROKER_PROTOCOL),
    Problem.BROKER_LOST: lambda: broker(Problem.BROKER_LOST),
    Problem.TOPICS_MISSING: lambda: topics("topic", "present", "missing"),
    Problem.TOPICS_PARTITIONS: lambda: topics("partitions", "8", "9"),
    Problem.TOPICS_SETTING: lambda: topics("retention.ms", "604800000", "3600000"),
    Problem.KEY_MISSING: lambda: judge_producers([SampledRecord("t", 0, 5, None, mismatch=True)]),
    Problem.KEY_MISMATCH: lambda: judge_producers([SampledRecord("t", 0, 5, 0, mismatch=True)]),
    Problem.RECORDS_UNREADABLE: lambda: judge_producers([SampledRecord("t", 0, 5, None, None, unreadable="a bomb")]),
    Problem.MISROUTED: lambda: judge_producers([SampledRecord("t", 0, 5, 1, mismatch=False)]),
    Problem.NAMES_ALIKE: lambda: judge_names([evaluated("m", 0.7), evaluated("M", 0.7)]),
    Problem.SCALES_MIXED: lambda: judge_scales([evaluated("m", 0.7), evaluated("m", 70)]),
    Problem.NO_WORKER: lambda: workers(GroupState("g", "Empty", 0)),
    Problem.REBALANCING: lambda: workers(GroupState("g", "PreparingRebalance", 2)),
    Problem.PARTITION_STALE: lambda: workers(closes=markers(age_s=40)),
    Problem.LEDGER_IDS: lambda: workers(closes=markers() | markers(1, ledger="l2"), partitions=2),
    Problem.POLICIES: lambda: workers(closes=markers(policy="latest")),
    Problem.INPUT_LOST: lambda: judge_lag([offsets(3, 9, start=5), offsets(9, 9, start=10)]),
    Problem.EVENTS_WAIT: lambda: workers(closes=markers(behind="open_transaction", waited_s=40)),
    Problem.TRANSACTION_OPEN: lambda: judge_lag([offsets(5, 9, stable=5), offsets(5, 12, stable=5)]),
    Problem.LAG: lambda: judge_lag([offsets(1, 5000), offsets(2, 9000)]),
    Problem.LAG_FALLS: lambda: judge_lag([offsets(1, 9000), offsets(2000, 9000)]),
    Problem.COMMITS_FROZEN: lambda: judge_commits([offsets(None, 5), offsets(None, 9)]),
    Problem.TALLIES_DIFFER: lambda: recounted(differences=["cells / q: published 1, counted 2"]),
    Problem.LEDGER_SHORT: lambda: recounted(end=8),
    Problem.LEDGER_UNREADABLE: lambda: recounted(unreadable="alignment.facts.v1[1] at 4: ValueError"),
    Problem.CLAIM_PARTITIONS: lambda: recounted(claim=Claim("l1", 4, Policy.EACH, 1, "w1", 1)),
    Problem.WORKER_UNREACHABLE: lambda: judge_worker(Process(URL, NOBODY, NOBODY, NOBODY)),
    Problem.WORKER_REFUSES: lambda: judge_worker(worker(metrics="<html>")),
    Problem.WORKER_STALLED: lambda: judge_worker(worker(live=False, reasons=["5 events wait"])),
    Problem.WORKER_NOT_READY: lambda: judge_worker(worker(reasons=["the broker does not answer"])),
    Problem.PARTITION_QUARANTINED: lambda: judge_worker(worker(quarantined={"3": "facts[3] at 5: no row"})),
    Problem.AUDIT_MISMATCH: lambda: judge_worker(worker(metrics=f"{BUILD}eval_alignment_audit_mismatches 2\n")),
    Problem.CIRCUIT_BREAKER_OPEN: lambda: judge_circuit_breaker(
        [worker(), worker(reasons=["bad"], metrics=f"{BUILD}eval_alignment_circuit_breaker_open 1\n")]
    ),
    Problem.INGEST_UNREACHABLE: lambda: judge_ingest(Process(URL, NOBODY, NOBODY, NOBODY)),
    Problem.INGEST_REFUSES: lambda: judge_ingest(ingest(metrics="<html>")),
    Problem.INGEST_NOT_READY: lambda: judge_ingest(ingest(reasons=["not connected to the broker"])),
    Problem.VIEW_UNREACHABLE: lambda: judge_view(Process(URL, NOBODY, NOBODY, NOBODY)),
    Problem.VIEW_REFUSES: lambda: judge_view(process(answer(), answer(ready=True, reasons=[]))),
    Problem.VIEW_NOT_READY: lambda: judge_view(view(ready=False)),
    Problem.VIEW_STALE: lambda: judge_view(view(stale=True)),
    Problem.SINK_FAILS: lambda: judge_view(
        view(metrics=f'{BUILD}eval_alignment_snapshot_last_success_timestamp_seconds{{sink="store"}} 900\n')
    ),
    Problem.SERIES_SUPPRESSED: lambda: judge_view(view(metrics=f"{BUILD}eval_alignment_series_suppressed_total 7\n")),
    Problem.VERSIONS_DIFFER: lambda: judge_versions([worker(), view()], "0.9"),
    Problem.CLOCK_SKEW: lambda: judge_clock([ahead(-3.0)], 0.1),
    Problem.DEAD_LETTERS: lambda: judge_dead_letters(
        RecentDeadLetters(Counter({("t", "misrouted"): 3}), 0, NOW_MS - 5000, more=False), NOW_MS
    ),
    Problem.DEAD_LETTER_FOREIGN: lambda: judge_dead_letters(RecentDeadLetters(Counter(), 2, None, more=False), NOW_MS),
    Problem.PROMETHEUS_UNREACHABLE: lambda: judge_prometheus(Prometheus(URL, "Connection refused")),
    Problem.RULES_MISSING: lambda: judge_prometheus(prometheus(rules=[Rule("eval_alignment:x", False, "", False)])),
    Problem.RULES_BROKEN: lambda: judge_prometheus(prometheus([Rule("EvalAlignmentX", True, "many-to-many", False)])),
    Problem.TARGETS_MISSING: lambda: judge_prometheus(prometheus(targets=[])),
    Problem.TARGETS_DOWN: lambda: judge_prometheus(prometheus(targets=[Scraped(URL, "refused")])),
    Problem.ALERTS_FIRE: lambda: judge_prometheus(prometheus([Rule("EvalAlignmentX", True, "", True)])),
    Problem.ALERTMANAGER_MISSING: lambda: judge_alertmanager(prometheus(managers=[]), [], ""),
    Problem.ALERTMANAGER_UNREACHABLE: lambda: judge_alertmanager(prometheus(), [Answer(URL, 503)], ""),
    Problem.WAIT_DAYS: lambda: judge_waiting([storing(), storing(days=9)], {}, 30),
    Problem.WAITING_STORE: lambda: judge_waiting([storing(away="the disk is full")], {}, 30),
    Problem.REBUILDING: lambda: judge_waiting([], markers(waiting=waits(rebuilding=3)), 30),
    Problem.WAITING_MISSING: lambda: judge_waiting([], markers(waiting=waits(missing=3)), 30),
    Problem.WAITING_DISK: lambda: judge_waiting([storing(free=2e9)], {}, 30),
    Problem.DISK_FULL: lambda: judge_disk(Disk(Path("data"), 500 * MIB, 0), Path("data")),
}


@pytest.mark.parametrize("problem", Problem, ids=lambda problem: problem.name)
def test_every_problem_of_the_table_is_found(problem: Problem) -> None:
    (finding,) = CASES[problem]()
    entry = problem.value
    assert (finding.name, finding.check, finding.action) == (problem.name.lower(), entry.check, entry.action)
    assert finding.severity is entry.severity
    assert finding.check in [check.name for check in CHECKS]
    assert finding.observed


SOUND: dict[str, Callable[[], list[Finding]]] = {
    "broker": lambda: broker(None),
    "topics": lambda: judge_topics(Described({TOPICS.facts: 8}, TopicsDiff([], [])), TOPICS),
    "producers": lambda: judge_producers([SampledRecord("t", 1, 5, 1, mismatch=False)]),
    "names": lambda: judge_names([evaluated("m", 0.7), evaluated("tone", 0.7)]),
    "scales": lambda: judge_scales([evaluated("m", 0.7), evaluated("m", 0.8, judge="v2")]),
    "workers": workers,
    "lag": lambda: judge_lag([offsets(9, 9)]),
    "commits": lambda: judge_commits([offsets(2, 9), offsets(5, 9)]),
    "recount": recounted,
    "worker": lambda: judge_worker(worker(metrics=f"{BUILD}eval_alignment_audit_mismatches 0\n")),
    "circuit_breaker": lambda: judge_circuit_breaker(
        [worker(metrics=f"{BUILD}eval_alignment_circuit_breaker_open 0\n")]
    ),
    "view": lambda: judge_view(
        view(metrics=f'{BUILD}eval_alignment_snapshot_last_success_timestamp_seconds{{sink="store"}} 990\n')
    ),
    "ingest": lambda: judge_ingest(ingest()),
    "versions": lambda: judge_versions([worker(), view(), ingest()], "1.0"),
    "clock": lambda: judge_clock([ahead(-0.9), ahead(0.9)], 0.1),
    "dead-letters": lambda: judge_dead_letters(RecentDeadLetters(Counter(), 0, None, more=False), NOW_MS),
    "prometheus": lambda: judge_prometheus(prometheus()),
    "alertmanager": lambda: judge_alertmanager(prometheus(), [Answer(URL, 200)], ""),
    "waiting": lambda: judge_waiting([storing(), worker()], markers(waiting=waits()), 30),
    "disk": lambda: judge_disk(Disk(Path("data"), 2048 * MIB, MIB), Path("data")),
}


def test_a_partition_with_a_renewed_ledger_id_is_of_the_same_ledger() -> None:
    """A worker renews the id of a partition that goes on after a loss: see `streams.engine.salvage`."""
    findings = workers(closes=markers() | markers(1, ledger=renewed("l1")), partitions=2)
    assert [finding.name for finding in findings] == ["ok"]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_every_check_finds_nothing_in_a_sound_installation(check: Any) -> None:
    (finding,) = SOUND[check.name]()
    assert (finding.check, finding.severity, finding.name) == (check.name, Severity.OK, "ok")


def test_ok_is_never_a_guess() -> None:
    """What was not asked, or did not answer, is not among what is ok."""
    for unknown in (judge_producers([]), judge_names([]), judge_scales([])):
        assert [finding.name for finding in unknown] == ["skipped"]
    unread = [SampledRecord("t", 1, 5, 1, mismatch=False), SampledRecord("t", 1, 6, 1, mismatch=None)]
    (finding,) = judge_producers(unread)
    assert finding.observed.startswith("the last 1 records have the item as key")
    assert "the item of 1 others cannot be read" in finding.observed

    listed = judge_topics(Described({TOPICS.facts: 8}, TopicsDiff([], ["a", "b"])), TOPICS)
    assert [(finding.name, finding.observed) for finding in listed] == [
        ("ok", "all 7 topics exist, with 8 partitions"),
        ("skipped", "not asked: the broker does not report settings of a, b"),
    ]

    assert judge_circuit_breaker([view()]) == [], "a view has no circuit breaker"
    paused = worker(reasons=["the circuit breaker is open"], metrics=f"{BUILD}eval_alignment_circuit_breaker_open 1\n")
    (finding,) = judge_circuit_breaker([paused], [RejectedExample("t:0:7", "malformed", "not JSON", "{")])
    assert finding.observed.endswith(
        "the circuit breaker is open; first of the invalid events that wait: t:0:7 malformed: not JSON; value {"
    )

    fresh = prometheus([Rule("EvalAlignmentX", True, "", False, evaluated=False)], [Scraped(URL, "", scraped=False)])
    (finding,) = judge_prometheus(fresh)
    assert (finding.name, finding.observed) == (
        "skipped",
        f"not evaluated or scraped since its start: EvalAlignmentX, {URL}",
    )


@pytest.mark.parametrize("other", [worker, view], ids=["worker", "view"])
def test_a_worker_or_view_at_the_address_of_ingest_is_named(other: Callable[[], Process]) -> None:
    assert {finding.name for finding in judge_ingest(other())} == {"ingest_refuses"}


@pytest.mark.parametrize(
    ("answers", "configured", "names"),
    [
        # Prometheus knows an Alertmanager, and nothing listens there.
        ({"http://a": False}, "", ["alertmanager_unreachable"]),
        ({"http://a": True, "http://b": False}, "", ["alertmanager_unreachable", "ok"]),
        # The address that only the network of Prometheus knows is named, but is no error.
        ({"http://here": True, "http://a": False}, "http://here", ["skipped", "ok"]),
        ({"http://here": False, "http://a": True}, "http://here", ["alertmanager_unreachable", "ok"]),
    ],
)
def test_an_alertmanager_is_ok_when_it_answered(answers: dict[str, bool], configured: str, names: list[str]) -> None:
    asked = [Answer(url, 200) if up else Answer(url, 0, error="Connection refused") for url, up in answers.items()]
    findings = judge_alertmanager(prometheus(managers=["http://a"]), asked, configured)
    assert [finding.name for finding in findings] == names
    assert findings[-1].observed == "http://a/-/ready: Connection refused" or findings[-1].observed.endswith("is ready")


def test_an_unknown_alertmanager_is_not_ok() -> None:
    (finding,) = judge_alertmanager(Prometheus(URL, "Connection refused"), [], "")
    assert finding.name == "skipped"


def test_one_answering_broker_makes_the_others_errors() -> None:
    findings = broker(Problem.BROKER_REFUSED, None, Problem.BROKER_TIMEOUT)
    assert [finding.severity for finding in findings] == [Severity.ERROR, Severity.ERROR, Severity.OK]


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (socket.gaierror(-2, "unknown"), Problem.BROKER_NAME),
        (ConnectionRefusedError(), Problem.BROKER_REFUSED),
        (TimeoutError(), Problem.BROKER_TIMEOUT),
        (ssl.SSLCertVerificationError("self-signed"), Problem.BROKER_TLS),
        (SaslAuthenticationFailed(), Problem.BROKER_SASL),
        (UnsupportedSaslMechanismError(), Problem.BROKER_SASL),
        (KafkaConnectionError("closed"), Problem.BROKER_PROTOCOL),
        (OSError(113, "no route"), Problem.BROKER_LOST),
    ],
)
def test_a_failed_connection_has_a_cause(error: Exception, problem: Problem) -> None:
    assert problem_of(error) is problem


@pytest.mark.parametrize("setting", ["cleanup.policy", "message.timestamp.type"])
def test_a_setting_that_decides_what_is_kept_is_an_error(setting: str) -> None:
    assert [finding.severity for finding in topics(setting)] == [Severity.ERROR]


@pytest.mark.parametrize("setting", ["retention.ms", "retention.bytes"])
def test_a_short_retention_of_evaluations_is_an_error(setting: str) -> None:
    differences = [Difference(topic, setting, "2", "1") for topic in (TOPICS.annotations, TOPICS.evaluations)]
    findings = judge_topics(Described({}, TopicsDiff(differences, [])), TOPICS)
    assert [finding.severity for finding in findings] == [Severity.WARNING, Severity.ERROR]


def test_another_partition_is_recounted_every_minute() -> None:
    assert [choose([4, 2, 7], 60.0 * minute) for minute in range(4)] == [2, 4, 7, 2]
    assert choose([], 0.0) is None
    assert judge_recount(None, 8)[0].name == "skipped"


def test_a_difference_is_named_with_both_sides() -> None:
    counted = Recount(
        [
            Annotation(NOW_MS, "a", "q", "i", thumbs="up"),
            Evaluation(NOW_MS, "e", "i", "m", passed=True),
        ]
    ).tallies()
    assert compare(counted, counted) == []
    group = next(group for group in counted if group[0] == "annotations")
    (line,) = compare(counted | {group: {"annotations": 9, "contributing": 1}}, counted)
    assert line.startswith("annotations / ")
    assert '"annotations":9' in line
    assert compare({}, {group: counted[group]})[0].endswith(f"published nothing, counted {_compact(counted[group])}")


def _compact(payload: object) -> str:
    return json.dumps(payload, separators=(",", ":"))


def test_a_disk_needs_as_much_room_as_the_store_has() -> None:
    assert judge_disk(Disk(Path("data"), 3000 * MIB, 4000 * MIB), Path("data"))[0].name == "disk_full"
    assert judge_disk(Disk(Path("data"), 100 * MIB, 0), Path("data"))[0].severity is Severity.ERROR
    assert judge_disk(None, Path("data"))[0].name == "skipped"


def test_processes_that_did_not_answer_have_no_findings_of_their_own() -> None:
    silent = [Process(URL, NOBODY, NOBODY, NOBODY)]
    assert (judge_circuit_breaker(silent), judge_versions(silent, "1.0"), judge_clock(silent, None)) == ([], [], [])


def test_the_worst_comes_first_and_decides_the_exit_code() -> None:
    well, remark = ok("lag", "nothing"), skipped("disk", "elsewhere")
    warned, wrong, dire = (
        not_run("lag", "?"),
        problem_found(Problem.VIEW_STALE, "old"),
        problem_found(Problem.NO_WORKER, "none"),
    )
    assert ordered([well, wrong, warned, dire, remark]) == [dire, wrong, warned, remark, well]
    assert exit_code([well, remark]) is ExitCode.SOUND
    assert exit_code([well, warned]) is ExitCode.WARNING
    assert exit_code([wrong, warned]) is exit_code([dire]) is ExitCode.ERROR
    assert [ending.code for ending in (ExitCode.SOUND, ExitCode.WARNING, ExitCode.ERROR)] == [0, 1, 2]


def test_without_a_broker_every_check_is_named_and_the_cause_stands_first(tmp_path: Path) -> None:
    with socket.socket() as taken:
        # Bound but not listening: connections are refused.
        taken.bind(("127.0.0.1", 0))
        nowhere = f"127.0.0.1:{taken.getsockname()[1]}"
        arguments = ["--broker", nowhere, "--worker-url", f"http://{nowhere}", "--view-url", f"http://{nowhere}"]
        ran = CliRunner().invoke(doctor, [*arguments, "--data-dir", str(tmp_path), "--json"])
        text = CliRunner().invoke(doctor, [*arguments, "--only", "broker", "--only", "view"])
    assert ran.exit_code == text.exit_code == 2
    findings = json.loads(ran.stdout)
    assert {finding["check"] for finding in findings} == {check.name for check in CHECKS}
    assert findings[0] == {
        "severity": "critical",
        "check": "broker",
        "name": "broker_refused",
        "observed": findings[0]["observed"],
        "action": Problem.BROKER_REFUSED.value.action,
        "docs": "docs/doctor.md#broker",
    }
    assert findings[0]["observed"].startswith(nowhere)
    assert {finding["name"] for finding in findings if finding["check"] in ("topics", "lag", "recount")} == {"skipped"}
    lines = text.stdout.splitlines()
    assert [line.split()[:2] for line in lines[::2]] == [["critical", "broker"], ["error", "view"], ["1", "critical,"]]
    assert lines[1].endswith("[broker_refused, docs/doctor.md#broker]")


def test_the_checks_are_listed_and_chosen() -> None:
    listed = CliRunner().invoke(doctor, ["--list", "--skip", "lag"]).stdout
    assert [line.split()[0] for line in listed.splitlines()] == [check.name for check in CHECKS if check.name != "lag"]
    wrong = CliRunner().invoke(doctor, ["--only", "lag", "--skip", "disk"])
    assert (wrong.exit_code, "cannot be combined" in wrong.stderr) == (2, True)
