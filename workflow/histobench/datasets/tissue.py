"""Drawing of stained tissue.

A field of view is drawn in three steps. A *layout* says where glands, nests or fronds are, as one number per pixel: the
depth in micrometres below the surface of the epithelium (below 0 is stroma, beyond the epithelium's lining is lumen).
*Optical densities* of haematoxylin and eosin follow: fibres, cytoplasm, mucin, fat, and nuclei drawn as outlines. The
*stain* turns densities into colours by Beer-Lambert's law with the stain vectors of Ruifrok & Johnston (Quantitation of
histochemical staining by color deconvolution, Anal Quant Cytol Histol 2001, 23:291-299), turned and scaled per patient.
"""

import math
from dataclasses import dataclass
from functools import partial
from statistics import NormalDist

import cv2
import numpy as np

HAEMATOXYLIN = np.array([0.650, 0.704, 0.286])
EOSIN = np.array([0.072, 0.990, 0.105])
"""Optical density in red, green and blue per unit of stain (Ruifrok & Johnston 2001)."""

DRAWN_WIDTH = 280
"""Fields are drawn at least this wide in pixels and then averaged down, so that small images are not jagged."""


@dataclass(frozen=True)
class Architecture:
    """How the tissue of one histological type is built; lengths in um."""

    spacing: float
    """Between the centres of neighbouring glands or nests; wavelength of fronds."""
    radius: float
    lining: float
    """Thickness of the epithelium; a gland of larger radius has a lumen."""
    septum: float = 8.0
    """Least stroma between two glands."""
    warp: float = 0.15
    """Irregularity of outlines, relative to the radius."""
    stretch: float = 1.0
    """Length of glands relative to their width."""
    presence: float = 1.0
    """Share of the places for glands that are taken."""
    lumen: str = "clear"
    """What the lumen holds: nothing (`clear`), `secretion`, `mucin` or `necrosis`."""
    islands: float = 0.0
    """Radius of the cell clusters that float in the lumen."""
    fronds: bool = False
    """Branching stalks covered by epithelium instead of glands."""
    cellularity: float = 1.0
    """Spindle nuclei of the stroma, relative to ordinary stroma."""
    files: float = 0.0
    """Share of the stroma crossed by tumour cells in single file."""
    fat: float = 0.08
    """Share of the stroma replaced by fat cells."""


@dataclass(frozen=True)
class Tissue:
    """What all images of one patient share."""

    architecture: Architecture
    atypia: float
    """0 (small, even, orderly nuclei) to 1 (large, dark, crowded, irregular ones)."""
    stains: np.ndarray
    """(2, 3) float64: optical density of haematoxylin and eosin in red, green, blue."""
    light: np.ndarray
    """(3,) float64: colour of the empty slide, 0 to 1."""
    fibre: float
    """Thickness of collagen bundles in um."""
    waviness: float
    """Amplitude of their waves in um."""
    looseness: float
    """Share of clefts in the stroma."""
    blur: float
    """Standard deviation of the defocus, in drawn pixels of an image 700 wide."""


def draw(rng: np.random.Generator, tissue: Tissue, width: int, height: int, field: float) -> np.ndarray:
    """Draw one field of view.

    Args:
        rng: what decides everything that `tissue` does not.
        tissue: what all images of the patient share.
        width: of the image in pixels.
        height: of the image in pixels.
        field: width of the field of view in um.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    factor = math.ceil(DRAWN_WIDTH / width)
    um = field / (width * factor)
    density = _densities(rng, tissue, (height * factor, width * factor), um)
    density *= rng.normal(1, 0.04, size=(2, 1, 1)).astype(np.float32)  # thickness of the section, time in the dye
    y, x = (np.linspace(-1, 1, length, dtype=np.float32) for length in density.shape[1:])
    radius = np.hypot(y[:, None], x) / math.sqrt(2)  # from the centre, 1 in the corners
    shade = 1 - 0.06 * radius**2 * rng.random()
    transmitted = np.power(10, -np.einsum("shw,sc->hwc", density, tissue.stains.astype(np.float32)))
    transmitted *= shade[..., None] * tissue.light.astype(np.float32)
    transmitted = cv2.GaussianBlur(transmitted, (0, 0), max(0.3, tissue.blur * width * factor / 700))
    transmitted = cv2.resize(transmitted, (width, height), interpolation=cv2.INTER_AREA)
    noisy = 255 * transmitted + rng.normal(0, 1.5, size=transmitted.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def _densities(rng: np.random.Generator, tissue: Tissue, shape: tuple[int, int], um: float) -> np.ndarray:
    """Return (2, height, width) float32: how much haematoxylin and eosin there is, in units of optical density."""
    kind = tissue.architecture
    y, x = (axis.astype(np.float32) * um for axis in np.indices(shape, sparse=True))
    smooth = partial(_noise, rng, shape)
    depth = _layout(rng, kind, shape, um)
    lumen = depth > kind.lining
    fat = _share(smooth(220 / um) + 0.1 * smooth(20 / um), kind.fat, 0.5) & (depth < -14)
    torn = _share(smooth(450 / um) + 0.15 * smooth(30 / um), 0.05, 0.4)

    # Collagen: bundles that run across the field in waves and bend around glands.
    turn = rng.uniform(0, math.pi)
    along = x * math.cos(turn) + y * math.sin(turn)
    waves = smooth(110 / um) + 0.25 * smooth(25 / um) + 0.06 * smooth(8 / um)
    across = y * math.cos(turn) - x * math.sin(turn) + tissue.waviness * waves
    side = 2 * round(14 / um * 1.2) + 1
    across += 1.2 * cv2.blur(cv2.blur(np.clip(-depth, 0, 40), (side, side)), (side, side))
    bundles, fibres, fine = (
        _stretched_noise(rng, along / max(length * tissue.fibre, um), across / max(thickness * tissue.fibre, um))
        for length, thickness in ((7, 1), (5, 0.4), (2, 0.15))
    )
    cleft = _step(bundles + 0.5 * fibres + 0.4 * smooth(70 / um), 1.19 * _threshold(tissue.looseness), 0.3)
    eosin = (0.38 + 0.05 * bundles + 0.05 * fibres + 0.04 * fine + 0.04 * smooth(40 / um)) * (1 - 0.9 * cleft)
    haematoxylin = (0.05 + 0.01 * fine) * (1 - cleft)

    # Epithelium: cytoplasm, with a denser rim where it meets the lumen; then what fills lumens.
    body = _step(depth, 0, 1.5)
    haze = smooth(9 / um)
    eosin += body * (0.30 + 0.05 * haze + 0.03 * smooth(2.5 / um) - eosin)
    haematoxylin += body * (0.16 + 0.05 * haze - haematoxylin)
    content = _step(depth, kind.lining, 1.0)
    filling = {"clear": (0.0, 0.015), "secretion": (0.0, 0.015), "mucin": (0.09, 0.06), "necrosis": (0.12, 0.5)}
    blue, pink = filling[kind.lumen]
    wisps = _stretched_noise(rng, along / 50, across / 10) if kind.lumen == "mucin" else smooth(6 / um)
    haematoxylin += content * (blue * (1 + 0.25 * wisps) - haematoxylin)
    eosin += content * (pink * (1 + 0.3 * wisps) - eosin)
    if kind.lumen == "secretion":
        eosin += _step(depth, kind.lining + 3, 1.0) * (smooth(90 / um) > 0.2) * (0.28 + 0.05 * haze)
    islands = np.zeros(shape, bool)
    if kind.islands:
        afloat = _glands(rng, Architecture(2.5 * kind.islands, kind.islands, 0, warp=0.3, presence=0.8), shape, um)
        islands = (np.minimum(afloat, depth - 12) > 0) & lumen
        soft = cv2.GaussianBlur(islands.astype(np.float32), (0, 0), max(0.5, 0.8 / um))
        eosin += soft * (0.32 + 0.05 * haze - eosin)
        haematoxylin += soft * (0.2 + 0.05 * haze - haematoxylin)

    # Fat: cells like empty bubbles between thin walls.
    if fat.any():
        inside = _glands(rng, Architecture(58, 60, 0, septum=0, warp=0.05), shape, um)
        bubble = cv2.GaussianBlur(fat.astype(np.float32), (0, 0), max(0.5, 2 / um)) * _step(inside, 1.2, 0.8)
        eosin *= 1 - 0.96 * bubble
        haematoxylin *= 1 - 0.96 * bubble

    epithelium = ((depth > 1.5) & ~lumen | islands) & ~torn
    stroma = (depth < -1.5) & ~torn & ~fat & (cleft < 0.5)
    nuclear, red = _cells(rng, tissue, epithelium, stroma, depth, across, um)
    eosin = np.maximum(eosin * (1 - 0.45 * np.minimum(nuclear / 0.4, 1)), red)
    haematoxylin = np.maximum(haematoxylin, nuclear)
    tissue_left = 1 - 0.97 * cv2.GaussianBlur(torn.astype(np.float32), (0, 0), max(0.5, 1.5 / um))
    return np.clip(np.stack([haematoxylin, eosin]) * tissue_left, 0, None).astype(np.float32)


def _layout(rng: np.random.Generator, kind: Architecture, shape: tuple[int, int], um: float) -> np.ndarray:
    """Return the depth below the surface of the epithelium in um, (height, width) float32.

    Of up to six places the first is taken that shows a fair share of epithelium, as a pathologist would choose.
    """
    for _ in range(6):
        if kind.fronds:
            branches = np.abs(_noise(rng, shape, kind.spacing / um) + 0.3 * _noise(rng, shape, 0.3 * kind.spacing / um))
            depth = (branches - 0.15) * 0.7 * kind.spacing
        else:
            depth = _glands(rng, kind, shape, um)
        shown = (depth > 0) & (depth < max(kind.lining, 2 * kind.islands))
        if shown.mean() > 0.25 * kind.presence and (depth > kind.lining).mean() < 0.6 + 0.4 * bool(kind.islands):
            break
    return depth


def _glands(rng: np.random.Generator, kind: Architecture, shape: tuple[int, int], um: float) -> np.ndarray:
    """Return the depth in um inside cells of a jittered grid, (height, width) float32; below 0 between them.

    A point lies as deep as its cell's radius less its distance from the cell's centre, and no deeper than half its
    lead over the next cell, less half the septum: cells that touch part along straight walls, as in a Voronoi diagram.
    """
    half = (shape[0] + 1) // 2, (shape[1] + 1) // 2  # smooth enough to be computed at half the resolution
    y, x = (axis.astype(np.float32) * 2 * um for axis in np.indices(half, sparse=True))
    bend = kind.warp * kind.radius
    x = x + bend * _noise(rng, half, 0.9 * kind.radius / um)
    y = y + bend * _noise(rng, half, 0.9 * kind.radius / um)
    turn = rng.uniform(0, math.pi)
    u = (x * math.cos(turn) + y * math.sin(turn)) / kind.stretch
    v = y * math.cos(turn) - x * math.sin(turn)
    u, v = ((axis - axis.min()) / kind.spacing + 1 for axis in (u, v))
    columns, rows = u.astype(int), v.astype(int)
    grid = (rows.max() + 2, columns.max() + 2)
    radius = np.where(rng.random(grid) < kind.presence, kind.radius * rng.uniform(0.8, 1.2, grid), -1e4)
    centre = rng.uniform(0.1, 0.9, (2, *grid)) + np.indices(grid)[::-1]
    radius, centre_u, centre_v = (values.astype(np.float32).ravel() for values in (radius, *centre))
    best = np.full(half, -1e4, np.float32)
    second = best.copy()
    for row in (-1, 0, 1):
        for column in (-1, 0, 1):
            cell = (rows + row) * grid[1] + columns + column
            distance = np.sqrt((u - centre_u[cell]) ** 2 + (v - centre_v[cell]) ** 2)
            depth = radius[cell] - kind.spacing * distance
            second = np.maximum(second, np.minimum(best, depth))
            best = np.maximum(best, depth)
    depth = np.minimum(best, (best - second - kind.septum) / 2)
    return cv2.resize(np.maximum(depth, -200), shape[::-1], interpolation=cv2.INTER_CUBIC)


def _cells(
    rng: np.random.Generator,
    tissue: Tissue,
    epithelium: np.ndarray,
    stroma: np.ndarray,
    depth: np.ndarray,
    across: np.ndarray,
    um: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the haematoxylin of nuclei and the eosin of red cells as optical densities, (height, width) float32."""
    files, atypia, shape = tissue.architecture.files, tissue.atypia, depth.shape
    nuclei, red = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    anywhere = rng.uniform(0, math.pi, shape)
    toward_lumen, across_fibre = (np.arctan2(*np.gradient(values)) for values in (depth, across))
    along_fibre = across_fibre + math.pi / 2
    strand = (np.abs(across / 42 % 1 - 0.5) < 0.11) & _share(_noise(rng, shape, 160 / um), files, 1.0)
    inflamed = _share(_noise(rng, shape, 120 / um), 0.05, 0.3)
    bled = _share(_noise(rng, shape, 60 / um), 0.02, 0.1)
    spindles = 0.28 * tissue.architecture.cellularity
    # What carries the class: size, its spread, crowding, disorder, outline and darkness of epithelial nuclei.
    radius, spread, distance = 3.0 + 1.7 * atypia, 0.07 + 0.16 * atypia, 2.9 - 0.6 * atypia
    disorder, rough, dark = 0.15 + 0.9 * atypia, 0.03 + 0.08 * atypia, 0.5 + 0.2 * atypia
    for canvas, where, spacing, share, size, sizes, length, angle, turned, bumps, density in (
        (red, stroma & bled, 7, 0.7, 3.2, 0.05, 1.1, anywhere, 0.0, 0.03, 0.75),
        (nuclei, stroma, 15, spindles, 2.4, 0.2, 3.2, along_fibre, 0.15, 0.03, 0.65),
        (nuclei, stroma & inflamed, 7, 0.5, 2.5, 0.08, 1.05, anywhere, 0.0, 0.03, 0.8),
        (nuclei, stroma & strand, distance * radius, 0.9, radius, spread, 1.25, along_fibre, disorder, rough, dark),
        (nuclei, epithelium, distance * radius, 0.95, radius, spread, 1.3, toward_lumen, disorder, rough, dark),
    ):
        points = _scatter(rng, where, spacing, share, um)
        turns = angle[points[:, 1].astype(int), points[:, 0].astype(int)] + turned * rng.normal(size=len(points))
        radii = size / um * np.exp(sizes * rng.normal(size=len(points)))
        lengths = length * np.exp(0.15 * rng.normal(size=len(points)))
        _outlines(rng, canvas, points, radii, lengths, turns, bumps, density)
    chromatin = (0.12 + 0.12 * atypia) * _noise(rng, shape, 1.3 / um) if um < 1 else 0  # finer than the eye sees beyond
    return nuclei * np.float32(0.01) * (1 + chromatin), red * np.float32(0.01)


def _outlines(
    rng: np.random.Generator,
    canvas: np.ndarray,
    points: np.ndarray,
    radii: np.ndarray,
    lengths: np.ndarray,
    turns: np.ndarray,
    rough: float,
    dark: float,
) -> None:
    """Draw nuclei on a uint8 canvas in hundredths of optical density; points and radii in pixels."""
    circle = np.linspace(0, 2 * math.pi, 8 if radii.size and radii.mean() < 4 else 20, endpoint=False)
    waves = np.arange(2, 6)
    phases = rng.uniform(0, 2 * math.pi, (len(radii), len(waves), 1))
    bumps = 1 + rough * np.sum(np.cos(waves[:, None] * circle + phases) * 2 / waves[:, None], axis=1)
    x = np.cos(circle) * bumps * (radii * np.sqrt(lengths))[:, None]
    y = np.sin(circle) * bumps * (radii / np.sqrt(lengths))[:, None]
    cos, sin = np.cos(turns)[:, None], np.sin(turns)[:, None]
    corners = np.stack([x * cos - y * sin, x * sin + y * cos], axis=-1) + points[:, None]
    corners = np.rint(corners * 16).astype(np.int32)
    shades = np.clip(100 * dark * np.exp(0.15 * rng.normal(size=len(radii))), 20, 250)
    for outline, radius, shade in zip(corners, radii, shades.tolist(), strict=True):
        cv2.fillPoly(canvas, [outline], shade, cv2.LINE_AA, 4)
        if radius > 5:
            cv2.polylines(canvas, [outline], True, min(255.0, 1.35 * shade), max(1, round(radius / 8)), cv2.LINE_AA, 4)


def _scatter(rng: np.random.Generator, where: np.ndarray, spacing: float, share: float, um: float) -> np.ndarray:
    """Return a share of the points of a jittered triangular grid of `spacing` um that lie in `where`: (N, 2) x, y."""
    step = spacing / um
    rows, columns = int(where.shape[0] / step / 0.866) + 2, int(where.shape[1] / step) + 2
    y, x = np.indices((rows, columns)).astype(float)
    x += 0.5 * (y % 2)
    points = np.stack([x.ravel(), 0.866 * y.ravel()], axis=1) - 0.5 + rng.normal(0, 0.13, (rows * columns, 2))
    points *= step
    points = points[np.all((points >= 0) & (points < where.shape[::-1]), axis=1) & (rng.random(len(points)) < share)]
    return points[where[points[:, 1].astype(int), points[:, 0].astype(int)]]


def _noise(rng: np.random.Generator, shape: tuple[int, int], wavelength: float) -> np.ndarray:
    """Return smooth noise of mean 0 and deviation 1, (height, width) float32: a cubic B-spline over white noise.

    `wavelength` is the distance of the spline's knots in pixels; below 1 the noise is white.
    """
    if wavelength <= 1:
        return rng.standard_normal(shape, np.float32)
    places, weights = [], []
    for length in shape:
        position = rng.random() + np.arange(length) / wavelength
        t = position % 1
        places.append(position.astype(int))
        spline = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]) / 6
        weights.append(spline.astype(np.float32))
    values = rng.standard_normal((places[0][-1] + 4, places[1][-1] + 4), np.float32)
    for axis, (place, weight) in enumerate(zip(places, weights, strict=True)):
        parts = [np.take(values, place + k, axis) * np.expand_dims(weight[k], 1 - axis) for k in range(4)]
        values = parts[0] + parts[1] + parts[2] + parts[3]
    return values / np.float32(0.479)  # the mean over positions of the sum of squared weights


def _stretched_noise(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Return noise of about mean 0 and deviation 1 at the coordinates u, v, counted in wavelengths."""
    u, v = u - u.min() + 2, v - v.min() + 2
    knots = rng.standard_normal((int(v.max()) + 4, int(u.max()) + 4), np.float32)
    return cv2.remap(knots, u.astype(np.float32), v.astype(np.float32), cv2.INTER_CUBIC) * np.float32(1.35)


def _step(values: np.ndarray, at: float, softness: float) -> np.ndarray:
    """Return 0 well below `at`, 1 well above, and a smooth rise between them."""
    return 0.5 + 0.5 * np.tanh((values - at) / softness)


def _threshold(share: float) -> float:
    """Return what standard normal noise exceeds with probability `share`."""
    return NormalDist().inv_cdf(1 - min(max(share, 1e-6), 0.999))


def _share(noise: np.ndarray, share: float, most: float) -> np.ndarray:
    """Return where standard normal noise is highest: `share` of the tissue, but not more than `most` of the field."""
    return noise > max(_threshold(share), np.quantile(noise, 1 - most)) if share else np.zeros(noise.shape, bool)
