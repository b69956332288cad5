"""Laws of the house: the core knows no domain, no metric and no data set."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = sorted((ROOT / "posegen").rglob("*.py"))
PLUGINS = {path.name for path in (ROOT / "plugins").iterdir() if path.is_dir()}
DATA_SETS = re.compile(r"market|fashion|fasion|coco|doll|mpii|celeb|vox|ilsvrc|iper|kitti|openpose", re.IGNORECASE)
DOMAINS = re.compile(r"\b(person|people|human|limb|nose|wrist|ankle|face|car|chair|dance)s?\b", re.IGNORECASE)
COUNTS = {17, 18, 25}  # key points of COCO and of OpenPose's two layouts


def name(path: Path) -> str:
    return path.relative_to(ROOT / "posegen").as_posix()


def docstrings(tree: ast.AST) -> set[int]:
    """The nodes that are docstrings, attribute docstrings included: a string as a statement of its own."""
    return {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def constants(tree: ast.AST, kind: type) -> list[tuple[int, object]]:
    told = docstrings(tree)
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and type(node.value) is kind]
    return [(node.lineno, node.value) for node in nodes if id(node) not in told]


def identifiers(tree: ast.AST) -> list[tuple[int, str]]:
    found = []
    for node in ast.walk(tree):
        for field in ("id", "attr", "arg", "name"):
            value = getattr(node, field, None)
            if isinstance(value, str):
                found.append((getattr(node, "lineno", 0), value))
    return found


def imports(tree: ast.AST) -> list[tuple[int, str]]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            found.append((node.lineno, node.module or ""))
    return found


def offenses(source: str) -> list[str]:
    """What breaks the law in the source of a module of the core."""
    tree = ast.parse(source)
    found = [
        f"{line}: imports {module}" for line, module in imports(tree) if module.split(".")[0] in {*PLUGINS, "plugins"}
    ]
    found += [
        f"{line}: says {text!r}"
        for line, text in constants(tree, str)
        if DATA_SETS.search(text) or DOMAINS.search(text)
    ]
    found += [f"{line}: is called {text}" for line, text in identifiers(tree) if DATA_SETS.search(text)]
    return found


@pytest.mark.parametrize("path", CORE, ids=name)
def test_the_core_knows_no_plugin_no_data_set_and_no_domain(path):
    assert offenses(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", [p for p in CORE if p.parts[-2] in ("data", "models", "losses", "engine")], ids=name)
def test_the_core_counts_no_key_points(path):
    counts = [(line, value) for line, value in constants(ast.parse(path.read_text()), int) if value in COUNTS]
    assert counts == []


@pytest.mark.parametrize(
    "source",
    [
        "import posegen_people",
        "from posegen_metrics.ssim import SSIM",
        "from plugins import posegen_people",
        "name = 'market-1501'",
        "class CocoPairs: ...",
        "def load(fashion): ...",
        "text = f'{x} dolls'",
    ],
)
def test_the_law_would_be_noticed_when_broken(source):
    assert offenses(source)


def test_docstrings_may_speak_of_anything():
    assert offenses('"""Market-1501, people."""\nx = 1\n"""Of COCO."""\n') == []


ROOMS = {  # which rooms of the core a room may import from, beside registry, records, errors and plugins
    "ops": set(),
    "models": {"ops"},
    "losses": {"ops"},
    "data": set(),
    "evaluation": {"data"},
    "checking": {"data"},
    "preparing": {"data", "evaluation", "checking"},
    "visualization": {"data", "ops"},
    "engine": {"models", "losses", "data", "visualization"},
}


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_a_room_imports_only_from_the_rooms_it_may(room):
    reached = set()
    for path in (ROOT / "posegen" / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level >= 2:
                reached |= {node.module.split(".")[0]} if node.module else {alias.name for alias in node.names}
    assert reached & {*ROOMS, "cli", "api"} <= ROOMS[room]
