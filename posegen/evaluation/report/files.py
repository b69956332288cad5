"""The report of an evaluation as files in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path

import jinja2

from ... import catalogue
from ...errors import DataError, PosegenError
from ...files import written_whole
from ...version import __version__
from ..protocol import PublishedScore
from ..results import Evaluation, read_evaluation
from ..table import ARROWS, to_json
from .compare import Comparison, comparison, values_as_printed
from .pictures import cases, histograms
from .rows import context_rows, image_count, protocol_rows, score_rows
from .text import MOST_UNMATCHED, latex, markdown

RESULTS, HISTORY = "results.json", "results.jsonl"
REPLACED = (RESULTS, "per_image.jsonl", "report.md", "report.tex", "report.html")


def check_report_folder(folder: Path) -> None:
    """Check that a report can be written to *folder*; called before any work.

    Raises:
        PosegenError: *folder* is a file or not writable, or contains files with the names of a report but no valid
            ``results.json``.
    """
    if folder.exists() and not folder.is_dir():
        raise PosegenError(f"{folder} is not a folder; the report needs one")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with written_whole(folder / ".writable") as temporary:
            temporary.touch()
        (folder / ".writable").unlink()
    except OSError as error:
        raise PosegenError(f"{folder}: a report cannot be written there: {error.strerror}") from error
    there = [name for name in (*REPLACED, HISTORY) if os.path.lexists(folder / name)]
    if not there:
        return
    try:
        read_evaluation(folder / RESULTS)
    except DataError as error:
        raise PosegenError(
            f"{folder} contains {', '.join(there)}, which would be overwritten and may not be a report:\n{error}\n"
            "Move these files away, or choose another folder; nothing was written."
        ) from error


def write_report(
    evaluation: Evaluation,
    folder: Path,
    published: Iterable[PublishedScore] | None = None,
    cases_by: Sequence[str] = (),
) -> list[Path]:
    """Write all forms of a report. An earlier report in *folder* is replaced, and ``results.jsonl`` grows by a line.

    ``results.json`` (scores and protocol), ``per_image.jsonl`` (a line per image), ``results.jsonl`` (a line per
    evaluation), ``report.md``, ``report.tex`` (a booktabs table), ``report.html`` (one page, pictures included).
    Numbers that are not finite are null in JSON.

    Args:
        evaluation: the results.
        folder: created if missing.
        published: published scores (default: all that plugins bring).
        cases_by: values by which the page chooses its cases (default: the first three values of single images).

    Returns:
        The files.

    Raises:
        PosegenError: see :func:`check_report_folder`; nothing was written.
        ConfigError: *cases_by* names no value of single images.
    """
    check_report_folder(folder)
    compared = comparison(evaluation, catalogue.all(PublishedScore) if published is None else published)
    results = evaluation.to_dict()
    # All texts are made before the first is written; results.json is the first, because it marks a report's folder.
    texts = {
        RESULTS: to_json(results, indent=2) + "\n",
        "per_image.jsonl": "".join(to_json(row) + "\n" for row in evaluation.per_image),
        "report.md": markdown(evaluation, compared),
        "report.tex": latex(evaluation),
        "report.html": html(evaluation, compared, cases_by),
    }
    for name, text in texts.items():
        with written_whole(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    with (folder / HISTORY).open("a", encoding="utf-8") as lines:
        lines.write(to_json(results) + "\n")
    return [*(folder / name for name in texts), folder / HISTORY]


def html(evaluation: Evaluation, compared: Comparison, cases_by: Sequence[str] = ()) -> str:
    """Render the report as one HTML page without scripts or external files; all text is escaped.

    Args:
        evaluation: without pairs and values of single images, the page has no distributions and no cases.
        compared: the published scores.
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
        figures=values_as_printed,
        arrows=ARROWS,
        histograms=histograms(evaluation),
        cases=cases(evaluation, cases_by),
        has_sources=any(pair.source for pair in evaluation.pairs),
        most_unmatched=MOST_UNMATCHED,
        context=context_rows(evaluation),
        version=__version__,
    )
