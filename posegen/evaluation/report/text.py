"""The report as Markdown, and its scores as a LaTeX table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ..results import Evaluation
from ..table import ARROWS
from .compare import Comparison, Ranking, values_as_printed
from .rows import ScoreRow, context_rows, made_with, protocol_rows, score_rows

MOST_UNMATCHED = 100
"""Maximum number of unmatched files that a report lists; it counts all."""

_MARKDOWN = re.compile(r"([\\`*_\[\]<>|~#$])")
_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "×": r"$\times$",
    "…": r"\ldots{}",
    "–": "--",
}


def markdown(evaluation: Evaluation, compared: Comparison) -> str:
    """Format the whole report except pictures and distributions."""
    protocol = evaluation.protocol
    parts = [
        f"# Evaluation under {escape_markdown(protocol.name)}",
        f"Protocol `{protocol.hash}`: {escape_markdown(protocol.citation)}",
        "## Scores",
        markdown_table(
            ("metric", "value", "95 % interval", "n", "unit", "better", "reason"),
            [_cells(row) for row in score_rows(evaluation)],
        ),
        *_bullets("## Notes", evaluation.notes),
        "## Published scores",
        *_compared(compared),
        "## Protocol",
        markdown_table(
            ("field", "value", "source"),
            [
                (row.field, row.value + (" (a guess)" if row.guess else ""), row.source)
                for row in protocol_rows(protocol)
            ],
        ),
        *_unmatched(evaluation.unmatched),
        *_bullets("## Made with", [f"{name}: {value}" for name, value in context_rows(evaluation)]),
    ]
    return "\n\n".join(parts) + "\n"


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Format a table with escaped cells; columns without text are left out."""
    lines = [[escape_markdown(cell) for cell in row] for row in rows]
    kept = [k for k, _heading in enumerate(headings) if not lines or any(line[k] for line in lines)]
    shown = [
        [escape_markdown(headings[k]) for k in kept],
        ["---"] * len(kept),
        *([line[k] for k in kept] for line in lines),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in shown)


def escape_markdown(text: str) -> str:
    """Escape text for one line, or a cell, of Markdown."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()).replace("&", "&amp;"))


def latex(evaluation: Evaluation) -> str:
    r"""Format the scores as a ``table`` with booktabs, to be read with ``\input``.

    The caption names protocol, hash, images and versions; metrics not computed follow below, with the reason.
    """
    protocol, rows = evaluation.protocol, score_rows(evaluation)
    name = escape_latex(protocol.name)
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{Scores under protocol {name}, {escape_latex(made_with(evaluation))};",
        rf"    hash \texttt{{{protocol.hash}}}. Intervals: 95\,\%, bootstrap.}}",
        rf"  \label{{tab:scores-{protocol.hash}}}",
        r"  \begin{tabular}{lrrrl}",
        r"    \toprule",
        r"    metric & value & 95\,\% interval & $n$ & unit \\",
        r"    \midrule",
        *(f"    {_latex_row(row)} \\\\" for row in rows),
        r"    \bottomrule",
        r"  \end{tabular}",
        *(
            rf"  \par\smallskip\footnotesize Not computed: {escape_latex(row.metric)}, {escape_latex(row.reason)}"
            for row in rows
            if row.reason
        ),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def escape_latex(text: str) -> str:
    """Escape text for one line of LaTeX."""
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))


def _cells(row: ScoreRow) -> tuple[str, ...]:
    return row.metric, row.value, row.interval, row.n, row.unit, row.better, row.reason


def _compared(compared: Comparison) -> list[str]:
    """Format the published scores that are comparable, and those that are not."""
    parts = ["None under this protocol."]
    if len(compared.ranking.entries) > 1:
        parts = [_ranking(compared.ranking), *_bullets("", compared.ranking.notes)]
    if compared.apart:
        rows = [
            (score.method, score.data, values_as_printed(score), why, score.source) for score, why in compared.apart
        ]
        parts += ["### Not comparable", markdown_table(("method", "data", "scores", "reason", "published in"), rows)]
    return parts


def _ranking(ranking: Ranking) -> str:
    headings = ["method", *(f"{name} {ARROWS[higher]}".strip() for name, higher in ranking.metrics.items())]
    rows = [
        (entry.label, *(ranking.cell(entry, metric) for metric in ranking.metrics), entry.images, entry.source)
        for entry in ranking.entries
    ]
    return markdown_table([*headings, "images", "published in"], rows)


def _unmatched(names: Sequence[str]) -> list[str]:
    left = len(names) - MOST_UNMATCHED
    more = [f"… and {left} more"] if left > 0 else []
    return _bullets(f"## Without a partner: {len(names)}", [*names[:MOST_UNMATCHED], *more])


def _bullets(heading: str, lines: Sequence[str]) -> list[str]:
    """Format a heading and a list; nothing without lines."""
    if not lines:
        return []
    return [*([heading] if heading else []), "\n".join(f"- {escape_markdown(line)}" for line in lines)]


def _latex_row(row: ScoreRow) -> str:
    value = "–" if row.reason else row.value
    return " & ".join(
        escape_latex(cell) for cell in (f"{row.metric} {row.better}", value, row.interval, row.n, row.unit)
    )
