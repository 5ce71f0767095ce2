"""
An album on FastAPI that streams in both directions.

    export ALBUM=/tmp/album REDIS_URL=redis://localhost
    uvicorn --workers 4 --timeout-worker-healthcheck 30 album_asgi:app

Uploads come in as they are sent, pictures go out with ranges and conditions.  Each
worker builds its own stack, and closes it when it is asked to end, or when the server
that started it was killed.
"""

import os

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from tiered_store import AsyncStore, NotFoundError, StoreError, load
from tiered_store.web.asgi import ASGIFace
from tiered_store.web.parent import end_with_parent
from tiered_store.web.site import Site


images = AsyncStore(load(Path(__file__).with_name("images.yaml")))
PICTURE = (1, 1, "image/png")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Close the stack at the end, with what it has begun."""
    end_with_parent()
    async with images:
        yield


app = FastAPI(lifespan=lifespan)
app.mount("/images", ASGIFace(Site(images.store)))


@app.put("/album/{number}", status_code=201)
async def upload(number: int, request: Request) -> str:
    """Store the body of the request; a client that goes away stores nothing."""
    await images.put_file(
        request.stream(), "album", number, *PICTURE, reproducible=False
    )
    return f"/images/album/{number}/1x1.png"


@app.get("/album/{number}")
async def download(number: int) -> StreamingResponse:
    """Send the picture piece by piece, as a route of one's own would."""
    file = await images.get_file("album", number, *PICTURE)

    async def pieces() -> AsyncIterator[bytes]:
        async with file:
            async for piece in file:
                yield piece

    headers = {"Content-Length": str(file.size)}
    return StreamingResponse(pieces(), media_type="image/png", headers=headers)


@app.delete("/album/{number}", status_code=204)
async def remove(number: int) -> None:
    """Make it absent, in every region and every cache."""
    await images.delete_file("album", number, *PICTURE)


@app.get("/process")
async def process() -> int:
    """Say which worker answers."""
    return os.getpid()


@app.exception_handler(StoreError)
async def failed(request: Request, error: StoreError) -> Response:
    """An outage is 503; absence alone is 404."""
    if isinstance(error, NotFoundError):
        return Response("no such picture", 404)
    return Response("try again", 503, {"Retry-After": "5"})
