"""Photographs of any proportions in a model's frame: crop, padding, retargeting, and results put back."""

import warnings
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from posegen_faces.layouts import IBUG_68
from posegen_people.layouts import OPENPOSE_18

from posegen.data import Keypoints
from posegen.data.images import Photograph, resize_image, to_tensor
from posegen.errors import ConfigError, InputError, RetargetWarning
from posegen.inference import AS_IT_FITS, Framing, PoseInput
from posegen.inference.cutout import Cutout
from posegen.inference.framing import Window, choose_window, figure_window, whole_window
from posegen.inference.pasting import cut_out, moved_alpha, put_back, with_alpha
from posegen.inference.prepare import Framer, window_of
from posegen.inference.prepared import Prepared
from posegen.inference.retarget import limb_lengths, place_targets, size_ratio
from posegen.records import Transfer

MARGIN = OPENPOSE_18.margin
STANDING = {
    "nose": (0, 16), "neck": (0, 30), "right shoulder": (-14, 31), "right elbow": (-18, 52), "right wrist": (-19, 72),
    "left shoulder": (14, 31), "left elbow": (18, 52), "left wrist": (19, 72), "right hip": (-8, 78),
    "right knee": (-9, 110), "right ankle": (-9, 142), "left hip": (8, 78), "left knee": (9, 110),
    "left ankle": (9, 142), "right eye": (-3, 13), "left eye": (3, 13), "right ear": (-7, 15), "left ear": (7, 15),
}  # fmt: skip
"""A person 130 pixels high around x = 0."""


def person(scale=1.0, x=0.0, y=0.0, frame=None, **moved):
    """The standing person, scaled and moved; *moved* gives points by name (``left_wrist``) before that."""
    places = {**STANDING, **{name.replace("_", " "): place for name, place in moved.items()}}
    points = np.array([places[name] for name in OPENPOSE_18.names], float) * scale + (x, y)
    return Keypoints(points, np.ones(18), frame=frame)


def proportion(pose):
    width, height = np.ptp(pose.points[pose.present], axis=0)
    return width / height


# Frames of other proportions


@pytest.mark.parametrize(("frame", "x"), [((1080, 1920), 960), ((1080, 1920), 100), ((1920, 1080), 540)])
def test_a_pose_keeps_its_proportions_whatever_its_canvas(frame, x):
    """A square source; before, the person of a 1920×1080 canvas became 0.38 as wide as high instead of 0.67."""
    source, target = person(0.3, 30, 5), person(5, x, 100, frame)
    placed = place_targets(source, [target], OPENPOSE_18, (64, 64), "none")(target)
    assert proportion(placed) == pytest.approx(proportion(target), rel=1e-5)
    assert placed.frame == (64, 64)
    assert (placed.points > -0.5).all()  # all of it is in the picture
    assert (placed.points < 63.5).all()


def test_a_wide_frame_is_cropped_around_the_pose_or_padded_if_the_pose_is_as_wide():
    narrow = [person(5, 960, 100, (1080, 1920))]
    assert place_targets(person(), narrow, OPENPOSE_18, (64, 64), "none").scale == (64 / 1080, 64 / 1080)
    walking = [person(5, x, 100, (1080, 1920)) for x in (200, 1700)]
    padded = place_targets(person(), walking, OPENPOSE_18, (64, 64), "none")
    assert padded.scale == (64 / 1920, 64 / 1920)
    assert padded.offset == pytest.approx((0, (64 - 64 * 1080 / 1920) / 2))


def test_frames_of_nearly_the_same_proportions_are_the_same():
    """Tools round sides to multiples of 64."""
    placement = place_targets(person(), [person(frame=(128, 64))], OPENPOSE_18, (64, 33), "none")
    assert (placement.scale, placement.offset) == ((33 / 64, 0.5), (0, 0))
    assert place_targets(person(), [person()], OPENPOSE_18, (9, 7), "none").scale == (1, 1)  # pixels of the source


# Retargeting


def test_sizes_are_compared_by_limbs_so_that_one_towards_the_camera_counts_little():
    pointing = person(2, left_wrist=(18, 54), left_elbow=(15, 33))
    assert size_ratio([pointing], [person()], OPENPOSE_18) == pytest.approx(2)
    crouching = person(3, right_ankle=(-9, 112), left_ankle=(9, 112), right_knee=(-30, 95), left_knee=(30, 95))
    assert size_ratio([crouching], [person()], OPENPOSE_18) == pytest.approx(3)
    assert limb_lengths([person(2)], OPENPOSE_18) == pytest.approx(2 * limb_lengths([person()], OPENPOSE_18))


@pytest.mark.parametrize(("scale", "fitted"), [(0.85, False), (1.2, False), (1.3, True), (0.7, True)])
def test_by_default_sizes_that_differ_by_more_than_a_quarter_are_fitted_and_told(scale, fitted):
    source, target = person(1, 60, 20), person(scale, 80, 0)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        placed = place_targets(source, [target], OPENPOSE_18, (200, 120), name="p1")(target)
    if fitted:
        assert placed.points == pytest.approx(source.points, abs=1e-3)
        assert "p1: the figure of the pose is" in str(told[0].message)
        assert "--retarget none keeps it" in str(told[0].message)
    else:
        assert not told
        assert placed.points == pytest.approx(target.points)


def test_by_default_a_pose_from_a_picture_of_other_proportions_comes_to_the_source_and_this_is_told():
    source = person(1, 60, 20)
    for frame, moved in (((200, 120), False), ((400, 240), False), ((200, 160), True)):
        target = person(frame[0] / 200, 110 * frame[0] / 200, 0, frame)
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            placed = place_targets(source, [target], OPENPOSE_18, (200, 120), name="p1")(target)
        assert bool(told) == moved
        if moved:
            assert placed.points == pytest.approx(source.points, abs=1e-3)
            assert "p1: the figure of the pose comes from a picture of other proportions" in str(told[0].message)


@pytest.mark.parametrize(("is_estimated", "x"), [(True, 60), (False, 80)])
def test_by_default_a_pose_found_in_another_photograph_comes_to_the_source_and_this_is_told(is_estimated, x):
    """The photograph has the size of the source, as those of one camera have."""
    source = picture(200, 120)
    seen = PoseInput(source, person(1, 80, 0, (200, 120)), is_estimated=is_estimated)
    framer = Framer(CONFIG, OPENPOSE_18, PoseInput(source, person(1, 60, 20, (200, 120))), Framing("none"))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        moved = framer.pair(seen, "p1")[2]
    assert bool(told) == is_estimated == any("was found in another photograph" in str(one.message) for one in told)
    assert np.ptp(moved.points) > 0
    middle = framer.pair(PoseInput(None, person(1, x, 20 * is_estimated, (200, 120))), "p1")[2]
    assert moved.points == pytest.approx(middle.points, abs=0.01)


def test_a_scaled_pose_stands_where_the_source_stands():
    """Kneeling, it has its knees where the source has its feet, and is not in the air."""
    low = {name: (x, y - 40) for name, (x, y) in STANDING.items() if "ankle" in name}
    kneeling = person(2, 300, 50, **{name.replace(" ", "_"): place for name, place in low.items()})
    source = person(1, 60, 20)
    placed = place_targets(source, [kneeling], OPENPOSE_18, (200, 120), "scale")(kneeling)
    assert placed.points[:, 1].max() == pytest.approx(source.points[:, 1].max())
    assert np.median(placed.points[:, 0]) == pytest.approx(60, abs=1)


def test_a_figure_of_a_motion_stays_about_the_sources_place():
    """In two of ten frames, far below, it has the source's own pose."""
    source = person(1, 60, 20)
    usual = [person(1, 60 + k, 20, left_wrist=(30, 60)) for k in range(8)]
    placed = place_targets(source, [*usual, *[person(1, 60, 120)] * 2], OPENPOSE_18, (200, 120), "motion")
    middles = [placed(pose).points.mean(0) for pose in usual]
    assert np.abs(np.median(middles, axis=0) - source.points.mean(0)).max() < 5


def test_a_face_goes_no_farther_than_its_neck_allows():
    """Figures with parts go wherever the clip goes."""
    faces = replace(OPENPOSE_18, parts=())
    source, way = person(1, 60, 20), [0, 1, 2, 4, 60]
    for layout, goes_far in ((faces, False), (OPENPOSE_18, True)):
        motion = [person(1, 60 + x, 20) for x in way]
        place = place_targets(source, motion, layout, (200, 120), "motion")
        went = [place(pose).points[:, 0].mean() - place(motion[0]).points[:, 0].mean() for pose in motion]
        assert went[:4] == pytest.approx(way[:4])
        spread = np.sqrt((source.points - source.points.mean(0)).var(0).sum())
        assert went[4] == pytest.approx(60) if goes_far else went[4] < 2 * 0.75 * spread
    stretched = [place_targets(source, motion, faces, (200, 120), "motion")(pose).points for pose in motion]
    np.testing.assert_allclose(*[one - one.mean(0) for one in stretched[::4]], atol=1e-3)  # it is moved as a whole


def test_a_motion_changes_the_sources_own_pose_and_keeps_its_proportions():
    source = person(1, 60, 20, left_wrist=(40, 60))
    wide = {
        name.replace(" ", "_"): (1.2 * x, y) for name, (x, y) in STANDING.items()
    }  # another body, three times as large
    start = person(3, 300, 50, **{**wide, "left_wrist": (48, 60)})
    other, raised = person(3, 300, 50, **wide), person(3, 300, 50, **{**wide, "left_wrist": (48, 20)})
    place = place_targets(source, [other, start, raised], OPENPOSE_18, (200, 120), "motion")
    assert place(start).points == pytest.approx(source.points, abs=1e-3)  # most like the source
    moved = place(raised).points - source.points
    wrist = OPENPOSE_18.names.index("left wrist")
    assert np.flatnonzero(np.abs(moved).max(1) > 1e-3).tolist() == [wrist]
    assert moved[wrist] == pytest.approx([0, -40 * 3 * place.scale[1]], abs=1e-3)
    assert -50 < moved[wrist, 1] < -25  # at the source's size


def test_a_face_in_a_clip_of_other_pictures_keeps_its_proportions_by_itself():
    """By itself a body in such a clip, and a face in another picture, is scaled."""
    points = np.random.default_rng(0).uniform(20, 100, (68, 2))
    source, others = Keypoints(points, np.ones(68)), Keypoints(points * [2.5, 1.5], np.ones(68), frame=(360, 640))
    clip = [others, replace(others, points=others.points + np.array([5, 0]))]
    with pytest.warns(RetargetWarning, match="the source keeps its proportions"):
        chosen = place_targets(source, clip, IBUG_68, (128, 128))
    assert chosen(others).points == pytest.approx(source.points, abs=1e-3)
    for poses in (clip[:1], [replace(pose, frame=(128, 128)) for pose in clip]):
        with pytest.warns(RetargetWarning, match="scaled"):
            chosen = place_targets(source, poses, IBUG_68, (128, 128))
        assert chosen.keeps_shape


def test_points_that_the_source_or_the_start_of_a_motion_lacks_are_missing():
    source, start = person(1, 60, 20), person(1, 60, 20)
    source.present[3], start.present[4] = False, False
    placed = place_targets(source, [start], OPENPOSE_18, (200, 120), "motion")(person(1, 62, 20))
    assert np.flatnonzero(~placed.present).tolist() == [3, 4]
    assert np.isfinite(placed.points).all()


def test_bones_get_the_lengths_of_the_source_and_keep_their_direction():
    long_legs = person(1, 60, 20, right_knee=(-9, 120), right_ankle=(-9, 164), left_knee=(9, 120), left_ankle=(9, 164))
    target = person(2, 300, 50, left_elbow=(35, 31), left_wrist=(55, 31))
    placed = place_targets(long_legs, [target], OPENPOSE_18, (300, 120), "bones")(target)
    assert limb_lengths([placed], OPENPOSE_18) == pytest.approx(limb_lengths([long_legs], OPENPOSE_18), rel=1e-4)
    arm = [OPENPOSE_18.names.index(name) for name in ("left elbow", "left wrist")]
    assert np.ptp(placed.points[arm, 1]) == pytest.approx(0, abs=1e-4)
    assert placed.points[:, 1].max() == pytest.approx(long_legs.points[:, 1].max())


def test_a_clip_is_fitted_as_one_so_that_its_motion_stays():
    source = person(1, 60, 20)
    jumping = [person(2, 300, y, (1000, 600)) for y in (400, 400, 300, 400)]
    placement = place_targets(source, jumping, OPENPOSE_18, (200, 120), "scale")
    heights = [placement(pose).points[:, 1].max() - source.points[:, 1].max() for pose in jumping]
    assert heights == pytest.approx([0, 0, -50, 0], abs=0.01)


def test_missing_points_and_limbs_are_left_out_and_empty_poses_are_harmless():
    source, target = person(1, 60, 20), person(2, 300, 50)
    target.present[[0, 1, 14, 15, 16, 17]] = False  # no head, no neck: the limbs are in pieces
    placed = place_targets(source, [target], OPENPOSE_18, (200, 120), "bones")(target)
    assert placed.points[placed.present] == pytest.approx(source.points[placed.present], abs=1e-3)
    nobody = Keypoints(np.zeros((18, 2)), np.zeros(18))
    assert place_targets(source, [nobody], OPENPOSE_18, (200, 120), "scale").scale == (1, 1)
    assert place_targets(nobody, [target], OPENPOSE_18, (200, 120), "scale").scale == (1, 1)
    only = Keypoints(source.points, np.arange(18) == 0)  # one point: no size, but a place
    assert place_targets(only, [person(1, 90, 40)], OPENPOSE_18, (200, 120), "scale").offset == pytest.approx(
        (-30, -20)
    )


def test_an_unknown_way_is_refused():
    with pytest.raises(InputError, match="retarget one of auto, none, scale, bones, motion; got 'auto' and 'limbs'"):
        Framing(retarget="limbs")
    with pytest.raises(InputError, match="crop is one of auto, figure, none"):
        Framing(crop="middle")


# Windows


def test_a_window_is_cut_out_and_the_edge_is_repeated_beyond_the_picture():
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert Window(1, 0, 2, 2).cut(image).tolist() == [[1, 2], [5, 6]]
    assert Window(-1, 2, 3, 2).cut(image).tolist() == [[8, 8, 9], [8, 8, 9]]
    assert Window(5, 0, 2, 1).cut(image).tolist() == [[3, 3]]


@pytest.mark.parametrize(
    ("size", "proportions", "window"),
    [
        ((100, 50), (2, 1), Window(0, 0, 50, 100)),
        ((100, 52), (2, 1), Window(0, 0, 52, 100)),  # nearly
        ((100, 100), (2, 1), Window(0, -50, 100, 200)),
        ((100, 30), (2, 1), Window(-10, 0, 50, 100)),
    ],
)
def test_a_whole_picture_is_padded_to_the_models_proportions(size, proportions, window):
    assert whole_window(size, proportions) == window
    assert choose_window(size, proportions, person(0.2, 20, 5), [], "none", MARGIN) == window


def test_a_figure_is_cropped_with_a_margin_inside_of_the_picture():
    size = (3000, 4000)
    window = figure_window(size, (2, 1), [person(5, 2000, 1000)], MARGIN)
    assert window.height == round(1.3 * 5 * 129)
    assert window.width == window.height / 2 or abs(window.width - window.height / 2) <= 1
    assert abs(window.left + window.width / 2 - 2000) <= 1
    assert figure_window(size, (2, 1), [person(5, 2000, 1000)], margin=0.5).height == 2 * 5 * 129  # as of a face
    edge = figure_window(size, (1, 1), [person(5, 100, 1000)], MARGIN)
    assert (edge.left, edge.top >= 0) == (0, True)
    both = figure_window(size, (2, 1), [person(5, 2000, 1000), person(5, 2600, 1000)], MARGIN)
    assert both.width > 600
    far = figure_window(size, (1, 1), [person(5, 2000, 1000), person(5, 1e6, 1000)], MARGIN)
    assert far.width <= whole_window(size, (1, 1)).width


@pytest.mark.parametrize(
    ("size", "scale", "whole"),
    [((300, 300), 1.5, True), ((300, 300), 0.5, False), ((300, 400), 1.5, False)],
)
def test_by_default_a_picture_of_the_models_proportions_that_the_figure_fills_is_seen_whole(size, scale, whole):
    pose = person(scale, 150, 30)
    window = choose_window(size, (64, 64), pose, [], "auto", MARGIN)
    assert (window == whole_window(size, (64, 64)) == Window(0, 0, size[1], size[0])) == whole
    assert choose_window(size, (64, 64), pose, [], "figure", MARGIN) != Window(0, 0, size[1], size[0])


def test_the_window_of_a_data_set_that_cuts_by_itself_is_found_from_its_key_points():
    before = person(1, 60, 20)
    after = before.transform(np.array([[0.5, 0, -10], [0, 0.25, -3]]))
    assert window_of(before, after, (200, 120, 3), (32, 16)) == Window(20, 12, 32, 128)
    line = replace(before, points=np.stack([np.full(18, 7.0), np.arange(18) * 4.0], 1))
    assert window_of(line, line.transform(np.array([[0.5, 0, 0], [0, 0.5, 0]])), (99, 99), (32, 16)).width == 32


# In the model's frame


CONFIG = {"size": (64, 64)}


def framer(source, picture, framing=AS_IT_FITS, motion=None):
    return Framer(CONFIG, OPENPOSE_18, PoseInput(picture, source, "me"), framing, motion)


def picture(height, width):
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], 2).astype(np.uint8)


@pytest.mark.parametrize(("places", "warned"), [((650, 700, 760), False), ((150, 500, 860), True)])
def test_a_motion_that_makes_the_figure_small_is_told_once(places, warned, recwarn):
    source = person(1, 650, 300)
    motion = [person(1, x, 300) for x in places]
    one = framer(source, picture(600, 1000), motion=motion)
    for pose in motion:
        one.pair(PoseInput(None, pose), "walk")
    told = [str(warning.message) for warning in recwarn if "goes so far" in str(warning.message)]
    assert len(told) == warned
    assert not warned or "sees the figure " in told[0]


def test_a_single_pose_has_no_motion():
    with pytest.raises(InputError, match="no motion"):
        framer(person(1, 150, 80), picture(300, 300), Framing("auto", "motion")).pair(PoseInput(None, person(1)), "p")


def test_a_data_set_that_cuts_figures_out_fits_the_poses_of_a_clip_together_too():
    config = {"size": (64, 64), "test_dataloader": {"dataset": {"type": "CocoPairs"}}}
    motion = [person(2, 200, 0), person(2, 200, 0, left_wrist=(40, 40))]
    source = PoseInput(picture(300, 300), person(1, 150, 80), "me")
    pairs = Framer(config, OPENPOSE_18, source, Framing("auto", "motion"), motion)
    first, second = (pairs.pair(PoseInput(None, pose), "p")[2].points for pose in motion)
    wrist = OPENPOSE_18.names.index("left wrist")
    moved = np.abs(second - first).max(1)
    assert moved.argmax() == wrist
    assert moved[wrist] > 5


def test_a_person_anywhere_in_a_large_photograph_fills_the_models_frame():
    source = person(1, 700, 300)
    seen, _, points = framer(source, picture(600, 1000)).pair(PoseInput(None, source), "p")
    assert seen.image.shape == (64, 64, 3)
    assert seen.window.height == pytest.approx(168, abs=1)
    height = np.ptp(points.points[:, 1])
    assert height / 64 == pytest.approx(1 / 1.3, abs=0.02)
    assert points.points == pytest.approx(seen.keypoints.points)
    assert proportion(points) == pytest.approx(proportion(source), rel=0.02)


def test_all_frames_of_a_clip_are_seen_through_one_window():
    source = person(1, 700, 300)
    motion = [person(1, x, 300) for x in (650, 700, 760)]
    one = framer(source, picture(600, 1000), motion=motion)
    windows = {one.pair(PoseInput(None, pose), "p")[0].window for pose in motion}
    assert len(windows) == 1
    single = framer(source, picture(600, 1000))
    assert len({single.pair(PoseInput(None, pose), "p")[0].window for pose in motion}) == 3


def test_the_picture_of_a_target_moves_with_its_key_points():
    """A target twice as large: the same gradient of gray lies under the same points."""
    source, target = person(1, 150, 80, (300, 300)), person(2, 300, 160, (600, 600))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        seen, image, points = framer(source, picture(300, 300), Framing("figure")).pair(
            PoseInput(picture(600, 600), target), "p"
        )
    assert points.points == pytest.approx(seen.keypoints.points, abs=0.3)
    assert np.abs(image[..., :2].astype(int) - seen.image[..., :2]).max() <= 6
    bones = framer(source, picture(300, 300), Framing("figure", "bones"))
    assert bones.pair(PoseInput(picture(600, 600), target), "p")[1] is None  # it cannot follow changed limbs


# Put back


def prepared(window, photograph, alpha=None, size=(8, 8)):
    source = to_tensor(resize_image(window.cut(photograph), size))
    nothing = torch.zeros(1, *size)
    return Prepared(source, nothing, nothing, "me", Photograph(photograph, alpha), window)


def test_a_result_is_put_back_with_a_soft_edge_and_leaves_the_rest_as_it_was():
    photograph = np.full((100, 120, 3), 50, np.uint8)
    window = Window(40, 20, 40, 80)  # down to the lower edge
    white = Transfer(torch.ones(1, 3, 8, 8), [], [])
    back = put_back(prepared(window, photograph), white)
    outside = np.ones((100, 120), bool)
    outside[20:, 40:80] = False
    assert (back[outside] == 50).all()
    assert (back[30:, 50:70] == 255).all()  # as far as the lower edge, which is that of the picture
    assert 50 < back[20, 60, 0] < back[22, 60, 0] < 255
    assert (photograph == 50).all()  # a copy


def test_a_window_that_reaches_beyond_the_photograph_is_put_back_as_far_as_there_is_one():
    photograph = np.zeros((10, 20, 3), np.uint8)
    back = put_back(prepared(Window(0, -5, 20, 20), photograph), Transfer(torch.ones(1, 3, 8, 8), [], []))
    assert (back == 255).all()


def test_warped_parts_keep_the_details_of_the_photograph():
    """The model sees 8×8 of 64×64 pixels; where it copies at rest, every pixel comes back."""
    photograph = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    one = prepared(Window(0, 0, 64, 64), photograph)
    flow, warped = torch.zeros(1, 2, 8, 8), torch.ones(1, 1, 8, 8)
    same = put_back(one, Transfer(one.source[None], [flow], [warped])).astype(int)
    assert np.abs(same - photograph).max() <= 2
    blurred = put_back(one, Transfer(one.source[None], [flow], [0 * warped])).astype(int)
    assert np.abs(blurred - photograph).mean() > 30
    moved = put_back(
        one, Transfer(one.source[None].roll(1, 3), [flow + torch.tensor([-1.0, 0])[None, :, None, None]], [warped])
    )
    assert np.abs(moved.astype(int)[:, 16:] - photograph[:, 8:56]).mean() < 3


def test_alpha_moves_along_the_flow_and_colors_lose_their_background():
    photograph = np.full((8, 8, 3), 255, np.uint8)
    photograph[:, :4] = (200, 0, 0)
    alpha = np.zeros((8, 8), np.uint8)
    alpha[:, :4] = 255
    one = prepared(Window(0, 0, 8, 8), photograph, alpha)
    flow = torch.zeros(1, 2, 8, 8)
    flow[:, 0] = -2  # to the right
    made = Transfer(one.source[None].roll(2, 3), [flow], [torch.ones(1, 1, 8, 8)])
    for back in (False, True):
        moved = moved_alpha(one, made, back)
        assert moved[0].tolist() == [255] * 6 + [0, 0]
    half = np.full((8, 8), 128, np.uint8)
    mixed = np.full((8, 8, 3), (228, 127, 127), np.uint8)  # half red 200, half white
    assert with_alpha(one, mixed, half)[0, 0].tolist() == pytest.approx([200, 0, 0, 128], abs=2)
    with pytest.raises(ConfigError, match="leave --keep-alpha out"):
        moved_alpha(one, Transfer(one.source[None], [], []), False)


# Cut out


def column(image, keypoints):
    """A mask of the columns of an image between the outermost points."""
    x = keypoints.points[keypoints.present, 0]
    mask = np.zeros(image.shape[:2])
    mask[:, round(x.min()) : round(x.max()) + 1] = 1
    return mask


def test_an_opaque_figure_is_seen_in_front_of_one_color():
    """The color of an image is its mean, so that seams do not show."""
    behind = np.full((4, 4, 3), (0, 100, 200), np.uint8)
    behind[:2] = 0
    pose = Keypoints(np.array([[2, 0], [5, 9]]), np.ones(2))
    white = Photograph(np.full((10, 12, 3), 255, np.uint8))
    for background, color in ((behind, (0, 50, 100)), ((9, 8, 7), (9, 8, 7))):
        seen, _ = Cutout(background, column).cut(white, pose, "me")
        assert (seen.image[:, 2:6] == 255).all()
        assert (seen.image[:, 6:] == color).all()
        assert seen.alpha[0].tolist() == [0] * 2 + [255] * 4 + [0] * 6


def test_a_figure_is_cut_out_in_front_of_its_own_photograph_filled():
    image = np.full((10, 12, 3), (0, 100, 200), np.uint8)
    image[:, 2:6] = 255
    pose = Keypoints(np.array([[2, 0], [5, 9]]), np.ones(2))
    seen, own = Cutout((9, 8, 7), column, fills=True).cut(Photograph(image), pose, "me")
    assert not own.fills
    assert np.abs(own.background.astype(int) - (0, 100, 200)).max() <= 3
    assert (seen.image[:, 2:6] == 255).all()
    assert np.abs(seen.image[:, 6:].astype(int) - (0, 100, 200)).max() <= 3


def test_a_figure_that_is_not_found_is_not_cut_out():
    white = Photograph(np.full((10, 12, 3), 255, np.uint8))
    nothing = Cutout((0, 0, 0), lambda image, keypoints: np.full(image.shape[:2], 0.2))
    with pytest.raises(InputError, match="me: no figure is found at its key points"):
        nothing.cut(white, person(0.1), "me")
    with pytest.raises(InputError, match="data set's list"):
        Cutout((0, 0, 0), column).cut(white, replace(person(0.1), listed=True), "me")


def test_a_limb_that_the_mask_lacks_is_not_cut_off_a_result():
    """The right arm is raised; of the image, the forearm alone differs from the color behind."""
    pose = person(1, 60, 60, right_elbow=(12, 10), right_wrist=(12, -40))
    start, end = (
        pose.points[OPENPOSE_18.names.index(f"right {name}")].astype(int).tolist() for name in ("elbow", "wrist")
    )
    image = np.full((260, 120, 3), (200, 210, 220), np.uint8)
    cv2.line(image, tuple(start), tuple(end), (200, 30, 30), 3)
    arm = image[..., 1] == 30
    image[-5:] = (200, 30, 30)  # far from the figure
    blind = Cutout((200, 210, 220), lambda image, keypoints: np.zeros(image.shape[:2]), parts=OPENPOSE_18.parts)
    assert np.array_equal(blind.alpha(image, pose), 255 * arm)
    assert not replace(blind, parts=()).alpha(image, pose).any()


@pytest.mark.parametrize("resize_back", [False, True])
def test_behind_a_figure_that_is_cut_out_of_a_result_is_the_background(resize_back):
    """The model sees columns 8 to 24 of 32 at half their size. The target's points lie in its columns 2 to 3."""
    background = np.zeros((16, 32, 3), np.uint8)
    background[:, :, 0] = np.arange(32) * 8
    pose = Keypoints(np.array([[2, 0], [3, 7]]), np.ones(2))
    one = replace(
        prepared(Window(8, 0, 16, 16), np.full((16, 32, 3), 90, np.uint8)),
        target=pose,
        cutout=Cutout(background, column),
    )
    size = (16, 32) if resize_back else (8, 8)
    picture = np.full((*size, 3), 200, np.uint8)
    made = cut_out(one, picture, resize_back)
    kept = cut_out(one, picture, resize_back, keep_alpha=True)
    figure = slice(12, 15) if resize_back else slice(2, 4)
    assert (made[:, figure] == 200).all()
    assert np.abs(made[0, -1].astype(int) - ((248, 0, 0) if resize_back else (184, 0, 0))).max() <= 8
    assert (kept[..., 3] == 255).sum(1).tolist() == [figure.stop - figure.start] * size[0]
