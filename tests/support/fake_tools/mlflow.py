"""MLflow: traces by a filter of their time and by tokens that are offsets, review queues and their items."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.support.fake_tools.base import FakeClock, FakeTool, iso

TOKEN = "mlflow-invented"
MOST = 500


class FakeMlflow(FakeTool):
    """One server of MLflow."""

    def __init__(self, clock: FakeClock, seed: int = 0) -> None:
        super().__init__(clock, seed, {"authorization": f"Bearer {TOKEN}"})
        self.experiments = {"1": "active"}
        """Lifecycle stage by id."""
        self.traces: dict[str, dict[str, Any]] = {}
        """Traces by id; `request_time` and the times of assessments are milliseconds."""
        self.queues: dict[str, dict[str, dict[str, Any]]] = {}
        """Items by the id of their trace, by the id of their queue."""
        self.has_queues = True
        self._number = 0

    def new_id(self, kind: str) -> str:
        """An id that was never used."""
        self._number += 1
        # Ids of one millisecond are in no order.
        return f"{kind}-{self.random.randrange(1_000):03d}{self._number:05d}"

    def add_trace(self, experiment: str = "1", *, at: int | None = None) -> str:
        """A trace of now."""
        id = self.new_id("tr")
        time = self.clock.now if at is None else at
        self.traces[id] = {"experiment": experiment, "request_time": time, "assessments": {}}
        return id

    def assess(self, trace: str, name: str, value: Any, *, kind: str = "HUMAN", by: str = "ada") -> str:
        """An assessment of now."""
        id, now = self.new_id("a"), self.clock.now
        source = {"source_type": kind, "source_id": by}
        times = {"create_time": now, "last_update_time": now}
        self.traces[trace]["assessments"][id] = {
            "assessment_name": name, "source": source, "feedback": {"value": value}, "valid": True, **times,
        }  # fmt: skip
        return id

    def add_item(self, queue: str, trace: str) -> None:
        """A trace that is put into a queue now."""
        self.queues.setdefault(queue, {})[trace] = {"status": "PENDING", "creation_time_ms": self.clock.now}

    def delete_trace(self, trace: str) -> None:
        """Delete a trace, and its items in queues."""
        del self.traces[trace]
        for items in self.queues.values():
            items.pop(trace, None)

    def answer(self, path: str, parameters: Mapping[str, str]) -> Any:
        """Traces, an experiment, queues, or items of a queue."""
        match path.rpartition("/mlflow/")[2]:
            case "traces/search":
                return self._search(json.loads(self.requests[-1].content))
            case "experiments/get" if stage := self.experiments.get(parameters["experiment_id"]):
                return {"experiment": {"experiment_id": parameters["experiment_id"], "lifecycle_stage": stage}}
            case "review-queues/list" if self.has_queues:
                return _page("review_queues", [{"queue_id": id} for id in reversed(self.queues)], parameters)
            case "review-queues/items/list" if (items := self.queues.get(parameters["queue_id"])) is not None:
                queue, newest = parameters["queue_id"], sorted(items, key=lambda id: -items[id]["creation_time_ms"])
                found = [{"queue_id": queue, "item_type": "TRACE", "item_id": id, **items[id]} for id in newest]
                return _page("items", found, parameters)
        return 404

    def _search(self, query: dict[str, Any]) -> Any:
        name, operator, bound = query["filter"].split()
        if query["max_results"] > MOST or (name, operator) != ("trace.timestamp_ms", ">="):
            return 400
        (location,) = query["locations"]
        experiment = location["mlflow_experiment"]["experiment_id"]
        found = [
            (trace["request_time"], id)
            for id, trace in self.traces.items()
            if trace["experiment"] == experiment and trace["request_time"] >= int(bound)
        ]
        ordered = sorted(found, key=lambda each: each[0] if query["order_by"] == ["timestamp_ms ASC"] else -each[0])
        return _page("traces", [self._trace(id) for _, id in ordered], query)

    def _trace(self, id: str) -> dict[str, Any]:
        trace = self.traces[id]
        shown = [
            {
                "assessment_id": native, "trace_id": id, **assessment,
                "create_time": iso(assessment["create_time"]), "last_update_time": iso(assessment["last_update_time"]),
            }
            for native, assessment in trace["assessments"].items()
        ]  # fmt: skip
        # The server leaves out empty lists.
        return {"trace_id": id, "request_time": iso(trace["request_time"])} | ({"assessments": shown} if shown else {})


def _page(name: str, records: Sequence[Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    token, limit = parameters.get("page_token"), int(parameters.get("max_results", 100))
    start = json.loads(base64.b64decode(token))["offset"] if token else 0
    page = records[start : start + limit]
    more = start + limit < len(records)
    following = base64.b64encode(json.dumps({"offset": start + limit}).encode()).decode() if more else ""
    return ({name: page} if page else {}) | ({"next_page_token": following} if page else {})
