"""Sections of docs/statistics.md about numbers that rows have and no document: segments, people, scores."""

from typing import Final

from aggregator.statistics.alternative import LEAST_ITEMS as LEAST_RATED
from aggregator.statistics.alternative import LEAST_PEOPLE, WINS, Alternative, LeftOut, alternative
from aggregator.statistics.annotators import SharedItems
from aggregator.statistics.calibration import Calibration, calibration
from aggregator.statistics.confusion import Estimate
from aggregator.statistics.segments import LEAST_ITEMS, ItemVotes, fisher, holm
from aggregator.statistics.what_if import Scored
from tools.reference.markdown import section
from tools.reference.statistics_numbers import interval

_ALIGNMENT: Final = ("aligned", "misaligned")


def segments() -> str:
    """Segments and their test."""
    trial, team, free = ItemVotes(3, 5, 2, 10), ItemVotes(30, 8, 18, 4), ItemVotes(17, 3, 10, 2)
    aligned, misaligned = (sum(getattr(each, name) for each in (trial, team, free)) for name in _ALIGNMENT)
    p_values = [
        fisher((own.aligned, own.misaligned), (aligned - own.aligned, misaligned - own.misaligned))
        for own in (trial, team, free)
    ]
    adjusted = holm(p_values)
    return section(
        "Segments: Fisher's exact test",
        "A segment is the comparisons of a criterion and metric with the same value of a tag, or the same annotator, "
        "level or judge version. A tag of the annotation comes before that of the queue item, and both before that of "
        "the evaluation. A good alignment over all items can hide a segment on which the metric fails.",
        "- Formula: `alignment`, `tpr` and `tnr` of the segment's comparisons, with Wilson intervals on its distinct "
        "items. `p_value` is that of Fisher's exact test, two-sided: the sum over all tables with the same margins "
        "that are at most as likely as the one seen, of items aligned and misaligned in the segment and in the rest. "
        "An item counts once on each side, by the majority of its annotations there; a tie does not count. "
        "`p_adjusted` is Holm's: the i-th smallest of m p-values times m - i + 1, at least as large as the one before. "
        f"A segment `differs` below 0.05. Segments with fewer than {LEAST_ITEMS} items are not tested.\n"
        "- Direction: a metric that is too lenient in a segment and too strict elsewhere may agree with people equally "
        "often in both. So the same test compares what it fails of the items that people pass "
        "(`passes_p_adjusted`), and what it passes of the items that people fail (`fails_p_adjusted`), with Holm's "
        "correction over all of these tests together. `lean` is `more_lenient` or `stricter` where one of them is "
        "below 0.05 and the other does not point the other way, else `unclear`. `error_side` and `rest_error_side` "
        "are the exact binomial tests of the items' false negatives and false positives.\n"
        f"- How to read it: the metric agrees with people on {trial.aligned} of {sum(trial)} items of the plan "
        f"`trial`, {team.aligned} of {sum(team)} of `team` and {free.aligned} of {sum(free)} of `free`. The p-values "
        f"are {', '.join(f'{value:.2g}' for value in p_values)}, by Holm "
        f"{', '.join(f'{value:.2g}' for value in adjusted)}: look at `trial` first.\n"
        "- Undefined: `few_items` for a segment with fewer than 10 items, `no_rest` when so few are outside it; tpr "
        "`no_human_pass`, tnr `no_human_fail`.\n"
        "- Source: R. A. Fisher 1922, Journal of the Royal Statistical Society 85:87-94; S. Holm 1979, Scandinavian "
        "Journal of Statistics 6:65-70.",
    )


def people() -> str:
    """Annotators, and items on which people disagree."""
    person = SharedItems(items=100, passes=65, others=80, others_squared=80, both=60, pairs=100, agreed=75)
    agreement, strictness = person.agreement, person.strictness
    assert isinstance(agreement, Estimate)
    assert isinstance(strictness, Estimate)
    return section(
        "Annotators and disagreements",
        "Numbers of single annotators are about people, so page and API have them only with the setting "
        "`show_annotators`. The items on which people disagree are always listed, without names when it is off. Both "
        "count every standing annotation of a criterion, under any policy.",
        "- Formula: `agreement` is the share of the pairs of the annotator with another one, on the same item, that "
        "give the same verdict, with the Wilson interval of these items. `pass_rate` is the share of these items that "
        "the annotator passes, `others_pass_rate` the mean over them of the share of the others that pass the item. "
        "`strictness` = `others_pass_rate` - `pass_rate`; its interval is made from the Wilson intervals of both rates "
        "and their correlation r over items: to either side the root of a^2 - 2 r a b + b^2, a and b being the "
        "distances of the rates from their bounds on that side.\n"
        f"- How to read it: one person passes 65 of 100 items, the other one 80, and they agree on 75. Agreement is "
        f"{agreement.value:.2f} ({interval((agreement.low, agreement.high))}), strictness {strictness.value:.2f} "
        f"({interval((strictness.low, strictness.high))}): the interval is above 0, so this person is stricter.\n"
        "- Disagreements: items with at least one pass and one fail; those with most annotators first, of equal ones "
        "the evenest split, then the newest.\n"
        "- Undefined: `no_pairs` for an annotator who shares no item with another.\n"
        "- Source: R. G. Newcombe 1998, Statistics in Medicine 17:2635-2650.",
    )


def alternative_test() -> str:
    """The alternative annotator test."""
    people = [LeftOut(60, 6, 5), LeftOut(60, 4, 9), LeftOut(60, 18, 6)]
    result = alternative(people, 0.2)
    assert isinstance(result, Alternative)
    p_values = ", ".join(f"{person.p_value(0.2):.2g}" for person in people)
    return section(
        "Alternative annotator test",
        "Whether a metric may replace one of the people who annotate a criterion. Each person is left out in turn, and "
        "the person and the metric are compared with the others, on the items that others rated and the metric judged "
        f"too. It takes {LEAST_PEOPLE} people with {LEAST_RATED} such items each.",
        "- Formula: on an item, d is 1 where the person agrees with more of the others than the metric does, -1 where "
        "the metric does, else 0. The metric wins against a person when a one-sided t-test rejects that the mean of d "
        "is epsilon or more, at a false discovery rate of 5 % over the people (Benjamini and Yekutieli). "
        f"`winning_rate` is the share of people against whom it wins; from {WINS} on it `may_replace` one of them. "
        "`advantage`, the average advantage probability, is the mean over people of the share of items with d of 0 or "
        "-1. Epsilon is the setting `alternative_epsilon`, 0.2 by default.\n"
        "- How to read it: three people with 60 items each. The person is closer to the others on 6, 4 and 18 items, "
        f"the metric on 5, 9 and 6. The p-values are {p_values}: the metric wins against {result.won} of "
        f"{result.people}, its advantage is {result.advantage:.2f}, and it may replace one of them. Alignment answers "
        "how good the metric is, this test whether it is worse than the people at hand. The gate, not this test, "
        "decides whether a metric may stand in for people: where the gate does not trust it, the page names it apart, "
        "and where people agree no better than by chance, the page has no answer.\n"
        "- Undefined: `few_annotators`.\n"
        "- Source: N. Calderon, R. Reichart and R. Dror 2025, The Alternative Annotator Test for LLM-as-a-Judge; "
        "Y. Benjamini and D. Yekutieli 2001, Annals of Statistics 29:1165-1188.",
    )


def scores() -> str:
    """Scores as probabilities."""
    found = calibration([Scored(0.2, 1, 3), Scored(0.5, 2, 2), Scored(0.9, 4, 0)])
    assert isinstance(found, Calibration)
    return section(
        "Calibration: `brier`, `calibration_error`",
        "Where all scores of a criterion and metric are in 0..1, they can be read as probabilities of a human pass. "
        "Where lower scores pass, 1 - score is taken.",
        "- Formula: `brier` is the mean over comparisons of (score - result)^2, result being 1 for a human pass and 0 "
        "for a fail. `calibration_error` is the expected calibration error: comparisons are sorted into 10 bins of "
        "equal mass (deciles of the scores, interpolated; equal scores share a bin), and the difference of mean score "
        "and human pass rate of each bin is averaged by its comparisons. The pass rate of a bin has the Wilson "
        "interval of its share of the distinct items.\n"
        "- How to read it: of 4 comparisons with score 0.2 people pass 1, of 4 with 0.5 they pass 2, of 4 with 0.9 "
        f"all. The Brier score is {found.brier:.3f}, the calibration error {found.error:.3f}. A judge that always "
        "returns 0.5 has a Brier score of 0.25; 0 is perfect. With few comparisons in a bin, chance makes an error.\n"
        "- Undefined: `not_a_probability` when a score is below 0 or above 1, `no_scores`, `mixed_directions`.\n"
        "- Source: G. W. Brier 1950, Monthly Weather Review 78:1-3; M. P. Naeini, G. F. Cooper and M. Hauskrecht 2015, "
        "AAAI, for the expected calibration error.",
    )
