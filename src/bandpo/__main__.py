"""`python -m bandpo` is the `bandpo` command, so that launchers can start it as a module."""

from bandpo.cli import main

main()
