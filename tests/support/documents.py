"""Snapshot documents without the fields that depend on time and place of their making, for comparisons."""

from collections.abc import Mapping
from typing import Any

from tests.support.deployments import Cluster, Installation
from tests.support.processes import get_json

Documents = dict[str, Mapping[str, Any]]
_OWN = ("as_of", "revision", "ledger", "positions", "rebuilding")


def comparable(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """A document without its times, revision and ledger, and what workers read again meanwhile."""
    return {name: part for name, part in document.items() if name not in _OWN}


def documents(of: Installation | Cluster) -> Documents:
    """All documents of an API by queue, comparable."""
    listed = get_json(f"{of.url}/api/v1/queues?limit=500&empty=1")
    assert listed["next"] is None
    return {entry["queue"]: comparable(of.document(entry["queue"])) for entry in listed["queues"]}
