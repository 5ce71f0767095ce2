"""What is stored tells nothing, and what comes back is what was put or nothing."""

from __future__ import annotations

import base64
import hashlib
import pickle
import random
import sys

import pytest

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tiered_store.backends.memory import MemoryStore
from tiered_store.body import Body
from tiered_store.errors import (
    ConfigError,
    CorruptError,
    MisconfiguredError,
    UnsupportedError,
)
from tiered_store.framing import PIECE
from tiered_store.key import Key
from tiered_store.testing import FaultStore
from tiered_store.units import Secret
from tiered_store.wrappers.encrypted import EncryptedStore


KEY = Key("comics.cover", 1, 30, 40, "image/png")
OTHER = KEY._replace(object_id=2)
LARGE = random.Random(1).randbytes(2 * PIECE + 17)
NEW = Secret(base64.b64encode(bytes(range(32))).decode())
OLD = Secret(base64.b64encode(bytes(32)).decode())


@pytest.fixture
def child() -> MemoryStore:
    return MemoryStore(base_url="https://x/")


@pytest.mark.parametrize("size", [0, 1, PIECE, PIECE + 1, len(LARGE)])
def test_every_size_comes_back(child: MemoryStore, size: int) -> None:
    """Also none, and from anywhere."""
    store = EncryptedStore(child, NEW)
    store.put(KEY, Body.of(LARGE[:size]))
    assert store.get(KEY).read() == LARGE[:size]
    assert store.stat(KEY).size == size
    with store.get(KEY).open(size // 2) as file:
        assert file.read() == LARGE[size // 2 : size]


def test_the_child_sees_no_content(child: MemoryStore) -> None:
    """Nor can it tell that two objects are alike."""
    store = EncryptedStore(child, NEW)
    store.put(KEY, Body.of(b"attack at dawn " * 10))
    first = child.get(KEY).read()
    store.put(KEY, Body.of(b"attack at dawn " * 10))
    assert b"attack" not in first
    assert first[48:] != child.get(KEY).read()[48:]


def test_the_format_is_what_it_says(child: MemoryStore) -> None:
    """Frozen: what is stored today is decrypted by its description for ever."""
    EncryptedStore(child, NEW).put(KEY, Body.of(LARGE))
    stored = child.get(KEY).read()
    header, salt = stored[:48], stored[16:48]
    assert header[:8] == b"TSe1" + bytes(4)
    purpose = b"tiered-store encrypted 1"
    key = base64.b64decode(NEW.reveal())
    assert header[8:16] == hashlib.sha256(purpose + b" name" + key).digest()[:8]
    cipher = AESGCM(HKDF(SHA256(), 32, salt, purpose).derive(key))
    content = b""
    for index in range(3):
        start = 48 + index * (PIECE + 16)
        nonce = index.to_bytes(11, "big") + bytes([index == 2])
        name = header + b"comics.cover/1/30x40.png"
        content += cipher.decrypt(nonce, stored[start : start + PIECE + 16], name)
    assert content == LARGE


@pytest.mark.parametrize("size", [0, 100, len(LARGE)])
def test_no_changed_byte_gets_through(child: MemoryStore, size: int) -> None:
    """Wherever it is; the header is bound to the content."""
    store = EncryptedStore(child, NEW, old_keys=[OLD])
    store.put(KEY, Body.of(LARGE[:size]))
    stored = child.get(KEY).read()
    places = {*range(min(len(stored), 100)), *range(0, len(stored), 40_001)}
    for place in {*places, len(stored) - 1}:
        wrong = bytearray(stored)
        wrong[place] ^= 1
        child.put(KEY, Body.of(bytes(wrong)))
        with pytest.raises((CorruptError, MisconfiguredError)):
            store.get(KEY).read()


def test_nothing_cut_off_swapped_or_mixed_gets_through(child: MemoryStore) -> None:
    """A piece knows its place, whether it is the last, and its put."""
    store = EncryptedStore(child, NEW)
    store.put(KEY, Body.of(LARGE))
    stored = child.get(KEY).read()
    store.put(KEY, Body.of(LARGE))
    later = child.get(KEY).read()
    one, two = 48 + PIECE + 16, 48 + 2 * (PIECE + 16)
    for wrong in (
        stored[:one],
        stored[:two],
        stored[:48] + stored[one:two] + stored[48:one] + stored[two:],
        stored[:one] + later[one:],
        stored[:30],
        stored + b"x",
    ):
        child.put(KEY, Body.of(wrong))
        with pytest.raises(CorruptError):
            store.get(KEY).read()


def test_an_object_is_bound_to_its_name(child: MemoryStore) -> None:
    """Whoever keeps the objects cannot pass one off as another."""
    store = EncryptedStore(child, NEW)
    store.put(KEY, Body.of(b"mine"))
    child.put(OTHER, child.get(KEY))
    with pytest.raises(CorruptError, match="not what was encrypted"):
        store.get(OTHER)


def test_keys_can_be_changed(child: MemoryStore) -> None:
    """Old objects stay readable with the old key beside the new one."""
    EncryptedStore(child, OLD).put(KEY, Body.of(b"content"))
    store = EncryptedStore(child, NEW, old_keys=[OLD])
    assert store.get(KEY).read() == b"content"
    store.put(KEY, store.get(KEY))
    assert EncryptedStore(child, NEW).get(KEY).read() == b"content"


def test_a_missing_key_is_no_corruption(child: MemoryStore) -> None:
    """The object is whole, the configuration is not; and no key is shown."""
    EncryptedStore(child, OLD).put(KEY, Body.of(b"content"))
    with pytest.raises(MisconfiguredError, match="is encrypted with the key") as caught:
        EncryptedStore(child, NEW).get(KEY)
    assert OLD.reveal() not in str(caught.value)
    assert NEW.reveal() not in str(caught.value)
    assert NEW.reveal().encode() not in pickle.dumps(caught.value)


def test_what_was_stored_in_the_clear_is_refused(child: MemoryStore) -> None:
    """Somebody could have put it there."""
    store = EncryptedStore(child, NEW)
    for plain in (b"", b"plain", b"TSe1", b"x" * 100):
        child.put(KEY, Body.of(plain))
        with pytest.raises(CorruptError):
            store.get(KEY)


@pytest.mark.parametrize("key", ["", "short", "not base64!", "A" * 43, "ü" * 44])
def test_a_key_that_is_none_is_refused_and_not_shown(key: str) -> None:
    """At construction, with advice."""
    for options in ({"key": Secret(key)}, {"key": NEW, "old_keys": [Secret(key)]}):
        with pytest.raises(ConfigError, match=r"32 bytes in base64.*openssl") as caught:
            EncryptedStore(MemoryStore(), **options)  # type: ignore[arg-type]
        assert not key or key not in str(caught.value)


def test_no_key_is_printed(child: MemoryStore) -> None:
    """Not by the store, nor by anything it keeps."""
    store = EncryptedStore(child, NEW, old_keys=[OLD])
    shown = repr(store) + repr(vars(store))
    for key in (NEW, OLD):
        assert key.reveal() not in shown
        assert repr(base64.b64decode(key.reveal())) not in shown


def test_a_missing_package_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is an extra, so this is the first thing that many will see."""
    monkeypatch.setitem(
        sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None
    )
    with pytest.raises(ConfigError, match=r"pip install 'tiered-store\[encryption\]'"):
        EncryptedStore(MemoryStore(), NEW)


def test_nothing_stays_open(child: MemoryStore) -> None:
    """Read or not, whole or corrupt."""
    faulty = FaultStore(child)
    store = EncryptedStore(faulty, NEW)
    store.put(KEY, Body.of(LARGE))
    faulty.flip(100)
    with pytest.raises(CorruptError):
        store.get(KEY)
    faulty.flip(PIECE + 100)
    body = store.get(KEY)
    with pytest.raises(CorruptError):
        body.read()
    store.get(KEY)
    assert faulty.open_readers == 0


def test_there_are_no_urls(child: MemoryStore) -> None:
    """A browser would see the ciphertext."""
    store = EncryptedStore(child, NEW)
    assert "url" not in store.capabilities()
    with pytest.raises(UnsupportedError):
        store.url(KEY)
