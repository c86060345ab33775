"""Sections of docs/statistics.md about numbers that rows have and no document: segments, people, scores."""

from aggregator.statistics.segments import LEAST_ITEMS, ItemVotes, fisher, holm
from tools.reference.markdown import section


def segments() -> str:
    """Segments and their test."""
    trial, team, free = ItemVotes(5, 15), ItemVotes(48, 12), ItemVotes(27, 5)
    everything = ItemVotes(*map(sum, zip(trial, team, free, strict=True)))
    p_values = [
        fisher(own, (everything.aligned - own.aligned, everything.misaligned - own.misaligned))
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
        f"- How to read it: the metric agrees with people on {trial.aligned} of {sum(trial)} items of the plan "
        f"`trial`, {team.aligned} of {sum(team)} of `team` and {free.aligned} of {sum(free)} of `free`. The p-values "
        f"are {', '.join(f'{value:.2g}' for value in p_values)}, by Holm "
        f"{', '.join(f'{value:.2g}' for value in adjusted)}: look at `trial` first.\n"
        "- Undefined: `few_items` for a segment with fewer than 10 items, `no_rest` when so few are outside it; tpr "
        "`no_human_pass`, tnr `no_human_fail`.\n"
        "- Source: R. A. Fisher 1922, Journal of the Royal Statistical Society 85:87-94; S. Holm 1979, Scandinavian "
        "Journal of Statistics 6:65-70.",
    )
