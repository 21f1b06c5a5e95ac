"""Lists as people set them up, kept under a name: for oneself, for a department, for everybody.

A view is the text of a list's address and opens no row to anybody: whoever uses it sees through it what he sees
anyway. Only who saved it changes it.
"""

from datetime import UTC, datetime
from functools import cache
from typing import NamedTuple

from sqlalchemy import and_, bindparam, or_, select

from app import access
from app.extensions import db, for_one_question
from app.models import Department, SavedView

MOST = 50  # views of one person for one kind of record
REACHES = ("mine", "department", "everyone")


class View(NamedTuple):
    """One saved view, as its reader needs it."""

    id: int
    user_id: int
    name: str
    reach: str
    department_id: int | None
    query: str
    is_pinned: bool


def seen(principal, entity):
    """The views of this kind of record that the person may use, his own first, by name; kept on the principal."""
    if entity not in principal.views:
        principal.views[entity] = _asked(principal, entity)
    return principal.views[entity]


def _asked(principal, entity):
    asked = {"entity": entity, "user_id": principal.id, "departments": sorted(principal.departments) or [0]}
    with for_one_question(db.engine).connect() as connection:
        found = connection.execute(_seen(), asked, execution_options={access.DOOR: True})
        return [View(*row) for row in found]


@cache
def _seen():
    columns = [getattr(SavedView, name) for name in View._fields]
    # What is saved for a department is there for those below it, too.
    above = select(Department.id, Department.parent_id).where(
        Department.id.in_(bindparam("departments", expanding=True))
    )
    above = above.cte("above", recursive=True)
    above = above.union(select(Department.id, Department.parent_id).join(above, Department.id == above.c.parent_id))
    departments = SavedView.department_id.in_(select(above.c.id))
    is_his = SavedView.user_id == bindparam("user_id")
    is_shared = or_(SavedView.reach == "everyone", and_(SavedView.reach == "department", departments))
    own_first = is_his.desc()
    return (
        select(*columns)
        .where(SavedView.entity == bindparam("entity"), or_(is_his, is_shared))
        .order_by(own_first, SavedView.name, SavedView.id)
        .limit(4 * MOST)
    )


def reaches(principal):
    """For whom he may save views, as (reach, department id): himself; departments that he leads; everybody."""
    found = [("mine", None)]
    led = principal.departments_for("edit", "approval") if principal.may("edit", "approval") else frozenset()
    if led is None or principal.may("edit", "role"):
        return [*found, *(("department", key) for key in sorted(principal.departments)), ("everyone", None)]
    return [*found, *(("department", key) for key in sorted(led))]


def names_of(session, keys):
    """Department id -> name."""
    return dict(session.execute(select(Department.id, Department.name).where(Department.id.in_(keys))).all())


def of(principal, pk):
    """A view of one's own, or None."""
    with access.system_session("saved view", door="page", writes=False) as session:
        row = session.get(SavedView, pk)
        if row is None or row.user_id != principal.id:
            return None
        return View(*(getattr(row, name) for name in View._fields)), row.entity


def mine(principal):
    """All that the person has saved, as (entity, View)."""
    with access.system_session("saved view", door="page", writes=False) as session:
        rows = session.scalars(
            select(SavedView).filter_by(user_id=principal.id).order_by(SavedView.entity, SavedView.name, SavedView.id)
        )
        return [(row.entity, View(*(getattr(row, name) for name in View._fields))) for row in rows]


def save(principal, entity, *, pk=None, **values):
    """Keep a new view, or change one of his own; its id, or None where he has none such or too many."""
    with access.system_session("saved view", door="page") as session:
        session.info["on_behalf_of"] = principal.id
        if pk is None:
            own = session.scalars(select(SavedView.id).filter_by(user_id=principal.id, entity=entity)).all()
            if len(own) >= MOST:
                return None
            row = SavedView(user_id=principal.id, entity=entity, created_at=datetime.now(UTC))
            session.add(row)
        else:
            row = session.get(SavedView, pk)
            if row is None or row.user_id != principal.id:
                return None
        for name, value in values.items():
            setattr(row, name, value)
        session.flush()
        return row.id


def delete(principal, pk):
    """Take away a view of one's own; says whether there was one."""
    with access.system_session("saved view", door="page") as session:
        session.info["on_behalf_of"] = principal.id
        row = session.get(SavedView, pk)
        if row is None or row.user_id != principal.id:
            return False
        session.delete(row)
        return True
