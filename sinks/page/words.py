"""What people and metrics wrote about misaligned items, in a few words."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aggregator.statistics.phrases import LEAST, InformativePhrase, Phrase, informative_phrases
from sinks.queries.search import words_in
from sinks.queries.written import WrittenText, WrittenTexts

_PHRASES: Final = 8
_EXAMPLES: Final = 3
_EXAMPLE: Final = 240
"""Most characters of an example."""
_PIECES: Final = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class FrequentWords:
    """A phrase that is frequent in the texts."""

    words: str
    """As the first of the texts has it, in lower case."""
    texts: int
    """Number of texts with it."""


@dataclass(frozen=True, slots=True)
class SaidOften:
    """What is frequent in the texts of people, or of metrics."""

    texts: int
    """Number of texts."""
    phrases: Sequence[FrequentWords]
    elsewhere_too: bool
    """Whether the phrases are only frequent, and not surely more frequent than in the other texts."""
    examples: Sequence[WrittenText]
    """Texts as they were written, cut when they are long."""


@dataclass(frozen=True, slots=True)
class WordsSummary:
    """What is frequent in the texts about misaligned items."""

    people: SaidOften | None
    """None where people wrote too little."""
    metrics: SaidOften | None
    """None where the metrics gave too few reasons."""

    def __bool__(self) -> bool:
        return self.people is not None or self.metrics is not None


def summarize(misaligned: WrittenTexts, aligned: WrittenTexts) -> WordsSummary:
    """What the texts about misaligned items have more often than those about aligned ones."""
    return WordsSummary(
        _often(misaligned.explanations, aligned.explanations), _often(misaligned.reasons, aligned.reasons)
    )


def _often(texts: Sequence[WrittenText], others: Sequence[WrittenText]) -> SaidOften | None:
    if len(texts) < LEAST:
        return None
    words, other_words = ([words_in(each.text) for each in side] for side in (texts, others))
    informative = informative_phrases(words, other_words, _PHRASES)
    found = informative or informative_phrases(words, [], _PHRASES)
    return SaidOften(
        texts=len(texts),
        phrases=[FrequentWords(_as_written(each.phrase, texts, words), each.texts) for each in found],
        elsewhere_too=not informative or len(others) < LEAST,
        examples=_examples(texts, words, found),
    )


def _examples(
    texts: Sequence[WrittenText], words: Sequence[Sequence[str]], found: Sequence[InformativePhrase]
) -> list[WrittenText]:
    """For each of the first phrases the newest text that has it; without phrases the newest texts."""
    examples: dict[str, WrittenText] = {}
    # Every text has the empty phrase.
    for phrase in [each.phrase for each in found] or [()] * _EXAMPLES:
        for written, text in zip(texts, words, strict=True):
            shown = written.text.strip()
            if shown not in examples and _has(text, phrase):
                examples[shown] = written
                break
        if len(examples) == _EXAMPLES:
            break
    return [
        WrittenText(text if len(text) <= _EXAMPLE else f"{text[:_EXAMPLE].rstrip()}…", written.item)
        for text, written in examples.items()
    ]


def _has(text: Sequence[str], phrase: Phrase) -> bool:
    return any(tuple(text[start : start + len(phrase)]) == phrase for start in range(len(text) + 1))


def _as_written(phrase: Phrase, texts: Sequence[WrittenText], words: Sequence[Sequence[str]]) -> str:
    """A phrase with the accents of the first text that has it."""
    for written, text in zip(texts, words, strict=True):
        if _has(text, phrase):
            pieces = _PIECES.findall(written.text)
            for start in range(len(pieces)):
                shown = " ".join(pieces[start : start + len(phrase)]).lower()
                if tuple(words_in(shown)) == phrase:
                    return shown
            break
    return " ".join(phrase)
