"""What every scene is painted with: fractal noise, gradients, terrain seen from a camera, pine trees.

Pictures are float32 arrays of shape (height, width, 3) with values 0..1 in display (gamma) space. Every random
number comes from a generator that the caller seeds. Writes no files.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

F32 = np.float32


def noise(rng: np.random.Generator, h: int, w: int, beta: float, size: float, stretch: float = 1.0) -> np.ndarray:
    """Return periodic fractal noise, mean 0 and deviation 1.

    Its spectrum falls as f**-beta above the frequency 1/size (pixels); stretch > 1 draws it out sideways.
    """
    fy = np.fft.fftfreq(h)[:, None].astype(F32)
    fx = (np.fft.rfftfreq(w)[None, :] * stretch).astype(F32)
    amplitude = (fy * fy + fx * fx + (1.0 / size) ** 2) ** (-beta / 2)
    amplitude[0, 0] = 0
    out = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((h, w), dtype=F32)) * amplitude, s=(h, w))
    out -= out.mean()
    return (out / out.std()).astype(F32)


def noise1(rng: np.random.Generator, w: int, beta: float, size: float) -> np.ndarray:
    """Return one row of fractal noise that does not wrap visibly: half of a periodic one."""
    return noise(rng, 1, 2 * w, beta, size)[0, :w]


def resize(a: np.ndarray, w: int, h: int) -> np.ndarray:
    """Resize one float plane, bicubic."""
    return np.asarray(Image.fromarray(a.astype(F32)).resize((w, h), Image.Resampling.BICUBIC))


def blur(a: np.ndarray, radius: float) -> np.ndarray:
    """Blur one plane of 0..1 softly; wide radii work on a small copy."""
    h, w = a.shape
    k = max(1, int(radius / 6))
    small = Image.fromarray((np.clip(a, 0, 1) * 255).astype(np.uint8)).resize(
        (max(1, w // k), max(1, h // k)), Image.Resampling.BOX
    )
    return resize(np.asarray(small.filter(ImageFilter.GaussianBlur(radius / k)), dtype=F32) / 255, w, h)


def step(lo: float, hi: float, x: np.ndarray) -> np.ndarray:
    """Return 0 below lo, 1 above hi, and a smooth S between."""
    t = np.clip((x - lo) / (hi - lo), 0, 1)
    return t * t * (3 - 2 * t)


def mix(a: np.ndarray, b: np.ndarray | tuple[float, ...], t: np.ndarray) -> np.ndarray:
    """Mix picture a with a picture or colour b, plane t of 0..1 saying how much of b."""
    return a + (np.asarray(b, F32) - a) * t[..., None]


def ramp(t: np.ndarray, *stops: tuple[float, str]) -> np.ndarray:
    """Colour a plane by a gradient of (position, "#rrggbb") stops."""
    at = [s for s, _ in stops]
    rgb = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for _, c in stops])
    return np.stack([np.interp(t, at, rgb[:, i]).astype(F32) for i in range(3)], axis=-1)


def grid(h: int, w: int) -> tuple[np.ndarray, np.ndarray]:
    """Return row and column numbers as broadcastable float planes."""
    return np.arange(h, dtype=F32)[:, None], np.arange(w, dtype=F32)[None, :]


def sample(a: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Read a periodic map at fractional places, bilinear."""
    h, w = a.shape
    x0, y0 = np.floor(x), np.floor(y)
    fx, fy = (x - x0).astype(F32), (y - y0).astype(F32)
    i, j = y0.astype(np.int32) % h, x0.astype(np.int32) % w
    i1, j1 = (i + 1) % h, (j + 1) % w
    return (a[i, j] * (1 - fx) + a[i, j1] * fx) * (1 - fy) + (a[i1, j] * (1 - fx) + a[i1, j1] * fx) * fy


def finish(rgb: np.ndarray, rng: np.random.Generator, grain: float = 1.0, vignette: float = 0.12) -> Image.Image:
    """Add a little grain (in 8-bit steps; it hides banding) and darker corners, and return an RGB image."""
    h, w, _ = rgb.shape
    y, x = grid(h, w)
    dark = 1 - vignette * ((x / w - 0.5) ** 2 + (y / h - 0.5) ** 2) * 2
    film = rng.standard_normal((h, w), dtype=F32) * (grain / 255)
    return Image.fromarray((np.clip(rgb * dark[..., None] + film[..., None], 0, 1) * 255 + 0.5).astype(np.uint8))


@dataclass(frozen=True)
class Land:
    """A periodic height map and what light does to it; one unit is one cell."""

    height: np.ndarray
    light: np.ndarray  # 0..1, how squarely the sun meets the slope, 0 in a cast shadow
    steep: np.ndarray  # slope, rise over run


def mountains(rng: np.random.Generator, n: int, tall: float, sun: tuple[float, float, float]) -> Land:
    """Raise ridged mountains about `tall` cells high; sun is (east, north, up)."""
    warp = noise(rng, n, n, 3.2, n / 5) * (n / 28)
    y, x = grid(n, n)
    ridges = np.zeros((n, n), F32)
    for size, share in ((n / 5, 1.0), (n / 12, 0.24), (n / 30, 0.07)):
        fold = 1 - np.minimum(np.abs(noise(rng, n, n, 3.6, size)) / 1.6, 1)
        ridges += share * sample(fold * fold, x + warp, y + warp.T)
    rough = noise(rng, n, n, 1.9, n / 30)
    height = tall * (0.62 * ridges + 0.25 * noise(rng, n, n, 2.6, n / 4) + 0.022 * rough * ridges)
    gy, gx = np.gradient(height)
    steep = np.hypot(gx, gy)
    length = float(np.sqrt(sum(v * v for v in sun)))
    east, north, up = (v / length for v in sun)
    light = np.clip((up - gx * east - gy * north) / np.sqrt(1 + steep * steep), 0, 1)
    blocked = np.full((n, n), -1e9, F32)
    flat = float(np.hypot(east, north))
    for k in range(2, 90, 2):
        shift = (-round(k * north / flat), -round(k * east / flat))
        np.maximum(blocked, np.roll(height, shift, (0, 1)) - k * up / flat, out=blocked)
    light *= 1 - step(-0.6, 0.9, blocked - height)
    return Land(height, light.astype(F32), steep.astype(F32))


@dataclass(frozen=True)
class View:
    """What a camera sees of a land: per pixel the distance (inf for sky) and the place on the map."""

    far: np.ndarray
    x: np.ndarray
    y: np.ndarray
    sky: np.ndarray  # bool


def look(
    height: np.ndarray,
    h: int,
    w: int,
    eye: tuple[float, float, float],
    focal: float,
    horizon: float,
    near: float,
    reach: float,
    wrap: bool = False,
    steps: int = 900,
) -> View:
    """Look north from eye (x, y, altitude) over a height map.

    Each column is walked from near to far; a row is taken by the first piece of land that rises above what was
    there. wrap bends the picture plane into a cylinder, as a panorama does. Heights below 0 count as 0.
    """
    col = (np.arange(w, dtype=F32) - w / 2) / focal
    dx, dy = (np.sin(col), np.cos(col)) if wrap else (col, np.ones(w, F32))
    far = np.full((h, w), np.inf, F32)
    top = np.full(w, h, np.int64)
    before_z, before_y = near, np.full(w, float(h), F32)
    for z in near * (reach / near) ** (np.arange(steps) / (steps - 1)):
        ground = np.maximum(sample(height, eye[0] + dx * z, eye[1] + dy * z), 0)
        now_y = horizon - (ground - eye[2]) * focal / z
        new = np.clip(np.ceil(now_y), 0, h).astype(np.int64)
        count = np.maximum(top - new, 0)
        total = int(count.sum())
        if total:
            cols = np.repeat(np.arange(w), count)
            rows = top[cols] - 1 - (np.arange(total) - np.repeat(np.cumsum(count) - count, count))
            span = np.maximum(before_y - now_y, 1e-3)[cols]
            far[rows, cols] = before_z + (z - before_z) * np.clip((before_y[cols] - rows) / span, 0, 1)
            top = np.minimum(top, new)
        before_z, before_y = z, now_y
    sky = ~np.isfinite(far)
    z = np.where(sky, 1, far)
    return View(far, eye[0] + dx * z, eye[1] + dy * z, sky)


def mirror(rgb: np.ndarray, line: int, rng: np.random.Generator, calm: float) -> np.ndarray:
    """Fill everything below row `line` with its reflection, ripples growing towards the viewer."""
    h, w, _ = rgb.shape
    deep = h - line
    y = np.arange(deep, dtype=F32)[:, None]
    ripple = resize(noise(rng, deep // 4, w // 4, 1.5, 40, 6), w, deep)
    # Ripples look smaller the farther off they are: read the same noise denser near the far shore.
    at = np.clip((np.sqrt(y / deep) * deep).astype(np.int32), 0, deep - 1)[:, 0]
    shift = ripple[at] * (y / deep) ** 0.8 * deep * calm
    rows = np.clip(line - 1 - y * 0.96 - shift, 0, line - 1).astype(np.int32)
    out = rgb.copy()
    out[line:] = rgb[rows, np.arange(w)[None, :]]
    return out


def pine(draw: ImageDraw.ImageDraw, rng: np.random.Generator, x: float, base: float, tall: float) -> None:
    """Draw one pine into a mask: a trunk and ragged, drooping branches that narrow to a tip."""
    wide = tall * rng.uniform(0.15, 0.21)
    draw.line([(x, base), (x, base - tall)], fill=255, width=max(1, int(tall * 0.016)))
    tiers = int(np.clip(tall / 7, 9, 60))
    for k in range(tiers):
        t = k / tiers
        y = base - tall * (0.07 + 0.93 * t)
        reach = wide * (1 - t) ** 0.85 * rng.uniform(0.55, 1.12) + tall * 0.004
        thick = tall / tiers * rng.uniform(1.0, 1.9)
        for side in (-1, 1):
            r = reach * rng.uniform(0.65, 1.1)
            droop = r * rng.uniform(0.22, 0.5)
            tip = (x + side * r, y + droop)
            inner = (x + side * r * 0.5, y + droop * 0.3 + thick * 0.75)
            draw.polygon([(x, y - thick), tip, inner, (x, y + thick * 0.4)], fill=255)


def pines(rng: np.random.Generator, h: int, w: int, trees: list[tuple[float, float, float]]) -> np.ndarray:
    """Return a 0..1 plane with pines at (x, base, height)."""
    mask = Image.new("L", (w, h))
    draw = ImageDraw.Draw(mask)
    for x, base, tall in trees:
        pine(draw, rng, x, base, tall)
    return np.asarray(mask.filter(ImageFilter.GaussianBlur(0.9)), dtype=F32) / 255
