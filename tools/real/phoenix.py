"""Arize Phoenix: annotations of spans and traces by judges and people, replaced and deleted."""

from typing import Any

from tests.support.ports import free_port
from tests.support.processes import LOOPBACK
from tools.real import RealTool, Results
from tools.real.stage import Stage, recount_of

SETTINGS = """\
[sources.answers]
tool = "phoenix"
url = "{url}"
project = "answers"
queue = "Support"

[sources.answers.criteria]
correctness = {{ rating = {{ up = ["correct"], down = ["incorrect"] }} }}
overall = {{ rating = "stars" }}

[sources.answers.metrics]
hallucination = {{ pass = ["factual"], fail = ["hallucinated"], direction = "lower" }}
helpfulness = {{ threshold = 0.6 }}
"""


def run(stage: Stage) -> Results:
    """Create, replace and delete annotations on a server, and compare after each step."""
    http, grpc = free_port(), free_port()
    url = f"http://{LOOPBACK}:{http}"
    environment = {
        "PHOENIX_WORKING_DIR": str(stage.directory),
        "PHOENIX_HOST": LOOPBACK,
        "PHOENIX_PORT": str(http),
        "PHOENIX_GRPC_PORT": str(grpc),
        "PHOENIX_TELEMETRY_ENABLED": "false",
    }
    with stage.server("phoenix", "serve", health=f"{url}/healthz", environment=environment):

        def program(step: str) -> Any:
            return stage.program("phoenix_client.py", step, url)

        stage.configure(SETTINGS.format(url=url))
        comparisons = 0
        for step in ("create", "edit", "delete"):
            program(step)
            stage.run("source", "sync", "answers", "--full")
            comparisons = stage.await_counts("Support", lambda: recount_of(program("read")))
        assert stage.dead_letters() == 0
        return {"comparisons": comparisons}


TOOL = RealTool(
    name="phoenix",
    title="Arize Phoenix",
    packages=("arize-phoenix",),
    covers=("sources/tools/phoenix.py", "sources/pulls/tools/phoenix.py", "tools/real/programs/phoenix_client.py"),
    run=run,
)
