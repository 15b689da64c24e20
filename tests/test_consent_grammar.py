"""What sites write about the use of what they hold, in five notations, is understood."""

import json
import re
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mella.builders.culture.consent.ai_txt import parse_ai_txt
from mella.builders.culture.consent.robots_directives import (
    Directive,
    names_for,
    parse_directives,
    read_date,
)
from mella.builders.culture.consent.robots_rules import parse_robots_rules
from mella.builders.culture.consent.tdm import Tdm, parse_tdmrep, tdm_of_file, tdm_of_signals
from mella.builders.culture.consent.url_pattern import matches, normal_escapes, path_of

NOW = datetime(2026, 11, 25, tzinfo=UTC)
SITE = "https://a.example"


def obeyed(*lines, agents=("mella",), now=NOW, meta=None):
    """Return the names of the directives that we obey, of some header lines."""
    parsed = [directive for line in lines for directive in parse_directives(line, meta)]
    return set(names_for(parsed, agents, now))


# What img2dataset's parser misses, with its own defaults.
@pytest.mark.parametrize(
    ("line", "directive"),
    [
        ("none", "noindex"),
        ("*: noai", "noai"),
        ("noai, max-image-preview:large", "noai"),
        ("unavailable_after: Saturday, 25 Jun 2050 15:00:00 PST, noai", "noai"),
    ],
)
def test_what_img2dataset_misses_is_found(line, directive):
    assert directive in obeyed(line)


@pytest.mark.parametrize(
    "line",
    [
        "noai",
        "NoAI",
        "  noai  ",
        "index,noai",
        "index ,\tnoai,",
        ",,noai",
        "noai;nofollow",
        "nofollow noai",
        "mella: noai",
        "MELLA :noai",
        "mella: nofollow, noai",
        "nofollow, mella: noai",
        "googlebot: index, mella: noai",
        "googlebot: max-snippet:20, *: noai",
        "robots: noai",
        ": noai",
        "max-snippet:-1, noai",
        "max-image-preview: large, max-video-preview: -1, noai",
        "mella: unavailable_after: 25 Jun 2050 15:00:00 PST, noai",
        "unavailable_after: 25-Jun-50 15:00:00 GMT, noai",
        "unavailable_after: 2050-06-25T15:00:00Z, noai",
        "unavailable_after: Jun 25, 2050 15:00, noai",
        "unavailable_after:, noai",
    ],
)
def test_noai_is_found_wherever_it_stands(line):
    assert "noai" in obeyed(line)


@pytest.mark.parametrize(
    "line",
    [
        "",
        ":",
        "all",
        "index, follow",
        "googlebot: noai",
        "googlebot: nofollow, noai",
        "googlebot: noindex, bingbot: noai",
        "mellabot: noai",
        "max-image-preview: noai",
        "noairport",
        "no ai",
        "360spider: noai",
        "unavailable_after: 25 Jun 2050 15:00:00 PST, 360spider: noai",
    ],
)
def test_noai_is_not_found_where_it_is_not_for_us(line):
    assert "noai" not in obeyed(line)


def test_several_headers_add_up_and_each_begins_for_everyone():
    assert obeyed("googlebot: noindex", "noai") == {"noai"}
    assert obeyed("all", "noimageai", "mella: noml") == {"all", "noimageai", "noml"}


def test_directives_for_named_agents_count_with_the_names_that_are_ours():
    line = "google-extended: noai"
    assert obeyed(line, agents=("mella", "Google-Extended")) == {"noai"}
    assert obeyed(line) == set()


def test_meta_elements_are_for_everyone_or_for_the_agent_in_their_name():
    assert obeyed("NOAI, noimageai", meta="robots") == {"noai", "noimageai"}
    assert obeyed("noai", meta="mella") == {"noai"}
    assert obeyed("noai", meta="googlebot") == set()


def test_none_implies_noindex_and_nofollow():
    assert obeyed("None") == {"none", "noindex", "nofollow"}


@pytest.mark.parametrize(
    ("date", "passed"),
    [
        ("Saturday, 25 Jun 2010 15:00:00 PST", True),
        ("25-Jun-10 15:00:00 EST", True),
        ("2026-11-24", True),
        ("2026-11-25T01:00:00+02:00", True),
        ("2026-11-25T00:30:00-05:00", False),
        ("Saturday, 25 Jun 2050 15:00:00 PST", False),
        ("2050-06-25", False),
        ("soon", True),
        ("", True),
    ],
)
def test_unavailable_after_counts_once_its_date_has_passed(date, passed):
    assert obeyed(f"unavailable_after: {date}, nofollow") == {
        "nofollow",
        *(["unavailable_after"] if passed else []),
    }


def test_without_a_date_of_today_only_dates_that_cannot_be_read_count():
    assert obeyed("unavailable_after: 2010-01-01", now=None) == set()
    assert obeyed("unavailable_after: soon", now=None) == {"unavailable_after"}


def test_dates_are_read_in_three_forms():
    wanted = datetime(2010, 6, 25, 15, tzinfo=UTC)
    for text in ("Fri, 25 Jun 2010 15:00:00 GMT", "2010-06-25T15:00Z", "25-Jun-10 15:00:00 GMT"):
        assert read_date(text) == wanted
    assert read_date("25 Jun 2010 15:00") == wanted
    assert read_date("never") is None


WORDS = st.sampled_from(["noai", "noindex", "nofollow", "noml", "all", "max-snippet"])
AGENTS = st.sampled_from([None, "googlebot", "mella", "some-bot_2"])
DATES = st.sampled_from(["Fri, 25 Jun 2010 15:00:00 GMT", "2050-06-25", "25 Jun 2010 15:00:00 PST"])
GROUPS = st.lists(
    st.tuples(
        st.none() | AGENTS,
        st.lists(
            st.builds(lambda name: Directive(None, name), WORDS.filter(lambda w: "-" not in w))
            | st.builds(lambda n: Directive(None, "max-snippet", str(n)), st.integers(-1, 999))
            | st.builds(lambda date: Directive(None, "unavailable_after", date), DATES),
            min_size=1,
            max_size=4,
        ),
    ),
    max_size=4,
)
SPACE = st.text(" \t", max_size=2)


@given(GROUPS, st.data())
def test_written_directives_are_read_back_whatever_the_space_and_case(groups, data):
    written, wanted, scope = [], [], None
    for agent, directives in groups:
        scope = agent or scope
        for at, directive in enumerate(directives):
            prefix = f"{agent}{data.draw(SPACE)}:" if agent and at == 0 else ""
            argument = f":{data.draw(SPACE)}{directive.argument}" if directive.argument else ""
            name = data.draw(st.sampled_from([directive.name, directive.name.upper()]))
            written.append(f"{data.draw(SPACE)}{prefix}{data.draw(SPACE)}{name}{argument}")
            wanted.append(Directive(scope, directive.name, directive.argument))
    assert parse_directives(",".join(written)) == tuple(wanted)


@given(st.text(), st.text())
def test_no_header_is_an_error_and_what_is_added_takes_nothing_back(before, line):
    assert obeyed(line) <= obeyed(line, before)
    assert "noai" in obeyed(before, "noai")


def test_a_long_hostile_header_takes_no_long_time():
    for line in ("a:" * 10**6, "," * 10**6, "unavailable_after:" + "25 Jan," * 10**6):
        assert "noai" in obeyed(line, "noai")


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/", "/"),
        ("/a", "/abc?d=e"),
        ("*", "/"),
        ("/a/*/c", "/a/b/d/c/e"),
        ("/*.jpg$", "/a/b.jpg.jpg"),
        ("/a$", "/a"),
        ("/a/$", "/a/"),
        ("/caf%c3%a9", "/café"),
        ("/café", "/caf%C3%A9"),
        ("/%7euser", "/~user"),
        ("/foo-%24", "/foo-$"),
        ("/a*b*", "/ab"),
        ("", "/anything"),
    ],
)
def test_patterns_match(pattern, path):
    assert matches(normal_escapes(pattern), path_of(SITE + path))


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/a", "/A"),
        ("/a$", "/a/"),
        ("/*.jpg$", "/a.jpg?x=1"),
        ("/a/*/c", "/a/c"),
        ("/ab*ba$", "/aba"),
        ("a", "/a"),
        ("/a%2Fb", "/a/b"),
        ("/foo-$", "/foo-$"),
    ],
)
def test_patterns_do_not_match(pattern, path):
    assert not matches(normal_escapes(pattern), path_of(SITE + path))


@given(st.text("ab*", max_size=8), st.booleans(), st.text("ab", max_size=12))
@example(pattern="a*a", ends=True, path="a")
def test_patterns_match_as_regular_expressions_do(pattern, ends, path):
    regex = re.escape("/" + pattern).replace(r"\*", ".*") + ("$" if ends else "")
    ours = matches("/" + pattern + ("$" if ends else ""), "/" + path)
    assert ours == bool(re.match(regex, "/" + path))


RESERVED, FREE = Tdm(reserved=True), Tdm(reserved=False)
RULES = [
    {"location": "/a/open/", "tdm-reservation": 0},
    {"location": "/a/", "tdm-reservation": 1},
    {"location": "/b/html/", "tdm-reservation": 1, "tdm-policy": "https://p.example/policy.json"},
    {"location": "/b/images/*.jpg", "tdm-reservation": 0},
]


def filed(body, path):
    """Return what a tdmrep.json says of a path."""
    rules = parse_tdmrep(body)
    assert rules is not None
    return tdm_of_file(rules, SITE + path)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/a/x.pdf", RESERVED),
        ("/a/open/x.pdf", FREE),
        ("/b/html/x", Tdm(reserved=True, policy="https://p.example/policy.json")),
        ("/b/images/x/y.jpg", FREE),
        ("/b/images/x.png", Tdm()),
        ("/", Tdm()),
    ],
)
def test_the_first_rule_of_tdmrep_that_matches_counts(path, said):
    assert filed(json.dumps(RULES).encode(), path) == said


@pytest.mark.parametrize("value", ["1", '"1"', "true"])
def test_reservations_are_read(value):
    body = f'[{{"location": "/", "tdm-reservation": {value}}}]'.encode()
    for written in (body, body[1:-1], b"\xef\xbb\xbf" + body):
        assert filed(written, "/x") == RESERVED


@pytest.mark.parametrize(
    "rule",
    [
        {"location": "/"},
        {"tdm-reservation": 1},
        {"location": "/", "tdm-reservation": 2},
        {"location": "/", "tdm-reservation": None},
        {"location": "", "tdm-reservation": 1},
        {"location": 7, "tdm-reservation": 1},
        "/",
    ],
)
def test_a_broken_rule_costs_itself_alone(rule):
    body = json.dumps([rule, *RULES]).encode()
    assert filed(body, "/a/x") == RESERVED
    assert filed(body, "/x") == Tdm()


@pytest.mark.parametrize("body", [b"", b"<html>not found</html>", b"7", b"\xff", b"[" * 10**5])
def test_what_is_no_tdmrep_is_none(body):
    assert parse_tdmrep(body) is None


def signal(where, name, value):
    return {"where": where, "name": name, "value": value}


def test_meta_goes_before_headers_and_what_is_absent_resets_nothing():
    header = signal("header", "tdm-reservation", "1")
    policy = signal("header", "tdm-policy", "https://p.example/a,b")
    meta = signal("meta", "tdm-reservation", "0")
    assert tdm_of_signals([]) == Tdm()
    assert tdm_of_signals([header, policy]) == Tdm(reserved=True, policy="https://p.example/a,b")
    assert tdm_of_signals([header, policy, meta]) == Tdm(
        reserved=False, policy="https://p.example/a,b"
    )
    assert tdm_of_signals([signal("meta", "tdm-reservation", "yes"), header]) == RESERVED
    assert tdm_of_signals([meta, signal("meta", "tdm-reservation", " 1 ")]) == RESERVED
    assert tdm_of_signals([signal("header", "x-robots-tag", "1")]) == Tdm()


GENERATED = """# Spawning AI
# Prevent datasets from using the following file types

User-Agent: *
Disallow: *.txt
Disallow: *.jpg # and so on
Disallow: *.c
Allow: *.png
Allow: /free/
{}
"""


def ai_allows(text, path, usual="html", others=()):
    return parse_ai_txt(text).allows(SITE + path, "Mella", others, usual=usual)


@pytest.mark.parametrize(
    ("path", "allowed", "allowed_with_rest"),
    [
        ("/a/b.jpg", False, False),
        ("/a/b.JPG?w=100", False, False),
        ("/a.jpg/b.png", True, True),
        ("/free/b.jpg", True, True),  # the longer pattern
        ("/a.css", True, False),
        ("/a.com/b", True, False),
        ("/", True, False),
    ],
)
def test_ai_txt_by_extension_and_path(path, allowed, allowed_with_rest):
    assert ai_allows(GENERATED.format(""), path) is allowed
    assert ai_allows(GENERATED.format("Disallow: /\nDisallow: *"), path) is allowed_with_rest


def test_ai_txt_takes_the_usual_extension_where_a_url_has_none():
    text = "User-Agent: *\nDisallow: *.html"
    assert not ai_allows(text, "/about")
    assert ai_allows(text, "/about", usual="")


def test_ai_txt_by_agent():
    text = "User-Agent: GPTBot\nUser-Agent: Google-Extended\nDisallow: /\nUser-agent: *\nAllow: /"
    assert ai_allows(text, "/a.jpg")
    assert not ai_allows(text, "/a.jpg", others=("google-extended",))
    own = text + "\n\nuser-agent: mella\nDisallow:\n"
    assert ai_allows(own, "/a.jpg", others=("google-extended",))
    assert not ai_allows(text + "\nUser-Agent: mella\nDisallow: /", "/a.jpg")


@pytest.mark.parametrize("text", ["", "<html><p>Not: found</p></html>", "# all\n", "Disallow:"])
def test_an_ai_txt_without_rules_allows(text):
    assert ai_allows(text, "/a.jpg")


def test_rules_before_any_agent_are_for_everyone_and_of_equal_ones_that_which_forbids_counts():
    assert not ai_allows("Disallow: /", "/a.jpg")
    assert not ai_allows("Allow: *\nDisallow: /\nAllow: *", "/a.jpg")


def robots_allow(text, others=("Google-Extended",)):
    return parse_robots_rules(text.encode()).allows(SITE + "/a.jpg", "mella", others)


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("", True),
        ("User-agent: *\nDisallow: /b", True),
        ("User-agent: *\nDisallow: /a", False),
        ("User-agent: GPTBot\nDisallow: /", True),
        ("User-agent: google-extended # no training\nDisallow: /", False),
        ("User-agent: *\r\nAllow: /\r\n\r\nUser-agent: Google-Extended\r\nDisallow: /\r\n", False),
        ("User-agent: Google-Extended\nDisallow: /b", True),
        ("User-agent: Google-Extended\nDisallow: /\n\nUser-agent: Mella\nAllow: /", True),
        ("User-agent: *\nDisallow: /\n\nUser-agent: mella\nDisallow:", True),
        ("User-agent: *\nAllow: /\n\nUser-agent: mella\nDisallow: /", False),
    ],
)
def test_robots_txt_speaks_of_fetching_and_of_training(text, allowed):
    assert robots_allow(text) is allowed


def test_agents_of_training_count_only_where_they_are_wanted():
    text = "User-agent: Google-Extended\nDisallow: /"
    assert robots_allow(text, others=())


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        ("User-agent: *\nContent-Signal: search=yes, ai-train=no\nAllow: /", False),
        ("User-Agent: *\nContent-signal: AI-TRAIN = NO", False),
        ("Content-Signal: search=yes,ai-train=no,use=reference\nUser-agent: *\nAllow: /", False),
        ("User-agent: *\nUser-agent: a\nContent-Signal: ai-train=no\nAllow: /", False),
        ("User-agent: a\nUser-agent: *\nContent-Signal: ai-train=no\nAllow: /", False),
        ("User-agent: *\nContent-Signal: ai-train=no\nContent-Signal: ai-train=yes", False),
        ("User-agent: google-extended\nContent-Signal: ai-train=no", False),
        ("User-agent: *\nContent-Signal: ai-train=no\nUser-agent: mella\nAllow: /", True),
        ("User-agent: *\nContent-Signal: search=no, ai-input=no", True),
        ("User-agent: *\nContent-Signal: ai-train=yes", True),
        ("User-agent: *\n# Content-Signal: ai-train=no\nAllow: /", True),
        ("User-agent: GPTBot\nContent-Signal: ai-train=no\n\nUser-agent: *\nAllow: /", True),
        ("User-agent: *\nContent-Signal: ai-train", True),
        ("", True),
    ],
)
def test_content_signals_speak_of_training(text, allowed):
    rules = parse_robots_rules(text.encode())
    assert rules.allows_training("mella", ("Google-Extended",)) is allowed
