"""A bucket on this machine: as much of S3's protocol as reading takes, over the files of a folder."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

SECRET = "planted-secret"


@contextmanager
def bucket(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """The URI of the folder as a bucket's, and a list that every path asked for joins."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked.append(self.path)
            parts = urlsplit(self.path)
            key = unquote(parts.path).removeprefix("/data").lstrip("/")
            if key:
                file = folder / key
                self.send(file.read_bytes() if file.is_file() else None)
            else:
                self.send(listing(folder, parse_qs(parts.query).get("prefix", [""])[0]))

        do_HEAD = do_GET  # noqa: N815

        def send(self, content: bytes | None) -> None:
            self.send_response(200 if content is not None else 404)
            self.send_header("Content-Length", str(len(content or b"")))
            self.send_header("Last-Modified", "Sun, 01 Nov 2026 00:00:00 GMT")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content or b"")

        def log_message(self, format: str, *_: object) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    options = f"scheme=http&region=us-east-1&endpoint_override=127.0.0.1%3A{server.server_port}"
    yield f"s3://key:{SECRET}@data?{options}", asked
    server.shutdown()
    server.server_close()


def listing(folder: Path, prefix: str) -> bytes:
    """What lies right under a prefix, which ends in a slash: folders, then files."""
    where = folder / prefix
    found = sorted(where.iterdir()) if where.is_dir() else []
    folders = "".join(
        f"<CommonPrefixes><Prefix>{escape(prefix + each.name)}/</Prefix></CommonPrefixes>"
        for each in found
        if each.is_dir()
    )
    files = "".join(
        f"<Contents><Key>{escape(prefix + each.name)}</Key><Size>{each.stat().st_size}</Size>"
        "<LastModified>2026-11-01T00:00:00.000Z</LastModified></Contents>"
        for each in found
        if each.is_file()
    )
    counted = f"<IsTruncated>false</IsTruncated><KeyCount>{len(found)}</KeyCount>"
    return f"<ListBucketResult><Name>data</Name>{counted}{files}{folders}</ListBucketResult>".encode()
