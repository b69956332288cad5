"""Bodies in three dimensions: rasterizing, shapes and skinning."""

from __future__ import annotations

import numpy as np
import pytest
from posegen_people3d.body import Pose, body_mesh, body_model, pose_body, random_shape, shape_of
from posegen_people3d.raster import NOTHING, rasterize

SQUARE = np.array([[0, 1, 2], [0, 2, 3]], np.int32)


def stand() -> Pose:
    return Pose(np.zeros((len(body_model().joints), 3)))


def draw(points, nearness, triangles, size=(32, 32), two_sided=True):
    return rasterize(
        np.array(points, float), np.array(nearness, float), triangles, size, np.full(len(triangles), two_sided)
    )


def test_triangles_that_share_an_edge_leave_no_hole_and_cover_nothing_else():
    picture = draw([[3, 3], [3, 20], [28, 25], [28, 4.5]], [1, 1, 1, 1], SQUARE)
    rows, columns = np.nonzero(picture.triangle != NOTHING)
    for column in range(3, 29):
        covered = rows[columns == column]
        assert (np.diff(covered) == 1).all()
        first, last = 3 + 1.5 * (column - 3) / 25, 20 + 5 * (column - 3) / 25
        assert (covered[0], covered[-1]) == (np.ceil(first), np.floor(last))


def test_the_nearer_triangle_hides_the_other_in_any_order():
    near, far = [[0, 0], [0, 31], [31, 31]], [[31, 0], [0, 0], [31, 31]]
    for order in (np.array([[0, 1, 2], [3, 4, 5]], np.int32), np.array([[3, 4, 5], [0, 1, 2]], np.int32)):
        picture = draw([*near, *near, *far], [1] * 3 + [0.5] * 3 + [0.5] * 3, order)
        assert (order[picture.triangle[20, 5]] == [0, 1, 2]).all()


def test_a_triangle_is_seen_from_the_front_alone_unless_it_has_two_sides():
    front, back = np.array([[0, 1, 2]], np.int32), np.array([[0, 2, 1]], np.int32)
    points = [[0, 0], [0, 31], [31, 31]]  # counterclockwise, with y up
    assert (draw(points, [1, 1, 1], front, two_sided=False).triangle == 0).any()
    assert (draw(points, [1, 1, 1], back, two_sided=False).triangle == NOTHING).all()
    assert (draw(points, [1, 1, 1], back).triangle == 0).any()


def test_weights_give_the_point_in_space_that_a_pixel_shows():
    corners = np.array([[-1.0, -1, 4], [1, -1, 2], [0.5, 1, 8]])  # a triangle that recedes
    project = lambda points: points[..., :2] / points[..., 2:] * (20, -20) + 15.5  # noqa: E731
    picture = draw(project(corners), 1 / corners[:, 2], np.array([[0, 1, 2]], np.int32))
    rows, columns = np.nonzero(picture.triangle == 0)
    assert len(rows) > 50
    points = picture.weights[rows, columns] @ corners
    np.testing.assert_allclose(project(points), np.stack([columns, rows], 1), atol=1e-4)
    np.testing.assert_allclose(1 / picture.nearness[rows, columns], points[:, 2], rtol=1e-5)


def test_what_is_outside_of_the_picture_is_clipped():
    assert (
        draw([[-50, -50], [-50, 90], [90, 90]], [1, 1, 1], np.array([[0, 1, 2]], np.int32)).triangle == 0
    ).sum() > 400
    assert (draw([[40, 40], [40, 60], [60, 60]], [1, 1, 1], np.array([[0, 1, 2]], np.int32)).triangle == NOTHING).all()


@pytest.mark.parametrize("gender", [0.0, 0.5, 1.0])
def test_shapes_are_adults(gender):
    for seed in range(20):
        shape = random_shape(np.random.default_rng(seed), gender)
        body = shape.vertices[: body_model().body_count]
        assert 1.4 < np.ptp(body[:, 1]) < 2.05


def test_the_body_is_symmetric_closed_and_faces_forward():
    model, shape = body_model(), shape_of(np.zeros(body_model().components.shape[0]))
    joint = dict(zip(model.joints, shape.joints, strict=True))
    point = dict(zip(model.points, shape.points, strict=True))
    np.testing.assert_allclose(joint["left elbow"], joint["right elbow"] * (-1, 1, 1), atol=0.01)
    assert joint["left elbow"][0] > 0.1
    assert point["nose"][2] > point["left ear"][2] + 0.05
    body = model.triangles[model.pieces == 0]
    corners = shape.vertices[body]
    volume = np.einsum("ti,ti->t", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6
    assert 0.04 < volume < 0.12  # cubic meters; negative if triangles faced inwards


def test_a_pose_moves_limbs_about_their_joints_and_stands_on_the_ground():
    model, shape = body_model(), random_shape(np.random.default_rng(1), 0.0)
    standing = pose_body(shape, stand(), body_mesh(shape))
    angles = stand().angles.copy()
    angles[model.joints.index("left shoulder")] = (-np.pi / 2, 0, 0)  # the arm to the front
    angles[model.joints.index("right hip")] = (-np.pi / 2, 0, 0)
    angles[model.joints.index("right knee")] = (np.pi / 2, 0, 0)
    posed = pose_body(shape, Pose(angles), body_mesh(shape))
    for body in (standing, posed):
        assert body.vertices[: model.body_count, 1].min() == pytest.approx(0)
        for start, end in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle")):
            length = [
                np.linalg.norm(each.landmarks[f"right {start}"] - each.landmarks[f"right {end}"])
                for each in (standing, posed)
            ]
            assert length[0] == pytest.approx(length[1])
    assert (
        standing.landmarks["left wrist"][1]
        < standing.landmarks["left elbow"][1]
        < standing.landmarks["left shoulder"][1]
    )
    assert posed.landmarks["left wrist"][2] > posed.landmarks["left shoulder"][2] + 0.4
    thigh = posed.landmarks["right knee"] - posed.landmarks["right hip"]
    np.testing.assert_allclose(thigh / np.linalg.norm(thigh), (0, 0, 1), atol=1e-6)
    shin = posed.landmarks["right ankle"] - posed.landmarks["right knee"]
    np.testing.assert_allclose(shin / np.linalg.norm(shin), (0, -1, 0), atol=1e-6)
