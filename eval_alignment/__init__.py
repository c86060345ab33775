"""Measures how well LLM judges agree with human annotators.

The package is the command, its settings and its wiring. For use as a library it re-exports the clients, `Client` and
`AsyncClient`, which send events to a running installation, and the counting core: `recount` counts events, `Recount`
and `Shard` count facts, `Decoder` turns events into facts. Each name is imported on first use, so
`import eval_alignment` loads none of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from aggregator.days import Window
    from aggregator.facts import Annotation, Evaluation, Fact, QueueItem
    from aggregator.policy import Policy
    from aggregator.recount import Recount
    from aggregator.shard import Shard
    from aggregator.snapshot.inputs import CountingRules
    from aggregator.snapshot.schema import SnapshotDocument
    from aggregator.statistics.gate import GateLimits
    from eval_alignment.client.asynchronous import AsyncClient
    from eval_alignment.client.errors import ClientError, DeliveryError, QueueFullError
    from eval_alignment.client.outbox import EventWarning, OutgoingEvent, RejectedEvent
    from eval_alignment.client.sync import Client
    from eval_alignment.library import recount
    from streams.events.decoder import Decoder, MetricDefaults, Rejection
    from streams.events.errors import InvalidEventError

    __version__: str

_MODULES: Final = {
    "Annotation": "aggregator.facts",
    "AsyncClient": "eval_alignment.client.asynchronous",
    "Client": "eval_alignment.client.sync",
    "ClientError": "eval_alignment.client.errors",
    "CountingRules": "aggregator.snapshot.inputs",
    "Decoder": "streams.events.decoder",
    "DeliveryError": "eval_alignment.client.errors",
    "Evaluation": "aggregator.facts",
    "EventWarning": "eval_alignment.client.outbox",
    "Fact": "aggregator.facts",
    "GateLimits": "aggregator.statistics.gate",
    "InvalidEventError": "streams.events.errors",
    "MetricDefaults": "streams.events.decoder",
    "OutgoingEvent": "eval_alignment.client.outbox",
    "Policy": "aggregator.policy",
    "QueueFullError": "eval_alignment.client.errors",
    "QueueItem": "aggregator.facts",
    "Recount": "aggregator.recount",
    "RejectedEvent": "eval_alignment.client.outbox",
    "Rejection": "streams.events.decoder",
    "Shard": "aggregator.shard",
    "SnapshotDocument": "aggregator.snapshot.schema",
    "Window": "aggregator.days",
    "recount": "eval_alignment.library",
}
"""Each exported name and the module that defines it."""

__all__ = [
    "Annotation",
    "AsyncClient",
    "Client",
    "ClientError",
    "CountingRules",
    "Decoder",
    "DeliveryError",
    "Evaluation",
    "EventWarning",
    "Fact",
    "GateLimits",
    "InvalidEventError",
    "MetricDefaults",
    "OutgoingEvent",
    "Policy",
    "QueueFullError",
    "QueueItem",
    "Recount",
    "RejectedEvent",
    "Rejection",
    "Shard",
    "SnapshotDocument",
    "Window",
    "__version__",
    "recount",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value: Any = import_module("importlib.metadata").version("eval-alignment")
    elif name in _MODULES:
        value = getattr(import_module(_MODULES[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
