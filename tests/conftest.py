"""A run small enough for a test: networks of 8 channels, images of 32×32, 3 iterations of F and 4 of F and G."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mmengine.config.config
import pytest
import torch

from posegen.cli import main
from posegen.losses import features
from posegen.torchvision_import import import_torchvision

CONFIGS = Path(__file__).parents[1] / "configs"

TINY = f'''
_base_ = r"{CONFIGS / "gfla_paperdoll.py"}"
batch_size = 2
flow_iters = 3
full_iters = 4
feature_weights = "random"
train_length = 5  # odd: rounds do not end with batches
test_length = 3  # no whole number of batches
size = (32, 32)
levels = [2, 1]
kernel_sizes = [3, 3]
model = dict(
    flow_estimator=dict(base_width=8, max_width=16, depth=3),
    renderer=dict(base_width=8, max_width=16, depth=2, norm="instance"),
)
trainer = dict(discriminator=dict(widths=(8, 8)), autocast=False)
train_dataloader = dict(num_workers=0, persistent_workers=False)
val_dataloader = dict(num_workers=0)
test_dataloader = dict(num_workers=0)
default_hooks = dict(checkpoint=dict(interval=1, max_keep_ckpts=-1))
'''
LAST = 7  # iterations of both stages


import_torchvision()  # before a test module imports torchvision itself


def pytest_configure() -> None:
    torch.set_num_threads(1)  # as in every process that tests start, so that sums have one order
    mmengine.config.config.FormatCode = remember(mmengine.config.config.FormatCode)
    features._randomize = remember_weights(features._randomize)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that have slow tests, so that no process is left with one of them at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def remember(format_code: Callable[..., Any]) -> Callable[..., Any]:
    """Format a text once: mmengine formats its config six times a run, which takes longer than a short run itself."""
    formatted: dict[str, Any] = {}

    def format_once(text: str, **style: Any) -> Any:
        if text not in formatted:
            formatted[text] = format_code(text, **style)
        return formatted[text]

    return format_once


def remember_weights(randomize: Callable[[torch.nn.Module], None]) -> Callable[[torch.nn.Module], None]:
    """Draw the random weights of a feature network once: twenty million numbers a run."""
    drawn: dict[tuple[torch.Size, ...], list[torch.Tensor]] = {}

    def randomize_once(network: torch.nn.Module) -> None:
        shapes = tuple(parameter.shape for parameter in network.parameters())
        if shapes not in drawn:
            randomize(network)
            drawn[shapes] = [parameter.detach().clone() for parameter in network.parameters()]
        network.to_empty(device="cpu")
        with torch.no_grad():
            for parameter, values in zip(network.parameters(), drawn[shapes], strict=True):
                parameter.copy_(values)

    return randomize_once


def write_tiny(folder: Path) -> Path:
    """The tiny config as a file in *folder*."""
    path = folder / "tiny.py"
    path.write_text(TINY, encoding="utf-8")
    return path


@pytest.fixture
def tiny_config(tmp_path: Path) -> Path:
    """A config of paper dolls that trains through both stages in seconds."""
    return write_tiny(tmp_path)


@pytest.fixture
def derived(tiny_config: Path):
    """Writes a config that inherits from the tiny one."""

    def write(text: str) -> Path:
        path = tiny_config.with_name("derived.py")
        path.write_text(f'_base_ = "tiny.py"\n{text}\n', encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work dir of the tiny config, trained to the end without a break; every iteration has its checkpoint."""
    folder = tmp_path_factory.mktemp("trained")
    assert main(["train", str(write_tiny(folder)), "--work-dir", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small models: tiny.py with checkpoint.pth, and the shared folders shared/ and clips/."""
    from .pictures import write_models

    folder = tmp_path_factory.mktemp("models")
    write_models(folder)
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with pictures and key-point files."""
    from .pictures import write_pictures

    write_pictures(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def no_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inference in float32 on every processor, for comparisons of single gray levels."""
    monkeypatch.setattr("posegen.acceleration.precision.native_bfloat16", lambda device="cpu": False)
