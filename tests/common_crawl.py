"""Makes a small Common Crawl for the tests: archives, and their index in the real schema."""

import base64
import hashlib
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
from tldextract import TLDExtract

from web_archives import HTML, Archive

# As in `cc-index-schema-flat.json` of commoncrawl/cc-index-table; the crawl and the subset are
# partitions, not columns of the files.
SCHEMA = pa.schema(
    [
        ("url_surtkey", pa.string()),
        ("url", pa.string()),
        ("url_host_name", pa.string()),
        ("url_host_tld", pa.string()),
        ("url_host_2nd_last_part", pa.string()),
        ("url_host_3rd_last_part", pa.string()),
        ("url_host_4th_last_part", pa.string()),
        ("url_host_5th_last_part", pa.string()),
        ("url_host_registry_suffix", pa.string()),
        ("url_host_registered_domain", pa.string()),
        ("url_host_private_suffix", pa.string()),
        ("url_host_private_domain", pa.string()),
        ("url_host_name_reversed", pa.string()),
        ("url_protocol", pa.string()),
        ("url_port", pa.int32()),
        ("url_path", pa.string()),
        ("url_query", pa.string()),
        ("fetch_time", pa.timestamp("us", tz="UTC")),
        ("fetch_status", pa.int16()),
        ("fetch_redirect", pa.string()),
        ("content_digest", pa.string()),
        ("content_mime_type", pa.string()),
        ("content_mime_detected", pa.string()),
        ("content_charset", pa.string()),
        ("content_languages", pa.string()),
        ("content_truncated", pa.string()),
        ("warc_filename", pa.string()),
        ("warc_record_offset", pa.int32()),
        ("warc_record_length", pa.int32()),
        ("warc_segment", pa.string()),
    ]
)
TIME = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
SEGMENT = "1700000000000.1"
_extract = TLDExtract(suffix_list_urls=(), cache_dir=None)


def warc_name(number):
    folder = f"crawl-data/CC-MAIN-2024-10/segments/{SEGMENT}/warc"
    return f"{folder}/CC-MAIN-20240102-{number:05d}.warc.gz"


def entry(url, languages="rus", **given):
    """Return a row of the index for a page; `given` replaces columns."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    labels = host.split(".")[::-1]
    found = _extract(host)
    row = {
        "url_surtkey": f"{','.join(labels)}){parts.path}",
        "url": url,
        "url_host_name": host,
        "url_host_tld": labels[0],
        "url_host_registry_suffix": found.suffix or None,
        "url_host_registered_domain": found.top_domain_under_public_suffix or None,
        "url_protocol": parts.scheme,
        "url_port": parts.port,
        "url_path": parts.path,
        "url_query": parts.query or None,
        "fetch_time": TIME,
        "fetch_status": 200,
        "content_digest": digest(url.encode()),
        "content_mime_type": "text/html",
        "content_mime_detected": "text/html",
        "content_charset": "UTF-8",
        "content_languages": languages,
        "warc_filename": warc_name(0),
        "warc_record_offset": 0,
        "warc_record_length": 1000,
        "warc_segment": SEGMENT,
    }
    return row | given


def digest(body):
    return base64.b32encode(hashlib.sha1(body).digest()).decode()


def write_index(path, rows, *, without=()):
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(rows, schema=SCHEMA).drop_columns(list(without))
    pq.write_table(table, path)
    return str(path)


class Crawl:
    """Archives in the folders of the bucket, and the rows that an index has for them."""

    def __init__(self, folder):
        self.folder = folder
        self.rows = []
        self.archives = {}

    def add(self, url, body, languages, *, number=0, headers=HTML, **given):
        """Put a page into archive `number`."""
        archive = self.archives.setdefault(number, Archive())
        start = archive.file.tell()
        # As in a real crawl, a request stands before each response.
        archive.add(url, b"GET / HTTP/1.1\r\n\r\n", kind="request")
        start = archive.file.tell()
        archive.add(url, body, headers)
        place = {
            "warc_filename": warc_name(number),
            "warc_record_offset": start,
            "warc_record_length": archive.file.tell() - start,
            "content_digest": digest(body),
        }
        self.rows.append(entry(url, languages, **(place | given)))

    def write(self):
        """Write archives and index; return the path of the index."""
        for number, archive in self.archives.items():
            path = self.folder / warc_name(number)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(archive.bytes)
        table = "cc-index/table/cc-main/warc/crawl=CC-MAIN-2024-10/subset=warc/part-00000.parquet"
        return write_index(self.folder / table, self.rows)
