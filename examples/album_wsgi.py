"""
An album for a WSGI server that forks.

    export ALBUM=/tmp/album REDIS_URL=redis://localhost
    gunicorn --preload --workers 4 album_wsgi:app

With ``--preload`` the stack is built once, before the workers are forked.  Nothing is
started by building it, and what a fork does not survive (threads, connections, locks)
each worker makes anew.  A worker that ends gracefully finishes what it has begun.
"""

import os

from pathlib import Path

from flask import Flask, Response, request

from tiered_store import NotFoundError, StoreError, load
from tiered_store.web.exposed import ExposedStore
from tiered_store.web.upload import Upload


images = load(Path(__file__).with_name("images.yaml"))
exposed = ExposedStore(images, prefix="images")
app = Flask("album")
app.wsgi_app = exposed.wsgi_middleware(app.wsgi_app)

PICTURE = (1, 1, "image/png")


@app.put("/album/<int:number>")
def upload(number: int) -> Response:
    """Store the body of the request; a client that goes away stores nothing."""
    picture = Upload(request.environ)
    images.put_file(picture, "album", number, *PICTURE, reproducible=False)
    return Response(exposed.get_url("album", number, *PICTURE), 201)


@app.get("/album/<int:number>")
def page(number: int) -> str:
    """Show a page with the picture on it."""
    return f'<img src="{exposed.get_url("album", number, *PICTURE)}">'


@app.delete("/album/<int:number>")
def remove(number: int) -> Response:
    """Make it absent, in every region and every cache."""
    images.delete_file("album", number, *PICTURE)
    return Response(status=204)


@app.get("/process")
def process() -> str:
    """Say which worker answers."""
    return str(os.getpid())


@app.errorhandler(StoreError)
def failed(error: StoreError) -> Response:
    """An outage is 503; absence alone is 404."""
    if isinstance(error, NotFoundError):
        return Response("no such picture", 404)
    return Response("try again", 503, {"Retry-After": "5"})


@app.errorhandler(ConnectionError)
def broken_off(error: ConnectionError) -> Response:
    """Whoever sent half of a picture will not read this."""
    return Response(f"the picture is not whole: {error}", 400)
