"""Words that tell some texts apart from others, against counting by hand."""

from math import log, sqrt

from hypothesis import given
from hypothesis import strategies as st

from aggregator.statistics.phrases import LEAST, WORDS, InformativePhrase, informative_phrases

WRONG = ["the", "refund", "period", "is", "wrong"]
FINE = ["the", "answer", "is", "fine"]
RUDE = ["the", "tone", "is", "rude"]


def found(texts: list[list[str]], others: list[list[str]], most: int = 8) -> list[str]:
    return [" ".join(each.phrase) for each in informative_phrases(texts, others, most)]


def test_what_is_frequent_everywhere_is_left_out() -> None:
    phrases = found([WRONG] * 20 + [RUDE] * 10, [FINE] * 40)
    assert "refund period" in phrases
    assert not {"the", "is"} & set(phrases)


def test_the_numbers_are_texts_and_not_words() -> None:
    texts = [["rude", "rude", "rude"]] * 6 + [["short"]] * 4
    assert informative_phrases(texts, [FINE] * 10, 1) == [InformativePhrase(("rude", "rude"), 6, 0)]


def test_a_word_is_left_out_where_a_pair_has_nearly_all_of_its_texts() -> None:
    texts = [WRONG] * 20 + [["refund", "late"]] * 2
    assert "refund" not in found(texts, [FINE] * 40)
    texts = [WRONG] * 20 + [["no", "refund"]] * 20
    assert "refund" in found(texts, [FINE] * 40)


def test_a_word_must_surely_be_more_frequent() -> None:
    assert "rude" not in found([["rude"]] * 3 + [["good"]] * 7, [["rude"]] * 2 + [["good"]] * 8)
    assert "rude" in found([["rude"]] * 30 + [["good"]] * 70, [["rude"]] * 5 + [["good"]] * 95)


def test_the_order_is_that_of_the_log_odds_with_a_prior() -> None:
    counts = {"late": (30, 2), "rude": (60, 20), "wrong": (12, 0), "fine": (90, 85)}
    # Each word stands alone, so no text has a pair.
    texts, others = ([[word] for word, number in counts.items() for _ in range(number[side])] for side in (0, 1))

    def sure(word: str) -> float:
        prior = 10 * (sum(counts[word]) + 0.5) / (len(texts) + len(others) + 1)
        have, elsewhere = (number + prior for number in counts[word])
        cells = have, len(texts) + 10 - have, elsewhere, len(others) + 10 - elsewhere
        return (log(cells[0] / cells[1]) - log(cells[2] / cells[3])) / sqrt(sum(1 / cell for cell in cells))

    listed = sorted((word for word in counts if sure(word) >= 1.96), key=sure, reverse=True)
    assert len(listed) >= 2
    assert found(texts, others) == listed


def test_a_short_word_is_listed_in_pairs_only() -> None:
    texts = [["the", "period"]] * 9 + [["the", "tone"]] * 9
    assert found(texts, [["fine"]] * 40) == ["the period", "the tone"]


def test_without_others_frequent_and_short_words_are_those_of_the_language() -> None:
    texts = [WRONG] * 4 + [["the", "refund", "is", "late"]] * 4 + [RUDE] * 4
    assert found(texts, [])[:2] == ["refund", "refund period"]
    assert not {"the", "is"} & set(found(texts, []))


@given(st.lists(st.lists(st.sampled_from(["late", "rude", "fine"]), max_size=4), max_size=LEAST - 1))
def test_few_texts_have_none(texts: list[list[str]]) -> None:
    assert informative_phrases(texts, texts, 8) == []


@given(
    st.lists(st.lists(st.sampled_from(["refund", "period", "late"]), max_size=4), max_size=30),
    st.lists(st.lists(st.sampled_from(["refund", "period", "late"]), max_size=4), max_size=30),
)
def test_the_answer_does_not_depend_on_the_order_of_the_texts(texts: list[list[str]], others: list[list[str]]) -> None:
    answer = informative_phrases(texts, others, 8)
    assert answer == informative_phrases(texts[::-1], others[::-1], 8)
    for phrase, number, elsewhere in answer:
        assert number <= len(texts)
        assert elsewhere <= len(others)
        assert 1 <= len(phrase) <= 2


def test_the_end_of_a_long_text_is_not_read() -> None:
    long = [f"word{number}" for number in range(WORDS + 5)]
    read = " ".join(found([long] * 10, [["other"]] * 10, most=1_000)).split()
    assert f"word{WORDS - 1}" in read
    assert f"word{WORDS}" not in read


def test_function_words_are_not_listed_alone_nor_with_one_another() -> None:
    texts = [["what", "we", "want", "about", "refunds"]] * 6
    assert found(texts, [["rude"]] * 10) == ["about refunds"]
    assert found(texts, []) == []
    # A negation may be all that differs, and is listed with its word.
    assert found([["not", "helpful"]] * 6, [["helpful"]] * 10)[0] == "not helpful"
