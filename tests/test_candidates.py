"""Candidates: every image of a page, its address, its words, in whatever bytes they come."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mella.builders.culture.pages.candidates import (
    CANDIDATES,
    CandidatesParams,
    candidates_step,
)
from mella.builders.culture.pages.charset import decode_page

PAGE_URL = "https://www.muzeum.example.cz/a/b.html?q=1"


@pytest.fixture(scope="module")
def suffixes():
    step = candidates_step(CandidatesParams())
    assert step.setup is not None
    return step.setup(step.params, None)


@pytest.fixture
def find(suffixes):
    def find_in(body, params=None, **record):
        page = {"kind": "page", "url": PAGE_URL, "collected_at": "2024-01-02T03:04:05Z", **record}
        page["body"] = body.encode() if isinstance(body, str) else body
        return candidates(page, suffixes, params)

    return find_in


def candidates(record, suffixes, params=None):
    step = candidates_step(params or CandidatesParams())
    table = pa.Table.from_pylist([record], schema=step.reads)
    return [row for part in step.apply(table, suffixes) for row in part.to_pylist()]


def test_one_image_with_all_that_the_page_says_of_it(find):
    (row,) = find(
        """<!doctype html><html lang="cs_CZ"><head><title>T</title><style>p{}</style></head>
        <body><script>var a;</script><noscript>off</noscript><h1>Pražský  hrad</h1><p>v <b>z</b>imě
        <figure><img src="hrad.jpg#top" alt=" Hrad&nbsp;v zimě " title="Hrad" width="640px"
        height=480><figcaption>Foto: <i>K</i>arel</figcaption></figure>
        <a rel="nofollow license" href="/by">CC</a>"""
    )
    assert len(row.pop("id")) == 32
    assert row == {
        "page_url": PAGE_URL,
        "domain": "example.cz",
        "page_lang": "cs-cz",
        "element_lang": None,
        "page_text": "Pražský hrad v zimě Foto: Karel CC",
        "ordinal": 0,
        "image_role": "img",
        "image_url": "https://www.muzeum.example.cz/a/hrad.jpg",
        "image_host": "www.muzeum.example.cz",
        "alt": "Hrad\u00a0v zimě",
        "caption": "Foto: Karel",
        "title": "Hrad",
        "aria_label": None,
        "og_alt": None,
        "structured_text": None,
        "heading": "Pražský hrad",
        "paragraph": "v zimě",
        "license": "https://www.muzeum.example.cz/by",
        "license_origin": "rel",
        "declared_width": 640,
        "declared_height": 480,
        "page_signals": [],
        "collected_at": "2024-01-02T03:04:05Z",
        "reason": None,
    }


@pytest.mark.parametrize(
    ("tag", "address"),
    [
        ('<img alt=x src="a.jpg">', "a.jpg"),
        ('<img alt=x src=" a b.jpg ">', "a%20b.jpg"),
        ('<IMG ALT=x SRC="a.jpg">', "a.jpg"),
        ('<image alt=x src="a.jpg">', "a.jpg"),
        ('<amp-img alt=x src="a.jpg"></amp-img>', "a.jpg"),
        ('<noscript><img alt=x src="a.jpg"></noscript>', "a.jpg"),
        ('<img alt=x src="blank.gif" data-src="a.jpg">', "a.jpg"),
        ('<img alt=x src="data:image/gif;base64,R0" data-original="a.jpg">', "a.jpg"),
        ('<img alt=x data-lazy-src="a.jpg">', "a.jpg"),
        ('<img alt=x src="s.jpg" srcset="a.jpg 1200w, b.jpg 300w">', "a.jpg"),
        ('<img alt=x src="s.jpg" srcset="b.jpg 300w, a.jpg 2000w, c.jpg 9000w">', "a.jpg"),
        ('<img alt=x src="s.jpg" srcset="b.jpg 1x, a.jpg 2x">', "a.jpg"),
        ('<img alt=x src="a.jpg" srcset="b.jpg, c.jpg 0.5x">', "a.jpg"),
        ('<img alt=x src="s.jpg" srcset="data:,x 9x" data-srcset="a.jpg 800w">', "a.jpg"),
        (
            '<img alt=x srcset="w_300,h_200/b.jpg 300w, w_900,h_600/a.jpg 900w">',
            "w_900,h_600/a.jpg",
        ),
        ('<picture><source srcset="a.webp 900w"><img alt=x src="b.jpg"></picture>', "a.webp"),
        (
            '<picture><source type="image/svg+xml" srcset="a.svg 9x"><img alt=x src=a></picture>',
            "a",
        ),
    ],
)
def test_the_address_of_an_image(find, tag, address):
    (row,) = find(tag)
    assert (row["image_url"], row["reason"]) == (f"https://www.muzeum.example.cz/a/{address}", None)


@pytest.mark.parametrize(
    ("tag", "reason"),
    [
        ('<img src="data:image/png;base64,AA" alt=x>', "candidate:data_uri"),
        ('<img src="blob:https://a/b" alt=x>', "candidate:scheme"),
        ('<img src="file:///etc/passwd" alt=x>', "candidate:scheme"),
        ('<img src="javascript:a()" alt=x>', "candidate:scheme"),
        ('<img src="http://[" alt=x>', "candidate:bad_url"),
        ('<img src="http://a:99999/" alt=x>', "candidate:bad_url"),
        ("<img alt=x>", "candidate:no_url"),
        ('<img src=" " alt=x>', "candidate:no_url"),
        ('<img src="a.jpg">', "candidate:no_text"),
        ('<img src="a.jpg" alt=" &#8203; " title="">', "candidate:no_text"),
    ],
)
def test_an_image_that_is_no_candidate_says_why(find, tag, reason):
    (row,) = find(tag)
    assert row["reason"] == reason


def test_the_same_image_with_the_same_words_is_kept_once(find):
    found = find("<img src=a alt=x><img src=./a#t alt=x><img src=a alt=y><img src=b alt=x>")
    assert [row["reason"] for row in found] == [None, "candidate:repeated", None, None]
    assert [row["ordinal"] for row in found] == [0, 1, 2, 3]
    assert len({row["id"] for row in found}) == 4


def test_images_over_the_limit_are_rows_still(find):
    page = "<img src=0>" + "".join(f"<img src={i} alt=x>" for i in range(1, 9))
    found = find(page, CandidatesParams(max_per_page=5))
    reasons = ["candidate:no_text", *[None] * 5, *["candidate:too_many"] * 3]
    assert [row["reason"] for row in found] == reasons
    assert all(row["image_url"] for row in found)


def test_only_pages_have_candidates_and_pages_without_images_none(find):
    assert find("<img src=a alt=x>", kind="image") == []
    assert find("<p>no picture, just 'img'</p>") == []
    assert find(None or b"") == []


def test_a_page_without_a_usable_address_is_one_row(find):
    for url in (None, "", "no address", "ftp://a/b", "http://[::"):
        (row,) = find("<img src=a alt=x><img src=b alt=x>", url=url)
        assert row["reason"] == "page:bad_url"


def test_captions_belong_to_the_nearest_figure(find):
    found = find(
        "<figure><figure><img src=a><figcaption>inner</figcaption></figure><img src=b>"
        "<img src=c><p><figcaption>outer</figcaption></figure><img src=d alt=x>"
    )
    assert [row["caption"] for row in found if row["reason"] is None][::3] == ["inner", None]
    assert found[1]["caption"] == found[2]["caption"]


def test_base_protocol_relative_and_international_addresses(find):
    found = find(
        '<base href="//cdn.пример.рф/фото/"><img src="кот.jpg?ц=1" alt=x>'
        '<img src="//b.example/%D0%B0.jpg" alt=x><img src="?only=query" alt=x>'
        '<img src="HTTP://B.Example:80\\c.jpg" alt=x>'
    )
    host = "cdn.xn--e1afmkfd.xn--p1ai"
    assert [row["image_url"] for row in found] == [
        f"https://{host}/%D1%84%D0%BE%D1%82%D0%BE/%D0%BA%D0%BE%D1%82.jpg?%D1%86=1",
        "https://b.example/%D0%B0.jpg",
        f"https://{host}/%D1%84%D0%BE%D1%82%D0%BE/?only=query",
        "http://b.example/c.jpg",
    ]
    assert {row["domain"] for row in found} == {"example.cz"}


@pytest.mark.parametrize(
    ("url", "domain"),
    [
        ("http://a.b.example.co.kr/", "example.co.kr"),
        ("http://www.Пример.СРБ/", "xn--e1afmkfd.xn--90a3ac"),
        ("http://127.0.0.1:8080/", "127.0.0.1"),
        ("http://[::1]/", "::1"),
        ("http://localhost/x", "localhost"),
    ],
)
def test_the_domain_of_a_page(find, url, domain):
    (row,) = find("<img src=a alt=x>", url=url)
    assert row["domain"] == domain


@pytest.mark.parametrize(
    ("head", "header", "language"),
    [
        ("<html lang='sr-Latn-RS'>", "ru", "sr-latn-rs"),
        ("<html xml:lang='th'>", None, "th"),
        ("<html lang=''><meta http-equiv='Content-Language' content='hu'>", None, "hu"),
        ("<html lang='x-default'><meta property='og:locale' content='ko_KR'>", None, "ko-kr"),
        ("<meta http-equiv=content-language content='cs, en'>", "ar", "ar"),
        ("<html lang='und'>", "vi", "vi"),
        ("<p>", "ru, en", None),
        ("<p>", None, None),
    ],
)
def test_the_language_of_a_page(find, head, header, language):
    (row,) = find(head + "<img src=a alt=x>", content_language=header)
    assert row["page_lang"] == language


def test_the_licence_of_a_page(find):
    by = "https://creativecommons.org/licenses/by/4.0/"
    zero = "https://creativecommons.org/publicdomain/zero/1.0/"
    for tag, found in (
        (f"<link rel='license' href='{by}#x'>", ("CC-BY-4.0", "rel")),
        (f"<p><a href='{by}'>c</a>", ("CC-BY-4.0", "cc_link")),
        (f"<a href='{zero}'>c</a><a REL='me License' href='{by}'>c</a>", ("CC-BY-4.0", "rel")),
        ("<a rel='external' href='/license'>c</a>", (None, None)),
        ("<meta name='DC.Rights' content=' CC  BY 4.0 '>", ("CC-BY-4.0", "meta")),
        (f"<meta name=license content=x><a href='{zero.upper()}'>c", ("CC0-1.0", "cc_link")),
    ):
        (row,) = find(tag + "<img src=a alt=x>")
        assert (row["license"], row["license_origin"]) == found


@pytest.mark.parametrize(
    ("attribute", "label"),
    [
        ("aria-label=' Hrad  v zimě '", "Hrad v zimě"),
        ("aria-labelledby='b a'", "Druhý První"),
        ("aria-labelledby=a aria-label=x", "První"),
        ("aria-labelledby=none aria-label=x aria-describedby=a", "x"),
        ("aria-labelledby=none aria-describedby='a'", "První"),
        ("aria-labelledby=none", None),
        ("", None),
    ],
)
def test_the_label_of_an_image(find, attribute, label):
    (row,) = find(f"<p id=a><b>Prv</b>ní<p id=b>Druhý<p id=a>no<img src=a alt=x {attribute}>")
    assert row["aria_label"] == label


def test_an_image_stands_behind_the_last_heading_and_paragraph(find):
    found = find(
        "<img src=a alt=x><h1>One</h1><p>first<p>second <img src=b alt=x></p><div><div><h3><b>T</b>"
        "wo</h3></div></div><ul><li><img src=c alt=x></ul><p></p><img src=d alt=x>"
    )
    assert [(row["heading"], row["paragraph"]) for row in found] == [
        (None, None),
        ("One", "second"),
        ("Two", "second"),
        ("Two", None),
    ]


def test_words_around_an_image_are_cut_or_left_out(find):
    page = "<h1>abc def</h1><p>ghi jkl<figure><img src=a><figcaption>mno pqr</figcaption>"
    short = CandidatesParams(heading_chars=5, paragraph_chars=3, caption_chars=4)
    (row,) = find(page, short)
    assert (row["heading"], row["paragraph"], row["caption"]) == ("abc d", "ghi", "mno")
    (row,) = find(page, CandidatesParams(heading_chars=0, paragraph_chars=0))
    assert (row["heading"], row["paragraph"], row["caption"]) == (None, None, "mno pqr")


def test_words_around_an_image_suffice_where_the_recipe_says_so(find):
    page = "<img src=a><h1>Hrad</h1><img src=b>"
    assert [row["reason"] for row in find(page)] == ["candidate:no_text"] * 2
    found = find(page, CandidatesParams(own_text=False))
    assert [row["reason"] for row in found] == ["candidate:no_text", None]


def test_the_language_nearest_to_an_image(find):
    found = find(
        "<html lang=cs><div lang=ru><p lang='und'><img src=a alt=x></p><img src=b alt=x lang=TH>"
        "<div xml:lang='sr_Latn'><figure lang=><img src=c alt=x></figure></div></div>"
        "<img src=d alt=x>"
    )
    assert [row["element_lang"] for row in found] == ["ru", "th", "sr-latn", None]
    assert {row["page_lang"] for row in found} == {"cs"}


OPEN_GRAPH = """<meta property="og:image" content="/lead.jpg#x">
<meta property="og:image:secure_url" content="https://cdn.example/other.jpg">
<meta property="og:image:alt" content=" Hrad  v zimě ">
<meta property="og:image" content="/second.jpg"><meta property="og:image:alt" content="Most">
<meta name="twitter:image" content="/lead.jpg"><meta name="twitter:image:alt" content="Tweet">
<meta name="twitter:image:src" content="/card.jpg">"""


def test_a_lead_image_of_its_own_is_a_candidate(find):
    found = find(OPEN_GRAPH)
    host = "https://www.muzeum.example.cz"
    assert [(r["image_role"], r["image_url"], r["og_alt"], r["reason"]) for r in found] == [
        ("og", f"{host}/lead.jpg", "Hrad v zimě", None),
        ("og", f"{host}/second.jpg", "Most", None),
        ("twitter", f"{host}/card.jpg", None, "candidate:no_text"),
    ]
    assert [row["ordinal"] for row in found] == [0, 1, 2]


def test_what_is_said_of_a_lead_image_joins_its_element(find):
    page = OPEN_GRAPH + "<img src=x alt=x><img src=../lead.jpg><img src='/lead.jpg?2' alt=y>"
    found = find(page)
    assert [row["image_role"] for row in found] == ["img", "img", "img", "og", "twitter"]
    assert [row["og_alt"] for row in found] == [None, "Hrad v zimě", None, "Most", None]
    assert found[1]["reason"] is None


def test_a_lead_image_without_a_usable_address_says_why(find):
    found = find("<meta property=og:image content='data:image/png;base64,AA'>")
    assert [row["reason"] for row in found] == ["candidate:data_uri"]
    assert find("<meta property=og:image content=''>") == []


def test_structured_data_joins_elements_and_makes_candidates(find):
    found = find(
        """<script type="Application/LD+JSON; charset=utf-8">{"@graph": [
        {"@type": "ImageObject", "contentUrl": "a.jpg", "caption": " Hrad  v zimě ",
         "license": "https://example.cz/by"},
        {"@type": "Article", "image": {"url": "b.jpg", "name": "Most"}, "license": "no"}]}</script>
        <a rel=license href=/page>c</a><img src=a.jpg><img src=c.jpg alt=x>"""
    )
    host = "https://www.muzeum.example.cz/a"
    columns = ("image_role", "image_url", "structured_text", "license_origin", "license")
    assert [tuple(row[name] for name in columns) for row in found] == [
        ("img", f"{host}/a.jpg", "Hrad v zimě", "json_ld", "https://example.cz/by"),
        ("img", f"{host}/c.jpg", None, "rel", "https://www.muzeum.example.cz/page"),
        ("json_ld", f"{host}/b.jpg", "Most", "rel", "https://www.muzeum.example.cz/page"),
    ]
    assert [row["reason"] for row in found] == [None] * 3


def test_broken_structured_data_costs_itself_alone(find):
    good = '<script type="application/ld+json">{"image": {"url": "b", "name": "B"}}</script>'
    bad = '<script type="application/ld+json">{"image": "c"</script>'
    found = find(f"{bad}{good}<script>{{broken</script><img src=a alt=x>")
    assert [(row["image_role"], row["reason"]) for row in found] == [
        ("img", None),
        ("json_ld", "candidate:bad_json_ld"),
        ("json_ld", None),
    ]


def test_what_header_and_page_say_of_their_use(find):
    header = {"where": "header", "name": "x-robots-tag", "value": "noai"}
    (row,) = find(
        """<meta name=ROBOTS content="noindex, NoFollow"><meta name=GPTBot content=none>
        <meta name=tdm-reservation content=1><meta name=mella content=" noai ">
        <meta name=generator content="robots"><meta name=ai content="x, noimageai">
        <meta http-equiv=X-Robots-Tag content=noimageindex><meta name=robots content="">
        <meta name=description content="No ai, no noais"><meta name=googlebot-news content=all>
        <meta name=robots content="noindex, NoFollow"><img src=a alt=x>""",
        signals=[header],
    )
    assert row["page_signals"] == [
        header,
        *(
            {"where": "meta", "name": name, "value": value}
            for name, value in (
                ("robots", "noindex, NoFollow"),
                ("gptbot", "none"),
                ("tdm-reservation", "1"),
                ("mella", " noai "),
                ("ai", "x, noimageai"),
                ("x-robots-tag", "noimageindex"),
                ("googlebot-news", "all"),
            )
        ),
    ]


def test_a_page_with_more_signals_than_can_be_kept_is_one_row(find):
    many = "".join(f"<meta name=robots content='a{i}'>" for i in range(101))
    for page in (many, f"<meta name=robots content='{'x' * 20_000}'>"):
        (row,) = find(page + "<img src=a alt=x>")
        assert row["reason"] == "page:too_complex"


def test_page_text_keeps_words_whole_and_blocks_apart(find):
    (row,) = find("<p>แม<b>ว</b></p><p>a<br>b<hr>c<!-- d --><div>e</div>f<img src=a alt=x>")
    assert row["page_text"] == "แมว a b c e f"
    (row,) = find("<p>a<!-- -->b<i>c</i><select><option>no</select>d<img src=a alt=x>")
    assert row["page_text"] == "abc d"
    (row,) = find("<p>abc def ghi<img src=a alt=x>", CandidatesParams(page_text_chars=4))
    assert row["page_text"] == "abc"


@pytest.mark.parametrize(
    "page",
    [
        "<div>" * 1_500_000,
        "<ul><li>" * 1_000_000,
        "<table><tr><td>" * 500_000,
        "<span><div></span></div>" * 300_000,
        "<img " + " ".join(f"a{i}=1" for i in range(500_000)) + ">",
    ],
    ids=["div", "list", "table", "crossed", "attributes"],
)
def test_pages_that_would_take_a_parser_hours_are_one_row(find, page):
    (row,) = find(page + "<img src=a alt=x>")
    assert row["reason"] == "page:too_complex"


@pytest.mark.parametrize(
    "page",
    [
        "<div>" * 5000,
        "<p>x" * 200_000,
        "<table>" + "<tr><td>x<td>y" * 50_000,
        "<ul>" + "<li><a href=x>y</a>" * 50_000,
        "<div><p>x</div>" * 50_000,
        "<div><b>x</div>" * 20_000,
        "<b><i><p>" * 20_000,
        "<script>" + "if (a<b && c<d) e='<div>';" * 50_000 + "</script>",
        "<p>" + "many plain words " * 100_000 + "</p>",
        '<a href="data:' + "x y " * 20_000 + '"></a>',
    ],
    ids=["deep", "p", "table", "list", "unclosed", "bold", "inline", "script", "text", "data"],
)
def test_large_sloppy_pages_are_read(find, page):
    found = find(page + "<img src=a alt=x>")
    assert [row["alt"] for row in found] == ["x"]


def test_a_table_has_the_declared_columns_and_a_bounded_size(suffixes):
    step = candidates_step(CandidatesParams())
    body = b"<img src=a alt=x>" * 10_000
    table = pa.Table.from_pylist([{"kind": "page", "url": PAGE_URL, "body": body}], step.reads)
    parts = list(step.apply(table, suffixes))
    assert [part.num_rows for part in parts] == [4096, 4096, 1808]
    assert all(part.schema == CANDIDATES for part in parts)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.binary(max_size=30)
        | st.sampled_from(
            [b"<img src=a alt=x>", b"<img alt='", b"<figure>", b"<meta charset=", b">"]
        ),
        max_size=12,
    ),
    st.sampled_from([None, "utf-8", "utf-16", "euc-kr", "windows-1258", "iso-2022-jp", "x"]),
)
def test_any_bytes_are_a_page(suffixes, pieces, charset):
    body = b"<img src=b alt=y>" + b"".join(pieces)
    found = candidates(
        {"kind": "page", "url": PAGE_URL, "charset": charset, "body": body}, suffixes
    )
    text = decode_page(body, charset)[0]
    assert len(found) >= 1 or "<img" not in text
