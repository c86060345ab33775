"""MLflow: assessments by judges and people, edited, overridden and deleted, and the items of a review queue."""

from typing import Any

from tests.support.ports import free_port
from tests.support.processes import LOOPBACK
from tools.real import RealTool, Results
from tools.real.stage import Stage, recount_of

SETTINGS = """\
[sources.answers]
tool = "mlflow"
url = "{url}"
experiments = ["{experiment}"]
queue = "Support"

[sources.answers.criteria]
is_correct = {{ rating = "thumbs" }}
quality = {{ rating = "stars" }}

[sources.answers.metrics]
correctness = {{ pass = ["yes"], fail = ["no"] }}
relevance = {{ threshold = 0.7 }}
"""


def run(stage: Stage) -> Results:
    """Create, edit and delete assessments on a server, and compare after each step."""
    address = f"{LOOPBACK}:{free_port()}"
    url = f"http://{address}"
    environment = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_TRACKING_URI": url,
    }
    host, _, port = address.partition(":")
    server = ("mlflow", "server", "--host", host, "--port", port, "--workers", "1")
    with stage.server(*server, health=f"{url}/health", environment=environment):

        def program(step: str, *arguments: str) -> Any:
            return stage.program("mlflow_client.py", step, *arguments, environment=environment)

        experiment = program("create")
        stage.configure(SETTINGS.format(url=url, experiment=experiment))
        comparisons = 0
        for step in (None, "edit", "delete"):
            if step is not None:
                program(step, experiment)
            stage.run("source", "sync", "answers", "--full")
            comparisons = stage.await_counts("Support", lambda: recount_of(program("read", experiment)))
        assert stage.dead_letters() == 0
        return {"comparisons": comparisons}


TOOL = RealTool(
    name="mlflow",
    title="MLflow",
    packages=("mlflow",),
    covers=("sources/tools/mlflow.py", "sources/pulls/tools/mlflow.py", "tools/real/programs/mlflow_client.py"),
    run=run,
)
