"""Pages of docs/, and two pages of the view, that are generated: `python -m tools.reference DIRECTORY` writes them.

One module a page. A test compares the pages in docs/ with `pages()`.
"""

from tools.reference import (
    api,
    doctor,
    events,
    exit_codes,
    glossary,
    ingest,
    metrics,
    producers,
    reasons,
    settings,
    snapshot,
    statistics,
    statistics_page,
    topics,
)


def pages() -> dict[str, str]:
    """The text of each page by file name."""
    return {
        "events.md": events.page(),
        "ingest.md": ingest.page(),
        "producers.md": producers.page(),
        "snapshot.md": snapshot.page(),
        "statistics.md": statistics.page(),
        "api.md": api.page(),
        "settings.md": settings.page(),
        "topics.md": topics.page(),
        "reasons.md": reasons.page(),
        "metrics.md": metrics.page(),
        "exit-codes.md": exit_codes.page(),
        "doctor.md": doctor.page(),
        glossary.TARGET: glossary.template(),
        statistics_page.TARGET: statistics_page.template(),
    }
