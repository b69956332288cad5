"""What the site has beside the pages of docs/: pages made of the registries, of configs, of the notebook, of files that
pages link to outside of docs/. mkdocs calls the functions ``on_…``; on GitHub the same pages serve as they are."""

from __future__ import annotations

import html
import inspect
import json
import posixpath
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import posegen  # noqa: F401  torchvision beside CPU torch
from posegen import plugins
from posegen.config import KNOBS, load_config
from posegen.registry import KINDS

ROOT = Path(__file__).parents[2]
DOCS = "docs/"
PAGES = {"README.md": "index.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
"""Files of the repository that have a page of their own, outside of docs/."""

REFERENCE = "reference/index.md"
"""Its table names the kinds of parts in words; on the site each leads to its page."""
NOTEBOOK = "examples/first_steps.ipynb"
LANGUAGES = {".py": "python", ".json": "json", ".yml": "yaml", ".toml": "toml", ".cff": "yaml", ".sh": "bash"}
CONFIGS_HEAD = """\
A config is mmengine's: `.py`, `.json` or `.yaml`, with `_base_` inheritance. A string `"${name}"` stands for the
top-level value `name`, and is resolved after `--cfg-options`: [architecture](../architecture.md#configs). Five values
are the knobs of every config: `data_root`, and those of the table. What a part takes stands under
[parts of a config](index.md)."""

LINK = re.compile(r"(?<=\]\()([^)#:\s]+)(#[^)\s]*)?(?=\))")
ROLE = re.compile(r":(?:class|func|meth|mod|attr|data):(<code>|`)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    for name, make in _made().items():
        files.append(File.generated(config, name, content=make()))
    for file in files.documentation_pages():
        for target in _outside(file.content_string, file.src_uri):
            if _page_of(target) not in files.src_uris:
                files.append(File.generated(config, _page_of(target), content=_source_page(target)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links to files outside of docs/ into links to their pages, and lead to the pages that are made."""
    here = posixpath.dirname(page.file.src_uri)

    def turned(match: re.Match[str]) -> str:
        target = _target(match[1], page.file.src_uri)
        if target.startswith(DOCS) or not (ROOT / target).is_file():
            return match[0] if page.file.src_uri not in PAGES.values() else _relative(target, here) + (match[2] or "")
        return _relative(_page_of(target), here) + (match[2] or "")

    turned_markdown = LINK.sub(turned, markdown)
    return _to_made_pages(turned_markdown) if page.file.src_uri == REFERENCE else turned_markdown


def _to_made_pages(markdown: str) -> str:
    """Links in the first page of the reference, which names kinds in words: a clone has no pages of theirs."""
    for kind in KINDS:
        markdown = markdown.replace(f"| `{kind}` |", f"| [{_title(kind)}](parts/{kind}.md) |")
    return markdown.replace("**Configs**", "**[Configs](configs.md)**")


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Leave out Sphinx's roles, which docstrings have and nobody wants to read."""
    return ROLE.sub(r"\1", content)


def _made() -> dict[str, Callable[[], str]]:
    """What makes each page, by the page's name."""
    made: dict[str, Callable[[], str]] = {
        page: (ROOT / file).read_text for file, page in PAGES.items() if file != "README.md"
    }
    made |= {f"reference/parts/{kind}.md": partial(parts_page, kind) for kind in KINDS}
    return made | {"reference/configs.md": configs_page, NOTEBOOK.replace(".ipynb", ".md"): notebook_page}


# Links -------------------------------------------------------------------------------------------------------


def _target(link: str, page: str) -> str:
    """The path in the repository that a link of *page* (its path on the site) leads to."""
    origins = {made: file for file, made in PAGES.items() if file != "README.md"}
    origin = origins.get(page, DOCS + page)
    return posixpath.normpath(posixpath.join(posixpath.dirname(origin), link))


def _outside(markdown: str, page: str) -> Iterator[str]:
    """The files outside of docs/ that a page links to."""
    for match in LINK.finditer(markdown):
        target = _target(match[1], page)
        if not target.startswith((DOCS, "..")) and (ROOT / target).is_file():
            yield target


def _page_of(target: str) -> str:
    """The page of a file outside of docs/."""
    return PAGES.get(target, f"source/{target}.md")


def _relative(target: str, folder: str) -> str:
    return posixpath.relpath(target.removeprefix(DOCS), folder or ".")


def _source_page(target: str) -> str:
    path = ROOT / target
    language = LANGUAGES.get(path.suffix, "text")
    return f"# {target}\n\n````{language}\n{path.read_text(encoding='utf-8')}\n````\n"


# Parts of a config -------------------------------------------------------------------------------------------


def parts_page(kind: str) -> str:
    """All registered parts of a kind: where they come from, what they do, their arguments with defaults."""
    registry = KINDS[kind]
    plugins.load()
    registry.import_from_location()
    lines = [
        f"# {_title(kind)}",
        "",
        f"What `type` may be in a config, and what stands beside it. `posegen list {kind}` says",
    ]
    lines += [f"the same, `posegen show {kind} NAME` shows one part; plugins of yours are in both.", ""]
    for name, part in sorted(registry.module_dict.items()):
        lines += _part(name, part)
    return "\n".join(lines) + "\n"


def _title(kind: str) -> str:
    return kind.replace("-", " ").capitalize()


def _part(name: str, part: Any) -> list[str]:
    owner = plugins.owner(part)
    origin = f"plugin `{owner.name}`" if owner else "posegen"
    lines = [f"## {name}", "", f"*{origin}, `{part.__module__}`*", "", *_told(part), ""]
    rows = list(_arguments(part))
    if not rows:
        return [*lines, "No arguments.", ""]
    return [*lines, "| argument | default | type | |", "| --- | --- | --- | --- |", *rows, ""]


def _told(part: Any) -> list[str]:
    """The docstring, without what the table of arguments says."""
    told = []
    for section in _sections(part):
        if section.kind is griffe.DocstringSectionKind.text:
            told.append(section.value)
        elif section.kind is griffe.DocstringSectionKind.attributes:
            told += [f"`{one.name}`: {one.description}" for one in section.value]
        elif section.kind is griffe.DocstringSectionKind.raises:
            told += [f"Raises {one.annotation}: {one.description}" for one in section.value]
    return "\n\n".join(told).splitlines()


def _arguments(part: Any) -> Iterator[str]:
    """A row of the table for each argument."""
    meanings = _meanings(part)
    for parameter in inspect.signature(part).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        default = "needed" if parameter.default is parameter.empty else f"`{parameter.default!r}`"
        kind = "" if parameter.annotation is parameter.empty else f"`{_type(parameter.annotation)}`"
        cells = [parameter.name, default, kind, meanings.get(parameter.name, "")]
        yield "| " + " | ".join(" ".join(cell.replace("|", r"\|").split()) for cell in cells) + " |"


def _type(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _meanings(part: Any) -> dict[str, str]:
    """What the docstrings of a part, and of what it derives from, say of each argument; the most derived one holds.

    "levels, depth: see Base" says nothing that the base does not: there the base's words hold.
    """
    meanings: dict[str, str] = {}
    for described in inspect.getmro(part) if inspect.isclass(part) else [part]:
        for section in _sections(described):
            if section.kind is griffe.DocstringSectionKind.parameters:
                for argument in section.value:
                    for name in argument.name.split(", "):
                        if not argument.description.startswith("see "):
                            meanings.setdefault(name, argument.description)
    return meanings


def _sections(part: Any) -> list[griffe.DocstringSection]:
    docstring = vars(part).get("__doc__") if inspect.isclass(part) else part.__doc__
    return griffe.parse_google(griffe.Docstring(inspect.cleandoc(docstring or "")), warnings=False)


# Configs -----------------------------------------------------------------------------------------------------


def configs_page() -> str:
    """Every shipped config: what its first lines say, its knobs, and a link to it."""
    lines = ["# Configs", "", CONFIGS_HEAD, ""]
    head = ["config", "data", "size", *(f"`{knob}`" for knob in KNOBS if knob != "data_root")]
    lines += ["| " + " | ".join(head) + " |", "| --- " * len(head) + "|"]
    for path in sorted((ROOT / "configs").rglob("*.py")):
        if path.parent.name != "_base_":
            lines.append(_config_row(path))
    return "\n".join(lines) + "\n"


def _config_row(path: Path) -> str:
    config = load_config(path)
    name = PurePosixPath(path.relative_to(ROOT)).as_posix()
    dataset = config.train_dataloader.dataset.type
    height, width = config["size"]
    knobs = [f"`{config[knob]!r}`" for knob in KNOBS if knob != "data_root"]
    cells = [f"[{path.relative_to(ROOT / 'configs').as_posix()}](../../{name})", f"`{dataset}`", f"{height}×{width}"]
    return "| " + " | ".join([*cells, *knobs]) + " |"


# The notebook ------------------------------------------------------------------------------------------------


def notebook_page() -> str:
    """The notebook as a page: text as it is, code in fences."""
    cells = json.loads((ROOT / DOCS / NOTEBOOK).read_text(encoding="utf-8"))["cells"]
    shown = ["".join(cell["source"]) for cell in cells]
    fenced = [
        text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```"
        for cell, text in zip(cells, shown, strict=True)
    ]
    name = html.escape(PurePosixPath(NOTEBOOK).name)
    return "\n\n".join([*fenced, f"[The notebook itself]({name}), without the pictures that it draws."]) + "\n"
