"""Roles, memberships and deputies on their pages: looked at first, then saved; heads within what they hold."""

from datetime import date, timedelta

import pytest
from sqlalchemy import select

from app.models import ComposedRole, Department, Deputy, Membership, Staff
from app.security import User
from tests.factories import make

TODAY = date.today()


@pytest.fixture
def ids(as_system):
    """Usernames and names of departments -> ids."""
    with as_system() as session:
        found = dict(session.execute(select(User.username, User.id)).all())
        return found | dict(session.execute(select(Department.name, Department.id)).all())


def _looked_at(client, path, **values):
    """Fill in the form there, look at what it does, and return that page."""
    return client.submit(path, path.split("?")[0], status=200, **values)


def test_an_admin_composes_a_role_looks_at_it_and_saves_it(client_for, as_system):
    admin = client_for("admin")
    preview = _looked_at(
        admin,
        "/roles/new",
        **{
            "name": "Deal desk",
            "verbs-deal": ["see", "edit"],
            "reach-deal": "below",
            "hidden-deal": ["notes"],
        },
    )
    assert "Nothing is saved yet" in preview
    assert "Nobody gains or loses anything" in preview
    with as_system() as session:
        assert session.scalars(select(ComposedRole)).all() == []
    admin.submit(preview, "/roles/new")
    with as_system() as session:
        role = session.scalars(select(ComposedRole)).one()
        assert role.grants == [
            {"entity": "deal", "verbs": ["see", "edit"], "reach": "below", "hidden": ["notes"]}
        ]
    assert "hidden: Notes" in admin.get("/roles/")


@pytest.mark.parametrize(
    "values, sentence",
    [
        ({"verbs-deal": ["edit"]}, "must see it"),
        ({"verbs-deal": ["see", "win"]}, "needs “edit” too"),
        ({"verbs-deal": ["see", "edit"], "hidden-deal": ["amount"]}, "cannot be kept from “amount”"),
        ({}, "tick at least one verb"),
        ({"name": "Sales", "verbs-deal": ["see"]}, "The house has a role of this name"),
        ({"name": " ", "verbs-deal": ["see"]}, "needs a name"),
        ({"hidden-deal": ["notes"]}, "tick a verb"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(client_for, values, sentence):
    page = client_for("admin").post("/roles/new", {"name": "Desk", **values}, status=422)
    assert sentence in page


def test_a_role_that_is_held_is_renamed_with_who_holds_it_and_not_deleted(client_for, as_system, ids):
    with as_system() as session:
        session.add(
            ComposedRole(name="desk", grants=[{"entity": "deal", "verbs": ["see"], "reach": "department"}])
        )
        session.add(Membership(owner_id=ids["agent"], department_id=ids["Support"], role="desk"))
    admin = client_for("admin")
    refused = admin.post("/roles/1/delete", {"version": 1}, status=422)
    assert "held by Jonas Weber" in refused
    preview = _looked_at(admin, "/roles/1/edit", name="front desk")
    admin.submit(preview, "/roles/1/edit")
    with as_system() as session:
        held = select(Membership.role).where(Membership.owner_id == ids["agent"])
        assert set(session.scalars(held)) == {"support", "front desk"}


def test_who_is_no_admin_reads_the_roles_and_composes_none(client_for):
    head = client_for("head.sales")
    assert "head of sales" in head.get("/roles/")
    head.get("/roles/new", status=403)


def test_a_head_gives_a_role_of_his_own_department_after_a_look(client_for, as_system, ids):
    with as_system() as session:
        make(session, "company", name="Ernst Handel", department_id=ids["South"])
    head = client_for("head.sales")
    path = f"/memberships/new?owner_id={ids['rep.north']}"
    preview = _looked_at(head, path, department_id=ids["South"], role="sales")
    assert "It changes what 1 person may" in preview and "Ingrid Solberg" in preview
    assert "+1 to see" in preview and "Ernst Handel" in preview
    head.submit(preview, "/memberships/new")
    with as_system() as session:
        held = select(Membership.department_id).where(Membership.owner_id == ids["rep.north"])
        assert set(session.scalars(held)) == {ids["North"], ids["South"]}
    assert "sales, South" in head.get(f"/staff/{ids['rep.north']}")
    assert "sales, South" in client_for("rep.north").get(f"/staff/{ids['rep.north']}")


@pytest.mark.parametrize(
    "owner, department, role, field",
    [
        ("rep.north", "North", "admin", "role"),
        ("rep.north", "North", "support", "role"),
        ("rep.north", "Support", "support", "department_id"),
        ("agent", "North", "sales", "owner_id"),
        ("head.sales", "Sales", "director", "role"),
    ],
)
def test_a_head_gives_no_more_than_he_holds(client_for, as_system, ids, owner, department, role, field):
    values = {"owner_id": ids[owner], "department_id": ids[department], "role": role}
    client_for("head.sales").post("/memberships/new", values, status=422)
    with as_system() as session:
        given = select(Membership.id).filter_by(owner_id=ids[owner], role=role, department_id=ids[department])
        assert session.scalars(given).all() == []


def test_what_moved_since_the_look_is_looked_at_again(client_for, as_system, ids):
    admin = client_for("admin")
    preview = _looked_at(
        admin, "/memberships/new", owner_id=ids["agent"], department_id=ids["North"], role="sales"
    )
    with as_system() as session:
        session.add(Membership(owner_id=ids["rep.south"], department_id=ids["North"], role="sales"))
    again = admin.submit(preview, "/memberships/new", status=200)
    assert "look again" in again
    admin.submit(again, "/memberships/new")
    with as_system() as session:
        assert session.scalar(select(Membership.id).filter_by(owner_id=ids["agent"], role="sales"))


def test_a_membership_ends_after_a_look_and_the_last_admin_stays(client_for, as_system, ids):
    admin = client_for("admin")
    with as_system() as session:
        held = dict(session.execute(select(Membership.owner_id, Membership.id)).all())
    key = held[ids["rep.south"]]
    preview = admin.post(f"/memberships/{key}/end", status=200)
    assert "Marco Bianchi" in preview
    admin.submit(preview, f"/memberships/{key}/end")
    with as_system() as session:
        assert session.get(Membership, key) is None
    refused = admin.post(f"/memberships/{held[ids['admin']]}/end", status=422)
    assert "shut yourself out" in refused


def test_a_deputy_is_told_on_every_page_for_whom_he_acts(client_for, as_system, ids):
    head = client_for("head.sales")
    preview = _looked_at(
        head,
        f"/deputies/new?owner_id={ids['rep.south']}",
        deputy_id=ids["rep.north"],
        starts_on=TODAY,
        ends_on=TODAY + timedelta(days=7),
        reason="Leave",
    )
    assert "Nothing is saved yet" in preview
    head.submit(preview, "/deputies/new")
    rep = client_for("rep.north")
    assert "You also act for Marco Bianchi until" in rep.get("/")
    for username in ("rep.north", "rep.south"):
        assert "Ingrid Solberg for Marco Bianchi" in head.get(f"/staff/{ids[username]}")
    with as_system() as session:
        key = session.scalar(select(Deputy.id))
    head.submit(head.post(f"/deputies/{key}/end", status=200), f"/deputies/{key}/end")
    assert "You also act for" not in rep.get("/")


def test_a_head_lends_out_nobody_who_holds_more_than_he(client_for, as_system, ids):
    with as_system() as session:
        session.add(Membership(owner_id=ids["rep.south"], department_id=ids["Support"], role="support"))
    values = {
        "owner_id": ids["rep.south"],
        "deputy_id": ids["rep.north"],
        "starts_on": TODAY,
        "ends_on": TODAY,
    }
    page = client_for("head.sales").post("/deputies/new", values, status=422)
    assert "support, Support" in page


def test_a_move_of_a_person_or_department_is_looked_at_first(client_for, as_system, ids):
    admin = client_for("admin")
    path = f"/departments/{ids['North']}/edit"
    preview = _looked_at(admin, path, parent_id=ids["Support"])
    assert "Priya Raman" in preview and "Thomas Okafor" in preview
    admin.submit(preview, path)
    path = f"/staff/{ids['rep.north']}/edit"
    preview = _looked_at(admin, path, department_id=ids["South"])
    assert "Ingrid Solberg" in preview
    with as_system() as session:
        assert session.get(Department, ids["North"]).parent_id == ids["Support"]
        assert session.get(Staff, ids["rep.north"]).department_id == ids["North"]
    admin.submit(preview, path)
    with as_system() as session:
        assert session.get(Staff, ids["rep.north"]).department_id == ids["South"]

