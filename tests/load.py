"""
Load on ``tiered-store serve`` while a region goes down under it and comes back.

    python -m tests.load [--seconds 30] [--clients 16] [--cached]

Two S3 regions (SeaweedFS processes) mirrored, served by two workers.  A third into the
run the first region is frozen, so that connections hang; two thirds in it goes on.
Prints what clients saw in each third, second by second around the changes.
Exit status 0: every response was a 200 with the right bytes.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import hashlib
import statistics
import sys
import tempfile
import threading
import time

from pathlib import Path

import httpx

from tests.servers.s3 import start_s3
from tests.webs import served
from tiered_store import load
from tiered_store.body import Body
from tiered_store.key import Key
from tiered_store.layout import object_name


CONFIG = """\
version: 1
default: {default}
stores:
  cached:
    type: cached
    tiers: [{{type: memory, capacity: 64MiB, ttl: 2s}}]
    origin: regions
  regions:
    type: replicated
    replicas: {{us: us, eu: eu}}
    quorum: 1
    journal: {{type: sqlite, path: journal.db}}
    read: {{order: [us, eu]}}
  us: {us}
  eu: {eu}
"""
OBJECTS, SIZE = 400, 100_000


def main() -> None:
    """Run it once."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--cached", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as ends:
        folder = Path(name)
        regions = {}
        for region in ("us", "eu"):
            (folder / region).mkdir()
            regions[region] = start_s3("seaweed", folder / region)
            ends.callback(regions[region].stop)
        words = {
            region: (
                f"{{type: s3, bucket: {server.make_bucket()}, timeout: 1s, "
                f"endpoint_url: '{server.endpoint_url}', "
                f"access_key: {server.access_key}, secret_key: {server.secret_key}}}"
            )
            for region, server in regions.items()
        }
        default = "cached" if given.cached else "regions"
        config = CONFIG.format(default=default, **words)
        with served(folder / "web", config, "--workers", "2") as (where, _):
            with contextlib.chdir(folder / "web"), load("config.yaml") as stack:
                sums = fill(stack)
            answers = drive(where, sums, given, regions["us"].process)
    sys.exit(tell(answers, given.seconds))


def fill(stack) -> dict[str, bytes]:
    """Store the objects; return the digest of each by name."""
    sums = {}
    for number in range(OBJECTS):
        content = hashlib.sha256(str(number).encode()).digest() * (SIZE // 32)
        key = Key("load", number, 1, 1, "image/png")
        stack.put(key, Body.of(content))
        sums[object_name(key)] = hashlib.sha256(content).digest()
    return sums


Answer = tuple[float, float, str]


def drive(where, sums, given, region) -> list[Answer]:
    """Ask for all of them, again and again; return when, how long, and what came."""
    answers: list[Answer] = []
    started = time.monotonic()
    names = list(sums)

    def client(first: int) -> None:
        turn = first
        with httpx.Client(base_url=where, timeout=60) as http:
            while (began := time.monotonic()) < started + given.seconds:
                name = names[turn * 7919 % len(names)]
                turn += given.clients
                try:
                    response = http.get(name)
                    what = str(response.status_code)
                    if response.is_success:
                        digest = hashlib.sha256(response.content).digest()
                        what = "200" if digest == sums[name] else "wrong bytes"
                except httpx.TransportError as error:
                    what = type(error).__name__
                answers.append((began - started, time.monotonic() - began, what))

    threads = [threading.Thread(target=client, args=(n,)) for n in range(given.clients)]
    for thread in threads:
        thread.start()
    time.sleep(given.seconds / 3)
    region.freeze()
    time.sleep(given.seconds / 3)
    region.thaw()
    for thread in threads:
        thread.join()
    return answers


def tell(answers: list[Answer], seconds: float) -> int:
    """Print a line for each third, and return the exit status."""
    third = seconds / 3
    for number, name in enumerate(("both regions", "one frozen", "back again")):
        within = [a for a in answers if number * third <= a[0] < (number + 1) * third]
        times = sorted(took * 1000 for _, took, _ in within)
        said = dict(collections.Counter(what for _, _, what in within))
        p50, p99 = statistics.median(times), times[int(len(times) * 0.99)]
        slow = sum(one > 500 for one in times)
        print(
            f"{name:13} {len(within) / third:5.0f}/s  p50 {p50:6.1f}  p99 {p99:7.1f}  "
            f"max {times[-1]:7.1f} ms, {slow} slower than 500 ms; {said}"
        )
    return 0 if all(what == "200" for _, _, what in answers) else 1


if __name__ == "__main__":
    main()
