"""Sizes and durations say what they are, or that they are none."""

from __future__ import annotations

import contextlib

import pytest

from hypothesis import given
from hypothesis import strategies as st

from tiered_store.units import Secret, Unit, parse_duration, parse_size


SIZE, DURATION = Unit("size"), Unit("duration")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("1_000", 1000),
        ("1B", 1),
        ("64KiB", 64 * 1024),
        ("64kib", 64 * 1024),
        ("1.5GB", 1_500_000_000),
        (" 2 MiB ", 2 * 1024**2),
        ("9007199254740993", 9007199254740993),
        ("1TiB", 1024**4),
    ],
)
def test_size_is_read(text: str, size: int) -> None:
    """Decimal and binary units, exactly."""
    assert parse_size(text) == size
    assert isinstance(parse_size(text), int)


@pytest.mark.parametrize(
    "text",
    ["1ib", "8 IB", "", "x", "-1", "1XB", "1 2", "KiB", "1e3", "inf", "٣", "1,5GB"],
)
def test_no_size(text: str) -> None:
    """What is no size says how one is written."""
    with pytest.raises(ValueError) as caught:
        parse_size(text)
    assert str(caught.value) == f"not a size: {text!r}; write it like 256MiB or 1GB"


@pytest.mark.parametrize("text", ["9" * 30, "9" * 5000, "9999999999TiB"])
def test_size_out_of_range(text: str) -> None:
    """A size that no machine has is refused, not computed."""
    with pytest.raises(ValueError) as caught:
        parse_size(text)
    assert str(caught.value) == f"not a size: {text!r}; it is out of range"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("2", 2.0),
        ("0.5", 0.5),
        ("250ms", 0.25),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("1h 30m", 5400.0),
        ("1 d", 86400.0),
        ("2w", 1209600.0),
        ("1_000s", 1000.0),
    ],
)
def test_duration_is_read(text: str, seconds: float) -> None:
    """Terms add up; without a unit it is seconds."""
    assert parse_duration(text) == pytest.approx(seconds)
    assert isinstance(parse_duration(text), float)


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "-1s", "1h30", "5 apples 3m", "nan", "inf", "1e3", "1y"]
)
def test_no_duration(text: str) -> None:
    """What is no duration says how one is written."""
    with pytest.raises(ValueError) as caught:
        parse_duration(text)
    assert str(caught.value) == (f"not a duration: {text!r}; write it like 250ms or 5m")


@pytest.mark.parametrize("text", ["36501d", "9" * 400, "9" * 400 + "w"])
def test_duration_out_of_range(text: str) -> None:
    """What would overflow a clock is refused."""
    with pytest.raises(ValueError) as caught:
        parse_duration(text)
    assert str(caught.value) == f"not a duration: {text!r}; it is out of range"


def test_numbers_are_read() -> None:
    """Bytes and seconds may be numbers, as in code."""
    assert SIZE.read(5) == 5
    assert SIZE.read("5KB") == 5000
    assert DURATION.read(0.25) == 0.25
    assert DURATION.read("1m") == 60


@pytest.mark.parametrize("value", [True, None, [1], {}])
def test_no_number(value: object) -> None:
    """Neither truth nor a list is a size."""
    with pytest.raises(ValueError) as caught:
        SIZE.read(value)
    assert str(caught.value) == f"not a size: {value!r}"


@pytest.mark.parametrize("value", [-1, 2**63, float("nan"), float("inf"), -0.1])
def test_number_out_of_range(value: float) -> None:
    """Nothing is negative, endless or no number at all."""
    for unit in (SIZE, DURATION):
        with pytest.raises(ValueError) as caught:
            unit.read(value)
        assert str(caught.value) == f"not a {unit.name}: {value!r}; it is out of range"


@given(st.text(max_size=40) | st.from_regex(r"\d{1,25}\s*[kmgtwhdsi]{0,3}b?"))
def test_any_text(text: str) -> None:
    """Whatever the text, it is in range or a ``ValueError``."""
    for unit in (SIZE, DURATION):
        with contextlib.suppress(ValueError):
            assert unit.read(unit.parse(text)) >= 0


def test_secret_never_shows() -> None:
    """Neither ``repr`` nor ``str`` tells, and equality still works."""
    secret = Secret("hunter2")
    assert "hunter2" not in f"{secret} {secret!r} {[secret]}"
    assert secret.reveal() == Secret(secret).reveal() == "hunter2"
    assert secret == Secret("hunter2")
    assert secret != "hunter2"
    assert len({secret, Secret("hunter2")}) == 1
