"""The site: every page has its place, links lead somewhere, commands and notebook run, nothing is from the net."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import inspect
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import posegen
from posegen import cli, plugins
from posegen.inference import read_keypoints
from posegen.registry import DATASETS, KINDS, STRUCTURE_ENCODERS

from .conftest import CONFIGS, TINY

ROOT = CONFIGS.parent
DOCS = ROOT / "docs"
NOTEBOOK = DOCS / "examples" / "first_steps.ipynb"
PAGES = sorted(path for path in DOCS.rglob("*.md"))
SETTINGS = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
MADE = {"contributing.md", "changelog.md", "examples/first_steps.md", "reference/configs.md"}
MADE |= {f"reference/parts/{kind}.md" for kind in KINDS}  # when the site is built
needs_mkdocs = pytest.mark.skipif(
    importlib.util.find_spec("mkdocs") is None or importlib.util.find_spec("mkdocstrings") is None,
    reason="mkdocs is not installed (pip install posegen[docs])",
)


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# Pages and links


def listed(navigation) -> list[str]:
    if isinstance(navigation, str):
        return [navigation]
    entries = navigation.values() if isinstance(navigation, dict) else navigation
    return [page for entry in entries for page in listed(entry)]


def test_every_page_has_one_place_in_the_navigation():
    pages = listed(SETTINGS["nav"])
    assert len(pages) == len(set(pages))
    assert set(pages) == {path.relative_to(DOCS).as_posix() for path in PAGES} | MADE


@pytest.mark.parametrize(
    "page", [*PAGES, *(ROOT / f"{n}.md" for n in ("README", "CHANGELOG", "CONTRIBUTING"))], ids=name
)
def test_links_and_pictures_of_a_page_are_there(page):
    for link in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text(page)):
        place = Path(os.path.normpath(page.parent / link))
        made = place.is_relative_to(DOCS) and place.relative_to(DOCS).as_posix() in MADE
        assert made or place.exists(), link


def test_the_first_page_of_the_reference_names_every_kind_as_the_shell_does():
    named = re.findall(r"^\| `([a-z-]+)` \|", text(DOCS / "reference" / "index.md"), re.MULTILINE)
    assert sorted(named) == sorted(KINDS)


def test_pictures_of_the_method_are_small():
    pictures = list((DOCS / "images").glob("method_*.png"))
    assert {path.stem for path in pictures} == {"method_flow", "method_mask", "method_attention"}
    assert all(path.stat().st_size < 300_000 for path in pictures)


def test_the_figures_of_the_method_are_drawn_from_any_trained_model_of_drawn_pairs(trained, tmp_path, monkeypatch):
    config, checkpoint = trained.parent / "tiny.py", (trained / "last_checkpoint").read_text()
    command = ["draw_method.py", str(config), checkpoint, str(tmp_path), "--pairs", "1", "2"]
    monkeypatch.setattr(sys, "argv", command)
    runpy.run_path(str(ROOT / "tools" / "draw_method.py"), run_name="__main__")
    assert {path.stem for path in tmp_path.iterdir()} == {"method_flow", "method_mask", "method_attention"}


DOMAINS = ["people", "paperdolls", "faces", "dance", "views"]
HEAD = ["What", "Command", "Cost", "Figures", "Limits"]


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_domain_says_first_what_it_is_what_it_costs_and_where_it_ends_and_shows_a_picture(domain):
    first_screen = text(DOCS / f"{domain}.md").split("\n\n")[1:3]  # below the title
    assert re.findall(r"^\| \*\*(\w+)\*\* \| \S", first_screen[0], re.MULTILINE) == HEAD
    assert first_screen[1].startswith("![")


def test_a_method_says_what_it_is_what_it_costs_and_where_it_ends_and_shows_a_picture():
    page = text(DOCS / "ablations.md")
    configs = sorted((CONFIGS / "ablations").glob("*.py"))
    for config in configs:
        section = next(
            part for part in page.split("\n## ") if f"`posegen train configs/ablations/{config.name}`" in part
        )
        assert re.findall(r"^\| \*\*(\w+)\*\* \| \S", section, re.MULTILINE) == HEAD
        assert f"(images/ablation_{config.stem}.png)" in section


# Files to copy


@pytest.fixture
def copied(tmp_path):
    """The files that the page of formats shows, as a reader would copy them, with pictures of the size it names."""
    plugins.load()
    for name_, content in re.findall(r'```\w+ title="(\S+)"\n(.*?)```', text(DOCS / "formats.md"), re.DOTALL):
        (tmp_path / name_).write_text(content, encoding="utf-8")
    for picture in ("me.png", "me_later.png"):
        Image.effect_noise((64, 128), 64).convert("RGB").save(tmp_path / picture)
    return tmp_path


def test_the_key_points_to_copy_are_read_and_say_the_same_in_both_forms(copied):
    encoder = STRUCTURE_ENCODERS.build_part({"type": "HeatmapEncoder", "layout": "openpose18", "sigma": 6})
    told, listed_ = (read_keypoints(copied / file, encoder, copied / "me.png") for file in ("me.json", "points.csv"))
    np.testing.assert_array_equal(told.points[told.present], listed_.points[listed_.present])
    missing = [point for point, there in zip(encoder.layout.names, told.present, strict=True) if not there]
    assert missing == ["right ear"]
    assert (told.present == listed_.present).all()
    assert (told.points[told.present] < [64, 128]).all()


def test_the_lists_to_copy_are_a_data_set(copied):
    for split in ("train", "test"):
        (copied / split).mkdir()
        for picture in ("me.png", "me_later.png"):
            (copied / split / picture).write_bytes((copied / picture).read_bytes())
        header, row = text(copied / "points.csv").splitlines()
        rows = [header, row, row.replace("me.png", "me_later.png")]
        (copied / f"market-annotation-{split}.csv").write_text("\n".join(rows), encoding="utf-8")
    structure = {"type": "HeatmapEncoder", "layout": "openpose18", "sigma": 6}
    options = {"structure": structure, "size": (128, 64)}
    pairs = DATASETS.build_part(
        {"type": "AnnotatedPairs", "root": copied, "prefix": "market", "split": "train", **options}
    )
    assert len(pairs) == 2
    coco = DATASETS.build_part(
        {"type": "CocoPairs", "annotation_file": copied / "train.json", "image_root": copied, **options}
    )
    assert len(coco) == 2  # there and back
    assert coco[0].source_structure.shape == (18, 128, 64)


# Commands


def command_lines(page: Path) -> list[list[str]]:
    """Commands of posegen in code blocks, fenced and indented, continued lines joined."""
    joined = text(page).replace("\\\n", " ")
    found = re.findall(r"^(?: {4,}|)posegen (\w+ .*)$", joined, re.MULTILINE)
    return [shlex.split(line, comments=True) for line in found if "…" not in line and ";" not in line]


@pytest.mark.parametrize("page", [page for page in [*PAGES, ROOT / "README.md"] if command_lines(page)], ids=name)
def test_commands_of_a_page_exist_with_their_options(page):
    for command, *arguments in command_lines(page):
        module = cli.COMMANDS[command]
        parser = argparse.ArgumentParser(prog=f"posegen {command}", exit_on_error=False)
        cli._prepare(module, parser)
        with contextlib.redirect_stderr(None):
            parser.parse_args(arguments)


@pytest.fixture
def demo(tmp_path, monkeypatch, trained):
    """A folder like the repository after ``make demo``, of a config that trains in seconds; one stands in it."""
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "gfla_paperdoll.py").write_text(TINY, encoding="utf-8")
    (tmp_path / "work_dirs").mkdir()
    (tmp_path / "work_dirs" / "demo").symlink_to(trained)
    for block in re.findall(r"```python\n(.*?)```", text(DOCS / "start.md"), re.DOTALL):
        (tmp_path / block.split("\n")[0].removeprefix("# ")).write_text(block, encoding="utf-8")
    # What the page asks of the reader: a picture, 18 points in it, and a copy with a raised arm.
    Image.effect_noise((40, 60), 64).convert("RGB").save(tmp_path / "me.png")
    for file, arm in (("me", 40), ("arm_up", 8)):
        points = np.array([[20, 3 * k, 1] for k in range(18)])
        points[[3, 4]] = [[10, arm, 1], [5, arm, 1]]
        openpose = {"people": [{"pose_keypoints_2d": points.flatten().tolist()}]}
        (tmp_path / f"{file}.json").write_text(json.dumps(openpose), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_of_the_first_ten_minutes_run(demo, capsys):
    blocks = re.findall(r"```console\n(.*?)```", text(DOCS / "start.md"), re.DOTALL)
    first, *lines = "".join(blocks).splitlines()
    assert first == "make demo"  # run by .ci/run, which looks for the files that the page names
    assert re.search(
        r"^DEMO_CONFIG \?= configs/gfla_paperdoll.py\nDEMO_DIR \?= work_dirs/demo$", text(ROOT / "Makefile"), re.M
    )
    checkpoint = (demo / "work_dirs" / "demo" / "last_checkpoint").read_text()
    short = {"flow_iters=2000": "flow_iters=2", "full_iters=400": "full_iters=2"}
    for line in lines:
        program, *arguments = shlex.split(line.replace("$(cat work_dirs/demo/last_checkpoint)", checkpoint))
        if program == "python":
            runpy.run_path(arguments[0], run_name="__main__")
        else:
            assert program == "posegen"
            assert cli.main([short.get(argument, argument) for argument in arguments]) == 0, line
    assert Image.open("me_moved.png").size == (32, 32)  # the model's
    own = ("me_moved_overlay", "me_arm_up", "me_arm_up_explained")
    for file in ("moved", "moved_overlay", "moved_again", "moved_flow", "moved_mask", *own, "curves"):
        assert (demo / f"{file}.png").is_file()
    assert "pixels away" in capsys.readouterr().out


# The notebook


def test_the_notebook_is_stored_without_outputs():
    for cell in json.loads(text(NOTEBOOK))["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(tmp_path):
    cells = json.loads(text(NOTEBOOK))["cells"]
    code = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    environment = os.environ | {"MPLBACKEND": "Agg", "TMPDIR": str(tmp_path), "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run([sys.executable, "-c", code], cwd=NOTEBOOK.parent, env=environment, check=True, timeout=600)


# Citation


def test_the_citation_names_this_version_and_the_paper():
    citation = yaml.safe_load(text(ROOT / "CITATION.cff"))
    assert citation["version"] == posegen.__version__
    assert "2003.00696" in citation["references"][0]["url"]


# The built site


class Resources(HTMLParser):
    """Addresses that a browser loads by itself when it opens a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        assert "mermaid" not in (given.get("class") or "").split(), "its script would be loaded from the net"
        if tag != "a" and given.get("rel") != "canonical":
            self.addresses += [given[name] for name in ("src", "srcset", "href", "data") if given.get(name)]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


@pytest.mark.slow
@needs_mkdocs
def test_the_site_builds_strictly_and_loads_nothing_from_the_net(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) >= len(PAGES)
    for page in pages:
        resources = Resources()
        resources.feed(text(page))
        assert resources.addresses
        assert not [address for address in resources.addresses if re.match(r"(https?:)?//", address)], page
    for style in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*['\"]?(https?:)?//", text(style)), style


@pytest.mark.slow
@needs_mkdocs
@pytest.mark.parametrize("kind", KINDS)
def test_the_reference_has_every_part_with_every_argument(site, kind):
    page = re.sub(r"<[^>]+>", "", text(site / "reference" / "parts" / f"{kind}.html"))
    for part_name, part in KINDS[kind].module_dict.items():
        if plugins.owner(part) is None or plugins.owner(part).package == "posegen":
            section = re.split(rf"^{part_name}\b", page, flags=re.MULTILINE)[-1]
            assert section != page, part_name
            for argument in inspect.signature(part).parameters.values():
                if argument.kind is argument.KEYWORD_ONLY or argument.kind is argument.POSITIONAL_OR_KEYWORD:
                    assert re.search(rf"^{argument.name}$", section, re.MULTILINE), (part_name, argument.name)


@pytest.mark.slow
@needs_mkdocs
def test_links_out_of_the_pages_lead_to_what_they_name(site):
    """GitHub shows the file itself; the site has a page of it."""
    reference = text(site / "reference" / "index.html")
    assert [kind for kind in KINDS if f'<td><a href="parts/{kind}.html">' not in reference] == []
    assert '<strong><a href="configs.html">Configs</a></strong>' in reference
    assert '../../index.html">posegen</a>' in text(site / "examples" / "posegen_shapes" / "index.html")
    assert "source/posegen/errors.py.html" in text(site / "contributing.html")
    assert "class PosegenError" in re.sub(r"<[^>]+>", "", text(site / "source" / "posegen" / "errors.py.html"))
