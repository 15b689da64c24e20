"""Tell by their bytes which pages may hold images: most others need not even be decoded."""

import pyarrow as pa
import pyarrow.compute as pc

# A pattern with a literal start is searched for five times as fast as one without, so that the
# first goes before the second. Letters beyond ASCII don't matter to either.
_MAYBE = "(?i)im(?:g|age)"
_NAMED = r"(?i)<(?:amp-)?ima?g|:image|ld\+json"
_LICENSE = ("license", "creativecommons")
_WIDE = r"\x00"  # UTF-16 has a NUL beside each letter of a tag


def may_hold_images(bodies: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return, for each page, whether it may hold an image tag, a lead image or structured data.

    Args:
        bodies: Pages as they were sent, of type large_binary; null: no page.

    Returns:
        Booleans, never null. False is certain; True is to be seen.
    """
    maybe = pc.fill_null(pc.match_substring_regex(bodies, _MAYBE), fill_value=False)
    named = pc.match_substring_regex(pc.if_else(maybe, bodies, None), _NAMED)
    return pc.fill_null(pc.or_kleene(named, _is_wide(bodies)), fill_value=False)


def may_name_license(bodies: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return, for each page, whether a link in it may name a licence; see `may_hold_images`."""
    found = _is_wide(bodies)
    for word in _LICENSE:
        found = pc.or_kleene(found, pc.match_substring(bodies, word, ignore_case=True))
    return pc.fill_null(found, fill_value=False)


def _is_wide(bodies: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.match_substring_regex(bodies, _WIDE)
