"""What markers report of judge versions that wait: the newest, from bounded memory."""

from aggregator.facts import Evaluation
from aggregator.shard import Shard
from aggregator.tallies import WAITING_JUDGES, WaitingState
from streams.waiting import report
from streams.waiting.report import RENEW_SECONDS, WaitingReport

VERSIONS = 5 * report._JUDGES


def verdict(at: int, judge: str) -> Evaluation:
    return Evaluation(at=at, id=f"e{at}", item=f"i{at}", metric="m", judge=judge, passed=True)


def reported(of: WaitingReport, before: int | None, now: float) -> WaitingState:
    state = of.state(Shard(0), VERSIONS, 0, before, now)
    assert state is not None
    return state


def test_the_newest_versions_are_reported_and_few_are_kept() -> None:
    waiting, most = WaitingReport(), 0
    for at in range(VERSIONS):
        waiting.saw(verdict(at, f"v{at}"))
        waiting.saw(verdict(at, "always"))
        most = max(most, len(waiting._judges))
    assert most <= 2 * report._JUDGES + 1
    judges = reported(waiting, None, 0.0)["judges"]
    assert judges[0][:2] == ("m", "always") or judges[1][:2] == ("m", "always")
    newest = {f"v{at}" for at in range(VERSIONS - WAITING_JUDGES + 1, VERSIONS)}
    assert {judge for _, judge, *_ in judges} == newest | {"always"}
    assert next(count for _, judge, _, _, count in judges if judge == "always") == VERSIONS


def test_versions_whose_evaluations_expired_are_forgotten() -> None:
    waiting = WaitingReport()
    for at in range(10):
        waiting.saw(verdict(at, f"v{at}"))
    assert len(reported(waiting, 7, 0.0)["judges"]) == 3
    assert len(waiting._judges) == 3
    assert reported(waiting, 100, RENEW_SECONDS)["judges"] == []
    assert not waiting._judges
