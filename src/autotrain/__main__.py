"""`python -m autotrain`: the same as the command `autotrain`."""

import sys

from autotrain.cli import main

if __name__ == "__main__":
    sys.exit(main())
