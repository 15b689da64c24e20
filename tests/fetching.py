"""A fetcher with leave to ask local sites, and two sites to ask."""

import pytest

from mella.builders.culture.fetch import Fetcher, FetchParams
from web_site import Site

OPEN = FetchParams(
    contact="https://example.org/crawl",
    allow_private=True,
    respect_robots=False,
    per_host_delay_s=0.0,
    backoff_s=0.01,
)


def params(**changes):
    return FetchParams(**{**vars(OPEN), **changes})


@pytest.fixture
def site():
    site = Site()
    yield site
    site.close()


@pytest.fixture
def other():
    site = Site()
    yield site
    site.close()


def fetch_all(urls, params):
    return Fetcher(params).fetch(urls)


def one(url, **changes):
    return fetch_all([url], params(**changes))[0]
