"""The benchmark: the published formulation gives the same numbers, a wrong one is refused, and all is written down.

Nothing here looks at a clock's result: that rows run, that figures are there, never how large they are.
"""

from __future__ import annotations

import json
import runpy
from functools import partial
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from posegen.benchmark import (
    OURS,
    PUBLISHED,
    ROWS,
    Case,
    Growth,
    Settings,
    Skipped,
    choose_rows,
    measure,
    reference,
    rows,
)
from posegen.benchmark.measure import (
    DisagreementError,
    Figure,
    Measured,
    agreement,
    exponent,
    faster,
    leaner,
    peak_bytes,
)
from posegen.config import load_config
from posegen.errors import ConfigError

from .conftest import CONFIGS

TOOL = CONFIGS.parent / "tools" / "benchmark.py"
QUICK = ["attention-5", "attention-3", "image", "step", "flow-step", "heatmaps", "samples", "correctness", "growth"]


@pytest.fixture(scope="module")
def benchmark():
    """What tools/benchmark.py defines."""
    threads = torch.get_num_threads()
    yield runpy.run_path(str(TOOL))
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def written(benchmark, tmp_path_factory) -> dict:
    """What the command writes of all rows but compile, which takes minutes; each formulation is measured once."""
    path = tmp_path_factory.mktemp("benchmark") / "results.json"
    assert benchmark["main"](["--quick", "--repeats", "1", "--rows", *QUICK, "--out", str(path)]) == 0
    return json.loads(path.read_text(encoding="utf-8"))


def number(value: float) -> dict[str, torch.Tensor]:
    return {"value": torch.tensor([value, 1.0])}


# The command


def test_every_row_of_the_issue_is_there():
    assert [*QUICK, "compile"] == list(ROWS)


def test_all_that_was_measured_is_written(written):
    assert list(written["rows"]) == QUICK
    assert written["quick"] is True
    assert written["repeats"] == 1
    for fact in ("processor", "cores", "threads", "torch", "python", "posegen", "date", "device"):
        assert written["machine"][fact] is not None, fact
    for result in (result for group in written["rows"].values() for result in group):
        assert result["refused"] == result["skipped"] == ""
        assert all(len(seconds) == 1 for seconds in result["seconds"].values())
        assert result["figures"], f"{result['name']} comes to nothing"


def test_every_comparison_has_agreed_before_it_was_timed(written):
    for result in (result for group in written["rows"].values() for result in group):
        if PUBLISHED in result["seconds"]:
            assert result["errors"], f"{result['name']} compared nothing"
            assert max(result["errors"].values()) < 1e-5  # of the issue


@pytest.mark.parametrize(
    ("row", "compared"),
    [
        ("attention-5", {"output", "gradient of flow", "gradient of source", "gradient of patch_conv.weight"}),
        ("step", {"style", "gradient of renderer.attention", "gradient of flow_estimator.to_flow"}),
        ("step", {"gradient of discriminator.down"}),
        ("flow-step", {"correctness", "gradient of flow_estimator.encoder"}),
        ("correctness", {"loss", "gradient of the flow"}),
    ],
)
def test_gradients_are_compared_too(written, row, compared):
    assert compared <= set(written["rows"][row][0]["errors"])


def test_tiny_sizes_are_held_against_no_target(written):
    figures = [f for group in written["rows"].values() for result in group for f in result["figures"]]
    assert any(figure["at_least"] for figure in figures)
    assert {figure["met"] for figure in figures} == {None}


def test_targets_stand_beside_the_figures(benchmark, capsys):
    assert benchmark["main"](["--quick", "--rows", "heatmaps"]) == 0
    shown = capsys.readouterr().out
    assert "≥ 20" in shown
    assert "not judged" in shown


def test_a_row_that_is_none_is_told_with_the_nearest(benchmark, capsys):
    assert benchmark["main"](["--rows", "atention-5", "heatmaps"]) == 1
    assert "did you mean 'attention-5'?" in capsys.readouterr().err


def test_a_device_that_is_not_there_is_told(benchmark, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert benchmark["main"](["--device", "cuda", "--rows", "heatmaps"]) == 1
    assert "finds no CUDA device" in capsys.readouterr().err


# A wrong reference is refused


def wrong_attention(monkeypatch):
    right = reference.local_attention_by_patches
    monkeypatch.setattr(reference, "local_attention_by_patches", lambda *inputs: 1.0001 * right(*inputs))


def wrong_border(monkeypatch):
    right = reference.local_attention_by_patches

    def shifted(block, source, target, flow):
        return right(block, source, target.roll(1, dims=-1), flow)

    monkeypatch.setattr(reference, "local_attention_by_patches", shifted)


def wrong_heatmaps(monkeypatch):
    right = reference.heatmaps_by_exponentials
    monkeypatch.setattr(reference, "heatmaps_by_exponentials", lambda k, size, sigma: right(k, size, sigma * 1.001))


def wrong_correctness(monkeypatch):
    right = reference.correctness_by_matrix
    monkeypatch.setattr(reference, "correctness_by_matrix", lambda *inputs: right(*inputs) + 1e-3)


@pytest.mark.parametrize(
    ("row", "break_it"),
    [
        ("attention-3", wrong_attention),
        ("attention-3", wrong_border),
        ("heatmaps", wrong_heatmaps),
        ("samples", wrong_heatmaps),
        ("correctness", wrong_correctness),
        ("flow-step", wrong_correctness),
    ],
)
def test_a_wrong_reference_is_refused(benchmark, row, break_it, monkeypatch, capsys, tmp_path):
    break_it(monkeypatch)
    path = tmp_path / "results.json"
    assert benchmark["main"](["--quick", "--repeats", "1", "--rows", row, "--out", str(path)]) == 1
    assert "not the same numbers, so nothing is compared" in capsys.readouterr().err
    refused = json.loads(path.read_text(encoding="utf-8"))["rows"][row][0]
    assert refused["refused"]
    assert refused["seconds"] == refused["peak_bytes"] == {}
    assert refused["figures"] == []


def test_what_is_timed_is_what_is_compared():
    """A formulation that gives other numbers when it is timed is refused, though its exact twin agrees."""
    case = Case("work", {OURS: partial(number, 1), PUBLISHED: partial(number, 1.1)})
    case.exact = {OURS: partial(number, 1), PUBLISHED: partial(number, 1)}
    assert "value: ours and published differ by" in measure(case, 1, "cpu").refused


@pytest.mark.parametrize(
    ("theirs", "told"),
    [
        ({"a": torch.ones(3), "b": torch.ones(2)}, "b: published alone has it"),
        ({"a": torch.ones(4)}, "a: ours and published differ"),
        ({"a": torch.tensor([1, 1, torch.nan])}, "a: ours and published differ"),
        ({"a": torch.zeros(3)}, "a: ours and published differ"),
        ({"a": torch.tensor([1, 1, 1.0001])}, "a: ours and published differ"),
    ],
    ids=["a number more", "another shape", "not finite", "nothing but zeros", "a little off"],
)
def test_numbers_that_are_not_the_same_are_told(theirs, told):
    with pytest.raises(DisagreementError, match=told):
        agreement("work", {OURS: {"a": torch.ones(3)}, PUBLISHED: theirs}, tolerance=1e-5)


# Measuring


def test_ratios_are_of_runs_that_followed_each_other():
    measured = Measured({OURS: [1.0, 2.0, 4.0], PUBLISHED: [8.0, 6.0, 4.0]}, {OURS: 10, PUBLISHED: 25})
    assert list(faster().values(measured)) == [8, 3, 1]
    assert list(leaner(None).values(measured)) == [2.5]


def test_formulations_take_turns_every_other_round_backwards():
    order = []
    case = Case("work", {name: lambda name=name: order.append(name) or {} for name in "ab"}, memory=False, same=())
    result = measure(case, 3, "cpu")
    assert "".join(order) == "ab" + "ab" + "ba" + "ab"  # the first two warm up
    assert {name: len(seconds) for name, seconds in result.seconds.items()} == {"a": 3, "b": 3}


def test_a_figure_is_held_against_its_target():
    def judged(median: float, **target: float) -> bool | None:
        case = Case("work", {OURS: partial(number, 1)}, [Figure("f", lambda m: [0, median, 99], **target)], same=())
        return measure(case, 1, "cpu").figures[0].met

    assert judged(8.0, at_least=8) is True
    assert judged(7.9, at_least=8) is False
    assert judged(1.35, at_most=1.35) is True
    assert judged(1.36, at_most=1.35) is False
    assert judged(1.0) is None


def test_peak_memory_is_the_most_at_a_time():
    def work():
        first = torch.ones(1000, 1000)  # 4 MB
        second = first + 1  # 8 MB at a time
        del first
        return {"value": second * 2}  # 8 MB again, not 12

    kept = torch.ones(1000, 1000)
    assert peak_bytes(work, "cpu") == pytest.approx(8e6, rel=0.01)
    assert peak_bytes(lambda: {"value": kept.sum()}, "cpu") < 1e4  # what was there before does not count


def test_the_exponent_is_that_of_a_power_law():
    pixels = [64**2, 128**2, 256**2]
    assert exponent(pixels, [3 * count**1.1 for count in pixels]) == pytest.approx(1.1)


def test_growth_of_memory_is_measured():
    """Work that keeps one number a pixel is linear, work that keeps one a pair of pixels is quadratic."""
    linear = Growth("linear", [32, 64], lambda side: lambda: {"value": torch.ones(side**2, 64)}, None, 1.1)
    square = Growth(
        "square", [16, 32], lambda side: lambda: {"value": torch.ones(side**2, side**2)}, memory_at_most=1.1
    )
    exponents = [measure(case, 1, "cpu").figures[1] for case in (linear, square)]
    assert [round(figure.median, 2) for figure in exponents] == [1, 2]
    assert [figure.met for figure in exponents] == [True, False]


def test_a_size_that_would_take_too_long_is_left_out():
    case = Growth("work", [8, 16, 1 << 20], lambda side: partial(number, side), seconds=60)
    result = measure(case, 1, "cpu")
    assert list(result.seconds) == ["8×8", "16×16"]
    assert any("are left out" in note for note in result.notes)


def test_what_cannot_be_measured_is_skipped_with_its_reason():
    assert measure(Skipped("work", "no compiler"), 1, "cpu").skipped == "no compiler"


def test_a_compiler_that_fails_is_a_reason(benchmark, monkeypatch, capsys):
    def fails(*_):
        raise RuntimeError("no compiler here\nand more")

    monkeypatch.setattr(torch, "compile", fails)
    assert benchmark["main"](["--quick", "--rows", "heatmaps", "--compile"]) == 0
    assert "skipped: torch.compile fails here: RuntimeError: no compiler here" in capsys.readouterr().out


def test_bfloat16_is_measured_where_the_processor_computes_in_it_and_never_taken_for_the_same(benchmark, monkeypatch):
    settings = Settings(config=load_config(TOOL.parents[1] / "configs" / "gfla_fashion.py", benchmark["SMALL"]))
    names = {}
    for native in (False, True):
        monkeypatch.setattr(rows, "computes_in_bfloat16", lambda native=native: native)
        (case,) = ROWS["image"](settings)
        names[native] = [figure.name for figure in case.figures]
        assert set(case.same) == {OURS, PUBLISHED}
        assert native != any("bf16 is left out" in note for note in case.notes)
    assert [name for name in names[True] if name not in names[False]] == [
        "ours in bf16 faster than published",
        "PSNR of bf16",
    ]
    images = {OURS: {"image": torch.tensor([0.0, 2.0])}, "ours in bf16": {"image": torch.tensor([0.02, 2.0])}}
    (psnr,) = case.figures[-1].values(Measured(numbers=images))
    assert psnr == pytest.approx(43.01, abs=0.01)  # 10 log10(2² / (0.02² / 2))


def test_samples_without_files_are_skipped():
    (case,) = ROWS["samples"](Settings(config=None))
    assert isinstance(case, Skipped)


def test_heat_maps_between_pixels_have_no_published_formulation():
    structure = {"type": "HeatmapEncoder", "layout": "openpose18", "subpixel": True}
    (case,) = ROWS["heatmaps"](Settings(config=Config({"structure": structure, "size": (8, 8)})))
    assert isinstance(case, Skipped)


def test_rows_are_chosen_by_name():
    assert list(choose_rows(["step", "image"])) == ["step", "image"]
    with pytest.raises(ConfigError, match=r"no row is called 'stepp'; did you mean 'step'\?"):
        choose_rows(["stepp"])


def test_another_network_has_no_published_formulation():
    with pytest.raises(ConfigError, match="BaselineRenderer"):
        reference.published_model({"type": "PairModel", "renderer": {"type": "BaselineRenderer"}})


def test_the_page_names_every_row():
    page = (Path(TOOL).parents[1] / "docs" / "performance.md").read_text(encoding="utf-8")
    assert [name for name in ROWS if f"`{name}`" not in page] == []
