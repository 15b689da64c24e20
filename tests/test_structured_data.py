"""Structured data: images wherever JSON-LD names them, and no script that stops the others."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mella.builders.culture.pages.structured_data import (
    StructuredDataError,
    StructuredImage,
    structured_images,
)

OBJECT = {"@type": "ImageObject", "contentUrl": "a.jpg"}
FOUND = StructuredImage("a.jpg")


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (OBJECT, FOUND),
        ([[OBJECT]], FOUND),
        ({"@graph": [{"@type": "WebPage"}, OBJECT]}, FOUND),
        ({"mainEntity": {"hasPart": [{"thumbnail": OBJECT}]}}, FOUND),
        ({"@type": ["Thing", "https://schema.org/ImageObject"], "url": "a.jpg"}, FOUND),
        ({"@type": "schema:ImageObject", "contentUrl": ["a.jpg"]}, FOUND),
        ({"@type": "ImageObject", "contentUrl": "a.jpg", "url": "page"}, FOUND),
        ({"@type": "Article", "image": "a.jpg"}, FOUND),
        ({"@type": "Article", "image": ["a.jpg"]}, FOUND),
        ({"@type": "Article", "image": {"url": {"@id": "a.jpg"}}}, FOUND),
        ({**OBJECT, "name": "n", "caption": " c "}, StructuredImage("a.jpg", "c")),
        ({**OBJECT, "name": "n", "description": ["", "d"]}, StructuredImage("a.jpg", "d")),
        ({**OBJECT, "name": {"@value": "n", "@language": "cs"}}, StructuredImage("a.jpg", "n")),
        ({**OBJECT, "caption": "A &amp; B", "name": 3}, StructuredImage("a.jpg", "A & B")),
        ({**OBJECT, "license": {"@id": "by"}}, StructuredImage("a.jpg", None, "by")),
    ],
)
def test_an_image_is_found_wherever_it_is_named(data, found):
    assert structured_images(json.dumps(data)) == [found]


@pytest.mark.parametrize(
    "data",
    [
        {},
        None,
        "a.jpg",
        {"@type": "Article", "url": "page", "name": "n"},
        {"@type": "VideoObject", "contentUrl": "a.mp4", "thumbnailUrl": "a.jpg"},
        {"@type": "ImageGallery", "url": "page"},
        {"@type": "Article", "image": {"@id": "#primaryimage"}},
        {"@type": "ImageObject", "caption": "no address"},
        {"@type": {"odd": 1}, "contentUrl": "a.jpg"},
        {"@type": "Article", "image": ["", None, 3, {"url": " "}]},
    ],
)
def test_what_names_no_image_gives_none(data):
    assert structured_images(json.dumps(data)) == []


def test_images_come_in_the_order_of_the_script():
    data = {"image": ["a", {"url": "b"}], "x": {"@type": "ImageObject", "url": "c"}, "y": [OBJECT]}
    assert [image.url for image in structured_images(json.dumps(data))] == ["a", "b", "c", "a.jpg"]


@pytest.mark.parametrize(
    "script",
    [
        '{"image": "a.jpg", "text": "two\nlines\tof"}',
        '\n<!--\n{"image": "a.jpg"}\n-->',
        '//<![CDATA[\n{"image": "a.jpg"}\n//]]>',
        '/*<![CDATA[*/{"image": "a.jpg"};/*]]>*/',
    ],
)
def test_habits_of_content_management_systems_are_read(script):
    assert structured_images(script) == [FOUND]


@pytest.mark.parametrize(
    "script",
    [
        "",
        "{",
        '{"image": "a.jpg",}',
        '{"image": "a.jpg"} {"image": "b.jpg"}',
        "var a = {};",
        "[" * 100_000,
        '{"image": ' * 100_000,
        "[" + "1," * 30_000 + "1]",
        '{"a": "' + "x" * 1_000_000 + '"}',
        "1" * 100_000,
    ],
)
def test_what_is_no_json_or_too_much_is_an_error(script):
    with pytest.raises(StructuredDataError):
        structured_images(script)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["@type", "@graph", "image", "url", "name", "caption", "license", "x"]),
            inner | st.just("ImageObject"),
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(JSON)
def test_any_json_gives_images_with_addresses(data):
    for image in structured_images(json.dumps(data)):
        assert image.url.strip()
