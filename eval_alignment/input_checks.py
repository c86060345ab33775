"""Messages about the events of an input as a whole."""

from collections.abc import Collection

from streams.events.decoder import Kind


def missing_side(kinds: Collection[Kind], invalid: int) -> str | None:
    """What the input lacks for a comparison; None when nothing, or when its lines are invalid and reported.

    Args:
        kinds: the kinds of the valid events.
        invalid: number of invalid lines.

    >>> missing_side({Kind.EVALUATION}, invalid=0)
    'no annotations in the input: a comparison needs an annotation and an evaluation of the same item'
    """
    if not kinds:
        return None if invalid else "no events in the input: expected one JSON object per line"
    missing = [kind for kind in (Kind.ANNOTATION, Kind.EVALUATION) if kind not in kinds]
    if not missing:
        return None
    listed = " and no ".join(f"{kind.value}s" for kind in missing)
    return f"no {listed} in the input: a comparison needs an annotation and an evaluation of the same item"
