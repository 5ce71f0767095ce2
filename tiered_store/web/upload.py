"""
The body of a request to a WSGI application, which comes whole or is no object.

.. code-block:: python

   images.put_file(Upload(environ), *key, reproducible=False)
"""

from __future__ import annotations

from typing import Any


class Upload:
    """
    Reads what a client sends; if it goes away before the end, that is an error.

    Servers tell an application only that there is nothing more.  Without this, half
    of a picture would replace the whole one.

    Args:
        environ: Of the request (PEP 3333), such as Flask's ``request.environ``.
    """

    def __init__(self, environ: dict[str, Any]) -> None:
        self._stream = environ["wsgi.input"]
        length = environ.get("CONTENT_LENGTH")
        # without a length it is chunked, of which the server sees the end, or empty
        chunked = environ.get("wsgi.input_terminated", False)
        self._left = int(length) if length else (None if chunked else 0)
        self._length = self._left

    def read(self, size: int = -1) -> bytes:
        """
        Return up to *size* bytes, nothing at the end.

        Raises:
            ConnectionError: The client has gone away before the end.
        """
        if self._left is None:
            return bytes(self._stream.read(size))
        wanted = self._left if size < 0 else min(size, self._left)
        if not wanted:
            return b""
        piece = bytes(self._stream.read(wanted))
        if not piece or (size < 0 and len(piece) < wanted):
            arrived = (self._length or 0) - self._left + len(piece)
            raise ConnectionError(f"{arrived} of {self._length} bytes were sent")
        self._left -= len(piece)
        return piece
