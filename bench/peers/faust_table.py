"""Stock Faust: an agent per topic, and two tables in memory with their changelogs. Faust's own defaults throughout.

The item is the key of the first table, as it is of the topics, so both are partitioned alike. A row of the second has
all counts of a queue, criterion and partition: every write of a row is a message, and this way an event makes two or
three and not seven. The partition is in the key because a row belongs to that of the event which changed it. What the
changelog holds of it is what the bench reads.
"""

from collections import defaultdict
from typing import Any

import faust
import orjson

from bench.peers.job import Item, Said, arguments


def main() -> None:
    """Consume until SIGTERM."""
    told = arguments()
    app = faust.App(
        told.group,
        broker=f"kafka://{told.bootstrap}",
        store="memory://",
        topic_replication_factor=1,
        topic_partitions=8,
        topic_disable_leader=True,
        web_enabled=False,
        datadir=told.cells.parent / told.group,
    )
    items = app.Table("items", default=lambda: {"said": [], "judged": []})
    cells = app.Table("cells", default=dict)

    async def take(stream: Any) -> None:
        async for message in stream.events():
            event = orjson.loads(message.value)
            # Rows of a table are JSON.
            row = items[event["item"]]
            item = Item(
                {(queue, criterion, annotator): Said((at, id), queue, criterion, day, passed)
                 for annotator, at, id, queue, criterion, day, passed in row["said"]},
                {metric: ((at, id), passed) for metric, at, id, passed in row["judged"]},
            )  # fmt: skip
            changes = defaultdict(list)
            for (queue, criterion, metric, day), which, sign in item.take(event):
                changes[queue, criterion, message.message.partition].append((f"{metric}\0{day}", which, sign))
            for rubric, changed in changes.items():
                key = orjson.dumps(rubric).decode()
                counts = cells[key]
                for name, which, sign in changed:
                    counts.setdefault(name, [0, 0, 0, 0])[which] += sign
                cells[key] = counts
            items[event["item"]] = {
                "said": [
                    (annotator, *said.version, said.queue, said.criterion, said.day, said.passed)
                    for (_, _, annotator), said in item.said.items()
                ],
                "judged": [(metric, *version, passed) for metric, (version, passed) in item.judged.items()],
            }

    for topic in (told.annotations, told.evaluations):
        app.agent(app.topic(topic, value_serializer="raw", key_serializer="raw"), name=topic)(take)
    faust.Worker(app, loglevel="INFO").execute_from_commandline()


if __name__ == "__main__":
    main()
