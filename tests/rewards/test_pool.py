"""The pool under mishaps: processes killed, stopped, closed and forked under it cost no answer."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from bandpo.rewards import pool, processes

EASY = [(rf"\boxed{{{n + 1}x}}", rf"\boxed{{{n}x+x}}") for n in range(2, 50)]
SLOW = (r"\boxed{x^{24}-1}", r"\boxed{(x-1)(" + "+".join(f"x^{{{n}}}" for n in range(24)) + ")}")  # 0.3 s
HOPELESS = (r"\boxed{5}", r"\boxed{9^{9^{9^{9}}}}")


@pytest.fixture
def own():
    own = pool.Pool(seconds=30, megabytes=512, workers=2)
    yield own
    own.close()


def send(process: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, number)


def is_gone(process: int, seconds: float) -> bool:
    """Whether a process ends within so many seconds; one that nobody has waited for is gone too."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with open(f"/proc/{process}/stat") as line:
                if line.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGSEGV])
def test_a_signal_to_idle_workers_costs_no_answer(number):
    own = pool.Pool(seconds=0.5, megabytes=512, workers=1)
    assert own.equal(*EASY[0]) is True
    for gold, answer in EASY[:2]:
        for process in own.processes():
            send(process, number)  # and no time for it to be noticed
        assert own.equal(gold, answer) is True
    own.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_signal_to_a_worker_at_work_costs_no_answer(number):
    own = pool.Pool(seconds=3, megabytes=512, workers=1)
    assert own.equal(*EASY[0]) is True
    threading.Timer(0.1, send, (own.processes()[0], number)).start()
    assert own.equal(*SLOW) is True
    own.close()


def test_an_answer_that_loses_both_its_workers_is_no_verdict(own):
    own.equal(*EASY[0])
    verdicts = []
    grading = threading.Thread(target=lambda: verdicts.append(own.equal(*HOPELESS)))
    grading.start()
    while not verdicts:
        for process in own.processes():
            send(process, signal.SIGKILL)
        grading.join(0.2)
    assert verdicts == ["crash"] and own.equal(*EASY[0]) is True


def test_what_is_settled_is_not_tried_again():
    own = pool.Pool(seconds=1.5, megabytes=512, workers=1)
    own.equal(*EASY[0])
    asked = []
    equal = processes.Process.equal
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes.Process, "equal", lambda self, *pair: asked.append(self.id) or equal(self, *pair))
        assert own.equal(*HOPELESS) == "timeout" and len(asked) == 1
        assert own.equal(r"\boxed{2x}", r"\boxed{3x}") is False and len(asked) == 2
    own.close()


def test_the_limit_is_processor_time():
    """A worker that runs an eighth of the time, as on a machine with much other work, comes to the same verdict."""
    own = pool.Pool(seconds=1.0, megabytes=512, workers=1)
    own.equal(*EASY[0])
    [process] = own.processes()
    done = threading.Event()

    def slow_down() -> None:
        while not done.is_set():
            send(process, signal.SIGSTOP)
            done.wait(0.14)
            send(process, signal.SIGCONT)
            done.wait(0.02)

    thread = threading.Thread(target=slow_down)
    thread.start()
    started = time.monotonic()
    verdict = own.equal(*SLOW)
    elapsed = time.monotonic() - started
    done.set()
    thread.join()
    own.close()
    assert verdict is True and elapsed > 1.0


def test_an_answer_that_only_waits_ends_by_the_wall_clock(monkeypatch, tmp_path):
    (tmp_path / "math_verify.py").write_text(
        "import time\nparse = lambda text, **options: [text]\n"
        "verify = lambda gold, answer, **options: time.sleep(60 if gold == ['waits'] else 0)\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    own = pool.Pool(seconds=0.2, megabytes=512, workers=1)
    started = time.monotonic()
    assert own.equal("waits", "2") == "timeout" and own.equal("1", "2") is False
    assert time.monotonic() - started < 2 * (0.2 * 10 + 1) + 5
    own.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
@pytest.mark.parametrize("threads", [pytest.param(1, marks=pytest.mark.slow), 6])
def test_a_lost_nursery_costs_no_answer(number, threads):
    own = pool.Pool(seconds=30, megabytes=512, workers=threads, answers_each=1)

    def grade(n: int) -> bool | str:
        if n % 6 == 5 and own._nursery is not None:
            send(own._nursery.process.pid, number)
        return own.equal(*EASY[n])

    with ThreadPoolExecutor(threads) as many:
        assert list(many.map(grade, range(24))) == [True] * 24
    own.close()


def test_a_nursery_and_all_its_workers_are_replaced(own):
    assert own.equal(*EASY[0]) is True
    os.killpg(own._nursery.process.pid, signal.SIGKILL)
    assert own.equal_each(EASY[:4]) == [True] * 4


def hang_once(tmp_path, line: str) -> str:
    """A nursery program that hangs before `line` of worker.py the first time, and is worker.py after that."""
    text = processes.PROGRAM.read_text()
    assert line in text
    indent = line[: len(line) - len(line.lstrip())]
    hang = f"{indent}if not os.path.exists({str(tmp_path / 'hung')!r}):\n"
    hang += f"{indent}    open({str(tmp_path / 'hung')!r}, 'w').close()\n{indent}    __import__('time').sleep(600)\n"
    program = tmp_path / "worker.py"
    program.write_text(text.replace(line, hang + line))
    return str(program)


@pytest.mark.parametrize("line", ["        if os.fork() == 0:", "    try:\n        equal = load()"])
def test_a_nursery_that_hangs_is_replaced_for_all_threads(monkeypatch, tmp_path, line):
    monkeypatch.setattr(processes, "PROGRAM", hang_once(tmp_path, line))
    monkeypatch.setattr(processes, "FORK_SECONDS", 2.0)
    monkeypatch.setattr(processes, "START_SECONDS", 10.0)
    own = pool.Pool(seconds=30, megabytes=512, workers=4)
    started = time.monotonic()
    assert own.equal_each(EASY[:8]) == [True] * 8
    assert time.monotonic() - started < 40 and (tmp_path / "hung").exists()
    own.close()


def test_idle_workers_serve_while_a_nursery_hangs(own, monkeypatch):
    own.equal(*EASY[0])
    released = threading.Event()
    fork = pool.Nursery.fork
    monkeypatch.setattr(pool.Nursery, "fork", lambda nursery: released.wait(60) and fork(nursery))
    waiting = threading.Thread(target=lambda: own._take(fresh=True))
    waiting.start()
    assert own.equal(*EASY[1]) is True and not released.is_set()
    released.set()
    waiting.join()


def test_close_from_another_thread_costs_no_answer(own):
    def grade(n: int) -> bool | str:
        if n % 8 == 7:
            own.close()
        return own.equal(*EASY[n])

    with ThreadPoolExecutor(4) as many:
        assert list(many.map(grade, range(32))) == [True] * 32


def test_close_in_the_middle_of_an_answer_costs_no_answer(own):
    own.equal(*EASY[0])
    threading.Timer(0.1, own.close).start()
    assert own.equal(*SLOW) is True


def test_close_ends_what_is_stopped(own):
    own.equal_each(EASY[:4])
    processes_then = [*own.processes(), own._nursery.process.pid]
    for process in processes_then:
        send(process, signal.SIGSTOP)
    started = time.monotonic()
    own.close()
    assert time.monotonic() - started < 8 and all(is_gone(process, 2) for process in processes_then)


PARENT = """
    import time
    from bandpo.rewards.pool import Pool
    own = Pool(seconds={seconds}, megabytes=512, workers=2)
    own.equal_each({pairs})
    print(own._nursery.process.pid, *own.processes(), flush=True)
    {then}
    time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="stopped processes are woken on Linux only")
@pytest.mark.parametrize("stopped", ["worker", "workers", "nursery", "all"])
@pytest.mark.parametrize("then", ["", f"own.equal(*{HOPELESS})"], ids=["idle", "at work"])
def test_stopped_processes_do_not_outlive_a_killed_parent(stopped, then):
    code = textwrap.dedent(PARENT).format(seconds=30, pairs=EASY[:4], then=then)
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    nursery, *workers = map(int, parent.stdout.readline().split())
    time.sleep(0.5 if then else 0)
    chosen = {"worker": workers[:1], "workers": workers, "nursery": [nursery], "all": [*workers, nursery]}[stopped]
    for process in chosen:
        send(process, signal.SIGSTOP)
    time.sleep(0.1)
    parent.kill()
    parent.wait()
    left = [process for process in (nursery, *workers) if not is_gone(process, 10)]
    for process in left:
        send(process, signal.SIGKILL)
    assert not left


@pytest.mark.parametrize("threads", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_a_fork_while_threads_grade_can_grade(own, threads):
    own.equal(*EASY[0])
    done = threading.Event()

    def keep_grading() -> None:
        while not done.is_set():
            own.equal(*EASY[1])

    many = [threading.Thread(target=keep_grading) for _ in range(threads)]
    for thread in many:
        thread.start()
    try:
        endings = [ending_of(fork_and_grade(own), 60) for _ in range(3)]
    finally:
        done.set()
        for thread in many:
            thread.join()
    assert endings == [0] * 3


def test_forks_while_nurseries_start_hold_up_neither(own):
    """A child that was forked in the middle of a start would keep the pipe that the start waits for."""
    with ThreadPoolExecutor(1) as one:
        children = []
        for _ in range(3):
            own.close()
            grading = one.submit(own.equal, *EASY[0])
            for _ in range(20):
                children.append(os.fork())
                if children[-1] == 0:
                    time.sleep(20)
                    os._exit(0)
                time.sleep(0.002)
            assert grading.result(20) is True
            for child in children:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
            children.clear()


def fork_and_grade(own: pool.Pool) -> int:
    child = os.fork()
    if child == 0:
        fine = False
        with contextlib.suppress(BaseException):
            fine = own.equal(*EASY[2]) is True
            own.close()
        os._exit(0 if fine else 1)
    return child


def ending_of(child: int, seconds: float) -> int | str:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hangs"


def test_workers_are_replaced_after_their_share():
    own = pool.Pool(seconds=30, megabytes=512, workers=1, answers_each=2)
    processes = []
    for n in range(4):
        assert own.equal(r"\boxed{2x}", rf"\boxed{{x+{n}x}}") is (n == 1)
        processes += own.processes()
    own.close()
    assert len(set(processes)) == 2


def test_a_worker_that_cannot_start_says_why(monkeypatch, tmp_path):
    (tmp_path / "math_verify.py").write_text("raise ImportError('broken on purpose')")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    own = pool.Pool(seconds=5, megabytes=512, workers=1)
    with pytest.raises(RuntimeError, match="did not start: ImportError: broken on purpose"):
        own.equal("1", "2")
    assert own.processes() == []
