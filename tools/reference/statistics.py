"""docs/statistics.md: formula, source and reading of every number, with examples that the code computes."""

from aggregator.statistics.ceiling import Panel, alpha_binary, alpha_ordinal, ordered_pairs
from aggregator.statistics.confusion import Confusion, Estimate, Undefined, wilson
from aggregator.statistics.corrected import corrected_pass_rate, rogan_gladen
from aggregator.statistics.gate import Gate, Obstacle, gate
from aggregator.statistics.phrases import informative_phrases
from aggregator.statistics.versions import mcnemar
from aggregator.statistics.what_if import Scored, Sweep
from sinks.api.field_docs import field_docs
from tools.reference import statistics_rows
from tools.reference.cases import cases
from tools.reference.markdown import code, document, section, table
from tools.reference.statistics_numbers import EXAMPLE, LIMITS, interval, numbers, plain, point


def page() -> str:
    """The page."""
    return document(
        "Statistics",
        "What each number means, how it is computed, and when it is undefined. All numbers are functions of stored "
        "counts or of the view's rows; nothing derived is stored or added up. [Snapshot document](snapshot.md) lists "
        "the fields, [Glossary](glossary.md) the words. [What counts](#what-counts) shows by example which events "
        "become which counts.",
        _notation(),
        _intervals(),
        section("Numbers of a criterion and metric", *numbers()),
        _gate(),
        _ceiling(),
        _corrected(),
        _what_if(),
        _frequent_words(),
        _versions(),
        statistics_rows.scores(),
        statistics_rows.segments(),
        statistics_rows.people(),
        statistics_rows.alternative_test(),
        _time(),
        _undefined(),
        section(
            "What counts",
            "Each row is a history and all counts that result from it. `tests/laws` runs every row against the "
            "recount, the worker's shard in every order of arrival, and the view's store. Unless a row states "
            "otherwise, everything happens on 23 November 2026 (UTC), in queue `support`, on item `t1`, criterion "
            "`overall`, metric `relevance`, judge `v1`, under policy `each`. `up` x pass is the cell of comparisons "
            "whose rating is thumbs up and whose verdict is a pass; bold is the confusion matrix of the queue with "
            "the current verdicts.",
            *cases(),
        ),
        see_also=(
            "[Snapshot document](snapshot.md)",
            "[Events](events.md)",
            "[Metrics](metrics.md)",
            "[Settings](settings.md)",
            "[Glossary](glossary.md)",
        ),
    )


def _notation() -> str:
    counts = table(
        ("", "metric passes", "metric fails"),
        [
            ("people pass", f"tp = {EXAMPLE.tp}", f"fn = {EXAMPLE.fn} (too strict)"),
            ("people fail", f"fp = {EXAMPLE.fp} (too lenient)", f"tn = {EXAMPLE.tn}"),
        ],
    )
    return section(
        "Notation",
        "A comparison pairs one annotation with the current verdict of one metric on the same item. People are the "
        "truth. Thumbs up is a human pass, and so are 3 stars or more (setting `pass_stars`). Under the "
        "policy `majority` the annotations of one item and criterion are one comparison, with the lower median of "
        "their ratings. n = tp + fn + tn + fp is "
        f"the number of comparisons. The examples on this page use these {EXAMPLE.n} comparisons on {EXAMPLE.items} "
        "items:",
        counts,
    )


def _intervals() -> str:
    halved = EXAMPLE.items // 4
    return section(
        "Intervals and distinct items",
        "Every interval of a share is a 95 % Wilson interval unless stated otherwise. Its width comes from the "
        "number of distinct items (`items_compared`), not from the number of comparisons.",
        "Reason: four people who rate the same item do not make four independent observations. If the metric is wrong "
        "on that item, it is wrong four times. An interval on comparisons would be too narrow, on the public SummEval "
        "data 1.7 to 2.5 times, and would call a metric trusted too early.",
        f"Example: {EXAMPLE.n} comparisons with alignment 0.9 have the interval {interval(wilson(0.9, EXAMPLE.n))} "
        f"when they are on {EXAMPLE.n} items, and {interval(wilson(0.9, halved))} when four annotators rated each of "
        f"{halved} items.",
        "A rate over a part of the comparisons, such as tpr, takes the same part of the items: with items = 100, n = "
        "400 and 120 human fails, tnr has the interval of 120 x 100 / 400 = 30 items. This is one design effect, n / "
        "items, for the whole table.",
        "Source: L. Kish 1965, Survey Sampling, for the design effect. Undefined together with its rate.",
    )


def _gate() -> str:
    docs, reasons = field_docs(Gate), field_docs(Obstacle)
    examples = (
        ("the example of this page", EXAMPLE),
        ("95 of 100, both classes caught", Confusion(tp=60, fn=2, tn=35, fp=3, items=100)),
        ("always passes, 90 % good items", Confusion(tp=90, fn=0, tn=0, fp=10, items=100)),
        ("12 items", Confusion(tp=6, fn=0, tn=6, fp=0, items=12)),
    )
    return section(
        "Gate: `gate_state`, `gate_reasons`",
        "The gate answers whether a metric may stand in for people. It assesses the newest judge version in use, on "
        "that version's own comparisons (`newest_judge`). To find this version, take the metric's last verdict in any "
        "queue. Of all versions with a verdict in the 24 hours before it, the newest is the one that started last. "
        "Settings set its limits (`gate_items`, `gate_trusted_low`, `gate_trusted_tnr`, `gate_probation_low`).",
        "People read the gate after every label and stop when it is `trusted`. With a Wilson bound, which holds for "
        "one look, a judge exactly at the limit would be called `trusted` at some moment in about one in five "
        "simulated histories. So the gate compares `gate_low`, the lower bound of a confidence sequence, which holds "
        "at all looks together with probability 0.95: the smallest share p with ln B(8 + k, 2 + n - k) - ln B(8, 2) "
        "- k ln p - (n - k) ln(1 - p) < ln 20, where n is the number of distinct items and k is alignment times n "
        "(Robbins 1970; Howard, Ramdas, McAuliffe, Sekhon 2021). The setting `gate_looks` with the value `one` takes "
        "the Wilson bound instead, for a data set that was fixed before. `report --fail-under` takes the bound for "
        "many looks, with `--file` the bound for one look, unless `--looks` is given. The gate states in the tables "
        "of `recount` and `report` follow `gate_looks`.",
        "The first state in this table whose condition is true applies:",
        table(
            ("state", "condition", "meaning"),
            [
                (
                    f"`{Gate.UNDECIDED}`",
                    f"fewer than {LIMITS.items} items, or people gave only one verdict",
                    docs["UNDECIDED"],
                ),
                (
                    f"`{Gate.TRUSTED}`",
                    f"`gate_low` >= {LIMITS.trusted_low:.2f} and `tnr` >= {LIMITS.trusted_tnr:.2f}",
                    docs["TRUSTED"],
                ),
                (
                    f"`{Gate.PROBATION}`",
                    f"`gate_low` >= {LIMITS.probation_low:.2f} and `alignment` > `baseline`",
                    docs["PROBATION"],
                ),
                (f"`{Gate.NOT_TRUSTED}`", "otherwise", docs["NOT_TRUSTED"]),
            ],
        ),
        "Items needed at the default limits, while the alignment stays the same. `probation` also needs an alignment "
        "above `baseline`, `trusted` the `tnr` of the table above:",
        table(
            ("alignment", "items for `probation`", "items for `trusted`"),
            map(_labels_row, (0.8, 0.83, 0.85, 0.9, 0.95)),
        ),
        "`gate_reasons` lists every condition on the way to `trusted` that is not met:",
        table(("reason", "meaning"), [(f"`{reason}`", reasons[reason.name]) for reason in Obstacle]),
        "Examples:",
        table(
            ("counts", "alignment", "gate_low", "tnr", "state", "reasons"),
            [(name, *_decided(counts)) for name, counts in examples],
        ),
        "Undefined (`off_topic`) for a pair that the setting `criterion_metrics` leaves out.",
    )


def _labels_row(share: float) -> tuple[str, str, str]:
    """The items with which an alignment reaches each limit."""
    needed = (LIMITS.items_for_bound(share, limit) for limit in (LIMITS.probation_low, LIMITS.trusted_low))
    probation, trusted = ("never" if items is None else f"{max(LIMITS.items, items):,}" for items in needed)
    return f"{share:.2f}", probation, trusted


def _decided(counts: Confusion) -> tuple[str, str, str, str, str]:
    state, reasons = gate(counts, LIMITS)
    alignment, tnr = counts.alignment, counts.tnr
    assert isinstance(alignment, Estimate)
    return (
        f"{alignment.value:.2f} ({interval((alignment.low, alignment.high))})",
        f"{LIMITS.lower_bound(alignment, counts.items):.4f}",
        f"{tnr.value:.2f}" if isinstance(tnr, Estimate) else "",
        f"`{state}`",
        code(reasons),
    )


def _ceiling() -> str:
    # Thumbs and stars: 30 items on which both pass, 6 on which they differ, 4 on which both fail.
    panels = [Panel((0, 0, 0, 0, 0, 2, 0), 30), Panel((0, 0, 0, 1, 1, 0, 0), 6), Panel((0, 0, 1, 1, 0, 0, 0), 4)]
    pairs = ordered_pairs(panels, 3)
    agreement, kappa = pairs.alignment, pairs.kappa
    assert isinstance(agreement, Estimate)
    return section(
        "Human agreement: `agreement`, `kappa`, `alpha`, `alpha_ordinal`, `headroom`",
        "How well people agree with each other, per criterion. A metric is not expected to agree better with people "
        "than people do among themselves.",
        "- Formula: every two annotators of an item are a pair, counted in both orders. `agreement` is the share of "
        "pairs that give the same verdict, with the Wilson interval of the items that have a pair; `kappa` is "
        "Cohen's kappa of the same table. `alpha` is Krippendorff's alpha of pass and fail, `alpha_ordinal` of the "
        "stars; both allow any number of annotators per item. Thumbs have no order with stars, so `alpha_ordinal` "
        "leaves them out. `headroom` = `agreement` - `alignment` of the metric.\n"
        "- How to read it: two people rate 40 items; both pass 30 (4 stars), both fail 4 (1 and 2 stars), and they "
        f"differ on 6 (2 and 3 stars). Agreement is {agreement.value:.2f} "
        f"({interval((agreement.low, agreement.high))}), kappa {plain(kappa)}, alpha "
        f"{plain(alpha_binary(panels, 3))}, alpha of the stars {plain(alpha_ordinal(panels))}: high, because they "
        f"differ by one star only. A metric with alignment 0.80 has a headroom of {agreement.value - 0.8:.2f}; with a "
        "headroom near 0 or below, improve the guideline for people before the metric.\n"
        "- Undefined: `no_pairs` when no item has two annotators; the alphas and kappa `one_class` when all gave the "
        "same verdict.\n"
        "- Source: K. Krippendorff 2004, Content Analysis, chapter 11; J. Cohen 1960.",
    )


def _corrected() -> str:
    counts = Confusion(tp=90, fn=10, tn=60, fp=40, items=200)
    found = corrected_pass_rate(750, 1000, counts)
    assert isinstance(found, Estimate)
    return section(
        "Corrected pass rate: `corrected`",
        "- Formula: (p + tnr - 1) / (tpr + tnr - 1), clipped to 0..1; p is the pass rate of one judge version over all "
        "items of the queue, annotated or not.\n"
        "- How to read it: a judge passes 750 of 1,000 items; on 200 annotated ones it has tpr 0.90 and tnr 0.60. "
        f"People would pass {found.value:.2f} ({interval((found.low, found.high))}) of the 1,000. The estimate needs "
        "annotated items that are a fair sample of the queue.\n"
        "- Interval: delta method, with pseudo-observations, so that it does not collapse at rates of 0 and 1; it "
        "has the noise of p, tpr and tnr.\n"
        f"- Clipping: p = 0.20 with the same rates is {plain(rogan_gladen(0.2, 0.9, 0.6))}, p = 0.95 is "
        f"{plain(rogan_gladen(0.95, 0.9, 0.6))}.\n"
        "- Undefined: `no_queue_items` without queue items, `no_verdicts` when the judge gave no verdict on them, "
        "`no_comparisons`, `no_human_pass`, `no_human_fail` when tpr or tnr is undefined, `no_better_than_chance` when "
        "tpr + tnr <= 1.\n"
        "- Source: W. J. Rogan and B. Gladen 1978, American Journal of Epidemiology 107:71-76; interval: Z. Lang and "
        "J. Reiczigel 2014, Preventive Veterinary Medicine 113:13-22.",
    )


def _what_if() -> str:
    scored = [Scored(0.2, 0, 8), Scored(0.4, 4, 6), Scored(0.6, 12, 6), Scored(0.8, 20, 2), Scored(1.0, 14, 0)]
    sweep = Sweep.of(scored, "higher")
    items = sum(score.passes + score.fails for score in scored)
    rows = []
    for cut in sweep.cuts:
        counts = cut.counts(items)
        threshold = "above all scores" if cut.cut is None else f"{cut.cut:.1f}"
        rates = [plain(point(value)) for value in (counts.alignment, counts.tpr, counts.tnr, counts.balanced_accuracy)]
        rows.append((threshold, *map(str, cut[1:]), *rates))
    alignment, balanced = sweep.best_alignment(0.8), sweep.best_balanced_accuracy(0.8)
    assert not isinstance(balanced, Undefined)
    return section(
        "Threshold what-if: `cuts`, `auc`, best cuts",
        "The counts that other thresholds would have produced, from the scores of the compared evaluations. A score at "
        "the threshold passes. `now` has the counts of the verdicts as they were given, including verdicts sent as "
        "`passed`.",
        table(("threshold", "tp", "fn", "tn", "fp", "alignment", "tpr", "tnr", "balanced accuracy"), rows),
        f"- How to read it: the best cut by alignment is {alignment.cut}, by balanced accuracy {balanced.cut}. Of "
        "several equally good cuts the one nearest to the current threshold is taken. The third kind of best cut "
        "weighs one false positive as `cost` false negatives. All of them are in-sample: measured on the comparisons "
        "from which they are chosen, so they are a little too good on new items. A card of the page advises the best "
        "threshold only where the lower bound of its alignment is above the alignment now.\n"
        f"- AUC: {plain(sweep.auc)} here: how often a comparison that people pass has the better score than one that "
        "people fail, ties counted half. 0.5 means that the scores do not separate what people pass from what they "
        "fail.\n"
        "- Undefined: `no_scores`, `no_comparisons`; `mixed_directions` when higher scores pass in some evaluations "
        "and lower ones in others; AUC and balanced accuracy `no_human_pass` or `no_human_fail`; the current threshold "
        "`no_threshold`.\n"
        "- Source: J. A. Hanley and B. J. McNeil 1982, Radiology 143:29-36, for the AUC.",
    )


def _frequent_words() -> str:
    texts = [["wrong", "refund", "period"]] * 12 + [["rude"]] * 8
    others = [["right", "period"]] * 30 + [["wrong", "name"]] * 3
    rows = [
        (" ".join(each.phrase), str(each.texts), str(each.others)) for each in informative_phrases(texts, others, 4)
    ]
    return section(
        "Frequent words of explanations and reasons",
        "What people wrote, and what metrics gave as reasons, about misaligned items, in a few words. The page of "
        "items shows them above the list, and cards of a queue the first three of people.",
        table(("words", f"of {len(texts)} texts", f"of {len(others)} others"), rows),
        "- Counted: of the newest 500 misaligned comparisons that the list chooses, among the newest 10,000 "
        "annotations of the queue, the texts with each word and with each two words in a row. The others are those of "
        "the newest 500 aligned comparisons with the same human verdicts. Of a text the first 60 words count.\n"
        "- Formula: the log-odds of having the word here minus those among the others, divided by the standard error. "
        "A prior worth 10 texts expects it in both alike. Words from 1.96 on are listed, if at least 2 texts and 5 % "
        "of them have it; so words that are frequent everywhere are left out in any language. A word is left out where "
        "nearly all of its texts have it in a pair, and a word of fewer than 4 letters is listed in pairs only. Of "
        "about 100 English function words, such as `about` and `what`, neither one nor a pair is listed.\n"
        "- How to read it: `refund period` is in 12 of 20 texts here and in none of the others. `period` alone is no "
        "news: 30 others have it.\n"
        "- Undefined: with fewer than 5 texts nothing is shown. With fewer than 5 others, or where nothing is surely "
        "more frequent here, words are ordered by number of texts, without those of fewer than 4 letters and those "
        "that more than 80 % of the texts have; the page states it.\n"
        "- Source: B. L. Monroe, M. P. Colaresi and K. M. Quinn 2008, Political Analysis 16:372-403.",
    )


def _versions() -> str:
    return section(
        "Judge versions: McNemar's exact test",
        "Each judge version has its own counts over all items that it judged, current and superseded. Two versions "
        "that judged the same annotations are compared on these alone.",
        "- Formula: b comparisons on which only the first version agrees with people, c on which only the second does. "
        "The p-value is the two-sided probability of a split at least as uneven as b to c among b + c fair coin "
        "tosses.\n"
        f"- How to read it: 1 against 5 has p = {mcnemar(1, 5):.3f}, so it may be chance. 10 against 30 has p = "
        f"{mcnemar(10, 30):.3f}, so the second version agrees better. The page "
        "shows a card for a metric whose newest version agrees worse than the one before, from p below 0.05 on.\n"
        "- Over time: a new version is marked on the day from which it has comparisons: that of its first verdict, or "
        "of the first annotation that is compared with it if this is later. It is called better or worse where p is "
        "below 0.05: by this test where both versions judged at least 30 same items (setting `gate_items`), or where "
        "it finds a difference on fewer; else by Fisher's exact test of aligned and misaligned items before and "
        "after, because few items without a difference show nothing about the others.\n"
        "- Undefined: `no_shared_items` when no item was judged by both.\n"
        "- Source: Q. McNemar 1947, Psychometrika 12:153-157, with the binomial distribution.",
    )


def _time() -> str:
    few, many = (_half_width((0.9, 400), (0.8, items)) for items in (100, 400))
    assert 2 * many < 0.9 - 0.8 < 2 * few, "the alert waits in the first example and fires in the second"
    return section(
        "Time: trend and drop alert",
        "- Trend by annotation (`by=annotation`): comparisons by UTC day of the annotation, with the rows of now, so a "
        "correction changes the past. `week` is the seven days that end on a day, with their distinct items counted "
        "once.\n"
        "- Trend by publication (`by=publication`): the last snapshot document of each day, as it was published.\n"
        "- Drop: `alignment` of the 30-day window that ended 7 days ago, as counted then, minus that of the last 5 "
        "days. The half width of its 95 % interval is sqrt((p1 - low1)^2 + (high2 - p2)^2), with the Wilson bounds "
        "of both. The alert `EvalAlignmentDropped` fires when the drop is at least 3 points and more than twice this "
        "half width, for 3 hours.\n"
        f"- How to read it: alignment was 0.90 on 400 items and is 0.80 on 100 items. The half width of this drop is "
        f"{few:.3f}, so the alert waits. With 400 new items the half width is {many:.3f}, and it fires.\n"
        "- Undefined: days without comparisons are left out. Without comparisons in both windows the drop has no "
        "series.\n"
        "- Source: R. G. Newcombe 1998, Statistics in Medicine 17:873-890, method 10.",
    )


def _half_width(before: tuple[float, int], now: tuple[float, int]) -> float:
    low, _ = wilson(*before)
    _, high = wilson(*now)
    return float(((before[0] - low) ** 2 + (high - now[0]) ** 2) ** 0.5)


def _undefined() -> str:
    docs = field_docs(Undefined)
    return section(
        "Undefined numbers",
        "A number that cannot be computed is null in documents and responses, with its reason in `undefined`; a dash "
        "on the page; and an absent series in Prometheus. It is never 0 and never 1.",
        table(("reason", "meaning"), [(f"`{reason}`", docs[reason.name]) for reason in Undefined]),
    )
