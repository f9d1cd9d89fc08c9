"""Entry point of ``python -m sspcloud_magics.sandbox``, the same as ``sspcloud-sandbox``."""

import sys

from sspcloud_magics.sandbox.cli import main

sys.exit(main())
