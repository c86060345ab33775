"""`make tools`: connect a source to each real tool, with an Apache Kafka, a worker, a view and `ingest`.

Every tool gets a cluster of its own. What held goes into the record, and the docs show its versions.
"""

import shutil
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.support import kafka
from tools.real import RECORDS, RealTool, Results, real_tools
from tools.real.stage import Stage, note
from tools.records import RunRecord, content_hashes, load, save


def main(names: Sequence[str]) -> int:
    """Run the named tools, or else all; returns the exit code."""
    known = real_tools()
    if unknown := set(names) - known.keys():
        sys.stderr.write(f"unknown tools: {', '.join(sorted(unknown))}; known are {', '.join(known)}\n")
        return 2
    tools = [tool for name, tool in known.items() if name in names or not names]
    if missing := _missing(tools):
        sys.stderr.write("make tools cannot run here:\n" + "".join(f"  {line}\n" for line in missing))
        return 2
    covered = {tool.name: content_hashes(tool.all_covers) for tool in tools}
    with tempfile.TemporaryDirectory(prefix="tools-") as temporary, kafka.Kafka() as broker:
        for tool in tools:
            note(f"{tool.title} {_version(tool)}")
            with Stage(tool, broker.bootstrap, Path(temporary) / tool.name) as stage:
                results = tool.run(stage)
            # A tool that fails later must not cost the record of this one.
            record = RunRecord(datetime.now(UTC).date().isoformat(), _shown(tool, results), covered[tool.name])
            records = load(RECORDS) | {tool.name: record}
            save(RECORDS, {name: records[name] for name in known if name in records})
    return 0


def _missing(tools: Sequence[RealTool]) -> list[str]:
    """What this machine lacks, a line each."""
    absent = [
        f"{tool.name} needs {program}, which is not found on PATH"
        for tool in tools
        for program in tool.programs
        if shutil.which(program) is None
    ]
    absent += [
        f"{tool.name} has no environment: run `make tools TOOLS={tool.name}`" for tool in tools if not tool.is_installed
    ]
    reason = kafka.missing()
    return [*absent, f"the broker: {reason}"] if reason else absent


def _version(tool: RealTool) -> str:
    return ", ".join(f"{package.rpartition('/')[2]} {tool.version(package)}" for package in tool.packages)


def _shown(tool: RealTool, results: Results) -> Results:
    """What the docs show of a run."""
    return {"version": _version(tool), "broker": f"Apache Kafka {kafka.version()}", **results}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
