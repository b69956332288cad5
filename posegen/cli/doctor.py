"""Examine an installation: versions, devices, plugins, models, estimators, extras and weights."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import MissingWeightsError, PosegenError
from ..version import __version__
from .common import WITHOUT_GL, add_plugin, load_plugins

if TYPE_CHECKING:
    from packaging.requirements import Requirement

    from ..data.estimators import StructureEstimator

PACKAGE = __package__.partition(".")[0]
OK, MISSING, BROKEN = "ok", "missing", "broken"
"""States of a finding. What is missing is optional; what is broken makes the exit status 1."""
WIDTH = 112


@dataclass(frozen=True)
class Finding:
    """State of one thing that was examined.

    Args:
        subject: its name.
        state: :data:`OK`, :data:`MISSING` or :data:`BROKEN`.
        detail: version, size, or what is wrong.
        remedy: command or advice that mends it; empty if there is nothing to mend.
    """

    subject: str
    state: str
    detail: str
    remedy: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``posegen doctor``."""
    add_plugin(parser)


def run(parsed: argparse.Namespace) -> int:
    """Print what was found; return 1 if anything is broken, else 0."""
    examinations: dict[str, Callable[[], Iterator[Finding]]] = {
        "libraries": _libraries,
        "devices": _devices,
        "plugins": lambda: _plugins(parsed),
        "models that come with plugins": _models,
        "estimators of key points": _estimators,
        "extras": _extras,
        "weights": _weights,
    }
    print(f"{PACKAGE} {__version__} in {Path(__file__).parents[1]}")
    print(f"Python {platform.python_version()} ({sys.executable}), {platform.platform()}")
    broken = []
    for title, examine in examinations.items():
        print(f"\n{title.upper()}")
        found = _examined(title, examine)
        _print(found)
        broken += [f"{title}: {finding.subject}" for finding in found if finding.state == BROKEN]
    print(f"\nbroken: {'; '.join(broken)}" if broken else "\nNothing is broken. What is missing is optional.")
    return 1 if broken else 0


def _examined(title: str, examine: Callable[[], Iterator[Finding]]) -> list[Finding]:
    """Return the findings of one examination; an installation that is broken can raise anything."""
    try:
        return list(examine())
    except Exception as error:
        return [Finding(title, BROKEN, _described(error), WITHOUT_GL if "libGL" in str(error) else "")]


def _print(findings: list[Finding]) -> None:
    """Print one finding a line, and what mends it below."""
    width = max((len(finding.subject) for finding in findings), default=0)
    for finding in findings:
        state = "" if finding.state == OK else f"{finding.state}: "
        first = f"  {finding.subject.ljust(width)}  {state}"
        indent = " " * (width + 4)
        wrapped = textwrap.wrap(
            first + finding.detail, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        )
        print("\n".join(wrapped).rstrip())
        if finding.remedy:
            print(textwrap.indent(finding.remedy, indent))


def _described(error: Exception) -> str:
    return str(error) if isinstance(error, PosegenError) else f"{type(error).__name__}: {error}"


def _libraries() -> Iterator[Finding]:
    """Compare the installed libraries with the ranges that the package requires."""
    try:
        required = [one for one in _requirements() if one.marker is None or one.marker.evaluate({"extra": ""})]
    except importlib.metadata.PackageNotFoundError:
        yield Finding(PACKAGE, BROKEN, "not installed as a package, so it finds no plugins", "pip install .")
        return
    unfit = [one for one in required if not _fits(one)]
    fitting = [f"{one.name} {importlib.metadata.version(one.name)}" for one in required if one not in unfit]
    yield Finding("fitting", OK, ", ".join(fitting))
    for one in unfit:
        yield Finding(one.name, BROKEN, f"{_version(one.name)}; required: {one}", f'pip install "{one}"')
    import cv2  # noqa: F401  another package can have replaced it by one that needs a display


def _requirements() -> list[Requirement]:
    from packaging.requirements import Requirement

    return [Requirement(text) for text in importlib.metadata.requires(PACKAGE) or []]


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _fits(requirement: Requirement) -> bool:
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return requirement.specifier.contains(version, prereleases=True)


def _devices() -> Iterator[Finding]:
    """Describe the processor and the GPUs, and whether each computes in bfloat16 natively."""
    import torch

    from ..acceleration import native_bfloat16

    def bfloat16(device: str) -> str:
        return "bfloat16 native" if native_bfloat16(device) else "bfloat16 not native"

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = f"cores: {cores}, threads: {torch.get_num_threads()} (OMP_NUM_THREADS sets them)"
    yield Finding("cpu", OK, f"{threads}, {torch.backends.cpu.get_cpu_capability()}, {bfloat16('cpu')}")
    for index in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(index)
        memory = f"{about.total_memory / 2**30:.0f} GiB"
        yield Finding(f"cuda:{index}", OK, f"{about.name}, {memory}, {bfloat16(f'cuda:{index}')}")
    if torch.cuda.is_available():
        return
    if torch.version.cuda is None and shutil.which("nvidia-smi"):
        remedy = "pip install --force-reinstall torch torchvision   # PyPI's for Linux contain CUDA"
        yield Finding("cuda", MISSING, f"there is a GPU, but torch {torch.__version__} has no CUDA", remedy)
    else:
        yield Finding("cuda", OK, "torch finds no GPU" if torch.version.cuda else "no GPU, and torch has no CUDA")


def _plugins(parsed: argparse.Namespace) -> Iterator[Finding]:
    for report in load_plugins(parsed):
        state, detail = (BROKEN, f"{report.package}: {report.error}") if report.error else (OK, report.package)
        remedy = f"pip uninstall {report.distribution}   # or install a version that fits" if report.error else ""
        yield Finding(report.name, state, detail, remedy if report.distribution != PACKAGE else "")


def _models() -> Iterator[Finding]:
    """Load each model that a plugin ships."""
    from ..data.keypoints import shown
    from ..inference import ModelSource
    from ..sharing import shared_models

    for name, folder in shared_models().items():
        try:
            source = ModelSource.in_folder(folder)
            weights = sum(value.numel() for value in source.load().parameters())
        except Exception as error:
            yield Finding(name, BROKEN, _described(error))
            continue
        yield Finding(name, OK, f"{shown(source.config['size'])} pixels, {weights / 1e6:.1f} million weights; loads")


def _estimators() -> Iterator[Finding]:
    """Load each estimator."""
    from .. import catalogue
    from ..data.estimators import StructureEstimator

    for one in catalogue.all(StructureEstimator):
        yield _estimator(one)


def _estimator(one: StructureEstimator) -> Finding:
    kind = f"layout {one.layout}{', used by default' if one.default else ''}"
    try:
        one.load()
    except MissingWeightsError as error:
        if not one.default:
            return Finding(one.name, MISSING, f"{kind}; a command with --estimator {one.name} says how to get it")
        return Finding(one.name, MISSING, kind, str(error))
    except Exception as error:  # third-party code
        return Finding(one.name, BROKEN, f"{kind}: {_described(error)}")
    return Finding(one.name, OK, f"{kind}; loads")


def _extras() -> Iterator[Finding]:
    """Compare the installed libraries with each extra of the package."""
    extras = importlib.metadata.metadata(PACKAGE).get_all("Provides-Extra") or []
    for extra in extras:
        members = [one for one in _requirements() if one.name != PACKAGE and _belongs(one, extra)]
        unfit = [one.name for one in members if not _fits(one)]
        detail = ", ".join(unfit or [f"{one.name} {importlib.metadata.version(one.name)}" for one in members])
        remedy = f'pip install "{PACKAGE}[{extra}]"' if unfit else ""
        yield Finding(extra, MISSING if unfit else OK, detail, remedy)


def _belongs(requirement: Requirement, extra: str) -> bool:
    """Return whether a requirement is of an extra, and not of the package itself."""
    marker = requirement.marker
    return marker is not None and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""})


def _weights() -> Iterator[Finding]:
    """Look for the files of pretrained weights; ``posegen weights`` verifies their checksums."""
    from .weight_files import known_files

    files = known_files()
    here = [file.file_name for file in files if file.path.is_file()]
    missing = [f"{file.file_name} ({', '.join(file.used_by)})" for file in files if not file.path.is_file()]
    if here:
        yield Finding("here", OK, ", ".join(here))
    if missing:
        remedy = f"{PACKAGE} weights --download FILE …   # or --all; `{PACKAGE} weights` lists places and checksums"
        yield Finding("not here", MISSING, ", ".join(missing), remedy)
