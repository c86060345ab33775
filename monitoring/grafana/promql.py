"""PromQL expressions that several panels share.

Several views export the same values. `max` takes one of them before anything is summed.
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
    """A recorded value of the chosen pair over the last 30 days; alerts use the same one."""
    return f'max(pair_rate:eval_alignment_newest_judge_window_comparisons:{name}{{{PAIR},rate="{rate}"}})'


def count(outcome: str) -> str:
    """The number of comparisons of the chosen pair with an outcome."""
    return f'max(eval_alignment_comparisons{{{PAIR},outcome="{outcome}"}})'


def count_all() -> str:
    """The number of comparisons of the chosen pair."""
    return f"sum(max by (outcome) (eval_alignment_comparisons{{{PAIR}}}))"


def rate(counter: str, by: str) -> str:
    """The rate per second, summed by these labels."""
    return f"sum by ({by}) (rate({counter}[$__rate_interval]))"


def quantiles(histogram: str) -> list[tuple[str, str]]:
    """The 50th, 95th and 99th percentile of a histogram, each with its legend."""
    return [
        (f"histogram_quantile({quantile}, sum by (le) (rate({histogram}_bucket[$__rate_interval])))", legend)
        for quantile, legend in (("0.5", "half within"), ("0.95", "95 % within"), ("0.99", "99 % within"))
    ]


def alerting(*matchers: str) -> str:
    """The alerts of Eval Alignment, pending ones too unless a matcher excludes them."""
    selector = ",".join(('alertname=~"EvalAlignment.*"', *matchers))
    return f"ALERTS{{{selector}}}"
