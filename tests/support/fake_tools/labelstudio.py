"""Label Studio: personal access tokens, and the tasks of a project by filters of the data manager."""

import json
from collections.abc import Mapping
from typing import Any

import httpx

from tests.support.fake_tools.base import FakeClock, FakeTool, iso

TOKEN = "header.invented.signature"
LEGACY_TOKEN = "0123456789abcdef0123456789abcdef01234567"
ACCESS_SECONDS = 300


class FakeLabelStudio(FakeTool):
    """One organisation of Label Studio with the project 7, below a path."""

    def __init__(self, clock: FakeClock, seed: int = 0) -> None:
        super().__init__(clock, seed, {})
        self.tasks: dict[int, dict[str, Any]] = {}
        """Tasks by id; times are milliseconds."""
        self.access: dict[str, int] = {}
        """When each access token ends, in milliseconds."""
        self._number = 0

    def add_task(self, item: str) -> int:
        """A task of now."""
        self._number += 1
        times = {"updated_at": self.clock.now}
        self.tasks[self._number] = {"data": {"trace_id": item}, "annotations": {}, "predictions": {}, **times}
        return self._number

    def annotate(self, task: int, answers: Mapping[str, str], *, by: int = 1, cancelled: bool = False) -> int:
        """An annotation of now with a choice for each name."""
        self._number += 1
        self.save(task, self._number, answers, by=by, cancelled=cancelled)
        return self._number

    def save(
        self, task: int, annotation: int, answers: Mapping[str, str], *, by: int = 1, cancelled: bool = False
    ) -> None:
        """Create an annotation, or save it again."""
        now = self.clock.now
        fields = {"result": _result(answers), "completed_by": by, "was_cancelled": cancelled, "updated_at": now}
        self.tasks[task]["annotations"][annotation] = fields
        self.tasks[task]["updated_at"] = now

    def predict(self, task: int, answers: Mapping[str, str], model: str = "m1") -> int:
        """A prediction of now."""
        self._number += 1
        fields = {"result": _result(answers), "model_version": model, "updated_at": self.clock.now}
        self.tasks[task]["predictions"][self._number] = fields
        return self._number

    def delete(self, task: int, annotation: int) -> None:
        """Delete an annotation."""
        del self.tasks[task]["annotations"][annotation]
        self.tasks[task]["updated_at"] = self.clock.now

    async def handle(self, request: httpx.Request) -> httpx.Response:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if request.url.path == "/label/api/token/refresh/":
            self.requests.append(request)
            if json.loads(request.content) != {"refresh": TOKEN}:
                return httpx.Response(401, json={"detail": "Token is invalid"})
            access = f"access-{len(self.access)}"
            self.access[access] = self.clock.now + ACCESS_SECONDS * 1_000
            return httpx.Response(200, json={"access": access})
        valid = scheme == "Bearer" and self.access.get(token, 0) > self.clock.now
        if not valid:
            self.requests.append(request)
            return httpx.Response(401, json={"detail": "Authentication credentials were not provided."})
        return await FakeTool.handle(self, request)

    def answer(self, path: str, parameters: Mapping[str, str]) -> Any:
        """Tasks of the project."""
        if path != "/label/api/tasks" or parameters.get("project") != "7":
            return 404
        query = json.loads(parameters["query"])
        if query["ordering"] != ["tasks:id"] or parameters["fields"] != "all":
            return 400
        found = [id for id in sorted(self.tasks) if all(self._matches(id, each) for each in query["filters"]["items"])]
        # The data manager answers 404 to a page after the last.
        return {"total": len(found), "tasks": [self._task(id) for id in found[: int(parameters["page_size"])]]}

    def _matches(self, id: int, condition: Mapping[str, Any]) -> bool:
        task = self.tasks[id]
        submitted = [each for each in task["annotations"].values() if not each["was_cancelled"]]
        values = {"id": id, "total_annotations": len(submitted), "updated_at": iso(task["updated_at"])}
        return bool(values[condition["filter"].removeprefix("filter:tasks:")] > condition["value"])

    def _task(self, id: int) -> dict[str, Any]:
        def shown(kind: str) -> list[dict[str, Any]]:
            times = {native: iso(each["updated_at"]) for native, each in task[kind].items()}
            return [{"id": native, **each, "updated_at": times[native]} for native, each in task[kind].items()]

        task = self.tasks[id]
        own = {"id": id, "project": 7, "data": task["data"], "updated_at": iso(task["updated_at"])}
        return {**own, "annotations": shown("annotations"), "predictions": shown("predictions")}


def _result(answers: Mapping[str, str]) -> list[dict[str, Any]]:
    return [{"type": "choices", "from_name": name, "value": {"choices": [choice]}} for name, choice in answers.items()]
