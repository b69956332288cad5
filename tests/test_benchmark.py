"""The benchmark: the published formulation computes the same numbers, a wrong one is an error, and all is written.

No test looks at a time: only that it is there.
"""

from __future__ import annotations

import json
from functools import partial

import pytest
import torch
from benchmark import reference, rows
from benchmark.measure import (
    OURS,
    PUBLISHED,
    Comparison,
    DisagreementError,
    agreement,
    exponent,
    measure,
    peak_bytes,
    relative_error,
)
from benchmark.rows import ROWS
from benchmark.run import main

from posegen.config import load_config


def number(value: float) -> dict[str, torch.Tensor]:
    return {"value": torch.tensor([value, 1.0])}


@pytest.mark.parametrize("native", [False, True])
def test_every_row_runs_agrees_and_is_written(native, monkeypatch, tmp_path):
    monkeypatch.setattr(rows, "native_bfloat16", lambda: native)
    named = ["image"] if native else [*ROWS]  # bf16 is one formulation more, of rows that ran before
    path = tmp_path / "results.json"
    assert main(["--quick", "--repeats", "1", "--rows", *named, "--out", str(path)]) == 0
    written = json.loads(path.read_text(encoding="utf-8"))
    assert list(written["rows"]) == named
    assert written["machine"]["processor"]
    for result in (result for row in written["rows"].values() for result in row):
        assert all(len(seconds) == 1 for seconds in result["seconds"].values())
        if PUBLISHED in result["seconds"]:
            assert result["errors"], f"{result['name']} compared nothing"
            assert result["ratios"][PUBLISHED]["time"] > 0
    assert ("posegen in bf16" in written["rows"]["image"][0]["seconds"]) == native
    if not native:
        gradients = {name for name in written["rows"]["attention"][0]["errors"] if name.startswith("gradient")}
        assert {"gradient of flow", "gradient of source", "gradient of patch_conv.weight"} <= gradients
        assert {"correctness", "style", "adversarial"} <= set(written["rows"]["step"][0]["errors"])
        assert set(written["rows"]["growth"][0]["exponents"]) == {"time", "memory"}


def test_training_steps_of_configs_are_timed_in_turn(tiny_config, tmp_path):
    settings = rows.Settings(None, tmp_path, {name: load_config(tiny_config) for name in "ab"})
    (case,) = rows.configs(settings)
    assert set(measure(case, 1, "cpu").ratios) == {"b"}


@pytest.mark.parametrize(
    ("row", "name", "wrong"),
    [
        ("attention", "local_attention_by_patches", lambda right: lambda *inputs: 1.0001 * right(*inputs)),
        ("samples", "heatmaps_by_exponentials", lambda right: lambda k, size, sigma: right(k, size, 1.001 * sigma)),
    ],
)
def test_a_wrong_reference_is_an_error(row, name, wrong, monkeypatch, capsys):
    where = rows if hasattr(rows, name) else reference
    monkeypatch.setattr(where, name, wrong(getattr(where, name)))
    assert main(["--quick", "--repeats", "1", "--rows", row]) == 1
    assert "formulations disagree, nothing is compared" in capsys.readouterr().err


def test_an_unknown_row_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["--rows", "atention"])
    assert "invalid choice: 'atention'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("theirs", "told"),
    [
        ({"a": torch.ones(3), "b": torch.ones(2)}, "b: only one of posegen and published has it"),
        ({"a": torch.ones(4)}, "a: posegen and published differ"),
        ({"a": torch.tensor([1, 1, torch.nan])}, "a: posegen and published differ"),
        ({"a": torch.zeros(3)}, "a: posegen and published differ"),
        ({"a": torch.tensor([1, 1, 1.0001])}, "a: posegen and published differ"),
    ],
    ids=["a number more", "another shape", "not finite", "zeros", "a little off"],
)
def test_numbers_that_differ_are_named(theirs, told):
    with pytest.raises(DisagreementError, match=told):
        agreement("work", {OURS: {"a": torch.ones(3)}, PUBLISHED: theirs}, tolerance=1e-5)
    assert relative_error(torch.tensor([1.0, 1.001]), torch.ones(2)) == pytest.approx(1e-3 / 2**0.5, rel=1e-3)


def test_formulations_take_turns_every_other_round_in_reverse():
    order = []
    work = {name: lambda name=name: order.append(name) or {} for name in "ab"}
    result = measure(Comparison("work", work, memory=False, count=6), 3, "cpu")
    assert "".join(order) == "ab" + "ab" + "ba" + "ab"  # the first two warm up
    assert {name: len(seconds) for name, seconds in result.seconds.items()} == {"a": 3, "b": 3}
    assert set(result.rates) == {"a", "b"}


def test_peak_memory_is_the_most_at_a_time():
    def work():
        first = torch.ones(1000, 1000)  # 4 MB
        second = first + 1  # 8 MB at a time
        del first
        return {"value": second * 2}  # 8 MB again, not 12

    kept = torch.ones(1000, 1000)
    assert peak_bytes(work, "cpu") == pytest.approx(8e6, rel=0.01)
    assert peak_bytes(lambda: {"value": kept.sum()}, "cpu") < 1e4  # what was there before does not count


def test_growth_is_the_exponent_of_a_power_law():
    pixels = [64**2, 128**2, 256**2]
    assert exponent(pixels, [3 * count**1.1 for count in pixels]) == pytest.approx(1.1)
    work = {str(side): partial(torch.ones, side**2, side**2) for side in (16, 32)}
    assert measure(Comparison("square", work, pixels=[256, 1024]), 1, "cpu").exponents["memory"] == pytest.approx(2)
