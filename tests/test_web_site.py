"""What a site answers, without any server."""

from __future__ import annotations

import email
import email.policy
import string
import time

from collections.abc import Callable, Iterator
from datetime import timedelta
from email.utils import formatdate, parsedate_to_datetime

import pytest

from hypothesis import given
from hypothesis import strategies as st

from tiered_store.backends.filesystem import FileSystemStore
from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.errors import ConfigError, ThrottledError, UnavailableError
from tiered_store.key import Key
from tiered_store.layout import object_name, path_name
from tiered_store.signing import Signer
from tiered_store.testing import FakeClock, FaultStore
from tiered_store.tiers.memory import MemoryTier
from tiered_store.tiers.store import StoreTier
from tiered_store.units import Secret
from tiered_store.web.freshness import Freshness
from tiered_store.web.message import Request, Response
from tiered_store.web.ranges import UnsatisfiableError, spans
from tiered_store.web.site import Site
from tiered_store.wrappers.cached import CachedStore


KEY = Key("comics.cover", 1234, 405, 640, "image/jpeg")
CONTENT = bytes(range(256)) * 40
LARGE = bytes(range(251)) * 4000  # a megabyte: four pieces
NAME = object_name(KEY)


@pytest.fixture
def disk(tmp_path) -> FaultStore:
    store = FaultStore(FileSystemStore(str(tmp_path), create=True))
    store.put(KEY, Body.of(CONTENT))
    store.put(KEY._replace(object_id=2), Body.of(LARGE))
    return store


@pytest.fixture
def site(disk) -> Site:
    return Site(disk)


def ask(site: Site, name: str = NAME, method: str = "GET", **headers: str) -> Response:
    path, _, query = name.partition("?")
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return site.answer(Request(method, path, query, named))


def content(response: Response) -> bytes:
    if response.stream is None:
        return response.content
    try:
        return b"".join(response.stream)
    finally:
        response.close()


def told(response: Response) -> dict[str, str]:
    found = dict(response.headers)
    assert len(found) == len(response.headers)
    return found


def test_an_object_is_shown_with_what_is_known_of_it(site) -> None:
    """Type, length, version and time, and whether it may be kept."""
    response = ask(site)

    assert response.status == 200
    assert content(response) == CONTENT
    headers = told(response)
    assert headers["Content-Type"] == "image/jpeg"
    assert headers["Content-Length"] == str(len(CONTENT))
    assert headers["ETag"].startswith('"')
    assert headers["Last-Modified"].endswith("GMT")
    assert headers["Cache-Control"] == "public, max-age=300"
    assert headers["Accept-Ranges"] == "bytes"
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_the_original_s_urls_lead_to_the_same_object(site) -> None:
    """Pages that are out there name objects as a directory does."""
    assert content(ask(site, path_name(KEY))) == CONTENT


def test_head_says_what_get_does_and_sends_nothing(site, disk) -> None:
    """Of small objects and large ones; nothing stays open."""
    for number in (1234, 2):
        name = object_name(KEY._replace(object_id=number))
        head, full = ask(site, name, "HEAD"), ask(site, name)
        assert (head.status, head.headers) == (full.status, full.headers)
        assert content(head) == b""
        full.close()
    assert disk.open_readers == 0


def test_absence_is_404_and_may_not_be_kept(site) -> None:
    """A proxy that kept it by itself would hide the object that comes next."""
    response = ask(site, object_name(KEY._replace(object_id=9)))

    assert response.status == 404
    assert told(response)["Cache-Control"] == "no-store"


@pytest.mark.parametrize("number", [1234, 2])
def test_a_copy_in_a_cache_is_the_same_version(disk, tmp_path, number) -> None:
    """Before it is kept, from memory, from a directory, and past the cache."""
    name = object_name(KEY._replace(object_id=number))
    expected = told(ask(Site(disk), name))
    directory = FileSystemStore(str(tmp_path / "copies"), create=True)
    with CachedStore(disk, [MemoryTier(), StoreTier(directory)]) as cache:
        site = Site(cache)
        for _ in range(3):
            shown = ask(site, name)
            content(shown)
            for header in ("ETag", "Last-Modified"):
                assert told(shown)[header] == expected[header]
        reads = disk.calls["get"]

        time = expected["Last-Modified"]
        assert ask(site, name, if_modified_since=time).status == 304
        assert ask(site, name, if_none_match=expected["ETag"]).status == 304
        for condition in (time, expected["ETag"]):
            part = ask(site, name, range="bytes=-5", if_range=condition)
            assert (part.status, len(content(part))) == (206, 5)
        whole = ask(site, name, range="bytes=-5", if_range=formatdate(0, usegmt=True))
        assert (whole.status, len(content(whole))) == (
            200,
            len(LARGE if number == 2 else CONTENT),
        )
        assert disk.calls["get"] == reads


@pytest.mark.parametrize("fault", ["unavailable", "denied", "misconfigured", "timeout"])
def test_an_outage_is_503_with_retry_after(site, disk, fault) -> None:
    """Never 404: the object may well be there."""
    disk.fail("get", fault)
    response = ask(site)

    assert response.status == 503
    assert told(response)["Retry-After"] == "5"
    assert told(response)["Cache-Control"] == "no-store"


def test_an_outage_is_logged_once_a_minute(disk, caplog) -> None:
    """Each kind by itself and at once, with how many were left out since its last."""
    clock = FakeClock()
    site = Site(disk, clock=clock)
    for fault, times in (("unavailable", 500), ("corrupt", 2), ("unavailable", 500)):
        disk.fail("get", fault, times=times)
        for _ in range(times):
            ask(site)
    clock.advance(59)
    disk.fail("get", "unavailable")
    ask(site)
    assert [line.levelname for line in caplog.records] == ["WARNING"] * 2

    clock.advance(1)
    for _ in range(2):
        disk.fail("get", "unavailable")
        ask(site)

    lines = [line.getMessage() for line in caplog.records]
    assert len(lines) == 3
    assert "1234" in lines[0]
    assert "1234" in lines[2]
    assert lines[2].endswith(" (and 1000 like it since the last line)")


def test_a_store_that_says_when_is_believed(site, disk) -> None:
    """Its own patience, in whole seconds."""
    disk.fail("get", ThrottledError("slow down", retry_after=7.2))

    assert told(ask(site))["Retry-After"] == "8"


def test_an_outage_at_the_first_byte_is_503_too(site, disk) -> None:
    """The status is sent once the first piece is there."""
    disk.tear(0)
    assert ask(site, object_name(KEY._replace(object_id=2))).status == 503
    assert disk.open_readers == 0


def test_a_bug_is_500_and_says_nothing(site, disk, caplog) -> None:
    """The client learns that it happened, the log what."""
    disk.fail("get", ZeroDivisionError("inside"))
    response = ask(site)

    assert response.status == 500
    assert b"inside" not in response.content
    assert "ZeroDivisionError" in caplog.text


def test_damaged_bytes_are_500(site, disk) -> None:
    """It is there, and nobody should try again soon."""
    disk.fail("get", "corrupt")
    assert ask(site).status == 500


def test_a_known_version_is_not_sent_again(site) -> None:
    """By its tag, or by its time where a client knows no tags."""
    headers = told(ask(site))
    tag, time = headers["ETag"], headers["Last-Modified"]

    assert ask(site, if_none_match=tag).status == 304
    assert ask(site, if_none_match=f'"x", W/{tag}').status == 304
    assert ask(site, if_none_match="*").status == 304
    assert ask(site, if_none_match='"x"').status == 200
    assert ask(site, if_modified_since=time).status == 304
    assert ask(site, if_modified_since="yesterday").status == 200
    assert ask(site, if_modified_since=formatdate(0, usegmt=True)).status == 200
    # a tag outranks a time
    assert ask(site, if_none_match='"x"', if_modified_since=time).status == 200


@pytest.fixture
def zone_of() -> Iterator[Callable[[str], None]]:
    """How to put this process into a time zone, until the end of the test."""
    with pytest.MonkeyPatch.context() as patch:

        def put(zone: str) -> None:
            patch.setenv("TZ", zone)
            time.tzset()

        yield put
    time.tzset()


@pytest.mark.parametrize("zone", ["UTC", "UTC+5", "UTC-5"])
@pytest.mark.parametrize(
    "form", ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %X %Y"]
)
def test_a_time_is_gmt_wherever_the_server_stands(
    site, zone_of, zone: str, form: str
) -> None:
    """RFC 9110, 5.6.7, of all three forms: of an older version, it is no 304."""
    modified = parsedate_to_datetime(told(ask(site))["Last-Modified"])
    this = modified.strftime(form)
    older = (modified - timedelta(seconds=1)).strftime(form)
    zone_of(zone)

    assert ask(site, if_modified_since=this).status == 304
    assert ask(site, if_modified_since=older).status == 200
    assert ask(site, if_unmodified_since=older).status == 412
    assert ask(site, range="bytes=0-0", if_range=this).status == 206


def test_a_304_repeats_what_lets_it_be_kept(site) -> None:
    """A browser renews what it has by these."""
    tag = told(ask(site))["ETag"]
    response = ask(site, if_none_match=tag)

    assert response.content == b""
    assert told(response).keys() == {"ETag", "Last-Modified", "Cache-Control"}


def test_another_version_than_demanded_is_412(site) -> None:
    """For whoever puts pieces together."""
    tag = told(ask(site))["ETag"]

    assert ask(site, if_match=tag).status == 200
    assert ask(site, if_match=f"W/{tag}").status == 412
    assert ask(site, if_match='"x"').status == 412
    long_ago = formatdate(0, usegmt=True)
    assert ask(site, if_unmodified_since=long_ago).status == 412


def test_new_bytes_have_a_new_tag(site, disk) -> None:
    """Also of the same length, and of large objects."""
    for number, size in ((1234, 100), (2, 1_000_000)):
        key = KEY._replace(object_id=number)
        tags = set()
        for byte in (b"a", b"b"):
            disk.put(key, Body.of(byte * size))
            response = ask(site, object_name(key), "HEAD")
            tags.add(told(response)["ETag"])
        assert len(tags) == 2


def test_the_same_bytes_have_the_same_tag_in_every_process() -> None:
    """A store that counts its versions from one would show old bytes as new."""

    def tag(content: bytes) -> str:
        store = Counting()
        store.put(KEY, Body.of(content))
        return told(ask(Site(store)))["ETag"]

    class Counting(MemoryStore):
        def _get(self, key: Key) -> Body:
            return Body.of(super()._get(key).read(), version="1")

    assert tag(b"old") != tag(b"new")
    assert tag(b"old") == tag(b"old")


@pytest.mark.parametrize("number", [1234, 2])
@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-9", 0, 10),
        ("bytes=5-", 5, None),
        ("bytes=-7", -7, None),
        ("BYTES=0-0", 0, 1),
        ("bytes=3-99999999", 3, None),
        ("bytes=-99999999", 0, None),
        ("bytes= 4-5 ,", 4, 6),
    ],
)
def test_a_range_is_sent_alone(site, disk, number, asked, start, end) -> None:
    """From, to, and the last so many."""
    whole = {1234: CONTENT, 2: LARGE}[number]
    response = ask(site, object_name(KEY._replace(object_id=number)), range=asked)

    assert response.status == 206
    headers = told(response)
    sent = content(response)
    assert sent == whole[start:end]
    assert headers["Content-Length"] == str(len(sent))
    first = len(whole) + start if start < 0 else start
    last = first + len(sent) - 1
    assert headers["Content-Range"] == f"bytes {first}-{last}/{len(whole)}"
    assert disk.open_readers == 0


@pytest.mark.parametrize(
    "asked",
    [
        *("bytes=", "bytes=9-3", "items=0-1", "bytes=a-b", "bytes", ""),
        *("bytes=0-5,3-9", "bytes=" + ",".join(f"{n}-{n}" for n in range(0, 40, 2))),
    ],
)
def test_a_range_that_makes_no_sense_is_passed_over(site, asked) -> None:
    """One that asks for the same bytes twice, or for crumbs, as well."""
    response = ask(site, range=asked)

    assert response.status == 200
    assert content(response) == CONTENT


def test_a_range_beyond_the_end_is_416(site) -> None:
    """With the size, for whoever wants to ask again."""
    for asked in (f"bytes={len(CONTENT)}-", "bytes=-0"):
        response = ask(site, range=asked)
        assert response.status == 416
        assert told(response)["Content-Range"] == f"bytes */{len(CONTENT)}"


def test_several_ranges_come_as_parts(site, disk) -> None:
    """As a mail reader would take them apart."""
    name = object_name(KEY._replace(object_id=2))
    response = ask(site, name, range="bytes=0-9,600000-899999,-5")
    headers = told(response)
    sent = content(response)

    assert response.status == 206
    assert len(sent) == int(headers["Content-Length"])
    said = f"Content-Type: {headers['Content-Type']}\r\n\r\n".encode()
    parts = email.message_from_bytes(said + sent, policy=email.policy.HTTP)
    listed = list(parts.iter_parts())
    assert [part["Content-Range"] for part in listed] == [
        f"bytes 0-9/{len(LARGE)}",
        f"bytes 600000-899999/{len(LARGE)}",
        f"bytes {len(LARGE) - 5}-{len(LARGE) - 1}/{len(LARGE)}",
    ]
    assert b"\r\n\r\n" + LARGE[600000:900000] + b"\r\n--" in sent
    assert disk.open_readers == 0


def test_a_range_of_another_version_is_the_whole(site) -> None:
    """Or the client would join the halves of two pictures."""
    headers = told(ask(site))
    tag, time = headers["ETag"], headers["Last-Modified"]

    for named, status in ((tag, 206), (time, 206), ('"x"', 200), (f"W/{tag}", 200)):
        assert ask(site, range="bytes=0-4", if_range=named).status == status
    later = formatdate(9e9, usegmt=True)
    assert ask(site, range="bytes=0-4", if_range=later).status == 200


@given(st.text(alphabet="bytes=-,0123456789 \t", max_size=40), st.integers(0, 50))
def test_no_range_leaves_the_object(asked, size) -> None:
    """Whatever is asked for, only bytes that are there are sent, each once."""
    try:
        found = spans(asked, size)
    except UnsatisfiableError:
        return
    seen: set[int] = set()
    for span in found or ():
        places = set(range(span.start, span.end))
        assert places
        assert places <= set(range(size))
        assert not places & seen
        seen |= places


def test_only_reading_is_allowed(site) -> None:
    """Whoever tries more learns what there is."""
    for method in ("PUT", "POST", "DELETE", "PATCH", "TRACE"):
        response = ask(site, method=method)
        assert response.status == 405
        assert told(response)["Allow"] == "GET, HEAD, OPTIONS"


def test_a_path_that_is_no_text_is_400(site) -> None:
    """It cannot name anything."""
    assert site.answer(Request("GET", None)).status == 400
    assert ask(site, NAME + "\0").status == 400


HOSTILE = [
    *("", "/", ".", "..", "../../etc/passwd", "....//etc/passwd", "/etc/passwd"),
    *("comics.cover/../../../etc/passwd", "..\\..\\etc\\passwd", "%2e%2e/etc/passwd"),
    *("comics.cover/1234/../1234/405x640.jpe", "./comics.cover/1234/405x640.jpe"),
    *("comics.cover//1234/405x640.jpe", "comics.cover/01234/405x640.jpe"),
    *("comics.cover/1234/405x640.jpe/", "comics.cover/1234/405x640.jpe/.."),
    *("comics.cover/\uff11234/405x640.jpe", "comics.cover/1_234/405x640.jpe"),
    *("file:///etc/passwd", "~root/1/1x1.jpe", "C:/1/1x1.jpe", "\u202e/1/1x1.jpe"),
    f"{'9' * 5000}/{'9' * 5000}/1x1.jpe",
]


@pytest.mark.parametrize("path", HOSTILE)
def test_a_hostile_path_leads_nowhere(tmp_path, path) -> None:
    """A path is read as a name, and a name has one spelling."""
    (tmp_path / "secret.jpe").write_bytes(b"secret")
    store = FileSystemStore(str(tmp_path / "root"), create=True)
    store.put(KEY, Body.of(CONTENT))

    assert ask(Site(store), path).status in (400, 404)


SEGMENT = st.sampled_from(
    [
        *("..", ".", "", "comics.cover", "234", "1", "1234", "405x640.jpe"),
        *("secret.jpe", "1234.405x640.jpe", "%2e%2e", "..%2f", "\\", "link"),
    ]
) | st.text(alphabet=string.printable + "\u2215\uff0f", max_size=6)


@given(st.lists(SEGMENT, max_size=9))
def test_no_path_reads_what_is_no_object(tmp_path_factory, segments) -> None:
    """Only names that keys have are ever asked of a store."""
    path = "/".join(segments)
    asked: list[Key] = []

    class Spy(MemoryStore):
        def _get(self, key: Key) -> Body:
            asked.append(key)
            return Body.of(b"x")

    response = ask(Site(Spy()), path.replace("?", ""))

    assert response.status in (200, 400, 404)
    for key in asked:
        assert path.replace("?", "") in (object_name(key), path_name(key))
        assert ".." not in path_name(key).split("/")


def test_what_is_computed_is_kept_for_a_shorter_time() -> None:
    """What made it may change; what was uploaded under a name does not."""
    store = MemoryStore()
    store.put(KEY, Body.of(b"x"), reproducible=True)
    freshness = Freshness(ttl=3600, reproducible_ttl=90, stale_if_error=60)

    response = ask(Site(store, freshness=freshness))

    value = "public, max-age=90, stale-if-error=60"
    assert told(response)["Cache-Control"] == value


def test_what_may_not_be_the_last_word_is_asked_for_again() -> None:
    """An answer of an outage must not live in browsers for longer than the outage."""

    class Emergency(MemoryStore):
        def _get(self, key: Key) -> Body:
            body = super()._get(key)
            body.provisional = True
            return body

    store = Emergency()
    store.put(KEY, Body.of(b"x"))

    assert told(ask(Site(store)))["Cache-Control"] == "no-cache"


@pytest.mark.parametrize(
    ("mimetype", "boxed"),
    [
        ("image/jpeg", False),
        ("image/vnd.microsoft.icon", False),
        ("video/mp4", False),
        ("application/pdf", False),
        ("image/svg+xml", True),
        ("text/html", True),
        ("application/xml", True),
        ("image/x+xml", True),  # XML by its ending, whatever it begins with
        ("image/png,text/html", True),  # a browser takes the last of a list
        ("image/png;a=b,text/html", True),
    ],
)
def test_what_users_uploaded_is_no_page_of_ours(mimetype, boxed) -> None:
    """A script in a picture would run with the visitor's cookies."""
    store = MemoryStore()
    key = KEY._replace(mimetype=mimetype)
    store.put(key, Body.of(b"<x/>"))
    headers = told(ask(Site(store), object_name(key)))
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert ("sandbox" in headers.get("Content-Security-Policy", "")) == boxed


SECRET, OLD = Secret("0123456789abcdef"), Secret("fedcba9876543210")


def test_only_a_signed_url_shows_the_object(disk) -> None:
    """And only that object, and only until it ends."""
    clock = FakeClock()
    signer = Signer([SECRET, OLD], clock=clock)
    site = Site(disk, signer=signer, clock=clock)
    query = signer.query(NAME, 600)

    assert ask(site).status == 403
    response = ask(site, f"{NAME}?{query}")
    assert response.status == 200
    assert told(response)["Cache-Control"] == "private, max-age=300"
    assert ask(site, f"{NAME}?{query}&_ts=20260101").status == 200
    assert ask(site, f"{path_name(KEY)}?{query}").status == 200
    other = object_name(KEY._replace(object_id=2))
    assert ask(site, f"{other}?{query}").status == 403
    assert ask(site, f"{NAME}?{query[:-1]}").status == 403
    assert ask(site, f"{NAME}?{query}&{query}").status == 403
    assert ask(site, f"{NAME}?{query.replace('expires=', 'expires=9')}").status == 403
    old = Signer(OLD, clock=clock).query(NAME, 600)
    assert ask(site, f"{NAME}?{old}").status == 200
    stranger = Signer(Secret("x" * 16), clock=clock).query(NAME, 600)
    assert ask(site, f"{NAME}?{stranger}").status == 403
    clock.advance(700)
    assert ask(site, f"{NAME}?{query}").status == 403


def test_no_byte_of_a_signed_url_may_be_another(disk) -> None:
    """Nor may one be left out, put in or said twice; what is appended voids nothing."""
    clock = FakeClock()
    signer = Signer(SECRET, clock=clock)
    site = Site(disk, signer=signer, clock=clock)
    query = signer.query(NAME, 600)
    expires, signature = query.split("&")
    end = int(expires.removeprefix("expires="))
    assert ask(site, f"{NAME}?{query}").status == 200

    changed = [
        f"{query[:at]}{other}{query[at + 1 :]}"
        for at, known in enumerate(query)
        for other in {chr(ord(known) ^ 1), known.swapcase(), "", "%00", "="} - {known}
    ]
    changed += [f"{query}{known}" for known in "A0=%"]
    changed += [
        f"expires={said}&{signature}"
        for said in (
            *(0, -1, -end, end + 1, end - 1, f"{end}.0", f"{end}e0", f"0x{end:x}"),
            *(10**12 - 1, 10**13, "9" * 5000, "", "+", "nan", "inf", "None"),
            *(f"%2B{end}", f"{end}%20", f"%20{end}", f"{end}%0a", f"{end}_0"),
            "".join(chr(0x660 + int(digit)) for digit in str(end)),  # of other scripts
        )
    ]
    changed += [
        *(expires, signature, "", "&", f"{expires}&signature", f"{expires}&signature="),
        *(f"{query}&{expires}", f"{query}&{signature}", f"{query}&expires=&signature="),
        *(f"{query};_ts=1", f"{expires};{signature}", f"{expires}%26{signature}"),
        *(query.upper(), query.lower(), f"{query}&" + "a=1&" * 40),
    ]
    for one in changed:
        assert ask(site, f"{NAME}?{one}").status == 403, one
    for more in ("&_ts=20260101000000", "&_ts=", "&", "&a=1&a=2", "&signatur=x"):
        assert ask(site, f"{NAME}?{query}{more}").status == 200, more
        assert ask(site, f"{NAME}?{more[1:]}&{query}").status == 200, more
    clock.advance(end - clock.time())
    assert ask(site, f"{NAME}?{query}").status == 403


def test_a_signed_url_stays_the_same_for_a_while() -> None:
    """A page that is shown twice names the picture that the browser has."""
    clock = FakeClock()
    signer = Signer(SECRET, clock=clock)
    queries = set()
    for _ in range(60):
        clock.advance(1)
        queries.add(signer.query(NAME, 600))

    assert len(queries) <= 2


def test_absence_is_told_to_nobody_without_a_signature(disk) -> None:
    """Or names could be tried."""
    site = Site(disk, signer=Signer(SECRET))

    assert ask(site, object_name(KEY._replace(object_id=9))).status == 403


def test_an_origin_that_no_browser_names_is_refused(disk) -> None:
    """It would never match, and nobody would know why the page sees nothing."""
    for wrong in ("https://a.example/", "a.example", "https://a b", "https://*/x", ""):
        with pytest.raises(ConfigError, match="not an origin"):
            Site(disk, cors=["https://a.example", wrong])

    for right in ("https://a.example:8443", "app://-", "null", "http://[::1]:80"):
        shown = ask(Site(disk, cors=[right]), origin=right)
        assert told(shown)["Access-Control-Allow-Origin"] == right
    anyone = ask(
        Site(disk, cors=["https://a.example", "*"]), origin="https://b.example"
    )
    assert told(anyone)["Access-Control-Allow-Origin"] == "*"


def test_pages_from_elsewhere_may_read_if_they_are_let(disk) -> None:
    """All of them, or those that are named; errors too, or a script sees nothing."""
    anyone = Site(disk, cors=True)
    assert told(ask(anyone))["Access-Control-Allow-Origin"] == "*"
    missing = ask(anyone, object_name(KEY._replace(object_id=9)))
    assert told(missing)["Access-Control-Allow-Origin"] == "*"

    some = Site(disk, cors=["https://a.example"])
    for one in (some, Site(disk, cors="https://a.example")):
        ours = told(ask(one, origin="https://a.example"))
        assert ours["Access-Control-Allow-Origin"] == "https://a.example"
        assert ours["Vary"] == "Origin"
    theirs = told(ask(some, origin="https://b.example"))
    assert "Access-Control-Allow-Origin" not in theirs
    assert theirs["Vary"] == "Origin"
    nobody = told(ask(Site(disk), origin="https://a.example"))
    assert "Access-Control-Allow-Origin" not in nobody


def test_a_preflight_is_answered(disk) -> None:
    """A script that wants a range asks first."""
    site = Site(disk, cors=True)
    response = ask(site, method="OPTIONS", access_control_request_method="GET")

    assert response.status == 204
    assert "Range" in told(response)["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Methods" not in told(
        ask(Site(disk), method="OPTIONS", access_control_request_method="GET")
    )


def test_a_body_that_dies_breaks_the_response(site, disk) -> None:
    """What came is never passed off as all there is; the reader is closed."""
    disk.tear(600_000)
    response = ask(site, object_name(KEY._replace(object_id=2)))
    assert response.stream is not None

    with pytest.raises(UnavailableError):
        list(response.stream)
    response.close()
    assert disk.open_readers == 0
