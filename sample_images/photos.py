"""Photographs by day: a lake at sunset, the sea, a forest in fog, a ring of mountains.

A scene is a function of its size and a seeded generator, and returns a Pillow image. Writes no files.
"""

from __future__ import annotations

import numpy as np
from brushes import (
    F32,
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


def _glow(h: int, w: int, x: float, y: float, radius: float) -> np.ndarray:
    """Return a halo round a point, 1 at the point and falling off smoothly."""
    yy, xx = grid(h, w)
    return np.exp(-np.hypot(xx - x, yy - y) / radius).astype(F32)


def mountain_lake(w: int, h: int, rng: Rng) -> Image.Image:
    """Evening light on snowy mountains, and the mountains again in a lake."""
    line = int(h * 0.60)
    y, x = grid(h, w)
    sun_x, sun_y = w * 0.30, h * 0.515
    sky = ramp(
        y / line + 0 * x,
        (0, "#27406e"),
        (0.35, "#5a6f9e"),
        (0.62, "#b58fa0"),
        (0.82, "#f0a983"),
        (1, "#ffd9a0"),
    )
    near_sun = _glow(h, w, sun_x, sun_y, w * 0.13)
    cloud = resize(noise(rng, h // 4, w // 4, 1.75, 200, 2.6), w, h)
    wisp = resize(noise(rng, h // 4, w // 4, 1.6, 80, 4), w, h)
    cover = step(0.15, 1.7, cloud + 0.35 * wisp) * step(1.0, 0.55, y / line)
    lit = step(-0.6, 0.9, np.roll(cloud, -h // 40, 0) - cloud + 0.5 * near_sun + 0.2)
    tint = ramp(np.clip(lit * 0.65 + near_sun * 0.8, 0, 1), (0, "#5b5a80"), (0.5, "#d98f8b"), (1, "#ffd2a1"))
    sky = mix(sky, tint, cover * 0.85)
    sky += near_sun[..., None] * np.array([0.42, 0.24, 0.06], F32)
    air = sky[int(line * 0.86)][None] * 0.75 + np.array([0.10, 0.10, 0.14], F32)
    sky = mix(sky, (1.75, 1.5, 1.1), step(w * 0.0185, w * 0.0165, np.hypot(x - sun_x, y - sun_y)))

    land = mountains(rng, 2048, 175, (0.75, 0.25, 0.42))
    yy, xx = grid(2048, 2048)
    # A valley that opens to the north, with the lake in it: mountains stand back and on both sides.
    away = step(120, 900, yy - 60) * (0.30 + 0.70 * step(30, 480, np.abs(xx - 1000 + (yy - 400) * 0.12)))
    height = land.height * away - 4
    view = look(height, line, w, (1024, 60, 3.0), w * 0.78, line - 6, 130, 1700)
    alt, light = sample(height, view.x, view.y), sample(land.light, view.x, view.y)
    steep = sample(land.steep, view.x, view.y)
    detail = noise(rng, 1024, 1024, 1.1, 60)
    fine = sample(detail, view.x * 5, view.y * 5) + 0.7 * sample(detail, view.x * 17, view.y * 17)
    snow = step(48, 84, alt + 9 * fine) * step(1.75, 0.9, steep + 0.18 * fine)
    forest = step(42, 26, alt + 6 * fine)
    rock = mix(ramp(0.5 + 0.14 * fine, (0, "#3a3942"), (1, "#74696a")), (0.10, 0.16, 0.13), forest)
    ground = mix(rock, (0.93, 0.93, 0.97), snow)
    glow = light[..., None] * np.array([1.35, 0.92, 0.62], F32) + np.array([0.24, 0.30, 0.44], F32)
    ground = ground * glow * (1 + 0.10 * fine[..., None])
    haze = 1 - np.exp(-np.where(view.sky, 1, view.far) / 1500)
    mist = np.exp(-np.maximum(alt, 0) / 14) * step(250, 900, np.where(view.sky, 1, view.far)) * 0.55
    ground = mix(ground, air, np.clip(haze + mist, 0, 1) * 0.92)
    rgb = sky
    rgb[:line] = np.where(view.sky[..., None], sky[:line], ground)

    shore = line - 4 - h * 0.012 * np.abs(noise1(rng, w, 1.6, 500))
    spots = [
        (px, shore[int(px)] + 14, t)
        for px, t in zip(rng.uniform(0, w - 1, 420), h * rng.uniform(0.012, 0.034, 420), strict=True)
        if abs(px - w * 0.42) > w * 0.17
    ]
    bank = np.maximum(pines(rng, line, w, spots), step(0, 3, y[:line] - shore - 8) * (np.abs(x - w * 0.42) > w * 0.16))
    rgb[:line] = mix(rgb[:line], (0.075, 0.10, 0.12), bank * 0.93)
    rgb = mirror(rgb, line, rng, 0.035)
    deep = step(0, h - line, y[line:] - line)
    rgb[line:] = mix(rgb[line:] * 0.84, (0.05, 0.10, 0.17), deep * 0.50 + 0 * x)

    bottom = h * (0.965 - 0.08 * step(0.55, 1.0, x[0] / w)) + 18 * noise1(rng, w, 1.6, 300)
    front = [
        (px, bottom[int(px)] + 50, h * t)
        for px, t in (
            (w * 0.955, 0.66),
            (w * 0.885, 0.47),
            (w * 0.99, 0.50),
            (w * 0.825, 0.30),
            (w * 0.775, 0.17),
            (w * 0.92, 0.25),
            (w * 0.73, 0.09),
        )
    ]
    dark = np.maximum(pines(rng, h, w, front), step(0, 4, y - bottom))
    return finish(mix(rgb, (0.030, 0.040, 0.050), dark), rng)


def sea(w: int, h: int, rng: Rng) -> Image.Image:
    """Trade-wind clouds over a blue sea, a headland with a lighthouse, one sail."""
    line = int(h * 0.57)
    y, x = grid(h, w)
    sky = ramp(y / line + 0 * x, (0, "#1d5aa6"), (0.5, "#5b9bd8"), (0.85, "#b9dbf0"), (1, "#e2eff4"))
    above = np.maximum(line - y[:line], 4) / h
    # A flat layer of clouds overhead: one step up in the picture is a shorter step outwards.
    reach = 95 / (above + 0.055)
    puff = noise(rng, 2048, 2048, 1.72, 330)
    px, py = (x - w / 2) / w * reach * 2.3 + 400, reach + 0 * x
    dense = sample(puff, px, py)
    sunward = sample(puff, px + 14, py - 12)
    body = step(0.10, 0.95, dense)
    shade = np.clip(0.62 + 0.75 * (dense - sunward) - 0.16 * np.maximum(dense - 0.6, 0), 0, 1)
    tint = ramp(shade, (0, "#7f93ad"), (0.45, "#c6d0dc"), (0.8, "#fbfaf6"), (1, "#ffffff"))
    thin = np.clip(above / 0.10, 0, 1) ** 0.7 * 0.95 + 0 * x
    rgb = sky
    rgb[:line] = mix(sky[:line], tint, body * thin)

    below = np.maximum(y[line:] - line, 1.0) / h
    z = 1 / (below + 0.004)
    swell = noise(rng, 2048, 2048, 1.6, 110, 2.2)
    chop = noise(rng, 1024, 1024, 1.35, 30, 2)
    xx, zz = (x - w / 2) / w * z, z + 0 * x
    wave = sample(swell, xx * 210, zz * 330) + 0.55 * sample(chop, xx * 640, zz * 900)
    fade = np.clip(below / 0.16, 0.10, 1)
    wave = wave * fade
    water = ramp(below / below.max() + 0 * x, (0, "#5f9fc4"), (0.12, "#2c7aa8"), (0.5, "#135a86"), (1, "#0a3d63"))
    water *= 1 + 0.20 * wave[..., None]
    water = mix(water, (0.45, 0.78, 0.80), step(0.9, 2.6, wave) * 0.45)
    water = mix(water, (0.95, 0.98, 0.98), step(2.1, 2.9, wave + 0.25 * sample(chop, xx * 1500, zz * 1900)) * 0.8)
    road = np.exp(-(((x / w - 0.62) / (0.05 + 0.25 * below)) ** 2))
    water += (road * step(0.4, 1.6, wave / fade + 0.3) * 0.42)[..., None] * np.array([1, 0.97, 0.85], F32)
    rgb[line:] = water

    edge = np.interp(
        np.arange(w) / w,
        [0, 0.06, 0.14, 0.20, 0.27, 0.31, 0.345, 0.36, 1],
        [0.150, 0.155, 0.13, 0.118, 0.10, 0.072, 0.02, -0.01, -0.01],
    )
    edge = line - edge * h * (1 + 0.035 * noise1(rng, w, 1.25, 160))
    rock = noise(rng, h // 2, w // 2, 1.25, 70, 0.45)
    rock = resize(rock, w, h)
    depth = (y - edge) / h
    cliff = ramp(0.5 + 0.2 * rock, (0, "#5d5348"), (0.5, "#9c8c78"), (1, "#d9cbb2"))
    grass = ramp(0.5 + 0.2 * rock, (0, "#3e5c2a"), (1, "#86a04a"))
    beds = noise(rng, h // 4, w // 4, 1.3, 30, 9)
    cliff *= (1 + 0.10 * resize(beds, w, h) - 0.9 * np.clip(x / w - 0.2, 0, 1) + 0.05 * rock)[..., None]
    cliff = mix(grass, cliff, step(0.012, 0.03, depth + 0.006 * rock))
    cliff = mix(cliff, (0.93, 0.96, 0.97), step(0.004, 0.0, (line + h * 0.006 - y) / h + 0.0022 * rock - 0.003))
    land = step(0, 3, y - edge) * step(h * 0.008, h * 0.005, y - line) * step(0.362, 0.358, x / w)
    rgb = mix(rgb, mix(cliff, (0.72, 0.84, 0.92), np.full((h, w), 0.16, F32)), land)
    return finish(_lighthouse_and_sail(rgb, w, h, line), rng)


def _lighthouse_and_sail(rgb: np.ndarray, w: int, h: int, line: int) -> np.ndarray:
    """Put the lighthouse on the headland and a sailing boat on the water."""
    im = Image.fromarray((np.clip(rgb, 0, 1) * 255).astype(np.uint8))
    d = ImageDraw.Draw(im)
    u, x, foot = h / 165, w * 0.235, line - h * 0.108
    d.polygon(
        [(x - 1.5 * u, foot + u), (x - 1.0 * u, foot - 14 * u), (x + 1.0 * u, foot - 14 * u), (x + 1.5 * u, foot + u)],
        fill="#f4f1ea",
    )
    for k in (0, 2):
        a, b = 1.5 - 0.5 * (2 + 4 * k) / 15, 1.5 - 0.5 * (6 + 4 * k) / 15
        d.polygon(
            [
                (x - a * u, foot - (1 + 4 * k) * u),
                (x - b * u, foot - (5 + 4 * k) * u),
                (x + b * u, foot - (5 + 4 * k) * u),
                (x + a * u, foot - (1 + 4 * k) * u),
            ],
            fill="#b8352c",
        )
    d.rectangle([x - 1.35 * u, foot - 14.5 * u, x + 1.35 * u, foot - 14 * u], fill="#33383d")
    d.rectangle([x - 0.75 * u, foot - 16.4 * u, x + 0.75 * u, foot - 14.5 * u], fill="#ffe9a8")
    d.polygon([(x - u, foot - 16.4 * u), (x, foot - 18 * u), (x + u, foot - 16.4 * u)], fill="#8f2a24")
    u, bx, by = h / 120, w * 0.735, line + h * 0.048
    d.polygon([(bx - 0.2 * u, by - 11 * u), (bx - 0.2 * u, by - 0.8 * u), (bx - 4.6 * u, by - 0.8 * u)], fill="#fdfcf7")
    d.polygon([(bx + 0.3 * u, by - 10 * u), (bx + 0.3 * u, by - 0.8 * u), (bx + 3.2 * u, by - 1.0 * u)], fill="#e8e6df")
    d.polygon(
        [(bx - 4.2 * u, by - 0.3 * u), (bx + 4.0 * u, by - 0.5 * u), (bx + 2.9 * u, by + u), (bx - 3.3 * u, by + u)],
        fill="#7d2f26",
    )
    out = np.asarray(im.filter(ImageFilter.GaussianBlur(0.8)), F32) / 255
    return out.copy()


def forest(w: int, h: int, rng: Rng) -> Image.Image:
    """A pine forest in the morning; the sun comes through the fog from the upper left."""
    y, x = grid(h, w)
    sx, sy = w * 0.24, h * 0.16
    air = ramp(y / h + 0 * x, (0, "#a9bfc0"), (0.45, "#d7dccb"), (0.8, "#b6c2b4"), (1, "#8fa394"))
    fog = resize(noise(rng, h // 8, w // 8, 1.9, 160, 2.5), w, h)
    halo = _glow(h, w, sx, sy, w * 0.34)
    air = air * (1 + 0.035 * fog[..., None]) + halo[..., None] * np.array([0.30, 0.22, 0.04], F32)
    # Light shafts: brightness that depends on the direction from the sun only.
    turn = np.arctan2(y - sy, x - sx)
    rays = np.interp(turn, np.linspace(-np.pi, np.pi, 1440), noise(rng, 1, 1440, 1.5, 40)[0]).astype(F32)
    rgb, layers = air, 9
    for k in range(layers):
        t = k / (layers - 1)
        tall = h * (0.16 + 0.62 * t**1.5)
        ground = h * (0.50 + 0.47 * t**1.25) + h * 0.03 * noise1(rng, w, 2.0, w / 2) * (1 - 0.4 * t)
        count = int(74 - 66 * t**0.6)
        trees = []
        for px in np.linspace(-0.03 * w, 1.03 * w, count) + rng.normal(0, 0.45 * w / count, count):
            clearing = np.exp(-(((px / w - 0.52) / (0.10 + 0.14 * t)) ** 2)) * step(0.2, 0.7, np.array(t))
            size = tall * rng.uniform(0.62, 1.12) * (1 - 0.62 * float(clearing))
            if t < 0.9 or abs(px / w - 0.52) > 0.27:
                trees.append((px, ground[int(np.clip(px, 0, w - 1))] + 12, size))
        mask = np.maximum(pines(rng, h, w, trees), step(0, 40 * (1 - t) + 3, y - ground))
        dark = np.array([0.05, 0.115, 0.10], F32) * (1 + 0.25 * fog[..., None] * t)
        ink = mix(air, dark, np.full((h, w), 0.10 + 0.80 * t**1.15, F32))
        rgb = mix(rgb, ink, mask)
        # A breath of fog lies between this row of trees and the next.
        pool = (
            np.exp(-(((y - ground - h * 0.03) / (h * 0.10)) ** 2)) * (0.62 - 0.38 * t) * np.clip(0.8 + 0.4 * fog, 0, 1)
        )
        rgb = mix(rgb, air, pool)
        shaft = (
            step(-0.4, 2.2, rays)
            * step(0.05, 0.5, turn)
            * step(2.6, 2.0, turn)
            * np.exp(-np.hypot(x - sx, y - sy) / (w * 0.62))
            * step(0, w * 0.3, np.hypot(x - sx, y - sy))
            * 0.105
            * (1 - 0.4 * t)
        )
        rgb = rgb + shaft[..., None] * np.array([1.0, 0.90, 0.62], F32)
    return finish(rgb, rng)


def panorama(w: int, h: int, rng: Rng) -> Image.Image:
    """A ring of high mountains on a clear morning, 150 degrees wide."""
    y, x = grid(h, w)
    sky = ramp(y / h + 0.08 * np.cos(x / w * 5), (0, "#2f6db5"), (0.35, "#7fb0de"), (0.62, "#d5e4ee"), (1, "#e8edee"))
    veil = resize(noise(rng, h // 4, w // 4, 1.7, 120, 4), w, h)
    sky = mix(sky, (0.97, 0.97, 0.98), step(0.3, 2.3, veil) * step(0.6, 0.1, y / h) * 0.75)
    land = mountains(rng, 2048, 128, (0.7, -0.35, 0.62))
    yy, xx = grid(2048, 2048)
    away = np.hypot(xx - 1024, yy - 300)
    height = land.height * (0.16 + 0.84 * step(60, 520, away)) + 4
    view = look(height, h, w, (1024, 300, 72), w / 2.62, h * 0.47, 45, 1150, wrap=True, steps=1800)
    alt, light = sample(height, view.x, view.y), sample(land.light, view.x, view.y)
    steep = sample(land.steep, view.x, view.y)
    grain = noise(rng, 1024, 1024, 1.1, 60)
    fine = sample(grain, view.x * 5, view.y * 5) + 0.6 * sample(grain, view.x * 19, view.y * 19)
    meadow = ramp(0.5 + 0.2 * fine, (0, "#4b6a2c"), (1, "#9aab57"))
    wood = step(0.1, 0.9, sample(noise(rng, 1024, 1024, 1.7, 60), view.x * 1.5, view.y * 1.5) + 0.3 * fine)
    meadow = mix(meadow, (0.11, 0.20, 0.11), wood * 0.9)
    rock = ramp(0.5 + 0.2 * fine, (0, "#59544f"), (1, "#a49a8c"))
    ground = mix(meadow, rock, np.maximum(step(42, 60, alt + 5 * fine), step(0.8, 1.3, steep + 0.2 * fine)))
    ground = mix(ground, (0.96, 0.97, 1.0), step(60, 80, alt + 6 * fine) * step(1.7, 0.9, steep + 0.2 * fine))
    ground *= light[..., None] * np.array([1.06, 1.0, 0.88], F32) + np.array([0.26, 0.31, 0.40], F32)
    ground = mix(ground, (0.66, 0.78, 0.89), (1 - np.exp(-np.where(view.sky, 1, view.far) / 1000)) * 0.85)
    return finish(np.where(view.sky[..., None], sky, ground), rng)
