"""People of whom some stand twice, as contacts under the ids of their file."""

import pytest
from rich.console import Console
from sqlalchemy import select

from app.commands.import_ import run_import
from app.exchange.reading import Refused
from app.models import Contact, ExternalKey

HEADER = (
    "rec_id, given_name, surname, street_number, address_1, address_2, suburb, postcode, state, "
    "date_of_birth, soc_sec_id"
)
ROWS = [
    "rec-1-org, lachlan, berry, 69, giblin street, killarney, bittern, 4814, qld, 19990219, 7364009",
    "rec-1-dup-0, lachlan, , , , , bittern, 4814, qld, 19371233, 7364009",
    "rec-2-org, , , 3, mill road, , , 2000, , , 1",
]


@pytest.fixture
def bring_in(app, tmp_path):
    def work(**files):
        for name, lines in files.items():
            (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
        with app.app_context():
            return run_import(app, "febrl", tmp_path, "Sales", Console(quiet=True))[1]

    return work


def test_people_become_contacts_under_the_ids_of_their_file(bring_in, as_system):
    assert bring_in(dataset1=[HEADER, *ROWS]).records == {"contact": 3}
    with as_system() as session:
        found = {
            key.their_id: session.get(Contact, key.record_id)
            for key in session.scalars(select(ExternalKey).where(ExternalKey.source == "febrl"))
        }
        whole, garbled, nameless = (found[key] for key in ("rec-1-org", "rec-1-dup-0", "rec-2-org"))
        assert (whole.first_name, whole.last_name) == ("lachlan", "berry")
        assert (whole.street, whole.city) == ("69 giblin street, killarney", "bittern")
        assert (whole.postal_code, whole.region) == ("4814", "qld")
        assert whole.birth_date.isoformat() == "1999-02-19" and whole.notes is None
        assert (garbled.first_name, garbled.last_name, garbled.birth_date) == (None, "lachlan", None)
        assert garbled.notes == "Date of birth: 19371233"
        assert nameless.last_name == "–"
    assert sum(bring_in(dataset1=[HEADER, *ROWS]).records.values()) == 0


def test_other_files_of_the_family_may_have_more_columns(bring_in, as_system):
    line = ROWS[0].replace(", 7364009", ", 21, 02 1234, 7364009, 3")
    header = HEADER.replace(", soc_sec_id", ", age, phone_number, soc_sec_id, blocking_number")
    bring_in(dataset3=[header, line])
    with as_system() as session:
        assert session.scalars(select(Contact.phone)).all() == ["02 1234"]


def test_files_that_share_ids_do_not_come_in_together(bring_in):
    with pytest.raises(Refused, match=r"rec-1-org stands in dataset1\.csv already"):
        bring_in(dataset1=[HEADER, ROWS[0]], dataset2=[HEADER, ROWS[0]])
