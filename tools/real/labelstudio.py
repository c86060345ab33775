"""Label Studio: webhooks of annotations, and what only a pull finds: predictions, and annotations of deleted tasks."""

from typing import Any

from tests.support.ports import free_port
from tests.support.processes import LOOPBACK
from tools.real import RealTool, Results
from tools.real.stage import Stage, recount_of

USER, PASSWORD = "lead@example.org", "an-invented-password"
SETTINGS = """\
[sources.labels]
tool = "labelstudio"
url = "{url}"
project = "{project}"
credentials_file = "{credentials}"
queue = "Support"
item = "trace_id"
explanation = ["why"]
predictions = true

[sources.labels.criteria]
overall = {{ rating = "stars" }}
resolved = {{ rating = {{ up = ["Yes"], down = ["No"] }} }}

[sources.labels.metrics]
resolved = {{ pass = ["Yes"], fail = ["No"] }}
"""


def run(stage: Stage) -> Results:
    """Label, edit and delete on a server whose webhook is `ingest`, and compare after each step."""
    port = free_port()
    url = f"http://{LOOPBACK}:{port}"
    environment = {
        "LABEL_STUDIO_BASE_DATA_DIR": str(stage.directory / "label-studio"),
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        # Otherwise Label Studio sends no webhook to an address of this machine.
        "SSRF_PROTECTION_ENABLED": "false",
    }
    account = ("--username", USER, "--password", PASSWORD)
    start = ("label-studio", "start", "--no-browser", "--internal-host", LOOPBACK, "--port", str(port), *account)
    with stage.server(*start, health=f"{url}/health", environment=environment):
        token = stage.program("labelstudio_client.py", "token", url, USER, PASSWORD)
        credentials = stage.directory / "label-studio.toml"
        credentials.write_text(f'LABEL_STUDIO_API_KEY = "{token}"\n')

        def program(step: str, *arguments: str) -> Any:
            return stage.program("labelstudio_client.py", step, url, token, *arguments)

        project = program("project", f"{stage.url}/api/v1/sources/labels", stage.token)
        stage.configure(SETTINGS.format(url=url, project=project, credentials=credentials))
        comparisons = 0
        with stage.ingest():
            # Predictions are pulled; after that each step arrives by the webhook alone.
            program("predict", project)
            stage.run("source", "sync", "labels", "--full")
            for step in ("label", "edit", "delete"):
                program(step, project)
                comparisons = stage.await_counts("Support", lambda: recount_of(program("read", project)))
            program("delete_tasks", project)
            stage.run("source", "sync", "labels", "--full")
            comparisons = stage.await_counts("Support", lambda: recount_of(program("read", project)))
        assert stage.dead_letters() == 0
        return {"comparisons": comparisons}


TOOL = RealTool(
    name="labelstudio",
    title="Label Studio",
    packages=("label-studio", "label-studio-sdk"),
    covers=(
        "sources/tools/labelstudio.py",
        "sources/pulls/tools/labelstudio.py",
        "tools/real/programs/labelstudio_client.py",
    ),
    run=run,
)
