"""A report as files in a folder."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import DataError, PosegenError
from ...files import written_whole
from ..published import PublishedScore, published_scores
from ..results import Evaluation, read_evaluation
from .compare import comparison
from .page import html
from .text import latex, markdown

RESULTS, HISTORY = "results.json", "results.jsonl"
REPLACED = (RESULTS, "per_image.jsonl", "report.md", "report.tex", "report.html")


def check_report_folder(folder: Path) -> None:
    """Raise where a report in *folder* would overwrite what is not an earlier report; for the start of a command.

    Raises:
        PosegenError: *folder* is a file, or cannot be written to; or a file of a report's names is there, and no
            ``results.json`` of an evaluation.
    """
    if folder.exists() and not folder.is_dir():
        raise PosegenError(f"{folder} is no folder: the report needs one")
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
            f"{folder} holds {', '.join(there)}, which would be overwritten and may be no report:\n{error}\n"
            "Move them away, or give another folder; nothing was written."
        ) from error


def write_report(
    evaluation: Evaluation,
    folder: Path,
    published: Iterable[PublishedScore] | None = None,
    cases_by: Sequence[str] = (),
) -> list[Path]:
    """Write all forms of a report; an earlier report in *folder* is replaced, and ``results.jsonl`` grows by a line.

    ``results.json`` (scores and protocol), ``per_image.jsonl`` (a line an image), ``results.jsonl`` (a line an
    evaluation), ``report.md``, ``report.tex`` (a booktabs table), ``report.html`` (one page, pictures included). A
    value that is no finite number is null in JSON.

    Args:
        evaluation: what was found.
        folder: made where it is missing.
        published: figures of others; None: all that plugins bring.
        cases_by: values by which the page chooses its cases; none: the first three that are numbers an image.

    Returns:
        The files.

    Raises:
        PosegenError: see :func:`check_report_folder`; nothing was written.
        ConfigError: *cases_by* names no value of an image.
    """
    check_report_folder(folder)
    compared = comparison(evaluation, published_scores() if published is None else published)
    results = evaluation.to_dict()
    # All are made before the first is written; results.json goes first, because it marks the folder as ours.
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


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON with null for numbers that are not finite, and text for paths."""
    return json.dumps(_finite(value), indent=indent, ensure_ascii=False, allow_nan=False, default=str)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, (list, tuple)) else value
