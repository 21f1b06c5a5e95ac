"""The filter language: what it reads and refuses, what a filter may tell, how pages follow one another."""

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.datastructures import MultiDict

from app import filters
from app.filters import Condition, Related, group, periods, read, write
from app.filters.language import OPERATORS, SINGLE, WITHOUT_VALUE
from app.models import Company, Contact, Deal
from app.rules import asking
from tests import factories
from tests.databases import on_both_engines
from tests.prove import answers
from tests.rules import world

TODAY = date(2026, 3, 4)  # a Wednesday

# --------------------------------------------------------------------------------------------- the text

_WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=12)
_PATHS = st.from_regex(r"[a-z][a-z_]{0,8}(\.[a-z][a-z_]{0,8}){0,3}", fullmatch=True).filter(
    lambda path: path not in ("and", "or", "any", "no")
)


@st.composite
def _conditions(draw):
    operator = draw(st.sampled_from(sorted(OPERATORS)))
    if operator in WITHOUT_VALUE:
        return Condition(draw(_PATHS), operator)
    most = 1 if operator in SINGLE else 3
    return Condition(draw(_PATHS), operator, tuple(draw(st.lists(_WORDS, min_size=1, max_size=most))))


def _larger(parts):
    groups = st.builds(group, st.sampled_from(["and", "or"]), st.lists(parts, min_size=2, max_size=3))
    entities = st.sampled_from(["deal", "ticket"])
    return groups | st.builds(Related, entities, st.booleans(), st.none() | parts)


TREES = st.recursive(_conditions(), _larger, max_leaves=8)


@settings(max_examples=60, deadline=None)
@given(TREES)
def test_what_is_written_is_read_again_as_the_same(tree):
    assert read(write(tree)) == tree


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60) | st.text('()"\\, anorisytp.', max_size=40))
def test_no_text_whatever_is_worse_than_a_bad_query(text):
    try:
        tree = read(text)
    except filters.BadQuery as error:
        assert error.message
    else:
        assert read(write(tree)) == tree


@pytest.mark.parametrize(
    "text, place",
    [
        ("city", 5),
        ("city has", 9),
        ("(city is a", 11),
        ("city is a b", 11),
        ("city has a, b", 10),
        ('city is "a', 9),
    ],
)
def test_a_fault_is_told_with_its_place(text, place):
    with pytest.raises(filters.BadQuery) as error:
        read(text)
    assert error.value.values["place"] == place


@pytest.mark.parametrize(
    "text", ["(" * 50 + "a is 1" + ")" * 50, " or ".join(["a is 1"] * 40), "a is " + "x" * 5000, "a is \x00"]
)
def test_what_nobody_asks_for_is_refused(text):
    with pytest.raises(filters.BadQuery):
        read(text)


@pytest.mark.parametrize(
    "text, first, after",
    [
        ("today", "2026-03-04", "2026-03-05"),
        ("yesterday", "2026-03-03", "2026-03-04"),
        ("this week", "2026-03-02", "2026-03-09"),
        ("last 30 days", "2026-02-02", "2026-03-04"),
        ("next 7 days", "2026-03-05", "2026-03-12"),
        ("this month", "2026-03-01", "2026-04-01"),
        ("last quarter", "2025-10-01", "2026-01-01"),
        ("next year", "2027-01-01", "2028-01-01"),
        ("2026-Q1", "2026-01-01", "2026-04-01"),
        ("2024-02", "2024-02-01", "2024-03-01"),
    ],
)
def test_spans_of_days_are_named_as_people_do(text, first, after):
    assert periods.period(text, today=TODAY) == (date.fromisoformat(first), date.fromisoformat(after))


def test_a_week_begins_when_the_house_says_so():
    assert periods.period("this week", today=TODAY, first_weekday=6)[0] == date(2026, 3, 1)


def test_the_31st_is_the_last_of_a_shorter_month():
    assert periods.add(date(2026, 3, 31), -1, "month") == date(2026, 2, 28)


@pytest.mark.parametrize(
    "text", ["last 0 days", "last 99999 years", "someday", "2026-13", "9999", "0000-01", ""]
)
def test_what_is_no_span_of_days_is_refused(text):
    with pytest.raises((ValueError, OverflowError)):
        periods.period(text, today=TODAY)


# --------------------------------------------------------------------------------------------- the query


def _asked(session, model, text, **more):
    return filters.from_text(model, text, asking.asker(session, today=TODAY), **more)


@pytest.mark.parametrize(
    "text, canonical",
    [
        ("city.has=Ber&sort=name", "city.has=Ber&sort=name"),
        ("where=city+has+Ber&sort=name", "city.has=Ber&sort=name"),
        ("sort=name&kind.is=customer,+prospect&after=&size=25", "kind.is=customer%2Cprospect&sort=name"),
        ('name.is="a,+b"&sort=-id', "name.is=%22a%2C+b%22&sort=-id"),
        ("city.empty=no&city.empty=yes&sort=id", "city.filled=yes&city.empty=yes&sort=id"),
        ("where=city+is+a+or+city+is+b&q=x&sort=id", "q=x&where=city+is+a+or+city+is+b&sort=id"),
    ],
)
def test_a_query_has_one_text(session, text, canonical):
    query = _asked(session, Company, text)
    assert sorted(filters.text_of(query).split("&")) == sorted(canonical.split("&"))
    assert filters.text_of(_asked(session, Company, filters.text_of(query))) == filters.text_of(query)


@pytest.mark.parametrize(
    "text",
    [
        "nothing.is=1",
        "company_id.company_id.is=1",
        "owner_id.department_id.parent_id.parent_id.name.is=x",
        "notes.min=1",
        "created_at.has=1",
        "custom.is=1",
        "custom.none.is=1",
        "created_by_id.custom.is=1",
        "owner_id.during=today",
        "created_at.during=someday",
        "id.between=1",
        "where=any+staff",
        "where=any+document+(id+is+1)",
        "where=city+has+%22%22",
        "sort=notes",
        "sort=--id",
        "after=abc",
        "tag.is=x",
    ],
)
def test_what_makes_no_sense_for_a_table_is_a_bad_query(session, text):
    with pytest.raises(filters.BadQuery):
        _asked(session, Company, text)


# --------------------------------------------------------------------------------------------- what it may tell


@on_both_engines
def test_a_filter_tells_nothing_about_hidden_records(as_system, as_person):
    """Two contacts of North at hidden companies of South: no filter tells the one from the other."""
    with as_system() as session:
        south = factories.department(session, "South")
        twins = []
        for name, country in (("One", "Germany"), ("Two", None)):
            company = world.company(session, name=name, country=country)
            factories.make(session, "deal", name=f"Deal {name}", company=company, department=south)
            company.department_id = south.id
            twins.append(world.contact(session, last_name=name, company_id=company.id).id)
        factories.make(session, "deal", name="Hidden", contact_id=twins[0], department=south)
    texts = [f"company_id {operator} {value}" for operator in ("is", "not") for value in (1, 2)]
    texts += ["company_id empty", "company_id filled", "any deal", "no deal", "any deal (name has hidden)"]
    for operator in ("is Germany", "not Germany", "has ger", "lacks ger", "empty", "filled"):
        texts.append(f"company_id.country {operator}")
    texts += ["company_id.owner_id empty", "company_id.tag empty", "company_id.department_id not 1"]
    with as_person("rep.north", writes=False) as session:
        for text in texts:
            query = _asked(session, Contact, f"where={text}&sort=id")
            for way in (filters.pages.ANYWHERE, filters.pages.JOINED, filters.pages.BY_ROW):
                found = set(session.scalars(filters.select_ids(Contact, query, way)))
                assert found in (set(), set(twins)), f"{text} {way}: {found}"


def test_me_and_mine_mean_who_asks(as_system, as_person):
    with as_system() as session:
        mine = world.deal(session, name="Mine").id
        unowned = world.deal(session, name="Other")
        unowned.owner_id, other = None, unowned.id
    with as_person("rep.north", writes=False) as session:
        for text in ("owner_id.is=me", "owner_id.is=mine", "owner_id.department_id.is=mine"):
            assert session.scalars(filters.select_ids(Deal, _asked(session, Deal, text))).all() == [mine]
        everything = session.scalars(
            filters.select_ids(Deal, _asked(session, Deal, "department_id.is=below"))
        )
        assert set(everything) == {mine, other}


# --------------------------------------------------------------------------------------------- pages


@on_both_engines
@pytest.mark.parametrize("limits", [{}, {"FOUND_UP_TO": 3, "STEPS": 4, "STEPS_BY_ID": 4}])
def test_pages_follow_one_another_with_the_empty_ones_last(as_system, as_person, limits, monkeypatch):
    for name, value in limits.items():
        monkeypatch.setattr(filters.pages, name, value)
    with as_system() as session:
        for number, city in enumerate(["b", None, "B", "ä", None, "a", "b", "", "Z"]):
            world.company(session, name=f"Firm {number}", city=city)
    expected = ["", "B", "Z", "a", "b", "b", "ä"]
    for who in ("rep.north", "head.sales", "director"):
        with as_person(who, writes=False) as session:
            for sort, order in (("city", expected), ("-city", expected[::-1])):
                for asked in ("", "name.has=firm&", "q=firm&"):
                    query = _asked(session, Company, f"{asked}sort={sort}&size=2")
                    cities = [row.city for row in _walked(session, Company, query, Company.id, Company.city)]
                    assert cities == [*order, None, None], (who, sort, asked)


def _walked(session, model, query, *what):
    rows = []
    while True:
        page = filters.fetch(session, model, query, *what)
        rows += page.rows
        if not page.has_more:
            return rows
        args = MultiDict({"sort": query.sort, "after": filters.cursor_after(page.rows[-1], query)})
        query = replace(query, after=filters.parse(model, args, asker=query.asker).after)


def test_both_engines_and_plain_python_give_the_same_answers():
    outcome = answers.prove(24, seed=4)
    assert outcome.asked == 24
    assert not outcome.differences, outcome.differences[:3]
