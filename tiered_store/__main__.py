"""
``python -m tiered_store`` is ``tiered-store``.
"""

from __future__ import annotations

import sys

from tiered_store.cli import main


if __name__ == "__main__":
    sys.exit(main())
