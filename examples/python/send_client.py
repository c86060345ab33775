"""Send annotations and evaluations with the client. URL is the address of `eval-alignment ingest`, TOKEN its token."""

import os
from datetime import UTC, datetime

from eval_alignment import Client

# The end of the block sends what is queued, and raises DeliveryError for what was rejected or could not be sent.
with Client(url=os.environ.get("URL"), token=os.environ.get("TOKEN")) as client:
    # 50 items that a person rated and a metric scored.
    for number in range(50):
        item = f"client-zürich-{number}"
        # Checks the event here, and raises InvalidEventError; a thread sends it, with others in one request.
        client.annotate(
            # Without an `id` of your tool the client makes one.
            # When the person rated: the latest rating counts, in any order of arrival. Default: now.
            at=datetime.now(UTC),
            queue="Example client",
            item=item,
            criterion="helpfulness",
            annotator="ann",
            thumbs="up" if number % 5 else "down",
        )
        client.evaluate(
            item=item,
            metric="answer_relevancy",
            judge="gpt-4o/p3",
            score=0.9 if number % 4 else 0.4,
            threshold=0.7,
        )
print(f"{client.accepted} events acknowledged")
