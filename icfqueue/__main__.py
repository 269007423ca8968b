"""``python -m icfqueue``."""

from icfqueue.cli.main import main

main()
