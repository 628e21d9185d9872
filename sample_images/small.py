"""Small pictures: moon, planet, waves, dunes, a map, a fish, an icon. Each function paints one; writes no files."""

from __future__ import annotations

import numpy as np
from brushes import F32, finish, grid, mix, noise, noise1, ramp, step
from PIL import Image, ImageDraw

Rng = np.random.Generator


def moon(size: int, rng: Rng) -> np.ndarray:
    """Return the half moon as 16-bit grey, from 0 to 65535: both craters and the night side keep their steps."""
    y, x = grid(size, size)
    ground = 1.5 * noise(rng, size, size, 1.9, size / 8)
    for radius in 2.4 + rng.pareto(1.25, 700) * 2.6:
        radius = min(float(radius), size * 0.085)
        cx, cy = rng.uniform(0, size, 2)
        k = int(radius * 2.4) + 1
        x0, x1, y0, y1 = int(max(0, cx - k)), int(min(size, cx + k)), int(max(0, cy - k)), int(min(size, cy + k))
        q = np.hypot(y[y0:y1] - cy, x[:, x0:x1] - cx) / radius
        bowl = np.where(q < 1, (q * q - 1) * 0.75 + 0.28, 0.28 * np.exp(-(q - 1) * 3.2))
        peak = 0.30 * np.exp(-((q / 0.16) ** 2)) if radius > size * 0.03 else 0
        ground[y0:y1, x0:x1] += radius**0.85 * 0.60 * (bowl + peak) * (q < 2.4)
    gy, gx = np.gradient(ground)
    u, v = (x - size / 2) / (size * 0.455), (y - size / 2) / (size * 0.455)
    r2 = u * u + v * v
    z = np.sqrt(np.clip(1 - r2, 0, 1))
    nx, ny, nz = u - gx * 0.42, v - gy * 0.42, z + 0.03
    sunlit = np.clip((nx * -0.80 + ny * -0.28 + nz * 0.53) / np.sqrt(nx**2 + ny**2 + nz**2), 0, 1)
    maria = step(0.2, 1.1, noise(rng, size, size, 2.2, size / 3.5))
    albedo = 0.92 - 0.42 * maria + 0.05 * noise(rng, size, size, 1.2, 60)
    bright = albedo * (sunlit**0.85 + 0.010 * z) * step(1.0, 0.985, np.sqrt(r2))
    bright = np.clip(bright / np.percentile(bright, 99.95), 0, 1) ** 0.9
    # 1,500 levels over the whole range: far more than 8 bits hold, and still a small file.
    return np.rint(np.rint(bright * 1500).astype(np.float64) * (65535 / 1500)).astype(np.uint16)


def planet(w: int, h: int, rng: Rng) -> np.ndarray:
    """Return a banded planet with rings as 16-bit RGB of shape (h, w, 3)."""
    y, x = grid(h, w)
    tilt = -0.36
    u0, v0 = (x - w * 0.5) / (h * 0.30), (y - h * 0.5) / (h * 0.30)
    u, v = u0 * np.cos(tilt) - v0 * np.sin(tilt), u0 * np.sin(tilt) + v0 * np.cos(tilt)
    r2 = u * u + v * v
    z = np.sqrt(np.clip(1 - r2, 0, 1))
    bands = np.interp(v + 0.25 * z, np.linspace(-1.6, 1.6, 900), noise(rng, 1, 900, 1.3, 160)[0])
    storm = noise(rng, h, w, 2.0, 60, 5)
    globe = ramp(
        np.clip(0.52 + 0.17 * bands + 0.02 * storm, 0, 1),
        (0, "#7a4a33"),
        (0.4, "#c98f5e"),
        (0.7, "#ecd0a0"),
        (1, "#fff4dc"),
    )
    sunlit = np.clip(u * -0.62 + v * -0.25 + z * 0.74, 0, 1) ** 0.9
    flat = np.hypot(u, v / 0.26)  # the rings lie in the equator's plane, seen at a slant
    groove = np.interp(flat, np.linspace(1.2, 2.3, 700), noise(rng, 1, 700, 0.9, 60)[0])
    cover = step(1.27, 1.31, flat) * step(2.25, 2.2, flat) * np.clip(0.62 + 0.24 * groove, 0.05, 1)
    cover *= 1 - 0.92 * step(1.86, 1.88, flat) * step(1.97, 1.95, flat)
    ring = ramp(np.clip(0.55 + 0.2 * groove, 0, 1), (0, "#5d4a3a"), (1, "#f3e3c6"))
    shadow_on_ring = step(1.02, 0.94, np.hypot(u * 0.92 + v * 0.2 - 0.28, v)) * (v < 0) * (u > 0)
    ring *= (1 - 0.93 * shadow_on_ring)[..., None]
    band_shadow = np.exp(-(((v + 0.10 + 0.16 * z) / 0.055) ** 2)) * 0.7
    space = np.zeros((h, w, 3), F32) + np.array([0.004, 0.006, 0.014], F32)
    haze = noise(rng, h, w, 2.4, w / 2)
    space += (step(0.2, 2.6, haze) * 0.10)[..., None] * np.array([0.35, 0.30, 0.75], F32)
    at = (rng.integers(0, h, 330), rng.integers(0, w, 330))
    space[at] += (rng.pareto(1.5, 330).clip(0, 4) * 0.22 + 0.06)[:, None].astype(F32)
    behind = mix(space, ring, cover * (v <= 0))
    body = mix(behind, globe * (sunlit * (1 - band_shadow))[..., None], step(1.0, 0.975, np.sqrt(r2)))
    rgb = np.clip(mix(body, ring, cover * (v > 0)), 0, 1)
    return np.rint(np.rint(rgb / rgb.max() * 1023).astype(np.float64) * (65535 / 1023)).astype(np.uint16)


def waves(w: int, h: int, frames: int, rng: Rng) -> list[Image.Image]:
    """Rolling waves before a rising sun, as frames of one loop."""
    y, x = grid(h, w)
    line = int(h * 0.56)
    phases = rng.uniform(0, 2 * np.pi, 12)
    pictures = []
    for f in range(frames):
        t = f / frames * 2 * np.pi
        sky = ramp(y / line + 0 * x, (0, "#33468a"), (0.45, "#a86a96"), (0.8, "#f29a73"), (1, "#ffd48a"))
        sx, sy, r = w * 0.62, line - h * 0.085, h * 0.135
        far = np.hypot(x - sx, y - sy)
        sky += (np.exp(-far / (r * (1.7 + 0.12 * np.sin(t)))) * 0.35)[..., None] * np.array([1, 0.7, 0.3], F32)
        rgb = mix(sky, (1, 0.93, 0.70), step(r + 1, r - 1, far))
        for k in range(6):
            depth = k / 5
            crest = (
                line
                + h * 0.44 * depth**1.35
                + (1.5 + 9 * depth)
                * (
                    np.sin(x[0] / w * 2 * np.pi * (7 - 4.5 * depth) + (-1) ** k * t + phases[k])
                    + 0.4 * np.sin(x[0] / w * 2 * np.pi * (15 - 8 * depth) - t + phases[k + 6])
                )
            )
            body = ramp(np.array([[depth]]), (0, "#d9896f"), (0.35, "#7a6a94"), (0.7, "#33568a"), (1, "#122c52"))[0, 0]
            below = y - crest
            rgb = mix(rgb, tuple(body), step(0, 1.6, below))
            foam = step(0.2, 1.4, below) * step(4.5 + 2 * depth, 1.2, below)
            rgb = mix(rgb, (1, 0.86, 0.70), foam * (0.60 - 0.25 * depth))
            path = np.exp(-(((x - sx) / (w * (0.05 + 0.06 * depth))) ** 2)) * step(0, 2, below)
            rgb = mix(rgb, (1, 0.80, 0.52), path * 0.30 * (1 - 0.6 * depth))
        im = Image.fromarray((np.clip(rgb, 0, 1) * 255).astype(np.uint8))
        d = ImageDraw.Draw(im)
        for bx, by, s, p in ((0.20, 0.20, 15, 0), (0.29, 0.27, 11, 1.3), (0.36, 0.17, 9, 2.2)):
            flap = np.sin(2 * t + p) * s * 0.5
            cx, cy = w * bx + 6 * np.sin(t + p), h * by + 3 * np.cos(t + p)
            d.line(
                [
                    (cx - s, cy - flap),
                    (cx - s * 0.4, cy - s * 0.22 - flap * 0.3),
                    (cx, cy),
                    (cx + s * 0.4, cy - s * 0.22 - flap * 0.3),
                    (cx + s, cy - flap),
                ],
                fill="#27305c",
                width=2,
                joint="curve",
            )
        pictures.append(im)
    return pictures


def dunes(w: int, h: int, rng: Rng) -> Image.Image:
    """Sand dunes in slanting light."""
    y, x = grid(h, w)
    rgb = ramp(y / h + 0 * x, (0, "#5f9fd4"), (0.45, "#f4e3c4"))
    for k, at in enumerate((0.42, 0.52, 0.66, 0.84)):
        crest = h * at + h * 0.05 * noise1(rng, w, 2.6, w) + (x[0] - w / 2) * 0.10 * (-1) ** k
        down = (y - crest) / h
        split = np.interp(np.arange(w), np.linspace(0, w, 60), noise1(rng, 60, 2.4, 40)) * 0.06 + 0.05
        lee = step(-0.01, 0.012, down - split * (1 + 0.4 * np.sin(x / w * 9 + k)))
        ribs = 0.03 * np.sin((down * 420 + x / w * 60 + 3 * noise1(rng, w, 2.0, 60)[None]) * (1 - 0.1 * k))
        sand = ramp(
            0.85 - 0.62 * lee + ribs - 0.06 * k, (0, "#6e3c24"), (0.4, "#b8683a"), (0.8, "#eeb270"), (1, "#ffdca0")
        )
        rgb = mix(rgb, sand, step(0, 1.4, y - crest))
    return finish(rgb, rng, grain=0.8)


def topographic_map(w: int, h: int, rng: Rng) -> Image.Image:
    """An island chart: height tints, contour lines, shaded relief, depth lines in the sea, a north arrow."""
    y, x = grid(h, w)
    height = 1.0 * noise(rng, h, w, 2.5, w / 3) + 1.5 - 4.2 * np.hypot((x / w - 0.5) / 1.15, y / h - 0.52)
    gy, gx = np.gradient(height)
    tint = ramp(
        np.floor(height * 6) / 6,
        (-1.2, "#9cc9de"),
        (-0.02, "#cfe8ee"),
        (0.0, "#c3d8a0"),
        (0.8, "#ece3ae"),
        (1.6, "#dcb583"),
        (2.4, "#f5efe6"),
    )
    tint *= np.where(height > 0, np.clip(1 - (gx + gy) * 9, 0.72, 1.14), 1)[..., None]
    slope = np.hypot(gx, gy) + 1e-5
    for every, thick, dark in ((1 / 6, 0.55, 0.42), (5 / 6, 1.0, 0.62)):
        off = np.abs(height / every - np.round(height / every)) * every / slope
        tint = mix(tint, (0.45, 0.30, 0.18), step(thick + 0.5, thick - 0.4, off) * dark * (height > 0.02))
        tint = mix(tint, (0.25, 0.50, 0.66), step(thick + 0.5, thick - 0.4, off) * dark * 0.6 * (height < -0.02))
    tint = mix(tint, (0.12, 0.26, 0.36), step(1.6, 0.6, np.abs(height) / slope))
    im = Image.fromarray((np.clip(tint, 0, 1) * 31 + 0.5).astype(np.uint8) * 8)
    d = ImageDraw.Draw(im)
    ax, ay, s = w * 0.92, h * 0.13, h * 0.06
    d.polygon([(ax, ay - s), (ax + s * 0.4, ay + s), (ax, ay + s * 0.6)], fill="#20303c")
    d.polygon([(ax, ay - s), (ax - s * 0.4, ay + s), (ax, ay + s * 0.6)], outline="#20303c", fill="#f4f4ee")
    d.rectangle([4, 4, w - 5, h - 5], outline="#20303c", width=2)
    return im


FISH = """
..........................
..........kkkkk...........
........kkooookk..........
......kkooooooookk.....kk.
.....koooowwooooook...kok.
....koooowwooobooook.kook.
...koooowwoooobboooowkook.
..kowkooowwooobboooowoook.
..kokkooowwooobboooowook..
..koooooowwoooobboooowoook.
...kroooowwooobboooowkook.
....kooooowwoobooook.kook.
.....koooowwooooook...kok.
......kkooooooookk.....kk.
........kkooookk..........
..........kkkkk...........
..........................
"""


def fish() -> Image.Image:
    """A clown fish in pixels, with a palette of which one entry is transparent."""
    rows = FISH.strip().splitlines()
    names = ".kowbr"
    im = Image.new("P", (26, len(rows)))
    im.putpalette([255, 0, 255, 34, 24, 32, 244, 124, 32, 252, 246, 236, 200, 84, 24, 196, 44, 44])
    for j, row in enumerate(rows):
        for i, c in enumerate(row[:26]):
            im.putpixel((i, j), names.index(c))
    return im.resize((26 * 8, len(rows) * 8), Image.Resampling.NEAREST)


def icon() -> Image.Image:
    """A 16-pixel icon: two peaks, a sun, round corners."""
    s = 16
    im = Image.new("RGBA", (16 * s, 16 * s))
    d = ImageDraw.Draw(im)
    d.rounded_rectangle([0, 0, 16 * s - 1, 16 * s - 1], radius=3 * s, fill="#3b7dd8")
    d.ellipse([10 * s, 2 * s, 14 * s, 6 * s], fill="#ffd94a")
    d.polygon([(6 * s, 14 * s), (11 * s, 7 * s), (16 * s, 13 * s), (16 * s, 14 * s)], fill="#2a4a7a")
    d.polygon([(0, 14 * s), (6 * s, 4 * s), (12 * s, 14 * s)], fill="#1c3358")
    d.polygon([(4 * s, 7.4 * s), (6 * s, 4 * s), (8 * s, 7.4 * s), (6 * s, 8.4 * s)], fill="#ffffff")
    d.rounded_rectangle([0, 13 * s, 16 * s - 1, 16 * s - 1], radius=3 * s, fill="#4a9a54")
    return im.resize((16, 16), Image.Resampling.LANCZOS)
