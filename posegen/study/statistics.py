"""What the answers of a study say, and how surely."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from .definition import Study
from .record import Answer

LEVEL = 0.05
POWER = 0.8
WANTED = 0.6
"""A preference that a study should be able to find; where it cannot, the report says so."""


@dataclass(frozen=True)
class Share:
    """How many of ``n`` answers: the share, its Wilson 95 % interval, and the exact two-sided binomial test's p value
    against one half."""

    count: int
    n: int
    share: float
    low: float
    high: float
    p: float


def share_of(count: int, n: int) -> Share:
    """*count* of *n* answers (at least 1), as a share with its interval and test."""
    from scipy.stats import binomtest  # here: it takes a second to load, and every command would wait for it

    test = binomtest(count, n, 0.5)
    interval = test.proportion_ci(0.95, method="wilson")
    return Share(count, n, count / n, float(interval.low), float(interval.high), float(test.pvalue))


@dataclass(frozen=True)
class Tally:
    """Answers counted: for A, for B, for the left side; the median time in milliseconds; how many were given to images
    that had been shown before."""

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


def least_share(n: int) -> float | None:
    """The smallest true share above one half that *n* answers show to be different from it, at the 5 % level, in four
    studies out of five. None: so few answers that nothing can be shown."""
    from scipy.optimize import brentq
    from scipy.stats import binom

    needed = int(binom.isf(LEVEL / 2, n, 0.5)) + 1
    if needed > n:
        return None
    return float(brentq(lambda share: binom.sf(needed - 1, n, share) - POWER, 0.5, 1.0))


def report_rows(study: Study, answers: Iterable[Answer]) -> list[tuple[str, str]]:
    """The result, a name and what there is to say of it a row: for the page and for the terminal."""
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
        return [*rows, ("result", "none: nobody has answered")]
    together = tally(answers)
    rows += _verdict(study, together)
    rows += [
        ("median time", f"{together.milliseconds / 1000:.2f} s"),
        ("chose the left side", _in_words(together.left)),
    ]
    if together.seen_before:
        rows.append(("seen before", f"{together.seen_before} of the answers are to images that had been shown before"))
    if len(by_rater) > 1:
        rows += [(f"rater {name}", _one_rater(study, tally(given))) for name, given in sorted(by_rater.items())]
        rows.append(("caution", "the test takes answers as independent; those of one rater, or to one pair, are not"))
    return rows + _warnings(len(answers))


def _verdict(study: Study, counted: Tally) -> list[tuple[str, str]]:
    if study.mode == "real":
        fooled = _interval(counted.b)
        return [
            ("told the real one", _in_words(counted.a)),
            ("R2G: real taken for generated", fooled),
            ("G2R: generated taken for real", f"{fooled}; in a test by pairs the same answers as R2G"),
        ]
    return [("chose A", _in_words(counted.a)), ("chose B", _interval(counted.b))]


def _one_rater(study: Study, counted: Tally) -> str:
    what = "told the real one" if study.mode == "real" else "chose A"
    return f"{what} {_in_words(counted.a)}; median {counted.milliseconds / 1000:.2f} s; left {counted.left.share:.0%}"


def _warnings(n: int) -> list[tuple[str, str]]:
    least = least_share(n)
    if least is None:
        return [("warning", f"too few answers to show anything: {n}")]
    if least > WANTED:
        return [
            ("warning", f"few answers: with {n}, a true share under {least:.0%} is missed in one study of five or more")
        ]
    return []


def _interval(share: Share) -> str:
    return f"{share.share:.1%} ({share.count} of {share.n}), 95% interval {share.low:.1%} to {share.high:.1%}"


def _in_words(share: Share) -> str:
    p = f"p = {share.p:.3f}" if share.p >= 0.001 else f"p = {share.p:.1e}"
    sure = "" if share.p < LEVEL else "; chance is not ruled out"
    return f"{_interval(share)}; {p} against one half{sure}"
