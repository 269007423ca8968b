"""``python -m icfqueue``."""

from icfqueue.cli import main

main()
