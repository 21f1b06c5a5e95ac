"""The bytes of attached files: under their hash in the instance folder, once, however many records they hang on.

A file is written beside its place and moved there, so that whatever has a name is whole. Nothing is ever changed; what
no row and no restorable change names any more goes after the retention (`views/attachments.py` asks for it daily).
"""

import hashlib
import os
import tempfile
from pathlib import Path
from typing import NamedTuple

CHUNK = 1024 * 1024
HEAD = 4096  # bytes by which the kind of a file is told
UNTOUCHED = 24 * 3600  # seconds; what was brought later may belong to a row that is not committed yet


class TooLarge(ValueError):
    """A file has more bytes than it may."""


class Kept(NamedTuple):
    """A file that is kept: its hash, its size, and how it begins."""

    sha256: str
    size: int
    head: bytes


def folder_in(home):
    """Where the files of this installation lie."""
    return Path(home) / "attachments"


def path_of(folder, sha256):
    """Where the file with this hash lies; whether it is there, the caller asks."""
    return Path(folder) / sha256[:2] / sha256


def keep(folder, stream, *, most):
    """Keep what comes from a stream, if it is not kept yet; raises TooLarge beyond `most` bytes."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    seen, size, head = hashlib.sha256(), 0, b""
    handle, name = tempfile.mkstemp(prefix="new-", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            while chunk := stream.read(CHUNK):
                size += len(chunk)
                if size > most:
                    raise TooLarge
                head = head or chunk[:HEAD]
                seen.update(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        place = path_of(folder, seen.hexdigest())
        place.parent.mkdir(exist_ok=True)
        os.replace(name, place)  # the same bytes again: the file is as good, and as young as can be
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Kept(seen.hexdigest(), size, head)


def sweep(folder, needed, now):
    """Remove the files that are not among these hashes and lie untouched for a day; returns how many went."""
    swept = 0
    for path in Path(folder).glob("*/*"):
        if path.name not in needed and now.timestamp() - path.stat().st_mtime > UNTOUCHED:
            path.unlink(missing_ok=True)
            swept += 1
    for path in Path(folder).glob("new-*"):  # left by a process that was killed
        if now.timestamp() - path.stat().st_mtime > UNTOUCHED:
            path.unlink(missing_ok=True)
    return swept


# How files begin, the more exact first: (bytes, where they stand, media type).
_BEGINNINGS = (
    (b"%PDF-", 0, "application/pdf"),
    (b"\x89PNG\r\n\x1a\n", 0, "image/png"),
    (b"\xff\xd8\xff", 0, "image/jpeg"),
    (b"GIF87a", 0, "image/gif"),
    (b"GIF89a", 0, "image/gif"),
    (b"WEBP", 8, "image/webp"),
    (b"ftypheic", 4, "image/heic"),
    (b"ftypavif", 4, "image/avif"),
    (b"ftyp", 4, "video/mp4"),
    (b"II*\x00", 0, "image/tiff"),
    (b"MM\x00*", 0, "image/tiff"),
    (b"WAVE", 8, "audio/wav"),
    (b"ID3", 0, "audio/mpeg"),
    (b"OggS", 0, "audio/ogg"),
    (
        b"mimetypeapplication/vnd.oasis.opendocument.spreadsheet",
        30,
        "application/vnd.oasis.opendocument.spreadsheet",
    ),
    (b"mimetypeapplication/vnd.oasis.opendocument.text", 30, "application/vnd.oasis.opendocument.text"),
    (
        b"mimetypeapplication/vnd.oasis.opendocument.presentation",
        30,
        "application/vnd.oasis.opendocument.presentation",
    ),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0, "application/x-ole-storage"),  # Word, Excel and Outlook of old
    (b"\x1f\x8b", 0, "application/gzip"),
    (b"7z\xbc\xaf\x27\x1c", 0, "application/x-7z-compressed"),
    (b"{\\rtf", 0, "application/rtf"),
)
# What is inside a zip, by the names of its first members.
_IN_ZIP = (
    (b"word/", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    (b"xl/", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    (b"ppt/", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
)


def media_type_of(head):
    """What a file is, told from how it begins; its name is not asked. Any text, HTML and SVG too, is plain text."""
    for beginning, place, media_type in _BEGINNINGS:
        if head[place : place + len(beginning)] == beginning:
            return media_type
    if head.startswith(b"PK\x03\x04"):
        return next((found for name, found in _IN_ZIP if name in head), "application/zip")
    return "text/plain" if _is_text(head) else "application/octet-stream"


def _is_text(head):
    if b"\x00" in head:
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        return (
            error.start >= len(head) - 3 and error.reason == "unexpected end of data"
        )  # a letter cut in two
    return True
