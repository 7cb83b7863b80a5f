"""``python -m allgrad``: the same command as ``allgrad``."""

import sys

from allgrad.cli import main

if __name__ == "__main__":
    sys.exit(main())
