"""`python -m monitoring.grafana`: write the dashboards to `dashboards/`, or to another directory."""

import json
from argparse import ArgumentParser
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from monitoring.grafana import queue, queues, service
from monitoring.grafana.frame import PAGE


def text(built: Dashboard) -> str:
    """The JSON text of a dashboard, as it is committed."""
    plain = json.loads(json.dumps(built, cls=JSONEncoder))
    for shown in (*plain["links"], *plain["annotations"]["list"]):
        # The library always writes `placement`, with which Grafana hides the links in a menu.
        del shown["placement"]
    return json.dumps(plain, indent=2, ensure_ascii=False, sort_keys=True) + "\n"


def main() -> None:
    """Write one file for each dashboard."""
    parser = ArgumentParser(prog="python -m monitoring.grafana")
    parser.add_argument("--directory", type=Path, default=Path(__file__).with_name("dashboards"))
    parser.add_argument("--page", default=PAGE, help="where the view serves its page, as browsers reach it")
    chosen = parser.parse_args()
    for name, build in (("queues", queues.build), ("queue", queue.build), ("service", service.build)):
        (chosen.directory / f"{name}.json").write_text(text(build(chosen.page)), encoding="utf-8")


if __name__ == "__main__":
    main()
