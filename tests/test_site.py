"""Documentation: navigation, links, images, commands, programs, files to copy, the notebook, and the built site."""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import pydoc
import re
import runpy
import shlex
import subprocess
import sys
import tempfile
from html.parser import HTMLParser
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import posegen
from posegen import catalogue, cli, plugins
from posegen.config import load_config
from posegen.data import get_layout
from posegen.evaluation import PublishedScore
from posegen.inference import read_keypoints
from posegen.registry import DATASETS, KINDS, MODELS
from posegen.sharing import shared_models
from posegen.visualization.video import VideoWriter

from .conftest import CONFIGS, TINY

ROOT = CONFIGS.parent
DOCS = ROOT / "docs"
NOTEBOOKS = sorted((DOCS / "examples").glob("*.ipynb"))
PAGES = sorted(DOCS.rglob("*.md"))
ALL_PAGES = [*PAGES, *(ROOT / f"{name}.md" for name in ("README", "CHANGELOG", "CONTRIBUTING"))]
SETTINGS = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
GENERATED = {"reference/parts.md", "reference/commands.md"}  # when the site is built
BESIDE_NAVIGATION = ("examples/", "experiments/")
FILES_IN_PAGES = {
    "": r"(?:posegen|plugins|configs|tests|tools|docs)/[\w/.-]+\.\w+",
    "tests": r"test_\w+\.py",
    "posegen": r"(?:engine|inference)/\w+\.py|registry\.py|torchvision_import\.py",
}
"""Patterns of file names that pages mention, by the folder they are relative to."""


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# Pages


def test_navigation_has_four_groups_at_most_25_pages_and_every_page_once():
    _home, *groups = SETTINGS["nav"]
    assert [group for entry in groups for group in entry] == ["Start", "Guides", "Method", "Reference"]
    pages = [
        "index.md",
        *(page for entry in groups for group in entry.values() for one in group for page in one.values()),
    ]
    written = {path.relative_to(DOCS).as_posix() for path in PAGES}
    assert sorted(pages) == sorted({page for page in written if not page.startswith(BESIDE_NAVIGATION)} | GENERATED)
    assert len(pages) <= 25


@pytest.mark.parametrize(
    ("origin", "page"),
    [
        ("https://example.org/owner/name.git", "https://example.org/owner/name"),
        ("https://token@example.org/owner/name", "https://example.org/owner/name"),
        ("git@example.org:owner/name.git", "https://example.org/owner/name"),
        ("ssh://git@example.org:22/owner/name.git", "https://example.org/owner/name"),
        ("/home/me/clone", None),
        ("../clone", None),
        ("", None),
    ],
)
def test_the_site_links_to_the_page_of_the_repository_it_was_cloned_from(origin, page):
    pytest.importorskip("mkdocs", reason="mkdocs is not installed (pip install posegen[docs])")
    hook = runpy.run_path(str(DOCS / "hooks" / "site.py"))
    assert hook["repository_page"](origin) == page


def test_the_home_page_begins_with_a_sentence_a_picture_and_three_commands():
    _, title, sentence, picture, commands = text(DOCS / "index.md").split("\n\n")[:5]
    assert title == "# posegen"
    assert sentence.count(".\n") + sentence.endswith(".") == 1
    assert picture.startswith("![")
    assert [line.split()[0] for line in commands.splitlines()] == ["pip", "posegen", "posegen"]


def test_figures_of_models_that_come_with_posegen_are_those_of_their_cards():
    page = text(DOCS / "models.md").split("## Published weights")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\d+×\d+) \| (.*?) \| (.*?) \| \[.*?\]\((.*?)\) \|$", page, re.MULTILINE)
    assert [row[0] for row in rows] == list(shared_models())
    for model, size, _, figures, card in rows:
        assert (DOCS / card).resolve() == (shared_models()[model] / "README.md").resolve()
        content = text(DOCS / card)
        assert f"| images | {size} pixels" in content
        values = dict(re.findall(r"^\| (\w+) \| ([\d.]+) \|$", content, re.MULTILINE))
        assert f"PSNR {values['psnr']} dB, SSIM {values['ssim']}" in figures
        assert f"flow error {float(values['epe_ratio']):.1%}".replace("%", " %") in figures


def test_configs_of_published_weights_exist_and_have_the_size_that_is_told():
    page = text(DOCS / "models.md")
    rows = re.findall(r"^\| .*?, (\d+)×(\d+) \| \[.*?\]\(https://\S+\) \| (\d+) MB \| `(\w+)` \|", page, re.MULTILINE)
    assert len(rows) == 7
    for width, height, megabytes, name in rows:
        config = load_config(name)
        assert tuple(config.size) == (int(height), int(width))
        with torch.device("meta"):
            state = MODELS.build_part(config.model).state_dict()
        assert round(sum(value.numel() for value in state.values()) * 4 / 1e6) == int(megabytes)


def test_scores_of_published_weights_are_those_of_the_catalogue():
    page = text(DOCS / "models.md")
    published = {score.protocol: score.values for score in catalogue.all(PublishedScore) if score.method == "GFLA"}
    told = re.findall(r"([\d.]+), ([\d.]+) \(`([\w-]+)`\)", page)
    assert len(told) == 2
    for fid, lpips, protocol in told:
        assert (published[protocol]["fid"], published[protocol]["lpips"]) == (float(fid), float(lpips))


def test_links_lead_to_files_and_every_image_is_used():
    linked = set()
    for page in ALL_PAGES:
        for link in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", text(page)):
            target = Path(os.path.normpath(page.parent / link))
            assert target.exists() or target.relative_to(DOCS).as_posix() in GENERATED, f"{name(page)}: {link}"
            linked.add(target)
    assert set((DOCS / "images").iterdir()) <= linked


def test_names_and_files_that_pages_mention_exist():
    for page in [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"]:
        if page.relative_to(ROOT).as_posix().startswith(("docs/experiments/", "docs/examples/")):
            continue
        for dotted in re.findall(r"`(posegen(?:\.\w+)+)[`(]", text(page)):
            assert pydoc.locate(dotted) is not None, f"{name(page)}: {dotted}"
        for folder, pattern in FILES_IN_PAGES.items():
            for file in re.findall(f"`({pattern})`", text(page)):
                assert (ROOT / folder / file).exists(), f"{name(page)}: {file}"


@pytest.mark.parametrize("domain", ["people", "faces", "dance", "views"])
def test_a_domain_page_starts_with_summary_command_cost_figures_limits_and_a_picture(domain):
    summary, picture = text(DOCS / f"{domain}.md").split("\n\n")[1:3]
    rows = re.findall(r"^\| \*\*(\w+)\*\* \| \S", summary, re.MULTILINE)
    assert rows == ["What", "Command", "Cost", "Figures", "Limits"]
    assert picture.startswith("![")


def test_the_citation_names_this_version_and_the_paper():
    citation = yaml.safe_load(text(ROOT / "CITATION.cff"))
    assert citation["version"] == posegen.__version__
    assert "2003.00696" in citation["references"][0]["url"]


def test_the_figures_of_the_method_are_drawn_from_a_trained_model_of_drawn_pairs(trained, tmp_path, monkeypatch):
    config, checkpoint = trained.parent / "tiny.py", (trained / "last_checkpoint").read_text()
    command = ["draw_method.py", str(config), checkpoint, str(tmp_path), "--pairs", "1", "2"]
    monkeypatch.setattr(sys, "argv", command)
    runpy.run_path(str(ROOT / "tools" / "draw_method.py"), run_name="__main__")
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in (DOCS / "images").glob("method_*")}


def test_errors_that_the_faq_quotes_are_errors_of_the_code():
    code = "".join(text(path) for folder in ("posegen", "plugins") for path in (ROOT / folder).rglob("*.py"))
    quoted = re.findall(r"^\*\*`([^`]+)`\.\*\*", text(DOCS / "faq.md"), re.MULTILINE)
    fragments = {quote: max(re.split(r"[…\d:,]|openpose18|\w+\.pth|'\w+'", quote), key=len).strip() for quote in quoted}
    assert len(quoted) >= 8
    assert [quote for quote, fragment in fragments.items() if fragment not in code] == []


# Files to copy


@pytest.fixture
def copied(tmp_path):
    """Folder with the files that the page of formats shows, and pictures of the size they name."""
    plugins.load()
    for file, content in re.findall(r'```\w+ title="(\S+)"\n(.*?)```', text(DOCS / "formats.md"), re.DOTALL):
        (tmp_path / file).write_text(content, encoding="utf-8")
    for picture in ("me.png", "me_later.png"):
        Image.effect_noise((64, 128), 64).convert("RGB").save(tmp_path / picture)
    return tmp_path


def test_json_and_csv_of_the_page_hold_the_same_key_points(copied):
    layout = get_layout("openpose18")
    json_points, csv_points = (
        read_keypoints(copied / file, layout, copied / "me.png") for file in ("me.json", "points.csv")
    )
    np.testing.assert_array_equal(json_points.points[json_points.present], csv_points.points[csv_points.present])
    assert (json_points.present == csv_points.present).all()
    assert [point for point, there in zip(layout.names, json_points.present, strict=True) if not there] == ["right ear"]


def test_the_lists_of_the_page_are_data_sets(copied):
    for split in ("train", "test"):
        (copied / split).mkdir()
        for picture in ("me.png", "me_later.png"):
            (copied / split / picture).write_bytes((copied / picture).read_bytes())
        header, row = text(copied / "points.csv").splitlines()
        rows = [header, row, row.replace("me.png", "me_later.png")]
        (copied / f"market-annotation-{split}.csv").write_text("\n".join(rows), encoding="utf-8")
    options = {"structure": {"type": "HeatmapEncoder", "layout": "openpose18", "sigma": 6}, "size": (128, 64)}
    market = {"type": "AnnotatedPairs", "root": copied, "prefix": "market", "split": "train", **options}
    coco = {"type": "CocoPairs", "annotation_file": copied / "train.json", "image_root": copied, **options}
    assert [len(DATASETS.build_part(dataset)) for dataset in (market, coco)] == [2, 2]


# Commands and programs


def command_lines(page: Path) -> list[list[str]]:
    """Commands of posegen in indented code blocks, continued lines joined."""
    joined = text(page).replace("\\\n", " ")
    found = re.findall(r"^ {4,}posegen (\w+ .*)$", joined, re.MULTILINE)
    return [shlex.split(line, comments=True) for line in found if "…" not in line and ";" not in line]


def test_commands_of_all_pages_exist_with_their_options(capsys):
    for page in ALL_PAGES:
        for line in command_lines(page):
            with pytest.raises(SystemExit):
                cli.main([*line, "--no-such-option"])
            assert "unrecognized arguments: --no-such-option\n" in capsys.readouterr().err, (name(page), line)


@pytest.fixture
def demo(tmp_path, monkeypatch, trained):
    """Working directory like the repository after ``make demo``, with a config that trains in seconds."""
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "guided_paperdoll.py").write_text(TINY, encoding="utf-8")
    (tmp_path / "work_dirs").mkdir()
    (tmp_path / "work_dirs" / "demo").symlink_to(trained)
    for block in re.findall(r"```python\n(.*?)```", text(DOCS / "start.md"), re.DOTALL):
        (tmp_path / block.split("\n")[0].removeprefix("# ")).write_text(block, encoding="utf-8")
    # what the reader provides: a picture, 18 points in it, and a copy with a raised arm
    Image.effect_noise((40, 60), 64).convert("RGB").save(tmp_path / "me.png")
    for file, arm in (("me", 40), ("arm_up", 8)):
        points = np.array([[20, 3 * k, 1] for k in range(18)])
        points[[3, 4]] = [[10, arm, 1], [5, arm, 1]]
        openpose = {"people": [{"pose_keypoints_2d": points.flatten().tolist()}]}
        (tmp_path / f"{file}.json").write_text(json.dumps(openpose), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_commands_and_programs_of_the_quickstart_run(demo, capsys):
    blocks = re.findall(r"```console\n(.*?)```", text(DOCS / "start.md"), re.DOTALL)
    first, *lines = "".join(blocks).splitlines()
    assert first == "make demo"  # run by .ci/run
    checkpoint = (demo / "work_dirs" / "demo" / "last_checkpoint").read_text()
    short = {"flow_iters=1500": "flow_iters=2", "full_iters=2000": "full_iters=2"}
    for line in lines:
        program, *arguments = shlex.split(line.replace("$(cat work_dirs/demo/last_checkpoint)", checkpoint))
        if program == "python":
            runpy.run_path(arguments[0], run_name="__main__")
        else:
            assert program == "posegen"
            assert cli.main([short.get(argument, argument) for argument in arguments]) == 0, line
    assert Image.open("me_moved.png").size == Image.open("me.png").size
    own = ("me_moved_explained", "me_arm_up", "me_arm_up_explained")
    for file in ("moved", "moved_explained", "moved_again", "moved_flow", "moved_mask", *own, "curves"):
        assert (demo / f"{file}.png").is_file()
    assert "maximum displacement" in capsys.readouterr().out


@pytest.mark.slow
def test_the_commands_of_my_photographs_run(tmp_path, monkeypatch):
    """With the astronaut of scikit-image, public domain, and its mirror image."""
    pytest.importorskip("ai_edge_litert")
    astronaut = pytest.importorskip("skimage.data").astronaut()
    monkeypatch.chdir(tmp_path)
    Path("photographs").mkdir()
    Image.fromarray(astronaut).save("photographs/me.jpg")
    Image.fromarray(astronaut[:, ::-1]).save("photographs/you.jpg")
    with VideoWriter("dance.mp4", fps=5) as clip:
        for shift in (0, 8, 16):
            clip.write(np.roll(astronaut, shift, axis=0))
    (block,) = re.findall(r"```console\n(.*?)```", text(DOCS / "photographs.md"), re.DOTALL)
    lines = block.splitlines()
    assert len(lines) == 6
    assert lines[0].startswith("pip install ")
    model = shlex.split(lines[1], comments=True)[0].removeprefix("MODEL=")
    for line in lines[2:]:
        program, *arguments = shlex.split(line.replace("$MODEL", model))
        assert program == "posegen"
        assert cli.main(arguments) == 0, line
    assert Image.open("moved.png").size == (512, 512)
    assert sorted(path.name for path in Path("moved").iterdir()) == [
        f"{source}_to_{target}.png" for source in ("me", "you") for target in ("me", "you")
    ]
    assert Path("moved.mp4").stat().st_size > 5000
    assert Path("photographs/drawn/me.jpg").is_file()


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_without_outputs(notebook):
    for cell in json.loads(text(notebook))["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def code_of(notebook: Path) -> str:
    cells = json.loads(text(notebook))["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


@pytest.mark.slow
def test_the_notebook_of_the_method_runs_from_top_to_bottom(tmp_path, monkeypatch):
    matplotlib.use("Agg")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(DOCS / "examples")
    exec(compile(code_of(DOCS / "examples" / "first_steps.ipynb"), "first_steps.ipynb", "exec"), {})


@pytest.mark.slow
def test_the_notebook_to_try_posegen_runs_anywhere(tmp_path, monkeypatch, capsys):
    matplotlib.use("Agg")
    monkeypatch.chdir(tmp_path)
    space: dict = {}
    exec(compile(code_of(DOCS / "examples" / "try_posegen.ipynb"), "try_posegen.ipynb", "exec"), space)
    assert space["Clip"]("animated.mp4")._repr_html_().startswith("<video src=")
    assert Path("animated.mp4").stat().st_size > 5000
    assert space["stretched"].image.shape == (256, 256, 3)
    assert "there is no me.jpg" in capsys.readouterr().out


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
            self.addresses += [given[key] for key in ("src", "srcset", "href", "data") if given.get(key)]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Folder of the site, built strictly: links and anchors lead somewhere."""
    if any(importlib.util.find_spec(package) is None for package in ("mkdocs", "mkdocstrings")):
        pytest.skip("mkdocs is not installed (pip install posegen[docs])")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


@pytest.mark.slow
def test_the_site_loads_nothing_from_elsewhere(site):
    for page in site.rglob("*.html"):
        resources = Resources()
        resources.feed(text(page))
        assert resources.addresses
        assert not [address for address in resources.addresses if re.match(r"(https?:)?//", address)], page
    for style in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*['\"]?(https?:)?//", text(style)), style


@pytest.mark.slow
def test_the_reference_has_every_command_and_every_part_with_every_argument(site):
    commands = text(site / "reference" / "commands.html")
    names = [*cli.COMMANDS, "app", "keypoints", "study"]
    assert [command for command in names if f"usage: posegen {command} " not in commands] == []
    page = re.sub(r"<[^>]+>", "", text(site / "reference" / "parts.html"))
    for registry in KINDS.values():
        for part_name, part in registry.module_dict.items():
            section = re.split(rf"^{part_name}\b", page, flags=re.MULTILINE)[-1]
            assert section != page, part_name
            for argument in inspect.signature(part).parameters.values():
                if argument.kind in (argument.KEYWORD_ONLY, argument.POSITIONAL_OR_KEYWORD):
                    assert re.search(rf"^{argument.name}$", section, re.MULTILINE), (part_name, argument.name)


@pytest.mark.slow
def test_the_first_screen_shows_sentence_picture_and_commands(site, tmp_path):
    from .browser import chromium  # skips without Chromium

    measure = """
    const box = selector => document.querySelector(selector).getBoundingClientRect();
    return [box("article p").bottom, box("article img").width, box("article pre").bottom];
    """
    with chromium(tmp_path) as browser:
        for width, height in ((1440, 900), (390, 844)):
            browser.resize((width, height))
            browser.open((site / "index.html").as_uri())
            browser.wait(lambda: browser.run("return document.querySelector('article img').naturalWidth") > 0)
            sentence, picture, commands = browser.run(measure)
            assert 0 < sentence < commands <= height
            assert picture >= 0.9 * width
            assert browser.run("return document.documentElement.scrollWidth") <= width


@pytest.mark.slow
def test_links_between_docs_and_the_repository_lead_to_pages(site):
    assert '../../index.html">posegen</a>' in text(site / "examples" / "posegen_shapes" / "index.html")
    home, contributing = text(site / "index.html"), text(site / "contributing.html")
    assert 'href="contributing.html"' in home
    assert 'href="changelog.html"' in home
    assert 'href="writing_plugins.html"' in contributing
