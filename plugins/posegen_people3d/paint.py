"""Colors of a person's surface: skin, face, hair and fabrics as functions of canonical places (solid textures)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .body import Array
from .wardrobe import (
    BAG,
    BODY,
    EYES,
    HAIR,
    HAT,
    HEAD,
    SKIRT,
    VISOR,
    Cloth,
    Outfit,
    canonical,
    covered_by_jacket,
    covered_by_shoes,
    covered_by_top,
    covered_by_trousers,
    hair_cover,
)


@dataclass(frozen=True)
class Surface:
    """Places on a person's surface.

    Args:
        piece: N, the piece of each.
        place: N 3, canonical.
        sleeve: N, how far down an arm; negative elsewhere.
        head: N in [0, 1], how much of it moves with the head.
    """

    piece: Array
    place: Array
    sleeve: Array
    head: Array

    def of(self, chosen: Array) -> Surface:
        """Return some of the places."""
        return Surface(self.piece[chosen], self.place[chosen], self.sleeve[chosen], self.head[chosen])


def noise(place: Array, seed: int, scale: float, stretch: tuple[float, float, float] = (1, 1, 1)) -> Array:
    """Return smooth noise at places N 3, about -1 to 1: a sum of waves of about *scale* meters."""
    directions, phases = _waves(seed)
    scaled = (directions * (2 * np.pi / scale / np.array(stretch))).astype(np.float32)
    waves = scaled @ place.T.astype(np.float32) + phases[:, None].astype(np.float32)
    return np.sin(waves).sum(0) * (1.6 / len(phases))


@functools.lru_cache(maxsize=256)
def _waves(seed: int, count: int = 6) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(count, 3))
    return directions * rng.uniform(0.5, 1.3, (count, 1)) / np.linalg.norm(
        directions, axis=1, keepdims=True
    ), rng.uniform(0, 2 * np.pi, count)


def colors(wear: Outfit, surface: Surface, pixel: float) -> tuple[Array, Array]:
    """Return the color N 3 in [0, 1], without light, and the shine N of places.

    Args:
        wear: of the person.
        surface: the places.
        pixel: size of a pixel in meters; finer patterns are averaged.
    """
    color, shine = np.zeros((len(surface.piece), 3)), np.full(len(surface.piece), 0.08)
    for piece, function in _PAINTERS.items():
        chosen = np.flatnonzero(surface.piece == piece)
        if len(chosen):
            color[chosen], shine[chosen] = function(wear, surface.of(chosen), pixel)
    return np.clip(color, 0, 1), shine


def _body(wear: Outfit, surface: Surface, pixel: float) -> tuple[Array, Array]:
    place, sleeve = surface.place, surface.sleeve
    color = _skin(wear, surface, pixel)
    shine = np.full(len(place), 0.12)
    head = np.flatnonzero(surface.head > HEAD)
    color[head] = _face(wear, place[head], color[head], pixel)

    def wear_cloth(covered: Array, cloth: Cloth, trim: Callable[[Array, Array], Array] | None = None) -> None:
        chosen = np.flatnonzero(covered)
        if len(chosen):
            painted = fabric(cloth, cloth_coordinates(place[chosen], sleeve[chosen]), place[chosen], pixel)
            color[chosen] = painted if trim is None else trim(chosen, painted)
            shine[chosen] = cloth.shine

    wear_cloth(
        covered_by_trousers(wear, place, sleeve),
        wear.bottom,
        lambda index, painted: _trousers(wear, place[index], painted),
    )
    feet = np.flatnonzero(covered_by_shoes(wear, place) & (sleeve < 0))
    color[feet] = _shoes(wear, place[feet])
    shine[feet] = 0.25
    top = covered_by_top(wear, place, sleeve, surface.head)
    wear_cloth(top, wear.top, lambda index, painted: _top(wear, place[index], sleeve[index], painted))
    jacket = covered_by_jacket(wear, place, sleeve, surface.head)
    if wear.jacket is not None:
        wear_cloth(jacket, wear.jacket, lambda index, painted: _jacket(wear, place[index], sleeve[index], painted))
    if wear.bag == "backpack":
        shoulder = canonical().joints["left shoulder"]
        strap = np.abs(np.abs(place[:, 0]) - 0.62 * shoulder[0]) < 0.02
        low = np.where(place[:, 2] > canonical().joints["chest"][2], shoulder[1] - 0.3, shoulder[1] - 0.05)
        strap &= (place[:, 1] > low) & (sleeve < 0.15) & (top | jacket)
        color[strap] = wear.bag_color * 0.8
    return color, shine


def _skin(wear: Outfit, surface: Surface, pixel: float) -> Array:
    place = surface.place
    tone = 1 + 0.04 * noise(place, 7, 0.11)
    red = 0.02 * noise(place, 8, 0.07) + 0.03 * (surface.sleeve > 2.2)
    return wear.skin * tone[:, None] + red[:, None] * (1, -0.4, -0.4)


def _soft(distance: Array, pixel: float) -> Array:
    """Return 1 inside (negative distance in meters), 0 outside, with an edge of a pixel."""
    return np.clip(0.5 - distance / max(pixel, 0.001), 0, 1)


def _ellipse(place: Array, center: Array, across: float, up: float) -> Array:
    """Return about the distance in meters from an ellipse in the frontal plane; negative inside."""
    return (np.hypot((place[:, 0] - center[0]) / across, (place[:, 1] - center[1]) / up) - 1) * min(across, up)


def _over(color: Array, other: Array, share: Array) -> Array:
    return color + share[:, None] * (other - color)


def _face(wear: Outfit, place: Array, color: Array, pixel: float) -> Array:
    at = canonical().joints
    front = place[:, 2] > at["left eye"][2] - 0.035
    nose, mouth = at["nose"], at["mouth"]
    cheek = np.exp(-(((np.abs(place[:, 0]) - 0.04) / 0.022) ** 2) - ((place[:, 1] - nose[1] + 0.01) / 0.022) ** 2)
    color = color * (1 + (0.12 * cheek * front)[:, None] * np.array((0.6, -0.5, -0.4)))
    for side in ("left", "right"):
        eye = at[f"{side} eye"]
        socket = _soft(_ellipse(place, eye + np.array((0, 0.006, 0)), 0.022, 0.013), 2 * pixel) * front
        color = _over(color, color * 0.78, socket)
        lashes = (
            _soft(np.abs(_ellipse(place, eye, 0.0165, 0.0085)) - 0.0026, pixel) * front * (place[:, 1] > eye[1] - 0.004)
        )
        color = _over(color, np.minimum(wear.hair, 0.15), 0.85 * lashes)
        sign = 1 if side == "left" else -1
        along = (place[:, 0] - eye[0]) * sign
        height = eye[1] + 0.021 + 0.10 * along - 4.5 * along**2
        brow = _soft(np.maximum(np.abs(place[:, 1] - height) - 0.0042, np.abs(along - 0.001) - 0.021), pixel) * front
        color = _over(color, wear.hair * 0.75, 0.8 * brow)
        if wear.glasses:
            rim = _soft(np.abs(_ellipse(place, eye - np.array((0, 0.004, 0)), 0.026, 0.02)) - 0.0032, pixel) * front
            color = _over(color, np.array((0.07, 0.07, 0.08)), rim)
    if wear.glasses:
        bridge = _soft(np.maximum(np.abs(place[:, 1] - at["left eye"][1]) - 0.0025, np.abs(place[:, 0]) - 0.009), pixel)
        side_piece = (
            (np.abs(place[:, 1] - at["left eye"][1] - 0.002) < 0.003)
            & (np.abs(place[:, 0]) > 0.05)
            & (place[:, 2] > at["left ear"][2])
        )
        color = _over(color, np.array((0.07, 0.07, 0.08)), np.maximum(bridge * front, side_piece))
    if wear.beard:
        low = (place[:, 1] < nose[1] - 0.012) & (place[:, 2] > at["left ear"][2] + 0.005)
        lip = _ellipse(place, mouth, 0.029, 0.0105)
        edge = np.clip((nose[1] - 0.012 - place[:, 1]) / 0.012 + 0.5 * (np.abs(place[:, 0]) > 0.035), 0, 1)
        share = np.where(low & (lip > 0), edge * (0.45 + 0.5 * wear.beard) * (0.8 + 0.2 * noise(place, 3, 0.01)), 0)
        color = _over(color, wear.hair * 0.9, share)
    lips = _soft(_ellipse(place, mouth, 0.026, 0.0095), pixel) * front
    color = _over(color, wear.lips, 0.85 * lips)
    line = _soft(np.maximum(np.abs(place[:, 1] - mouth[1]) - 0.0016, np.abs(place[:, 0]) - 0.024), pixel) * front
    color = _over(color, wear.lips * 0.4, 0.8 * line)
    cover = hair_cover(wear, place)
    return _over(color, _strands(wear, place, pixel), cover * (0.8 if wear.haircut == "buzz" else 1))


def _strands(wear: Outfit, place: Array, pixel: float) -> Array:
    """Return the color of hair."""
    curly = wear.haircut in ("curly", "afro", "buzz")
    fine = max(0.012, 2.5 * pixel)
    stretch = (1.0, 1.0, 1.0) if curly else (1.0, 7.0, 1.0)
    tone = 1 + (0.3 if curly else 0.22) * noise(place, 11, fine, stretch) + 0.1 * noise(place, 12, 0.06, stretch)
    return wear.hair * tone[:, None] + 0.02 * np.maximum(tone - 1, 0)[:, None]


def _eyes(wear: Outfit, surface: Surface, pixel: float) -> tuple[Array, Array]:
    at = canonical().joints
    place = surface.place
    color = np.tile(np.array((0.85, 0.83, 0.81)), (len(place), 1))
    for side in ("left", "right"):
        mine = (place[:, 0] > 0) == (side == "left")
        eye = at[f"{side} eye"]
        away = np.hypot(place[:, 0] - eye[0], place[:, 1] - eye[1])
        color = _over(color, wear.eyes, _soft(away - 0.0068, pixel) * mine)
        color = _over(color, np.full(3, 0.03), _soft(away - 0.0034, pixel) * mine)
    return color, np.full(len(place), 0.5)


# Fabrics


def cloth_coordinates(place: Array, sleeve: Array) -> Array:
    """Return (across, along) in meters on the fabric: around the body, an arm or a leg, and down it."""
    at = canonical().joints
    x, y, z = place.T
    crotch = at["left hip"][1] - 0.09
    result = np.stack([np.arctan2(x, z - at["waist"][2]) * 0.16, y], 1)
    leg = (sleeve < 0) & (y < crotch)
    side = np.where(x > 0, 1.0, -1.0)
    share = np.clip((at["left hip"][1] - y) / (at["left hip"][1] - at["left ankle"][1]), 0, 1.2)
    axis_x = side * (at["left hip"][0] + share * (at["left ankle"][0] - at["left hip"][0]))
    axis_z = at["left hip"][2] + share * (at["left ankle"][2] - at["left hip"][2])
    result[leg, 0] = (np.arctan2(x - axis_x, z - axis_z) * 0.08)[leg]
    arm = sleeve >= 0
    if arm.any():
        shoulder, elbow, wrist = (at[f"left {joint}"] for joint in ("shoulder", "elbow", "wrist"))
        mirrored = place[arm] * np.stack([side[arm], np.ones(arm.sum()), np.ones(arm.sum())], 1)
        upper = np.minimum(sleeve[arm], 1)[:, None]
        lower = np.maximum(sleeve[arm] - 1, 0)[:, None]
        axis = shoulder + upper * (elbow - shoulder) + lower * (wrist - elbow)
        along = (wrist - shoulder) / np.linalg.norm(wrist - shoulder)
        first = np.array([0.0, 0, 1]) - along[2] * along
        first /= np.linalg.norm(first)
        second = np.cross(along, first)
        away = mirrored - axis
        result[arm] = np.stack([np.arctan2(away @ second, away @ first) * 0.05, -0.28 * sleeve[arm]], 1)
    return result


def fabric(cloth: Cloth, uv: Array, place: Array, pixel: float) -> Array:
    """Return the color of a fabric at (across, along) N 2 in meters."""
    share = PATTERNS[cloth.pattern](cloth, uv, place, pixel)
    strength = np.clip((cloth.period / pixel - 2.0) / 2.0, 0, 1)  # averaged where stripes are finer than pixels
    average = 0.5 if cloth.pattern not in ("plain", "gradient", "denim", "blotches") else share
    share = average + strength * (share - average) if cloth.pattern != "plain" else share
    color = cloth.colors[0] + share[:, None] * (cloth.colors[1] - cloth.colors[0])
    weave = cloth.grain * noise(place, cloth.seed, max(0.012, 3 * pixel)) + 0.03 * noise(place, cloth.seed + 1, 0.15)
    return color * (1 + weave[:, None])


def _wave(value: Array, period: float, pixel: float) -> Array:
    """Return a square wave of *value* with edges of a pixel, 0 to 1."""
    phase = np.abs((value / period) % 1 - 0.5) - 0.25  # -0.25 .. 0.25
    return np.clip(0.5 - phase * period / max(pixel, 1e-4), 0, 1)


def _plain(cloth: Cloth, uv: Array, place: Array, pixel: float) -> Array:
    return np.zeros(len(uv))


def _stripes(cloth: Cloth, uv: Array, place: Array, pixel: float) -> Array:
    return _wave(uv[:, 0], cloth.period * 0.5, pixel)


def _bands(cloth: Cloth, uv: Array, place: Array, pixel: float) -> Array:
    return _wave(uv[:, 1], cloth.period, pixel)


def _checks(cloth: Cloth, uv: Array, place: Array, pixel: float) -> Array:
    return 0.5 * _wave(uv[:, 0], cloth.period * 0.8, pixel) + 0.5 * _wave(uv[:, 1], cloth.period * 0.8, pixel)


def _dots(cloth: Cloth, uv: Array, place: Array, pixel: float) -> Array:
    cell = (uv / (0.8 * cloth.period)) % 1 - 0.5
    return _soft((np.hypot(*cell.T) - 0.27) * 0.8 * cloth.period, pixel)


def _blotches(cloth: Cloth, uv: Array, place: Array, pixel: float) -> Array:
    return np.clip(0.5 + 4 * noise(place, cloth.seed + 2, 2.2 * cloth.period), 0, 1)


def _flowers(cloth: Cloth, uv: Array, place: Array, pixel: float) -> Array:
    row = np.floor(uv[:, 1] / cloth.period)
    cell = np.stack([(uv[:, 0] / cloth.period + 0.5 * (row % 2)) % 1, (uv[:, 1] / cloth.period) % 1], 1) - 0.5
    petals = 0.3 + 0.09 * np.cos(5 * np.arctan2(cell[:, 1], cell[:, 0]) + row)
    return _soft((np.hypot(*cell.T) - petals) * cloth.period, pixel)


def _gradient(cloth: Cloth, uv: Array, place: Array, pixel: float) -> Array:
    return np.clip((place[:, 1] - 0.5) / 0.9, 0, 1)


def _denim(cloth: Cloth, uv: Array, place: Array, pixel: float) -> Array:
    at = canonical().joints
    knee = np.exp(-(((place[:, 1] - at["left knee"][1] - 0.12) / 0.14) ** 2)) * (place[:, 2] > at["left knee"][2])
    return np.clip(0.15 + 0.4 * knee + 0.12 * noise(place, cloth.seed + 3, 0.05), 0, 1)


PATTERNS = {
    "plain": _plain,
    "stripes": _stripes,
    "bands": _bands,
    "checks": _checks,
    "dots": _dots,
    "blotches": _blotches,
    "flowers": _flowers,
    "gradient": _gradient,
    "denim": _denim,
}


# Details of garments


def _top(wear: Outfit, place: Array, sleeve: Array, color: Array) -> Array:
    at = canonical().joints
    x, y, z = place.T
    chest, body = at["chest"][1] + 0.1, sleeve < 0
    front = body & (z > at["chest"][2] + 0.02)
    if wear.print_kind == "logo":
        u, v = x / 0.1, (y - chest) / 0.1
        angle = np.arctan2(v, u)
        mark = front & (np.hypot(u, v) < 0.75 + 0.25 * np.cos((3 + wear.top.seed % 4) * angle))
        mark |= front & (np.abs(v + 1.25) < 0.16) & (np.abs(u) < 1.1) & ((np.abs(u) * 5 % 1) < 0.7)
        color = np.where(mark[:, None], wear.trim, color)
    elif wear.print_kind == "stripe":
        color = np.where((body & (np.abs(y - chest) < 0.05))[:, None], wear.trim, color)
    elif wear.print_kind == "pocket":
        pocket = front & (np.abs(x - 0.085) < 0.045) & (np.abs(y - chest + 0.02) < 0.055)
        color = np.where(pocket[:, None], color * 0.8, color)
        buttons = front & (np.abs(x) < 0.007) & (((y - 0.03) % 0.09) < 0.016)
        color = np.where((front & (np.abs(x) < 0.016))[:, None], color * 0.9, color)
        color = np.where(buttons[:, None], np.array(0.9), color)
    cuff = (np.abs(sleeve - wear.sleeve + 0.04) < 0.04) & (sleeve > 0)
    hem = body & (np.abs(y - wear.hem - 0.01) < 0.01) & (wear.bottom_kind != "dress")
    side = body & (np.abs(z - at["chest"][2]) < 0.006) & (np.abs(x) > 0.08)
    return np.where((cuff | hem | side)[:, None], color * 0.8, color)


def _trousers(wear: Outfit, place: Array, color: Array) -> Array:
    at = canonical().joints
    x, y, z = place.T
    belt = (y > wear.waist - 0.035) & (wear.bottom_kind == "trousers")
    color = np.where(belt[:, None], np.minimum(color * 0.5, wear.shoes * 0.6 + 0.02), color)
    seam = (np.abs(z - at["left hip"][2]) < 0.006) & (np.abs(x) > abs(at["left hip"][0]))
    fly = (np.abs(x) < 0.006) & (y > at["left hip"][1] - 0.05) & (z > 0)
    pocket = (np.abs(y - at["left hip"][1] + 0.02 - 0.6 * (np.abs(x) - 0.12)) < 0.006) & (np.abs(x) > 0.08) & (z > 0.02)
    seat = (z < 0) & (np.abs(np.abs(x) - 0.085) < 0.055) & (np.abs(y - at["left hip"][1] + 0.0) < 0.06)
    color = np.where(seat[:, None], color * 0.9, color)
    return np.where((seam | fly | pocket)[:, None], color * 0.72, color)


def _jacket(wear: Outfit, place: Array, sleeve: Array, color: Array) -> Array:
    at = canonical().joints
    x, y, z = place.T
    neck, body = at["neck"], sleeve < 0
    edge = np.abs(x) - wear.opening - np.maximum(0, (y - neck[1] + 0.2) * 0.3)
    zipper = body & (z > 0) & (edge < 0.012)
    color = np.where(zipper[:, None], color * 0.55 + 0.1 * wear.trim, color)
    pocket = body & (z > 0) & (np.abs(np.abs(x) - 0.12) < 0.035) & (np.abs(y - at["waist"][1] - 0.03) < 0.008)
    cuff = (sleeve > wear.jacket_sleeve - 0.08) | (body & (y < wear.jacket_hem + 0.025))
    return np.where((pocket | cuff)[:, None], color * 0.7, color)


def _shoes(wear: Outfit, place: Array) -> Array:
    y, z = place[:, 1], place[:, 2]
    ankle = canonical().joints["left ankle"]
    color = np.tile(wear.shoes, (len(place), 1))
    color[y > ankle[1] + 0.02] *= 0.85
    laces = (z > ankle[2] + 0.03) & (y > 0.05) & ((z * 50 % 1) < 0.4) & (np.abs(np.abs(place[:, 0]) - ankle[0]) < 0.04)
    color[laces] = 0.6 * color[laces] + 0.3
    color[y < 0.022] = wear.sole
    return color


def _skirt(wear: Outfit, surface: Surface, pixel: float) -> tuple[Array, Array]:
    place = surface.place
    at = canonical().joints["waist"]
    uv = np.stack([np.arctan2(place[:, 0], place[:, 2] - at[2]) * 0.2, place[:, 1]], 1)
    color = fabric(wear.bottom, uv, place, pixel)
    folds = 1 + 0.10 * np.sin(uv[:, 0] / 0.2 * 11 + wear.bottom.seed) * np.clip((wear.waist - place[:, 1]) / 0.3, 0, 1)
    belt = (place[:, 1] > wear.waist - 0.035) & (wear.bottom_kind == "skirt")
    return np.where(belt[:, None], color * 0.75, color) * folds[:, None], np.full(len(place), wear.bottom.shine)


def _loose_hair(wear: Outfit, surface: Surface, pixel: float) -> tuple[Array, Array]:
    return _strands(wear, surface.place, pixel), np.full(len(surface.place), 0.3)


def _hat(wear: Outfit, surface: Surface, pixel: float) -> tuple[Array, Array]:
    place = surface.place
    around = np.arctan2(place[:, 0], place[:, 2])
    seam = np.abs((around * 6 / (2 * np.pi)) % 1 - 0.5) < 0.03
    color = np.where(seam[:, None], wear.hat_color * 0.75, wear.hat_color)
    if wear.hat == "beanie":
        color = wear.hat_color * (1 + 0.12 * np.sin(around * 40))[:, None]
        color = np.where((place[:, 1] < 0.045)[:, None], color * 0.85, color)
    else:
        badge = (place[:, 2] > 0) & (np.abs(place[:, 0]) < 0.025) & (np.abs(place[:, 1] - 0.06) < 0.018)
        color = np.where(badge[:, None], wear.trim, color)
    return color, np.full(len(place), 0.1)


def _visor(wear: Outfit, surface: Surface, pixel: float) -> tuple[Array, Array]:
    return np.tile(wear.hat_color * 0.85, (len(surface.place), 1)), np.full(len(surface.place), 0.1)


def _bag(wear: Outfit, surface: Surface, pixel: float) -> tuple[Array, Array]:
    place = surface.place
    flap = np.abs(place[:, 1] - 0.05) < 0.008
    pocket = (place[:, 1] < -0.02) & (np.abs(place[:, 0]) < 0.1)
    color = np.where(pocket[:, None], wear.bag_color * 0.82, wear.bag_color)
    return np.where(flap[:, None], wear.bag_color * 0.5, color), np.full(len(place), 0.2)


_PAINTERS = {
    BODY: _body,
    EYES: _eyes,
    SKIRT: _skirt,
    HAIR: _loose_hair,
    HAT: _hat,
    VISOR: _visor,
    BAG: _bag,
}
