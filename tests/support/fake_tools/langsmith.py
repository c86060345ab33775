"""LangSmith: feedback by offset, projects by name."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from tests.support.fake_tools.base import FakeClock, FakeTool, iso

API_KEY = "lsv2_invented"
MOST = 100


class FakeLangSmith(FakeTool):
    """One workspace of LangSmith.

    Args:
        clock: its time.
        seed: of its troubles.
        oldest_first: the order of the list.
    """

    def __init__(self, clock: FakeClock, seed: int = 0, *, oldest_first: bool = False) -> None:
        super().__init__(clock, seed, {"x-api-key": API_KEY})
        self.oldest_first = oldest_first
        self.feedback: dict[str, dict[str, Any]] = {}
        """Feedback by id; `created_at` and `modified_at` are milliseconds."""
        self.projects: dict[str, str] = {}
        """Ids by name."""

    def add(self, key: str, *, item: str, by: str = "app", user: str | None = None, **fields: Any) -> str:
        """Feedback of now."""
        id, now = str(UUID(int=self.random.getrandbits(128))), self.clock.now
        self.feedback[id] = {
            "key": key, "run_id": item, "trace_id": item, "session_id": None, "created_at": now, "modified_at": now,
            "score": None, "value": None, "comment": None, "feedback_source": {"type": by, "user_id": user}, **fields,
        }  # fmt: skip
        return id

    def answer(self, path: str, parameters: Mapping[str, str]) -> Any:
        """Feedback, or projects of a name."""
        limit = int(parameters.get("limit", "100"))
        if limit > MOST:
            return 422
        if path == "/api/v1/sessions":
            return [{"id": id, "name": name} for name, id in self.projects.items() if name == parameters.get("name")]
        if path != "/api/v1/feedback":
            return 404
        found = [
            {"id": id, **feedback, **{name: _zoned(feedback[name]) for name in ("created_at", "modified_at")}}
            for id, feedback in sorted(
                self.feedback.items(),
                key=lambda each: (each[1]["created_at"], each[0]),
                reverse=not self.oldest_first,
            )
            if parameters.get("session") in (None, feedback["session_id"])
            and parameters.get("min_created_at", "")
            < iso(feedback["created_at"])
            < parameters.get("max_created_at", "~")
        ]
        offset = int(parameters.get("offset", "0"))
        return found[offset : offset + limit]


def _zoned(at: int) -> str:
    return iso(at).replace("Z", "000+00:00")
