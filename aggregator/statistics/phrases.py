"""Words and pairs of words that tell some texts apart from others.

Plain counting: how many texts have a word. Words that are frequent everywhere are not informative, in any language. A
short list of English function words removes those that are more frequent in some texts by their topic only.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import pairwise
from math import log, sqrt
from typing import Final, NamedTuple

LEAST: Final = 5
"""Texts below which nothing can be told, and other texts below which nothing can be compared."""
WORDS: Final = 60
"""Words of a text after which the rest is not read."""
_PRIOR: Final = 10
"""Texts that the prior is worth: a word is expected in all groups of texts alike."""
_SURE: Final = 1.96
"""Standard errors by which a word must be more frequent than elsewhere."""
_SHARE: Final = 0.05
"""Least share of the texts that have a word."""
_WITHIN: Final = 0.8
"""Share of a word's texts that have it in a pair, from which the word is not listed."""
_OFTEN: Final = 0.8
"""Without other texts: share of the texts with a word from which it is taken as one of the language."""
_SHORT: Final = 4
"""Letters below which a word is listed in pairs only: the short words of most languages mean little alone."""

_LISTED: Final = (
    "a about after again all also am an and any are as at be because been before being both but by can could did do "
    "does doing done for from get gets got had has have having he her here his how i if in into is it its just like me "
    "more most much my no not of off on only or other our out over own she should so some such than that the their "
    "them then there these they this those to too under until up very want wants was we were what when where which "
    "while who why will with would you your"
)
FUNCTION_WORDS: Final = frozenset(_LISTED.split())
"""English words that mean little alone, or with one another, as `words_in` writes them."""
Phrase = tuple[str, ...]
"""A word, or two words in a row."""


class InformativePhrase(NamedTuple):
    """A phrase that is more frequent in some texts than in others."""

    phrase: Phrase
    texts: int
    """Texts that have it."""
    others: int
    """Other texts that have it."""


def informative_phrases(
    texts: Sequence[Sequence[str]], others: Sequence[Sequence[str]], most: int
) -> list[InformativePhrase]:
    """The phrases that most surely are more frequent in `texts` than in `others`, at most `most`.

    Each text is a sequence of words; what it repeats counts once. Fewer than `LEAST` texts have none. Ordered by the
    log-odds of having the phrase, in standard errors, with a prior that expects it in both groups alike. With fewer
    than `LEAST` others they are ordered by number of texts, without short words and those that most texts have.

    Source: B. L. Monroe, M. P. Colaresi and K. M. Quinn 2008, Political Analysis 16:372-403, section 3.5.1, with texts
    as the unit.

    >>> wrong = [["the", "refund", "period", "is", "wrong"]] * 6 + [["the", "tone", "is", "rude"]] * 2
    >>> informative_phrases(wrong, [["the", "answer", "is", "fine"]] * 10, most=1)
    [InformativePhrase(phrase=('is', 'wrong'), texts=6, others=0)]
    """
    if len(texts) < LEAST:
        return []
    counts, elsewhere = _count(texts), _count(others)
    least = max(2, _SHARE * len(texts))
    # Rarer ones are not listed, and keep no word from being listed.
    often = {phrase: number for phrase, number in counts.items() if number >= _WITHIN * least}
    if len(others) < LEAST:
        ranked = {
            phrase: float(number)
            for phrase, number in often.items()
            if number <= _OFTEN * len(texts) and not any(map(_short, phrase))
        }
    else:
        ranked = {
            phrase: sure
            for phrase, number in often.items()
            if (sure := _surely_more(number, len(texts), elsewhere[phrase], len(others))) >= _SURE
        }
    in_pairs: Counter[str] = Counter()
    for phrase in ranked:
        for word in phrase if len(phrase) > 1 else ():
            in_pairs[word] = max(in_pairs[word], counts[phrase])

    def is_listed(phrase: Phrase) -> bool:
        if FUNCTION_WORDS.issuperset(phrase):
            return False
        word, *pair = phrase
        alone = bool(pair) or not (_short(word) or in_pairs[word] >= _WITHIN * counts[phrase])
        return counts[phrase] >= least and alone

    in_order = sorted(filter(is_listed, ranked), key=lambda phrase: (-ranked[phrase], -len(phrase), phrase))
    chosen = _without_repetition(in_order, _texts_with(in_order, texts), most)
    return [InformativePhrase(phrase, counts[phrase], elsewhere[phrase]) for phrase in chosen]


def _short(word: str) -> bool:
    # Words of scripts without blanks are short.
    return word.isascii() and len(word) < _SHORT


def _phrases(text: Sequence[str]) -> set[Phrase]:
    words = text[:WORDS]
    return {*zip(words), *pairwise(words)}


def _count(texts: Iterable[Sequence[str]]) -> Counter[Phrase]:
    """Number of texts with each phrase."""
    counts: Counter[Phrase] = Counter()
    for text in texts:
        counts.update(_phrases(text))
    return counts


def _texts_with(phrases: Iterable[Phrase], texts: Iterable[Sequence[str]]) -> Mapping[Phrase, AbstractSet[int]]:
    """The texts with each of these phrases, by their place."""
    having: dict[Phrase, set[int]] = {phrase: set() for phrase in phrases}
    for place, text in enumerate(texts):
        for phrase in having.keys() & _phrases(text):
            having[phrase].add(place)
    return having


def _surely_more(number: int, texts: int, elsewhere: int, others: int) -> float:
    """By how many standard errors the log-odds of a phrase are higher in some texts than in others."""
    # Half a text more, so that nothing is expected of none or all.
    expected = _PRIOR * (number + elsewhere + 0.5) / (texts + others + 1)
    have = number + expected, elsewhere + expected
    lack = texts + _PRIOR - have[0], others + _PRIOR - have[1]
    difference = log(have[0] / lack[0]) - log(have[1] / lack[1])
    return difference / sqrt(sum(1 / each for each in (*have, *lack)))


def _without_repetition(
    phrases: Iterable[Phrase], having: Mapping[Phrase, AbstractSet[int]], most: int
) -> list[Phrase]:
    """The first phrases, without those that share a word and nearly all texts with an earlier one."""
    chosen: list[Phrase] = []
    for phrase in phrases:
        if not any(_repeats(phrase, other, having) for other in chosen):
            chosen.append(phrase)
            if len(chosen) == most:
                break
    return chosen


def _repeats(phrase: Phrase, other: Phrase, having: Mapping[Phrase, AbstractSet[int]]) -> bool:
    if set(phrase).isdisjoint(other):
        return False
    of, of_other = having[phrase], having[other]
    return len(of & of_other) >= _WITHIN * max(len(of), len(of_other))
