"""XLSX, XLS and ODS. A process of its own unpacks them, with little memory and time, so that no file can hurt more.

Before that, the parts of a packed workbook are counted as they unpack (what a bomb declares may be a lie), and XML that
brings entities is refused. Macros are never run nor looked at: only the values of cells come out.
"""

import json
import re
import subprocess
import sys
import zipfile
import zlib
from datetime import date, datetime
from io import BytesIO
from pathlib import Path

from app.exchange.files import limits
from app.exchange.files.table import LOOKED_AT, Note, Record, refuse, table_from
from app.exchange.reading import legible
from app.extensions import N_

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
CHILD = Path(__file__).with_name("unpack.py")
ODS_TYPES = (b"application/vnd.oasis.opendocument.spreadsheet",)

NOT_READ = N_("the workbook is broken or was cut off: %(reason)s")
PASSWORD = N_("the workbook is locked with a password; save it without one")
TOO_LARGE = N_("the workbook takes more memory than %(most)s MB to read; save the sheet as CSV")
TOO_LONG = N_("the workbook takes too long to read; save the sheet as CSV")


def read(raw, name, choice):
    """The table in one sheet of a workbook: the chosen, or the first that is visible and holds something."""
    format, notes = (_look_into_ole if raw.startswith(OLE) else _look_into_zip)(raw, name)
    said, *answers = list(_answers(raw, name, choice.sheet, head=LOOKED_AT))
    if said["sheet"] is None:
        if choice.sheet in (None, *said["sheets"]):
            refuse(name, N_("no sheet of the workbook holds anything"))
        refuse(name, N_("there is no sheet “%(sheet)s”"), sheet=legible(choice.sheet))

    def records():
        return _records(_answers(raw, name, said["sheet"]))

    return table_from(
        name,
        format,
        choice,
        records,
        head=list(_records(answers)),
        is_aligned=True,
        sheet=said["sheet"],
        sheets=said["sheets"],
        notes=notes,
    )


# --------------------------------------------------------------------------------------------- before it is unpacked


def _look_into_zip(raw, name):
    if len(raw) > limits.SHEET_BYTES:
        message = N_("the workbook has more than %(most)s MB; save the sheet as CSV")
        refuse(name, message, most=limits.SHEET_BYTES // 2**20)
    try:
        with zipfile.ZipFile(BytesIO(raw)) as archive:
            members = archive.infolist()
            names = {member.filename for member in members}
            format = _kind(archive, names, name)
            if len(members) > limits.PARTS:
                refuse(name, N_("the workbook has too many parts"))
            if sum(member.file_size for member in members) > limits.UNPACKED_BYTES:
                _refuse_bomb(name)
            if any(member.flag_bits & 1 for member in members):
                refuse(name, PASSWORD)
            _unpack_all(archive, members, name)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, ValueError) as error:
        refuse(name, NOT_READ, reason=legible(str(error)))
    notes = []
    if any(part.endswith("vbaProject.bin") or part.startswith("Basic/") for part in names):
        notes.append(Note(N_("The workbook holds macros. They are neither run nor kept.")))
    return format, notes


def _kind(archive, names, name):
    if "xl/workbook.xml" in names:
        return "XLSX"
    if "xl/workbook.bin" in names:
        refuse(name, N_("this is a binary workbook (XLSB); save it as XLSX"))
    if "word/document.xml" in names or "ppt/presentation.xml" in names:
        refuse(name, N_("this is a text document or a presentation; the table must be saved as CSV or XLSX"))
    if "mimetype" in names:
        with archive.open("mimetype") as part:
            kind = part.read(200).strip()
        if kind.startswith(ODS_TYPES):
            return "ODS"
        refuse(name, N_("this is a text document or a presentation; the table must be saved as CSV or XLSX"))
    refuse(name, N_("this is a packed file; unpack it first"))


def _unpack_all(archive, members, name):
    """Count what really comes out, piece by piece and never held; look for entities on the way."""
    left = limits.UNPACKED_BYTES
    for member in members:
        is_xml = member.filename.endswith((".xml", ".rels", ".vml"))
        with archive.open(member) as part:
            is_first = True
            while piece := part.read(1024 * 1024):
                left -= len(piece)
                if left < 0:
                    _refuse_bomb(name)
                # A DTD stands before the first element; without its NULs, UTF-16 reads like ASCII.
                if (
                    is_first
                    and is_xml
                    and re.search(rb"<!(DOCTYPE|ENTITY)", piece[:65536].replace(b"\0", b""))
                ):
                    message = N_("“%(part)s” in the workbook defines entities, which no spreadsheet does")
                    refuse(name, message, part=legible(member.filename))
                is_first = False


def _refuse_bomb(name):
    message = N_("unpacked, the workbook has more than %(most)s MB; save the sheet as CSV")
    refuse(name, message, most=limits.UNPACKED_BYTES // 2**20)


def _look_into_ole(raw, name):
    def holds(stream):
        return stream.encode("utf-16-le") in raw

    if holds("EncryptedPackage"):
        refuse(name, PASSWORD)
    if holds("WordDocument") or holds("PowerPoint Document"):
        refuse(name, N_("this is a text document or a presentation; the table must be saved as CSV or XLSX"))
    if not holds("Workbook") and not holds("Book"):
        refuse(name, N_("this is an old workbook that was cut off, or no workbook at all"))
    notes = []
    if holds("_VBA_PROJECT"):
        notes.append(Note(N_("The workbook holds macros. They are neither run nor kept.")))
    return "XLS", notes


# --------------------------------------------------------------------------------------------- the other process


def _records(answers):
    for answer in answers:
        for number, cells in answer["rows"]:
            yield Record(number, None, [_value(cell) for cell in cells])


def _value(cell):
    """A value as it came over the pipe: dates travel as a list with their text."""
    if type(cell) is list:
        text = cell[0]
        return datetime.fromisoformat(text) if "T" in text else date.fromisoformat(text)
    return "" if cell is None else cell


def _answers(raw, name, sheet, head=None):
    """Start the process, give it the bytes, yield its answers; its end, however it comes, is put into words."""
    order = {
        "sheet": sheet,
        "head": head,
        "bytes": len(raw),
        "memory": limits.READER_MEMORY,
        "seconds": limits.READER_SECONDS,
        "cell": limits.CELL,
    }
    process = subprocess.Popen(
        [sys.executable, "-I", str(CHILD)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={},
    )
    try:
        try:
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.write(raw)
            process.stdin.close()
        except BrokenPipeError:
            pass  # it ended before it had read all: its end says why
        has_ended = False
        for line in process.stdout:
            answer = json.loads(line)
            if "end" in answer:
                has_ended = True
            elif "refused" in answer:
                _refuse_answer(name, answer)
            else:
                yield answer
        if not has_ended:
            _refuse_death(name, process.wait())
    finally:
        process.stdout.close()
        if process.poll() is None:
            process.kill()
        process.wait()


def _refuse_answer(name, answer):
    if answer["refused"] == "password":
        refuse(name, PASSWORD)
    if answer["refused"] == "memory":
        refuse(name, TOO_LARGE, most=limits.READER_MEMORY // 2**20)
    if answer["refused"] == "cell":
        message = N_("a value has more than %(most)s characters")
        refuse(name, message, row=answer["row"], column=answer["column"], most=f"{limits.CELL:,}")
    refuse(name, NOT_READ, reason=legible(answer["reason"]))


def _refuse_death(name, code):
    if -code in (24, 9):  # SIGXCPU, and what follows when it is not heeded
        refuse(name, TOO_LONG)
    refuse(name, TOO_LARGE, most=limits.READER_MEMORY // 2**20)
