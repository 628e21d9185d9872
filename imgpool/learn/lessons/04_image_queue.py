"""An image processing queue

Jobs are image IDs, workers are image processors, results are the IDs that are processed.

This is what imgpool itself does with every upload. Only the ID goes through the channels: the picture, which may be
large, stays on the disk until a worker opens it. A picture that cannot be read costs its own job, never the worker.
"""

import tempfile
from pathlib import Path

from imgpool.imaging.pipeline import Limits, Made, make_variants
from imgpool.imaging.recipe import parse_recipe
from imgpool.imaging.samples import sample_images
from imgpool.pool import Context, WorkerPool


def main(workers: int = 2, buffer: int = 4, recipe: str = "large=fit:1600x1600,thumb=fit:256x256") -> None:
    """Make the variants of every sample image."""
    originals = {f"image-{number:02}": path for number, path in enumerate(sample_images(), start=1)}
    originals["image-00"] = Path(__file__)  # not a picture at all

    with tempfile.TemporaryDirectory() as out:

        def process(ctx: Context, image_id: str) -> Made:
            into = Path(out, image_id)
            into.mkdir()
            return make_variants(originals[image_id], into, parse_recipe(recipe), Limits(), ctx.check, sync=False)

        pool = WorkerPool(process, workers, jobs_capacity=buffer, results_capacity=len(originals), name="images")
        with pool:
            for image_id in originals:
                pool.submit(image_id)  # waits while the buffer is full: the workers set the pace

        for result in pool.results:  # its buffer has a place for each, so they could all wait here until now
            image_id, made = result.job.payload, result.value
            what = originals[image_id].name
            if made is None:
                print(f"{image_id} failed      {what}: {result.error}")
                continue
            files = ", ".join(f"{each.filename} {each.width}x{each.height}" for each in made.variants)
            print(f"{image_id} {result.ran_s * 1000:6.0f} ms   {what} {made.width}x{made.height}: {files}")


if __name__ == "__main__":
    main()
