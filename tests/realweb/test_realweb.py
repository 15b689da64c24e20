"""The main job on real web pages: packages -> sites -> wget -> archives -> shards -> load_mella.

Needs apt and its network; skipped without, except where MELLA_REQUIRE_REALWEB=1.
"""

import io
import json
import os
import random
import re
import tarfile
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
import webdataset
from debian_packages import DebianPackages, NoPackagesError
from mirror import Mirror
from PIL import Image
from real_build import RealBuild, build, difference, images_of, mella_build, sha256
from real_sites import DOMAINS, PACKAGES, STARTS, folders
from warcio.archiveiterator import ArchiveIterator
from wget_crawl import crawl

from mella.languages import get_language
from mella.schema import METADATA

# Measured: ru 897, cs 108, ar 41, hu 14, vi 13, ko 2.
FEWEST = {"ar": 35, "cs": 95, "hu": 12, "ko": 2, "ru": 850, "vi": 11}
SCRIPT_NAMES = {"Arab": "ARABIC", "Cyrl": "CYRILLIC", "Hang": "HANGUL", "Latn": "LATIN"}
# What carries the reader around, or marks a paragraph, and shows nothing.
DECORATION = re.compile(
    r".*/(?:Common_Content/.*|i_[a-z_]+\.png|(?:images/)?(?:next|prev|home|up|note|tip|warning|"
    r"caution|important|callouts/.*|gimp-org)\.png)"
)
KNOWN = (
    ("ar", "developers-map.png", "توزُّع مطوري دبيان حول العالم"),
    ("cs", "TagValidator.png", "Okno Ověření tagů"),
    ("cs", "toolbox-wand.png", "Ikona kouzelné hůlky v Panelu nástrojů."),
    ("hu", "TextSearch.png", "Szövegkeresés ablaka"),
    ("ko", "ss_mainterms.png", "바이블타임 응용 창"),
    ("ru", "light-taj-drop-shadow-2.jpg", "Пример применения фильтра «Падающая тень»"),
    ("ru", "inst-country.png", "Выбор страны"),
    ("vi", "existing-setup-2.png", "Sao lưu cơ sở dữ liệu"),
)


@pytest.fixture(scope="module")
def debian(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> DebianPackages:
    kept = pytestconfig.cache
    return DebianPackages(kept.mkdir("realweb") if kept else tmp_path_factory.mktemp("packages"))


@pytest.fixture(scope="module")
def packages(debian: DebianPackages) -> dict[str, Path]:
    try:
        return debian.unpack(*PACKAGES)
    except NoPackagesError as error:
        if os.environ.get("MELLA_REQUIRE_REALWEB") == "1":
            pytest.fail(f"MELLA_REQUIRE_REALWEB=1, but there are no packages. {error}")
        pytest.skip(f"No Debian packages to be had: {error}")


@pytest.fixture(scope="module")
def mirror(packages: dict[str, Path]) -> Iterator[Mirror]:
    with Mirror(folders(packages)) as mirror:
        yield mirror


@pytest.fixture(scope="module")
def archives(
    debian: DebianPackages, mirror: Mirror, tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    warc = tmp_path_factory.mktemp("crawl") / "web"
    return crawl(debian.program("wget"), STARTS, mirror.address, warc)


@pytest.fixture(scope="module")
def built(archives: list[Path], tmp_path_factory: pytest.TempPathFactory) -> RealBuild:
    return build(tmp_path_factory.mktemp("build") / "first", archives)


def test_every_response_of_the_archives_is_accounted_for(
    archives: list[Path], built: RealBuild
) -> None:
    kinds = ("response", "resource", "revisit")
    responses = pages = images = 0
    for archive in archives:
        with archive.open("rb") as file:
            for record in ArchiveIterator(file):
                responses += record.rec_type in kinds
                if record.rec_type != "response" or record.http_headers.get_statuscode() != "200":
                    continue
                if "html" in record.http_headers.get_header("Content-Type"):
                    pages += 1
                    images += len(re.findall(rb"<img\b", record.content_stream().read()))
    levels = {level["unit"]: level["rows"] for level in built.said["levels"]}
    assert pages > 2000
    assert levels["records"] == responses
    assert levels["candidates"] == images


def test_every_level_of_the_funnel_sums_to_the_whole(built: RealBuild) -> None:
    levels = built.said["levels"]
    assert [level["unit"] for level in levels] == ["records", "candidates", "images", "samples"]
    for level in levels:
        counts = [reject["rows"] for reject in level["rejects"]]
        assert min(counts, default=1) > 0
        assert level["rows"] == level["kept"] + sum(counts)
    assert levels[1]["kept"] == levels[2]["rows"]
    assert levels[2]["kept"] == levels[3]["rows"] == sum(map(len, built.rows.values()))


def test_the_funnel_command_tells_the_same(built: RealBuild) -> None:
    said = mella_build("funnel", "culture.toml", "--json", folder=built.folder)
    assert json.loads(said) == built.said["levels"]


def test_faults_of_the_real_web_are_named(built: RealBuild) -> None:
    assert built.rejects("records").keys() >= {"http_status:404", "record:scheme"}
    candidates = built.rejects("candidates")
    assert candidates.keys() >= {"candidate:no_text", "candidate:repeated", "text:boilerplate"}
    assert candidates["language:other:en"] > 1000
    assert candidates["language:other:fa"] > 20
    assert built.rejects("images")["image:too_small"] > 100
    assert "image:not_found" not in built.rejects("images")


def test_enough_pairs_come_out_and_none_in_a_language_that_is_not_there(built: RealBuild) -> None:
    counts = {lang: len(rows) for lang, rows in built.rows.items()}
    assert counts.keys() == FEWEST.keys()
    assert {lang: n for lang, n in counts.items() if n < FEWEST[lang]} == {}


def test_known_pairs_are_among_them(built: RealBuild) -> None:
    pairs = {
        (lang, row["image_url"].rpartition("/")[2], row["text"])
        for lang, rows in built.rows.items()
        for row in rows
    }
    assert set(KNOWN) - pairs == set()


def test_every_text_stands_beside_its_image_on_its_page(built: RealBuild, mirror: Mirror) -> None:
    pages: dict[str, set[tuple[str, str]]] = {}
    for row in (row for rows in built.rows.values() for row in rows):
        url = row["page_url"]
        if url not in pages:
            page = mirror.find(url)
            assert page is not None
            pages[url] = images_of(page, url)
        assert (row["image_url"], row["text"]) in pages[url]


def test_every_image_is_the_one_of_its_address(built: RealBuild, mirror: Mirror) -> None:
    rows = [row for rows in built.rows.values() for row in rows]
    for row in random.Random(5).sample(rows, 60):
        original = mirror.find(row["image_url"])
        assert original is not None
        assert difference(row["image"], original) < 3, row["image_url"]


def test_texts_are_in_the_script_of_their_language(built: RealBuild) -> None:
    for lang, rows in built.rows.items():
        for row in rows:
            assert row["script"] in get_language(lang).scripts
            name = SCRIPT_NAMES[row["script"]]
            letters = [char for char in row["text"] if char.isalpha()]
            native = sum(unicodedata.name(char).startswith(name) for char in letters)
            assert 2 * native >= len(letters), row["text"]
            assert row["text"] == unicodedata.normalize("NFC", row["text"]).strip()


def test_what_was_left_untranslated_is_in_no_other_language(
    built: RealBuild, packages: dict[str, Path]
) -> None:
    english = packages["debian-handbook"] / "usr/share/doc/debian-handbook/html/en-US"
    texts = {
        text for page in english.glob("*.html") for _, text in images_of(page, "http://h/") if text
    }
    assert len(texts) > 40
    kept = {row["text"] for rows in built.rows.values() for row in rows}
    assert kept & texts == set()


def test_no_navigation_no_sign_no_logo_comes_through(
    archives: list[Path], built: RealBuild
) -> None:
    crawled: set[str] = set()
    for archive in archives:
        with archive.open("rb") as file:
            crawled |= {
                record.rec_headers.get_header("WARC-Target-URI").strip("<>")
                for record in ArchiveIterator(file)
                if record.rec_type == "response"
            }
    assert sum(1 for url in crawled if DECORATION.fullmatch(url)) > 50
    kept = {row["image_url"] for rows in built.rows.values() for row in rows}
    assert {url for url in kept if DECORATION.fullmatch(url)} == set()
    words = {"next", "prev", "previous", "home", "up", "след", "пред", "наверх", "начало", "další"}
    words |= {"předcházející", "domů", "nahoru", "примечание", "poznámka", "подсказка", "tip"}
    texts = {row["text"] for rows in built.rows.values() for row in rows}
    assert {text for text in texts if text.strip("[]. ").casefold() in words} == set()


def test_every_column_of_every_sample_is_sane(built: RealBuild) -> None:
    keys = [row["key"] for rows in built.rows.values() for row in rows]
    assert len(keys) == len(set(keys))
    for lang, rows in built.rows.items():
        for row in rows:
            assert row.keys() == {"image", *METADATA.names}
            assert (row["lang"], row["source"]) == (lang, "culture")
            assert row["domain"] in DOMAINS
            assert row["text_origin"] in {"alt", "figcaption", "title"}
            assert 0.5 <= row["language_score"] <= 1
            assert row["build"] == built.said["build"]
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", row["collected_at"])
            assert re.fullmatch("[0-9a-f]{16}", row["phash"])
            assert row["original_format"] in {"png", "jpeg"}
            image = row["image"]
            assert (row["bytes"], row["sha256"]) == (len(image), sha256(image))
            with Image.open(io.BytesIO(image)) as opened:
                assert opened.format == "JPEG"
                assert opened.size == (row["width"], row["height"])
                assert min(opened.size) >= 150
            assert {row[name] for name in ("text_en", "captioner", "translator")} == {None}


def test_every_tar_opens_in_tarfile_and_webdataset(built: RealBuild) -> None:
    assert len(built.manifest.shards) >= len(FEWEST)
    for shard in built.manifest.shards:
        path = built.data / shard.path
        assert (path.stat().st_size, sha256(path.read_bytes())) == (shard.bytes, shard.sha256)
        with tarfile.open(path) as tar:
            endings = [name.partition(".")[2] for name in tar.getnames()]
        assert endings == ["jpg", "txt", "json"] * shard.samples
        samples = list(webdataset.WebDataset(str(path), shardshuffle=False).decode("pil"))
        by_key = {row["key"]: row for row in built.rows[shard.lang]}
        assert len(samples) == shard.samples
        for sample in samples:
            row = by_key[sample["__key__"]]
            assert (sample["txt"], sample["json"]["text"]) == (row["text"], row["text"])
            assert sample["jpg"].size == (row["width"], row["height"])


def test_the_same_archives_make_the_same_bytes_elsewhere(
    archives: list[Path], built: RealBuild, tmp_path: Path
) -> None:
    again = build(tmp_path / "second", archives, "--workers", "1")
    assert again.said["levels"] == built.said["levels"]
    for entry in (*built.manifest.shards, *built.manifest.indexes):
        assert (again.data / entry.path).read_bytes() == (built.data / entry.path).read_bytes()
    assert again.manifest == built.manifest


def test_a_second_crawl_that_only_refers_to_the_first_changes_nothing(
    debian: DebianPackages, mirror: Mirror, built: RealBuild, tmp_path: Path
) -> None:
    starts = [start for start in STARTS if "bibletime.info" in start]
    wget = debian.unpacked_program("wget")  # as on a bare machine
    first = crawl(wget, starts, mirror.address, tmp_path / "crawl" / "first")
    seen = tmp_path / "crawl" / "first.cdx"
    second = crawl(wget, starts, mirror.address, tmp_path / "crawl" / "second", seen=seen)
    both = build(tmp_path / "both", [*first, *second])
    assert both.rejects("records")["record:revisit"] > 50

    def pairs(one: RealBuild) -> set[tuple[str, str, str]]:
        return {
            (lang, row["sha256"], row["text"])
            for lang, rows in one.rows.items()
            for row in rows
            if row["domain"] == "bibletime.info"
        }

    assert pairs(both) == pairs(built)
    assert len(pairs(both)) > 5
