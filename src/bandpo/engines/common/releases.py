"""Which releases are installed, and whether an adapter was written for them."""

from __future__ import annotations

import importlib.metadata
import re

from bandpo.engines.common.findings import Finding


def release(version: str) -> tuple[int, ...]:
    """Return the leading numbers of a version, for comparisons.

    >>> release("0.10.0.dev1") > release("0.9.1")
    True
    """
    leading = re.match(r"\d+(\.\d+)*", version)
    return tuple(map(int, leading.group().split("."))) if leading else ()


def is_installed(package: str) -> bool:
    """Return whether a distribution of that name is installed; a folder that Python could import does not count.

    >>> is_installed("torch"), is_installed("no-such-engine")
    (True, False)
    """
    try:
        importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def installed(
    package: str, minimum: str, tested: tuple[str, ...] = (), below: str | None = None, install: str | None = None
) -> Finding:
    """Return whether a package is installed in a version that the adapter was written for.

    Args:
        package: its distribution.
        minimum: oldest supported version.
        tested: versions that the contract tests run with.
        below: the first version that is known not to work, or for which nothing is known.
        install: command that installs it, pip's by default.

    >>> installed("torch", "2.4").level, installed("no-such-engine", "1.0").level
    ('ok', 'fail')
    """
    install = install or f"pip install '{package}>={minimum}{f',<{below}' if below else ''}'"
    try:
        version = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return Finding("fail", f"{package} is not installed here", install)
    if release(version) < release(minimum):
        return Finding("fail", f"{package} {version} is older than {minimum}, the oldest supported", install)
    if below is not None and release(version) >= release(below):
        return Finding("fail", f"{package} {version}: supported below {below}", install)
    if tested and release(version) not in map(release, tested):
        return Finding("warn", f"{package} {version} is supported, but tests ran with {', '.join(tested)}")
    return Finding("ok", f"{package} {version}, supported")
