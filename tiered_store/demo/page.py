"""
A contact sheet: one HTML file that needs nothing beside it but the regions.
"""

from __future__ import annotations

import base64

from collections.abc import Iterator
from html import escape
from urllib.parse import quote

from tiered_store.demo.album import Album, Entry, Fate
from tiered_store.demo.application import Application
from tiered_store.demo.picture import BOXES
from tiered_store.demo.place import Place
from tiered_store.demo.region import Region
from tiered_store.demo.report import Phase, Report
from tiered_store.layout import path_name


_SHOWN = BOXES[1]
_FATES: dict[Fate, str] = {
    "stored": "stored before the outage",
    "replaced": "replaced while east was away",
    "deleted": "deleted while east was away",
    "new": "new while east was away",
}
_STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
.verdict { padding: .6rem 1rem; border-radius: .5rem; color: white; }
.held { background: #1b7f4b; } .broken { background: #b3261e; }
.sheet { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { margin: 0; width: 13.5rem; padding: .6rem;
         border: 1px solid #8884; border-radius: .5rem; }
.frame { height: 160px; display: flex; align-items: center;
         justify-content: center; }
.frame img { max-width: 100%; max-height: 160px; }
.none { color: gray; border: 2px dashed #8888; padding: 1.5rem; border-radius: .5rem; }
figcaption { font-size: .85rem; overflow-wrap: anywhere; }
figcaption b { display: block; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; padding: .25rem .8rem .25rem 0;
         border-top: 1px solid #8884; }
td.n, th.n { text-align: right; }
"""


def write_page(place: Place, album: Album, app: Application, report: Report) -> None:
    """Write the contact sheet of *album*, its thumbnails read from the stack."""
    place.page.write_text("".join(_page(place, album, app, report)), "utf-8")


def _page(
    place: Place, album: Album, app: Application, report: Report
) -> Iterator[str]:
    yield '<!doctype html><html lang="en"><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width">'
    yield f"<title>tiered-store demo</title><style>{_STYLE}</style>"
    yield "<h1>Two regions, one of them lost for a while</h1>"
    style = "held" if report.held else "broken"
    yield f'<p class="verdict {style}">{escape(report.verdict)}</p>'
    yield '<div class="sheet">'
    for entry in album.entries:
        yield _figure(place, entry, app)
    yield "</div><h2>What happened</h2><table><tr><th>Step<th>What happened"
    yield '<th class="n">Reads<th class="n">Writes<th class="n">Failed'
    for phase in report.phases:
        yield _row(phase)
    yield "</table><h2>What had to hold</h2><ul>"
    for check in report.checks:
        word = "held" if check.held else "BROKEN"
        yield f"<li><b>{word}</b>: {escape(check.promise)}: {escape(check.seen)}"
    yield "</ul>"
    if report.skipped:
        yield "<h2>Skipped</h2><ul>"
        for skipped in report.skipped:
            yield f"<li>{escape(skipped.name)}: {escape(skipped.reason)}"
        yield "</ul>"
    yield "</html>\n"


def _figure(place: Place, entry: Entry, app: Application) -> str:
    picture = entry.picture
    kept = [_region(region, entry) for region in place.regions]
    caption = (
        f"<b>{escape(picture.name)}</b>{picture.width} x {picture.height}, "
        f"{len(entry.thumbnails)} thumbnails<br>{_FATES[entry.fate]}<br>"
        + " &middot; ".join(kept)
    )
    return (
        f'<figure><div class="frame">{_image(entry, app)}</div>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _image(entry: Entry, app: Application) -> str:
    # made for the page alone, so what goes wrong here is in no phase of the report
    phase = Phase(title="Draw the page")
    fitting = [key for key in entry.keys if max(key.width, key.height) <= _SHOWN]
    key = max(fitting or [entry.key], key=lambda key: key.width)
    content = app.read(phase, key) if key in app.expected else None
    if content is None:
        return '<span class="none">gone</span>'
    encoded = base64.b64encode(content).decode()
    name = escape(entry.picture.name, quote=True)
    return f'<img alt="{name}" src="data:{key.mimetype};base64,{encoded}">'


def _region(region: Region, entry: Entry) -> str:
    name = path_name(entry.key)
    if not (region.path / name).is_file():
        return f"not in {region.name}"
    return f'in <a href="{region.path.name}/{quote(name)}">{region.name}</a>'


def _row(phase: Phase) -> str:
    numbers = (phase.reads or "", phase.writes or "", len(phase.failures))
    cells = "".join(f'<td class="n">{number}' for number in numbers)
    return f"<tr><td>{escape(phase.title)}<td>{escape(phase.happened)}{cells}"
