"""Any body is answered."""

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.ingest import CE, open_door, packed

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["id", "at", "item", "metric", "data", "specversion", "kind", "stars"]) | st.text(), inner
        )
    ),
    max_leaves=12,
)
BODIES = (
    st.binary()
    | JSON_VALUES.map(lambda value: json.dumps(value).encode())
    | st.lists(JSON_VALUES, max_size=5).map(lambda values: b"\n".join(json.dumps(value).encode() for value in values))
)
TYPES = st.sampled_from(
    [
        None,
        "application/json",
        "application/x-ndjson",
        "application/cloudevents+json",
        "application/cloudevents-batch+json",
        "text/plain",
    ]
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=BODIES,
    packing=st.sampled_from([None, "gzip", "zstd"]),
    corrupt=st.booleans(),
    content_type=TYPES,
    binary=st.booleans(),
)
async def test_any_body_is_answered(
    body: bytes, packing: str | None, corrupt: bool, content_type: str | None, binary: bool
) -> None:
    headers = dict(CE) if binary else {}
    if packing is not None:
        headers["content_encoding"] = packing
        body = body if corrupt else packed(body, packing)
    async with open_door() as door:
        answer = await door.send(body, content_type, **headers)
        assert answer.status_code in {200, 207, 400, 413, 415, 422}
        if answer.status_code in {200, 207, 422}:
            answered = answer.json()
            assert answered["accepted"] == len(door.publisher.sent)
            assert answer.status_code == (200 if not answered["rejected"] else 207 if answered["accepted"] else 422)
        else:
            assert answer.headers["content-type"] == "application/problem+json"
            assert door.publisher.sent == []
        assert door.metric("in_flight_bytes") == 0
