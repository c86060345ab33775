"""Search for items of a queue by words of their ids and texts.

A text is divided into words: runs of letters and digits, in lower case and without the marks of Latin, Greek and
Cyrillic letters. Scripts without blanks between words, such as Chinese, are divided into all pairs of neighbouring
characters, and the last character of a run. An item is found when it has every word of the search. A word of at least
`PREFIX` letters or digits is found at the beginning of longer words too.
"""

# SQL is put together from constants of this file alone; values are always bound.
# ruff: noqa: S608

import re
import sqlite3
from typing import Final, TypedDict
from unicodedata import normalize

from sinks import budgets

PREFIX: Final = 3
"""Least characters of a word that stands for the beginning of longer words too."""
MOST_CHARACTERS: Final = 200
"""Most characters of a search."""
_WORD_CHARACTERS: Final = 64
"""Characters of a word after which another one begins."""

_UNSPACED: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Scripts without blanks between words: Thai, Lao, Burmese, Khmer, Japanese, Chinese."""
_MARKS: Final = (
    "\u0483-\u0489\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0900-\u0963\u0966-\u0dff"
    "\u0f00-\u0fff\u200c\u200d\u3099\u309a"
)
"""Marks that are a part of words, which `str.isalnum` does not count as such."""
_WORD: Final = re.compile(f"[{_UNSPACED}]+|(?:[^\\W_{_UNSPACED}]|[{_MARKS}]){{1,{_WORD_CHARACTERS}}}")
_ASCII_WORD: Final = re.compile(f"[a-z0-9]{{1,{_WORD_CHARACTERS}}}")
_ACCENTS: Final = re.compile("[\u0300-\u036f]+")
_MANY_MARKS: Final = re.compile(r"([^\w\x00-\x7f]{30})[^\w\x00-\x7f]+")
"""More than 30 characters in a row that may be marks. No text has so many marks on one letter (Unicode's Stream-Safe
Text Format), and the time to bring marks into order grows with the square of their number.
"""
_UNSPACED_RUN: Final = re.compile(f"[{_UNSPACED}]+")

_QUEUE: Final = "\ue000"
"""Begins the word that names the queue of a document. No text has such a word."""

# Under each table the documents that changed last come first.
_OF_TABLE: Final = """
SELECT * FROM (
    SELECT d.document AS document, d.item_id AS item_id FROM search_words_{table} AS w
    CROSS JOIN search_documents AS d ON d.document = w.rowid
    WHERE w.search_words_{table} MATCH '"' || :search_queue
        || coalesce((SELECT id FROM queues WHERE queue = :queue), 'none') || '" AND ' || :search_words
    ORDER BY w.rowid DESC LIMIT :search_most)
"""
_FOUND: Final = f"""
SELECT item_id FROM ({_OF_TABLE.format(table=0)} UNION ALL {_OF_TABLE.format(table=1)})
ORDER BY document DESC LIMIT :search_most
"""


class SearchState(TypedDict):
    """What an answer about a search leaves out."""

    more: bool
    """Whether more items have the words than a search looks at; then it looks at those that changed last."""
    not_searchable: int
    """Number of items of the queue that cannot be found by their newest texts yet. Higher numbers are counted as the
    limit.
    """


def words_in(text: str) -> list[str]:
    """The words of a text, as they are kept and looked up. A word may come several times."""
    if text.isascii():
        # The same as below, in a fifth of the time.
        return _ASCII_WORD.findall(text.lower())
    words: list[str] = []
    for run in _runs(text):
        if unspaced(run):
            words += [run[start : start + 2] for start in range(len(run))]
        else:
            words.append(run)
    return words


def _runs(text: str) -> list[str]:
    folded = normalize("NFKD", normalize("NFKD", _MANY_MARKS.sub(r"\1", text)).casefold())
    return _WORD.findall(normalize("NFC", _ACCENTS.sub("", folded)))


def queue_word(queue_id: int) -> str:
    """The word that every document of a queue has."""
    return f"{_QUEUE}{queue_id}"


def search_words(search: str) -> list[str]:
    """The words of a search, each once; what has no blanks is one word."""
    return list(dict.fromkeys(_runs(search)))


def unspaced(word: str) -> bool:
    """Whether a word of a search is of a script without blanks between words."""
    return _UNSPACED_RUN.match(word) is not None


def _expression(search: str) -> str:
    """The search in the language of FTS5. A word has letters, digits and marks only, so quotes are enough."""
    terms: list[str] = []
    for word in search_words(search):
        if unspaced(word) and len(word) > 1:
            terms += [f'"{word[start : start + 2]}"' for start in range(len(word) - 1)]
        elif unspaced(word) or len(word) >= PREFIX:
            terms.append(f'"{word}"*')
        else:
            terms.append(f'"{word}"')
    return " AND ".join(terms)


def search_items(connection: sqlite3.Connection, queue: str, search: str) -> tuple[list[int], SearchState]:
    """Ids in the store of the items of a queue that a search finds, those that changed last first.

    A search without a letter or digit finds none.
    """
    most = budgets.SEARCHED_ITEMS
    values = {"queue": queue, "search_queue": _QUEUE, "search_words": _expression(search), "search_most": most + 1}
    found = [item for (item,) in connection.execute(_FOUND, values)] if values["search_words"] else []
    (pending,) = connection.execute(
        "SELECT count(*) FROM (SELECT 1 FROM search_pending WHERE queue = :queue LIMIT :most)",
        {"queue": queue, "most": most},
    ).fetchone()
    return found[:most], SearchState(more=len(found) > most, not_searchable=pending)
