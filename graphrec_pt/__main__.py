"""The command line as ``python -m graphrec_pt``."""

import sys

from graphrec_pt.cli import main

if __name__ == "__main__":
    sys.exit(main())
