"""Recipes: what they say is done, and what nobody understands is an error that helps."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mella.builders.build import plan_build
from mella.builders.culture.archives.records import RecordsParams
from mella.builders.culture.page_list import PageListParams
from mella.builders.culture.pipeline import read_culture
from mella.builders.linguistics.pipeline import read_linguistics
from mella.builders.recipe import Recipe, RecipeError
from mella.errors import FormatError
from mella.languages import languages

CULTURE = """
source = "culture"
languages = ["th", "sr"]
[inputs]
archives = ["pages.warc"]
"""
LINGUISTICS = """
source = "linguistics"
languages = "all"
[inputs]
pool = ["images"]
captions = ["captions.jsonl"]
"""


@pytest.fixture
def folder(tmp_path):
    """A folder with something for each kind of input."""
    for name in ("pages.warc", "more.warc", "pages.txt", "captions.jsonl", "images/a.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"some bytes")
    return tmp_path


def write(folder, text):
    (folder / "recipe.toml").write_text(text, encoding="utf-8")
    return folder / "recipe.toml"


def read(folder, text):
    recipe = Recipe(write(folder, text))
    source = recipe.word("source", ("culture", "linguistics"))
    made, files, *_ = (read_culture if source == "culture" else read_linguistics)(recipe)
    return made, files


def refused(folder, text):
    """The message with which a recipe is refused, which begins with its name."""
    with pytest.raises(RecipeError) as caught:
        read(folder, text)
    assert str(caught.value).startswith(str(folder / "recipe.toml"))
    return str(caught.value)


def test_what_is_left_out_keeps_its_default(folder):
    made, files = read(folder, CULTURE)
    assert files == [(str(folder / "pages.warc"), "file")]
    assert [one.code for one in made.languages] == ["th", "sr"]
    assert made.records == RecordsParams()
    assert made.text.scripts == ("Thai", "Cyrl", "Latn")
    assert made.shards.source == "culture"


def test_what_is_said_is_done_at_every_level(folder):
    made, _ = read(
        folder,
        CULTURE
        + '[text]\nmin_by_script = [["Thai", 7]]\n[images]\nfetch = true\n[images.rules]\n'
        + "max_aspect = 2\n[fetch]\ncontact = 'me@example.org'\n[split]\ntest = 0.5\n"
        + "[shards]\nmax_bytes = 1_000\nmin_bytes = 10\n",
    )
    assert made.text.min_by_script == (("Thai", 7),)
    assert made.images.fetch
    assert made.images.rules.max_aspect == 2.0
    assert made.images.fetch_params.contact == "me@example.org"
    assert (made.split.test, made.split.validation) == (0.5, 0.01)
    assert made.shards.max_bytes == 1000


def test_a_recipe_of_the_other_source(folder):
    made, inputs = read(folder, LINGUISTICS + "[checks]\nmin_graphemes = 3\n[split]\ntest = 0.1\n")
    assert made.checks.min_graphemes == 3
    assert made.split.test == 0.1
    assert inputs == [(folder / "images", "folder"), (folder / "captions.jsonl", "captions")]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("langauges = 'all'\n" + CULTURE, "unknown key 'langauges'. Did you mean 'languages'?"),
        (CULTURE + "[imags]\n", "unknown key 'imags'. Did you mean 'images'?"),
        (CULTURE + "archive = 1", "[inputs]: unknown key 'archive'. Did you mean 'archives'?"),
        (CULTURE + "[text]\nmin_grapheme = 3", "[text]: unknown key 'min_grapheme'. Did you mean"),
        (
            CULTURE + "[images.rules]\nminside = 3",
            "[images.rules]: unknown key 'minside'. Did you mean 'min_side'?",
        ),
        (CULTURE + "[images.rule]\n", "[images]: unknown key 'rule'. Did you mean 'rules'?"),
        (CULTURE + "[split]\nzzz = 3", "unknown key 'zzz'. Known: salt, test, validation."),
        (LINGUISTICS + "[text]\n", "unknown key 'text'."),
        (LINGUISTICS + "[images.split]\n", "[images]: unknown key 'split'."),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_known_one(folder, more, message):
    assert message in refused(folder, more)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("[text]\nmin_graphemes = '3'", "[text] min_graphemes = '3': Expected `int`, got `str`."),
        ("[text]\nmin_graphemes = 3.5", "[text] min_graphemes = 3.5: Expected `int`"),
        ("[text]\nmin_graphemes = true", "Expected `int`, got `bool`"),
        ("[text]\nmin_by_script = [['Thai']]", "min_by_script"),
        ("[images]\nfetch = 1", "[images] fetch = 1: Expected `bool`"),
        ("[images]\nrules = 3", "[images.rules] is a table, got 3."),
        ("[language]\nmin_score = nan", "[language] min_score = nan: Expected a number."),
        ("[images.rules]\nmax_aspect = nan", "[images.rules] max_aspect = nan"),
        ("[split]\ntest = 2", "[split]: validation=0.01 and test=2.0 must be shares"),
        ("[shards]\nmax_bytes = 0", "[shards]: min_bytes=100000000 and max_bytes=0 must be"),
    ],
)
def test_a_wrong_value_is_named_with_its_place(folder, more, message):
    assert message in refused(folder, CULTURE + more)


@pytest.mark.parametrize(
    ("recipe", "more", "name"),
    [
        (CULTURE, "[language]\nlanguages = ['cs']", "[language] languages"),
        (CULTURE, "[text]\nscripts = ['Latn']", "[text] scripts"),
        (CULTURE, "[shards]\nsource = 'linguistics'", "[shards] source"),
        (CULTURE, "[images.fetch_params]\ntimeout_s = 3", "[images] fetch_params"),
        (CULTURE, "[page_lists.fetch_params]\ntimeout_s = 3", "[page_lists] fetch_params"),
        (LINGUISTICS, "[checks]\nlanguages = ['cs']", "[checks] languages"),
        (LINGUISTICS, "[shards]\nsource = 'culture'", "[shards] source"),
    ],
)
def test_what_follows_from_other_parts_cannot_be_set(folder, recipe, more, name):
    message = refused(folder, recipe + more)
    assert f"{name} follows from what stands elsewhere in the recipe" in message


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", 'languages is "all" or a list of codes such as ["sr", "th"]; got None.'),
        ("languages = 'sr'", "got 'sr'"),
        ("languages = []", "got []"),
        ("languages = [['sr']]", "got [['sr']]"),
        ("languages = [3]", "got [3]"),
        ("languages = ['sr', 'tj']", "languages: Unknown language 'tj'."),
    ],
)
def test_languages_are_all_or_a_list_of_codes(folder, line, message):
    assert message in refused(folder, CULTURE.replace('languages = ["th", "sr"]', line))


def test_all_languages_are_meant_by_all(folder):
    made, _ = read(folder, CULTURE.replace('["th", "sr"]', '"all"'))
    assert made.languages == tuple(languages().values())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "source is one of culture, linguistics; got nothing."),
        ("source = 'cultures'", "got 'cultures'. Did you mean 'culture'?"),
        ("source = ['culture']", "got ['culture']."),
    ],
)
def test_the_source_is_one_of_two(folder, line, message):
    assert message in refused(folder, CULTURE.replace('source = "culture"', line))


@dataclass(frozen=True)
class Needs:
    """Parameters of which some have no default."""

    least: int
    most: int
    names: tuple[str, ...] = field(default_factory=tuple)


def test_a_value_that_is_required_is_missed(folder):
    recipe = Recipe(write(folder, "[needs]\nmost = 3\n"))
    with pytest.raises(RecipeError, match=r"\[needs\] lacks least\."):
        recipe.table("needs", Needs)
    assert recipe.table("needs", Needs, {"least": 1}) == Needs(1, 3)


# Inputs


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("", "[inputs] names either archives or page_lists"),
        ("archives = []", "[inputs] names either archives or page_lists"),
        ("archives = ['pages.warc']\npage_lists = ['pages.txt']", "either archives or page_lists"),
        ("archives = 'pages.warc'", "Expected `array`, got `str`"),
        ("archives = [1]", "Expected `str`, got `int`"),
        ("archives = ['gone.warc']", "'gone.warc': there is no such file. Correct the path."),
        ("archives = ['*.wacz']", "'*.wacz': there is no such file."),
        ("archives = ['images']", "images is not a file"),
        ("archives = ['']", "is not a file"),
        ("archives = ['a**b']", "'a**b' is no path: Invalid pattern"),
        ("archives = ['~nobody-of-this-name/a']", "is no path: "),
        ("archives = ['a\\u0000b']", "there is no such file"),
    ],
)
def test_inputs_that_are_none_are_refused(folder, lines, message):
    assert message in refused(folder, CULTURE.replace('archives = ["pages.warc"]', lines))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("pool = ['images']", "[inputs] names a pool of images and captions"),
        ("captions = ['captions.jsonl']", "[inputs] names a pool of images and captions"),
        ("pool = ['images/a.jpg']\ncaptions = ['captions.jsonl']", "a.jpg is not a folder"),
        ("pool = ['images']\ncaptions = ['images']", "images is not a file"),
        ("pool = ['gone']\ncaptions = ['captions.jsonl']", "'gone': there is no such folder"),
    ],
)
def test_a_pool_is_a_folder_and_captions_are_files(folder, lines, message):
    recipe = LINGUISTICS.partition("pool")[0] + lines
    assert message in refused(folder, recipe)


def files(folder, *patterns):
    return Recipe(write(folder, "")).files(patterns)


def test_paths_are_relative_to_the_recipe_and_patterns_name_files(folder, monkeypatch, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "crawl.warc").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    both = [folder / "more.warc", folder / "pages.warc"]
    assert files(folder, "*.warc") == both  # sorted, and not the folder
    assert files(folder, "pages.warc", "*.warc") == both[::-1]
    assert files(folder, str(folder / "*.warc")) == both
    assert files(folder, f"../{folder.name}/p*.warc", "elsewhere/../pages.warc") == [
        folder / "pages.warc"
    ]
    assert files(folder, "**/a.jpg") == [folder / "images/a.jpg"]
    assert files(Path("..") / "elsewhere" / "..", "more.warc") == [folder / "more.warc"]


def test_the_home_folder_may_be_meant(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    assert files(folder, "~/pages.warc") == [folder / "pages.warc"]


def test_brackets_may_stand_in_names_and_in_the_folder_of_the_recipe(folder):
    inner = folder / "crawl [2024]"
    inner.mkdir()
    for name in ("a[1].warc", "a1.warc", "b.warc"):
        (inner / name).touch()
    assert files(inner, "a[1].warc") == [inner / "a[1].warc"]
    assert files(inner, "[ab]*.warc") == [inner / n for n in ("a1.warc", "a[1].warc", "b.warc")]


def test_a_link_to_a_file_keeps_its_name(folder):
    (folder / "blobs").mkdir()
    (folder / "blobs/0123").touch()
    (folder / "captions.parquet").symlink_to(folder / "blobs/0123")
    assert files(folder, "*.parquet") == [folder / "captions.parquet"]


# What is no recipe


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"source = culture", "is not a recipe in TOML"),
        (b"source = 'cultur\xe9'", "is not a recipe in TOML"),
        (b"\x00", "is not a recipe in TOML"),
        (b"[text]\n[text]\n", "is not a recipe in TOML"),
    ],
)
def test_a_file_that_is_not_toml(tmp_path, content, message):
    (tmp_path / "a.toml").write_bytes(content)
    with pytest.raises(RecipeError, match=message):
        Recipe(tmp_path / "a.toml")


def test_there_is_no_such_file_or_it_is_a_folder(tmp_path):
    with pytest.raises(RecipeError, match=r"There is no recipe .*a\.toml"):
        Recipe(tmp_path / "a.toml")
    with pytest.raises(RecipeError, match="is a folder"):
        Recipe(tmp_path)


def test_a_byte_order_mark_is_no_part_of_it(folder):
    (folder / "recipe.toml").write_bytes(b"\xef\xbb\xbf" + CULTURE.encode())
    assert Recipe(folder / "recipe.toml").text == CULTURE


@given(st.binary(max_size=100))
def test_any_bytes_are_a_recipe_or_an_error_that_says_so(tmp_path_factory, content):
    file = tmp_path_factory.mktemp("any") / "a.toml"
    file.write_bytes(content)
    try:
        Recipe(file).end()
    except RecipeError as error:
        assert str(file) in str(error)  # noqa: PT017  (most bytes are none, some are)


# The plan of a build


def plan(folder, text, work="work"):
    return plan_build(write(folder, text), folder / work)


def keys(build):
    return [stage.key for stage in build.stages()]


def test_a_build_is_the_same_wherever_its_inputs_lie_but_its_stages_are_not(folder, tmp_path):
    one = plan(folder, CULTURE)
    (tmp_path / "moved").mkdir()
    os.link(folder / "pages.warc", tmp_path / "moved/pages.warc")
    other = plan(tmp_path / "moved", CULTURE)
    assert other.about.build == one.about.build
    assert keys(other) != keys(one)  # they hold paths of images


def test_another_input_or_parameter_makes_another_build(folder):
    builds = [
        plan(folder, CULTURE),
        plan(folder, CULTURE + "[text]\nmin_graphemes = 3"),
        plan(folder, CULTURE.replace("pages.warc", "*.warc")),
        plan(folder, CULTURE.replace('"th", ', "")),
    ]
    (folder / "pages.warc").write_bytes(b"other bytes")
    builds.append(plan(folder, CULTURE))
    assert len({build.about.build for build in builds}) == len(builds)


def test_a_comment_does_not_make_another_build(folder):
    one, other = plan(folder, CULTURE), plan(folder, CULTURE + "# a comment\n[text]\n")
    assert other.about.build == one.about.build
    assert keys(other) == keys(one)
    assert other.about.recipe != one.about.recipe


def test_a_changed_threshold_changes_only_the_steps_that_depend_on_it(folder):
    one, other = plan(folder, CULTURE), plan(folder, CULTURE + "[split]\ntest = 0.5")
    same = [stage.name for stage in one.stages() if stage in other.stages()]
    names = [stage.name for stage in one.stages()]
    assert same == names[: names.index("split")]
    assert same[-1] == "cut"


def test_inputs_of_one_name_are_told_apart_by_their_folders(folder):
    for name in ("a/x", "b/x"):
        (folder / name).mkdir(parents=True)
        (folder / name / "pages.warc").touch()
    build = plan(folder, CULTURE.replace("pages.warc", "?/x/pages.warc"))
    assert build.pipeline.inputs["name"].to_pylist() == ["a/x/pages.warc", "b/x/pages.warc"]
    build = plan(folder, CULTURE.replace("pages.warc", "*.warc"))
    assert build.pipeline.inputs["name"].to_pylist() == ["more.warc", "pages.warc"]


def test_images_need_no_words_of_their_own_where_those_around_will_do(folder):
    made, _ = read(folder, CULTURE)
    assert made.candidates.own_text
    made, _ = read(folder, CULTURE + "[text]\norigins = ['alt', 'paragraph']")
    assert not made.candidates.own_text


def test_the_store_of_answers_lies_beside_the_recipe(folder):
    made, _ = read(folder, CULTURE + "[fetch]\nstore = 'answers'")
    assert made.images.fetch_params.store == str(folder / "answers")


def test_a_list_of_pages_needs_leave_to_fetch_and_a_contact(folder):
    recipe = CULTURE.replace('archives = ["pages.warc"]', "page_lists = ['pages.txt']")
    contact = "[fetch]\ncontact = 'https://example.org/bot'\n"
    assert "[images] lacks fetch = true" in refused(folder, recipe + contact)
    assert "[fetch] lacks contact" in refused(folder, recipe + "[images]\nfetch = true\n")
    made, files = read(folder, recipe + contact + "[images]\nfetch = true\n")
    assert isinstance(made.records, PageListParams)
    assert made.records.fetch_params == made.images.fetch_params
    assert files == [(str(folder / "pages.txt"), "file")]
    assert plan(folder, recipe + contact + "[images]\nfetch = true\n").stages()


def test_a_pool_with_a_manifest_of_something_else_is_refused(folder):
    (folder / "images/manifest.json").write_text('{"name": "a web app"}')
    with pytest.raises(FormatError, match="not the manifest of a mella repository"):
        plan(folder, LINGUISTICS)


@pytest.mark.parametrize(
    ("table", "line"),
    [
        ("fetch", "connections = 0"),
        ("fetch", "per_host_connections = 0"),
        ("fetch", "retries = -1"),
        ("fetch", "max_redirects = -1"),
        ("fetch", "timeout_s = 0"),
        ("images.rules", "min_side = -5"),
        ("text", "min_graphemes = -2"),
        ("candidates", "page_text_chars = -1"),
        ("records", "max_damage = 0"),
    ],
)
def test_a_number_that_cannot_be_meant_is_refused(folder, table, line):
    message = refused(folder, f"{CULTURE}\n[{table}]\n{line}")
    assert f"[{table}]" in message
    assert "or more" in message


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("[language]\nprior_sure = 1", "more than 0 and less than 1"),
        ("[language]\nmin_score = 3", "from 0 to 1"),
        ("[language]\nfull_letters = 0", "1 or more"),
        ("[images]\nmax_per_host = -1", "1 or more"),
        ("[cuts]\nbytes = { least = inf }", "would cut every row"),
    ],
)
def test_numbers_that_make_no_sense_are_errors_at_once(folder, table, message):
    assert message in refused(folder, CULTURE + table + "\n")


def test_addresses_that_differ_by_their_scheme_alone_are_two_inputs(folder):
    path = folder / "crawl.toml"
    path.write_text(
        'source = "culture"\nlanguages = ["th"]\n[images]\nfetch = true\n'
        "[fetch]\ncontact = 'me@example.org'\n[inputs]\ncommon_crawl = "
        '["http://h/x.parquet", "https://h/x.parquet", "http://h/x.parquet"]\n'
    )
    inputs = plan_build(path, folder / "work").pipeline.inputs
    assert inputs["kind"].to_pylist() == ["url", "url"]
    assert len({*inputs["name"].to_pylist()}) == 2
