"""The recipe's language and its arithmetic."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgpool.imaging.recipe import (
    DEFAULT_RECIPE,
    Variant,
    parse_recipe,
    target_size,
    uncropped_size,
)


def test_default_recipe() -> None:
    assert parse_recipe(DEFAULT_RECIPE).variants == (
        Variant("large", "fit", 1600, 1600, "auto", 82),
        Variant("thumb", "fit", 256, 256, "auto", 82),
    )


def test_every_field_can_be_given() -> None:
    recipe = parse_recipe("a=fit:10x20:jpeg, b-1=cover:256x256:webp:75 ,c_d=width:800:png:100")
    assert recipe.variants == (
        Variant("a", "fit", 10, 20, "jpeg", 82),
        Variant("b-1", "cover", 256, 256, "webp", 75),
        Variant("c_d", "width", 800, None, "png", 100),
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not a variant"),
        ("large", "is not a variant"),
        ("large=fit", "is not a variant"),
        ("large=fit:1x1:jpeg:80:x", "is not a variant"),
        ("a=fit:1x1,", "is not a variant"),
        ("Large=fit:1x1", "not a variant's name"),
        ("../x=fit:1x1", "not a variant's name"),
        (f"{'a' * 33}=fit:1x1", "not a variant's name"),
        ("a=fit:1x1,a=width:5", "named twice"),
        ("a=crop:1x1", "not a kind"),
        ("a=fit:0x1", "not a size"),
        ("a=fit:16385x1", "not a size"),
        ("a=fit:1", "not a size"),
        ("a=fit:1x1x1", "not a size"),
        ("a=fit:-1x1", "not a size"),
        ("a=fit:１x1", "not a size"),
        ("a=width:1x1", "not a size"),
        ("a=fit:1x1:gif", "not a format"),
        ("a=fit:1x1:jpeg:0", "not a quality"),
        ("a=fit:1x1:jpeg:101", "not a quality"),
        ("a=fit:1x1:jpeg:good", "not a quality"),
    ],
)
def test_mistakes_are_named(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        parse_recipe(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("variant", "size", "expected"),
    [
        ("fit:1600x1600", (4000, 3000), (1600, 1200)),
        ("fit:1600x1600", (3000, 4000), (1200, 1600)),
        ("fit:1600x1600", (100, 50), (100, 50)),
        ("fit:256x256", (20000, 10), (256, 1)),
        ("fit:256x256", (1, 1), (1, 1)),
        ("cover:256x256", (4000, 3000), (256, 256)),
        ("cover:256x256", (100, 50), (50, 50)),
        ("cover:200x100", (1000, 50), (100, 50)),
        ("cover:256x256", (20000, 10), (10, 10)),
        ("width:800", (4000, 3000), (800, 600)),
        ("width:800", (400, 30000), (218, 16383)),
        ("width:800", (600, 300), (600, 300)),
    ],
)
def test_target_sizes(variant: str, size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert target_size(parse_recipe(f"x={variant}").variants[0], size) == expected


_sides = st.integers(1, 65_535)


@given(st.sampled_from(["fit", "cover", "width"]), st.integers(1, 16_384), st.integers(1, 16_384), _sides, _sides)
def test_never_enlarged_never_zero(kind: str, width: int, height: int, w: int, h: int) -> None:
    box = f"{width}" if kind == "width" else f"{width}x{height}"
    variant = parse_recipe(f"x={kind}:{box}").variants[0]
    target = target_size(variant, (w, h))
    assert 1 <= target[0] <= min(w, width)
    assert 1 <= target[1] <= min(h, height if kind != "width" else h)
    whole = uncropped_size(variant, (w, h))
    assert target[0] <= whole[0] <= w
    assert target[1] <= whole[1] <= h
