"""Where the grader is called from: threads, daemons, forks, scripts without a guard, runs that are stopped."""

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bandpo.rewards import Grader, math_rewarder, pool
from benchmarks.grading_torture import MEMORY

math_reward = math_rewarder("math-verify", timeout=30)

PAIRS = [(rf"\boxed{{{n}x+x}}", f"{n + 1}x") for n in range(12)]


def graded_by_algebra(grader=None, offset=0):
    """Correct and wrong answers in turn, none of which is decided without a process."""
    texts = [text for text, _ in PAIRS]
    references = [reference if n % 2 == 0 else reference + f"+{n + offset}" for n, (_, reference) in enumerate(PAIRS)]
    if grader is None:
        return math_reward(texts, references)
    return [float(verdict.is_correct) for verdict in grader.grade(texts, references)]


EXPECTED = [1.0, 0.0] * 6


@pytest.fixture
def grader():
    grader = Grader("math-verify", timeout=30, workers=2)
    yield grader
    grader.close()


def python(code: str, **options) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True, **options)


def gone(process: int, seconds: float) -> bool:
    """Whether a process that is not our child ends within so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_many_threads_share_one_pool(grader):
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(lambda n: graded_by_algebra(grader, 100 * n), range(8)))
    assert results == [EXPECTED] * 8
    assert len(grader.processes()) <= 2 and grader.statistics.graded == 96


def test_a_thread_that_is_not_the_main_one_gets_no_zeros():
    results = []
    thread = threading.Thread(target=lambda: results.append(graded_by_algebra()))
    thread.start()
    thread.join()
    assert results == [EXPECTED]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_daemonic_process_grades(method):
    graded_by_algebra()  # so that a fork finds the parent's pool
    context = multiprocessing.get_context(method)
    queue = context.SimpleQueue()
    child = context.Process(target=_grade_into, args=(queue,), daemon=True)
    child.start()
    child.join(60)
    assert child.exitcode == 0 and queue.get() == EXPECTED
    assert graded_by_algebra() == EXPECTED


def _grade_into(queue) -> None:
    queue.put(graded_by_algebra())


def test_a_fork_leaves_the_parents_processes_alone(grader):
    graded_by_algebra(grader)
    processes = grader.processes()
    child = os.fork()
    if child == 0:
        fine = graded_by_algebra(grader, 50) == EXPECTED and not set(grader.processes()) & set(processes)
        grader.close()
        os._exit(0 if fine else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert graded_by_algebra(grader, 70) == EXPECTED and grader.processes() == processes


@pytest.mark.parametrize("threads", [1, 4])
def test_a_fork_while_other_threads_grade_does_not_hang(threads):
    quick = Grader()
    done = threading.Event()

    def keep_grading() -> None:
        while not done.is_set():
            quick.grade(["Answer: 34"], ["34"])

    many = [threading.Thread(target=keep_grading) for _ in range(threads)]
    for thread in many:
        thread.start()
    try:
        for _ in range(5):
            child = os.fork()
            if child == 0:
                os._exit(0 if quick.grade(["Answer: 35"], ["35"])[0].is_correct else 1)
            assert ended(child, 20) == 0
    finally:
        done.set()
        for thread in many:
            thread.join()


def ended(child: int, seconds: float) -> int | None:
    """How a child of ours ended; None where it did not in so many seconds and was killed."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        process, status = os.waitpid(child, os.WNOHANG)
        if process:
            return status
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def test_a_script_without_a_guard_runs_once(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(
        "print('started')\n"
        "from bandpo.rewards import math_rewarder\n"
        "print(math_rewarder('math-verify')([r'\\boxed{x+x}'], answer=['2x']))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert done.stdout.split("\n")[:2] == ["started", "[1.0]"] and not done.stderr


HANGING = """
    import sys
    from bandpo.rewards import Grader
    grader = Grader("math-verify", timeout={timeout}, workers=2)
    grader.grade([r"\\boxed{{x+x}}", r"\\boxed{{x+2x}}"], ["y", "y"])
    print(*grader.processes(), flush=True)
    grader.grade([rf"\\boxed{{{{9^{{{{9^{{{{9^{{{{{{n}}}}}}}}}}}}}}}}}}" for n in range(4, 20)], ["5"] * 16)
"""


def _as_in_a_terminal():
    """A shell that starts tests in the background has them ignore SIGINT, and all that they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_ends_a_hanging_batch_at_once():
    process = python(HANGING.format(timeout=60), stderr=subprocess.PIPE, preexec_fn=_as_in_a_terminal)
    workers = [int(word) for word in process.stdout.readline().split()]
    time.sleep(1.0)
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.wait(30)
    assert time.monotonic() - started < 10 and "KeyboardInterrupt" in process.stderr.read()
    assert workers and all(gone(worker, 5) for worker in workers)


def test_workers_do_not_outlive_a_killed_parent():
    process = python(HANGING.format(timeout=1))
    workers = [int(word) for word in process.stdout.readline().split()]
    time.sleep(0.3)
    process.kill()
    process.wait()
    assert workers and all(gone(worker, 10) for worker in workers)


def test_a_worker_that_was_killed_while_idle_costs_no_answer(grader):
    graded_by_algebra(grader)
    for process in grader.processes():
        os.kill(process, signal.SIGKILL)
    time.sleep(0.2)
    assert graded_by_algebra(grader, 30) == EXPECTED and grader.statistics.refused == {}


def test_without_math_verify_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(pool, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'bandpo\[math\]'"):
        Grader("math-verify", workers=1).grade([r"\boxed{x+x}"], ["y"])


def test_the_parent_imports_neither_sympy_nor_math_verify():
    code = """
        import sys
        import bandpo
        print("bandpo.rewards" in sys.modules, "datasets" in sys.modules)
        from bandpo.rewards import math_rewarder
        rewards = math_rewarder("math-verify")([r"\\boxed{x+x}"], answer=["2x"])
        print(rewards, {"math_verify", "sympy", "transformers"} & {*sys.modules})
    """
    process = python(code)
    assert process.communicate(timeout=60)[0].split("\n")[:2] == ["False False", "[1.0] set()"]


def test_nothing_a_model_writes_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = "__import__('pathlib').Path('seen').touch()"
    grader = Grader("math-verify", timeout=5, workers=1)
    for text in (
        rf"\boxed{{{code}}}",
        f"Answer: {code}",
        code,
        f"${code}$",
        rf"\boxed{{1+{code}}}",
        f"The answer is {code}",
    ):
        grader.grade([text], ["5"])
    grader.close()
    assert list(tmp_path.iterdir()) == []


def test_a_hostile_batch_takes_its_limits_and_no_more():
    grader = Grader("math-verify", timeout=0.5, workers=2)
    towers = [rf"\boxed{{9^{{9^{{9^{n}}}}}}}" for n in range(2, 6)]
    started = time.monotonic()
    verdicts = grader.grade([*towers, r"\boxed{2y}"], ["5"] * 4 + ["y+y"])
    grader.close()
    assert time.monotonic() - started < (4 / 2 + 1) * (0.5 + 5.0)
    assert {v.refused for v in verdicts[:4]} == {"timeout"}
    assert grader.statistics.refused["timeout"] >= 4 and grader.statistics.graded == 5


def test_the_same_hostile_answer_costs_its_limit_once_in_a_batch():
    grader = Grader("math-verify", timeout=0.5, workers=1)
    started = time.monotonic()
    verdicts = grader.grade([r"\boxed{9^{9^{9^{9}}}}"] * 200, ["5"] * 200)
    assert time.monotonic() - started < 6 and {verdict.refused for verdict in verdicts} == {"timeout"}
    grader.close()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory limits need Linux")
@pytest.mark.parametrize("name, reference, completion", MEMORY, ids=[name for name, *_ in MEMORY])
def test_a_memory_bomb_is_refused_as_one(name, reference, completion):
    grader = Grader("math-verify", timeout=60, memory_mb=128, workers=1)
    [verdict] = grader.grade([completion], [reference])
    [after] = grader.grade([r"\boxed{x+x}"], ["2x"])
    grader.close()
    assert verdict.refused == "memory" and after.is_correct


def test_nothing_leaks():
    grader = Grader("math-verify", timeout=0.2, workers=1)
    grader.grade([r"\boxed{x+1}"], ["y"])
    files, seen = open_files(), set(grader.processes())
    for n in range(5):
        grader.grade([rf"\boxed{{9^{{9^{{9^{{{n + 4}}}}}}}}}"], ["5"])
        grader.grade([rf"\boxed{{x+{n + 2}}}"], ["y"])
        seen |= set(grader.processes())
    assert len(grader.processes()) == 1 and len(seen) == 6 and open_files() <= files
    grader.close()
    assert grader.processes() == [] and open_files() <= files
    for process in seen:
        with pytest.raises(ProcessLookupError):  # neither running nor a zombie
            os.kill(process, 0)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
