"""An installation with the embedded broker for tests that only add events."""

from collections.abc import Iterator

import pytest

from tests.support.deployments import Installation


@pytest.fixture(scope="package")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """`up` with the embedded broker, shared by all tests: each uses its own queues and leaves it running."""
    prompt = {"EVAL_ALIGNMENT_AUDIT_INTERVAL_S": "0.2"}
    with Installation(tmp_path_factory.mktemp("embedded"), environment=prompt) as installation:
        yield installation
