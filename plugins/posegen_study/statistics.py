"""Statistics of the answers: shares, confidence intervals, tests against chance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from scipy.optimize import brentq
from scipy.stats import binom, binomtest

from .definition import Study
from .record import Answer

LEVEL = 0.05
POWER = 0.8
WANTED = 0.6
"""The true share that a study should detect; with fewer answers than that takes, the report contains a warning."""


@dataclass(frozen=True)
class Share:
    """A share of ``n`` answers with its Wilson 95 % interval and the exact two-sided binomial test against one half."""

    count: int
    n: int
    share: float
    low: float
    high: float
    p: float

    @property
    def interval(self) -> str:
        """The share and its interval in words."""
        return f"{self.share:.1%} ({self.count} of {self.n}), 95% interval {self.low:.1%} to {self.high:.1%}"

    def __str__(self) -> str:
        p = f"{self.p:.3f}" if self.p >= 0.001 else f"{self.p:.1e}"
        return f"{self.interval}; p = {p} against one half" + "; not significant" * (self.p >= LEVEL)


def share_of(count: int, n: int) -> Share:
    """Compute the share *count* of *n* (at least 1) with its interval and test."""
    test = binomtest(count, n, 0.5)
    interval = test.proportion_ci(0.95, method="wilson")
    return Share(count, n, count / n, float(interval.low), float(interval.high), float(test.pvalue))


@dataclass(frozen=True)
class Tally:
    """Counted answers: for A, for B, for the left side; median time in milliseconds; answers to images shown before."""

    a: Share
    b: Share
    left: Share
    milliseconds: float
    seen_before: int


def tally(answers: Sequence[Answer]) -> Tally:
    """Count answers, at least one."""
    n = len(answers)
    chose_a = sum(answer.chose_a for answer in answers)
    return Tally(
        a=share_of(chose_a, n),
        b=share_of(n - chose_a, n),
        left=share_of(sum(answer.choice == "left" for answer in answers), n),
        milliseconds=float(median(answer.milliseconds for answer in answers)),
        seen_before=sum(answer.views > 1 for answer in answers),
    )


def detectable_share(n: int) -> float | None:
    """Compute the smallest true share above one half that *n* answers detect at the 5 % level with power 80 %.

    None: no result of so few answers is significant.
    """
    needed = int(binom.isf(LEVEL / 2, n, 0.5)) + 1
    if needed > n:
        return None
    return float(brentq(lambda share: binom.sf(needed - 1, n, share) - POWER, 0.5, 1.0))


def report_rows(study: Study, answers: Iterable[Answer]) -> list[tuple[str, str]]:
    """Build the results table for the page and the terminal: rows of a name and a value."""
    answers = list(answers)
    by_rater: dict[str, list[Answer]] = {}
    for answer in answers:
        by_rater.setdefault(answer.rater, []).append(answer)
    rows = [
        ("question", f"{study.question} (mode {study.mode})"),
        ("A", study.a),
        ("B", study.b),
        ("answers", f"{len(answers)}; raters: {len(by_rater)}, trials each: {study.trials}"),
    ]
    if not answers:
        return [*rows, ("result", "no answers")]
    total, real = tally(answers), study.mode == "real"
    if real:
        rows += [
            ("identified the real image", str(total.a)),
            ("R2G: real taken for generated", total.b.interval),
            ("G2R: generated taken for real", f"{total.b.interval}; equals R2G in a test with pairs"),
        ]
    else:
        rows += [("chose A", str(total.a)), ("chose B", total.b.interval)]
    rows += [("median time", f"{total.milliseconds / 1000:.2f} s"), ("chose the left side", str(total.left))]
    if total.seen_before:
        rows.append(("repeated views", f"{total.seen_before} of the answers are to images that were shown before"))
    if len(by_rater) > 1:
        verdict = "identified the real image" if real else "chose A"
        for rater, given in sorted(by_rater.items()):
            own = tally(given)
            words = f"{verdict} {own.a}; median {own.milliseconds / 1000:.2f} s; left {own.left.share:.0%}"
            rows.append((f"rater {rater}", words))
        rows.append(("note", "the test assumes independent answers; those of one rater, or to one pair, are not"))
    return rows + _warnings(len(answers))


def _warnings(n: int) -> list[tuple[str, str]]:
    share = detectable_share(n)
    if share is None:
        return [("warning", f"too few answers for a significant result: {n}")]
    if share > WANTED:
        return [("warning", f"few answers: {n} detect a true share of {share:.0%} or more with power {POWER:.0%}")]
    return []
