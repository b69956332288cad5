"""Contract checks of posegen.testing: shipped parts pass, and every violation is reported."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from posegen import catalogue, plugins
from posegen.data import HeatmapEncoder, KeypointLayout, Keypoints, PairDataset, get_layout
from posegen.data.images import write_image
from posegen.errors import ConfigError
from posegen.evaluation import PairMetric
from posegen.hookspecs import hookimpl
from posegen.records import Clip, Pair
from posegen.registry import DATASETS, KINDS, METRICS, STRUCTURE_ENCODERS
from posegen.testing import (
    check_clip_dataset,
    check_dataset,
    check_layout,
    check_metric,
    check_pair_dataset,
    check_structure_encoder,
    posegen_plugin,  # noqa: F401  the fixture
)

HEATMAPS = dict(type="HeatmapEncoder", layout="openpose18", sigma=3)

# Shipped parts


def annotated_pairs(root):
    """Three photographs of noise in the published form."""
    names = ("a.jpg", "b.jpg", "c.jpg")
    for seed, name in enumerate(names):
        image = np.random.default_rng(seed).integers(0, 256, (64, 32, 3), np.uint8)
        write_image(root / "train" / name, image)
    rows = [f"{name}: {[*range(5, 59, 3)]}: {[*range(5, 23)]}\n" for name in names]
    (root / "market-annotation-train.csv").write_text("name:keypoints_y:keypoints_x\n" + "".join(rows))
    (root / "market-pairs-train.csv").write_text("from,to\na.jpg,b.jpg\nb.jpg,c.jpg\nc.jpg,a.jpg\n")
    return dict(type="AnnotatedPairs", root=str(root), split="train", structure=HEATMAPS, size=(64, 32))


SHIPPED_DATA = {  # from an empty folder to the config of a small data set
    "paper dolls": lambda root: dict(type="PaperDolls", length=9, structure=HEATMAPS, size=(48, 32)),
    "annotated pairs": annotated_pairs,
    "dancing dolls": lambda root: dict(
        type="DancingDolls", length=3, frames=3, size=(48, 48), structure=dict(type="DanceStructureEncoder", sigma=3)
    ),
    "drawn faces": lambda root: dict(
        type="DrawnFaces", length=3, frames=3, size=(48, 48), structure=dict(type="FaceStructureEncoder")
    ),
    "drawn solids": lambda root: dict(type="DrawnSolids", length=3, size=(48, 48), structure=dict(type="ViewEncoder")),
    "augmented pairs": lambda root: dict(annotated_pairs(root), augmentation=dict(type="PublishedAugmentation")),
}
SHIPPED_ENCODERS = {
    "heat maps of 18 points": (HEATMAPS, (48, 32)),
    "edges and distances of 68 points": (dict(type="FaceStructureEncoder"), (64, 64)),
    "heat maps and skeleton of 17 points": (dict(type="DanceStructureEncoder", sigma=3), (48, 48)),
}
SHIPPED_METRICS = ("L1", "PSNR", "SSIM", "FlowError")


@pytest.mark.parametrize("name", SHIPPED_DATA)
def test_a_shipped_data_set_keeps_its_contract(name, tmp_path):
    check_dataset(DATASETS.build_part(SHIPPED_DATA[name](tmp_path)))


@pytest.mark.parametrize("name", SHIPPED_ENCODERS)
def test_a_shipped_structure_encoder_keeps_its_contract(name):
    config, size = SHIPPED_ENCODERS[name]
    encoder = STRUCTURE_ENCODERS.build_part(config)
    rng = np.random.default_rng(0)
    points = rng.uniform(0, min(size) - 1, (len(encoder.layout), 2))
    check_structure_encoder(encoder, Keypoints(points, rng.random(len(points)) > 0.2), size)


@pytest.mark.parametrize("name", SHIPPED_METRICS)
def test_a_shipped_metric_keeps_its_contract(name):
    check_metric(METRICS.build_part(dict(type=name)))


def test_the_shipped_layouts_are_consistent():
    for layout in catalogue.all(KeypointLayout):
        check_layout(layout)


# Breaking the contract of data sets

BAR = KeypointLayout("bar", ("left", "right"), (1, 0), ((0, 1),), ((255, 0, 0), (0, 255, 0)))
HEIGHT, WIDTH = 16, 24


class Bars(PairDataset):
    """A striped bar that moves to the right by 3 pixels; *broken* names what is wrong with its records."""

    def __init__(self, broken=""):
        self.broken, self.structure = broken, HeatmapEncoder(BAR, 2)

    def __len__(self):
        return 5

    def __getitem__(self, index):
        if index >= 5:
            raise IndexError(index)
        change = BREAKS[self.broken][0] if self.broken else lambda record, index: record
        return change(bar_pair(self.structure, index), index)


def bar_pair(structure, index):
    colors = torch.from_numpy(np.random.default_rng(index).uniform(-1, 1, (3, 1, 8))).float()
    source, target = torch.zeros(3, HEIGHT, WIDTH), torch.zeros(3, HEIGHT, WIDTH)
    source[:, :, 4:12], target[:, :, 7:15] = colors, colors
    flow, visible, foreground = (torch.zeros(c, HEIGHT, WIDTH) for c in (2, 1, 1))
    flow[0, :, 7:15] = -3
    foreground[..., 7:15] = 1
    visible[...] = 1
    visible[..., 4:7] = 0
    structures = [structure.encode(Keypoints([[x, 8], [x + 7, 8]], [True, True]), (HEIGHT, WIDTH)) for x in (4, 7)]
    return Pair(source, structures[0], target, structures[1], f"bar{index}", flow, visible, foreground)


def changed(**values):
    return lambda record, index: replace(record, **{key: value(record) for key, value in values.items()})


def cropped(record, height):
    return replace(record, **{k: v[..., :height, :] for k, v in vars(record).items() if isinstance(v, torch.Tensor)})


def seeding(record, index):
    torch.manual_seed(0)
    return record


COUNTER = iter(range(1000))
BREAKS = {
    "range": (changed(source=lambda r: r.source * 127.5 + 127.5), r"\[0\].source is in \[.*, not in \[-1, 1\]"),
    "type": (changed(target=lambda r: r.target.double()), "target is torch.float64, not float32"),
    "shape": (changed(target=lambda r: r.target[:, 1:]), r"\(3, 15, 24\); it must be 3 H W, where S = 2, H = 16"),
    "channels": (changed(source_structure=lambda r: r.source_structure[:1]), "must be S H W, where S = 2"),
    "missing image": (changed(target=lambda r: None), "target is a NoneType, not a tensor"),
    "not finite": (changed(flow=lambda r: r.flow / 0), "flow has values that are not finite"),
    "soft mask": (changed(visible=lambda r: r.visible * 0.5), "visible has values beside 0 and 1"),
    "sign of the flow": (changed(flow=lambda r: -r.flow), "looks hardly more like the target"),
    "order of the flow": (changed(flow=lambda r: r.flow.flip(0) * torch.tensor([2.0, 1])[:, None, None]), "leads out"),
    "unit of the flow": (changed(flow=lambda r: r.flow * 12), "leads out of the source"),
    "name": (changed(name=lambda r: f"../{r.name}"), "name is '../bar0'"),
    "absolute name": (changed(name=lambda r: "/etc/passwd"), "name is '/etc/passwd'"),
    "no name": (changed(name=lambda r: ""), "name is ''"),
    "several sizes": (lambda r, k: cropped(r, HEIGHT - 2 * k), "several sizes"),
    "random of torch": (changed(foreground=lambda r: torch.rand(1, HEIGHT, WIDTH).round()), "global random state"),
    "random of numpy": (changed(name=lambda r: str(np.random.rand())), "global random state"),
    "random of Python": (changed(name=lambda r: str(random.random())), "global random state"),
    "seeding": (seeding, "global random state"),
    "history": (changed(name=lambda r: str(next(COUNTER))), r"another when it is asked for again: its name differs"),
    "another record": (lambda r, k: (r, k), "is a tuple, not a Pair"),
}  # fmt: skip


def test_sound_pairs_pass():
    check_pair_dataset(Bars(), samples=5)
    check_dataset(Bars())


@pytest.mark.parametrize("name", BREAKS)
def test_a_violation_of_the_contract_of_pairs_is_reported(name):
    with pytest.raises(AssertionError, match=BREAKS[name][1]):
        check_pair_dataset(Bars(name))


def test_a_record_of_no_kind_is_reported():
    with pytest.raises(AssertionError, match=r"Bars\[0\] is a tuple, not a posegen.records.Pair or Clip"):
        check_dataset(Bars("another record"))


class Unpicklable(Bars):
    def __init__(self):
        super().__init__()
        self.draw = lambda: None


class Endless(Bars):
    def __getitem__(self, index):
        return super().__getitem__(index % 5)


class Undrawn(Bars):
    def __init__(self):
        super().__init__()
        self.structure = None

    def __getitem__(self, index):
        return bar_pair(HeatmapEncoder(BAR, 2), index)


class Empty(Bars):
    def __len__(self):
        return 0


class Unchanging(Bars):
    augments = True

    def __getitem__(self, index):
        return super().__getitem__(index[0])


class Forgetful(Bars):
    """Another data set in a worker: what it counted is lost."""

    calls = 0

    def __getitem__(self, index):
        return replace(super().__getitem__(index), name=f"{self.structure.sigma}")

    def __setstate__(self, state):
        self.__dict__ = dict(state, structure=HeatmapEncoder(BAR, 3))


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        (Unpicklable(), "cannot be pickled, which data-loader workers need"),
        (Endless(), "must be an IndexError: there are 5"),
        (Undrawn(), "structure is no posegen.data.StructureEncoder"),
        (Empty(), "is empty"),
        (Unchanging(), "draws 0 and 1 are the same"),
        (Forgetful(), "from a pickled copy, as workers have it"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, PairDataset) else "",
)
def test_a_data_set_that_breaks_the_contract_is_reported(dataset, words):
    with pytest.raises(AssertionError, match=words):
        check_pair_dataset(dataset)


class BarClips(Bars):
    """Four frames: the bar at 3 pixels from the reference, then at rest."""

    def __getitem__(self, index):
        if index >= 5:
            raise IndexError(index)
        pair = bar_pair(self.structure, index)
        still, all_of_it = torch.zeros_like(pair.flow), torch.ones_like(pair.visible)
        clip = Clip(
            reference=pair.source,
            reference_structure=pair.source_structure,
            frames=pair.target.repeat(4, 1, 1, 1),
            structures=pair.target_structure.repeat(4, 1, 1, 1),
            name=pair.name,
            flow=pair.flow.repeat(4, 1, 1, 1),
            visible=pair.visible.repeat(4, 1, 1, 1),
            flow_previous=torch.stack([pair.flow, still, still, still]),
            visible_previous=torch.stack([pair.visible, all_of_it, all_of_it, all_of_it]),
            foreground=pair.foreground.repeat(4, 1, 1, 1),
        )
        return CLIP_BREAKS[self.broken][0](clip, index) if self.broken else clip


CLIP_BREAKS = {
    "length": (changed(structures=lambda r: r.structures[1:]), r"must be T S H W, where S = 2, H = 16, W = 24, T = 4"),
    "flow": (changed(flow=lambda r: -r.flow), "looks hardly more like the target"),
    "flow from the previous": (changed(flow_previous=lambda r: -r.flow_previous), "looks hardly more like the target"),
    "range": (changed(frames=lambda r: r.frames + 1), "frames is in"),
}


def test_sound_clips_pass():
    check_dataset(BarClips())


@pytest.mark.parametrize("name", CLIP_BREAKS)
def test_a_violation_of_the_contract_of_clips_is_reported(name):
    with pytest.raises(AssertionError, match=CLIP_BREAKS[name][1]):
        check_clip_dataset(BarClips(name))


# Breaking the contract of structure encoders


class Blind(HeatmapEncoder):
    def encode(self, keypoints, size):
        return torch.zeros(self.channels, *size)


class Unfit(HeatmapEncoder):
    def encode(self, keypoints, size):
        return super().encode(keypoints, size)[:, :-1]


class Meddling(HeatmapEncoder):
    def encode(self, keypoints, size):
        keypoints.points += 1
        return super().encode(keypoints, size)


class Gray(HeatmapEncoder):
    def draw(self, structure):
        return super().draw(structure)[..., :1]


class Proud(HeatmapEncoder):
    def encode(self, keypoints, size):
        if not keypoints.present.any():
            return torch.full((self.channels, *size), float("nan"))
        return super().encode(keypoints, size)


class OneSided(HeatmapEncoder):
    def encode(self, keypoints, size):
        return super().encode(keypoints, size).roll(2, -1)


class Summed(HeatmapEncoder):
    """All points in one channel."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.channels = 1

    def encode(self, keypoints, size):
        return super().encode(keypoints, size).sum(0, keepdim=True)

    def draw(self, structure):
        return (structure[0, ..., None].repeat(1, 1, 3) * 127).byte().numpy()


class SummedOneSided(Summed):
    def encode(self, keypoints, size):
        return super().encode(keypoints, size).roll(3, -1)


class Mirroring(OneSided):
    def mirror(self, structure):
        return structure.roll(-2, -1).flip(-1)[list(self.layout.partner)].roll(2, -1)


POINTS = Keypoints([[4.0, 8.0], [12.0, 3.0]], [True, True])


@pytest.mark.parametrize(
    ("encoder", "words"),
    [
        (Blind, "gives moved points the same structure"),
        (Unfit, r"shape \(2, 15, 24\)"),
        (Meddling, "changes the key points it is given"),
        (Gray, "returns no image"),
        (Proud, "points all missing: the structure has values that are not finite"),
        (OneSided, "is not the mirrored structure"),
    ],
)
def test_a_violation_of_the_contract_of_structure_encoders_is_reported(encoder, words):
    with pytest.raises(AssertionError, match=words):
        check_structure_encoder(encoder(BAR, 2), POINTS, (HEIGHT, WIDTH))


def test_an_encoder_may_say_how_its_structures_are_mirrored():
    check_structure_encoder(Mirroring(BAR, 2), POINTS, (HEIGHT, WIDTH))


def test_channels_that_are_no_points_are_the_mirror_images_of_any():
    check_structure_encoder(Summed(BAR, 2), POINTS, (HEIGHT, WIDTH))
    with pytest.raises(AssertionError, match="is not the mirrored structure"):
        check_structure_encoder(SummedOneSided(BAR, 2), POINTS, (HEIGHT, WIDTH))


def test_a_layout_whose_names_do_not_exchange_shows_in_the_mirror():
    with pytest.raises(AssertionError, match="Look at 'partner' of the layout 'bar'"):
        check_structure_encoder(HeatmapEncoder(BAR, 2), POINTS, (HEIGHT, WIDTH), mirror_tolerance=-1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(names=("a", "a")), "two points of one name"),
        (dict(partner=(1, 1)), "'left' is not the mirror partner of its mirror partner"),
        (dict(partner=(0,)), "1 partners for 2 points"),
        (dict(limbs=((0, 2),)), "lines between points it has not"),
        (dict(colors=((0, 0, 0),)), "1 colors for 2 points"),
        (dict(colors=((0, 0, 0), (0, 0, 256))), "colors that are not"),
    ],
)
def test_a_layout_that_is_inconsistent_is_reported(change, words):
    with pytest.raises(AssertionError, match=words):
        check_layout(replace(BAR, **change))


# Breaking the contract of metrics


class Error(PairMetric):
    """Sound; what it says is better, and what it gives, are changed below."""

    higher_is_better = {"error": False}

    def measure(self, batch, out):
        return {"error": (out.image - batch.target).abs().flatten(1).mean(1)}


class Upside(Error):
    higher_is_better = {"error": True}


class Mean(Error):
    def measure(self, batch, out):
        return {"error": super().measure(batch, out)["error"].mean()}


class Together(Error):
    def measure(self, batch, out):
        error = super().measure(batch, out)["error"]
        return {"error": error / error.sum()}


class Needy(Error):
    def measure(self, batch, out):
        return {"error": (batch.flow - out.flows[-1]).abs().flatten(1).mean(1)}


class Careless(Error):
    def measure(self, batch, out):
        out.image.clamp_(0, 1)
        return super().measure(batch, out)


class Nothing(Error):
    def measure(self, batch, out):
        return {}


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        (Upside, "for a perfect result and .* higher_is_better says True"),
        (Mean, r"must be a tensor of one number an image, shape \(3,\)"),
        (Together, "of an image is 1 alone"),
        (Careless, "changes what it is given"),
        (Nothing, "measures nothing"),
    ],
)
def test_a_violation_of_the_contract_of_metrics_is_reported(metric, words):
    check_metric(Error())
    with pytest.raises(AssertionError, match=words):
        check_metric(metric())


def test_a_metric_that_needs_what_may_be_unknown_fails():
    with pytest.raises(TypeError):
        check_metric(Needy())


def test_what_is_no_metric_of_pairs_is_reported():
    with pytest.raises(AssertionError, match="L1Loss is no posegen"):
        check_metric(torch.nn.L1Loss())


# The fixture


class Plugin:
    """A plugin as an object."""

    @hookimpl
    def posegen_register(self):
        METRICS.register_module(name="ErrorOfATest", module=Error)

    @hookimpl
    def posegen_catalogue(self):
        return [BAR]


@pytest.mark.parametrize("time", [1, 2])
def test_the_fixture_registers_a_plugin_for_one_test(posegen_plugin, time):  # noqa: F811
    assert "ErrorOfATest" not in METRICS.module_dict  # not the second time either
    report = posegen_plugin(Plugin(), "mine")
    assert (report.name, report.hooks) == ("mine", ["posegen_catalogue", "posegen_register"])
    assert METRICS.get("ErrorOfATest") is Error
    assert get_layout("bar") is BAR


def test_what_the_fixture_registered_is_gone_with_its_hooks():
    before = [report.name for report in plugins.load()], {kind: dict(KINDS[kind].module_dict) for kind in KINDS}
    with plugins.temporary():
        plugins.add(Plugin(), "mine")
        assert [report.name for report in plugins.load()] == [*before[0], "mine"]
    assert before == ([report.name for report in plugins.load()], {k: dict(KINDS[k].module_dict) for k in KINDS})
    with pytest.raises(ConfigError, match="no keypoint layout is called 'bar'"):
        get_layout("bar")


def test_the_fixture_leaves_an_installed_plugin_as_it_is(posegen_plugin):  # noqa: F811
    import posegen_people

    assert posegen_plugin(posegen_people).name == "people"


def test_the_fixture_refuses_a_plugin_that_fails(posegen_plugin):  # noqa: F811
    class Failing(Plugin):
        @hookimpl
        def posegen_register(self):
            super().posegen_register()
            raise RuntimeError("no luck")

    with pytest.raises(ConfigError, match="plugin 'under test': RuntimeError: no luck"):
        posegen_plugin(Failing())
    assert "ErrorOfATest" not in METRICS.module_dict
