"""Contract checks of posegen.testing for all parts of the package."""

import numpy as np
import posegen_shapes
import pytest

from posegen import plugins
from posegen.data import Keypoints, get_layout
from posegen.errors import DataError
from posegen.registry import DATASETS, METRICS, STRUCTURE_ENCODERS
from posegen.testing import check_dataset, check_metric, check_structure_encoder


@pytest.fixture(autouse=True)
def shapes(posegen_plugin):
    """Load the package, installed or not."""
    return posegen_plugin(posegen_shapes, "shapes")


def test_the_plugin_loads_with_its_hooks(shapes):
    assert shapes.hooks == ["posegen_catalogue", "posegen_read_keypoints", "posegen_register"]


@pytest.mark.parametrize("size", [(32, 32), (40, 24)])
def test_the_data_set_keeps_its_contract(size):
    encoder = dict(type="CornerEncoder", radius=4)
    check_dataset(DATASETS.build_part(dict(type="MovingShapes", length=20, structure=encoder, size=size)), samples=20)


def test_the_structure_encoder_keeps_its_contract():
    points = Keypoints([[10, 2], [18, 12], [14, 20], [6, 20], [2, 12]], [True, True, True, False, True])
    check_structure_encoder(STRUCTURE_ENCODERS.build_part(dict(type="CornerEncoder")), points, (24, 32))


def test_the_metric_keeps_its_contract():
    check_metric(METRICS.build_part(dict(type="ShapeColor")))


def test_corners_are_read_from_text(tmp_path):
    path = tmp_path / "corners.txt"
    path.write_text("1 2\n3 4\n5 6\n7 8\n9 10\n")
    found = plugins.first("posegen_read_keypoints", path=path, layout=get_layout("arrow"), image=None)
    assert np.array_equal(found.points, np.arange(1, 11).reshape(5, 2))
    path.write_text("1 2\n")
    with pytest.raises(DataError, match="needs 5 lines"):
        plugins.first("posegen_read_keypoints", path=path, layout=get_layout("arrow"), image=None)
