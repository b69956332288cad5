"""Clips: the published networks, frame after frame, and training in chunks."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from posegen_faces.drawn import DrawnFaces
from posegen_faces.layouts import IBUG_68
from posegen_faces.structure import FaceStructureEncoder

import posegen
from posegen.config import load_config
from posegen.engine import ClipTrainer, PairTrainer, StageOptimizers
from posegen.engine.convert import convert
from posegen.errors import CheckpointError, ConfigError, InputError
from posegen.losses import Loss
from posegen.models import (
    BaselineRenderer,
    ClipModel,
    ClipRenderer,
    DifferenceDiscriminator,
    FlowEstimator,
    JointFlowEstimator,
    LocalAttentionRenderer,
    PairModel,
    SeparateFlowEstimators,
)
from posegen.models.discriminator import ResidualDiscriminator, TemporalDiscriminator
from posegen.models.published import our_name
from posegen.records import Animation, ClipBatch, Origins, as_pairs, collate_clips
from posegen.registry import DISCRIMINATORS, METRICS

from .golden_arrays import BAR, golden, relative_error

CONFIGS = Path(__file__).parents[1] / "configs"
PUBLISHED = {"face": ("gfla_faces.py", 16_906_667), "dance": ("gfla_dance_fashion.py", 23_510_195)}
STRUCTURE = 4  # channels; any number does


def saved_as_published(state, path):
    torch.save({f"module.{key}": value for key, value in state.items()}, path, _use_new_zipfile_serialization=False)
    return path


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_published_clip_models_through_the_converter(name, tmp_path):
    expected = golden(name)
    config, parameters = PUBLISHED[name]
    published = saved_as_published(expected.state, tmp_path / "latest_net_G.pth")
    torch.save(convert(load_config(CONFIGS / config), published), tmp_path / "ours.pth")
    model = posegen.load_model(CONFIGS / config, tmp_path / "ours.pth")
    frames, flows, masks = model.animate(**expected.inputs)

    assert sum(p.numel() for p in model.parameters()) == parameters == expected.about["params"]
    stride = expected.about["image_stride"]
    assert relative_error(frames[..., ::stride, ::stride], expected.arrays["frames"]) < BAR
    assert not frames.requires_grad
    for origin in ("previous", "reference"):
        for level in range(2):
            flow, mask = getattr(flows, origin)[level], getattr(masks, origin)[level]
            assert relative_error(flow, expected.arrays[f"flow_{origin}{level}"]) < BAR
            assert relative_error(mask, expected.arrays[f"mask_{origin}{level}"]) < BAR


def test_published_temporal_discriminator_through_the_converter(tmp_path):
    expected = golden("disc_temporal")
    config = load_config(CONFIGS / "gfla_dance_fashion.py")
    converted = convert(config, saved_as_published(expected.state, tmp_path / "latest_net_D.pth"))["state_dict"]
    assert all(name.startswith("temporal_discriminator.") for name in converted)
    discriminator = DISCRIMINATORS.build_part(config.trainer.temporal_discriminator).eval()
    discriminator.load_state_dict({key.removeprefix("temporal_discriminator."): v for key, v in converted.items()})
    assert sum(p.numel() for p in discriminator.parameters()) == expected.about["params"] == 1_032_961
    clip = expected.inputs["clip"].transpose(1, 2)  # the published order is B C T H W
    assert relative_error(discriminator(clip), expected.arrays["logits"]) < BAR


@pytest.mark.parametrize(("published", "ours"), [("block2", "down.2"), ("block3", "down.-1"), ("encoder0", "down.3")])
def test_published_encoders_of_a_temporal_discriminator_follow_its_blocks(published, ours):
    discriminator = TemporalDiscriminator((4, 4, 4), (4,), frames=7)
    assert our_name(f"{published}.model.1.bias", discriminator) == f"{ours}.conv1.bias"


def test_a_temporal_discriminator_of_too_few_frames_is_an_error():
    with pytest.raises(ConfigError, match=r"frames must be more than twice the number of widths, got 4 for \[4, 4\]"):
        TemporalDiscriminator((4, 4), (4,), frames=4)


def test_a_discriminator_that_fits_none_of_the_trainers_is_named(tmp_path):
    published = saved_as_published(golden("disc_market").state, tmp_path / "latest_net_D.pth")
    with pytest.raises(CheckpointError, match="latest_net_D"):
        convert(load_config(CONFIGS / "gfla_dance_fashion.py"), published)


def test_the_difference_discriminator_sees_differences_alone():
    torch.manual_seed(0)
    discriminator = DifferenceDiscriminator((8, 16), frames=3).eval()
    clip = torch.rand(2, 3, 3, 32, 32)
    differences = torch.cat([clip[:, 1] - clip[:, 0], clip[:, 2] - clip[:, 1]], dim=1)
    torch.testing.assert_close(discriminator(clip), ResidualDiscriminator.forward(discriminator, differences))
    torch.testing.assert_close(discriminator(clip + 0.3), discriminator(clip))


# Frame after frame ----------------------------------------------------------------------------------------


def small(kind=JointFlowEstimator):
    torch.manual_seed(0)
    flow = kind(STRUCTURE, (2, 1), base_width=8, max_width=16, depth=3, init_gain=0.5)
    renderer = ClipRenderer(STRUCTURE, (2, 1), (3, 3), base_width=8, max_width=16, init_gain=0.5)
    return ClipModel(flow, renderer)


def clips(length=4, batch=2, size=32):
    torch.manual_seed(1)
    image = torch.rand(batch, 3, size, size) * 2 - 1
    structures = torch.rand(batch, length + 1, STRUCTURE, size, size)
    frames = torch.rand(batch, length, 3, size, size) * 2 - 1
    return ClipBatch(image, structures[:, 0], frames, structures[:, 1:], [f"clip{b}" for b in range(batch)])


@pytest.mark.parametrize("kind", [JointFlowEstimator, SeparateFlowEstimators])
def test_each_frame_is_made_from_the_one_before_and_the_first_from_the_reference(kind):
    model, batch = small(kind).eval(), clips(3)
    out = model.animate(batch.reference, batch.reference_structure, batch.structures)
    assert out.frames.shape == (2, 3, 3, 32, 32)
    assert [tuple(flow.shape) for flow in out.flows.previous] == [(2, 3, 2, 8, 8), (2, 3, 2, 16, 16)]
    assert [tuple(mask.shape) for mask in out.masks.reference] == [(2, 3, 1, 8, 8), (2, 3, 1, 16, 16)]
    known = (batch.reference, batch.reference_structure)
    with torch.no_grad():
        first = model(*known, *known, batch.structures[:, 0])
        second = model(first.image, batch.structures[:, 0], *known, batch.structures[:, 1])
    torch.testing.assert_close(out.frames[:, 0], first.image)
    torch.testing.assert_close(out.frames[:, 1], second.image)


def test_a_long_clip_is_made_one_structure_at_a_time():
    model, batch = small().eval(), clips(3)
    read = []

    def structures():
        for t in range(3):
            read.append(t)
            yield batch.structures[:, t]

    whole = model.animate(batch.reference, batch.reference_structure, batch.structures)
    for t, frame in enumerate(model.frames(batch.reference, batch.reference_structure, structures())):
        assert read == [*range(t + 1)]
        torch.testing.assert_close(frame.image, whole.frames[:, t])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r, s, a: (r[0], s, a), "reference must be B 3 H W"),
        (lambda r, s, a: (r, s[:, :2], a), "reference_structure must have shape"),
        (lambda r, s, a: (r, s, a[:, 0]), "B T S H W"),
        (lambda r, s, a: (r, s, a[:, :0]), "B T S H W with T ≥ 1"),
        (lambda r, s, a: (r, s, a[..., :16]), "structure 0 must have shape"),
    ],
)
def test_inputs_that_do_not_fit_are_named(change, message):
    batch = clips()
    with pytest.raises(InputError, match=message):
        small().animate(*change(batch.reference, batch.reference_structure, batch.structures))


def test_frames_of_clips_are_pairs_with_the_reference():
    batch = clips(3)
    flows, masks = torch.rand(2, 3, 2, 16, 16), torch.rand(2, 3, 1, 16, 16)
    made = Animation(batch.frames + 1, Origins([-flows], [flows]), Origins([-masks], [masks]))
    pairs, out = as_pairs(batch, made)
    assert pairs.names == [f"clip{b}/{t:05d}" for b in range(2) for t in range(3)]
    for k in range(6):
        b, t = divmod(k, 3)
        assert torch.equal(pairs.source[k], batch.reference[b])
        assert torch.equal(pairs.target[k], batch.frames[b, t])
        assert torch.equal(out.image[k], made.frames[b, t])
        assert torch.equal(out.flows[0][k], flows[b, t])


def test_matches_of_clips_are_those_of_the_pairs_with_the_reference():
    batch = replace(clips(3), matches=torch.rand(2, 3, 5, 4), matches_previous=torch.rand(2, 3, 5, 4))
    flows, masks = torch.rand(2, 3, 2, 16, 16), torch.rand(2, 3, 1, 16, 16)
    made = Animation(batch.frames, Origins([-flows], [flows]), Origins([-masks], [masks]))
    pairs, _ = as_pairs(batch, made)
    assert torch.equal(pairs.matches, batch.matches.flatten(0, 1))


# Training -------------------------------------------------------------------------------------------------


class Looks(Loss):
    """Remembers what it was shown."""

    def __init__(self, looks_at):
        super().__init__()
        self.looks_at = looks_at
        self.seen = []

    def forward(self, step):
        self.seen.append(step)
        return step.out.image.mean() * 0 + 1.0 if step.out.image.numel() else step.out.flows[-1].mean() * 0 + 1.0


ADAM = dict(type="Adam", lr=1e-4)
ADVERSARIAL = dict(adversarial=dict(type="AdversarialLoss"), temporal=dict(type="TemporalAdversarialLoss", weight=0.5))


def trainer(losses, train=("flow_estimator", "renderer"), **changes):
    stage = dict(name="full", iters=5, train=[*train], optimizer=ADAM, discriminator_optimizer=ADAM, losses=losses)
    arguments = dict(
        discriminator=dict(type="ResidualDiscriminator", widths=(8, 8)),
        temporal_discriminator=dict(type="DifferenceDiscriminator", widths=(8, 8), frames=2),
    )
    made = ClipTrainer(small(), [stage], **{**arguments, "chunk": 2, **changes})
    made.enter(made.stages[0])
    return made


def test_losses_are_asked_for_each_frame_and_those_of_flows_for_both_origins():
    image, flow = Looks("image"), Looks("flow")
    made, batch = trainer(dict(image=image, flow=flow)), clips(3)
    log = made.train_step(batch, StageOptimizers()(made))
    assert len(image.seen) == 3
    assert len(flow.seen) == 6
    sources = [step.batch.source for step in flow.seen]
    assert all(torch.equal(source, batch.reference) for source in sources[::2])
    assert torch.equal(sources[1], batch.reference)  # before the first frame
    assert torch.equal(sources[3], image.seen[0].out.image)  # the frame the model has made
    assert not any(source.requires_grad for source in sources)
    assert log["image"] == pytest.approx((2 + 1) / 2)  # summed in a chunk, the mean of two chunks
    assert log["flow"] == pytest.approx((4 + 2) / 2)


def test_a_loss_of_flows_is_told_the_matches_with_the_origin_it_looks_at():
    flow = Looks("flow")
    batch = replace(clips(3), matches=torch.rand(2, 3, 5, 4), matches_previous=torch.rand(2, 3, 5, 4))
    made = trainer(dict(flow=flow))
    made.train_step(batch, StageOptimizers()(made))  # in chunks of two frames and of one
    for t in range(3):
        assert torch.equal(flow.seen[2 * t].batch.matches, batch.matches[:, t])
        assert torch.equal(flow.seen[2 * t + 1].batch.matches, batch.matches_previous[:, t])


def test_exact_flow_and_visibility_train_on_drawn_clips_against_each_origin():
    drawn = collate_clips([DrawnFaces(1, FaceStructureEncoder(IBUG_68), frames=3, size=(32, 32))[0]])
    structures = drawn.reference_structure[:, :STRUCTURE], drawn.structures[:, :, :STRUCTURE]
    batch = replace(drawn, reference_structure=structures[0], structures=structures[1])
    seen, losses = Looks("flow"), dict(flow=dict(type="ExactFlowLoss"), visible=dict(type="ExactVisibilityLoss"))
    made = trainer(dict(losses, seen=seen))
    log = made.train_step(batch, StageOptimizers()(made))
    assert log["flow"] > 0
    assert log["visible"] > 0
    for t in range(3):
        reference, previous = (step.batch for step in seen.seen[2 * t : 2 * t + 2])
        assert torch.equal(reference.flow, batch.flow[:, t])
        assert torch.equal(reference.visible, batch.visible[:, t])
        assert torch.equal(previous.flow, batch.flow_previous[:, t])
        assert torch.equal(previous.visible, batch.visible_previous[:, t])


def test_the_true_frame_before_is_looked_at_where_the_config_says_so():
    flow = Looks("flow")
    made, batch = trainer(dict(flow=flow), previous_frame="true"), clips(3)
    made.train_step(batch, StageOptimizers()(made))
    assert torch.equal(flow.seen[3].batch.source, batch.frames[:, 0])
    assert torch.equal(flow.seen[5].batch.source, batch.frames[:, 1])


def test_a_stage_without_the_renderer_goes_on_from_true_frames():
    flow = Looks("flow")
    made, batch = trainer(dict(flow=flow), train=["flow_estimator"]), clips(3)
    seen = []
    made.model.flow_estimator.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    made.train_step(batch, StageOptimizers()(made))
    assert [torch.equal(a, b) for a, b in zip(seen, [batch.reference, *batch.frames.unbind(1)], strict=False)] == [
        True
    ] * 3


def test_the_gradient_passes_from_frame_to_frame_in_a_chunk_and_not_between_chunks():
    made, batch = trainer(dict(image=Looks("image")), chunk=2), clips(4)
    previous, generated = [], []
    made.model.register_forward_hook(lambda model, inputs, frame: previous.append(inputs[0]))
    made.model.register_forward_hook(lambda model, inputs, frame: generated.append(frame.image))
    made.train_step(batch, StageOptimizers()(made))
    for frame in (1, 2, 3):
        assert torch.equal(previous[frame], generated[frame - 1])
    assert [image.requires_grad for image in previous] == [False, True, False, True]


def test_each_image_passes_the_feature_network_once_a_chunk():
    passes = []

    class Features(torch.nn.Module):
        names = ["relu2_1"]

        def forward(self, image, layers):
            passes.append(image)
            return {"relu2_1": image[..., ::2, ::2] + 0}

    losses = dict(
        correctness=dict(type="SamplingCorrectness", levels=[2, 1], only=[1]),
        perceptual=dict(type="PerceptualLoss", layers=["relu2_1"]),
    )
    made = trainer(losses, feature_network=Features(), chunk=4)
    made.train_step(clips(4), StageOptimizers()(made))
    # the reference, four true frames, four generated ones: those are previous frames too, and not computed again
    assert len(passes) == 9


def test_both_discriminators_learn_and_neither_keeps_a_gradient():
    made = trainer(ADVERSARIAL)
    before = {name: [p.clone() for p in d.parameters()] for name, d in made.discriminators.items()}
    log = made.train_step(clips(4), StageOptimizers()(made))
    assert {"adversarial", "temporal", "discriminator", "temporal_discriminator", "loss"} == set(log)
    for name, discriminator in made.discriminators.items():
        assert any(not torch.equal(a, b) for a, b in zip(before[name], discriminator.parameters(), strict=True)), name
        assert all(p.grad is None for p in discriminator.parameters())


def test_a_last_chunk_too_short_for_the_temporal_discriminator_goes_without():
    made = trainer(ADVERSARIAL)
    log = made.train_step(clips(3), StageOptimizers()(made))
    assert log["temporal_discriminator"].isfinite()


@pytest.mark.parametrize(
    ("changes", "length", "message"),
    [
        (dict(temporal_discriminator=None), 4, "it needs clips and a temporal_discriminator"),
        (dict(chunk=1), 4, "judges 2 frames, a chunk has 1"),
        (dict(chunk=0), 4, "chunk must be 1 or more"),
        (dict(previous_frame="next"), 4, "'generated' or 'true'"),
        ({}, 1, "a clip of 1 frames"),
    ],
)
def test_what_cannot_be_trained_is_refused(changes, length, message):
    def train():
        made = trainer(ADVERSARIAL, **changes)
        made.train_step(clips(length), StageOptimizers()(made))

    with pytest.raises(ConfigError, match=message):
        train()


def test_validation_of_a_stage_that_does_not_render_goes_on_from_true_frames():
    made, batch = trainer(dict(flow=Looks("flow")), train=["flow_estimator"]), clips(3)
    seen = []
    made.model.flow_estimator.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    (validated,) = made.eval().val_step(batch)
    assert [torch.equal(a, b) for a, b in zip(seen, [batch.reference, *batch.frames.unbind(1)], strict=False)] == [
        True
    ] * 3
    (tested,) = made.test_step(batch)
    torch.testing.assert_close(validated.frames[:, 0], tested.frames[:, 0])  # they differ in layout alone
    assert not torch.equal(validated.frames[:, 1], tested.frames[:, 1])


def test_what_is_drawn_in_a_step_is_a_function_of_the_step_alone():
    """So that a resumed run, whose global random state is another, draws the same frames."""

    def drawn(made):
        seen = []
        made.discriminator.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].sum().item()))
        made.train_step(clips(4), StageOptimizers()(made))
        return seen[0]  # the real frame that the discriminator judged

    torch.manual_seed(5)
    made = trainer(ADVERSARIAL, chunk=4)
    made.steps += 7
    resumed = trainer(ADVERSARIAL, chunk=4)
    resumed.load_state_dict(made.state_dict())
    torch.manual_seed(99)
    assert drawn(resumed) == drawn(made)
    assert len({drawn(_at(made, step)) for step in range(4)}) > 1


def _at(made, step):
    made.steps.fill_(step)
    return made


def test_a_clip_too_short_for_the_last_stage_is_refused_in_the_first():
    flow = dict(name="flow", iters=5, train=["flow_estimator"], optimizer=ADAM, losses=dict(flow=Looks("flow")))
    full = dict(
        name="full",
        iters=5,
        train=["flow_estimator", "renderer"],
        optimizer=ADAM,
        discriminator_optimizer=ADAM,
        losses=dict(temporal=dict(type="TemporalAdversarialLoss")),
    )
    temporal = dict(type="DifferenceDiscriminator", widths=(8, 8), frames=3)
    made = ClipTrainer(small(), [flow, full], temporal_discriminator=temporal)
    made.enter(made.stages[0])
    with pytest.raises(ConfigError, match="a clip of 2 frames is too short: the temporal discriminator judges 3"):
        made.train_step(clips(2), StageOptimizers()(made))


@pytest.mark.parametrize("masks", [True, False])
def test_masked_correctness_asks_for_masks_and_sees_the_foreground_alone(masks):
    def features(image, layers):
        return {layer: torch.nn.functional.avg_pool2d(image, 2).abs() for layer in layers}

    class Features(torch.nn.Module):
        names = ["relu2_1"]
        forward = staticmethod(features)

    losses = dict(correctness=dict(type="SamplingCorrectness", levels=[2, 1], only=[1], masked=True))
    made = trainer(losses, train=["flow_estimator"], feature_network=Features())
    batch = clips(1)
    if not masks:
        with pytest.raises(ConfigError, match="foreground masks"):
            made.train_step(batch, StageOptimizers()(made))
        return
    batch.foreground = torch.zeros(2, 1, 1, 32, 32)
    batch.foreground[..., :16] = 1

    def loss():
        same = copy.deepcopy(made)
        return same.train_step(batch, StageOptimizers()(same))["correctness"]

    before = loss()
    batch.frames[..., 24:] = 0.5  # outside the foreground, and out of the features' reach of it
    torch.testing.assert_close(loss(), before)


def test_every_frame_of_every_clip_is_scored():
    metric = METRICS.build_part(dict(type="L1"))
    batch = clips(4, batch=3)
    nothing = Origins([], [])
    made = batch.frames + torch.arange(12).view(3, 4, 1, 1, 1) / 100
    for b in range(3):  # as a loader of batch size 1 gives them
        one = ClipBatch(
            *(getattr(batch, f)[b : b + 1] for f in ("reference", "reference_structure", "frames", "structures")),
            [f"clip{b}"],
        )
        metric.process(one, [Animation(made[b : b + 1].clamp(-1, 1), nothing, nothing)])
    metric.evaluate(3)  # mmengine counts items of the data set, and cuts what is more
    assert [row["name"] for row in metric.per_image] == [f"clip{b}/{t:05d}" for b in range(3) for t in range(4)]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ClipModel(FlowEstimator(STRUCTURE), ClipRenderer(STRUCTURE)), "FlowEstimator is made for pairs"),
        (lambda: ClipModel(JointFlowEstimator(STRUCTURE), LocalAttentionRenderer(STRUCTURE)), "made for pairs"),
        (lambda: PairModel(SeparateFlowEstimators(STRUCTURE), LocalAttentionRenderer(STRUCTURE)), "made for clips"),
        (lambda: PairModel(FlowEstimator(STRUCTURE), ClipRenderer(STRUCTURE)), "ClipRenderer is made for clips"),
    ],
)
def test_parts_of_pairs_and_of_clips_are_not_mixed(build, message):
    with pytest.raises(ConfigError, match=message):
        build()


def test_a_trainer_of_pairs_has_no_motion_to_judge():
    losses = dict(temporal=dict(type="TemporalAdversarialLoss"))
    stage = dict(name="full", iters=1, train=["renderer"], optimizer=ADAM, discriminator_optimizer=ADAM, losses=losses)
    model = PairModel(None, BaselineRenderer(STRUCTURE, base_width=8))
    with pytest.raises(ConfigError, match="temporal_discriminator"):
        PairTrainer(model, [stage], discriminator=dict(type="ResidualDiscriminator", widths=(8, 8)))
