"""What a forked child finds: fresh locks, and no fork in the middle of a start."""

import os
import threading
import time

from bandpo.rewards.forks import hold_off_forks, renew_at_fork


class Locked:
    def __init__(self):
        self.renew()
        renew_at_fork(self)

    def renew(self) -> None:
        self.lock = threading.Lock()


def child_says(question) -> bool:
    """Whether a question is answered by yes in a forked child."""
    child = os.fork()
    if child == 0:
        os._exit(0 if question() else 1)
    return os.waitpid(child, 0)[1] == 0


def test_a_lock_that_another_thread_holds_is_free_in_the_child():
    locked, release = Locked(), threading.Event()

    def hold() -> None:
        with locked.lock:
            release.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    while not locked.lock.locked():
        time.sleep(0.01)
    assert child_says(lambda: locked.lock.acquire(timeout=5))
    assert locked.lock.locked()  # the parent's is as it was
    release.set()
    thread.join()


def test_what_is_gone_is_not_renewed():
    locked = Locked()
    renewed = []
    locked.renew = lambda: renewed.append(1)
    del locked
    assert child_says(lambda: not renewed)


def test_forks_wait_for_a_start_and_children_can_start_too():
    held, forked = threading.Event(), []

    def start() -> None:
        with hold_off_forks():
            held.set()
            time.sleep(0.3)
            forked.append("after the start")

    thread = threading.Thread(target=start)
    thread.start()
    held.wait(60)
    assert child_says(lambda: forked == ["after the start"] and hold_off_forks().__enter__())
    thread.join()


def test_a_fork_by_the_thread_that_starts_goes_through():
    with hold_off_forks():
        assert child_says(lambda: hold_off_forks().__enter__())
    assert child_says(lambda: hold_off_forks().__enter__())
