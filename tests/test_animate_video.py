"""``posegen animate --video``: read a video, follow a figure, and write a clip of its rate, duration and sound."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from posegen import plugins
from posegen.data import Keypoints, get_layout
from posegen.data.estimators import Figure, StructureEstimator
from posegen.data.video import VideoReader
from posegen.errors import DataError, InputError
from posegen.hookspecs import hookimpl
from posegen.inference.driving import Follower, distance, drop_partial, fill, in_frame, smooth
from posegen.visualization.video import VideoWriter

from .pictures import refused, run

pytestmark = pytest.mark.usefixtures("no_bfloat16")
NTSC = Fraction(30000, 1001)
SIDE = 10  # of the squares
OFFSETS = np.random.default_rng(0).uniform(0, SIDE, (18, 2))
RED, GREEN = 0, 1  # channels


# Videos


def scene(red: tuple[int, int] | None, green: tuple[int, int] | None = None) -> np.ndarray:
    """A frame of 64×48 with a square at (x, y) for each figure that is there."""
    frame = np.zeros((48, 64, 3), np.uint8)
    for channel, corner in ((RED, red), (GREEN, green)):
        if corner is not None:
            x, y = corner
            frame[y : y + SIDE, x : x + SIDE, channel] = 255
    return frame


def write_video(
    path: Path, frames: list[np.ndarray], rate: Fraction = NTSC, times: list[int] | None = None, sound: bool = False
) -> Path:
    """Write a video; *times* of the frames count frames at *rate*."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = 1 / rate
        tone = container.add_stream("aac", rate=48000, layout="mono") if sound else None
        for number, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            picture.pts, picture.time_base = (times or range(len(frames)))[number], 1 / rate
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
        if tone is not None:
            length = round(len(frames) / rate * 48000)
            wave = (0.3 * np.sin(np.arange(length) / 20)).astype(np.float32)[None]
            samples = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
            samples.sample_rate, samples.pts = 48000, 0
            container.mux(tone.encode(samples))
            container.mux(tone.encode())
    return path


def packets_of_sound(path: Path) -> list[tuple[float, bytes]]:
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        found = [packet for packet in container.demux(stream) if packet.pts is not None]
        return [(round(float(packet.pts * packet.time_base), 3), bytes(packet)) for packet in found]


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def about(path: Path) -> tuple[Fraction, int, float]:
    """Return frame rate, number of frames, and duration in seconds, to a hundredth."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return Fraction(stream.average_rate), stream.frames, round(float(stream.duration * stream.time_base), 2)


def test_frames_come_at_the_rate_of_the_video(tmp_path):
    frames = [scene((k, 20)) for k in range(0, 40, 4)]
    video = VideoReader(write_video(tmp_path / "video.mp4", frames))
    assert video.fps == NTSC
    assert video.count == 10
    for frame, true in zip(video, frames, strict=True):
        assert np.abs(frame.astype(int) - true).mean() < 5
    assert len(list(video)) == 10  # once more


def test_a_varying_rate_keeps_the_duration(tmp_path):
    frames = [scene((k, 20)) for k in range(0, 40, 8)]
    path = write_video(tmp_path / "video.mp4", frames, Fraction(10), times=[0, 1, 2, 6, 7])
    shown = [np.argmax(frame[25, :, RED] > 128) for frame in VideoReader(path, fps=10)]
    assert shown == pytest.approx([0, 8, 16, 16, 16, 16, 24, 32], abs=1)
    assert len(list(VideoReader(path, fps=5))) == 4


def test_a_phones_rotation_is_applied(tmp_path):
    path = write_video(tmp_path / "video.mp4", [scene((4, 20))] * 3)
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 44
    quarter = (0, 1 << 16, 0, (1 << 32) - (1 << 16), 0, 0, 0, 0, 1 << 30)  # as phones write it: 90° clockwise
    content[matrix : matrix + 36] = b"".join(value.to_bytes(4, "big") for value in quarter)
    path.write_bytes(content)
    frame = next(iter(VideoReader(path)))
    assert frame.shape == (64, 48, 3)
    y, x = np.argwhere(frame[..., RED] > 128).mean(0)
    assert (x, y) == pytest.approx((48 - 25, 8.5), abs=1)  # the left edge is the top, the bottom the left


@pytest.mark.parametrize("content", [b"", b"no video at all"])
def test_what_is_no_video_is_named(tmp_path, content):
    (tmp_path / "video.mp4").write_bytes(content)
    with pytest.raises(DataError, match=r"(?s)video\.mp4.*not a video"):
        VideoReader(tmp_path / "video.mp4")
    with pytest.raises(DataError, match="no such file"):
        VideoReader(tmp_path / "none.mp4")
    with pytest.raises(DataError, match="is a folder; a video is one file"):
        VideoReader(tmp_path)


@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
def test_a_picture_is_no_video(tmp_path, ending):
    Image.new("RGB", (64, 48)).save(tmp_path / f"me.{ending}")
    with pytest.raises(DataError, match="is a picture, not a video"):
        VideoReader(tmp_path / f"me.{ending}")


def test_a_written_clip_keeps_an_exact_rate_and_copies_sound(tmp_path):
    source = write_video(tmp_path / "source.mp4", [scene((8, 8))] * 30, sound=True)
    with VideoWriter(tmp_path / "clip.mp4", VideoReader(source).fps, sound=source) as clip:
        for _ in range(30):
            clip.write(scene((20, 20)))
    assert about(tmp_path / "clip.mp4") == about(source)
    assert packets_of_sound(tmp_path / "clip.mp4") == packets_of_sound(source)
    with VideoWriter(tmp_path / "half.mp4", NTSC, sound=source) as clip:
        for _ in range(15):
            clip.write(scene((20, 20)))
    half = packets_of_sound(tmp_path / "half.mp4")
    assert half == packets_of_sound(source)[: len(half)]
    assert half[-1][0] == pytest.approx(0.5, abs=0.03)


# Poses


def pose(x: float, y: float = 20, size: float = 10, missing: tuple[int, ...] = ()) -> Keypoints:
    points = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * size + [x, y]
    return Keypoints(points, [k not in missing for k in range(4)])


def test_the_figure_nearest_to_the_frame_before_is_followed():
    follow = Follower(fps=10)
    assert follow([pose(0), pose(50, size=20)]).points[0, 0] == 50  # the largest
    for x in range(46, 4, -4):  # it passes the other one, which grows
        assert follow([pose(0, size=30), pose(x, size=20)]).points[0, 0] == x
    assert follow.switches == []


def test_a_figure_is_chosen_by_its_number():
    follow = Follower(fps=10, subject=2)
    assert follow([pose(0, size=30)]) is None  # there is no second one yet
    assert follow([pose(50), pose(0, size=30)]).points[0, 0] == 50
    with pytest.raises(InputError, match="numbered from 1"):
        Follower(fps=10, subject=0)


def test_a_lost_figure_is_waited_for_and_then_given_up():
    follow = Follower(fps=5)
    far = pose(200)
    assert follow([pose(0)]) is not None
    assert [follow([far]) for _ in range(5)] == [None] * 5  # a second
    assert follow([]) is None
    assert follow([far]) is far
    assert follow.switches == [7]
    again = Follower(fps=5, found=follow.found)
    assert again([pose(0), pose(202)]).points[0, 0] == 202


def test_a_lost_figure_is_not_replaced_by_a_speck():
    """A third of its usual size is the least: smaller ones are parts of somebody, or nobody."""
    follow = Follower(fps=5)
    for _ in range(3):
        follow([pose(0, size=30)])
    follow([pose(25, size=10)])  # it leaves, and is seen in part
    assert [follow([pose(200, size=9)]) for _ in range(20)] == [None] * 20
    assert follow([pose(200, size=11)]) is not None
    assert follow.switches == [24]


@pytest.mark.parametrize(("fps", "followed"), [(5, True), (30, False)])
def test_in_a_slow_video_a_figure_goes_farther_from_frame_to_frame(fps, followed):
    """The face of somebody who squats, in a video of 5 frames a second: 1.4 of its sizes."""
    follow = Follower(fps)
    moved = pose(14, size=10)
    assert follow([pose(0, size=10)]) is not None
    assert follow([moved]) is (moved if followed else None)
    assert follow.switches == []


def test_in_a_slow_video_somebody_beside_a_figure_that_is_gone_is_not_followed():
    follow = Follower(fps=5)
    assert follow([pose(0, size=11), pose(14, size=10)]).points[0, 0] == 0
    assert follow([pose(14, size=10)]) is None
    assert follow([pose(1, size=11)]).points[0, 0] == 1


def test_distances_are_in_sizes_of_the_figure():
    assert distance(pose(0), pose(5)) == pytest.approx(0.5)
    assert distance(pose(0, missing=(0, 1)), pose(0, missing=(2, 3))) == np.inf


def test_points_outside_of_the_frame_are_missing():
    figures = [Figure(pose(-5), np.ones(4)), Figure(pose(100), np.ones(4))]
    (found,) = in_frame(figures, np.zeros((48, 64, 3), np.uint8))
    assert found.present.tolist() == [False, True, True, False]
    assert found.frame == (48, 64)


LAYOUT = get_layout("openpose18")


def whole(x: float) -> Keypoints:
    return Keypoints(np.linspace((x, 0), (x + 10, 30), 18), np.ones(18))


@pytest.mark.parametrize(
    ("missing", "places"),
    [
        ("hold", [0, 0, 0, 0, 0, 30, 30]),
        ("interpolate", [0, 0, 7.5, 15, 22.5, 30, 30]),
        ("skip", [None, 0, None, None, None, 30, None]),
    ],
)
def test_frames_without_the_figure_are_filled(missing, places):
    found = [None, whole(0), None, None, None, whole(30), None]
    filled = [None if points is None else points.points[0, 0] for points in fill(found, missing, LAYOUT)]
    assert filled == [None if place is None else pytest.approx(place, abs=0.1) for place in places]


def test_a_pose_of_less_than_half_of_the_figure_is_none():
    poses = [None, whole(0), *(Keypoints(whole(5).points, np.arange(18) < count) for count in (9, 8, 1))]
    assert drop_partial(poses) == [None, *poses[1:3], None, None]
    assert drop_partial([None, None]) == [None, None]
    assert drop_partial(poses[3:]) == [poses[3], None]  # never the fullest


def test_a_motion_without_any_figure_is_refused():
    with pytest.raises(InputError, match="no figure was found in any frame"):
        fill([None, None], "hold", LAYOUT)


def test_smoothing_takes_jitter_and_leaves_gaps():
    rng = np.random.default_rng(0)
    motion = [Keypoints(whole(20).points + rng.normal(0, 1, (18, 2)), np.ones(18)) for _ in range(40)]
    motion[20] = None
    smoothed = smooth(motion, fps=30)
    assert smoothed[20] is None
    spread = [np.stack([m.points for m in one if m is not None])[10:].std(0).mean() for one in (motion, smoothed)]
    assert spread[1] < 0.7 * spread[0]


# The command


ESTIMATORS = {"shared": ("squares", "openpose18"), "clips": ("joints", "human36m")}
"""Estimator, and layout of its points, by the model that takes them."""


class Squares:
    """A plugin with estimators that find a figure in each colored square."""

    def __init__(self) -> None:
        self.calls = 0

    @hookimpl
    def posegen_catalogue(self):
        return [
            StructureEstimator(name, layout, partial(partial, self.estimate, len(get_layout(layout))))
            for name, layout in ESTIMATORS.values()
        ]

    def estimate(self, count: int, image: np.ndarray) -> list[Figure]:
        self.calls += 1
        corners = [np.argwhere(image[..., channel] > 128) for channel in (RED, GREEN)]
        return [
            Figure(Keypoints(OFFSETS[:count] + found.min(0)[::-1], np.ones(count)), np.ones(count))
            for found in corners
            if len(found)
        ]


@pytest.fixture
def squares():
    with plugins.temporary():
        plugin = Squares()
        plugins.add(plugin, "squares")
        yield plugin


@pytest.fixture
def dance(here) -> Path:
    """A video of 20 frames with sound, in two of which the red figure is missing."""
    frames = [scene(None if k in (8, 9) else (2 * k, 20)) for k in range(20)]
    return write_video(here / "dance.mp4", frames, sound=True)


def test_somebody_who_walks_out_of_the_frame_leaves_no_foot_to_hold(models, here, squares, capsys):
    """The last frames show the left points of the figure alone, further and further right."""
    write_video(here / "dance.mp4", [scene((x, 20)) for x in (38, 44, 50, 56, 60, 62)])
    assert run(*animate(models, "--out", "moved.mp4", "--no-smoothing")) == 0
    assert "2 of 6 frames do not show the figure, or less than half of it: the pose before is held" in (
        capsys.readouterr().out
    )
    made = decoded(here / "moved.mp4")
    assert np.abs(made[3].astype(int) - made[-1]).mean() < 1


def animate(models: Path, *more: object, kind: str = "shared") -> list[object]:
    start = ["animate", models / kind, "--reference", "a.png", "--estimator", ESTIMATORS[kind][0]]
    return [*start, "--video", "dance.mp4", "--device", "cpu", *more]


@pytest.mark.parametrize("kind", ["shared", "clips"])
def test_a_video_moves_a_picture(models, here, dance, squares, capsys, kind):
    before = {path.name for path in here.iterdir()}
    assert run(*animate(models, "--out", "moved.mp4", kind=kind)) == 0
    told = capsys.readouterr().out
    assert "2 of 20 frames do not show the figure, or less than half of it: the pose before is held (--missing)" in told
    assert "20 frames: moved.mp4" in told
    assert about(here / "moved.mp4") == about(dance)
    assert packets_of_sound(here / "moved.mp4") == packets_of_sound(dance)
    made = decoded(here / "moved.mp4")
    assert np.abs(made[0].astype(int) - made[-1]).mean() > 5  # it moves
    with av.open(str(here / "moved.mp4")) as clip:
        assert clip.metadata["comment"].startswith("A composite")  # around what the model saw the photograph stays
    assert {path.name for path in here.iterdir()} == {*before, "moved.mp4"}


def test_key_points_of_the_reference_are_estimated_where_those_of_the_frames_are_given(models, here, squares):
    arguments = ["--reference", "bare.png", "--structures", "poses", "--estimator", "squares", "--out", "moved.mp4"]
    assert run("animate", models / "shared", *arguments) == 0
    assert squares.calls == 1
    assert len(decoded(here / "moved.mp4")) == 2


def test_frames_may_be_skipped_which_leaves_no_sound(models, here, dance, squares, capsys):
    assert run(*animate(models, "--missing", "skip")) == 0
    told = capsys.readouterr().out
    assert "they are skipped" in told
    assert "no sound" in told
    rate, count, _ = about(here / "a_to_dance.mp4")
    assert (rate, count) == (NTSC, 18)
    with av.open(str(here / "a_to_dance.mp4")) as clip:
        assert len(clip.streams.audio) == 0


def test_another_rate_keeps_the_duration(models, here, dance, squares):
    assert run(*animate(models, "--fps", "15", "--out", "moved.mp4")) == 0
    rate, count, duration = about(here / "moved.mp4")
    assert (rate, count) == (15, 10)
    assert duration == pytest.approx(20 / NTSC, abs=0.01)


def test_the_driving_video_is_shown_beside(models, here, dance, squares, capsys):
    assert run(*animate(models, "--side-by-side", "--out", "moved.mp4")) == 0
    assert "mask: moved_side_by_side.mp4" in capsys.readouterr().out
    assert decoded(here / "moved_side_by_side.mp4")[0].shape == (32, 5 * 32, 3)
    assert run(*animate(models, "--compare", "dance.mp4", "--out", "compared.mp4")) == 0
    shown = decoded(here / "compared_side_by_side.mp4")
    width = round(64 * 32 / 48)
    assert shown[0].shape == (32, 5 * 32 + width + width % 2, 3)
    places = [np.argwhere(frame[:, :width, RED] > 128).mean(0)[1] for frame in (shown[0], shown[-1])]
    assert places[1] - places[0] == pytest.approx(38 * 32 / 48, abs=1)


def interrupted(call: int) -> Callable[[VideoWriter, np.ndarray], None]:
    """A method that writes frames until that call, which is interrupted as by Ctrl-C."""
    write, calls = VideoWriter.write, itertools.count(1)

    def interrupt(self: VideoWriter, frame: np.ndarray) -> None:
        if next(calls) == call:
            raise KeyboardInterrupt
        write(self, frame)

    return interrupt


def test_a_clip_that_was_interrupted_is_gone_on_with(models, here, dance, squares, capsys, monkeypatch):
    arguments = animate(models, "--out", "moved.mp4", "--side-by-side")
    write = VideoWriter.write
    monkeypatch.setattr(VideoWriter, "write", interrupted(9))
    assert run(*arguments) == 130
    assert not (here / "moved.mp4").exists()
    assert "20 poses and 5 frames are kept in .moved.mp4.unfinished" in capsys.readouterr().err
    frames: list[np.ndarray] = []

    def record(self: VideoWriter, frame: np.ndarray) -> None:
        frames.append(frame.astype(int))
        write(self, frame)

    monkeypatch.setattr(VideoWriter, "write", record)
    squares.calls = 0
    assert run(*arguments) == 0
    assert squares.calls == 0  # all poses were known
    assert not (here / ".moved.mp4.unfinished").exists()
    assert len(decoded(here / "moved.mp4")) == len(decoded(here / "moved_side_by_side.mp4")) == 20
    continued, frames = frames, []
    assert run(*animate(models, "--out", "again.mp4", "--side-by-side")) == 0
    for one, other in zip(continued, frames, strict=True):
        assert np.abs(one - other).max() <= 1  # another batch: some processors round otherwise


def test_other_settings_begin_anew(models, here, dance, squares, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(VideoWriter, "write", interrupted(1))
        assert run(*animate(models, "--out", "moved.mp4")) == 130
    squares.calls = 0
    assert run(*animate(models, "--out", "moved.mp4", "--no-smoothing")) == 0
    assert squares.calls == 20


def test_a_damaged_frame_of_an_interrupted_clip_is_named(models, here, dance, squares, capsys, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(VideoWriter, "write", interrupted(6))
        assert run(*animate(models, "--out", "moved.mp4")) == 130
    first = here / ".moved.mp4.unfinished" / "000000_0.npy"
    first.write_bytes(first.read_bytes()[:200])
    assert run(*animate(models, "--out", "moved.mp4")) == 1
    error = capsys.readouterr().err
    assert "000000_0.npy: 1 problem\n  - is damaged: " in error
    assert "Remove .moved.mp4.unfinished to begin anew." in error


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--video", "none.mp4"], ["none.mp4", "no such file"]),
        (["--structure-images", "poses"], ["--structure-images belong to --structures"]),
        (["--subject", "0"], ["--subject counts from 1"]),
        (["--estimator", "nobody"], ["no estimator called 'nobody'"]),
        (["--compare", "none.mp4"], ["none.mp4", "no such file"]),
    ],
)
def test_errors_are_told_before_a_model_is_loaded(models, dance, squares, capsys, monkeypatch, more, words):
    error = refused(capsys, monkeypatch, *animate(models, *more))
    assert [word for word in words if word not in error] == []


def test_a_video_without_any_figure_is_refused(models, here, squares, capsys):
    write_video(here / "dance.mp4", [scene(None)] * 3)
    assert run(*animate(models)) == 1
    assert "dance.mp4" in (error := capsys.readouterr().err)
    assert "no figure was found in any frame" in error
