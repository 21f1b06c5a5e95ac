"""FEBRL, made-up Australians of whom some stand twice, spelled differently: what duplicate finders are measured on.

Every CSV file of the folder is one file of the family. Street number and address lines become the street, the suburb
the city. A birthday that is in no calendar (the makers garble some on purpose) is kept in the notes. The national
insurance number is left out: nobody should be found by it. Ids are kept under the source "febrl": "rec-12-org" and
"rec-12-dup-0" are the same person.
"""

import re
from datetime import date

from app.exchange.recipe import Make, Recipe, Sheet, column, needed
from app.extensions import N_

SOURCE = "febrl"
NO_NAME = "–"  # a contact has a last name, and a garbled person may have lost both

LEFT_OUT = N_("a finder of duplicates must not lean on it")
DERIVED = N_("follows from the birthday")


def recipe_for(folder):
    """The recipe over the CSV files that lie in this folder."""
    files = sorted(path.name for path in folder.glob("*.csv"))
    return Recipe(
        name="febrl", sheets=tuple(_sheet(file) for file in files or ["dataset1.csv"]), check=_check_ids
    )


def _sheet(file):
    return Sheet(
        file,
        key=("rec_id",),
        source=SOURCE,
        columns=(
            needed("rec_id"),
            column("given_name"),
            column("surname"),
            column("street_number"),
            column("address_1"),
            column("address_2"),
            column("suburb"),
            column("postcode"),
            column("state"),
            column("date_of_birth"),
            column("soc_sec_id", left_out=LEFT_OUT),
            column("phone_number", optional=True),
            column("age", optional=True, left_out=DERIVED),
            column("blocking_number", optional=True, left_out=LEFT_OUT),
        ),
        makes=(
            Make(
                "contact",
                {
                    "first_name": _first_name,
                    "last_name": _last_name,
                    "birth_date": lambda row, world: _day(row["date_of_birth"]),
                    "street": _street,
                    "city": "suburb",
                    "postal_code": "postcode",
                    "region": "state",
                    "phone": "phone_number",
                    "notes": _note,
                    "department_id": lambda row, world: world.choices["department"].id,
                },
            ),
        ),
    )


def _check_ids(rows):
    """Files that belong together (4a and 4b) share no id; others must not come in together."""
    seen = {}
    for file, sheet_rows in rows.items():
        for row in sheet_rows:
            if seen.setdefault(row.key, file) != file:
                message = N_("the id %(key)s stands in %(file)s already")
                yield row.refusal("rec_id", message, key=row.key, file=seen[row.key])


def _first_name(row, world):
    return row["given_name"] if row["surname"] else None


def _last_name(row, world):
    return row["surname"] or row["given_name"] or NO_NAME


def _street(row, world):
    first = " ".join(part for part in (row["street_number"], row["address_1"]) if part)
    return ", ".join(part for part in (first, row["address_2"]) if part) or None


def _day(text):
    """The birthday written as 19700131, or None where no such day ever was."""
    found = re.fullmatch(r"(\d{4})(\d\d)(\d\d)", text or "", re.ASCII)
    if not found:
        return None
    try:
        return date(*map(int, found.groups()))
    except ValueError:
        return None


def _note(row, world):
    text = row["date_of_birth"]
    return f"Date of birth: {text}" if text and _day(text) is None else None
