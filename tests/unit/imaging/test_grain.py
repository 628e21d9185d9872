"""Samples made as a camera's: as large as its files, and the same pictures."""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageChops, ImageStat

from imgpool.imaging.grain import write_with_grain
from serving import SAMPLES


def test_a_sample_with_grain_has_the_size_of_a_cameras_file(tmp_path: Path) -> None:
    sample = SAMPLES / "forest-orientation-6.jpg"
    write_with_grain(sample, tmp_path / "grained.jpg")
    assert 2_300_000 < (tmp_path / "grained.jpg").stat().st_size < 3_000_000
    with Image.open(sample) as before, Image.open(tmp_path / "grained.jpg") as after:
        assert after.size == before.size
        assert after.getexif()[0x0112] == before.getexif()[0x0112] == 6
        difference = ImageStat.Stat(ImageChops.difference(before.convert("RGB"), after.convert("RGB")))
        assert all(1 < mean < 5 for mean in difference.mean), "grain, and the same picture under it"
