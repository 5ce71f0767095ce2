"""The command line: what people read, and what scripts rely on."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import stat
import subprocess
import sys
import textwrap

from collections.abc import Callable
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest

from typer.main import get_command

from tests.servers.process import heed_interrupts
from tiered_store.body import Body
from tiered_store.cli import main
from tiered_store.cli.failure import complain, explain
from tiered_store.cli.program import COMMANDS, app
from tiered_store.cli.transfer import WatchedBody
from tiered_store.config.options import options_of
from tiered_store.tiers.memory import MemoryTier
from tiered_store.units import parse_duration, parse_size


NAME = "comics.cover/5/30x40.png"
EVERY_BYTE = bytes(range(256)) * 1000
ON_DISK = """
    version: 1
    stores:
      images: {{type: filesystem, path: {folder}/images, create: true}}
"""

Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    """Write a configuration, ``{folder}`` in it for the test's own directory."""

    def write(text: str) -> Path:
        path = tmp_path / "stack.yaml"
        path.write_text(textwrap.dedent(text).format(folder=tmp_path))
        return path

    return write


@pytest.fixture
def config(written: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store on disk that every command finds by itself."""
    path = written(ON_DISK)
    monkeypatch.setenv("TIERED_STORE_CONFIG", str(path))
    return path


@pytest.fixture
def run(config: Path) -> Run:
    """Run the real command in a process of its own."""

    def run(*words: str, **options: object) -> subprocess.CompletedProcess[bytes]:
        given = {"capture_output": True, "timeout": 30, **options}
        return subprocess.run(_command(*words), **given)  # type: ignore[call-overload]

    return run


def _command(*words: str) -> list[str]:
    return [sys.executable, "-m", "tiered_store", *words]


def _line(error: bytes) -> str:
    """Return *error*, which must be one line."""
    (line,) = error.decode().splitlines()
    return line


# -- as processes -------------------------------------------------------------


def test_bytes_go_through_pipes_unchanged(run: Run) -> None:
    """Standard input and output are files like any other, for any bytes."""
    stored = run("put", "-", NAME, input=EVERY_BYTE)
    assert (stored.returncode, stored.stdout, stored.stderr) == (0, b"", b"")
    fetched = run("get", NAME)
    assert (fetched.returncode, fetched.stdout) == (0, EVERY_BYTE)


def test_absence_has_a_status_of_its_own(run: Run) -> None:
    """A script must be able to tell "there is none" from "it failed"."""
    absent = run("get", NAME)
    assert (absent.returncode, absent.stdout) == (3, b"")
    assert "no such object" in _line(absent.stderr)


def test_an_outage_is_not_absence(run: Run, written: Callable[[str], Path]) -> None:
    """A disk that is not mounted fails, it does not say that nothing is there."""
    written(
        """
        version: 1
        stores: {{images: {{type: filesystem, path: {folder}/unmounted}}}}
        """
    )
    failed = run("get", NAME)
    assert failed.returncode == 1
    assert "images: get comics.cover/5/30x40" in _line(failed.stderr)
    assert "no such directory" in _line(failed.stderr)


def test_a_wrong_configuration_tells_every_problem(
    run: Run, written: Callable[[str], Path]
) -> None:
    """All problems at once with their places, before anything is contacted."""
    written(
        """
        version: 1
        stores:
          images: {{type: filesystem, pth: /x}}
          others: {{type: filesytem}}
        default: imges
        """
    )
    wrong = run("ls")
    lines = wrong.stderr.decode().splitlines()
    assert wrong.returncode == 2
    assert len(lines) == 3
    assert all("stack.yaml:" in line for line in lines)
    assert "did you mean 'path'?" in wrong.stderr.decode()


def test_a_reader_that_has_enough_is_no_error(run: Run, config: Path) -> None:
    """``tiered-store ls | head`` must not end in a traceback."""
    with config.parent.joinpath("big").open("wb") as file:
        file.truncate(4_000_000)
    run("put", str(config.parent / "big"), NAME)
    with subprocess.Popen(
        _command("get", NAME), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 1


def test_a_full_disk_behind_standard_output_is_told(run: Run) -> None:
    """What could not be written must not look as if it had been."""
    run("put", "-", NAME, input=EVERY_BYTE)
    with open("/dev/full", "wb") as full:
        failed = run("get", NAME, capture_output=False, stdout=full, stderr=-1)
    assert failed.returncode == 1
    assert "no space left" in _line(failed.stderr)


def test_an_interrupt_ends_quietly(config: Path) -> None:
    """Ctrl-C is a wish, not a failure to explain."""
    with subprocess.Popen(
        _command("put", "-", NAME),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=heed_interrupts,
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        # more than a pipe holds, so it is at work when this returns
        process.stdin.write(bytes(300_000))
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert b"Traceback" not in process.stderr.read()
        process.stdin.close()


def test_a_terminal_gets_no_binary(run: Run) -> None:
    """Bytes that are no text would upset a terminal, so they are refused there."""
    run("put", "-", NAME, input=b"\x89PNG\x00")
    status, shown, error = _on_terminal("get", NAME)
    assert (status, shown) == (2, b"")
    assert "-o" in _line(error)
    escape = b"\x1b]0;owned\x07"
    run("put", "-", NAME, input=escape)
    assert _on_terminal("get", NAME)[:2] == (2, b"")
    run("put", "-", NAME, input="grün\n".encode())
    assert _on_terminal("get", NAME)[:2] == (0, "grün\r\n".encode())


def _on_terminal(*words: str) -> tuple[int, bytes, bytes]:
    """Return status, what a terminal showed, and standard error."""
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            _command(*words), stdout=theirs, stderr=subprocess.PIPE, timeout=30
        )
        os.set_blocking(ours, False)
        try:
            shown = os.read(ours, 100_000)
        except BlockingIOError:
            shown = b""
    finally:
        os.close(ours)
        os.close(theirs)
    return done.returncode, shown, done.stderr


def test_a_listing_is_a_table_only_on_a_terminal(run: Run) -> None:
    """People read columns, programs read lines."""
    run("put", "-", NAME, input=b"x")
    assert run("ls").stdout == f"{NAME}\n".encode()
    status, shown, _ = _on_terminal("ls")
    assert status == 0
    assert b"Mimetype" in shown
    assert b"1 object\r\n" in shown


def test_starting_costs_no_sdk() -> None:
    """Help must not wait for libraries that only a stack needs."""
    code = "import sys, tiered_store.cli; print(*sorted(sys.modules), sep='\\n')"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    heavy = {"boto3", "redis", "pydantic", "yaml", "PIL", "tenacity"}
    assert not heavy & set(loaded)


def test_the_command_is_installed() -> None:
    """``tiered-store`` and ``python -m tiered_store`` are the same."""
    (script,) = entry_points(group="console_scripts", name="tiered-store")
    assert script.load() is main
    done = subprocess.check_output(_command("--version"), text=True)
    assert done == f"tiered-store {version('tiered-store')}\n"


# -- in this process ----------------------------------------------------------


Captured = pytest.CaptureFixture[bytes]


def test_a_key_before_its_file_is_told_so(config: Path, capfdbinary: Captured) -> None:
    """The words are right and their order is not."""
    assert main(["put", NAME, "picture.png", "-c", str(config)]) == 2
    said = capfdbinary.readouterr().err.decode()
    assert said == f"tiered-store: the file comes first: put picture.png {NAME}\n"


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["put"],
        ["get", "--colour", NAME],
        ["frobnicate"],
        ["get", "no-key"],
        ["get", "comics.cover/5/30x40"],
        ["get", "comics.cover/5/30x40.nosuch"],
        ["get", "../../etc/5/30x40.png"],
        ["get", NAME, "--mimetype", "with space"],
        ["put", "/no/such/file", NAME],
        ["put", "/", NAME],
        ["get", NAME, "-s", "nosuch"],
        ["get", NAME, "-c", "/no/such/config.yaml"],
        ["check", "/no/such/config.yaml"],
    ],
)
@pytest.mark.usefixtures("config")
def test_wrong_usage_is_status_two(words: list[str]) -> None:
    """A script that calls it wrongly must not take that for an outage."""
    assert main(words) == 2


@pytest.mark.usefixtures("config")
@pytest.mark.parametrize("words", [["ls"], ["check"], ["get", "a/1/1x1.png"]])
def test_a_configuration_that_nobody_named_is_asked_for(
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: Captured,
) -> None:
    """The first command of a newcomer; he has a file, under another name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TIERED_STORE_CONFIG", raising=False)

    assert main(words) == 2
    told = capfdbinary.readouterr().err
    assert told.startswith(b"tiered-store: which configuration? there is no tiered-")
    assert b"-c FILE" in told
    Path("tiered-store.yaml").write_text(
        "version: 1\ndefault: a\nstores: {a: {type: memory}}\n"
    )
    assert main(words) in (0, 3)
    assert main([*words[:1], "--help"]) == 0


def test_a_configuration_is_named_either_way(
    written: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """As an argument where a command is about one, and by -c for every command."""
    path = str(written(ON_DISK))
    monkeypatch.setenv("TIERED_STORE_CONFIG", "/no/such.yaml")
    for words in (["check"], ["tree"], ["drill", "--faults", "down"]):
        assert main([*words, path]) == 0
        said = capfd.readouterr().out
        assert main([*words, "-c", path]) == 0
        assert capfd.readouterr().out.splitlines()[0] == said.splitlines()[0]

    assert main(["check", path, "-c", "other.yaml"]) == 2
    told = f"two configurations, {path} and other.yaml: name one"
    assert capfd.readouterr().err == f"tiered-store: {told}\n"
    assert main(["drill", "--faults", "down", "-c", path, "lost=-1"]) == 2
    assert "--require: " in capfd.readouterr().err
    monkeypatch.setenv("TIERED_STORE_CONFIG", path)
    assert main(["check"]) == 0


def test_help_flows_as_wide_as_the_terminal() -> None:
    """The lines of a docstring are those of the code."""
    for name, command in get_command(app).commands.items():
        assert command.help, name
        assert "\n" not in command.help.replace("\n\n", ""), name


def test_a_usage_error_is_one_line_with_advice(capfdbinary: Captured) -> None:
    """What is wrong, and where to read on."""
    assert main(["get"]) == 2
    line = _line(capfdbinary.readouterr().err)
    assert line == "tiered-store: missing argument 'KEY'; see tiered-store get --help"


def test_a_file_is_replaced_whole_or_not_at_all(
    config: Path, written: Callable[[str], Path]
) -> None:
    """A fetch that dies half way leaves the old file, and no other."""
    target = config.parent / "cover.png"
    target.write_bytes(b"old")
    target.chmod(0o640)
    source = config.parent / "source"
    source.write_bytes(EVERY_BYTE)
    assert main(["put", str(source), NAME]) == 0
    before = set(config.parent.iterdir())
    written(
        """
        version: 1
        stores:
          images:
            type: fault
            tear_rate: 1
            child: {{type: filesystem, path: {folder}/images}}
        """
    )
    assert main(["get", NAME, "-o", str(target)]) == 1
    assert target.read_bytes() == b"old"
    assert set(config.parent.iterdir()) == before
    written(ON_DISK)
    assert main(["get", NAME, "-o", str(target)]) == 0
    assert target.read_bytes() == EVERY_BYTE
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_what_is_no_file_is_written_and_not_replaced(config: Path) -> None:
    """A pipe or a device must not be turned into a file, nor a link into another."""
    source, link = config.parent / "source", config.parent / "link"
    source.write_bytes(b"x")
    link.symlink_to(config.parent / "target")
    main(["put", str(source), NAME])
    # a pipe of our own and no real device: broken code would replace the machine's
    pipe = config.parent / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert main(["get", NAME, "-o", str(pipe)]) == 0
        assert stat.S_ISFIFO(pipe.stat().st_mode)
        assert os.read(reader, 10) == b"x"
    finally:
        os.close(reader)
    assert main(["get", NAME, "-o", str(link)]) == 0
    assert link.is_symlink()
    assert link.read_bytes() == b"x"


def test_where_nothing_can_be_written_is_told_by_the_name_that_was_given(
    config: Path, capfd
) -> None:
    """A directory, or in one that is not there."""
    source = config.parent / "source"
    source.write_bytes(b"x")
    main(["put", str(source), NAME])
    for target, why in ((config.parent, "is a directory"), ("/no/x", "no such file")):
        assert main(["get", NAME, "-o", str(target)]) == 2
        assert f"cannot write '{target}': {why}" in capfd.readouterr().err


@pytest.mark.usefixtures("config")
def test_what_is_listed_can_be_deleted(tmp_path: Path, capfdbinary: Captured) -> None:
    """Names go from one command to the other as they are."""
    file = tmp_path / "x"
    file.write_bytes(b"x")
    names = [NAME, "comics.cover/-5/30x40.jpe", "a/b/5/1x2.webp", "other/1/1x1.svg"]
    for name in names:
        assert main(["put", str(file), name]) == 0
    assert main(["ls"]) == 0
    listed = capfdbinary.readouterr().out.decode().splitlines()
    assert sorted(listed) == sorted(names)
    assert main(["rm", *listed]) == 0
    assert main(["ls"]) == 0
    assert capfdbinary.readouterr().out == b""
    assert main(["rm", *listed]) == 0, "deleting the absent is silence"


@pytest.mark.parametrize(
    ("prefix", "found"),
    [
        ("", 4),
        ("comics", 3),
        ("comics.cover", 2),
        ("comics.cover/5", 2),
        ("comics.cover/55", 1),
        ("comics.cover/5/", 1),
        ("deep/er/1/", 1),
        ("nothing", 0),
    ],
)
@pytest.mark.usefixtures("config")
def test_a_prefix_is_of_the_whole_name(
    prefix: str, found: int, tmp_path: Path, capfdbinary: Captured
) -> None:
    """What one reads is what one may begin to type."""
    file = tmp_path / "x"
    file.write_bytes(b"x")
    for name in ("comics.cover/5", "comics.cover/55", "comics/5", "deep/er/1"):
        main(["put", str(file), f"{name}/1x1.png"])
    main(["ls", prefix])
    assert len(capfdbinary.readouterr().out.splitlines()) == found


@pytest.mark.usefixtures("config")
def test_json_is_a_line_for_each_object(tmp_path: Path, capfdbinary: Captured) -> None:
    """A program parses lines, with the five values and what is known."""
    file = tmp_path / "x"
    file.write_bytes(b"four")
    main(["put", str(file), NAME, "--reproducible"])
    assert main(["ls", "--json", "--long"]) == 0
    (line,) = capfdbinary.readouterr().out.splitlines()
    found = json.loads(line)
    assert found["name"] == NAME
    assert (found["object_id"], found["width"], found["size"]) == (5, 30, 4)
    assert main(["stat", NAME, "--json"]) == 0
    assert json.loads(capfdbinary.readouterr().out) == found
    assert main(["stat", NAME]) == 0
    assert b"mimetype     image/png\n" in capfdbinary.readouterr().out
    assert main(["stat", "comics.cover/6/1x1.png"]) == 3


@pytest.mark.parametrize("name", [NAME, NAME.replace("png", "jpg")])
def test_a_mimetype_that_is_not_the_extensions(
    name: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """``rm X.png --mimetype image/gif`` deleted a GIF, which nobody had named."""
    assert main(["rm", name, "--mimetype", "image/gif"]) == 2

    said = capsys.readouterr().err
    assert f"--mimetype: image/gif has not the extension '{name[-4:]}'; " in said


@pytest.mark.parametrize("mimetype", ["image/png", "IMAGE/PNG"])
def test_a_mimetype_that_is_the_extensions(mimetype: str, config: Path) -> None:
    """Saying it twice is no mistake."""
    assert main(["rm", NAME, "--mimetype", mimetype]) == 0


@pytest.mark.parametrize("prefix", ["http://x/", "a b", "a?b", "a#b"])
def test_a_prefix_is_a_path(
    prefix: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No request would ever be below it."""
    assert main(["serve", "--prefix", prefix]) == 2

    assert f"--prefix: expected a path such as /images, got {prefix!r}; " in (
        capsys.readouterr().err
    )


@pytest.mark.usefixtures("config")
def test_a_mimetype_can_be_said(tmp_path: Path, capfdbinary: Captured) -> None:
    """An extension cannot say every type; and ``.jpg`` is what people write."""
    file = tmp_path / "x"
    file.write_bytes(b"x")
    main(["put", str(file), "thing/1/2x3", "--mimetype", "application/x-thing"])
    main(["put", str(file), "thing/1/2x3.jpg"])
    main(["ls"])
    assert capfdbinary.readouterr().out.decode().splitlines() == [
        "thing/1/2x3.application%2Fx-thing",
        "thing/1/2x3.jpe",
    ]
    assert main(["get", "thing/1/2x3.application%2Fx-thing"]) == 0
    assert main(["get", "thing/1/2x3.jpeg"]) == 0
    assert main(["get", "thing/1/2x3"]) == 2
    assert b"--mimetype" in capfdbinary.readouterr().err


def test_deleting_goes_on_after_a_failure(
    config: Path, written: Callable[[str], Path], capfdbinary: Captured
) -> None:
    """One that cannot be deleted does not keep the others."""
    source = config.parent / "source"
    source.write_bytes(b"x")
    for name in (NAME, "other/1/1x1.png"):
        main(["put", str(source), name])
    folder = config.parent / "images" / "comics.cover" / "5" / "0" / "5.30x40.png"
    folder.unlink()
    (folder / "in-the-way").mkdir(parents=True)
    assert main(["rm", NAME, "other/1/1x1.png"]) == 1
    assert _line(capfdbinary.readouterr().err).startswith("tiered-store: images: ")
    assert main(["stat", "other/1/1x1.png"]) == 3


def test_urls(written: Callable[[str], Path], capfdbinary: Captured) -> None:
    """A URL costs nothing and may name what is not there; no URL is an error."""
    config = written(
        """
        version: 1
        default: shown
        stores:
          shown: {{type: memory, base_url: "https://images.example.com"}}
          hidden: {{type: memory}}
        """
    )
    assert main(["url", NAME, "-c", str(config)]) == 0
    shown = capfdbinary.readouterr().out.decode()
    assert shown == f"https://images.example.com/{NAME}\n"
    assert main(["url", NAME, "-c", str(config), "--store", "hidden"]) == 1
    assert b"base_url" in capfdbinary.readouterr().err


def test_check_says_what_will_hurt(
    written: Callable[[str], Path], capfdbinary: Captured
) -> None:
    """A warning is no error, unless one wants it to be."""
    config = written(
        """
        version: 1
        default: images
        stores:
          images: {{type: memory}}
          forgotten: {{type: memory}}
        """
    )
    assert main(["check", str(config)]) == 0
    seen = capfdbinary.readouterr()
    assert (
        seen.out.decode()
        == f"{config}: nothing wrong, 1 warning; tiered-store lint RULE says why\n"
    )
    assert _line(seen.err).startswith("warning: ")
    assert main(["check", str(config), "--strict"]) == 2
    capfdbinary.readouterr()
    assert main(["check", str(config), "--json"]) == 0
    found = json.loads(capfdbinary.readouterr().out)
    assert found["problems"] == []
    assert found["findings"][0]["rule"] == "never-used"


def test_check_tells_machines_where(
    written: Callable[[str], Path], capfdbinary: Captured
) -> None:
    """An editor puts each problem at its place; one of the whole file has no line."""
    config = written(
        """
        version: 1
        stores:
          images: {{type: memory, capacty: 1MiB}}
          spare: {{type: memory}}
        """
    )
    assert main(["check", str(config), "--json"]) == 2
    problems = json.loads(capfdbinary.readouterr().out)["problems"]
    assert {problem["file"] for problem in problems} == {str(config)}
    whole, key = problems
    assert (whole["line"], whole["column"], whole["path"]) == (None, None, "")
    line = config.read_text().splitlines()[key["line"] - 1]
    assert line[key["column"] - 1 :].startswith("capacty")
    assert key["path"] == "stores.images.capacty"
    assert "did you mean 'capacity'?" in key["message"]
    assert main(["check", str(config)]) == 2
    told = capfdbinary.readouterr().err.decode()
    assert f":{key['line']}:{key['column']} {key['path']}: {key['message']}" in told


STACK = """
    version: 1
    default: images
    stores:
      images:
        type: cached
        tiers:
          - {{type: memory, capacity: 64MiB, ttl: 90s}}
          - {{type: filesystem, path: /cache, ttl: 1h}}
        origin: pair
        retry: 5
      pair:
        type: fallback
        stores: {{one: bucket, two: bucket}}
        breaker: {{open: 250ms}}
      bucket:
        type: s3
        bucket: pictures
        access_key: "user"
        secret_key: "${{env:SECRET_OF_TEST}}"
        endpoint_url: http://user:hunter2@localhost:1
        timeout: 5s
"""


def test_tree_draws_the_stack(
    written: Callable[[str], Path],
    capfdbinary: Captured,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who stands on whom, what was changed, shared parts once, and no secret."""
    monkeypatch.setenv("SECRET_OF_TEST", "hunter2")
    config = written(STACK)
    assert main(["tree", str(config)]) == 0
    seen = capfdbinary.readouterr().out.decode()
    assert seen.splitlines() == [
        "images: retry attempts=5 > cached",
        "├── tiers.0: memory capacity=64MiB ttl=90s",
        "├── tiers.1: tier ttl=1h > breaker > filesystem path=/cache",
        "└── origin: fallback breaker.open=250ms",
        "    ├── one: breaker > s3 bucket=pictures access_key=user secret_key=**** "
        "endpoint_url=http://****@localhost:1 timeout=5s",
        "    └── two: breaker > s3 (the same as images.origin.one)",
    ]
    assert main(["tree", str(config), "--json"]) == 0
    printed = capfdbinary.readouterr().out.decode()
    assert "hunter2" not in printed
    root = json.loads(printed)
    assert (root["label"], root["type"]) == ("images", "cached")
    assert root["inside"] == [{"type": "retry", "options": {"attempts": "5"}}]
    assert root["children"][2]["children"][1]["shared"] is True
    assert main(["tree", str(config), "--store", "bucket"]) == 0
    assert capfdbinary.readouterr().out.startswith(b"bucket: s3 bucket=pictures")


def test_options_are_spelled_as_a_configuration_spells_them() -> None:
    """What is shown can be written into a file again, to the byte and the second."""
    for size in (1, 1000, 1536, 1024, 5 * 1024**2 + 1, 3 * 1024**3):
        shown = options_of(MemoryTier(capacity=size, max_object=1))["capacity"]
        assert parse_size(shown) == size
    for seconds in (0.001, 0.25, 1.0, 1.5, 60.0, 90.0, 3600.0, 86400.0, 100_000.0):
        shown = options_of(MemoryTier(ttl=seconds))["ttl"]
        assert parse_duration(shown) == pytest.approx(seconds)


def test_a_bug_is_called_one_and_shown_on_demand(
    capfdbinary: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No traceback for users; all of it for whoever asks."""
    monkeypatch.delenv("TIERED_STORE_DEBUG", raising=False)
    assert explain(TypeError("no len()")) == 1
    line = _line(capfdbinary.readouterr().err)
    assert line.startswith("tiered-store: a bug: TypeError: no len(); ")
    monkeypatch.setenv("TIERED_STORE_DEBUG", "1")
    assert main(["get"]) == 2
    assert b"Traceback" in capfdbinary.readouterr().err


def test_messages_cannot_move_the_cursor(capfdbinary: Captured) -> None:
    """A name from somewhere else may hold anything; a terminal must not obey it."""
    complain("bad \x1b[2Jname\r\n")
    assert capfdbinary.readouterr().err == b"bad \\x1b[2Jname\\r\\n\n"


def test_progress_is_that_of_the_farthest_reader() -> None:
    """Two replicas read the same body: that is one upload, not two."""
    seen: list[int] = []
    body = WatchedBody(Body.of(EVERY_BYTE), seen.append)
    with body.open() as one, body.open() as other:
        one.read(100_000)
        other.read(50_000)
        assert one.read() == EVERY_BYTE[100_000:]
    assert body.open(255_999).read() == b"\xff"
    assert seen == sorted(seen)
    assert seen[-1] == len(EVERY_BYTE)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """None is imported before it is asked for."""
    assert main([name, "--help"]) == 0
    assert f"tiered-store {name}" in capsys.readouterr().out


def test_every_command_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """With a line that says what it does."""
    assert main(["-h"]) == 0
    listed = re.findall(r"^\W*([a-z]+)  +[A-Z]", capsys.readouterr().out, re.MULTILINE)
    assert listed == list(COMMANDS)


def test_a_command_that_is_misspelled(capsys: pytest.CaptureFixture[str]) -> None:
    """The nearest one is named."""
    assert main(["repiar"]) == 2
    assert "did you mean 'repair'?" in capsys.readouterr().err.lower()
