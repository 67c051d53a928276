"""`python -m nasdrop`."""

from nasdrop.cli import main

main()
