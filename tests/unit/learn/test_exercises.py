"""Every exercise is checked with the starter itself, a right solution, wrong ones, cheats, and one that hangs."""

from __future__ import annotations

import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner, Result

from imgpool.cli import main
from imgpool.learn.catalogue import EXERCISES, STARTERS_DIR, Exercise
from imgpool.learn.exercises.checks import CHECKS
from imgpool.learn.exercises.finding import Verdict
from imgpool.learn.exercises.judge import judge

MEASURED = (2, 5, 6)  # whose check compares times with what they should be
EACH = pytest.mark.parametrize(
    "exercise",
    [pytest.param(each, marks=[pytest.mark.alone] * (each.number in MEASURED), id=each.slug) for each in EXERCISES],
)
WAIT_S = 60.0

# What to change in each starter, so that it is right: pairs of old and new text.
SOLUTIONS: dict[int, list[tuple[str, str]]] = {
    1: [("number * 2", "number * number")],
    2: [
        (
            "        team.start(worker, numbers, results)\n",
            "        for _ in range(workers):\n            team.start(worker, numbers, results)\n",
        ),
        (
            "    run(1, 12)\n",
            "    for workers in (1, 2, 4, 8):\n        began = time.perf_counter()\n        run(workers, 12)\n"
            '        print(workers, f"{time.perf_counter() - began:.2f}")\n',
        ),
    ],
    3: [("            numbers.send(number)\n", "            numbers.send(number)\n        numbers.close()\n")],
    4: [
        (
            "        for number in range(1, jobs + 1):\n            numbers.send(number)\n        numbers.close()\n",
            "        def produce():\n            for number in range(1, jobs + 1):\n                numbers.send(number)\n"
            "            numbers.close()\n        team.start(produce)\n",
        )
    ],
    5: [
        (
            "            channel.send(job)\n",
            "            began = time.perf_counter()\n            channel.send(job)\n"
            "            stood += time.perf_counter() - began\n",
        ),
        ("    with Team() as team:\n", "    stood = 0.0\n    with Team() as team:\n"),
        ("return 0.0", "return stood"),
    ],
    6: [
        ("        time.sleep(0.02)\n", "        ctx.check()\n        time.sleep(0.02)\n"),
        ("results_capacity=len(jobs))", "results_capacity=len(jobs), job_timeout_s=timeout_s)"),
        ('steps: done")', "steps: {'done' if result.error is None else 'out of time'}\")"),
    ],
    7: [
        (
            '                print(f"The needle is in box {result.job.payload}.")\n',
            '                print(f"The needle is in box {result.job.payload}.")\n'
            '                pool.abort("found")\n                break\n',
        )
    ],
    8: [
        ("from imgpool.imaging.recipe", "from imgpool.pool import WorkerPool\nfrom imgpool.imaging.recipe"),
        (
            "    for original in sorted(Path(folder).iterdir()):\n        make_thumbnail(original, Path(out))\n",
            "    files = sorted(Path(folder).iterdir())\n"
            "    with WorkerPool(lambda ctx, file: make_thumbnail(file, Path(out)), workers,\n"
            "                    jobs_capacity=4, results_capacity=len(files)) as pool:\n"
            "        for file in files:\n            pool.submit(file)\n"
            "    for result in pool.results:\n"
            "        how = 'done' if result.error is None else f'failed: {result.error}'\n"
            "        print(f'{result.job.payload.name}: {how}')\n",
        ),
    ],
    9: [
        ("import Context, WorkerPool", "import Context, PoolClosed, PoolFull, WorkerPool"),
        (
            "        pool.submit(name)\n        answers.append(202)\n",
            "        try:\n            pool.try_submit(name)\n            answers.append(202)\n"
            "        except (PoolFull, PoolClosed):\n            answers.append(503)\n",
        ),
    ],
}
# Where each of them can be made to hang.
ENTRY = {1: "    for number in jobs:\n", 2: "    for number in jobs:\n", 3: "    for number in jobs:\n"}
ENTRY |= {4: "    for number in jobs:\n", 5: "    for _ in jobs:\n", 6: "    for _ in range(steps):\n"}
ENTRY |= {7: "        time.sleep(0.01)", 8: "    into.mkdir(parents=True)\n", 9: "    answers = []\n"}


def changed(exercise: Exercise, *changes: tuple[str, str]) -> str:
    text = exercise.source()
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


@pytest.fixture
def verdict_on(tmp_path: Path):
    def check(number: int, text: str, limit_s: float = 30.0) -> Verdict:
        file = tmp_path / "mine.py"
        file.write_text(text)
        return judge(EXERCISES[number - 1], file, limit_s)

    return check


def missing(verdict: Verdict) -> str:
    assert not verdict.solved
    return "\n".join(finding.text for finding in verdict.findings if not finding.right)


def test_every_exercise_has_its_check_and_its_tests() -> None:
    numbers = [exercise.number for exercise in EXERCISES]
    assert numbers == list(range(1, len(EXERCISES) + 1))
    assert list(CHECKS) == numbers == list(SOLUTIONS) == list(ENTRY)
    assert len(list(STARTERS_DIR.iterdir())) == len(numbers)


@EACH
def test_a_right_solution_is_solved(exercise: Exercise, verdict_on) -> None:
    verdict = verdict_on(exercise.number, changed(exercise, *SOLUTIONS[exercise.number]))
    assert verdict.solved, verdict


def test_no_starter_is_solved() -> None:
    with ThreadPoolExecutor(len(EXERCISES)) as together:  # the last one stands still until the limit
        verdicts = list(together.map(lambda exercise: judge(exercise, exercise.path, 5.0), EXERCISES))
    assert [missing(verdict) != "" for verdict in verdicts] == [True] * len(EXERCISES)


def test_each_that_hangs_is_ended_and_told_where(tmp_path: Path) -> None:
    limit_s = 12.0  # all of them have to start until then, at once and on any machine

    def hang(exercise: Exercise) -> str:
        entry = ENTRY[exercise.number]
        indent = re.match(r" *", entry)[0]  # type: ignore[index]
        file = tmp_path / exercise.path.name
        text = changed(exercise, *SOLUTIONS[exercise.number])
        assert text.count(entry) == 1
        file.write_text(text.replace(entry, f"{indent}import time; time.sleep(1000)\n{entry}"))
        return missing(judge(exercise, file, limit_s))

    before, children = time.monotonic(), psutil.Process().children()  # a server of other tests
    with ThreadPoolExecutor(len(EXERCISES)) as together:
        for exercise, said in zip(EXERCISES, together.map(hang, EXERCISES), strict=True):
            assert re.search(r"the program still runs after 12 s: .*line \d+ in \w+", said), (exercise.slug, said)
    assert time.monotonic() - before < limit_s + WAIT_S
    assert set(psutil.Process().children()) <= set(children)


def test_a_loop_that_never_lets_go_is_ended_too(verdict_on) -> None:
    text = changed(EXERCISES[0], ("        results.send(number * 2)\n", "        sum(range(10**15))\n"))
    assert re.search(r"still runs after 5 s: .*line 12 in worker", missing(verdict_on(1, text, 5.0)))


@pytest.mark.parametrize(
    ("number", "changes", "said"),
    [
        # Cheats: what is printed is right, and was never computed by the workers.
        (
            1,
            [
                ('print(f"Result: {results.receive()}")', "results.receive()"),
                (
                    "        for _ in range(jobs):\n",
                    "        for n in range(jobs):\n            print(f'Result: {(n + 1) ** 2}')\n        for _ in range(jobs):\n",
                ),
            ],
            'what the workers send through the channel named "results" should be the squares, 1, 4, 9',
        ),
        (
            2,
            [SOLUTIONS[2][0], ("    run(1, 12)\n", "    print('1 0.60\\n2 0.30\\n4 0.15\\n8 0.10')\n")],
            "it ran 0 jobs",
        ),
        (
            2,
            [
                SOLUTIONS[2][0],
                (SOLUTIONS[2][1][0], SOLUTIONS[2][1][1].replace("{time.perf_counter() - began:.2f}", "9.99")),
            ],
            "the time printed for 1, 2, 4, 8 workers is not what it took",
        ),
        (
            3,
            [
                ("    with Team() as team:", "    try:\n     with Team() as team:"),
                ("\n\nif __name__", "    except Exception:\n        pass\n\n\nif __name__"),
            ],
            "main(jobs=6, workers=2) has a deadlock, which the program has caught: deadlock: main waits",
        ),
        (
            4,
            [('team.channel(buffer, "results")', 'team.channel(jobs, "results")')],
            "a larger buffer only moves the moment",
        ),
        (5, [("return 0.0", "return None")], "blocked_s(0, 12) should return seconds; it returned None"),
        (6, SOLUTIONS[6][1:], "the job of 50 steps should end soon after 0.15 s; it ran for "),
        (7, [("pool.submit(box)", "pool.submit(needle)")], "from 0; it opened 100, and not all up to 5"),
        (8, SOLUTIONS[8][:1], "main(folder="),
        (9, [("pool.submit(name)", "pool.try_submit(name)")], "ends with PoolFull: requests is full (line 14)"),
        (
            9,
            [
                (
                    "        pool.submit(name)\n        answers.append(202)",
                    "        answers.append(202 if len(answers) < 3 else 503)",
                )
            ],
            "each request should be handed to the pool once; it saw 0",
        ),
        # What goes wrong in any of them.
        (1, [("number * 2", "number / 0")], "main(jobs=7, workers=2) ends in a deadlock: "),
        (
            1,
            [("        numbers.close()\n", "        1 / 0\n")],
            "ends with ZeroDivisionError: division by zero (line 23)",
        ),
        (1, [("        numbers.close()\n", "")], "main(jobs=7, workers=2) ends in a deadlock: "),
        (1, [("number * 2", "number *")], "loading mine.py fails: line 12 is not Python: invalid syntax"),
        (1, [("def main(", "def mean("), ("    main()", "    mean()")], "the program has no function main()"),
        (
            1,
            [("workers: int = 3", "staff: int = 3"), ("range(workers)", "range(staff)")],
            "main(jobs=7, workers=2) cannot be",
        ),
        (
            1,
            [("    with Team() as team:", "    while True:\n        print('x')\n    with Team() as team:")],
            "prints more than 100000",
        ),
        (
            1,
            [("        results.send(number * 2)\n", "        while True:\n            print('x')\n")],
            "prints more than 100000",
        ),
        (1, [("    with Team()", "    import sys; sys.exit(0)\n    with Team()")], "ends with SystemExit: 0"),
        (
            1,
            [("    with Team()", "    import os; os._exit(0)\n    with Team()")],
            "the program ended its process with status 0",
        ),
        (
            1,
            [("    with Team()", "    import os; os.abort()\n    with Team()")],
            "the program ended its process by SIGABRT",
        ),
        (1, [("    with Team()", "    x = 'x' * (3 << 30)\n    with Team()")], "ends with MemoryError"),
    ],
)
def test_what_is_wrong_is_told(number: int, changes: list[tuple[str, str]], said: str, verdict_on) -> None:
    assert said in missing(verdict_on(number, changed(EXERCISES[number - 1], *changes)))


def test_what_a_solution_has_started_is_ended(tmp_path: Path, verdict_on) -> None:
    told = tmp_path / "pid"
    start = f"import subprocess; open({str(told)!r}, 'w').write(str(subprocess.Popen(['sleep', '1000']).pid))"
    verdict_on(1, changed(EXERCISES[0], ("    with Team()", f"    {start}\n    with Team()")))
    try:
        started = psutil.Process(int(told.read_text()))
        if started.status() != psutil.STATUS_ZOMBIE:  # killed, and whose it is now may take its time to say so
            started.wait(WAIT_S)
    except psutil.NoSuchProcess:
        pass


def test_a_neighbour_of_the_solution_takes_nobodys_place(tmp_path: Path, verdict_on) -> None:
    (tmp_path / "json.py").write_text("raise AssertionError('imported')\n")
    assert verdict_on(1, changed(EXERCISES[0], *SOLUTIONS[1])).solved


def exercise(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["exercise", *map(str, arguments)])


def test_the_list_has_every_exercise() -> None:
    told = exercise()
    assert told.exit_code == 0
    for each in EXERCISES:
        assert f"{each.number:3}  {each.title}\n" in told.stdout


def test_a_starter_is_written_once_and_can_be_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = exercise(1)
    assert told.exit_code == 0, told.output
    assert told.stdout.endswith("Start from exercise_01_squares.py. To check it: imgpool exercise 1 --check "
                                "exercise_01_squares.py\n")  # fmt: skip
    assert Path("exercise_01_squares.py").read_text() == EXERCISES[0].source()
    again = exercise(1)
    assert (again.exit_code, again.stderr) == (
        2,
        "imgpool: exercise_01_squares.py is there already, and is not overwritten: name another with --to FILE\n",
    )
    checked = exercise(1, "--check", "exercise_01_squares.py")
    assert checked.exit_code == 1
    assert checked.stdout.startswith(
        "Exercise 1: Squares instead of doubles\n\n  right    main(jobs=7, workers=2) comes to"
    )
    assert checked.stdout.endswith("\nNot yet: 2 missing.\n")
    Path("mine.py").write_text(changed(EXERCISES[0], *SOLUTIONS[1]))
    checked = exercise(1, "--check", "mine.py")
    assert (checked.exit_code, checked.stdout.splitlines()[-1]) == (0, "Solved.")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([99], f"there is no exercise 99; there are 1 to {len(EXERCISES)}"),
        ([1, "--check", "nowhere.py"], "--check: 'nowhere.py' is not a file"),
        ([1, "--to", os.devnull + "/x.py"], "--to: '/dev/null/x.py' cannot be written: Not a directory"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(arguments: list[object], said: str) -> None:
    told = exercise(*arguments)
    assert (told.exit_code, told.stdout, told.stderr) == (2, "", f"imgpool: {said}\n")
