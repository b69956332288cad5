"""A plan carried out: in several processes, each file whole or not at all, and nothing twice."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..checking import check_data, in_processes
from ..errors import DataError, PosegenError
from ..files import check_name, link_out, natural_order, read_json, written_whole
from ..weights import sha256
from .journal import Journal, Kept, Outcome, is_same
from .plan import LeftOut, Plan, Preparation, Step, Wishes
from .report import FINDINGS, READABLE, REPORT, Problem, Result, counted, folders_of, write_result
from .sources import Sources, extract, free_bytes, total

STATE = ".prepare"
"""The folder in the result that says what has been done; whoever has no use for it may remove it."""
JOURNAL, SETTINGS, PARTS, SPOOL, LOCK = "journal.jsonl", "settings.json", "parts", "spool", "lock"
PATIENCE = 15
"""Seconds that another run is waited for: the processes of one that was killed notice it within five."""
NEVER_NAMED = "nothing asks for it"


def prepare(
    preparation: Preparation,
    sources: Sequence[Path],
    folder: Path,
    wishes: Wishes | None = None,
    workers: int = 0,
    force: bool = False,
    dry_run: bool = False,
    show_progress: bool = False,
) -> Result:
    """Make what a loader reads from what a user has, and let the loader check it.

    A run that was ended at any moment is completed by the same call: what is there, of sources and wishes that did not
    change, is not done again. ``report.json``, ``report.txt`` and ``findings.csv`` are written beside the files.

    Args:
        preparation: of :func:`~posegen.preparing.get_preparation`.
        sources: folders, archives and single files; the first is the main one.
        folder: where the result goes: a new or empty folder, or one of an earlier run. Nothing is written elsewhere.
        wishes: what else is asked for.
        workers: processes beside this one; 0: none.
        force: take a folder that holds other things or was prepared from something else, and replace files that this
            has not made.
        dry_run: plan alone, and write nothing.
        show_progress: bars on stderr.

    Raises:
        DataError: the sources cannot be planned with; the folder holds other things; the disk has not enough room.
        ConfigError: wishes that the preparation does not know.
    """
    wishes = wishes or Wishes()
    preparation.check_wishes(wishes)
    _check_places(sources, folder)
    result = Result(_settings(preparation, sources, wishes))
    if dry_run:
        with Sources(sources) as found:
            plan = preparation.plan(found, wishes)
            _note_plan(result, plan, found)
        result.files = _foreseen(plan)
        return result
    _check_folder(folder, result.settings, force)
    (folder / STATE).mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / STATE / LOCK, timeout=PATIENCE):
            _check_folder(folder, result.settings, force)  # another run may have noted something meanwhile
            journal = Journal.read(folder / STATE / JOURNAL)
            run = _Run(preparation.name, folder, journal, result, workers, force, show_progress)
            return _prepare(preparation, sources, wishes, run)
    except Timeout as error:
        raise PosegenError(f"{folder}: another run is preparing it; wait for its end") from error


@dataclass
class _Run:
    """One run over a folder, and what it has come to so far."""

    name: str
    folder: Path
    journal: Journal
    result: Result
    workers: int
    force: bool
    show_progress: bool
    number: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def parts(self) -> Path:
        """Where files lie until they are whole. A place of this run's own: a process of one that was killed may go on
        for a second, and finds its place gone."""
        return self.folder / STATE / PARTS / self.number

    def carry_out(self, steps: Sequence[Step]) -> None:
        """Do what is not done yet."""
        left = [step for step in steps if not _is_done(step, self.journal, self.folder)]
        _check_room(left, self.folder)
        known = dict(self.journal.files)
        function = partial(_carry_out, folder=self.folder, parts=self.parts, known=known, force=self.force)
        for outcome in self.journal.add(in_processes(function, left, self.name, self.workers, self.show_progress)):
            self.result.made += len(outcome.kept)
            if outcome.problem:
                self.result.problems.append(Problem(_named(outcome.step), outcome.problem))
        self.result.kept += sum(len(step.targets) for step in steps) - sum(len(step.targets) for step in left)

    def check(self, groups: Sequence[Mapping[str, Mapping[str, Any]]]) -> None:
        """Let the loaders read what is there."""
        for group in groups:
            datasets = {split: {**dataset, "root": str(self.folder)} for split, dataset in group.items()}
            config = {f"{split}_dataloader": {"dataset": dataset} for split, dataset in datasets.items()}
            self.result.checks.append(check_data(config, list(group), self.workers, self.show_progress))

    def report(self) -> None:
        """Write the reports, each of them whole."""
        write_result(self.result, self.parts)
        for name in (REPORT, READABLE, FINDINGS):
            os.replace(self.parts / name, self.folder / name)


def _prepare(preparation: Preparation, sources: Sequence[Path], wishes: Wishes, run: _Run) -> Result:
    state, result = run.folder / STATE, run.result
    _clear(state)
    run.parts.mkdir(parents=True)
    with Sources(sources, state / SPOOL) as found:
        try:
            plan = preparation.plan(found, wishes)
        except DataError as error:  # what is missing may be in what cannot be read
            broken = [f"{name}: {why}" for name, why in found.broken]
            raise DataError(error.where, [*error.problems, *broken], error.hint) from error
        _note_plan(result, plan, found)
        with written_whole(state / SETTINGS) as temporary:  # not before it is known that something can be made
            temporary.write_text(json.dumps(result.settings, indent=1), encoding="utf-8")
        run.carry_out(plan.steps)
        if plan.then is not None:
            rest = plan.then(run.folder)
            _note_plan(result, rest, before=plan.steps)
            run.carry_out(rest.steps)
            plan.steps += rest.steps
    result.removed = _remove_stale(plan, run.journal, run.folder, result)
    run.journal.write()
    result.files = folders_of([(name, kept.size) for name, kept in sorted(run.journal.files.items())])
    run.check(plan.checks)
    run.report()
    _clear(state)
    if not result.problems:
        shutil.rmtree(state / SPOOL, ignore_errors=True)
    return result


def _clear(state: Path) -> None:
    """Remove what is not whole: of this run, or of one that was killed."""
    shutil.rmtree(state / PARTS, ignore_errors=True)
    for path in state.rglob(".*.part"):
        path.unlink()


def _note_plan(result: Result, plan: Plan, sources: Sources | None = None, before: Sequence[Step] = ()) -> None:
    """Put into the result what a plan says before anything is done; of *sources*, too, what it does not use. A step
    that would write what an earlier one, of *before* too, writes is taken out of the plan, and a problem."""
    _check_plan(plan)
    used = {member for step in plan.steps for member in step.sources}
    result.problems += [Problem(*problem) for problem in plan.problems] + _take_out_clashes(plan, before)
    result.notes += plan.notes
    if sources is None:
        return
    told = {one.name for one in plan.left_out}
    unnamed = [LeftOut(str(one), NEVER_NAMED) for one in sources.members if one not in used and str(one) not in told]
    unread = [LeftOut(name, why) for name, why in sources.unread]
    result.problems += [Problem(*broken) for broken in sources.broken]
    result.left_out = counted([*plan.left_out, *unread, *unnamed])


def _foreseen(plan: Plan) -> dict[str, tuple[int, int]]:
    """The files that steps will write, with the bytes of their sources."""
    sizes = ((step, total(step.sources)) for step in plan.steps)
    return folders_of([(name, 0 if i else size) for step, size in sizes for i, name in enumerate(step.targets)])


def _check_plan(plan: Plan) -> None:
    """Raise PosegenError for a plan whose plugin is wrong: it writes beside the folder, over what posegen keeps there,
    or in one step a file twice."""
    for step in plan.steps:
        if len(set(step.targets)) < len(step.targets):
            raise PosegenError(f"the plan would write a file of {_named(step)} twice: {', '.join(step.targets)}")
        for name in step.targets:
            try:
                check_name(name)
            except ValueError as error:
                raise PosegenError(f"the plan would write to {error}") from error
            if name.partition("/")[0] in (STATE, REPORT, READABLE, FINDINGS):
                raise PosegenError(f"the plan would write {name!r}, over what posegen keeps there")


def _take_out_clashes(plan: Plan, before: Sequence[Step]) -> list[Problem]:
    """Leave of steps that write one file the first alone: two files of the source have come to one name."""
    writers = {name: step for step in before for name in step.targets}
    problems, steps = [], []
    for step in plan.steps:
        name = next((name for name in step.targets if name in writers), None)
        if name is None:
            steps.append(step)
            writers |= dict.fromkeys(step.targets, step)
        else:
            text = f"would become {name}, as {_named(writers[name])} does, which is taken; give it another name"
            problems.append(Problem(_named(step), text))
    plan.steps = steps
    return problems


# The folder


def _check_places(sources: Sequence[Path], folder: Path) -> None:
    real = os.path.realpath(folder)
    for source in sources:
        place = os.path.realpath(source)
        if real == place or real.startswith(os.path.join(place, "")) or place.startswith(os.path.join(real, "")):
            raise DataError(folder, f"lies in {source}, or that in it", "The result goes to a folder of its own.")


def _settings(preparation: Preparation, sources: Sequence[Path], wishes: Wishes) -> dict[str, Any]:
    asked = {each.name: getattr(wishes, each.name) for each in dataclasses.fields(wishes)}
    if wishes.protocol is not None:
        asked["protocol"] = f"{wishes.protocol.name} ({wishes.protocol.hash})"
    return {
        "preparation": preparation.name,
        "sources": [os.path.realpath(source) for source in sources],
        **asked,
    }


def _check_folder(folder: Path, settings: Mapping[str, Any], force: bool) -> None:
    """DataError: the folder holds other things, or what was prepared otherwise, and no *force*."""
    noted = folder / STATE / SETTINGS
    if folder.exists() and not folder.is_dir():
        raise DataError(folder, "is a file; the result goes to a folder")
    if problem := link_out(folder / STATE, folder):
        raise DataError(folder, f"{STATE}: {problem}")
    before = read_json(noted) if noted.is_file() else {}
    others = sorted(set(os.listdir(folder)) - {STATE}) if folder.is_dir() else []
    problems = []
    if Journal.read(folder / STATE / JOURNAL).files:
        differs = [name for name in settings if _before(before, name) != settings[name]]
        problems = [f"{name}: prepared with {_before(before, name)}, asked for {settings[name]}" for name in differs]
        hint = "Give another folder; or --force, to make of it what is asked for now."
    elif others and before != settings:
        problems = [f"holds other things: {', '.join(others[:5])}{', …' if len(others) > 5 else ''}"]
        hint = "Give a new folder; or --force, to write into this one: what is in the way is then replaced."
    if problems and not force:
        raise DataError(folder, problems, hint)


def _before(before: Any, name: str) -> Any:
    return before.get(name) if isinstance(before, dict) else "unknown"


def _check_room(steps: Sequence[Step], folder: Path) -> None:
    needed, free = sum(total(step.sources) for step in steps), free_bytes(folder)
    if needed > free:
        raise DataError(folder, f"needs about {needed:,} bytes, and the disk has {free:,} left", "Make room first.")


def _is_done(step: Step, journal: Journal, folder: Path) -> bool:
    return all(
        name in journal.files and journal.files[name].key == step.key and is_same(folder / name, journal.files[name])
        for name in step.targets
    )


def _remove_stale(plan: Plan, journal: Journal, folder: Path, result: Result) -> int:
    """Take away what an earlier run made and nothing makes now; what was changed since stays, and is told of.

    Where there are problems nothing is taken away: a part of the source may be missing for now.
    """
    if result.problems:
        return 0
    wanted = {name for step in plan.steps for name in step.targets}
    stale = [name for name in journal.files if name not in wanted]
    removed = 0
    for name in sorted(stale, key=natural_order):
        kept = journal.files.pop(name)
        if not os.path.lexists(folder / name):
            continue
        if link_out(folder / name, folder) or not is_same(folder / name, kept):
            result.notes.append(f"{name}: of an earlier run, and changed since; it stays, and nothing makes it now")
            continue
        (folder / name).unlink()
        removed += 1
    return removed


# One step, in whatever process


def _carry_out(step: Step, folder: Path, parts: Path, known: Mapping[str, Kept], force: bool) -> Outcome:
    unpacked: list[Path] = []
    written = [parts / f"{uuid.uuid4().hex}.part" for _ in step.targets]
    try:
        sources = []
        for member in step.sources:
            if not member.archive:
                sources.append(Path(member.container))
                continue
            unpacked.append(parts / f"{uuid.uuid4().hex}{member.ending}")
            extract(member, unpacked[-1])
            sources.append(unpacked[-1])
        step.make(sources, written)
        digests = [sha256(part) for part in written]
        for name, digest in zip(step.targets, digests, strict=True):
            _check_target(folder / name, name, digest, folder, None if force else known)
        put = zip(written, step.targets, digests, strict=True)
        return Outcome(step, tuple(_put(part, folder / name, step.key, digest) for part, name, digest in put))
    except DataError as error:
        return Outcome(step, problem="; ".join(error.problems) or str(error))
    except OSError as error:
        raise PosegenError(f"{folder}: {error.strerror or error}, at {_named(step)}") from error
    finally:
        for path in (*unpacked, *written):
            path.unlink(missing_ok=True)


def _check_target(target: Path, name: str, digest: str, folder: Path, known: Mapping[str, Kept] | None) -> None:
    """Raise DataError where a file must not be written: a link leads elsewhere, or what is there is not ours.

    What is there and has the same bytes was written by a run that was killed before it could note it.
    """
    if problem := link_out(target, folder):
        raise DataError(name, f"{name}: {problem}")
    if known is None or not os.path.lexists(target) or (name in known and is_same(target, known[name])):
        return
    if not target.is_file() or sha256(target) != digest:
        raise DataError(name, f"{name} is there, was not made by this, and stays; move it, or give --force")


def _put(part: Path, target: Path, key: str, digest: str) -> Kept:
    """Give a written file its name."""
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(part, target)
    status = target.stat()
    return Kept(key, status.st_size, status.st_mtime_ns, digest)


def _named(step: Step) -> str:
    return " and ".join(map(str, step.sources)) or step.targets[0]
