"""PromQL that several panels share.

Several views tell the same, so one of them is taken (`max`) before anything is added up.
"""

from typing import Final

CRITERION: Final = 'queue="$queue",criterion="$criterion"'
"""The chosen queue and criterion."""
PAIR: Final = 'queue="$queue",criterion="$criterion",metric="$metric"'
"""The chosen queue, criterion and metric."""


def one(name: str, window: str | None = "all") -> str:
    """A gauge of the chosen pair in a window; `window` None for a family that has no windows."""
    matcher = "" if window is None else f',window="{window}"'
    return f"max(eval_alignment_{name}{{{PAIR}{matcher}}})"


def recent(name: str, rate: str) -> str:
    """What a rule records of the chosen pair's last 30 days; it is what alerts look at."""
    return f'max(pair_rate:eval_alignment_window_comparisons:{name}{{{PAIR},rate="{rate}"}})'


def count(outcome: str) -> str:
    """Comparisons of the chosen pair with an outcome."""
    return f'max(eval_alignment_comparisons{{{PAIR},outcome="{outcome}"}})'


def count_all() -> str:
    """Comparisons of the chosen pair."""
    return f"sum(max by (outcome) (eval_alignment_comparisons{{{PAIR}}}))"


def rate(counter: str, by: str) -> str:
    """Increase a second, added up over all but some labels."""
    return f"sum by ({by}) (rate({counter}[$__rate_interval]))"


def quantiles(histogram: str) -> list[tuple[str, str]]:
    """Within which time half, 95 % and 99 % were done, each with its legend."""
    return [
        (f"histogram_quantile({quantile}, sum by (le) (rate({histogram}_bucket[$__rate_interval])))", legend)
        for quantile, legend in (("0.5", "half within"), ("0.95", "95 % within"), ("0.99", "99 % within"))
    ]


def alerting(*matchers: str) -> str:
    """Our alerts, pending ones too unless a matcher says otherwise."""
    said = ",".join(('alertname=~"EvalAlignment.*"', *matchers))
    return f"ALERTS{{{said}}}"
