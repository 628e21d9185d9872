"""The same pool and pipeline without a server."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from imgpool.config import Settings
from imgpool.errors import DecodeFailed, DecoderCrashed
from imgpool.imaging.model import Made
from imgpool.imaging.sandbox import CancelSignal, InThread, Processor
from imgpool.service.batch import Job, find_images, run_batch
from imgpool.service.workshop import Workshop

Make = Callable[..., Settings]
WAIT_S = 120.0


def written(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def into(jobs: list[Job], out: Path) -> dict[str, str]:
    return {str(job.into.relative_to(out)): job.source.name for job in jobs}


def test_in_folders_images_are_found_by_bytes_or_ending(tmp_path: Path, images: dict[str, bytes]) -> None:
    folder = written(
        tmp_path / "in",
        {
            "a.jpg": images["jpeg"],
            "deep/er/b.PNG": images["text"],
            "noending": images["gif"],
            "notes.txt": images["text"],
            ".hidden.jpg": images["jpeg"],
            ".git/c.jpg": images["jpeg"],
        },
    )
    (folder / "dangling.bin").symlink_to(folder / "nowhere")
    assert into(find_images([folder], tmp_path / "out"), tmp_path / "out") == {
        "a.jpg": "a.jpg",
        "deep/er/b.PNG": "b.PNG",
        "noending": "noending",
    }


def test_a_named_file_is_taken_whatever_it_is(tmp_path: Path, images: dict[str, bytes]) -> None:
    folder = written(tmp_path, {"notes.txt": images["text"]})
    assert len(find_images([folder / "notes.txt"], tmp_path / "out")) == 1
    assert len(find_images([folder / "missing.jpg"], tmp_path / "out")) == 1, "it fails by name when it is processed"


def test_same_names_do_not_meet(tmp_path: Path, images: dict[str, bytes]) -> None:
    for folder in ("one", "two", "three"):
        written(tmp_path / folder, {"a.jpg": images["tiny"], "a.jpg-2": images["tiny"]})
    jobs = find_images([tmp_path / "one", tmp_path / "two", tmp_path / "three" / "a.jpg"], tmp_path / "out")
    assert len({job.into for job in jobs}) == len(jobs) == 5


def test_an_output_folder_inside_the_input_is_not_taken_for_input(tmp_path: Path, images: dict[str, bytes]) -> None:
    folder = written(tmp_path / "in", {"a.jpg": images["jpeg"], "out/a.jpg/large.jpg": images["jpeg"]})
    assert [job.source.name for job in find_images([folder], folder / "out")] == ["a.jpg"]


def test_more_jobs_than_places_all_end_and_variants_replace_older_ones(
    tmp_path: Path, settings: Make, images: dict[str, bytes]
) -> None:
    files = {f"{number}.jpg": images["truncated" if number % 5 == 0 else "jpeg"] for number in range(20)}
    folder = written(tmp_path / "in", files)
    written(tmp_path / "out", {"1.jpg/large.jpg": b"of an earlier run", "1.jpg/mine.txt": b"not ours"})
    jobs = find_images([folder], tmp_path / "out")
    outcomes = dict(run_batch(jobs, Workshop(settings(workers=2)), timeout_s=30))
    assert len(outcomes) == 20
    failed = {job.source.name: reason for job, reason in outcomes.items() if reason is not None}
    assert set(failed) == {"0.jpg", "5.jpg", "10.jpg", "15.jpg"}
    assert all(reason.endswith(".") for reason in failed.values())
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(files) - set(failed)
    assert {path.name for path in (tmp_path / "out" / "1.jpg").iterdir()} == {
        "large.jpg",
        "thumb.jpg",
        "mine.txt",
    }
    assert (tmp_path / "out" / "1.jpg" / "large.jpg").read_bytes().startswith(b"\xff\xd8")


def test_leaving_in_the_middle_ends_everything(tmp_path: Path, settings: Make, images: dict[str, bytes]) -> None:
    folder = written(tmp_path / "in", {f"{number}.jpg": images["jpeg"] for number in range(10)})
    outcomes = run_batch(find_images([folder], tmp_path / "out"), Workshop(settings(workers=1)), timeout_s=30)
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    # It waits for a second at most for the one that had begun.
    for thread in threading.enumerate():
        if thread.name.startswith("imgpool-batch"):
            thread.join(WAIT_S)
            assert not thread.is_alive(), thread.name
    assert len(list((tmp_path / "out").iterdir())) <= 5, "those that had begun or were queued behind a full channel"


def test_every_failure_has_a_reason(tmp_path: Path, settings: Make, images: dict[str, bytes]) -> None:
    folder = written(tmp_path / "in", {"a.jpg": images["jpeg"], "b.jpg": images["jpeg"], "c.jpg": images["jpeg"]})
    written(tmp_path / "out", {"c.jpg": b"a file is where the folder should be"})
    missing = tmp_path / "missing.jpg"

    class Odd(InThread):
        def process(self, original: Path, into: Path, *, timeout_s: float | None, cancelled: CancelSignal) -> Made:
            if original.name == "a.jpg":
                raise DecodeFailed("The file is cut short.")
            if original.name == "b.jpg":
                raise RuntimeError("oops")
            return super().process(original, into, timeout_s=timeout_s, cancelled=cancelled)

    class WithOdd(Workshop):
        def make_processor(self) -> Processor:
            return Odd(self.recipe, self.limits)

    outcomes = run_batch(find_images([folder, missing], tmp_path / "out"), WithOdd(settings(workers=1)), timeout_s=30)
    reasons = {job.source.name: str(reason) for job, reason in outcomes}
    assert reasons["a.jpg"] == "The file is cut short."
    assert "an error of imgpool itself" in reasons["b.jpg"]
    assert reasons["missing.jpg"] == f"No such file or directory: {missing}"
    assert reasons["c.jpg"] == "None"
    assert (tmp_path / "out" / "c.jpg-2" / "thumb.jpg").exists()
    assert (tmp_path / "out" / "c.jpg").read_bytes().startswith(b"a file"), "somebody else's file is left alone"


def test_a_decoder_that_cannot_be_started_is_the_reason(
    tmp_path: Path, settings: Make, images: dict[str, bytes]
) -> None:
    folder = written(tmp_path / "in", {"a.jpg": images["jpeg"], "b.jpg": images["jpeg"]})
    errors = [DecoderCrashed("The decoder could not be started.")]

    class Late(Workshop):
        def make_processor(self) -> Processor:
            if errors:
                raise errors.pop()
            return super().make_processor()

    reasons = [
        reason
        for _, reason in run_batch(find_images([folder], tmp_path / "out"), Late(settings(workers=1)), timeout_s=30)
    ]
    assert reasons == ["The decoder could not be started.", None]
