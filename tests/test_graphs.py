"""A stack drawn for programs that lay out graphs."""

from __future__ import annotations

import textwrap

from pathlib import Path

import pytest

from tiered_store.cli import main


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A stack in which one bucket is used twice, one name of which needs care."""
    path = tmp_path / "stack.yaml"
    path.write_text(
        textwrap.dedent(
            """\
            version: 1
            default: images
            stores:
              images: {type: fallback, stores: {mirror: mirror, last: us}}
              mirror: {type: replicated, replicas: {us: us, eu: eu}}
              us: {type: filesystem, path: '/srv/"us"<1>', timeout: 5s}
              eu: {type: filesystem, path: /srv/eu}
            """
        )
    )
    return str(path)


def test_graphviz(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is shared is one box with two arrows; quotes are escaped."""
    assert main(["tree", config, "--dot"]) == 0
    assert capsys.readouterr().out == textwrap.dedent(
        r"""        digraph stack {
          node [shape=box, fontname="sans-serif"];
          n0 [label="images\nfallback"];
          n1 [label="images.mirror\nbreaker\nreplicated"];
          n2 [label="images.mirror.us\nbreaker\ntimeout seconds=5s\nfilesystem path=/srv/\"us\"<1>"];
          n3 [label="images.mirror.eu\nbreaker\nfilesystem path=/srv/eu"];
          n1 -> n2 [label="us"];
          n1 -> n3 [label="eu"];
          n0 -> n1 [label="mirror"];
          n0 -> n2 [label="last"];
        }
        """  # noqa: E501 - as Graphviz reads it
    )


def test_mermaid(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As pages render it; nothing of a name is taken for HTML."""
    assert main(["tree", config, "--mermaid"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "flowchart TD"
    assert '  n0["images<br>fallback"]' in lines
    assert "path=/srv/&quot;us&quot;&lt;1&gt;" in lines[3]
    assert lines[-1] == '  n0 -->|"last"| n2'


def test_one_form_at_a_time(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Two would be neither."""
    assert main(["tree", config, "--dot", "--json"]) == 2
    assert "one at a time" in capsys.readouterr().err


def test_what_is_shared_is_drawn_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The store, and what stands beside stores: a control that two of them ask."""
    path = tmp_path / "stack.yaml"
    path.write_text(
        textwrap.dedent(
            f"""\
            version: 1
            default: images
            controls: {{decisions: {{type: file, path: {tmp_path}/decisions.json}}}}
            stores:
              images:
                type: fallback
                stores: {{a: inner, b: inner}}
                control: decisions
              inner:
                type: fallback
                stores: {{x: {{type: memory}}}}
                control: decisions
            """
        )
    )
    assert main(["tree", str(path)]) == 0
    drawn = capsys.readouterr().out
    assert drawn.count("memory") == 1
    assert drawn.count("decisions.json") == 1
    assert "(the same as images.a)" in drawn
