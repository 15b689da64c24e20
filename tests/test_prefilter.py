"""The prefilter: what it passes over has no image, in whatever bytes."""

import pyarrow as pa
import pytest

from mella.builders.culture.pages.prefilter import may_hold_images, may_name_license


def ask(question, *bodies):
    return question(pa.chunked_array([bodies], pa.large_binary())).to_pylist()


@pytest.mark.parametrize(
    "page",
    [
        "<p><img src=a>",
        "<IMG src=a>",
        "<iMaGe src=a>",
        "<amp-img src=a>",
        "<meta property='OG:Image' content=a>",
        "<meta name=twitter:image content=a>",
        "<script type='application/LD+JSON'>{'image': 1}",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-16"])
def test_a_page_that_may_hold_images_is_looked_at(page, encoding):
    assert ask(may_hold_images, ("ž" * 5000 + page).encode(encoding)) == [True]


def test_a_page_without_images_is_passed_over_and_so_is_what_is_no_page():
    bodies = (b"", None, b"<p class=image>an image of imgs: background-image", b"\xff\xfe im")
    assert ask(may_hold_images, *bodies) == [False] * 4
    assert may_hold_images(pa.chunked_array([], pa.large_binary())).to_pylist() == []


def test_a_page_that_may_name_a_licence_is_looked_at():
    bodies = (b"rel=License", b"//CreativeCommons.org/", "license".encode("utf-16"), b"x", None)
    assert ask(may_name_license, *bodies) == [True, True, True, False, False]
