"""Floor 4: the `bandpo` command. Each command's work is in the floors below; this one reads options and prints."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the `bandpo` command."""
    try:
        from bandpo.cli.app import app
    except ImportError as error:
        sys.exit(f"bandpo: the command line needs {error.name}: pip install 'bandpo[cli]'")
    app(prog_name="bandpo")
