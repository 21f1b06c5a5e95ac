"""The sealed line: that a customer exists beyond one's reach, whose he is and whom to ask; nothing else of him.

The one declared exception to "foreign and absent answer alike" (docs/decisions/0022-the-sealed-line.md). It answers
only to exact identity: the whole mail address, the whole VAT id, or the full name. Compared are

- mail addresses without regard to case and blanks around them;
- VAT ids by their letters and digits alone: "DE 123.456-789" is "de123456789";
- names as the search reads them: case, diacritics and how many blanks stand between the words make no difference.
"""

import re
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import func, select

from app import access, search
from app.models import Activity, Company, Contact, Department, Staff
from app.rules import heads

CUSTOMERS = (Company, Contact)
MOST_LOOKED_AT = 500  # records that hold the same words
_VAT = re.compile(r"[A-Z]{2}[0-9A-Z]{6,13}")
_MAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


class Sealed(NamedTuple):
    """What the asker is told, and what the house keeps to itself (`record_id`, `person_id`)."""

    department: str
    person: str | None
    record_id: int
    person_id: int | None


# --------------------------------------------------------------------------------------------- who is meant


def mail_of(text):
    """A mail address as it is compared, or None."""
    text = (text or "").strip().casefold()
    return text if _MAIL.fullmatch(text) else None


def vat_of(text):
    """A VAT id as it is compared, or None for what is none: letters and digits, at least four of them digits."""
    plain = re.sub(r"[\s.\-/]", "", (text or "")).upper()
    return plain if _VAT.fullmatch(plain) and sum(one.isdigit() for one in plain) >= 4 else None


def name_of(model, text):
    """A full name as it is compared, or None: of a person, at least two words."""
    folded = search.fold(text or "")
    least = 2 if model is Contact else 1
    return folded if len(folded) > 2 and len(folded.split()) >= least else None


def meant_by(model, text):
    """Whom somebody means who types just this: kind of identity -> how it is compared; nothing but exact identity."""
    if mail := mail_of(text):
        return {"mail": mail}
    if model is Company and (vat := vat_of(text)):
        return {"vat": vat}
    name = name_of(model, text)
    return {"name": name} if name else {}


def meant_by_values(model, values):
    """The same for a new record by its columns: all that it says of who it is."""
    if model is Contact:
        name = " ".join(part for part in (values.get("first_name"), values.get("last_name")) if part)
    else:
        name = values.get("name")
    said = {"mail": mail_of(values.get("email")), "name": name_of(model, name)}
    if model is Company:
        said["vat"] = vat_of(values.get("vat_id"))
    return {kind: text for kind, text in said.items() if text}


# --------------------------------------------------------------------------------------------- looking


def is_asked(principal, model):
    """Whether anything of this kind can lie beyond the principal's reach."""
    return model in CUSTOMERS and access.allowed(principal, "see", model) is not access.EVERY_ROW


def those_meant(session, model, meant):
    """The ids of all records that are meant, of whatever department; `session` is the system's."""
    found = set()
    if mail := meant.get("mail"):
        found |= _alike(session, model, mail, lambda row: mail_of(row.email) == mail)
    if name := meant.get("name"):
        found |= _alike(session, model, name, lambda row: name_of(model, row.name) == name)
    if (vat := meant.get("vat")) and model is Company:
        plain = model.vat_id
        for sign in (" ", ".", "-", "/"):
            plain = func.replace(plain, sign, "")
        found.update(session.scalars(select(model.id).where(func.upper(plain) == vat).limit(MOST_LOOKED_AT)))
    return sorted(found)


def _alike(session, model, words, is_same):
    """The ids of the records that hold these words, of which `is_same` says yes."""
    like = select(model).where(search.matching(model, words)).order_by(model.id).limit(MOST_LOOKED_AT)
    return {row.id for row in session.scalars(like) if is_same(row)}


def line_about(session, model, record_id):
    """What may be said of a record: whose it is, and whom to ask; `session` is the system's."""
    row = session.get(model, record_id)
    owner = session.get(Staff, row.owner_id) if row.owner_id else None
    if owner is None or owner.has_left:
        owner = next(iter(heads.of(session, row.department_id)), None)
    department = session.get(Department, row.department_id)
    return Sealed(department.name, owner.name if owner else None, record_id, owner.id if owner else None)


# --------------------------------------------------------------------------------------------- asking


def ask_for(session, model, sealed, *, subject, reason, today):
    """A task for whom to ask, at the record itself; one that is open already is enough. `session` is the system's."""
    row, link = session.get(model, sealed.record_id), f"{model.__tablename__}_id"
    same = (Activity.subject == subject, getattr(Activity, link) == row.id, Activity.done_at.is_(None))
    there = session.scalars(select(Activity).where(*same)).first()
    if there is not None:
        return there
    task = Activity(
        kind="task",
        subject=subject[:200],
        body=reason,
        due_on=today + timedelta(days=1),
        department_id=row.department_id,
        owner_id=sealed.person_id,
        **{link: row.id},
    )
    session.add(task)
    session.flush()
    return task
