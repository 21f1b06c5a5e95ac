"""Unpacks a workbook in a process of its own, run by `spreadsheets`: an order and bytes in, lines of JSON out.

It imports nothing of the application and has just so much memory and time: a workbook that asks for more ends this
process and nothing else.
"""

import io
import json
import resource
import sys
from datetime import date, datetime, time, timedelta

ROWS_A_LINE = 500


def main():
    order = json.loads(sys.stdin.buffer.readline())
    resource.setrlimit(resource.RLIMIT_AS, (order["memory"],) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (order["seconds"],) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        import python_calamine as calamine

        raw = sys.stdin.buffer.read(order["bytes"])
        try:
            book = calamine.load_workbook(io.BytesIO(raw))
            del raw
            names = visible_sheets(book, calamine)
            sheet = open_sheet(book, names, order["sheet"])
            if order["head"]:
                say(sheets=names, sheet=sheet.name if sheet is not None else None)
            if sheet is not None:
                say_rows(sheet, order["cell"], order["head"])
        except calamine.PasswordError:
            say(refused="password")
        except (calamine.CalamineError, calamine.XmlError, calamine.ZipError, OSError, ValueError) as error:
            say(refused="broken", reason=f"{error}"[:200])
        except BaseException as error:  # a panic of the library is no Exception
            if isinstance(error, MemoryError):
                raise
            say(refused="broken", reason=type(error).__name__)
        say(end=True)
    except MemoryError:
        say(refused="memory")


def visible_sheets(book, calamine):
    """The names of the sheets that people see."""
    table, shown = calamine.SheetTypeEnum.WorkSheet, calamine.SheetVisibleEnum.Visible
    return [sheet.name for sheet in book.sheets_metadata if sheet.typ == table and sheet.visible == shown]


def open_sheet(book, names, wanted):
    """The wanted sheet, or the first that holds anything."""
    for name in names if wanted is None else [wanted] if wanted in names else []:
        sheet = book.get_sheet_by_name(name)
        if sheet.start is not None or wanted:
            return sheet
    return None


def say_rows(sheet, longest, most):
    """Each row with its number, as the spreadsheet counts; empty space on the left keeps its columns."""
    if sheet.start is None:
        return
    first, left = sheet.start
    rows = []
    for number, cells in enumerate(sheet.iter_rows(), start=first + 1):
        shown = [""] * left
        for position, cell in enumerate(cells):
            if type(cell) is str:
                if len(cell) > longest:
                    say(refused="cell", row=number, column=left + position + 1)
                    return
                shown.append(cell)
            else:
                shown.append(plain(cell))
        rows.append((number, shown))
        if most and number - first == most:
            break
        if len(rows) == ROWS_A_LINE:
            say(rows=rows)
            rows = []
    if rows:
        say(rows=rows)


def plain(cell):
    """A value as JSON has it; a number without places is whole, for spreadsheets know no others."""
    if isinstance(cell, float):
        return int(cell) if cell.is_integer() and abs(cell) < 2**53 else cell
    if isinstance(cell, datetime | date):
        return [cell.isoformat()]
    if isinstance(cell, time | timedelta):
        return str(cell)
    return cell


def say(**answer):
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
