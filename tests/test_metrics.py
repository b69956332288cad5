"""Metrics of a model's output: known answers, mmengine's Evaluator, and the written values."""

from __future__ import annotations

import json
import math

import numpy as np
import posegen_metrics
import pytest
import torch
from mmengine.evaluator import Evaluator
from posegen_metrics.flow_error import FlowError
from posegen_metrics.l1 import L1
from posegen_metrics.psnr import MOST, PSNR
from posegen_metrics.ssim import SSIM
from rich.console import Console
from torch import Tensor

from posegen.errors import PosegenError
from posegen.evaluation import PairMetric, metrics_table, write_metrics
from posegen.records import PairBatch, Transfer
from posegen.registry import METRICS


def images(size: tuple[int, int], count: int, seed: int) -> Tensor:
    """White noise, count 3 H W in [-1, 1]."""
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def pairs(count: int = 5, size: tuple[int, int] = (24, 16), known: bool = True, seed: int = 0) -> PairBatch:
    """A batch of noise whose exact flow is noise of some pixels; half of everything is visible foreground."""
    generator = torch.Generator().manual_seed(seed)
    exact: dict[str, Tensor] = {}
    if known:
        exact["flow"] = 6 * torch.randn(count, 2, *size, generator=generator)
        exact["visible"] = (torch.rand(count, 1, *size, generator=generator) < 0.7).float()
        exact["foreground"] = (torch.rand(count, 1, *size, generator=generator) < 0.7).float()
    structure = torch.zeros(count, 1, *size)
    return PairBatch(
        source=images(size, count, seed + 1),
        source_structure=structure,
        target=images(size, count, seed + 2),
        target_structure=structure,
        names=[f"pair{k}" for k in range(count)],
        **exact,
    )


def transfer(batch: PairBatch, flow: Tensor | None = None, seed: int = 9) -> Transfer:
    size = (batch.target.shape[-2], batch.target.shape[-1])
    return Transfer(images(size, len(batch), seed), [] if flow is None else [flow], [])


def part(batch: PairBatch, rows: slice) -> PairBatch:
    return PairBatch(**{name: None if value is None else value[rows] for name, value in vars(batch).items()})


def score(metric: PairMetric, batch: PairBatch, out: Transfer) -> dict[str, float]:
    metric.process(batch, [out])
    return metric.evaluate(len(batch))


class Given(PairMetric):
    """Returns given values for any images."""

    def __init__(self, **values: list[float]) -> None:
        super().__init__()
        self.values = {name: torch.tensor(value) for name, value in values.items()}

    def measure(self, batch: PairBatch, out: Transfer) -> dict[str, Tensor]:
        return self.values


def test_psnr_of_the_foreground_is_over_its_pixels() -> None:
    batch = pairs(3)
    out = transfer(batch)
    metric = PSNR()
    score(metric, batch, out)
    for k, row in enumerate(metric.per_image):
        inside = batch.foreground[k, 0].bool()
        error = (out.image[k] - batch.target[k])[:, inside].double().square().mean()
        assert row["psnr_foreground"] == pytest.approx(10 * math.log10(4 / error), abs=1e-6)


# Known answers --------------------------------------------------------------------------------------------


def test_identical_images() -> None:
    batch = pairs(2)
    out = Transfer(batch.target, [], [])
    assert score(SSIM(), batch, out)["ssim"] == pytest.approx(1, abs=1e-12)
    assert score(PSNR(), batch, out)["psnr"] == MOST  # infinite, capped
    assert score(L1(), batch, out)["l1"] == 0


def test_constant_images() -> None:
    batch = pairs(2)
    batch.target = torch.full_like(batch.target, -0.5)  # 0.25 of 1
    out = Transfer(torch.full_like(batch.target, 0.5), [], [])  # 0.75 of 1
    assert score(L1(), batch, out)["l1"] == 0.5
    assert score(PSNR(), batch, out)["psnr"] == pytest.approx(10 * math.log10(4))  # range 2, error 1
    luminance = (2 * 0.25 * 0.75 + 1e-4) / (0.25**2 + 0.75**2 + 1e-4)  # variances are 0: only this term is left
    assert score(SSIM(), batch, out)["ssim"] == pytest.approx(luminance, abs=1e-9)


def test_images_are_clamped_before_they_are_scored() -> None:
    batch = pairs(2)
    batch.target = torch.ones_like(batch.target)
    assert score(L1(), batch, Transfer(batch.target * 3, [], []))["l1"] == 0


def test_baselines_of_the_foreground() -> None:
    batch = pairs(3)
    values = score(PSNR(), batch, transfer(batch, torch.zeros(3, 2, 12, 8)))
    assert values["psnr_foreground_warp"] == pytest.approx(values["psnr_foreground_copy"], abs=1e-3)
    batch.target = torch.roll(batch.source, -2, dims=3)  # what stands 2 px to the right comes here
    batch.foreground[..., -2:] = 0
    flow = torch.zeros(3, 2, 12, 8)
    flow[:, 0] = 1  # 1 px of 8 = 2 px of 16
    values = score(PSNR(), batch, transfer(batch, flow))
    assert values["psnr_foreground_warp"] > 80 > 20 > values["psnr_foreground_copy"]


def test_values_without_foreground_or_flow_are_left_out() -> None:
    batch = pairs(3, known=False)
    assert set(score(PSNR(), batch, transfer(batch))) == {"psnr"}
    assert score(FlowError(), batch, transfer(batch, torch.zeros(3, 2, 12, 8))) == {}
    batch = pairs(3)
    assert score(FlowError(), batch, transfer(batch)) == {}
    assert "psnr_foreground_warp" not in score(PSNR(), batch, transfer(batch))


def test_the_exact_flow_has_no_error() -> None:
    batch = pairs()
    values = score(FlowError(), batch, transfer(batch, batch.flow))
    assert values["epe"] == values["epe_ratio"] == 0
    assert values["within_2px"] == 1
    assert values["epe_zero"] > 1


def test_the_error_of_a_zero_flow_is_the_motion() -> None:
    batch = pairs()
    values = score(FlowError(), batch, transfer(batch, torch.zeros(5, 2, 6, 4)))
    assert values["epe"] == values["epe_zero"]
    assert values["epe_ratio"] == 1


def test_flow_error_is_in_pixels_of_the_image() -> None:
    batch = pairs(1)
    batch.flow = torch.zeros_like(batch.flow)
    batch.flow[:, 0], batch.flow[:, 1] = 8, 4
    out = transfer(batch, torch.tensor([1.0, 1.0]).view(1, 2, 1, 1).expand(1, 2, 6, 4))  # 4 px of 24×16
    values = score(FlowError(threshold=4), batch, out)
    assert values["epe"] == pytest.approx(4, abs=1e-6)
    assert values["epe_zero"] == pytest.approx(math.hypot(8, 4))
    assert values["within_4px"] == 1
    assert score(FlowError(threshold=3.5), batch, out)["within_3.5px"] == 0


def test_flow_error_is_over_the_visible_foreground() -> None:
    batch = pairs(1)
    flow = torch.where(batch.visible * batch.foreground > 0, batch.flow, batch.flow + 50)
    assert score(FlowError(), batch, transfer(batch, flow))["epe"] == 0


# Means ----------------------------------------------------------------------------------------------------


def test_means_ignore_nan_and_leave_out_undefined_values() -> None:
    batch = pairs(3)
    metric = Given(some=[1.0, math.nan, 3.0], none=[math.nan] * 3)
    assert score(metric, batch, transfer(batch)) == {"some": 2.0}
    assert [row["name"] for row in metric.per_image] == batch.names
    assert metric.per_image[2]["some"] == 3.0


def test_an_image_without_foreground_is_left_out() -> None:
    batch = pairs(3)
    batch.foreground[1] = 0
    metric = PSNR()
    values = score(metric, batch, transfer(batch, batch.flow))
    assert math.isnan(metric.per_image[1]["psnr_foreground"])
    expected = (metric.per_image[0]["psnr_foreground"] + metric.per_image[2]["psnr_foreground"]) / 2
    assert values["psnr_foreground"] == pytest.approx(expected)
    assert math.isfinite(score(FlowError(), batch, transfer(batch, batch.flow / 2))["epe"])


def test_the_flow_error_ratio_is_the_ratio_of_means() -> None:
    batch = pairs(2)
    batch.flow[1] *= 10
    values = score(FlowError(), batch, transfer(batch, batch.flow[:, :, :6, :4]))
    assert values["epe_ratio"] == pytest.approx(values["epe"] / values["epe_zero"])


def test_the_batch_size_does_not_change_values() -> None:
    def all_metrics() -> Evaluator:
        return Evaluator([SSIM(), PSNR(), L1(), FlowError()])

    batch = pairs(5)
    out = transfer(batch, batch.flow[:, :, ::2, ::2] / 2)
    whole, parts = all_metrics(), all_metrics()
    whole.process(data_batch=batch, data_samples=[out])
    for rows in (slice(0, 3), slice(3, 5)):
        sample = Transfer(out.image[rows], [out.flows[0][rows]], [])
        parts.process(data_batch=part(batch, rows), data_samples=[sample])
    values = whole.evaluate(5)
    assert len(values) == 10
    assert parts.evaluate(5) == pytest.approx(values, abs=1e-9)


def test_two_metrics_of_one_type_need_a_prefix() -> None:
    batch = pairs(2)
    evaluator = Evaluator([L1(), SSIM(), SSIM(prefix="again")])
    evaluator.process(data_batch=batch, data_samples=[transfer(batch)])
    assert set(evaluator.evaluate(2)) == {"l1", "ssim", "again/ssim"}


# Errors ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["image", "flow"])
def test_values_that_are_not_finite_are_an_error(what: str) -> None:
    batch = pairs(3)
    out = transfer(batch, batch.flow.clone())
    broken = out.image if what == "image" else out.flows[-1]
    broken[1, 0, 2, 3] = math.nan
    with pytest.raises(PosegenError, match=f"the model's {what} has values that are not finite, for pair1$"):
        L1().process(batch, [out])


def test_a_metric_must_return_one_number_per_image() -> None:
    batch = pairs(3)
    with pytest.raises(ValueError, match=r"Given: 'mean' must have one number per image, shape \(3,\)"):
        Given(mean=[1.0]).process(batch, [transfer(batch)])


def test_images_of_another_size_than_the_targets_are_refused() -> None:
    batch = pairs(3)
    with pytest.raises(ValueError, match="for targets"):
        L1().process(batch, [Transfer(batch.target[..., :8], [], [])])


# Reports --------------------------------------------------------------------------------------------------


def test_metrics_are_registered_by_name() -> None:
    posegen_metrics.posegen_register()
    for name in ("SSIM", "MSSSIM", "PSNR", "L1", "FlowError", "MaskQuality", "MaskedSSIM", "TemporalConsistency"):
        assert isinstance(METRICS.build_part({"type": name}), PairMetric)


def test_the_table_shows_unit_and_direction() -> None:
    metrics = [PSNR(), FlowError(prefix="fine")]
    table = metrics_table({"psnr": 23.45678, "fine/epe": 1.5, "fine/epe_zero": 3.0, "other": 1.0}, metrics)
    console = Console(width=80)
    with console.capture() as capture:
        console.print(table)
    lines = [line.replace("│", " ").split() for line in capture.get().splitlines()]
    assert ["psnr", "23.4568", "dB", "↑"] in lines
    assert ["fine/epe", "1.5000", "px", "↓"] in lines
    assert ["fine/epe_zero", "3.0000", "px"] in lines
    assert ["other", "1.0000"] in lines


def test_metrics_are_written_with_their_context(tmp_path) -> None:
    path = tmp_path / "new" / "metrics.json"
    write_metrics(path, {"ssim": 0.5}, checkpoint=tmp_path / "a.pth", images=3)
    write_metrics(path, {"ssim": np.float64(0.75), "psnr": math.inf})
    latest = json.loads(path.read_text())
    assert latest["metrics"] == {"ssim": 0.75, "psnr": None}
    assert set(latest["versions"]) == {"posegen", "torch"}
    first, second = map(json.loads, path.with_suffix(".jsonl").read_text().splitlines())
    assert second == latest
    assert (first["images"], first["checkpoint"]) == (3, str(tmp_path / "a.pth"))
    assert sorted(p.name for p in path.parent.iterdir()) == ["metrics.json", "metrics.jsonl"]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch) -> None:
    path = tmp_path / "metrics.json"
    write_metrics(path, {"ssim": 0.5})
    before = path.read_text()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_metrics(path, {"ssim": 0.9})
    assert path.read_text() == before
    assert not list(tmp_path.glob(".*"))
