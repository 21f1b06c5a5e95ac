"""What leaves the house: every export is written down, and carries a code by which a leaked file is traced to it.

The entry is written before the first row goes out, in a short transaction of its own, and told at the end how many did:
a file that nobody knows of cannot exist. docs/decisions/0016-traces-and-approvals.md says what carries the code.
"""

import io
import re
import secrets
import zipfile
import zlib

from sqlalchemy import select

from app import access
from app.models import Document, ReadEntry

LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # without those that are mistaken for each other
LENGTH = 12  # letters: 60 bits
MARK = "foyer-trace:"
_TRACE = re.compile(rf"{MARK}([{LETTERS}]{{{LENGTH}}})".encode())
_TYPED = re.compile(rf"[{LETTERS}]{{{LENGTH}}}")

MOST_UNPACKED = 64 * 1024 * 1024  # bytes of a workbook that are looked through


def new_trace():
    """A code that nobody guesses."""
    return "".join(secrets.choice(LETTERS) for _ in range(LENGTH))


def mark_of(trace):
    """What a file carries of its trace."""
    return f"{MARK}{trace}"


def write_down(principal, *, kind, entity, question, at, trace=None, record_id=None, rows=0):
    """One entry of the ledger of reads, committed at once; returns its id. The caller's session must not be writing."""
    with access.system_session("ledger of reads", door="page") as session:
        entry = ReadEntry(
            at=at,
            owner_id=principal.id,
            department_id=principal.department_id,
            kind=kind,
            entity=entity,
            record_id=record_id,
            question=question,
            rows=rows,
            trace=trace,
        )
        session.add(entry)
        session.flush()
        return entry.id


def say_how_many(entry_id, rows):
    """How many rows really went out, once the last one did or the reader hung up."""
    with access.system_session("ledger of reads", door="page") as session:
        session.get(ReadEntry, entry_id).rows = rows


class Tally:
    """Counts what passes."""

    def __init__(self):
        self.rows = 0

    def of(self, rows):
        for row in rows:
            self.rows += 1
            yield row


# --------------------------------------------------------------------------------------------- which file is this?


def typed_trace(text):
    """The code in what somebody typed or pasted, or None."""
    found = _TYPED.search("".join(text.upper().split()).replace(MARK.upper(), ""))
    return found[0] if found else None


def find_trace(content):
    """The code that the bytes of a file carry, whatever the file is called by now, or None."""
    for text in (content, content.replace(b"\x00", b"")):  # also where texts take two bytes a letter
        if found := _TRACE.search(text):
            return found[1].decode()
    if content.startswith(b"%PDF"):
        return _find_in_streams(content)
    if zipfile.is_zipfile(io.BytesIO(content)):
        return _find_in_parts(content)
    return None


def _find_in_streams(content):
    """What describes a PDF is packed among its other parts."""
    left, most, view = MOST_UNPACKED, MOST_UNPACKED // 16, memoryview(content)
    for start in re.finditer(rb"stream\r?\n", content):
        try:
            unpacked = zlib.decompressobj().decompress(view[start.end() :], most)
        except zlib.error:
            continue  # a picture, or no beginning at all
        left -= len(unpacked)
        if found := _TRACE.search(unpacked):
            return found[1].decode()
        if left <= 0:
            break
    return None


def _find_in_parts(content):
    """A workbook is a packed folder of texts."""
    left = MOST_UNPACKED
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for part in sorted(archive.infolist(), key=lambda one: one.file_size):
            left -= part.file_size
            if left < 0:
                return None
            try:
                with archive.open(part) as file:
                    unpacked = file.read(part.file_size)
            except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError):
                continue  # damaged, or locked with a password
            if found := _TRACE.search(unpacked):
                return found[1].decode()
    return None


def entries_of(session, trace=None, digest=None, most=50):
    """The entries that the reader may see for a trace, or for the SHA-256 of a paper that is kept; newest first."""
    statement = select(ReadEntry).order_by(ReadEntry.id.desc()).limit(most)
    if trace is not None:
        return session.scalars(statement.where(ReadEntry.trace == trace)).all()
    papers = select(Document.entity, Document.record_id).where(Document.sha256 == digest)
    found = session.execute(papers).all()
    return [
        entry
        for entity, key in found
        for entry in session.scalars(statement.where(ReadEntry.entity == entity, ReadEntry.record_id == key))
    ]
