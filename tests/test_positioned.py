"""Files read by position: closed once, by whoever drops them, and never another's."""

from __future__ import annotations

import os

from collections.abc import Iterator
from pathlib import Path
from typing import Any, SupportsIndex

import pytest

from tiered_store.errors import CorruptError, StoreError
from tiered_store.positioned import FileReader


CONTENT = b"one\ntwo\nthree\n"


class Reader(FileReader):
    """Says what it was told to be."""

    @staticmethod
    def _failure(what: Any, why: str | OSError) -> StoreError:
        return CorruptError(f"{what}: {why}")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of *CONTENT*."""
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def reader(path: Path) -> Iterator[Reader]:
    """A reader of it."""
    with Reader(os.open(path, os.O_RDONLY), len(CONTENT), "it") as reader:
        yield reader


def is_open(number: int) -> bool:
    """Tell whether a descriptor is."""
    return os.path.exists(f"/proc/self/fd/{number}")


def test_all_ways_to_read_go_on_where_the_last_one_ended(reader: Reader) -> None:
    """Whether they need a buffer or not."""
    assert reader.tell() == 0
    assert reader.readline() == b"one\n"
    assert next(reader) == b"two\n"
    assert reader.read(2) == b"th"
    assert reader.peek(1)[:1] == b"r"
    assert reader.read() == b"ree\n"
    assert (reader.tell(), reader.read(), reader.read(1)) == (len(CONTENT), b"", b"")
    assert reader.seek(-3, os.SEEK_END) == len(CONTENT) - 3
    buffer = bytearray(2)
    assert (reader.readinto(buffer), bytes(buffer)) == (2, b"ee")
    assert reader.seek(0) == 0
    assert list(reader) == [b"one\n", b"two\n", b"three\n"]


def test_what_was_read_at_once_can_be_read_again(reader: Reader) -> None:
    """After a seek, or a part of it."""
    assert reader.read(None) == CONTENT
    assert reader.tell() == len(CONTENT)
    assert reader.read() == b""
    assert reader.seek(4) == 4
    assert reader.read() == CONTENT[4:]


@pytest.mark.parametrize("how", ["not at all", "read", "readline"])
def test_a_reader_that_is_dropped_closes_its_file_at_once(path: Path, how: str) -> None:
    """It is in no cycle: a collector may come late, or never."""
    number = os.open(path, os.O_RDONLY)
    reader = Reader(number, len(CONTENT), "it")
    if how != "not at all":
        getattr(reader, how)()
    assert is_open(number)

    del reader

    assert not is_open(number)


def test_a_reader_closes_its_file_once(path: Path) -> None:
    """The number may be another file's by then."""
    number = os.open(path, os.O_RDONLY)
    reader = Reader(number, len(CONTENT), "it")
    reader.readline()
    reader.close()
    assert reader.closed
    assert os.open(path, os.O_RDONLY) == number

    reader.close()
    del reader

    assert is_open(number)
    os.close(number)


def test_a_closed_file_is_not_read(reader: Reader) -> None:
    """In any way; as any file says."""
    reader.close()

    for call in (reader.read, reader.readline, reader.tell, reader.__enter__):
        with pytest.raises(ValueError, match="closed file"):
            call()


@pytest.mark.parametrize("how", ["read", "readline"])
def test_bytes_of_another_file_are_not_taken_for_its_own(
    reader: Reader, path: Path, how: str
) -> None:
    """As when a thread closes it, and opens another, while one is about to read."""
    other = path.with_name("other")
    other.write_bytes(CONTENT.upper())

    class Closing(list[int]):
        def __getitem__(self, index: SupportsIndex | slice) -> Any:
            number = self.pop()
            os.close(number)
            assert os.open(other, os.O_RDONLY) == number
            return number

    reader._held = Closing(reader._held)
    [number] = reader._held

    with pytest.raises(ValueError, match="closed file"):
        getattr(reader, how)()
    os.close(number)


@pytest.mark.parametrize("how", ["read", "readline"])
def test_a_file_that_was_cut_off_says_what_it_is(
    reader: Reader, path: Path, how: str
) -> None:
    """And no part of it is taken for all."""
    os.truncate(path, 2)

    with pytest.raises(CorruptError, match="it: ends after 2 of 14 bytes"):
        getattr(reader, how)()


@pytest.mark.parametrize("how", ["read", "readline"])
def test_a_directory_says_what_it_is(tmp_path: Path, how: str) -> None:
    """Some file systems tell how long it is, as if it were a file."""
    reader = Reader(os.open(tmp_path, os.O_RDONLY), 40_000, "it")

    with reader, pytest.raises(CorruptError, match=r"it: .*directory"):
        getattr(reader, how)()


def test_a_file_that_grows_is_as_long_as_it_was(reader: Reader, path: Path) -> None:
    """What is added belongs to no object that was put."""
    with path.open("ab") as file:
        file.write(b"more")

    assert reader.read() == CONTENT
    reader.seek(0)
    assert reader.readlines()[-1] == b"three\n"
