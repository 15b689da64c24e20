r"""Judge a page by its address: what a list, a form or a basket is called in paths and queries.

The patterns are in the syntax of RE2 (which Python's `re` reads too), for DuckDB to run. Paths and
queries are compared in lower case. Words are those that sites of the eight languages use in
addresses, as they write them there: in English, in their language without accents, and (Serbian,
Russian) in Latin letters.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class UrlRule:
    """A reason to pass over a page.

    Attributes:
        reason: Its name.
        part: Which part of the URL is looked at.
        pattern: Found anywhere in it.
    """

    reason: str
    part: Literal["url_path", "url_query"]
    pattern: str


def _segment(*words: str) -> str:
    """Return a pattern of paths that have one of these words as a whole segment."""
    return rf"(?:^|/)(?:{'|'.join(words)})(?:\.[a-z]{{2,5}})?(?:/|$)"


def _key(*words: str) -> str:
    """Return a pattern of queries that have one of these keys."""
    return rf"(?:^|[&;])(?:{'|'.join(words)})(?:=|&|;|$)"


URL_RULES = (
    UrlRule(
        "discover:account",
        "url_path",
        _segment(
            *("log-?in", "log-?out", "sign-?in", "sign-?up", "sign-?out", "register"),
            *("registration", "account", "my-?account", "user", "password", "lost-?password"),
            *("wp-admin", "wp-login", "admin", "auth", "oauth", "prihlaseni", "registrace"),
            *("bejelentkezes", "regisztracio", "prijava", "registracija", "dang-nhap", "dang-ky"),
            *("vhod", "registracia", "registratsiya", "avtorizaciya"),
        ),
    ),
    UrlRule(
        "discover:shop",
        "url_path",
        _segment(
            *("cart", "basket", "checkout", "wishlist", "compare", "order", "orders"),
            *("kosik", "kosar", "penztar", "korpa", "gio-hang", "thanh-toan", "korzina", "zakaz"),
        ),
    ),
    UrlRule(
        "discover:list",
        "url_path",
        _segment(
            *("tags?", "category", "categories", "archives?", "author", "authors", "search"),
            *("find", "results?", "label", "labels", "topics?", "sitemap", "site-map"),
            *("stitek", "stitky", "kategorie", "hledat", "cimke", "kategoria", "kereses"),
            *("oznaka", "oznake", "kategorija", "pretraga", "tim-kiem", "tu-khoa", "chuyen-muc"),
            *("teg", "tegi", "metka", "poisk", "kategoriya"),
        ),
    ),
    UrlRule(
        "discover:paging",
        "url_path",
        r"(?:^|/)(?:page|strana|oldal|trang|str)[-/]?[0-9]+(?:\.[a-z]{2,5})?(?:/|$)",
    ),
    UrlRule(
        "discover:service",
        "url_path",
        _segment(
            *("privacy", "privacy-policy", "terms", "terms-of-(?:use|service)", "cookies?"),
            *("cookie-policy", "imprint", "contact", "contact-us", "kontakt", "lien-he"),
            *("feed", "rss", "atom", "print", "cgi-bin", "wp-json", "xmlrpc", "trackback", "embed"),
        ),
    ),
    UrlRule(
        "discover:paging",
        "url_query",
        # Not `p`: where WordPress has no other addresses, it is the number of a post.
        _key("page", "paged", "pg", "start", "offset", "strana", "oldal", "trang"),
    ),
    UrlRule(
        "discover:list",
        "url_query",
        _key("q", "s", "query", "search", "keyword", "tag", "sort", "order", "orderby", "filter"),
    ),
    UrlRule(
        "discover:session",
        "url_query",
        _key("sid", "s?ession_?id", "phpsessid", "jsessionid", "token", "replytocom", "add-to-cart")
        + r"|(?:^|[&;])utm_",
    ),
    UrlRule("discover:session", "url_path", r";jsessionid="),
    UrlRule(
        "discover:account",
        "url_query",
        _key("redirect", "redirect_to", "return_?(?:url|to)?", "login"),
    ),
)
"""Tried in this order: the first that fits counts."""
