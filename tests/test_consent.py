"""The consent steps: what page, sites and image say is found, kept with its time, and obeyed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetching import other, params, site
from mella.builders.culture.consent.image_consent import image_consent_step
from mella.builders.culture.consent.params import ConsentParams
from mella.builders.culture.consent.policy_files import PolicyReader
from mella.builders.culture.consent.record import (
    ALLOWS,
    NONE,
    UNREACHABLE,
    Check,
    ConsentError,
    as_value,
    forbids,
    format_consent,
    parse_consent,
    verdict,
)
from mella.builders.culture.consent.step import consent_step
from mella.builders.culture.fetch.fetcher import Fetcher, FetchError
from stepping import apply, reasons
from web_site import Site

__all__ = ["other", "site"]  # fixtures

COLLECTED, FETCHED = "2024-05-01T00:00:00Z", "2026-11-25T09:00:00Z"
RESERVED = [{"location": "/", "tdm-reservation": 1, "tdm-policy": "https://p.example/terms"}]
FILES = ["/robots.txt", "/ai.txt", "/.well-known/tdmrep.json"]
OFFLINE = ConsentParams()


def live(**changes):
    return ConsentParams(live=True, fetch_params=params(retries=0, respect_robots=True), **changes)


def header(value, name="x-robots-tag"):
    return {"where": "header", "name": name, "value": value}


def meta(value, name="robots"):
    return {"where": "meta", "name": name, "value": value}


def page(*signals, url="https://a.example/page", image="https://img.example/a.jpg"):
    return {
        "page_signals": list(signals),
        "page_url": url,
        "image_url": image,
        "image_host": "img.example",
        "collected_at": COLLECTED,
    }


def judge(*rows, params=OFFLINE):
    return apply(consent_step(params), rows)


def found(line):
    """Return what each check of a consent found, by subject and source."""
    return {(c.subject, c.source): c.finding for c in parse_consent(line)}


@pytest.mark.parametrize(
    ("signal", "reason"),
    [
        (header("noai"), "consent:noai"),
        (header("none"), "consent:noindex"),
        (header("mella: NoImageAI"), "consent:noimageai"),
        (header("unavailable_after: 1 Jan 2024 00:00:00 GMT"), "consent:unavailable_after"),
        (meta("noml, nofollow"), "consent:noml"),
        (meta("noimageindex", name="mella"), "consent:noimageindex"),
        (meta("noai", name="google-extended"), "consent:noai"),
        (header("1", name="tdm-reservation"), "consent:tdm"),
        (meta("1", name="tdm-reservation"), "consent:tdm"),
    ],
)
def test_a_page_forbids_in_its_own_words(signal, reason):
    assert reasons(judge(page(signal))) == [reason]


@pytest.mark.parametrize(
    "signal",
    [
        header("all"),
        header("googlebot: noai"),
        header("nofollow, noarchive, max-image-preview:none"),
        header("unavailable_after: 1 Jan 2025 00:00:00 GMT"),
        meta("index, follow"),
        meta("noai", name="bingbot"),
        meta("noai", name="tdm-policy"),
        header("noai", name="tdm-policy"),
        header("0", name="tdm-reservation"),
    ],
)
def test_what_does_not_forbid_is_kept(signal):
    assert reasons(judge(page(signal))) == [None]


def test_only_what_is_honoured_forbids():
    rows = [page(header("noindex")), page(meta("noarchive")), page(meta("1", "tdm-reservation"))]
    strict = ConsentParams(honour=("noarchive",))
    assert reasons(judge(*rows, params=strict)) == [None, "consent:noarchive", None]
    assert found(judge(rows[2], params=strict)[0]["page_consent"]) == {
        ("page", "x-robots-tag"): NONE,
        ("page", "meta"): NONE,
    }


def test_dates_are_judged_when_the_page_was_collected_or_as_the_recipe_says():
    row = page(header("unavailable_after: 1 Jan 2025 00:00:00 GMT"))
    assert reasons(judge(row)) == [None]
    assert reasons(judge(row, params=ConsentParams(as_of="2025-01-02"))) == [
        "consent:unavailable_after"
    ]


def test_the_consent_says_what_was_read_and_when():
    (made,) = judge(page(header("googlebot: noai"), meta("index")))
    assert (
        made["page_consent"] == f"allowed|page@{COLLECTED} x-robots-tag=none meta=allows tdm=none"
    )
    terms = header("https://p.example/a b|c", name="tdm-policy")
    (made,) = judge(page(header("1", name="tdm-reservation"), terms))
    assert made["page_consent"] == (
        f"forbidden:tdm|page@{COLLECTED} x-robots-tag=none meta=none tdm=forbids:tdm "
        "tdm-policy=https://p.example/a%20b%7Cc"
    )


@pytest.mark.parametrize("policy", ["  ", "?a=b|c\n", "x" * 10**4])
def test_no_policy_of_a_site_breaks_the_line(policy):
    reserved = header("1", name="tdm-reservation")
    (made,) = judge(page(reserved, header(policy, name="tdm-policy")))
    assert made["reason"] == "consent:tdm"
    assert found(made["page_consent"])["page", "tdm"] == forbids("tdm")
    assert len(made["page_consent"]) < 1000


def test_files_of_both_sites_are_asked_for_once(site, other):
    rows = [page(url=f"{site.url}/{i}", image=f"{other.url}/{i}.jpg") for i in range(5)]
    step = consent_step(live())
    assert step.setup
    resource = step.setup(step.params, None)
    made = [*apply(step, rows, resource=resource), *apply(step, rows, resource=resource)]
    assert reasons(made) == [None] * 10
    for asked in (site, other):
        # The fetcher reads robots.txt for itself before it asks for anything else.
        assert sorted(asked.log) == sorted(["/robots.txt", *FILES])
    assert found(made[0]["page_consent"]) == {
        ("page", "x-robots-tag"): NONE,
        ("page", "meta"): NONE,
        ("page", "tdm"): NONE,
        ("page", "robots_txt"): NONE,
        ("page", "ai_txt"): NONE,
        ("image", "tdm"): NONE,
        ("image", "robots_txt"): NONE,
        ("image", "ai_txt"): NONE,
    }


@pytest.mark.parametrize(
    ("path", "body", "against"),
    [
        ("/robots.txt", b"User-agent: *\nDisallow: /x", "robots_txt"),
        ("/robots.txt", b"User-agent: mella\nDisallow: /", "robots_txt"),
        ("/robots.txt", b"User-agent: Google-Extended\nDisallow: /", "robots_txt"),
        (
            "/robots.txt",
            b"User-agent: *\nContent-Signal: search=yes,ai-train=no\nAllow: /",
            "ai_train",
        ),
        ("/ai.txt", b"User-Agent: *\nDisallow: *.jpg\nDisallow: *.html", "ai_txt"),
        ("/.well-known/tdmrep.json", json.dumps(RESERVED).encode(), "tdm"),
    ],
)
def test_files_forbid_pages_and_images(site, other, path, body, against):
    other.pages[path] = body
    rows = [
        page(url=f"{other.url}/x", image=f"{site.url}/x.jpg"),
        page(url=f"{site.url}/x", image=f"{other.url}/x.jpg"),
        page(url=f"{site.url}/x", image=f"{site.url}/x.jpg"),
    ]
    made = judge(*rows, params=live())
    assert reasons(made) == [f"consent:{against}", f"consent:image_{against}", None]
    assert forbids(against) in found(made[0]["page_consent"]).values()
    assert forbids(against) in found(made[1]["page_consent"]).values()


def test_files_that_do_not_forbid_are_told_from_files_that_are_not_there(site):
    site.pages |= {
        "/robots.txt": b"User-agent: *\nDisallow: /private",
        "/ai.txt": b"User-Agent: *\nDisallow: *.mp3",
        "/.well-known/tdmrep.json": b'[{"location": "/", "tdm-reservation": 0}]',
    }
    (made,) = judge(page(url=f"{site.url}/x", image=f"{site.url}/x.jpg"), params=live())
    assert made["reason"] is None
    checks = found(made["page_consent"])
    for subject in ("page", "image"):
        assert {checks[subject, s] for s in ("robots_txt", "ai_txt", "tdm")} == {ALLOWS}


@pytest.mark.parametrize("status", [500, 503, 429])
@pytest.mark.parametrize("path", FILES)
def test_a_file_that_cannot_be_had_forbids(site, path, status):
    site.pages[path] = (status, {}, b"")
    (made,) = judge(page(url=f"{site.url}/x", image=f"{site.url}/x.jpg"), params=live())
    assert made["reason"] == "consent:unreachable"
    assert UNREACHABLE in found(made["page_consent"]).values()


@pytest.mark.parametrize("status", [404, 403, 410])
def test_a_file_that_is_not_there_allows(site, status):
    site.pages |= {path: (status, {}, b"Disallow: /") for path in FILES}
    assert reasons(judge(page(url=f"{site.url}/", image=f"{site.url}/a"), params=live())) == [None]


def test_a_page_in_place_of_a_file_allows(site):
    site.pages |= dict.fromkeys(FILES, b"<!DOCTYPE html><p>Not found: sorry")
    assert reasons(judge(page(url=f"{site.url}/", image=f"{site.url}/a"), params=live())) == [None]


def test_a_site_that_is_down_forbids(site):
    gone = Site()
    gone.close()
    rows = [page(url=f"{gone.url}/", image=f"{site.url}/a")]
    rows += [page(url=f"{site.url}/", image=f"{gone.url}/a")]
    made = judge(*rows, params=live())
    assert reasons(made) == ["consent:unreachable", "consent:image_unreachable"]


def test_files_that_robots_txt_forbids_to_read_are_not_read(site):
    site.pages |= {
        "/robots.txt": b"User-agent: *\nDisallow: /ai.txt\nDisallow: /.well-known/",
        "/ai.txt": b"User-Agent: *\nDisallow: /",
    }
    assert reasons(judge(page(url=f"{site.url}/", image=f"{site.url}/a"), params=live())) == [None]
    assert set(site.log) == {"/robots.txt"}


def test_the_page_goes_before_the_file(site):
    site.pages["/.well-known/tdmrep.json"] = json.dumps(
        [{"location": "/page", "tdm-reservation": 1}]
    ).encode()
    free = meta("0", name="tdm-reservation")
    rows = [page(*said, url=f"{site.url}/page", image=f"{site.url}/a") for said in ([], [free])]
    assert reasons(judge(*rows, params=live())) == ["consent:tdm", None]


def test_each_check_has_the_time_at_which_its_source_was_read(site):
    free = meta("0", name="tdm-reservation")
    rows = [page(*said, url=f"{site.url}/", image=f"{site.url}/a") for said in ([], [free])]
    made = judge(*rows, params=live())
    for row, of_the_page in zip(made, [{"meta"}, {"meta", "tdm"}], strict=True):
        times = {c.source: c.at for c in parse_consent(row["page_consent"]) if c.subject == "page"}
        for source in ("meta", "tdm", "robots_txt", "ai_txt"):
            assert (times[source] == COLLECTED) == (source in of_the_page)
            assert times[source] >= COLLECTED


def test_a_page_that_speaks_for_itself_is_kept_where_its_file_cannot_be_had(site):
    site.pages["/.well-known/tdmrep.json"] = (500, {}, b"")
    free = meta("0", name="tdm-reservation")
    (made,) = judge(page(free, url=f"{site.url}/", image=f"{site.url}/a"), params=live())
    assert made["reason"] == "consent:image_unreachable"
    assert found(made["page_consent"])["page", "tdm"] == ALLOWS


def test_no_site_is_asked_for_a_page_that_forbids_or_for_what_is_not_honoured(site):
    row = page(header("noai"), url=f"{site.url}/", image=f"{site.url}/a")
    assert reasons(judge(row, params=live())) == ["consent:noai"]
    assert site.log == []
    row["page_signals"] = []
    assert reasons(judge(row, params=live(honour=("noai", "ai_txt")))) == [None]
    assert set(site.log) == {"/robots.txt", "/ai.txt"}  # the fetcher obeys robots.txt


def test_urls_of_archives_are_asked_in_the_form_in_which_they_are_fetched(site):
    site.pages["/robots.txt"] = b"User-agent: *\nDisallow: /caf%C3%A9"
    upper = site.url.replace("http://", "HTTP://")
    rows = [page(url=f"{upper}/{at}", image=f"{site.url}/a") for at in ("café#top", "tea")]
    rows += [page(url="http://[", image=f"{site.url}/a")]
    made = judge(*rows, params=live())
    assert reasons(made) == ["consent:robots_txt", None, "consent:unreachable"]


def test_of_robots_txt_what_is_honoured_counts(site):
    site.pages["/robots.txt"] = b"User-agent: *\nDisallow: /x\nContent-Signal: ai-train=no"
    row = page(url=f"{site.url}/x", image=f"{site.url}/a")
    for honour, reason in [
        (("ai_train",), "consent:ai_train"),
        (("robots_txt",), "consent:robots_txt"),
        (("robots_txt", "ai_train"), "consent:robots_txt"),
    ]:
        assert reasons(judge(row, params=live(honour=honour))) == [reason]


def test_a_policy_that_is_no_unicode_is_kept_readable(site):
    policy = b'[{"location": "/", "tdm-reservation": 1, "tdm-policy": "\\ud800 x"}]'
    site.pages["/.well-known/tdmrep.json"] = policy
    (made,) = judge(page(url=f"{site.url}/", image=f"{site.url}/a"), params=live())
    assert made["reason"] == "consent:tdm"
    assert found(made["page_consent"])["page", "tdm-policy"] == "?%20x"


def test_origins_are_not_mixed_up(site, other):
    reader = PolicyReader(Fetcher(params(retries=0)), ("robots_txt",))
    site.pages["/robots.txt"] = b"User-agent: *\nDisallow: /"
    policies = reader.read([f"{site.url}/a", f"{other.url}/b", f"{site.url}/c"])
    assert list(policies) == [site.url, other.url]
    ours, theirs = policies[site.url], policies[other.url]
    assert ours.robots_txt
    assert ours.robots_txt.rules
    assert theirs.robots_txt
    assert theirs.robots_txt.reachable
    assert theirs.robots_txt.rules is None
    assert ours.ai_txt is None
    assert ours.tdm is None


def image(*signals, page_consent=None, fetched_at=None, collected_at=COLLECTED):
    return {
        "image_signals": list(signals),
        "page_consent": page_consent or judge(page())[0]["page_consent"],
        "collected_at": collected_at,
        "fetched_at": fetched_at,
    }


def judge_images(*rows, params=OFFLINE):
    return apply(image_consent_step(params), rows)


@pytest.mark.parametrize(
    ("signal", "reason"),
    [
        (header("noai, max-image-preview:large"), "consent:image_noai"),
        (header("noimageindex"), "consent:image_noimageindex"),
        (header("1", name="tdm-reservation"), "consent:image_tdm"),
        (header("googlebot: noai"), None),
        (header("0", name="tdm-reservation"), None),
        (header("nofollow"), None),
    ],
)
def test_an_image_forbids_in_its_header(signal, reason):
    assert reasons(judge_images(image(signal))) == [reason]
    assert reasons(judge_images(image(signal, fetched_at=FETCHED))) == [reason]


def test_the_final_consent_holds_the_checks_of_page_and_image():
    before = f"allowed|page@{COLLECTED} x-robots-tag=none meta=none tdm=none"
    fetched, archived = judge_images(
        image(page_consent=before, fetched_at=FETCHED), image(header("noai"), page_consent=before)
    )
    # What was fetched under robots.txt was allowed by it.
    assert fetched["consent"] == (
        f"{before}|image@{FETCHED} x-robots-tag=none tdm=none robots_txt=allows"
    )
    assert archived["consent"] == (
        f"{before.replace('allowed', 'forbidden:image_noai')}"
        f"|image@{COLLECTED} x-robots-tag=forbids:noai tdm=none"
    )


def test_a_fetcher_that_ignores_robots_txt_proves_nothing():
    careless = ConsentParams(fetch_params=params(respect_robots=False))
    (made,) = judge_images(image(fetched_at=FETCHED), params=careless)
    assert ("image", "robots_txt") not in found(made["consent"])


def test_a_header_of_the_image_goes_before_the_file_of_its_site():
    checked = f"image@{COLLECTED} tdm=allows robots_txt=none ai_txt=none"
    before = f"allowed|page@{COLLECTED} x-robots-tag=none meta=none tdm=none|{checked}"
    rows = [
        image(page_consent=before, fetched_at=FETCHED),
        image(header("1", "tdm-reservation"), page_consent=before, fetched_at=FETCHED),
    ]
    silent, speaking = judge_images(*rows)
    assert silent["reason"] is None
    assert silent["consent"] == f"{before}|image@{FETCHED} x-robots-tag=none"
    assert speaking["reason"] == "consent:image_tdm"
    assert speaking["consent"].count(" tdm=") == 2  # one of the page, one of the image


def test_dates_of_images_are_judged_at_the_latest_time_that_is_known():
    expires = header("unavailable_after: 1 Jan 2025 00:00:00 GMT")
    later = f"allowed|page@{COLLECTED} meta=none|page@{FETCHED} robots_txt=none"
    rows = [
        image(expires),
        image(expires, fetched_at=FETCHED),
        image(expires, page_consent=later),
        image(expires, collected_at=None, page_consent="allowed|page@ meta=none"),
    ]
    late = "consent:image_unavailable_after"
    assert reasons(judge_images(*rows)) == [None, late, late, None]


CHECKS = st.lists(
    st.builds(
        Check,
        st.sampled_from(["page", "image"]),
        st.sampled_from(["x-robots-tag", "meta", "tdm", "tdm-policy", "robots_txt", "ai_txt"]),
        st.sampled_from([NONE, ALLOWS, UNREACHABLE, forbids("noai"), forbids("tdm")])
        | st.text().map(as_value).filter(bool),
        st.sampled_from(["", COLLECTED, FETCHED]),
    )
).map(tuple)


@given(CHECKS)
def test_a_consent_is_read_back(checks):
    line = format_consent(checks)
    assert "\n" not in line
    assert parse_consent(line) == checks
    assert (line.split("|")[0] == "allowed") == (verdict(checks) is None)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "yes",
        "allowed|page",
        "allowed|page@ ",
        "allowed|site@ meta=none",
        "allowed|page@ meta",
        "allowed|page@ meta=forbids:noai",
        "forbidden:noai|page@ meta=none",
        "forbidden:noml|page@ meta=forbids:noai",
    ],
)
def test_a_line_that_contradicts_itself_or_is_none_is_an_error(line):
    with pytest.raises(ConsentError, match="consent"):
        parse_consent(line)


def test_parameters_that_mean_nothing_are_errors():
    with pytest.raises(ConsentError, match="'no-ai'; it may hold 'noai'"):
        ConsentParams(honour=("no-ai",))
    with pytest.raises(ConsentError, match="as_of = 'soon'"):
        ConsentParams(as_of="soon")
    with pytest.raises(FetchError, match="contact"):
        ConsentParams(live=True)
