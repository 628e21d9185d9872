"""Photographs by night: the Milky Way, a city, northern lights.

A scene is a function of its size and a seeded generator, and returns a Pillow image. Writes no files.
"""

from __future__ import annotations

import numpy as np
from brushes import (
    F32,
    blur,
    finish,
    grid,
    look,
    mirror,
    mix,
    mountains,
    noise,
    noise1,
    pines,
    ramp,
    resize,
    sample,
    step,
)
from PIL import Image, ImageDraw, ImageFilter

Rng = np.random.Generator


def milky_way(w: int, h: int, rng: Rng) -> Image.Image:
    """The Milky Way over dunes, and a lit tent at the lower right."""
    y, x = grid(h, w)
    ground = h * 0.80
    sky = ramp(y / ground + 0 * x, (0, "#070b1c"), (0.55, "#111c3a"), (0.85, "#28345a"), (1, "#6a5568"))
    across = (x - w * 0.42) * 0.86 + (y - h * 0.40) * 0.50
    cloud = resize(noise(rng, h // 4, w // 4, 1.6, 240), w, h)
    dust = resize(noise(rng, h // 4, w // 4, 1.45, 110), w, h)
    band = np.exp(-((across / (w * 0.19)) ** 2)) * np.clip(0.85 + 0.28 * cloud, 0, 2)
    core = np.exp(-((across / (w * 0.085)) ** 2)) * np.clip(0.8 + 0.35 * cloud, 0, 2)
    lane = np.exp(-(((across + w * 0.012 + dust * w * 0.022) / (w * 0.038)) ** 2)) * step(-0.9, 0.7, dust + 0.4)
    milk = (band * 0.17)[..., None] * np.array([0.75, 0.82, 1.15], F32)
    milk += (core * 0.30)[..., None] * np.array([1.05, 0.86, 0.82], F32)
    lower = step(0.1, 0.75, y / h)
    milk *= (0.55 + 0.65 * lower)[..., None]
    sky = sky + milk * (1 - 0.72 * lane)[..., None]
    rose = np.exp(-(((across - w * 0.05) / (w * 0.05)) ** 2)) * step(1.35, 2.2, cloud + 0.5 * dust)
    sky += (rose * 0.16)[..., None] * np.array([1.0, 0.25, 0.45], F32)
    sky += _stars(w, h, rng, np.clip(band * 1.0 - 0.5 * lane, 0.12, 1.2))

    rgb = sky
    sand = resize(noise(rng, h // 4, w // 4, 1.2, 50, 5), w, h)
    for k, (at, rough) in enumerate(((0.80, 0.012), (0.845, 0.02), (0.91, 0.03))):
        crest = h * at + h * rough * 1.6 * noise1(rng, w, 2.3, w * 0.8) + (x[0] - w / 2) * (-1) ** k * 0.028
        down = (y - crest) / h
        lit = np.exp(-np.maximum(down, 0) / 0.05) * 0.55 + 0.12 + 0.035 * sand
        dune = ramp(np.clip(lit, 0, 1), (0, "#0a0c18"), (0.5, "#2c2c46"), (1, "#6b5a6e"))
        rgb = mix(rgb, dune * (1 - 0.16 * k), step(0, 3, y - crest))
    tx, ty, s = w * 0.715, h * 0.905, w * 0.085
    rgb += (np.exp(-np.hypot((x - tx), (y - ty) * 2.6) / (s * 1.1)) * 0.55)[..., None] * np.array([1, 0.52, 0.16], F32)
    inside = step(0, 4, y - (ty - s * 0.95 + np.abs(x - tx) * 1.02)) * step(4, 0, y - ty - s * 0.12)
    heat = np.exp(-np.hypot(x - tx, (y - ty) * 1.2) / (s * 0.55))
    tent = ramp(np.clip(heat * 1.25, 0, 1), (0, "#8a3a10"), (0.5, "#f08a2a"), (1, "#fff0b8"))
    rgb = mix(rgb, tent, inside)
    seam = step(5, 1, np.abs(x - tx - (y - ty) * 0.10)) * inside
    return finish(mix(rgb, (0.35, 0.14, 0.04), seam * 0.8), rng, grain=1.2)


def _stars(w: int, h: int, rng: Rng, dense: np.ndarray) -> np.ndarray:
    """Scatter stars, more where `dense` is high; the bright ones get a halo and a colour."""
    count = w * h // 900
    px, py = rng.integers(2, w - 2, count), rng.integers(2, h - 2, count)
    keep = rng.random(count) < dense[py, px]
    px, py = px[keep], py[keep]
    power = np.clip(rng.pareto(1.6, px.size) * 0.13 + 0.10, 0, 6)
    tint = np.stack([1 + 0.2 * (t := rng.normal(0, 1, px.size)), np.ones(px.size), 1 - 0.22 * t], -1)
    field = np.zeros((h, w, 3), F32)
    np.add.at(field, (py, px), (power[:, None] * tint).astype(F32))
    out = np.empty_like(field)
    for c in range(3):
        small = blur(np.clip(field[..., c], 0, 1), 0.8) * 3.2
        big = blur(np.clip((field[..., c] - 0.9) / 4, 0, 1), 2.6) * 30
        out[..., c] = small + big
    return out


def city(w: int, h: int, rng: Rng) -> Image.Image:
    """A skyline after sunset with its lights in the river."""
    line = int(h * 0.66)
    y, x = grid(h, w)
    sky = ramp(y / line + 0 * x, (0, "#0b1130"), (0.5, "#2a2a5e"), (0.8, "#7b3f73"), (0.95, "#d9746a"), (1, "#f2a271"))
    cloud = resize(noise(rng, h // 2, w // 2, 1.7, 160, 4), w, h)
    sky = mix(sky, (0.85, 0.45, 0.48), step(0.4, 2.2, cloud) * step(0.15, 0.9, y / line) * 0.45)
    im = Image.fromarray((np.clip(sky, 0, 1) * 255).astype(np.uint8))
    d = ImageDraw.Draw(im)
    u = w / 200
    tints = ("#ffd98a", "#ffe9bd", "#ffc56b", "#dfeaff", "#fff4d6")
    for k, (shade, tall, count) in enumerate((("#4b3560", 0.17, 46), ("#2b2347", 0.27, 30), ("#141530", 0.36, 21))):
        for left in np.linspace(-4, 200, count) + rng.normal(0, 1.5, count):
            centre = np.exp(-(((left - 118) / 55) ** 2))
            wide = rng.uniform(4, 9) * (1 + 0.25 * k)
            high = h * tall * rng.uniform(0.35, 1.0) * (0.45 + 0.75 * centre)
            a, b, top = left * u, (left + wide) * u, line - high
            d.rectangle([a, top, b, line], fill=shade)
            if rng.random() < 0.35:
                d.rectangle([a + wide * u * 0.25, top - u * 1.4, b - wide * u * 0.25, top], fill=shade)
            if rng.random() < 0.22:
                d.line([((a + b) / 2, top), ((a + b) / 2, top - 6 * u)], fill=shade, width=max(1, int(u * 0.25)))
                d.ellipse([(a + b) / 2 - 2, top - 6 * u - 2, (a + b) / 2 + 2, top - 6 * u + 2], fill="#ff5a4a")
            pitch = u * (0.50 + 0.12 * k)
            for wy in np.arange(top + pitch, line - pitch, pitch * 1.35):
                for wx in np.arange(a + pitch * 0.6, b - pitch * 0.8, pitch):
                    if rng.random() < 0.16 + 0.09 * k + 0.3 * (rng.random() < 0.1):
                        d.rectangle([wx, wy, wx + pitch * 0.48, wy + pitch * 0.62], fill=tints[rng.integers(5)])
    rgb = np.asarray(im, F32) / 255
    shine = np.stack([blur(np.clip(rgb[..., c] - 0.45, 0, 1) * step(0.30, 0.45, y / h), 9) for c in range(3)], -1)
    rgb = mirror(rgb + shine * 1.3, line, rng, 0.055)
    rgb[line:] = rgb[line:] * 0.70 + np.array([0.01, 0.015, 0.05], F32)
    below = rgb[line:]
    for c in range(3):  # long exposure: reflections run down the water
        smear = resize(resize(below[..., c], w, max(2, (h - line) // 26)), w, h - line)
        below[..., c] = 0.45 * below[..., c] + 0.62 * smear
    quay = step(0, 2, y - line + u * 0.5) * step(2, 0, y - line - u * 0.5)
    return finish(mix(rgb, (0.04, 0.04, 0.09), quay), rng)


def aurora(w: int, h: int, rng: Rng) -> Image.Image:
    """Northern lights over snowy mountains and a cabin with a lit window."""
    line = int(h * 0.80)
    y, x = grid(h, w)
    sky = ramp(y / line + 0 * x, (0, "#050a1e"), (0.6, "#0b2038"), (1, "#1f4550"))
    for curtain in range(3):
        bend = noise1(rng, w, 3.2, w)
        foot = h * (0.50 - 0.10 * curtain) + h * 0.075 * bend + (x[0] - w / 2) * (0.05 - 0.05 * curtain)
        streak = np.clip(0.72 + 0.30 * noise1(rng, w, 0.9, w / 18) + 0.10 * noise1(rng, w, 0.4, 60), 0.05, 2)
        up = (foot - y) / h
        shape = np.where(up > 0, np.exp(-up / (0.16 + 0.05 * curtain)), np.exp(up / 0.028)) * streak
        green = np.array([0.20, 0.95, 0.50], F32)
        violet = np.array([0.55, 0.22, 0.85], F32)
        hue = step(0.04, 0.36, up)[..., None]
        sky = sky + shape[..., None].astype(F32) * (green * (1 - hue) + violet * hue) * (0.62 - 0.14 * curtain)
    sky = sky + _stars(w, h, rng, np.full((h, w), 0.45, F32)) * 0.6
    land = mountains(rng, 1024, 95, (-0.4, -0.6, 0.55))
    yy, _ = grid(1024, 1024)
    height = land.height * step(60, 420, yy - 60) + 1.0
    view = look(height, line, w, (512, 60, 7), w * 0.8, line - 30, 40, 800)
    light = sample(land.light, view.x, view.y)
    rough = sample(noise(rng, 512, 512, 1.1, 40), view.x * 4, view.y * 4)
    snow = step(2.0, 0.9, sample(land.steep, view.x, view.y) + 0.15 * rough)
    base = mix(np.zeros((line, w, 3), F32) + np.array([0.05, 0.07, 0.10], F32), (0.38, 0.56, 0.60), snow)
    base = base * (0.32 + 0.95 * light[..., None]) * (1 + 0.07 * rough[..., None])
    base = mix(base, (0.10, 0.26, 0.29), (1 - np.exp(-np.where(view.sky, 1, view.far) / 900)) * 0.85)
    rgb = sky
    rgb[:line] = np.where(view.sky[..., None], sky[:line], base)
    drift = line - 26 + h * 0.012 * noise1(rng, w, 2.2, w / 2)
    soft = resize(noise(rng, h // 4, w // 4, 1.7, 90, 3), w, h)
    field = ramp((y - line) / (h - line) + 0.10 * soft, (0, "#4c8a88"), (0.4, "#2f5d6b"), (1, "#16303f"))
    rgb = mix(rgb, field, step(0, 3, y - drift))
    trees = [
        (px, drift[int(px)] + 12, h * t)
        for px, t in zip(
            np.concatenate([rng.uniform(0, w * 0.30, 26), rng.uniform(w * 0.86, w - 1, 12)]),
            rng.uniform(0.05, 0.21, 38),
            strict=True,
        )
    ]
    rgb = mix(rgb, (0.020, 0.055, 0.070), pines(rng, h, w, trees))
    cx, cy, s = w * 0.66, h * 0.865, w * 0.035
    lamp = np.exp(-np.hypot(x - cx, (y - cy) * 2.2) / (s * 1.7))
    rgb = rgb + (lamp * 0.42)[..., None] * np.array([1.0, 0.62, 0.22], F32)
    im = Image.fromarray((np.clip(rgb, 0, 1) * 255).astype(np.uint8))
    d = ImageDraw.Draw(im)
    d.rectangle([cx - s, cy - s * 0.75, cx + s, cy], fill="#2a1a14")
    d.polygon([(cx - s * 1.25, cy - s * 0.7), (cx, cy - s * 1.6), (cx + s * 1.25, cy - s * 0.7)], fill="#a9cfcc")
    d.polygon([(cx - s, cy - s * 0.7), (cx, cy - s * 1.42), (cx + s, cy - s * 0.7)], fill="#2a1a14")
    d.rectangle([cx - s * 0.62, cy - s * 0.56, cx - s * 0.12, cy - s * 0.16], fill="#ffd27a")
    d.rectangle([cx + s * 0.25, cy - s * 0.58, cx + s * 0.6, cy], fill="#7a4a22")
    d.line([(cx - s * 0.37, cy - s * 0.56), (cx - s * 0.37, cy - s * 0.16)], fill="#5a3a1c", width=max(1, w // 700))
    return finish(np.asarray(im.filter(ImageFilter.GaussianBlur(0.6)), F32) / 255, rng)
