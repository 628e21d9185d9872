"""A worker pool made by hand: threads, a channel of jobs, a channel of results."""

from __future__ import annotations

from imgpool.learn.lab.experiment import Experiment
from imgpool.learn.lab.work import pause, work
from imgpool.pool import Channel, Team


def worker(jobs: Channel[int], results: Channel[int], lab: Experiment) -> None:
    """Take a job, work on it, send its result; again until the jobs are closed."""
    for job in jobs:
        work(job, lab.kind, lab.length_ms)
        results.send(job * 2)


def producer(jobs: Channel[int], lab: Experiment) -> None:
    """Send all jobs, then say that there are no more."""
    for job in range(1, lab.jobs + 1):
        pause(lab.gap_ms)
        jobs.send(job)
    if lab.close:
        jobs.close()


def main(lab: Experiment) -> None:
    """The whole pool. A team notices when all its threads wait for each other."""
    with Team() as team:
        jobs: Channel[int] = team.channel(lab.jobs_buffer, "jobs")
        results: Channel[int] = team.channel(lab.results_buffer, "results")
        for _ in range(lab.workers):
            team.start(worker, jobs, results, lab)
        if lab.collect == "meanwhile":
            team.start(producer, jobs, lab, name="producer")
        else:
            producer(jobs, lab)
        if lab.collect != "never":
            for _ in range(lab.jobs):
                print("Result:", results.receive())
