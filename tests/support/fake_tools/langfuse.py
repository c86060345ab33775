"""Langfuse: scores by a cursor of time and id, queues and their items by number."""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from tests.support.fake_tools.base import FakeClock, FakeTool, iso

PUBLIC_KEY = "pk-lf-invented"
SECRET_KEY = "sk-lf-invented"
MOST = 100


class FakeLangfuse(FakeTool):
    """One project of Langfuse."""

    def __init__(self, clock: FakeClock, seed: int = 0) -> None:
        token = base64.b64encode(f"{PUBLIC_KEY}:{SECRET_KEY}".encode()).decode()
        super().__init__(clock, seed, {"authorization": f"Basic {token}"})
        self.scores: dict[str, dict[str, Any]] = {}
        """Scores by id; `timestamp` and the other times are milliseconds."""
        self.queues: dict[str, dict[str, dict[str, Any]]] = {}
        """Items by id, by the id of their queue."""
        self._number = 0

    def new_id(self, kind: str) -> str:
        """An id that was never used."""
        self._number += 1
        # Ids of one millisecond are in no order.
        return f"{kind}-{self.random.randrange(1_000):03d}-{self._number}"

    def add_score(
        self,
        name: str,
        value: Any,
        *,
        item: str,
        source: str = "ANNOTATION",
        author: str | None = None,
        queue: str | None = None,
        comment: str | None = None,
        timestamp: int | None = None,
    ) -> str:
        """A score of now."""
        id, now = self.new_id("sc"), self.clock.now
        kinds = {bool: "BOOLEAN", str: "CATEGORICAL"}
        self.scores[id] = {
            "name": name, "value": value, "dataType": kinds.get(type(value), "NUMERIC"), "source": source,
            "timestamp": now if timestamp is None else timestamp, "updatedAt": now, "comment": comment,
            "authorUserId": author, "queueId": queue, "subject": {"kind": "trace", "id": item},
        }  # fmt: skip
        return id

    def add_item(self, queue: str, item: str) -> str:
        """A trace that is put into a queue now."""
        id = self.new_id("qi")
        self.queues.setdefault(queue, {})[id] = {"objectId": item, "status": "PENDING", "createdAt": self.clock.now}
        return id

    def answer(self, path: str, parameters: Mapping[str, str]) -> Any:
        """Scores, queues, or items of a queue."""
        limit = int(parameters.get("limit", "50"))
        if limit > MOST:
            return 400
        match [unquote(each) for each in path.removeprefix("/api/public/").split("/")]:
            case ["v3", "scores"]:
                return self._scores(limit, parameters)
            case ["annotation-queues"]:
                queues = [{"id": id, "name": id.title()} for id in reversed(self.queues)]
                return _numbered(queues, limit, parameters)
            case ["annotation-queues", queue, "items"] if queue in self.queues:
                return _numbered(
                    [*map(_item_of(queue), self._newest(self.queues[queue], "createdAt"))], limit, parameters
                )
        return 404

    def _scores(self, limit: int, parameters: Mapping[str, str]) -> Any:
        if {*parameters.get("fields", "").split(",")} != {"details", "subject", "annotation"}:
            return 400
        found = self._newest(self.scores, "timestamp")
        if (first := parameters.get("fromTimestamp")) is not None:
            found = [(id, score) for id, score in found if iso(score["timestamp"]) >= first]
        if (cursor := parameters.get("cursor")) is not None:
            last = tuple(json.loads(base64.urlsafe_b64decode(cursor)))
            found = [(id, score) for id, score in found if (score["timestamp"], id) < last]
        page, meta = found[:limit], dict[str, Any](limit=limit)
        if len(found) > limit:
            id, score = page[-1]
            meta["cursor"] = base64.urlsafe_b64encode(json.dumps([score["timestamp"], id]).encode()).decode()
        return {"data": [_score(id, score) for id, score in page], "meta": meta}

    @staticmethod
    def _newest(records: Mapping[str, dict[str, Any]], time: str) -> Sequence[tuple[str, dict[str, Any]]]:
        return sorted(records.items(), key=lambda record: (record[1][time], record[0]), reverse=True)


def _score(id: str, score: Mapping[str, Any]) -> dict[str, Any]:
    times = {name: iso(score[name]) for name in ("timestamp", "updatedAt")}
    return {"id": id, "projectId": "pr-1", "environment": "default", "createdAt": times["timestamp"], **score, **times}


def _item_of(queue: str) -> Callable[[tuple[str, Mapping[str, Any]]], dict[str, Any]]:
    def item(record: tuple[str, Mapping[str, Any]]) -> dict[str, Any]:
        id, fields = record
        created = iso(fields["createdAt"])
        times = {"createdAt": created, "updatedAt": created, "completedAt": None}
        return {"id": id, "queueId": queue, "objectType": "TRACE", **fields, **times}

    return item


def _numbered(records: Sequence[Any], limit: int, parameters: Mapping[str, str]) -> dict[str, Any]:
    page, total = int(parameters.get("page", "1")), len(records)
    meta = {"page": page, "limit": limit, "totalItems": total, "totalPages": -(-total // limit)}
    return {"data": records[(page - 1) * limit : page * limit], "meta": meta}
