"""Annotations of people, as the SDK of DeepEval sends them to CONFIDENT_BASE_URL. Prints what they rated.

This is a process of its own: `evaluate` fails in one that sends to another place than Confident AI.
"""

import contextlib
import json
import os
import sys
from typing import Any

# DeepEval reads the environment when it is imported.
os.environ["DEEPEVAL_TELEMETRY_OPT_OUT"] = "YES"
from deepeval.annotation import send_annotation
from deepeval.annotation.api import AnnotationType


def annotate() -> list[dict[str, Any]]:
    """Rate cases and conversations, each second of them with stars."""
    items = [("trace_uuid", f"case-{number}") for number in range(8)]
    items += [("thread_id", f"thread-{number}") for number in range(4)]
    rated = []
    for number, (kind, item) in enumerate(items):
        accepts, author = number % 3 != 0, ("ada", "ben")[number % 2]
        scale = AnnotationType.FIVE_STAR_RATING if number % 2 else AnnotationType.THUMBS_RATING
        rating = ((2, 5) if number % 2 else (0, 1))[accepts]
        send_annotation(rating=rating, type=scale, user_id=author, explanation="So it is.", **{kind: item})
        rated.append({"item": item, "annotator": author, "accepts": accepts})
    return rated


if __name__ == "__main__":
    with contextlib.redirect_stdout(sys.stderr):
        annotations = annotate()
    sys.stdout.write(json.dumps(annotations))
