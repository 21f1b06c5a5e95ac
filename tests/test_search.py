"""The index of words: what is found by what, in which order, the same on both engines."""

import pytest
from sqlalchemy import func, insert, select

from app import search
from app.access import DOOR
from app.extensions import db
from app.models import ENTITIES, Company, Contact, Product, SearchEntry
from tests import factories
from tests.databases import on_both_engines

pytestmark = on_both_engines

PEOPLE = [
    ("Andrey", "Müller", "+49 (0)30 / 123-45", "Berlin"),
    ("Андрей", "Жуков", "0049 30 99887", "Moskva"),
    ("Zoë", "Mueller-Lüdenscheidt", None, "Köln"),
    ("Łukasz", "Wałęsa", "030 5551234", "Gdańsk"),
    ("Ann", "O'Neill", "+1 212 555 0100", "New York"),
    ("Bob", "Li", None, "北京"),
    ("Per", "100%_sure", None, "Graz"),
]


@pytest.fixture
def people(session):
    for first, last, phone, city in PEOPLE:
        row = factories.make(session, "contact", first_name=first, last_name=last, phone=phone, city=city)
        row.email = row.mobile = None
    session.flush()
    return session


def found(session, text, **how):
    rows = session.scalars(select(Contact).where(search.matching(Contact, text, **how)).order_by(Contact.id))
    return [row.first_name for row in rows]


@pytest.mark.parametrize(
    "text, names",
    [
        ("muller", ["Andrey"]),
        ("MÜLLER", ["Andrey"]),
        ("mueller", ["Zoë"]),
        ("andrey", ["Andrey", "Андрей"]),
        ("Андрей", ["Andrey", "Андрей"]),
        ("zhukov", ["Андрей"]),
        ("walesa", ["Łukasz"]),
        ("üdensch", ["Zoë"]),
        ("beijing", ["Bob"]),
        ("o'neill", ["Ann"]),
        ("an", ["Andrey", "Андрей", "Ann"]),
        ("l", ["Łukasz", "Bob"]),
        ("li", ["Bob"]),
        ("nd", []),
        ("+49 30", ["Andrey", "Андрей"]),
        ("+49 (30) 12345", ["Andrey"]),
        ("0049 30 123", ["Andrey"]),
        ("212 555", ["Ann"]),
        ("andrey berlin", ["Andrey"]),
        ("berlin moskva", []),
        ("100%_", ["Per"]),
        ("%%%", []),
        ('"', []),
        ('a" OR "b', []),
        ("()*^", []),
    ],
)
def test_what_finds_whom(people, text, names):
    assert found(people, text) == found(people, text, by_row=True) == names


def test_what_belongs_to_no_department_is_found(session):
    factories.make(session, "product", name="Absinthe")
    session.flush()
    names = session.scalars(select(Product.name).where(search.matching(Product, "absinth"))).all()
    assert names == ["Absinthe"]


def test_departments_only_narrow_the_way(people):
    here = {factories.department(people, "Sales").id}
    elsewhere = {factories.department(people, "Support").id}
    assert found(people, "muller", departments=here) == ["Andrey"]
    assert found(people, "muller", departments=elsewhere) == []


@pytest.mark.parametrize(
    "text, names",
    [("mullr", ["Andrey"]), ("zhukow", ["Андрей"]), ("belrin", ["Andrey"]), ("walessa", ["Łukasz"])],
)
def test_one_wrong_letter_still_finds(people, text, names):
    assert found(people, text) == []
    assert [row.first_name for _, row in search.find(people, text, [Contact])] == names


def test_the_best_match_comes_first(session):
    factories.make(session, "company", name="Graz Trading")
    factories.make(session, "company", name="Old Graz Mill")
    factories.make(session, "company", name="Grazer Bau")
    factories.make(session, "company", name="Stingraz")
    session.flush()
    names = [row.name for _, row in search.find(session, "graz", [Company, Contact])]
    assert names == ["Graz Trading", "Old Graz Mill", "Grazer Bau", "Stingraz"]


def test_the_index_keeps_up_with_edits_and_deletions(people):
    row = people.scalars(select(Contact).where(Contact.last_name == "Müller")).one()
    row.last_name = "Schmidt"
    people.flush()
    assert found(people, "muller") == [] and found(people, "schmidt") == ["Andrey"]
    people.delete(row)
    people.flush()
    assert found(people, "schmidt") == []


def test_made_anew_the_index_says_the_same(people):
    def entries():
        columns = (SearchEntry.entity, SearchEntry.record_id, SearchEntry.department_id, SearchEntry.text)
        return sorted(people.execute(select(*columns)).all(), key=str)

    before, seen = entries(), []
    search.rebuild(people, lambda entity, how_many: seen.append((entity, how_many)), chunk=3)
    assert entries() == before and sum(number for entity, number in seen if entity == "contact") == len(
        PEOPLE
    )
    assert found(people, "muller") == ["Andrey"] and search.near(people, "mullr") == {"mullr": ["muller"]}
    assert not search.is_stale(people)


def test_what_many_records_hold_is_found_along_the_entries_newest_first(session, monkeypatch):
    homes = [factories.department(session, name).id for name in ("Sales", "Support", "Finance")]
    rows = [
        factories.make(session, "contact", last_name="Echo", department_id=homes[number % 3])
        for number in range(60)
    ]
    session.flush()
    monkeypatch.setitem(vars(db.engine), "sample", search._Sample(session.connection()))
    every = sorted((row.id for row in rows), reverse=True)
    two = sorted((row.id for row in rows if row.department_id in homes[:2]), reverse=True)

    def asked(**how):
        ids, values = search.newest(Contact, "echo", **{"most": 10} | how)
        return session.connection().scalars(ids, values, execution_options={DOOR: True}).all()

    assert asked() == every[:10]
    assert asked(after=every[9]) == every[10:20]
    assert asked(is_upwards=True) == every[:-11:-1]
    assert asked(departments=tuple(homes[:2])) == two[:10]
    assert asked(departments=tuple(homes[:2]), after=two[9], is_upwards=True) == two[8::-1]  # nine are left
    assert asked(most=61) == every
    assert search.newest(Contact, "nobody", most=10) is None


def test_few_entries_are_looked_through_without_the_index(session, monkeypatch):
    here, there = (factories.department(session, name).id for name in ("Sales", "Support"))
    mine = factories.make(session, "contact", last_name="Echo", department_id=here)
    factories.make(session, "contact", last_name="Echo", department_id=there)
    session.flush()
    monkeypatch.setitem(vars(db.engine), "sample", search._Sample(session.connection()))
    for few in (search.FEW, -1):
        monkeypatch.setattr(search, "FEW", few)
        assert search.found(session, Contact, "echo", departments=(here,), most=10) == ([mine.id], False)


def test_departments_whose_numbers_end_alike_are_told_apart(session, monkeypatch):
    homes = [factories.department(session, name).id for name in ("Sales", "Support", "Finance")]
    rows = [factories.make(session, "contact", last_name="Echo", department_id=homes[n % 3]) for n in range(9)]
    session.flush()
    monkeypatch.setattr(search, "FEW", -1)
    monkeypatch.setitem(vars(db.engine), "sample", search._Sample(session.connection()))
    two = {row.id for row in rows if row.department_id in homes[:2]}
    for departments in (homes[:2], [*homes[:2], homes[2] + 64]):  # the last is nobody's, and ends like Finance
        assert set(search.found(session, Contact, "echo", departments=tuple(departments), most=10)[0]) == two


def test_who_moves_to_another_department_is_found_there_and_no_longer_here(people, monkeypatch):
    monkeypatch.setattr(search, "FEW", -1)
    here, there = (factories.department(people, name).id for name in ("Sales", "Support"))
    moving, staying = (factories.make(people, "contact", last_name="Echo", department_id=here) for _ in range(2))
    people.flush()
    monkeypatch.setitem(vars(db.engine), "sample", search._Sample(people.connection()))

    def asked(department):
        return set(search.found(people, Contact, "echo", departments=(department,), most=10)[0])

    assert (asked(here), asked(there)) == ({moving.id, staying.id}, set())
    moving.department_id, moving.last_name = there, "Echoes"
    people.flush()
    assert (asked(here), asked(there)) == ({staying.id}, {moving.id})
    search.put(people.connection(), [search.entry_for(row) for row in (moving, staying)])  # many at once
    assert (asked(here), asked(there)) == ({staying.id}, {moving.id})
    search.take(people.connection(), "contact", [moving.id, staying.id])
    assert (asked(here), asked(there)) == (set(), set())


def test_the_parts_of_the_index_are_gathered_and_nothing_is_lost(people, monkeypatch):
    for number in range(20):
        factories.make(people, "contact", first_name=f"Later {number}", last_name="Müller")
        people.commit()
    if db.engine.dialect.name == "postgresql":
        assert not search.is_scattered(people)
        return
    monkeypatch.setattr(search, "SEGMENTS", 1)
    assert search.is_scattered(people)
    found_before, is_more, times = found(people, "muller"), search.gather(people, begin=True), 1
    while is_more:
        is_more, times = search.gather(people), times + 1
        people.commit()
    assert not search.is_scattered(people) and times < 20
    assert found(people, "muller") == found_before and len(found_before) == 21


def test_fts5_finds_the_newest_first_and_goes_on_behind_them(session, monkeypatch):
    homes = [factories.department(session, name).id for name in ("Sales", "Support", "Finance")]
    rows = [factories.make(session, "contact", last_name="Echo", department_id=homes[n % 3]) for n in range(12)]
    for name in ("Echo one", "Echo two"):  # of another kind, by the same word
        factories.make(session, "company", name=name)
    session.flush()
    monkeypatch.setattr(search, "FEW", -1)
    monkeypatch.setitem(vars(db.engine), "sample", search._Sample(session.connection()))
    is_sqlite = db.engine.dialect.name == "sqlite"
    downwards = sorted((row.id for row in rows), reverse=True)

    def asked(**how):
        return search.found(session, Contact, "echo", **{"most": 100, "first": 5} | how)

    if not is_sqlite:  # its index knows no order: all, or so many of them
        found, in_order = asked()
        assert sorted(found, reverse=True) == downwards and not in_order
        assert len(asked(most=4)[0]) == 4
        return
    assert asked() == (downwards[:5], True)
    assert asked(after=downwards[4]) == (downwards[5:10], True)
    assert asked(is_upwards=True) == (downwards[:-6:-1], True)
    assert asked(is_upwards=True, after=downwards[5]) == (downwards[4::-1], True)
    found, in_order = asked(departments=tuple(homes[:2]))
    assert {row.id for row in rows if row.department_id in homes[:2]} == set(found) and not in_order


def test_an_entry_stands_in_its_place_whoever_wrote_it(people):
    """On SQLite; after an edit, a deletion taken back, and an index made anew."""
    row = people.scalars(select(Contact).where(Contact.last_name == "Müller")).one()
    row.last_name = "Schmidt"
    people.flush()
    if db.engine.dialect.name == "sqlite":
        for made_anew in (False, True):
            if made_anew:
                search.rebuild(people)
            entries = people.scalars(select(SearchEntry)).all()
            places = [search.number_of(one.entity, one.record_id, one.department_id) for one in entries]
            assert entries and [one.id for one in entries] == places
            people.expunge_all()
    kinds = {search.number_of(name, 0, None) for name, model in ENTITIES.items() if model.__search__}
    assert len(kinds) == sum(bool(model.__search__) for model in ENTITIES.values())
    assert max(search.number_of(name, search._LAST_ID, 63) for name in ENTITIES) < 2**63


def test_a_record_that_is_put_twice_is_indexed_once(people):
    one, other = people.scalars(select(Contact).limit(2)).all()
    search.put(people.connection(), [search.entry_for(row) for row in (one, other, one)])
    if db.engine.dialect.name == "sqlite":
        check = insert(search._FTS).values({"search_fts": "integrity-check", "rank": 1})
        people.connection().execute(check, execution_options={DOOR: True})
    assert people.scalar(select(func.count()).where(SearchEntry.entity == "contact")) == len(PEOPLE)
