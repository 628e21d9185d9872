"""Objects: a flower, a stained-glass window, a balloon. Each function paints one picture; writes no files."""

from __future__ import annotations

import numpy as np
from brushes import F32, blur, finish, grid, mix, noise, ramp, step
from PIL import Image, ImageDraw, ImageFilter

Rng = np.random.Generator


def flower(w: int, h: int, rng: Rng) -> Image.Image:
    """A gerbera close up, garden lights out of focus behind it."""
    y, x = grid(h, w)
    rgb = ramp(0.5 + 0.22 * noise(rng, h, w, 3.0, w / 2), (0, "#12301f"), (0.5, "#2f6238"), (1, "#9bb65a"))
    for _ in range(46):
        cx, cy, r = rng.uniform(0, w), rng.uniform(0, h), rng.uniform(0.02, 0.06) * w
        ring = np.hypot(x - cx, y - cy) / r
        disc = step(1.05, 0.93, ring) * (0.72 + 0.28 * np.clip(ring, 0, 1) ** 4)
        tint = ((1, 0.93, 0.62), (0.75, 0.92, 0.55), (1, 0.72, 0.58), (0.86, 0.96, 0.9))[rng.integers(4)]
        rgb = mix(rgb, tint, disc * rng.uniform(0.08, 0.34))
    cx, cy, size = w * 0.57, h * 0.49, h * 0.43
    stem = np.abs(x - cx - (y - cy) ** 2 / h * 0.30) / (h * 0.022)
    rgb = mix(rgb, ramp(np.clip(stem * 0.5, 0, 1), (0, "#8fb35a"), (1, "#3e6b2e")), step(1.1, 0.8, stem) * (y > cy))
    for ring, (length, many, base) in enumerate(((1.0, 25, 0.0), (0.90, 24, 0.13), (0.62, 22, 0.05), (0.42, 26, 0.1))):
        for k in rng.permutation(many):
            turn = (k + rng.uniform(-0.2, 0.2)) / many * 2 * np.pi + base
            rgb = _petal(rgb, cx, cy, turn, size * length * rng.uniform(0.93, 1.05), ring, rng)
    im = Image.fromarray((np.clip(rgb, 0, 1) * 255).astype(np.uint8))
    d = ImageDraw.Draw(im)
    for k in range(620, 0, -1):  # seeds sit on Vogel's spiral, as in every daisy
        r, a = size * 0.0105 * np.sqrt(k), k * 2.39996
        px, py, t = cx + r * np.cos(a), cy + r * np.sin(a) * 0.97, k / 620
        c = tuple(int(v) for v in (70 + 150 * t**2, 38 + 96 * t**2.5, 24 + 16 * t))
        s = size * (0.0085 + 0.006 * t)
        d.ellipse([px - s, py - s, px + s, py + s], fill=c)
        d.ellipse([px - s * 0.6, py - s * 0.7, px + s * 0.1, py], fill=tuple(min(255, v + 46) for v in c))
    return finish(np.asarray(im.filter(ImageFilter.GaussianBlur(0.8)), F32) / 255, rng, vignette=0.5)


def _petal(rgb: np.ndarray, cx: float, cy: float, turn: float, length: float, ring: int, rng: Rng) -> np.ndarray:
    """Lay one petal over the picture, with its shadow on what lies below."""
    h, w, _ = rgb.shape
    ex, ey = cx + np.cos(turn) * length, cy + np.sin(turn) * length
    pad = int(length * 0.16) + 12
    x0, x1 = int(max(0, min(cx, ex) - pad)), int(min(w, max(cx, ex) + pad))
    y0, y1 = int(max(0, min(cy, ey) - pad)), int(min(h, max(cy, ey) + pad))
    yy, xx = grid(y1 - y0, x1 - x0)
    dx, dy = xx + x0 - cx, yy + y0 - cy
    along = (dx * np.cos(turn) + dy * np.sin(turn)) / length
    across = (-dx * np.sin(turn) + dy * np.cos(turn)) / length
    wide = 0.115 * np.clip(along, 0, 1) ** 0.55 * np.clip(1 - along**9, 0, 1) ** 0.5 * (1.1 + 0.22 * ring)
    edge = np.abs(across) / np.maximum(wide, 1e-4)
    inside = step(1.04, 0.95, edge) * (along > 0) * (along < 1)
    vein = np.interp(across * 900, np.arange(-400, 400), noise(rng, 1, 800, 0.8, 40)[0]).astype(F32)
    t = np.clip(0.20 + 0.62 * along - 0.20 * edge**2 + 0.05 * vein + rng.normal(0, 0.05), 0, 1)
    tint = ramp(t, (0, "#6d0c2c"), (0.35, "#c41d4f"), (0.7, "#f0507a"), (1, "#ffb3c0"))
    part = rgb[y0:y1, x0:x1]
    part = part * (1 - 0.35 * step(1.7, 0.9, edge) * (along > 0.05) * (along < 1.02))[..., None]
    rgb[y0:y1, x0:x1] = mix(part, tint, inside)
    return rgb


def rose_window(size: int, rng: Rng) -> Image.Image:
    """A stained-glass window in the sun. Its values are meant as Display P3: reds and greens outside sRGB."""
    y, x = grid(size, size)
    px, py = (x - size / 2) / (size * 0.47), (y - size / 2) / (size * 0.47)
    r, a = np.hypot(px, py), np.arctan2(py, px)
    reds = ((1, 0.0, 0.05), (1, 0.16, 0.0), (1, 0.55, 0.0), (1, 0.86, 0.0))
    cool = ((0.0, 0.86, 0.20), (0.0, 0.55, 1.0), (0.10, 0.05, 1.0), (0.0, 0.90, 0.75), (0.75, 0.0, 0.95))
    glass = np.zeros((size, size, 3), F32)
    lead = np.zeros((size, size), F32)
    line = 0.011
    rings = ((0.0, 0.10, 1), (0.10, 0.24, 12), (0.24, 0.40, 12), (0.40, 0.60, 24), (0.60, 0.78, 24), (0.78, 0.955, 48))
    for k, (inner, outer, many) in enumerate(rings):
        sector = (a / (2 * np.pi) * many + 0.5 * (k % 2)) % many
        part = sector - np.floor(sector) - 0.5
        here = (r >= inner) & (r < outer)
        middle, half = (inner + outer) / 2, (outer - inner) / 2
        gap = (
            np.minimum((0.5 - np.abs(part)) * 2 * np.pi * r / many, half - np.abs(r - middle))
            if many > 1
            else outer - r
        )
        # In each pane a medallion: a round or pointed second colour.
        wide = np.pi * middle / many
        medal = np.hypot(part * 2 * wide / (wide * 0.60), (r - middle) / (half * 0.66)) if many > 1 else r / 0.05
        index = np.floor(sector).astype(int) % many
        for i in range(many):
            outer_tint, inner_tint = (reds, cool)[(k + i) % 2], (reds, cool)[(k + i + 1) % 2]
            own = here & (index == i)
            glass[own] = outer_tint[(k * 2 + i // 2) % len(outer_tint)]
            glass[own & (medal < 1)] = inner_tint[(k + i // 3) % len(inner_tint)]
        shape = np.minimum(gap / line, np.abs(medal - 1) * min(wide, half) * 0.62 / (line * 0.55))
        lead = np.where(here, step(1.0, 0.65, shape), lead)
    grainy = noise(rng, size, size, 1.4, 30)
    ripple = noise(rng, size, size, 2.2, 160)
    sun = np.exp(-np.hypot(px + 0.35, py + 0.4) / 0.9)
    glass *= np.clip(0.62 + 0.48 * sun + 0.07 * ripple + 0.045 * grainy, 0.2, 1.08)[..., None]
    lead *= r < 0.955
    rgb = mix(glass, (0.035, 0.03, 0.035), lead)
    stone = ramp(0.42 + 0.10 * grainy + 0.08 * ripple, (0, "#15110f"), (0.5, "#3d342d"), (1, "#776757"))
    stone *= np.clip(1.25 - 0.9 * np.abs(r - 0.985) / 0.06, 0.38, 1.2)[..., None]
    rgb = mix(rgb, stone, step(0.95, 0.957, r))
    bloom = np.stack([blur(rgb[..., c], size / 40) for c in range(3)], -1)
    return finish(rgb * 0.97 + bloom * 0.10, rng, grain=0.8, vignette=0.3)


def balloon(size: int) -> Image.Image:
    """A hot-air balloon cut out: smooth edge, see-through flame glow, thin ropes, nothing around it."""
    y, x = grid(size, size)
    cx, cy, r = size * 0.5, size * 0.362, size * 0.315
    v = (y - cy) / r
    # A teardrop: round above, drawn in towards the mouth below.
    half = np.where(
        v < 0, np.sqrt(np.clip(1 - v * v, 0, 1)), np.clip(np.cos(np.clip(v / 1.42, 0, 1) * np.pi / 2), 0, 1) ** 0.72
    )
    half = np.where(v < 1.27, half, 0) * r
    across = np.clip((x - cx) / np.maximum(half, 1), -1, 1)
    inside = step(-1.5, 1.5, half - np.abs(x - cx)) * (half > 2)
    gore = np.arcsin(across) / np.pi * 14 + 0.5
    index = np.floor(gore).astype(int)
    puff = np.cos((gore - index - 0.5) * np.pi)
    wave = v + 0.10 * np.cos(np.arcsin(across) * 2)
    palette = np.array([[0.86, 0.16, 0.17], [0.98, 0.70, 0.16], [0.97, 0.94, 0.86], [0.10, 0.47, 0.62]], F32)
    rgb = palette[index % 2]
    zig = np.abs(((gore * 1.0) % 2) - 1) * 0.26
    belt = np.abs(wave - 0.10 - zig + 0.13)
    rgb = mix(rgb, palette[3], step(0.235, 0.225, belt))
    rgb = mix(rgb, palette[2], step(0.115, 0.105, belt))
    rgb = mix(rgb, palette[3], step(-0.84, -0.85, wave))
    light = np.clip(0.56 - 0.40 * across - 0.26 * v + 0.30 * np.sqrt(np.clip(1 - across**2, 0, 1)), 0.16, 1.15)
    rgb = rgb * (light * (0.80 + 0.20 * puff))[..., None]
    rgb += (np.exp(-np.hypot(across, (v - 1.3) * 1.1) / 0.34) * 0.42)[..., None] * np.array([1, 0.62, 0.15], F32)
    shine = np.exp(-((np.hypot((x - cx + r * 0.42) / 0.7, y - cy + r * 0.48) / (r * 0.30)) ** 2))
    rgb += (shine * 0.26)[..., None]
    alpha = inside
    mouth, basket = cy + r * 1.27, cy + r * 1.60
    im = Image.fromarray((np.clip(rgb, 0, 1) * 255).astype(np.uint8)).convert("RGBA")
    im.putalpha(Image.fromarray((alpha * 255).astype(np.uint8)))
    flame = np.exp(-np.hypot((x - cx) / 0.6, y - mouth - r * 0.12) / (r * 0.10))
    under = np.zeros((size, size, 4), np.uint8)
    under[..., :3] = (255, 176, 60)
    under[..., 3] = np.clip(flame * 210 - 6, 0, 255)
    low = Image.fromarray(under)
    ropes = Image.new("RGBA", (size * 2, size * 2))
    d = ImageDraw.Draw(ropes)
    b = r * 0.20
    for s in (-1, -0.35, 0.35, 1):
        d.line([((cx + s * r * 0.245) * 2, (mouth - 4) * 2), ((cx + s * b) * 2, basket * 2)], fill="#4a3420", width=5)
    box = [
        ((cx + sx * b * k) * 2, yy * 2)
        for sx, k, yy in ((-1, 1, basket), (1, 1, basket), (1, 0.86, basket + b * 1.45), (-1, 0.86, basket + b * 1.45))
    ]
    d.polygon(box, fill="#8a5a2c")
    for row in range(9):
        top = (basket + b * 0.16 * row) * 2
        for col in range(-6, 6):
            left = (cx + (col + 0.5 * (row % 2)) * b * 0.155) * 2
            if abs(left / 2 + b * 0.055 - cx) > b * (0.93 - 0.016 * row):
                continue
            d.rectangle(
                [left, top + 2, left + b * 0.22, top + b * 0.22],
                fill=("#a9743c", "#774a22", "#94622f")[(row + col) % 3],
            )
    d.rectangle([(cx - b * 1.08) * 2, (basket - 5) * 2, (cx + b * 1.08) * 2, (basket + 7) * 2], fill="#5d3a1a")
    low.alpha_composite(ropes.resize((size, size), Image.Resampling.LANCZOS))
    low.alpha_composite(im)
    return low
