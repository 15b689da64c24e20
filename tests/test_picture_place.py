"""Where a picture was taken is never kept, in whatever format and place a file says so."""

import pytest
from PIL import Image

from mella.builders.culture.images.picture import ImageRules, StoredImage, normalise_image
from pictures import load, picture, save

_GPS, _EXIF, _ORIENTATION = 0x8825, 0x8769, 0x0112
XMP = b"<x:xmpmeta><rdf:li exif:GPSLatitude='50,5.25N'/></x:xmpmeta>"


def located(orientation):
    """EXIF as telephones write it: place, time, maker, a number of the device."""
    tags = Image.Exif()
    tags[_ORIENTATION] = orientation
    tags[0x010F] = "Telephone"
    tags.get_ifd(_GPS).update({1: "N", 2: (50.0, 5.0, 15.0), 3: "E", 4: (14.0, 25.0, 30.0)})
    tags.get_ifd(_EXIF).update({0x9003: "2026:06:01 10:00:00", 0xA431: "SERIAL-4711"})
    return tags


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_the_place_is_not_kept(kind, orientation):
    options = {"xmp": XMP} if kind in ("JPEG", "WEBP") else {}
    data = save(picture(), kind, exif=located(orientation).tobytes(), **options)
    before = load(data).getexif()
    assert before.get_ifd(_GPS)[2] == (50.0, 5.0, 15.0)
    made = normalise_image(data, ImageRules())
    assert isinstance(made, StoredImage)
    after = load(made.data).getexif()
    assert set(after) <= {_ORIENTATION}
    assert not after.get_ifd(_GPS)
    assert not after.get_ifd(_EXIF)
    for secret in (b"Telephone", b"SERIAL", b"2026:06:01", b"GPSLatitude"):
        assert secret not in made.data
