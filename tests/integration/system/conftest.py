"""An installation on the embedded broker for tests that only add to it."""

from collections.abc import Iterator

import pytest

from tests.support.deployments import Installation


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """`up` on the embedded broker, shared by the whole run: use queues of your own, and leave it running."""
    prompt = {"EVAL_ALIGNMENT_AUDIT_INTERVAL_S": "1"}
    with Installation(tmp_path_factory.mktemp("embedded"), environment=prompt) as installation:
        yield installation
