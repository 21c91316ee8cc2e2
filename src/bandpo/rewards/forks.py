"""Forks of this process: what a child must not take over is renewed in it, and none happens while a process is started.

A lock that another thread holds at the fork stays locked in the child for ever, since that thread is not there. A child
that is forked while another thread starts a process keeps the pipe on which `subprocess` waits.
"""

from __future__ import annotations

import os
import threading
import weakref
from contextlib import AbstractContextManager
from typing import Any, Protocol

_held_off = threading.RLock()  # so that a signal handler may fork in the middle of a start


class Renewable(Protocol):
    """A holder of locks, sockets or processes that belong to the process which made them."""

    def renew(self) -> None:
        """Begin anew in a forked child: fresh locks, no processes."""


_renewed: weakref.WeakSet[Renewable] = weakref.WeakSet()


def renew_at_fork(thing: Renewable) -> None:
    """Call `thing.renew()` in every child that this process forks, for as long as the thing lives.

    >>> import os, threading
    >>> from bandpo.rewards.forks import renew_at_fork
    >>> class Counter:
    ...     def __init__(self):
    ...         self.renew()
    ...         renew_at_fork(self)
    ...     def renew(self):
    ...         self.lock = threading.Lock()
    >>> counter = Counter()
    >>> with counter.lock:
    ...     child = os.fork()
    ...     if child == 0:
    ...         os._exit(1 if counter.lock.locked() else 0)
    >>> os.waitpid(child, 0)[1]
    0
    """
    _renewed.add(thing)


def hold_off_forks() -> AbstractContextManager[Any]:
    """Return the lock that forks wait for; hold it only while sockets are made and a process is started.

    >>> from bandpo.rewards.forks import hold_off_forks
    >>> with hold_off_forks():
    ...     ours, theirs = __import__("socket").socketpair()
    >>> ours.close(), theirs.close()
    (None, None)
    """
    return _held_off


def _renew_all() -> None:
    _held_off.release()
    for thing in list(_renewed):
        thing.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_held_off.acquire, after_in_parent=_held_off.release, after_in_child=_renew_all)
