"""``python -m genus`` is ``genus``."""

import sys

from genus.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
