"""Writes small web archives for the tests, with warcio, and remembers what lies where."""

import io
import zipfile

import pyarrow as pa
from PIL import Image
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from mella.builders.culture.archives.records import RecordsParams, records_step

PAGE = "<!doctype html><html lang=ru><img src=a.png alt='Кот'></html>".encode()
HTML = [("Content-Type", "text/html; charset=UTF-8"), ("Content-Language", "ru")]


def picture(kind="PNG", size=(8, 6)):
    data = io.BytesIO()
    Image.effect_noise(size, 90).convert("RGB").save(data, kind)
    return data.getvalue()


class Archive:
    """Writes a WARC with warcio and remembers where each record begins."""

    def __init__(self, *, gz=True):
        self.file = io.BytesIO()
        self.writer = WARCWriter(self.file, gzip=gz)
        self.offsets = []

    def add(self, url, body=PAGE, headers=HTML, status="200 OK", kind="response", **extra):
        self.offsets.append(self.file.tell())
        http = None
        if kind in ("response", "revisit"):
            http = StatusAndHeaders(status, headers, protocol="HTTP/1.1")
        record = self.writer.create_warc_record(
            url,
            kind,
            payload=io.BytesIO(body),
            http_headers=http,
            warc_content_type=dict(headers).get("Content-Type", "") if http is None else "",
            warc_headers_dict={"WARC-Date": "2024-01-02T03:04:05.678Z"}
            | {name.replace("_", "-"): value for name, value in extra.items()},
        )
        self.writer.write_record(record)
        return self

    @property
    def bytes(self):
        return self.file.getvalue()


def pages(count, *, gz=True):
    archive = Archive(gz=gz)
    for i in range(count):
        archive.add(f"http://a.example/{i}", PAGE + b"<p>%d</p>" % i * 200)
    return archive


def wacz(members, compression=zipfile.ZIP_STORED):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", compression) as archive:
        archive.writestr("datapackage.json", "{}")
        for name, content in members.items():
            archive.writestr(name, content)
    return data.getvalue()


PNG = picture()


def read(path, params=None, name="in"):
    step = records_step(params or RecordsParams())
    table = pa.table({"path": [str(path)], "name": [name]})
    return pa.concat_tables(step.apply(table, None)).to_pylist()


def kept(found):
    return [row["url"].rpartition("/")[2] for row in found if row["reason"] is None]


def rejected(found):
    return [(row["offset"], row["reason"]) for row in found if row["reason"]]
