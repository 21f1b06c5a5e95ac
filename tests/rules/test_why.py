"""Why can X see this? The answer is what X really sees, for everybody and every record; and it says the reason."""

from datetime import date, timedelta

from sqlalchemy import select

from app import access
from app.models import ENTITIES, ComposedRole, Share
from app.rules import why
from tests import databases
from tests.test_rights import House

TODAY = date.today()


@databases.on_both_engines
def test_what_is_explained_is_what_everybody_sees(engine):
    """Deputies, shares open and over, a role of the firm's own and hidden fields among them."""
    with databases.fresh_database(engine, "house") as database, databases.app_on(database) as app:
        house = House(app, database)
        _arrange(house)
        with house.session(access.SYSTEM) as session:
            people = [
                answer.person for answer in why.everybody(session, ENTITIES["deal"], _first(house, "deal"))
            ]
        assert len(people) >= 12
        seen, compared = {}, 0
        for person in people:
            with house.session(person) as session:
                for entity in why.ASKED:
                    seen[person.id, entity] = set(session.scalars(select(ENTITIES[entity].id)))
        with house.session(access.SYSTEM) as session:
            for entity in why.ASKED:
                for key in session.scalars(select(ENTITIES[entity].id)).all()[::4]:
                    for answer in why.everybody(session, ENTITIES[entity], key):
                        compared += 1
                        assert answer.sees == (key in seen[answer.person.id, entity]), (answer, entity, key)
        assert compared > 300


def _first(house, entity):
    return min(house.of(entity, "Support"))


def _arrange(house):
    day, people = timedelta(days=1), house.people
    with house.session(access.SYSTEM, keep=True) as session:
        grants = [
            {"entity": "deal", "verbs": ["see"], "reach": "all", "condition": "won", "hidden": ["notes"]}
        ]
        session.add(ComposedRole(name="won desk", grants=grants))
        session.add(house.member("nobody", "South", "won desk"))
        session.add(house.member("agent", "North", "reader"))
        session.add(house.deputy("rep.north", "marketer", TODAY - day, TODAY))
        session.add(house.deputy("finance", "agent", TODAY - 2 * day, TODAY - day))
        session.flush()
        for entity, to, until_on in (
            ("deal", {"to_staff_id": people["rep.north"]}, TODAY),
            ("ticket", {"to_department_id": house.departments["South"]}, None),
            ("company", {"to_staff_id": people["rep.south"]}, TODAY - day),
        ):
            key = _first(house, entity)
            session.add(Share(entity=entity, record_id=key, reason="a fair", until_on=until_on, **to))


def test_the_page_says_who_sees_a_record_and_why_another_does_not(client_for, as_system):
    from tests.factories import department, make

    with as_system() as session:
        deal = make(
            session, "deal", name="Eight thousand bottles", department_id=department(session, "North").id
        )
        key = deal.id
        agent = session.scalar(select(ENTITIES["staff"].id).where(ENTITIES["staff"].name == "Jonas Weber"))
        rep = session.scalar(select(ENTITIES["staff"].id).where(ENTITIES["staff"].name == "Marco Bianchi"))
    head = client_for("head.sales")
    assert f"/why/?entity=deal&id={key}" in head.get(f"/deals/{key}").links
    page = head.get(f"/why/?entity=deal&id={key}&person={rep}")
    assert "Eight thousand bottles" in page
    assert "“sales” in North: reaches North" in page
    assert "“sales” in South: reaches South, but it lies in North" in page
    assert "None of the roles gives “see” on Deals" in head.get(f"/why/?entity=deal&id={key}&person={agent}")
    admin = client_for("admin")
    told = admin.get(f"/why/?entity=deal&id={key}")
    assert "Eight thousand" not in told and "Helena Brandt" in told
    client_for("rep.north").get(f"/why/?entity=deal&id={key}", status=403)
    foreign = client_for("head.support").get(f"/why/?entity=deal&id={key}", status=404)
    absent = client_for("head.support").get("/why/?entity=deal&id=999999", status=404)
    assert foreign.text == absent.text
    assert "Who may see it" in head.get("/reads/")
