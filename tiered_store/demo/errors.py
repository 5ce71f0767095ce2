"""
Why a demo does not begin.
"""

from __future__ import annotations


class DemoError(Exception):
    """It was asked for something it will not do, or something is not installed."""
