"""The perceptual hash: near for what looks alike, far for what does not, and honest if flat."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance

from mella.builders.culture.images.phash import perceptual_hash, says_enough, to_numbers, to_text
from mella.builders.curate.clusters import ClustersParams
from pictures import load, picture, save

NEAR = ClustersParams().max_distance
LEAST = ClustersParams().min_bits
PICTURES = [picture(size=(800, 600), seed=seed) for seed in range(40)]


def distance(a, b):
    return (int(a, 16) ^ int(b, 16)).bit_count()


def again(image, quality=75):
    return load(save(image, "JPEG", quality=quality))


def cut(share):
    def change(image):
        width, height = image.size
        edge = (round(share * width), round(share * height))
        return image.crop((*edge, width - edge[0], height - edge[1]))

    return change


ALIKE = {
    "compressed": lambda image: again(image, 40),
    "compressed to ruin": lambda image: again(image, 10),
    "small": lambda image: again(image.resize((200, 150))),
    "squeezed": lambda image: again(image.resize((300, 400))),
    "brighter": lambda image: again(image.point(lambda v: min(255, v + 20))),
    "paler": lambda image: again(image.point(lambda v: 60 + v // 2)),
    "sharper": lambda image: again(ImageEnhance.Sharpness(image).enhance(3)),
    "cut by one percent at each side": cut(0.01),
}


@pytest.mark.parametrize("change", ALIKE.values(), ids=ALIKE.keys())
def test_what_looks_alike_is_near(change):
    found = [distance(perceptual_hash(one), perceptual_hash(change(one))) for one in PICTURES]
    assert np.mean(np.array(found) <= NEAR) >= 0.95
    assert max(found) <= 2 * NEAR


def test_what_is_different_is_far():
    hashes = [perceptual_hash(one) for one in PICTURES]
    found = [distance(a, b) for number, a in enumerate(hashes) for b in hashes[:number]]
    assert min(found) > 2 * NEAR
    assert 28 < np.mean(found) < 36


def test_a_mirrored_and_a_turned_picture_are_others():
    for one in PICTURES:
        for turn in (Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180):
            assert distance(perceptual_hash(one), perceptual_hash(one.transpose(turn))) > 2 * NEAR


def test_a_picture_that_differs_in_colour_alone_is_another():
    found = []
    for one in PICTURES:
        brightness, blue, red = one.convert("YCbCr").split()
        other = Image.merge("YCbCr", (brightness, red, blue)).convert("RGB")
        found.append(distance(perceptual_hash(one), perceptual_hash(other)))
    assert np.median(found) > NEAR
    # Half of the 16 bits of colour differ, and few others: not all such colours can be shown.
    assert np.mean(found) < 14


def test_the_hash_is_made_of_the_lowest_frequencies():
    # One wave of two periods along the width: it is the only frequency above noise.
    at = (np.arange(32) + 0.5) / 32
    wave = 127 + 100 * np.cos(4 * np.pi * at)
    image = Image.fromarray(np.tile(wave.round().astype(np.uint8), (32, 1)))
    # By their squares the frequencies stand in the order 1 1 2 4 4 5 5 8 9 9 10 10 13 13 16 16.
    assert perceptual_hash(image) == "0002" + 12 * "0"
    assert perceptual_hash(image.transpose(Image.Transpose.ROTATE_90)) == "0001" + 12 * "0"


def flat(seed):
    """A sign on white, a gradient, three stripes, or a little noise."""
    chance = np.random.default_rng(seed)
    image = Image.new("RGB", (600, 400), "white")
    if seed % 4 == 0:
        ImageDraw.Draw(image).ellipse((250, 150, 350, 250), fill=tuple(chance.integers(0, 200, 3)))
    elif seed % 4 == 1:
        strength = int(chance.integers(10, 60))
        image = Image.linear_gradient("L").resize((600, 400)).point(lambda v: v * strength // 100)
    elif seed % 4 == 2:
        for stripe in range(3):
            colour = tuple(chance.integers(0, 256, 3).tolist())
            image.paste(colour, (0, stripe * 133, 600, 400))
    else:
        image = Image.fromarray(chance.integers(100, 104, (400, 600, 3)).astype(np.uint8))
    return image.convert("RGB")


def test_a_flat_picture_says_that_it_says_little():
    hashes = to_numbers([perceptual_hash(again(flat(seed))) for seed in range(80)])
    assert not says_enough(hashes, LEAST).any()
    hashes = to_numbers([perceptual_hash(one) for one in PICTURES])
    assert says_enough(hashes, LEAST).all()


def test_the_hash_of_a_flat_picture_does_not_hang_on_its_compression():
    for seed in range(40):
        image = flat(seed)
        small = again(image.resize((300, 200)), 60)
        assert distance(perceptual_hash(again(image, 90)), perceptual_hash(small)) <= NEAR


def test_hashes_are_numbers_and_back():
    texts = ["0000000000000001", "8000000000000000", "ffffffffffffffff"]
    numbers = to_numbers(texts)
    assert numbers.tolist() == [1, 1 << 63, (1 << 64) - 1]
    assert [to_text(one) for one in numbers.tolist()] == texts
    assert len(to_numbers([])) == 0


@pytest.mark.parametrize("wrong", ["", "12", "0" * 17, "g" * 16])
def test_what_is_no_hash_is_refused(wrong):
    with pytest.raises(ValueError, match="hex"):
        to_numbers(["0" * 16, wrong])


def test_only_bits_of_brightness_say_something():
    hashes = to_numbers(["000000000000ffff", "fff0000000000000", "ffe000000000ffff"])
    assert says_enough(hashes, 12).tolist() == [False, True, False]
