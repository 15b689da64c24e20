"""Draw the funnel of a build as one HTML page that loads nothing and runs nothing.

What it quotes comes from the web and is hostile until shown otherwise: every text goes through
`escape`, addresses are text and not links, the only images are thumbnails inside the page, and a
content security policy forbids all else, should a text ever get out of its place.
"""

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from mella.builders.engine.ledger import Level, funnel, funnel_by
from mella.builders.engine.parts import Stage
from mella.builders.report.examples import Example, Rejected, rejected_examples
from mella.builders.report.histogram import draw_histogram
from mella.builders.report.scores import Histogram, histograms

_EXAMPLES = 6
_THUMBNAIL = 112
_BINS = 25
_MAX_CHARS = 300
# Nothing but styles and images that stand in the page itself.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'"
# Control characters, and those that would turn the direction of what follows.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_STYLE = """
:root { color-scheme: light dark; --page: #fbfaf8; --ink: #22211e; --soft: #625f58;
  --line: #dedbd3; --kept: #2d6a8e; --gone: #b9793a; --cut: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --page: #1a1917; --ink: #ebe9e3; --soft: #aaa69d;
  --line: #3d3a35; --kept: #79b8dd; --gone: #d9a066; --cut: #ff8a80; } }
* { box-sizing: border-box; }
body { background: var(--page); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif;
  margin: 0 auto; max-width: 84rem; padding: 1.5rem; }
h1 { font-size: 1.5rem; overflow-wrap: anywhere; } h2 { font-size: 1.25rem; margin-top: 2.5rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .4rem; }
p, small, figcaption { color: var(--soft); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
caption { text-align: start; font-weight: 600; padding: .6rem 0; }
th, td { padding: .15rem .7rem .15rem 0; text-align: end; border-bottom: 1px solid var(--line); }
tbody th { font-weight: 400; text-align: start; white-space: nowrap; }
thead th:first-child { text-align: start; }
tr.sum th, tr.sum td { font-weight: 600; }
details { border-bottom: 1px solid var(--line); padding: .3rem 0; }
summary { cursor: pointer; } summary small { margin-inline-start: .6rem; }
ul { list-style: none; padding: 0; display: grid; gap: .8rem;
  grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); }
li { display: flex; gap: .7rem; overflow-wrap: anywhere; min-width: 0; font-size: .9rem; }
li div { min-width: 0; } li img { flex: none; align-self: start; max-width: 7rem; }
bdi { unicode-bidi: isolate; } .url { display: block; font-size: .75rem; color: var(--soft); }
.charts { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); }
figure { margin: 0; } svg { width: 100%; height: auto; display: block; }
.kept { fill: var(--kept); } .gone { fill: var(--gone); }
.axis { stroke: var(--line); } .cut { stroke: var(--cut); stroke-dasharray: 3 2; }
@media print { body { max-width: none; padding: 0; font-size: 9pt; } .wide { overflow: visible; }
  tr, li, figure { break-inside: avoid; }
  details::details-content { content-visibility: visible; } }
"""


def write_page(stages: Sequence[Stage], title: str, path: Path) -> None:
    """Write the page of a finished build.

    Args:
        stages: Of the build.
        title: What it is called: the recipe or its folder.
        path: The file.

    Raises:
        FormatError: A step has not finished.
    """
    levels, apart = funnel(stages), funnel_by(stages, "lang")
    rejected = rejected_examples(stages, count=_EXAMPLES, side=_THUMBNAIL)
    page = render_page(title, levels, apart, rejected, histograms(stages, bins=_BINS))
    path.write_text(page, encoding="utf-8")


def render_page(
    title: str,
    levels: Sequence[Level],
    apart: Sequence[Mapping[str, Level]],
    rejected: Sequence[Rejected],
    scores: Sequence[Histogram],
) -> str:
    """Return the page as one HTML document.

    Args:
        title: What the build is called.
        levels: What became of all rows.
        apart: The same for each language.
        rejected: Examples for each reason.
        scores: Histograms, those of one score beside each other.
    """
    body = [
        "<main>",
        f"<h1>{escape(title)}: what became of every row</h1>",
        "<p>This page quotes web pages as they are. It loads nothing from them.</p>",
        "<h2>Funnel</h2>",
        *(line for pair in zip(levels, apart, strict=True) for line in _funnel(*pair)),
        "<h2>Scores</h2>",
        *_scores(scores),
        "<h2>Examples of what was rejected</h2>",
        *(line for one in rejected for line in _examples(one)),
        "</main>",
    ]
    head = (
        f'<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>"
    )
    inside = "\n".join(body)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n{head}\n</head>\n'
        f"<body>\n{inside}\n</body>\n</html>\n"
    )


def escape(text: str) -> str:
    """Return a text that stands for itself, in an element or an attribute in double quotes.

    Control characters and lone surrogates become a replacement character.
    """
    clean = _UNSEEN.sub("\ufffd", text).encode("utf-8", "replace").decode()
    return html.escape(clean, quote=True)


def _funnel(level: Level, apart: Mapping[str, Level]) -> Iterator[str]:
    langs = list(apart)
    yield '<div class="wide" role="region" tabindex="0" aria-label="Funnel">'
    yield f"<table>\n<caption>{escape(level.unit)}</caption>"
    heads = "".join(f'<th scope="col">{escape(one)}</th>' for one in (*langs, "all", "share"))
    yield f'<thead><tr><th scope="col">reason</th>{heads}</tr></thead>\n<tbody>'
    for number, reject in enumerate(next(iter(apart.values())).rejects if apart else ()):
        counts = [apart[lang].rejects[number].rows for lang in langs]
        yield _line(f"{reject.step} | {reject.reason}", counts, level.rows)
    yield _line("kept", [apart[lang].kept for lang in langs], level.rows, 'class="sum"')
    yield _line(level.unit, [apart[lang].rows for lang in langs], level.rows, 'class="sum"')
    yield "</tbody>\n</table>\n</div>"


def _line(name: str, counts: Sequence[int], of: int, attributes: str = "") -> str:
    total = sum(counts)
    share = f"{total / of:.1%}" if of else ""
    cells = "".join(f"<td>{count:,}</td>" if count else "<td></td>" for count in counts)
    row = f'<th scope="row">{escape(name)}</th>{cells}<td>{total:,}</td><td>{share}</td>'
    return f"<tr {attributes}>{row}</tr>" if attributes else f"<tr>{row}</tr>"


def _scores(scores: Sequence[Histogram]) -> Iterator[str]:
    if not scores:
        yield "<p>This build stores no scores.</p>"
        return
    yield (
        "<p>Rows by score: kept ones below, those that any step rejected above them. A dashed line "
        "is where scores are cut. Each chart has a vertical scale of its own.</p>"
    )
    for name in dict.fromkeys(one.score for one in scores):
        yield f'<h3>{escape(name)}</h3>\n<div class="charts">'
        yield from (draw_histogram(one) for one in scores if one.score == name)
        yield "</div>"


def _examples(rejected: Rejected) -> Iterator[str]:
    yield "<details>"
    name = f"{rejected.step} | {rejected.reason}"
    rows = f"{rejected.rows:,} {rejected.unit}"
    yield f"<summary>{escape(name)} <small>{escape(rows)}</small></summary>\n<ul>"
    for example in rejected.examples:
        yield from _example(example)
    yield "</ul>\n</details>"


def _example(example: Example) -> Iterator[str]:
    yield "<li>"
    if example.thumbnail is not None:
        # The text stands beside the image: as `alt` it would be read out twice.
        yield f'<img src="{escape(example.thumbnail)}" alt="">'
    yield "<div>"
    if example.text is not None:
        lang = f' lang="{escape(example.lang)}"' if example.lang else ""
        yield f'<bdi dir="auto"{lang}>{escape(_short(example.text))}</bdi>'
    if example.withheld:
        yield "<small>(the image is not shown here)</small>"
    for url in (example.image_url, example.page_url):
        if url is not None:
            yield f'<bdi class="url" dir="ltr">{escape(_short(url))}</bdi>'
    yield "</div>\n</li>"


def _short(text: str) -> str:
    return text if len(text) <= _MAX_CHARS else f"{text[:_MAX_CHARS]}…"
