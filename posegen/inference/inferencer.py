"""Pictures and key points in, generated pictures out: what ``posegen transfer`` and ``posegen animate`` call."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from rich.progress import track
from torch import Tensor

from ..acceleration import prepare_for_inference
from ..config import require
from ..data import KeypointLayout, Keypoints, StructureEncoder
from ..data.generated import COMPOSITE, GENERATED, Mark
from ..data.images import Background, resize_image, to_gray, to_tensor, to_uint8
from ..data.keypoints import shown
from ..errors import ConfigError, InputError, PosegenError
from ..ops import resize_flow, warp
from ..records import PairBatch, Transfer
from ..registry import STRUCTURE_ENCODERS
from .cutout import Cutout, as_background
from .framing import Window, whole_window
from .inputs import Picture, PoseInput, Structure, as_structure, cut_out_opaque, in_picture, is_path, read_each
from .interpolation import interpolate_keypoints
from .model_source import ModelSource
from .pasting import cut_out, moved_alpha, paste_flow, paste_mask, put_back, with_alpha
from .prepare import AS_IT_FITS, FramedSource, Framer, Framing, frame_of, model_size, prepare_checked, test_dataset
from .prepared import Prepared


@dataclass(frozen=True)
class Result:
    """Generated picture, with the flow and mask it was made with.

    All have the model's size (H, W), or with ``resize_back`` that of the source, into which they are put back.

    Args:
        image: uint8 H W 3, RGB.
        flow: finest flow, float32 2 H W in pixels of the image: target pixel l shows source position
            ``l + flow[:, l]``; None: the model has no flow.
        mask: finest mask, float32 H W in [0, 1]: 1 is warped, 0 generated; None: the model has no mask.
        warped: the prepared source, warped along the flow, uint8 H W 3; None: there is no flow.
        name: name of the source's file without its ending; for a picture in memory its index, five digits.
    """

    image: np.ndarray
    flow: np.ndarray | None
    mask: np.ndarray | None
    warped: np.ndarray | None
    name: str


class Inferencer:
    """Run a model on pictures and key points, prepared as its data set does it.

    Args:
        model: a shared folder, the name of a model that a plugin ships, ``hf://OWNER/NAME`` (a model on the Hugging
            Face Hub), a config (with *checkpoint*), or a :class:`ModelSource`. A ``.py`` config is code and runs.
        checkpoint: posegen checkpoint (from training or ``posegen convert``), required if *model* is a config.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, …; ``"auto"``: a GPU if there is one, else the CPU.
        revision: branch, tag or commit of a model on the Hub; None: the newest.
        precision: ``"fp32"``, ``"bf16"``, or ``"auto"``: bf16 on a CPU that computes in it natively, else fp32.

    Attributes:
        config: config of the model.
        encoder: its structure encoder.
        model: the model in eval mode, with ``transfer`` (single images) or ``frames`` (clips).
        size: size (H, W) of its images in pixels.

    Raises:
        ConfigError: the config is broken, the model generates neither images nor clips, or an unknown precision.
        CheckpointError: the weights are unreadable or belong to another architecture.
        MissingWeightsError: no such folder or name.
    """

    def __init__(
        self,
        model: str | Path | Config | ModelSource,
        checkpoint: str | Path | None = None,
        device: str | torch.device = "auto",
        revision: str | None = None,
        precision: str = "auto",
    ) -> None:
        source = model if isinstance(model, ModelSource) else ModelSource.find(model, checkpoint, revision)
        self.device = find_device(device)
        self.model: Any = source.load()
        self.config = source.config
        require(self.config, "structure", "size")
        if not (self.makes_single_images or hasattr(self.model, "frames")):
            raise ConfigError(f"{self.config.filename}: {type(self.model).__name__} has no method transfer or frames")
        self.model.to(self.device)
        prepare_for_inference(self.model, precision)
        self.encoder: StructureEncoder = STRUCTURE_ENCODERS.build_part(self.config.structure)
        self.size = model_size(self.config)

    @property
    def makes_single_images(self) -> bool:
        """Return whether the model generates every image by itself; a model of clips uses the frame before."""
        return hasattr(self.model, "transfer")

    def require_single_images(self) -> None:
        """Raise ConfigError if the model is one of clips."""
        if not self.makes_single_images:
            raise ConfigError(
                f"{self.config.filename} is a model of clips, not of single images: use `posegen animate` or "
                "Inferencer.animate"
            )

    def infer(
        self,
        sources: Picture | list[Picture],
        target_structures: Structure | list[Structure],
        source_structures: Structure | list[Structure],
        batch_size: int = 8,
        progress: bool = True,
        target_images: Picture | list[Picture] | None = None,
        subject: int | None = None,
        resize_back: bool = False,
        framing: Framing = AS_IT_FITS,
        background: Background | str | Path | None = None,
    ) -> list[Result]:
        """Move sources into target structures. Lists go together item by item; anything else is used for every item.

        Requires a model of single images; for clips use :meth:`animate`.

        Args:
            sources: the pictures.
            target_structures: structures to move to, in pixels of *target_images*; without these, of the picture whose
                size their file says, or else of the source.
            source_structures: structures of the sources, in pixels of the source.
            batch_size: pictures in a batch.
            progress: show a progress bar if there is more than one batch.
            target_images: pictures of the target structures: for their size, for encoders that use the picture, and to
                select the entry in a key-point file of many pictures.
            subject: index of the figure, for key points of several figures, N K 2 or N K 3.
            resize_back: results have the source's size: what the model saw of it is replaced, with a soft edge.
            framing: what the model sees of the sources, and how targets are fitted to their size.
            background: shown behind the figures: a color, as (r, g, b) or text, or an image, as an array or a path. Of
                transparent sources it shows in their transparent parts (None: white); opaque ones stay as they are
                with None, else the figure is cut out of source and result, which requires an estimator with masks.
                ``"fill"``: that of the source, smoothly filled where the figure stood.

        Returns:
            One result for each source, in order.

        Raises:
            ConfigError: the model is one of clips, or no estimator cuts out its figures.
            DataError: files are missing or broken; all key-point files are read before any work.
            InputError: inputs do not fit together, or no figure is found to be cut out.

        Warns:
            UserWarning: some key points lie outside of their picture. If all do: an InputError.
        """
        self.require_single_images()
        rows = _rows(
            sources=sources,
            source_structures=source_structures,
            target_images=target_images,
            target_structures=target_structures,
        )
        behind, fills = as_background(background)
        inputs = []
        for index, (source, structure, image, target) in enumerate(rows):
            inputs += [PoseInput(source, structure, _name(source, index), background=behind), PoseInput(image, target)]
        read = self._read(inputs, subject)
        own = read[::2] if background is None else cut_out_opaque(read[::2], self.encoder.layout, fills=fills)
        pairs = zip(own, read[1::2], strict=True)
        prepared = (one for source, target in pairs for one in self.prepare_inputs(source, [target], framing))
        made = self.generate(prepared, batch_size)
        tracked = track(made, description="inference", total=len(rows), disable=not progress or len(rows) <= batch_size)
        return [_result(one, transfer, resize_back) for one, transfer in tracked]

    def animate(
        self,
        reference: Picture,
        structures: Iterable[Structure],
        reference_structure: Structure,
        batch_size: int = 8,
        structure_images: Picture | list[Any] | None = None,
        subject: int | None = None,
        resize_back: bool = False,
        framing: Framing = AS_IT_FITS,
        background: Background | str | Path | None = None,
    ) -> Iterator[Result]:
        """Generate a clip: one picture, moved through a sequence of structures, with either kind of model.

        A model of clips generates each frame from the frame before it and the reference. A model of single images
        generates each frame by itself, so the clip may flicker. At most *batch_size* frames are in memory.

        Args:
            reference: the picture.
            structures: one for each frame, in pixels of *structure_images*; without these, of the reference. The files
                of a list or tuple are all read before any work; any other iterable is read frame by frame.
            reference_structure: structure of the reference, in pixels of it.
            batch_size: frames in a batch, for a model of single images.
            structure_images: pictures of the structures: a list (None for no picture) or one for all frames; read
                frame by frame.
            subject, resize_back: see :meth:`infer`.
            framing: see :meth:`infer`. All structures are fitted in the same way; those of an iterable, as the first.
            background: see :meth:`infer`.

        Returns:
            An iterator of results in order, each generated when it is asked for.

        Raises:
            ConfigError, DataError, InputError: see :meth:`infer`.

        Warns:
            UserWarning: key points lie outside of their picture.
        """
        if isinstance(structures, (str, Path, Keypoints)):
            raise InputError("structures must be a list with one structure for each frame")
        behind, fills = as_background(background)
        source = PoseInput(reference, reference_structure, _name(reference, 0), background=behind)
        if isinstance(structure_images, tuple):
            structure_images = list(structure_images)
        targets: Iterable[PoseInput]
        if isinstance(structures, Sequence):
            rows = _rows(structures=list(structures), structure_images=structure_images)
            source, *targets = self._read([source, *(PoseInput(image, one) for one, image in rows)], subject)
            motion = [target.structure for target in targets]
        elif isinstance(structure_images, list):
            raise InputError("structure_images is a list, so structures must be a list of the same length")
        else:
            source = self._read([source], subject)[0]
            unread = (PoseInput(structure_images, structure) for structure in structures)
            read = (self._read([target], subject)[0] for target in unread)
            first = list(islice(read, 1))
            targets, motion = chain(first, read), [target.structure for target in first]
        if background is not None:
            (source,) = cut_out_opaque([source], self.encoder.layout, fills=fills)
        frames = self.generate(self.prepare_inputs(source, targets, framing, motion), batch_size)
        return (_result(one, made, resize_back) for one, made in frames)

    def prepare(
        self,
        source: Picture,
        target_structure: Structure,
        source_structure: Structure,
        target_image: Picture | None = None,
        name: str = "",
        subject: int | None = None,
        framing: Framing = AS_IT_FITS,
    ) -> Prepared:
        """Prepare one source for :meth:`transfer`. Arguments and errors: see :meth:`infer`."""
        given = PoseInput(source, source_structure, name or _name(source, 0))
        own, target = self._read([given, PoseInput(target_image, target_structure)], subject)
        return next(self.prepare_inputs(own, [target], framing))

    def transfer(self, prepared: Sequence[Prepared]) -> tuple[PairBatch, Transfer]:
        """Run the model on prepared sources as one batch.

        Returns:
            The batch, whose unknown target images are the sources, and the model's output.

        Raises:
            ConfigError: the model is one of clips.
        """
        self.require_single_images()
        source = torch.stack([one.source for one in prepared])
        batch = PairBatch(
            source,
            torch.stack([one.source_structure for one in prepared]),
            source,
            torch.stack([one.target_structure for one in prepared]),
            [one.name for one in prepared],
        ).to(self.device)
        return batch, self.model.transfer(batch.source, batch.source_structure, batch.target_structure)

    # Steps, for the commands

    def prepare_inputs(
        self,
        source: PoseInput,
        targets: Iterable[PoseInput],
        framing: Framing = AS_IT_FITS,
        motion: Sequence[Structure] | None = None,
    ) -> Iterator[Prepared]:
        """Prepare one source for each of its targets, one at a time.

        Args:
            source: picture with its structure, read.
            targets: structures, read, with their pictures if they have one.
            framing: what the model sees of the source, and how targets are fitted to it.
            motion: structures of a clip, which are fitted all in the same way; None: each target by itself.

        Raises:
            DataError, InputError: see :meth:`infer`.
        """
        if not isinstance(source.structure, Keypoints):
            yield from self._prepare_structures(source, targets)
            return
        poses = None if motion is None else [one for one in motion if isinstance(one, Keypoints)]
        framer = Framer(self.config, self._layout(), source, framing, poses)
        seen: FramedSource | None = None
        for target in targets:
            name = f"{target.name or source.name}, target"
            points = None
            if isinstance(target.structure, Keypoints):
                own, picture, points = framer.pair(target, name)
                wanted = self.encoder.encode(points, self.size, picture)
            else:
                own, wanted = framer.source(), self._encoded(target.structure, name)
            if own is not seen:
                seen, image = own, to_tensor(own.image)
                structure = self.encoder.encode(own.keypoints, self.size, own.image)
            yield Prepared(image, structure, wanted, source.name, framer.photograph, seen.window, points, framer.cutout)

    def _prepare_structures(self, source: PoseInput, targets: Iterable[PoseInput]) -> Iterator[Prepared]:
        """Prepare a source whose structure is not key points: its whole picture is resized, or padded first."""
        photograph = source.read_photograph()
        name = f"{source.name}, source"
        own, size = self._encoded(source.structure, name), photograph.image.shape
        has_places = own.shape[-2:] != (1, 1)  # a ready structure counts pixels of the whole picture, resized
        window = Window(0, 0, size[1], size[0]) if has_places else whole_window((size[0], size[1]), self.size)
        image = to_tensor(self._resized(window.cut(photograph.image), name))
        for target in targets:
            name = f"{target.name or source.name}, target"
            if isinstance(target.structure, Keypoints):
                prepared, points = prepare_checked(
                    self.config, frame_of(target, photograph.image), target.structure, name
                )
                wanted = self.encoder.encode(points, self.size, None if target.picture is None else prepared)
            else:
                wanted = self._encoded(target.structure, name)
            yield Prepared(image, own, wanted, source.name, photograph, window)

    def prepare_between(
        self, source: PoseInput, target: PoseInput, fractions: Sequence[float], framing: Framing = AS_IT_FITS
    ) -> Iterator[Prepared]:
        """Prepare frames in which a source moves from its own pose to the target's.

        Poses are interpolated in the prepared picture: a data set that cuts out by key points would cut each pose out
        anew, and the clip would shake.

        Args:
            source, target: from :func:`posegen.inference.read_inputs`.
            fractions: for each frame the fraction of the way, in [0, 1].
            framing: see :meth:`prepare_inputs`.
        """
        framer = Framer(self.config, self._layout(), source, framing)
        own, _, end = framer.pair(target, f"{target.name}, target")
        image, structure = to_tensor(own.image), self.encoder.encode(own.keypoints, self.size, own.image)
        for fraction in fractions:
            pose = interpolate_keypoints(own.keypoints, end, self._layout(), fraction)
            wanted = self.encoder.encode(pose, self.size)
            yield Prepared(image, structure, wanted, source.name, framer.photograph, own.window, pose, framer.cutout)

    def _layout(self) -> KeypointLayout:
        if self.encoder.layout is None:
            raise InputError(f"{type(self.encoder).__name__} does not encode key points")
        return self.encoder.layout

    def generate(self, prepared: Iterable[Prepared], batch_size: int = 8) -> Iterator[tuple[Prepared, Transfer]]:
        """Run the model on prepared inputs: single images in batches, or the frames of one clip one after the other.

        Args:
            prepared: the inputs; for a model of clips all of one source. They are asked for when they are needed.
            batch_size: images in a batch, for a model of single images.

        Returns:
            Each input with the model's output (B = 1); for clips, with flows and masks from the reference.

        Raises:
            InputError: *batch_size* is less than 1; see also :meth:`infer`.
        """
        if batch_size < 1:
            raise InputError(f"batch_size must be 1 or more, got {batch_size}")
        return self._single_images(iter(prepared), batch_size) if self.makes_single_images else self._clip(prepared)

    def _single_images(self, prepared: Iterator[Prepared], batch_size: int) -> Iterator[tuple[Prepared, Transfer]]:
        while batch := list(islice(prepared, batch_size)):
            _, made = self.transfer(batch)
            for index, one in enumerate(batch):
                row = slice(index, index + 1)
                flows, masks = ([level[row] for level in levels] for levels in (made.flows, made.masks))
                yield one, Transfer(made.image[row], flows, masks)

    def _clip(self, prepared: Iterable[Prepared]) -> Iterator[tuple[Prepared, Transfer]]:
        rows = iter(prepared)
        first = next(rows, None)
        if first is None:
            return
        pending: deque[Prepared] = deque()  # itertools.tee buffers 57 items at a time

        def structures() -> Iterator[Tensor]:
            for one in chain([first], rows):
                pending.append(one)
                yield one.target_structure[None].to(self.device)

        reference, own = (tensor[None].to(self.device) for tensor in (first.source, first.source_structure))
        for frame in self.model.frames(reference, own, structures()):
            if not pending:
                raise PosegenError(f"{type(self.model).__name__} generated more frames than there are structures")
            yield pending.popleft(), Transfer(frame.image, frame.flows.reference, frame.masks.reference)
        if pending:
            raise PosegenError(f"{type(self.model).__name__} generated {len(pending)} frames too few")

    def _read(self, inputs: Sequence[PoseInput], subject: int | None) -> list[PoseInput]:
        return read_each(
            inputs, lambda one: in_picture(replace(one, structure=as_structure(one, self.encoder, subject)))
        )

    def _encoded(self, structure: Any, name: str) -> Tensor:
        if isinstance(structure, Tensor):
            shapes = [(self.encoder.channels, *size) for size in (self.size, (1, 1))]
            if tuple(structure.shape) not in shapes:
                raise InputError(f"{name}: a ready structure is S H W, {shapes[0]}; got {tuple(structure.shape)}")
            return structure.float()
        try:
            return self.encoder.encode(structure, self.size)
        except (TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{name}: {type(self.encoder).__name__} cannot encode {structure!r}: {error}") from error

    def _resized(self, frame: np.ndarray, name: str) -> np.ndarray:
        """Resize a picture without key points as a whole, unless its data set would cut it out by them."""
        size = (frame.shape[0], frame.shape[1])
        if size != self.size and test_dataset(self.config)[0].has_own_preparation():
            raise InputError(
                f"{name}: the picture has {shown(size)} pixels; with a ready structure it must have the model's "
                f"{shown(self.size)}, because this model's data set prepares pictures by their key points"
            )
        return resize_image(frame, self.size)


def _rows(**columns: Any) -> list[list[Any]]:
    """Return the values of each item: lists give one each, anything else is repeated."""
    lengths = {name: len(column) for name, column in columns.items() if isinstance(column, list)}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{length} {name}" for name, length in lengths.items())
        raise InputError(f"lists must have the same length; got {told}")
    count = next(iter(lengths.values()), 1)
    values = columns.values()
    return [[column[row] if isinstance(column, list) else column for column in values] for row in range(count)]


def _name(source: Picture, index: int) -> str:
    return Path(source).stem if is_path(source) else f"{index:05d}"


def generated_picture(one: Prepared, made: Transfer, resize_back: bool = False, keep_alpha: bool = False) -> np.ndarray:
    """Return the picture that was generated from one input.

    Args:
        one: the input.
        made: output of the model, B = 1.
        resize_back: put the result back into the photograph, see :func:`posegen.inference.pasting.put_back`.
        keep_alpha: add the alpha of a transparent source, moved along the flow; or that of a figure that is cut out.

    Returns:
        uint8 H W 3, of the model's size or the photograph's; with *keep_alpha* H W 4. Gray if the photograph is.
    """
    picture = put_back(one, made) if resize_back else to_uint8(made.image[0])
    if one.photograph.is_gray:
        picture = to_gray(picture)
    if one.cutout is not None:
        return cut_out(one, picture, resize_back, keep_alpha)
    return with_alpha(one, picture, moved_alpha(one, made, resize_back)) if keep_alpha else picture


def mark_of(cutout: Cutout | None, resize_back: bool) -> Mark:
    """Return the mark of a result: a composite if pixels of the photograph or of a background stay as they were."""
    keeps_pixels = resize_back if cutout is None else cutout.is_image
    return COMPOSITE if keeps_pixels else GENERATED


def _result(one: Prepared, made: Transfer, resize_back: bool) -> Result:
    size = (one.source.shape[-2], one.source.shape[-1])
    flow = mask = warped = None
    if made.flows:
        finest = made.flows[-1]
        flow = paste_flow(one, finest) if resize_back else resize_flow(finest.float(), size)[0].cpu().numpy()
        source = to_tensor(one.photograph.image) if resize_back else one.source
        warped = to_uint8(warp(source[None], torch.from_numpy(flow)[None])[0])
    if made.masks:
        finest = made.masks[-1]
        mask = paste_mask(one, finest) if resize_back else F.interpolate(finest.float(), size)[0, 0].cpu().numpy()
    return Result(generated_picture(one, made, resize_back), flow, mask, warped, one.name)


def find_device(device: str | torch.device) -> torch.device:
    """Return a device by name, ``"auto"`` being CUDA where there is a GPU and the CPU elsewhere.

    Raises:
        ConfigError: no device of that name, or it is not on this machine.
    """
    has_gpu = torch.cuda.is_available()
    try:
        found = torch.device(("cuda" if has_gpu else "cpu") if device == "auto" else device)
    except RuntimeError as error:
        raise ConfigError(f"there is no device {str(device)!r}; use auto, cpu, cuda or cuda:N") from error
    if found.type == "cuda" and (not has_gpu or (found.index or 0) >= torch.cuda.device_count()):
        count = torch.cuda.device_count() if has_gpu else 0
        raise ConfigError(f"device {str(device)!r} is not available: PyTorch finds {count} GPUs; use auto or cpu")
    return found
