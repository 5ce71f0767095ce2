"""
A worker that does not outlive who started it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading


def end_with_parent() -> None:
    """
    Have this process end, as if asked to by SIGTERM, when its parent has.

    A supervisor that is killed can tell its workers nothing: they would keep the port
    from the next one and go on with the old configuration.  The pipe by which they
    notice is that of :mod:`multiprocessing`, with which uvicorn starts its workers;
    in a process that was started otherwise nothing is done.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def end() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=end, name="tiered-store-parent", daemon=True).start()
