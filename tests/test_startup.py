"""Start-up: help, version, refused arguments and ``import posegen`` import no heavy library."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {"torch", "mmengine", "torchvision", "gradio", "numpy", "PIL", "rich"}
SCRIPT = """
import sys
import posegen
from posegen.cli import main
try:
    status = main(sys.argv[1:])
except SystemExit as exit:
    status = exit.code
print(status, *sys.modules, file=sys.stderr)
"""


def started(*arguments: str) -> tuple[int, set[str], str]:
    """Run the command in a new process; return status, imported packages, and all that it printed."""
    command = [sys.executable, "-c", SCRIPT, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    status, *modules = done.stderr.splitlines()[-1].split()
    return int(status), {module.partition(".")[0] for module in modules}, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--help"], 0, "Render images in other poses."),
        (["--version"], 0, "posegen 0"),
        (["transfer", "x", "y"], 2, "required: TARGET"),
        (["train", "--help"], 0, "--cfg-options"),
        (["doctor", "--help"], 0, "what mends it"),
        (["trainn"], 2, "unknown command 'trainn'; did you mean 'train'?"),
        ([], 2, "COMMAND"),
    ],
)
def test_help_version_and_refused_arguments_import_no_heavy_library(arguments, status, words):
    ended, packages, printed = started(*arguments)
    assert (ended, packages & {*HEAVY, "argcomplete"}) == (status, set())
    assert words in printed


def test_public_names_are_imported_at_first_use():
    script = """
import sys
import posegen
assert set(posegen.__all__) <= set(dir(posegen))
assert "torch" not in sys.modules
assert all(getattr(posegen, name) for name in posegen.__all__)
assert posegen.ops.LocalAttention
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_model_is_used_without_importing_what_trains_one(tmp_path):
    """Optimizers and hooks of mmengine import torch's FSDP and SymPy, which takes longer than a picture."""
    command = ["transfer", "paperdolls", str(tmp_path), str(tmp_path / "pose.json")]
    (tmp_path / "me.png").write_bytes(b"no picture")
    script = f"import posegen\nposegen.Inferencer('paperdolls', device='cpu')\n{SCRIPT}"
    done = subprocess.run([sys.executable, "-c", script, *command], capture_output=True, text=True, check=True)
    modules = set(done.stderr.splitlines()[-1].split()[1:])
    assert "posegen.models.composing_renderer" in modules
    assert not modules & {"posegen.engine", "mmengine.hooks", "mmengine.optim", "torch.distributed.fsdp", "sympy"}


@pytest.mark.parametrize("arguments", [["show", "models", "PairTrainer"], ["list", "models"]], ids=" ".join)
def test_commands_that_show_parts_import_those_of_the_engine(arguments):
    status, _, printed = started(*arguments)
    assert status == 0
    assert "posegen.engine.trainer" in printed


def test_arguments_of_a_trainer_are_checked_before_the_engine_is_imported():
    script = """
from posegen.config import load_config
from posegen.errors import ConfigError
try:
    load_config("gfla_paperdoll", {"trainer.nonsense": 1})
except ConfigError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "has no argument 'nonsense'" in done.stdout
