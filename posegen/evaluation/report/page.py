"""The report as one HTML page: nothing is loaded from anywhere, and no script runs."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

import jinja2

from ...version import __version__
from ..results import Evaluation
from ..table import ARROWS
from . import pictures
from .compare import Comparison, figures
from .rows import context_rows, image_count, protocol_rows, score_rows
from .text import MOST_UNMATCHED


def html(evaluation: Evaluation, compared: Comparison, cases_by: Sequence[str] = ()) -> str:
    """The whole page; everything from outside (names, notes, reasons) is escaped.

    Args:
        evaluation: scores, pairs and values of each image; without the latter there are no distributions and cases.
        compared: what others published.
        cases_by: see :func:`~.pictures.cases`.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(files(__package__).joinpath("page.html.j2").read_text(encoding="utf-8"))
    return template.render(
        evaluation=evaluation,
        protocol=evaluation.protocol,
        images=image_count(evaluation),
        scores=score_rows(evaluation),
        fields=protocol_rows(evaluation.protocol),
        compared=compared,
        figures=figures,
        arrows=ARROWS,
        histograms=pictures.histograms(evaluation),
        shape=pictures,
        cases=pictures.cases(evaluation, cases_by),
        has_sources=any(pair.source for pair in evaluation.pairs),
        most_unmatched=MOST_UNMATCHED,
        context=context_rows(evaluation),
        version=__version__,
    )
