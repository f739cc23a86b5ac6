"""`python -m diva.cli`, for launchers that want a module."""

from diva.cli import main

main()
