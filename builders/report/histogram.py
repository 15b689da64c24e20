"""Draw a histogram of scores as an SVG picture with a caption."""

import html

from mella.builders.report.scores import Histogram

_WIDTH, _HEIGHT, _FOOT = 250, 90, 14


def draw_histogram(histogram: Histogram) -> str:
    """Return a `<figure>`: bars of kept rows, on them those of rejected ones, and the cut lines."""
    low, high = histogram.edges[0], histogram.edges[-1]
    most = max(map(sum, zip(histogram.kept, histogram.rejected, strict=True)))
    scale = (_HEIGHT - 4) / max(1, most)
    width = _WIDTH / len(histogram.kept)
    marks = []
    for number, (kept, gone) in enumerate(zip(histogram.kept, histogram.rejected, strict=True)):
        top = _HEIGHT - kept * scale
        bars = (("kept", top, kept), ("gone", top - gone * scale, gone))
        marks += [
            f'<rect class="{kind}" x="{number * width:.1f}" y="{y:.1f}" '
            f'width="{max(0.5, width - 1):.1f}" height="{rows * scale:.1f}"/>'
            for kind, y, rows in bars
            if rows
        ]
    marks.append(f'<path class="axis" d="M0 {_HEIGHT}H{_WIDTH}"/>')
    for line in (histogram.least, histogram.most):
        if line is not None:
            x = min(max((line - low) / (high - low), 0), 1) * _WIDTH
            marks.append(f'<path class="cut" d="M{x:.1f} 0V{_HEIGHT}"/>')
    label = html.escape(_label(histogram), quote=True)
    ends = (
        f'<text x="0" y="{_HEIGHT + _FOOT - 2}" font-size="10" fill="currentColor">{low:g}</text>'
        f'<text x="{_WIDTH}" y="{_HEIGHT + _FOOT - 2}" font-size="10" fill="currentColor" '
        f'text-anchor="end">{high:g}</text>'
    )
    return (
        f'<figure><svg viewBox="0 0 {_WIDTH} {_HEIGHT + _FOOT}" role="img" aria-label="{label}">'
        f"{''.join(marks)}{ends}</svg><figcaption>{label}</figcaption></figure>"
    )


def _label(histogram: Histogram) -> str:
    lines = [
        f"cut {where} {line:.4g}"
        for where, line in (("below", histogram.least), ("above", histogram.most))
        if line is not None
    ]
    rows = f"{sum(histogram.kept):,} kept, {sum(histogram.rejected):,} rejected"
    return ", ".join([f"{histogram.lang}: {rows}", *lines])
