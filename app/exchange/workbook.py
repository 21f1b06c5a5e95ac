"""An XLSX workbook, written while its rows come: the first bytes leave before the last row is read.

By our own hand, because libraries write the packed file only when all rows are there: a million of them would keep
reader and proxy waiting for minutes, and lie on the disk twice. Texts are texts, never formulas, and numbers, days and
yes or no are cells of their own kind. SpreadsheetML as in ECMA-376, part 1, 18.
"""

import re
from datetime import date, datetime
from decimal import Decimal
from itertools import chain, islice
from xml.sax.saxutils import escape
from zipfile import ZIP_DEFLATED, ZipFile

from app.exchange import formulas

MOST_ROWS = 1_048_576  # of a sheet, its header counted
MOST_BYTES = (
    1_500_000_000  # of a sheet before it is packed: beyond 2 GB it would need ZIP64, which Excel repairs
)
LONGEST = 32_767  # letters of a cell
MOST_NOTED = 1_000  # cells that were too long, as they are listed
AT_ONCE = 64 * 1024

_EPOCH = date(1899, 12, 30)
_FIRST_DAY = date(1900, 3, 1)  # before it, spreadsheets count a 29 February that never was
_UNWRITABLE = re.compile(r"[\x00-\x08\x0b-\x1f\ufffe\uffff]|_(?=x[0-9A-Fa-f]{4}_)")
_ODD = re.compile(r"[\x00-\x08\x0b-\x1f\ufffe\uffff&<>_]")

# The formats of cells, by their place in styles.xml.
_PLAIN, _HEAD, _DAY, _MOMENT, _AMOUNT, _QUOTED = range(6)


def workbook(title, headers, rows, *, too_long="Too long for a cell", mark=None):
    """The bytes of a workbook, piece by piece. `rows` yields lists of str, int, Decimal, date, datetime, bool or None.

    A moment is written as the clock shows it: give it without a zone. What has no room in a cell stays empty and is
    named on a last sheet, called `too_long`. `mark` stands in the properties of the document.
    """
    sink, left_out = _Sink(), []
    names = [_letters(position) for position in range(len(headers))]
    rows, sheets = iter(rows), []
    with ZipFile(sink, "w", ZIP_DEFLATED, compresslevel=2) as archive:
        archive.writestr("[Content_Types].xml", _CONTENT_TYPES)
        archive.writestr("_rels/.rels", _ROOT_LINKS)
        archive.writestr("docProps/core.xml", _PROPERTIES.format(mark=escape(mark or "")))
        while not sheets or (first := next(rows, None)) is not None:
            if sheets:
                rows = chain([first], rows)
            sheets.append(_sheet_name(title, len(sheets) + 1))
            with archive.open(f"xl/worksheets/sheet{len(sheets)}.xml", "w") as file:
                yield from _sheet(file, sink, names, headers, rows, sheets[-1], left_out)
        if left_out:
            sheets.append(_sheet_name(too_long, 1))
            with archive.open(f"xl/worksheets/sheet{len(sheets)}.xml", "w") as file:
                yield from _sheet(file, sink, "ABC", ["", "", ""], iter(left_out), sheets[-1], [])
        archive.writestr("xl/workbook.xml", _book(sheets))
        archive.writestr("xl/_rels/workbook.xml.rels", _book_links(sheets))
        archive.writestr("xl/styles.xml", _STYLES)
    yield sink.take()


class _Sink:
    """What the archive writes into, and the answer is taken from."""

    def __init__(self):
        self.parts = []

    def write(self, part):
        self.parts.append(bytes(part))
        return len(part)

    def flush(self):
        """Nothing is held back."""

    def take(self):
        taken, self.parts = b"".join(self.parts), []
        return taken


def _sheet(file, sink, names, headers, rows, sheet, left_out):
    """Write one sheet as far as it goes; what is left of the rows is for the next."""
    file.write(_SHEET_HEAD.format(last=len(headers)).encode())
    head = "".join(_text(f"{name}1", header, _HEAD) for name, header in zip(names, headers, strict=True))
    lines, size, written = [f'<row r="1">{head}</row>'], 0, 0
    for number, row in enumerate(islice(rows, MOST_ROWS - 1), start=2):
        cells = []
        for name, value in zip(names, row, strict=True):
            if value is None or value == "":
                continue
            kind = type(value)
            if kind is str:
                if len(value) > LONGEST // 2 and _is_too_long(value):
                    if len(left_out) < MOST_NOTED:
                        left_out.append([sheet, f"{name}{number}", len(value)])
                    continue
                cells.append(_text(f"{name}{number}", value, _QUOTED if formulas.is_armed(value) else _PLAIN))
            else:
                cells.append(_cell(f"{name}{number}", value, kind))
        line = f'<row r="{number}">{"".join(cells)}</row>'
        lines.append(line)
        size += len(line)
        if size > AT_ONCE:
            written += file.write("".join(lines).encode())
            lines, size = [], 0
            if packed := sink.take():
                yield packed
            if written > MOST_BYTES:
                break
    file.write(("".join(lines) + "</sheetData></worksheet>").encode())


def _cell(name, value, kind):
    if kind is bool:
        return f'<c r="{name}" t="b"><v>{value:d}</v></c>'
    if kind is int:
        return f'<c r="{name}"><v>{value}</v></c>'
    if kind is Decimal:
        style = _AMOUNT if value.as_tuple().exponent == -2 else _PLAIN
        return f'<c r="{name}" s="{style}"><v>{value:f}</v></c>'
    if kind is datetime and value.date() >= _FIRST_DAY:
        seconds = value.hour * 3600 + value.minute * 60 + value.second
        serial = (value.date() - _EPOCH).days + seconds / 86400
        return f'<c r="{name}" s="{_MOMENT}"><v>{serial!r}</v></c>'
    if kind is date and value >= _FIRST_DAY:
        return f'<c r="{name}" s="{_DAY}"><v>{(value - _EPOCH).days}</v></c>'
    return _text(name, value.isoformat(), _PLAIN)


def _text(name, value, style):
    """A text as a cell; one that looks like a formula is marked as text, also for whoever edits it."""
    if _ODD.search(value):
        value = _UNWRITABLE.sub(lambda found: f"_x{ord(found[0]):04X}_", escape(value))
    return f'<c r="{name}" s="{style}" t="inlineStr"><is><t xml:space="preserve">{value}</t></is></c>'


def _is_too_long(text):
    return len(text.encode("utf-16-le")) // 2 > LONGEST


def _letters(position):
    """How a spreadsheet calls a column: 0 is A, 26 is AA."""
    name, position = "", position + 1
    while position:
        position, rest = divmod(position - 1, 26)
        name = chr(65 + rest) + name
    return name


def _sheet_name(title, number):
    """At most 31 letters, without the signs that mean something in addresses."""
    name = " ".join(re.sub(r"[\[\]:*?/\\]", " ", title).split()).strip("'") or "Sheet"
    return name[:31] if number == 1 else f"{name[:26]} {number}"


# --------------------------------------------------------------------------------------------- the other parts

_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_LINKS = "http://schemas.openxmlformats.org/package/2006/relationships"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_KIND = "application/vnd.openxmlformats-officedocument.spreadsheetml"

# Every XML part is a sheet unless it is said otherwise: how many there will be is not known when this is written.
_CONTENT_TYPES = (
    f'{_XML}<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    f'<Default Extension="xml" ContentType="{_KIND}.worksheet+xml"/>'
    f'<Override PartName="/xl/workbook.xml" ContentType="{_KIND}.sheet.main+xml"/>'
    f'<Override PartName="/xl/styles.xml" ContentType="{_KIND}.styles+xml"/>'
    '<Override PartName="/docProps/core.xml" '
    'ContentType="application/vnd.openxmlformats-package.core-properties+xml"/></Types>'
)
_ROOT_LINKS = (
    f'{_XML}<Relationships xmlns="{_LINKS}">'
    f'<Relationship Id="rId1" Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/>'
    '<Relationship Id="rId2" Type="http://schemas.openxmlformats.org/package/2006/relationships/metadata/'
    'core-properties" Target="docProps/core.xml"/></Relationships>'
)
_PROPERTIES = (
    f'{_XML}<cp:coreProperties '
    'xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties" '
    'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:creator>Foyer</dc:creator>'
    "<cp:keywords>{mark}</cp:keywords></cp:coreProperties>"
)
_STYLES = (
    f'{_XML}<styleSheet xmlns="{_MAIN}">'
    '<numFmts count="2"><numFmt numFmtId="164" formatCode="yyyy\\-mm\\-dd"/>'
    '<numFmt numFmtId="165" formatCode="yyyy\\-mm\\-dd\\ hh:mm:ss"/></numFmts>'
    '<fonts count="2"><font><sz val="11"/><name val="Calibri"/></font>'
    '<font><b/><sz val="11"/><name val="Calibri"/></font></fonts>'
    '<fills count="2"><fill><patternFill patternType="none"/></fill>'
    '<fill><patternFill patternType="gray125"/></fill></fills>'
    '<borders count="1"><border><left/><right/><top/><bottom/><diagonal/></border></borders>'
    '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs>'
    '<cellXfs count="6">'
    '<xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>'
    '<xf numFmtId="0" fontId="1" fillId="0" borderId="0" xfId="0" applyFont="1" quotePrefix="1"/>'
    '<xf numFmtId="164" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
    '<xf numFmtId="165" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
    '<xf numFmtId="4" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/>'
    '<xf numFmtId="49" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1" quotePrefix="1"/>'
    "</cellXfs>"
    '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles></styleSheet>'
)
_SHEET_HEAD = (
    f'{_XML}<worksheet xmlns="{_MAIN}"><sheetViews><sheetView workbookViewId="0">'
    '<pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView></sheetViews>'
    '<cols><col min="1" max="{last}" width="18" customWidth="1"/></cols><sheetData>'
)


def _book(sheets):
    listed = "".join(
        f'<sheet name="{escape(name, {chr(34): "&quot;"})}" sheetId="{number}" r:id="rId{number}"/>'
        for number, name in enumerate(sheets, start=1)
    )
    return f'{_XML}<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>{listed}</sheets></workbook>'


def _book_links(sheets):
    listed = "".join(
        f'<Relationship Id="rId{number}" Type="{_OFFICE}/worksheet" Target="worksheets/sheet{number}.xml"/>'
        for number in range(1, len(sheets) + 1)
    )
    styles = f'<Relationship Id="rId{len(sheets) + 1}" Type="{_OFFICE}/styles" Target="styles.xml"/>'
    return f'{_XML}<Relationships xmlns="{_LINKS}">{listed}{styles}</Relationships>'
