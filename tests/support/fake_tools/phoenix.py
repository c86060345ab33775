"""Arize Phoenix: spans by a cursor of start time and id, annotations by the ids of what they are about."""

from collections.abc import Mapping
from typing import Any

from tests.support.fake_tools.base import FakeClock, FakeTool, iso

API_KEY = "px-invented"
PROJECT = "support/eu"
MOST_SPANS = 1_000
MOST_IDS = 1_000
_TARGETS = {"span_annotations": "span_id", "trace_annotations": "trace_id", "session_annotations": "session_id"}


class FakePhoenix(FakeTool):
    """One project of Phoenix. Times are kept to the second, as on SQLite."""

    def __init__(self, clock: FakeClock, seed: int = 0) -> None:
        super().__init__(clock, seed, {"authorization": f"Bearer {API_KEY}"})
        self.spans: dict[str, dict[str, Any]] = {}
        """Spans by id; `start_time` is milliseconds."""
        self.annotations: dict[int, dict[str, Any]] = {}
        """Annotations by id; `updated_at` is milliseconds."""
        self._number = 0

    def add_span(self, trace: str | None = None, session: str | None = None, *, at: int | None = None) -> str:
        """A span that starts now."""
        self._number += 1
        id = f"{self._number:016x}"
        time = self.clock.now if at is None else at
        self.spans[id] = {"trace_id": trace or f"t{id}", "session_id": session, "start_time": time, "row": self._number}
        return id

    def annotate(self, name: str, *, kind: str = "HUMAN", by: str = "ada", **fields: Any) -> int:
        """Create or replace an annotation of a `span_id`, `trace_id` or `session_id`, with `label` and `score`."""
        target = {key: fields.pop(key) for key in _TARGETS.values() if key in fields}
        unique = {"name": name, "identifier": by, **target}
        known = [id for id, each in self.annotations.items() if {**each, **unique} == each]
        self._number += 1
        id = known[0] if known else self._number
        result = {"label": None, "score": None, "explanation": None, **fields}
        self.annotations[id] = {**unique, "annotator_kind": kind, "result": result, "updated_at": self.clock.now}
        return id

    def delete_span(self, span: str) -> None:
        """Delete a span with its annotations."""
        del self.spans[span]
        self.annotations = {id: each for id, each in self.annotations.items() if each.get("span_id") != span}

    def answer(self, path: str, parameters: Mapping[str, str]) -> Any:
        """Spans, or annotations."""
        project, _, kind = path.removeprefix("/v1/projects/").partition("/")
        if project != PROJECT.replace("/", "%2F"):
            return 404
        if kind == "spans":
            return self._spans(parameters)
        target = _TARGETS[kind]
        ids = self.requests[-1].url.params.get_list(f"{target}s")
        if not ids or len(ids) > MOST_IDS:
            return 422
        limit, most = int(parameters["limit"]), int(parameters.get("cursor", self._number))
        found = sorted((id for id, each in self.annotations.items() if each.get(target) in ids), reverse=True)
        page = [id for id in found if id <= most]
        if not page and not any(ids_of[target] in ids for ids_of in map(self._ids, self.spans)):
            return 404
        return {
            "data": [self._annotation(id) for id in page[:limit]],
            "next_cursor": str(page[limit]) if len(page) > limit else None,
        }

    def _spans(self, parameters: Mapping[str, str]) -> Any:
        if int(parameters["limit"]) > MOST_SPANS or (parameters["sort"], parameters["order"]) != ("start_time", "asc"):
            return 422
        found = sorted((iso(span["start_time"]), span["row"], id) for id, span in self.spans.items())
        if (first := parameters.get("start_time")) is not None:
            found = [each for each in found if each[0] >= first]
        if (cursor := parameters.get("cursor")) is not None:
            time, _, row = cursor.rpartition("/")
            found = [each for each in found if each[:2] >= (time, int(row))]
        page, more = found[: int(parameters["limit"])], found[int(parameters["limit"]) :]
        spans = [
            {
                "context": {"trace_id": self.spans[id]["trace_id"], "span_id": id},
                "start_time": time,
                "attributes": {"session.id": session} if (session := self.spans[id]["session_id"]) else {},
            }
            for time, _, id in page
        ]
        return {"data": spans, "next_cursor": f"{more[0][0]}/{more[0][1]}" if more else None}

    def _ids(self, span: str) -> dict[str, str | None]:
        return {"span_id": span, **{key: self.spans[span][key] for key in ("trace_id", "session_id")}}

    def _annotation(self, id: int) -> dict[str, Any]:
        annotation = self.annotations[id]
        return {"id": f"A{id}", **annotation, "updated_at": iso(annotation["updated_at"] // 1_000 * 1_000)}
