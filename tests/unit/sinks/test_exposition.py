"""The format of what is scraped, for every Accept header."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from sinks.exposition import expose

_TYPES = st.sampled_from(["application/openmetrics-text", "text/plain", " text/plain", "*/*", ""])
_NAMES = st.sampled_from(["version=", "Version =", "version\t=", "escaping=", "q="])
_VALUES = st.sampled_from(["1.0.0", "x.y", "99", "-1", "²", "1.0.0\x0b", "1.0.0\xe9", "", "allow-utf-8", "zz", "1_0"])
_RANGES = st.tuples(_TYPES, st.lists(st.tuples(_NAMES, _VALUES), max_size=3))


def registry() -> CollectorRegistry:
    filled = CollectorRegistry()
    Counter("things", "Things.", registry=filled).inc()
    return filled


@pytest.mark.parametrize(
    "accept",
    [
        "application/openmetrics-text; version=x.y",
        "text/plain; version=x",
        "application/openmetrics-text;version=1.0\x0b",
    ],
)
def test_an_invalid_version_is_answered_in_the_text_format(accept: str) -> None:
    body, content_type = expose(registry(), accept)
    assert content_type == CONTENT_TYPE_PLAIN_0_0_4
    assert b"things_total 1.0\n" in body
    assert b"# EOF" not in body


@given(st.lists(_RANGES, max_size=3))
def test_every_accept_header_has_an_answer_with_a_plain_type(ranges: list[tuple[str, list[tuple[str, str]]]]) -> None:
    accept = ",".join(";".join([kind, *(name + value for name, value in given)]) for kind, given in ranges)
    body, content_type = expose(registry(), accept)
    assert b"things_total 1.0\n" in body
    assert content_type.isascii()
    assert content_type.isprintable()
