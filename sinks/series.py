"""Lines of gauges in the text format of Prometheus."""

from typing import Final

from streams.runtime.metric_specs import MetricSpec

SeriesLine = tuple[str, str]
"""The name of a family, and one of its lines."""

_ESCAPED: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


def label(value: str) -> str:
    r"""A label value, escaped and quoted.

    >>> print(label('say "hi"\n'))
    "say \"hi\"\n"
    """
    return f'"{value.translate(_ESCAPED)}"'


def line(spec: MetricSpec, labels: str, value: float) -> SeriesLine:
    """A line of a family; `labels` are names with `label` of their values, separated by commas."""
    return spec.name, f"{spec.name}{{{labels}}} {float(value)!r}\n"
