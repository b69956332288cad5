"""Learning curves from the scalars of a run."""

from __future__ import annotations

import json

import pytest

from posegen.cli import main
from posegen.data.images import read_image
from posegen.errors import DataError
from posegen.visualization.curves import draw_curves, read_scalars


def write(folder, records, tail=""):
    path = folder / "vis_data" / "scalars.json"
    path.parent.mkdir(parents=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records) + tail)


def test_a_resumed_run_is_one_curve_and_a_truncated_line_is_skipped(tmp_path):
    write(tmp_path / "20260101_000000", [{"epe": 3.0, "step": 10}, {"epe": 2.5, "step": 20}], tail='{"epe": 9')
    write(tmp_path / "20260102_000000", [{"epe": 2.4, "step": 20}, {"epe": 2.0, "step": 30}])
    assert read_scalars(tmp_path)["epe"] == [(10, 3.0), (20, 2.4), (30, 2.0)]


def test_a_damaged_line_is_named(tmp_path):
    write(tmp_path / "run", [], tail='not json\n{"epe": 1, "step": 1}\n')
    with pytest.raises(DataError, match="line 1"):
        read_scalars(tmp_path)


def test_a_folder_without_a_run_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no scalars"):
        read_scalars(tmp_path)


def test_curves_are_drawn(tmp_path):
    out = tmp_path / "new" / "curve.png"
    draw_curves({"epe": [(1, 2.0), (2, 1.0)]}, [["epe", "unknown"], ["unknown"]], out)
    picture = read_image(out)
    assert picture.std() > 0
    assert picture.shape[1] > 2 * picture.shape[0], "two panels side by side"


def test_the_command_plots_and_does_not_overwrite(tmp_path, capsys):
    write(tmp_path / "run", [{"epe_ratio": 0.5, "step": 10}])
    out = tmp_path / "curve.png"
    assert main(["curves", str(tmp_path), str(out)]) == 0
    assert out.is_file()
    assert main(["curves", str(tmp_path), str(out)]) == 1
    assert "--force" in capsys.readouterr().err


def test_curves_go_into_the_work_dir_by_default(tmp_path, capsys):
    write(tmp_path / "run", [{"epe_ratio": 0.5, "step": 10}])
    assert main(["curves", str(tmp_path)]) == 0
    assert read_image(tmp_path / "curves.png").std() > 0
