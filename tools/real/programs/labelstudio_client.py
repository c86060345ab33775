"""What people, a model and a reader do with Label Studio, by its own client. Prints JSON.

python labelstudio_client.py token URL USER PASSWORD
python labelstudio_client.py project URL TOKEN WEBHOOK SECRET
python labelstudio_client.py predict|label|edit|delete|delete_tasks|read URL TOKEN PROJECT
"""

import json
import sys
from typing import Any

import httpx
from label_studio_sdk import LabelStudio

TASKS = 20
FORM = """
<View>
  <Text name="answer" value="$answer"/>
  <Rating name="overall" toName="answer" maxRating="5"/>
  <Choices name="resolved" toName="answer"><Choice value="Yes"/><Choice value="No"/></Choices>
  <TextArea name="why" toName="answer"/>
</View>
"""


def token(url: str, user: str, password: str) -> str:
    """A personal access token, as the page of the account creates it."""
    with httpx.Client(base_url=url, headers={"Referer": url}, follow_redirects=True, timeout=120) as http:
        http.get("/user/login/").raise_for_status()
        form = {"email": user, "password": password, "csrfmiddlewaretoken": http.cookies["csrftoken"]}
        http.post("/user/login/", data=form).raise_for_status()
        answer = http.post("/api/token/", headers={"X-CSRFToken": http.cookies["csrftoken"]}).raise_for_status()
        return str(answer.json()["token"])


def project(client: LabelStudio, webhook: str, secret: str) -> str:
    """A project with tasks and a webhook; returns its number."""
    created = client.projects.create(title="Support", label_config=FORM)
    client.projects.import_tasks(
        created.id, request=[{"trace_id": f"trace-{number}", "answer": "Within 14 days."} for number in range(TASKS)]
    )
    headers = {"Authorization": f"Bearer {secret}"}
    client.webhooks.create(
        url=webhook, project=created.id, headers=headers, send_payload=True, send_for_all_actions=True, is_active=True
    )
    return str(created.id)


def predict(client: LabelStudio, number: str) -> None:
    """The verdicts of a model."""
    for place, task in enumerate(_tasks(client, number)):
        answer = _answers(resolved="No" if place % 4 == 0 else "Yes")
        client.predictions.create(task=task["id"], model_version="judge-v2", result=answer)


def label(client: LabelStudio, number: str) -> None:
    """Annotations, some of them cancelled, and some without an answer to one question."""
    for place, task in enumerate(_tasks(client, number)):
        resolved = "No" if place % 5 == 0 else "Yes"
        fields = {"overall": 1 + place % 5, "resolved": resolved, "why": "It has the deadline."}
        if place % 3 == 0:
            del fields["overall"]
        client.annotations.create(id=task["id"], result=_answers(**fields), was_cancelled=place % 7 == 0)


def edit(client: LabelStudio, number: str) -> None:
    """Other answers, and answers that are taken back."""
    for place, task in enumerate(_tasks(client, number)):
        for annotation in task["annotations"]:
            if place % 2:
                client.annotations.update(id=annotation["id"], result=_answers(resolved="No"), was_cancelled=False)


def delete(client: LabelStudio, number: str) -> None:
    """Delete annotations."""
    for place, task in enumerate(_tasks(client, number)):
        for annotation in task["annotations"]:
            if place % 6 == 1:
                client.annotations.delete(id=annotation["id"])


def delete_tasks(client: LabelStudio, number: str) -> None:
    """Delete tasks with their annotations."""
    for task in _tasks(client, number)[-4:]:
        client.tasks.delete(id=str(task["id"]))


def read(client: LabelStudio, number: str) -> dict[str, list[list[Any]]]:
    """Who accepts what, by the rules of `tools/real/labelstudio.py` written out."""
    annotations: list[list[Any]] = []
    verdicts: list[list[Any]] = []
    for task in _tasks(client, number):
        item = task["data"]["trace_id"]
        for annotation in task["annotations"]:
            for answer in [] if annotation["was_cancelled"] else annotation["result"]:
                name, value, by = answer["from_name"], answer["value"], str(annotation["completed_by"])
                if name == "overall":
                    annotations.append([item, name, by, value["rating"] >= 3])
                elif name == "resolved":
                    annotations.append([item, name, by, value["choices"] == ["Yes"]])
        for prediction in task["predictions"]:
            verdicts += [[item, "resolved", answer["value"]["choices"] == ["Yes"]] for answer in prediction["result"]]
    return {"annotations": annotations, "verdicts": verdicts}


def _answers(**fields: Any) -> list[dict[str, Any]]:
    """The result of an annotation with these answers."""
    kinds = {"overall": ("rating", "rating"), "resolved": ("choices", "choices"), "why": ("textarea", "text")}
    return [
        {
            "from_name": name, "to_name": "answer", "type": kinds[name][0],
            "value": {kinds[name][1]: value if name == "overall" else [value]},
        }
        for name, value in fields.items()
    ]  # fmt: skip


def _tasks(client: LabelStudio, number: str) -> list[dict[str, Any]]:
    """All tasks, by their ids."""
    found = [task.dict() for task in client.tasks.list(project=int(number), fields="all")]
    return sorted(found, key=lambda task: int(task["id"]))


if __name__ == "__main__":
    step, url, *arguments = sys.argv[1:]
    if step == "token":
        output: Any = token(url, *arguments)
    else:
        steps = {each.__name__: each for each in (project, predict, label, edit, delete, delete_tasks, read)}
        output = steps[step](LabelStudio(base_url=url, api_key=arguments[0], timeout=120), *arguments[1:])
    sys.stdout.write(json.dumps(output))
