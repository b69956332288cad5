"""The core names no domain, no metric and no data set; imports go down the floors, and never in a circle."""

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
    """Return everything in the source of a core module that breaks the law."""
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
def test_a_violation_is_found(source):
    assert offenses(source)


def test_docstrings_may_name_anything():
    assert offenses('"""Market-1501, people."""\nx = 1\n"""COCO."""\n') == []


RIDDLES = ("What", "Of", "As", "That", "Those", "How", "Where", "Whether")
SOURCES = [path for room in ("posegen", "plugins", "tools", "tests") for path in sorted((ROOT / room).rglob("*.py"))]


def test_docstrings_begin_with_an_imperative_or_a_noun():
    found = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            text = node.value.value if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) else None
            if isinstance(text, str) and text.split(maxsplit=1)[:1] and text.split(maxsplit=1)[0] in RIDDLES:
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {text.splitlines()[0]}")
    assert found == []


FLOORS = (
    {"errors", "version", "console", "records", "ops", "plugin_access"},
    {"registry", "catalogue", "weights", "config", "torchvision_import", "files", "untrusted"},
    {"data", "models", "losses", "checkpoints"},
    {"acceleration", "visualization", "evaluation", "engine", "checking", "preparing"},
    {"inference", "sharing", "export", "api"},
    {"hookspecs", "plugins", "testing"},
    {"cli"},
)
"""Rooms by floor. An import goes to the same floor or a lower one."""


def test_one_opencv_without_a_display_is_installed() -> None:
    """Packages that need another OpenCV would replace the headless one by one that needs libGL."""
    names = set(re.findall(r'"([a-z][\w.-]*)[^"]*"', (ROOT / "pyproject.toml").read_text(encoding="utf-8")))
    assert "opencv-python-headless" in names
    assert not names & {"opencv-python", "opencv-contrib-python", "mmengine", "mmcv", "mmcv-lite", "rtmlib"}


def import_graph(folder: Path) -> dict[str, set[str]]:
    """Return the modules that each module of a package imports, anywhere: in functions and for annotations, too."""
    paths = {".".join(path.relative_to(folder.parent).with_suffix("").parts): path for path in folder.rglob("*.py")}
    modules = {name.removesuffix(".__init__"): path for name, path in paths.items()}
    graph: dict[str, set[str]] = {}
    for module, path in modules.items():
        found = graph.setdefault(module, set())
        package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names if alias.name in modules}
            if isinstance(node, ast.ImportFrom):
                start = package[: len(package) - node.level + 1] if node.level else []
                base = ".".join([*start, *(node.module.split(".") if node.module else [])])
                names = {f"{base}.{alias.name}" for alias in node.names}
                found |= {name if name in modules else base for name in names if base in modules}
    return graph


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Return sets of modules that import one another, directly or not."""
    reached: dict[str, set[str]] = {}
    for module in graph:
        found, left = set(), [*graph[module]]
        while left:
            if (next_one := left.pop()) not in found:
                found.add(next_one)
                left += graph[next_one]
        reached[module] = found
    groups = {frozenset({other for other in graph if other in reached[m] and m in reached[other]}) for m in graph}
    return sorted((set(group) for group in groups if group), key=len)


def arrows_up(graph: dict[str, set[str]]) -> list[str]:
    """Return imports that go to a higher floor, to the root of the package, or to a room without a floor."""
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    found = []
    for module, imported in sorted(graph.items()):
        for other in sorted(imported):
            here, there = (floor.get([*name.split("."), ""][1]) for name in (module, other))
            if "." in module and (here is None or there is None or there > here):
                found.append(f"{module} -> {other}")
    return found


def test_imports_go_down_and_not_in_circles():
    graph = import_graph(ROOT / "posegen")
    up = arrows_up(graph)
    round_about = circles(graph)
    arrows = sum(map(len, graph.values()))
    print(f"{len(graph)} modules, {arrows} imports, {len(up)} of them up, {len(round_about)} circles")
    assert (up, round_about) == ([], [])


def test_upward_and_circular_imports_are_found_wherever_they_are(tmp_path):
    package = tmp_path / "posegen"
    (package / "cli").mkdir(parents=True)
    for name, source in {
        "__init__.py": "",
        "errors.py": "def late():\n    from .cli import main",
        "cli/__init__.py": "if TYPE_CHECKING:\n    from ..errors import Late",
        "weights.py": "import posegen",
        "odd.py": "from . import errors",
    }.items():
        (package / name).write_text(source)
    graph = import_graph(package)
    assert arrows_up(graph) == [
        "posegen.errors -> posegen.cli",
        "posegen.odd -> posegen.errors",
        "posegen.weights -> posegen",
    ]
    assert circles(graph) == [{"posegen.errors", "posegen.cli"}]
