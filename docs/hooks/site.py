"""Pages of the site that are generated: parts and configs, commands, the notebook, and files outside of docs/.

mkdocs calls the functions ``on_…``.
"""

from __future__ import annotations

import html
import inspect
import json
import os
import posixpath
import re
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from posegen import cli, plugins
from posegen.config import KNOBS, load_config
from posegen.registry import KINDS

ROOT = Path(__file__).parents[2]
CARDS = {
    path.relative_to(ROOT).as_posix(): f"cards/{path.parent.name}.md"
    for path in sorted((ROOT / "plugins").glob("*/shared/*/README.md"))
}
"""Pages of the cards of models that come with posegen, by file."""
OUTSIDE = {
    "../README.md": "index.md",
    "../CHANGELOG.md": "changelog.md",
    "../CONTRIBUTING.md": "contributing.md",
    **{f"../{card}": page for card, page in CARDS.items()},
}
"""Pages of files outside of docs/, by path relative to docs/."""

NOTEBOOKS = ("examples/try_posegen.ipynb", "examples/first_steps.ipynb")
LINK = re.compile(r"(?<=\]\()([^)#:\s]+)(?=[#)])")
ROLE = re.compile(r":(?:class|func|meth|mod|attr|data):(<code>|`)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Link to the repository that this clone comes from, if that is on the web."""
    command = ["git", "-C", str(ROOT), "config", "--get", "remote.origin.url"]
    origin = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    config.repo_url = repository_page(origin)
    config.repo_name = "Repository" if config.repo_url else None
    return config


def repository_page(origin: str) -> str | None:
    """Return the address of a repository's page by that of its clones, ``git@HOST:OWNER/NAME.git``; None: no page."""
    match = re.fullmatch(r"(?:https://(?:[^/@]+@)?|ssh://git@|git@)([\w.-]+)(?::\d+/|[:/])(.+?)(?:\.git)?/?", origin)
    return f"https://{match[1]}/{match[2]}" if match else None


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    pages: dict[str, Callable[[], str]] = {
        "reference/parts.md": parts_page,
        "reference/commands.md": commands_page,
        **{f"{name.removesuffix('.ipynb')}.md": partial(notebook_page, name) for name in NOTEBOOKS},
        **{page: (ROOT / card).read_text for card, page in CARDS.items()},
        "changelog.md": (ROOT / "CHANGELOG.md").read_text,
        "contributing.md": (ROOT / "CONTRIBUTING.md").read_text,
    }
    for name, make in pages.items():
        files.append(File.generated(config, name, content=make()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links to files outside of docs/ into links to their pages."""
    origins = {made: origin for origin, made in OUTSIDE.items() if made != "index.md"}
    origin = posixpath.dirname(origins.get(page.file.src_uri, page.file.src_uri))
    here = posixpath.dirname(page.file.src_uri) or "."

    def turn(match: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(origin, match[1]))
        return posixpath.relpath(OUTSIDE.get(target, target), here)

    return LINK.sub(turn, markdown)


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Remove Sphinx roles of docstrings."""
    return ROLE.sub(r"\1", content)


# Parts and configs -------------------------------------------------------------------------------------------


def parts_page() -> str:
    """Return the page of all shipped configs and all registered parts with their arguments."""
    plugins.load()
    lines = ["# Configs and parts", ""]
    lines += [
        "A config names parts by `type` and gives their arguments ([Train](../train.md#configs)). In the shell:",
        "",
    ]
    lines += [
        "    posegen configs",
        "    posegen list losses",
        "    posegen show losses StyleLoss",
        "",
        "## Configs",
        "",
    ]
    lines += ["Sizes are width×height.", ""]
    knobs = [knob for knob in KNOBS if knob != "data_root"]
    lines += ["| config | data set | size | " + " | ".join(f"`{knob}`" for knob in knobs) + " |"]
    lines += ["| --- " * (3 + len(knobs)) + "|"]
    lines += [
        _config_row(path, knobs) for path in sorted((ROOT / "configs").rglob("*.py")) if "_base_" not in path.parts
    ]
    for kind, registry in KINDS.items():
        registry.import_from_location()
        lines += ["", f"## {kind.replace('-', ' ').capitalize()}", ""]
        for name, part in sorted(registry.module_dict.items()):
            lines += _part(name, part)
    return "\n".join(lines) + "\n"


def _config_row(path: Path, knobs: list[str]) -> str:
    config = load_config(path)
    height, width = config["size"]
    name = path.relative_to(ROOT / "configs").with_suffix("").as_posix()
    cells = [f"`{name}`", f"`{config.train_dataloader.dataset.type}`", f"{width}×{height}"]
    return "| " + " | ".join([*cells, *(f"`{config[knob]!r}`" for knob in knobs)]) + " |"


def _part(name: str, part: Any) -> list[str]:
    owner = plugins.owner(part)
    origin = f"plugin `{owner.name}`, " if owner else ""
    lines = [f"### {name}", "", f"*{origin}`{part.__module__}`*", "", *_description(part), ""]
    rows = list(_argument_rows(part))
    return [*lines, "| argument | default | type | |", "| --- | --- | --- | --- |", *rows, ""] if rows else lines


def _description(part: Any) -> list[str]:
    """Return the docstring without its arguments."""
    told = []
    for section in _sections(part):
        if section.kind is griffe.DocstringSectionKind.text:
            told.append(section.value)
        elif section.kind is griffe.DocstringSectionKind.attributes:
            told += [f"`{one.name}`: {one.description}" for one in section.value]
        elif section.kind is griffe.DocstringSectionKind.raises:
            told += [f"Raises {one.annotation}: {one.description}" for one in section.value]
    return "\n\n".join(told).splitlines()


def _argument_rows(part: Any) -> Iterator[str]:
    meanings = _meanings(part)
    for parameter in inspect.signature(part).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        default = "required" if parameter.default is parameter.empty else f"`{parameter.default!r}`"
        annotation = parameter.annotation
        kind = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
        kind = "" if annotation is parameter.empty else f"`{kind}`"
        cells = [parameter.name, default, kind, meanings.get(parameter.name, "")]
        yield "| " + " | ".join(" ".join(cell.replace("|", r"\|").split()) for cell in cells) + " |"


def _meanings(part: Any) -> dict[str, str]:
    """Return the descriptions of arguments from the docstrings of a part and its bases; the most derived one counts."""
    meanings: dict[str, str] = {}
    for described in inspect.getmro(part) if inspect.isclass(part) else [part]:
        for section in _sections(described):
            if section.kind is griffe.DocstringSectionKind.parameters:
                for argument in section.value:
                    for name in argument.name.split(", "):
                        if not argument.description.startswith("see "):  # "see Base": there it is described
                            meanings.setdefault(name, argument.description)
    return meanings


def _sections(part: Any) -> list[griffe.DocstringSection]:
    docstring = vars(part).get("__doc__") if inspect.isclass(part) else part.__doc__
    return griffe.parse_google(griffe.Docstring(inspect.cleandoc(docstring or "")), warnings=False)


# Commands and notebook ---------------------------------------------------------------------------------------


def commands_page() -> str:
    """Return the page of all commands, those of the shipped plugins included, with the output of ``--help``."""
    lines = ["# Commands", ""]
    lines += ["Output of `posegen COMMAND --help`. Plugins can [add commands](../writing_plugins.md#a-command).", ""]
    with mock.patch.dict(os.environ, COLUMNS="110"):
        for command in [*cli.COMMANDS.values(), *plugins.commands(cli.COMMANDS)]:
            shown = cli.build_parser(command, prog=f"posegen {command.name}").format_help()
            lines += [f"## posegen {command.name}", "", "````text", shown.strip(), "````", ""]
    return "\n".join(lines)


def notebook_page(notebook: str) -> str:
    """Return a notebook as a page."""
    cells = json.loads((ROOT / "docs" / notebook).read_text(encoding="utf-8"))["cells"]
    shown = [
        text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```"
        for cell in cells
        for text in ["".join(cell["source"])]
    ]
    name = html.escape(Path(notebook).name)
    return "\n\n".join([*shown, f"[Download the notebook]({name})."]) + "\n"
