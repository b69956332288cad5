"""A CUDA build of torchvision beside a CPU build of torch can be imported; nothing else changes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SHIM = Path(__file__).parents[1] / "posegen" / "torchvision_import.py"

SCRIPT = """
import importlib.util, sys
sys.path.insert(0, sys.argv[2])
spec = importlib.util.spec_from_file_location("shim", sys.argv[1])
shim = importlib.util.module_from_spec(spec)
sys.modules["shim"] = shim
spec.loader.exec_module(shim)
print(shim.import_torchvision(), shim.import_torchvision(), "torchvision" in sys.modules, sep=";")
if "torchvision" in sys.modules:
    import torchvision
    print(torchvision.value)
"""
IMPORTS = "from . import other\nfrom torchvision import _meta_registrations\nvalue = other.value\n"
NMS = "raise RuntimeError('operator torchvision::nms does not exist')\n"


def run(folder: Path, registrations: str | None, init: str = IMPORTS) -> subprocess.CompletedProcess:
    """The shim in a process of its own that sees a torchvision made of these sources; None: sees none."""
    if registrations is not None:
        package = folder / "torchvision"
        package.mkdir()
        (package / "__init__.py").write_text(init)
        (package / "other.py").write_text("value = 'works'\n")
        (package / "_meta_registrations.py").write_text(registrations)
    # -S: no site-packages, so no real torchvision either
    return subprocess.run(
        [sys.executable, "-S", "-c", SCRIPT, str(SHIM), str(folder)], capture_output=True, text=True, check=False
    )


def test_where_the_registrations_fail_they_are_left_out(tmp_path):
    done = run(tmp_path, NMS)
    assert done.stdout.splitlines() == ["without compiled ops;without compiled ops;True", "works"]


def test_where_they_work_nothing_is_done(tmp_path):
    done = run(tmp_path, "registered = True\n")
    assert done.stdout.splitlines() == ["whole;whole;True", "works"]


def test_without_torchvision_nothing_is_done(tmp_path):
    assert run(tmp_path, None).stdout.splitlines() == ["absent;absent;False"]


@pytest.mark.parametrize(
    ("registrations", "error"),
    [
        ("raise RuntimeError('out of memory')", "RuntimeError: out of memory"),
        (
            "raise RuntimeError('operator other::nms does not exist')",
            "RuntimeError: operator other::nms does not exist",
        ),
        ("raise ValueError('torchvision::nms does not exist')", "ValueError: torchvision::nms does not exist"),
        ("import a_library_that_is_not_there", "No module named 'a_library_that_is_not_there'"),
    ],
)
def test_other_errors_pass_through(tmp_path, registrations, error):
    done = run(tmp_path, registrations)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(error)


def test_an_error_that_stays_without_the_registrations_passes_through(tmp_path):
    done = run(tmp_path, "", init=NMS)
    assert "torchvision::nms does not exist" in done.stderr.splitlines()[-1]
