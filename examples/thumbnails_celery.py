"""
Thumbnails by Celery's prefork pool.

    export ALBUM=/tmp/album REDIS_URL=redis://localhost
    celery -A thumbnails_celery worker -c 4

The stack is built before the pool forks, as Celery imports its modules.  A child ends
without the interpreter's own goodbye, so the stack is closed by Celery's signal.  A
task is acknowledged late and done again if its child is killed, or five minutes later
if all of its worker is: making a thumbnail twice is the same thumbnail.
"""

import io
import os

from pathlib import Path

from celery import Celery
from celery.signals import worker_process_shutdown
from PIL import Image

from tiered_store import UnavailableError, load


images = load(Path(__file__).with_name("images.yaml"))
app = Celery("thumbnails", broker=os.environ["REDIS_URL"])
app.conf.update(
    result_backend=os.environ["REDIS_URL"],
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    broker_transport_options={"visibility_timeout": 300},  # longer than any task
    broker_connection_retry_on_startup=True,
)


@app.task(autoretry_for=(UnavailableError,), retry_backoff=True, max_retries=5)
def make_thumbnail(number: int, width: int, height: int, into: int) -> int:
    """Store a smaller picture; an outage is tried again, later and elsewhere."""
    with images.get_file("album", number, width, height, "image/png") as file:
        picture = Image.open(file)
        picture.thumbnail((into, into))
    small = io.BytesIO()
    picture.save(small, "png")
    small.seek(0)
    images.put_file(small, "album", number, into, into, "image/png", reproducible=True)
    return os.getpid()


@worker_process_shutdown.connect
def close(**_: object) -> None:
    """Finish what the stack has begun, in each child."""
    images.close()
