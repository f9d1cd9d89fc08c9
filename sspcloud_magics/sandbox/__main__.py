"""``python -m sspcloud_magics.sandbox`` is ``sspcloud-sandbox``."""

import sys

from sspcloud_magics.sandbox.cli import main

sys.exit(main())
