"""Quix Streams: two streaming data frames become one, with the item's state in RocksDB and its changelog topic.

Options: Quix Streams' own defaults (at least once, changelog on), a commit every second, and static membership. Counts
by group stay in a dict: grouping by them would send every change through a topic once more.
"""

from typing import Any

from quixstreams import Application, State

from bench.peers.job import Counts, Item, Said, arguments


def main() -> None:
    """Consume until SIGTERM."""
    told, counts = arguments(), Counts()
    app = Application(
        told.bootstrap,
        consumer_group=told.group,
        auto_offset_reset="earliest",
        commit_interval=1.0,
        consumer_poll_timeout=0.1,
        consumer_extra_config={"fetch.wait.max.ms": 50, "group.instance.id": "peer"},
        state_dir=told.cells.parent / told.group,
        loglevel="WARNING",
    )

    def take(event: dict[str, Any], state: State) -> None:
        # State is JSON by name.
        said, judged = state.get("said", []), state.get("judged", [])
        item = Item(
            {(queue, criterion, annotator): Said((at, id), queue, criterion, day, passed)
             for annotator, at, id, queue, criterion, day, passed in said},
            {metric: ((at, id), passed) for metric, at, id, passed in judged},
        )  # fmt: skip
        for group, which, sign in item.take(event):
            counts.add(group, which, sign)
        if "metric" in event:
            judged = [(metric, *version, passed) for metric, (version, passed) in item.judged.items()]
            state.set("judged", judged)
        else:
            said = [
                (annotator, *said.version, said.queue, said.criterion, said.day, said.passed)
                for (_, _, annotator), said in item.said.items()
            ]
            state.set("said", said)

    frames = [app.dataframe(app.topic(topic)) for topic in (told.annotations, told.evaluations)]
    frames[0].concat(frames[1]).update(take, stateful=True)
    app.run()
    counts.write(told.cells)


if __name__ == "__main__":
    main()
