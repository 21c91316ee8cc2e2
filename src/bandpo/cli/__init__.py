"""The `bandpo` command. Each command's work is in the packages below; this one reads options and prints."""

from __future__ import annotations

import sys
import warnings


def main() -> None:
    """Run the `bandpo` command."""
    # Torch says so where only the core is installed; no command of it needs NumPy.
    warnings.filterwarnings("ignore", "Failed to initialize NumPy", UserWarning)
    try:
        from bandpo.cli.app import app
        from bandpo.cli.console import write_anywhere
    except ImportError as error:
        sys.exit(f"bandpo: the command line needs {error.name}: pip install 'bandpo[cli]'")
    write_anywhere()
    app(prog_name="bandpo")
