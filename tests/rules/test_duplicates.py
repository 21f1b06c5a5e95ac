"""How much records look like one, which of them meet, and what is found: FEBRL's file and made-up people."""

from datetime import date

import pytest

from app.models import Company, Contact
from app.rules import RuleBroken, blocking, duplicates, likeness
from tests.databases import on_both_engines
from tests.prove import duplicates as prove
from tests.prove import people
from tests.prove.people import Crowd, Wear
from tests.rules import world

ANNA = {
    "first_name": "Anna",
    "last_name": "Müller",
    "birth_date": date(1970, 3, 4),
    "street": "Hauptstraße 5, Hinterhaus",
    "postal_code": "10115",
    "city": "Berlin",
    "email": "anna@example.com",
    "phone": "+49 30 1234567",
}


def levels(one, other):
    return dict(likeness.levels_of_people(likeness.person(one), likeness.person(other)))


def score(one, other, compare=likeness.compare_people, prepare=likeness.person):
    return compare(prepare(one), prepare(other)).score


# --------------------------------------------------------------------------------------------- one pair


def test_a_person_is_like_himself_and_unlike_another():
    other = {"first_name": "Peter", "last_name": "Jones", "city": "Leeds", "birth_date": date(1988, 1, 1)}
    assert score(ANNA, ANNA) == 99 or score(ANNA, ANNA) == 100
    assert score(ANNA, other) == 0


@pytest.mark.parametrize(
    "changed, what, level",
    [
        ({"last_name": "Mueller"}, "last_name", "close"),
        ({"first_name": "A."}, "first_name", "short"),
        ({"birth_date": date(1970, 4, 3)}, "birth_date", "close"),
        ({"birth_date": date(1971, 3, 5)}, "birth_date", "near"),
        ({"birth_date": date(1988, 11, 29)}, "birth_date", "far"),
        ({"street": "5 Haupt Str., Hinterhaus"}, "street", "same"),
        ({"street": "Hauptstraße 6, Hinterhaus"}, "house_number", "close"),
        ({"street": "Hauptstraße 5, Hinterhuas"}, "address_more", "close"),
        ({"postal_code": "10151"}, "postal_code", "close"),
        ({"phone": "030 / 123 45 67"}, "phone", "same"),
        ({"phone": "030 1234568"}, "phone", "close"),
        ({"mobile": "0049301234567", "phone": None}, "phone", "same"),
        ({"email": "ana@example.com"}, "email", "close"),
        ({"email": "b.jones@example.com"}, "email", "domain"),
        ({"email": "someone.else@gmail.com"}, "email", "far"),
    ],
)
def test_what_is_compared_falls_into_a_level(changed, what, level):
    assert levels(ANNA, {**ANNA, **changed})[what] == level


def test_names_the_other_way_round_and_fields_changed_for_one_another_are_seen():
    turned = {**ANNA, "first_name": "Müller", "last_name": "Anna"}
    assert levels(ANNA, turned)["names"] == "both" and score(ANNA, turned) > 95
    swapped = {**ANNA, "city": "10115", "postal_code": "Berlin"}
    assert levels(ANNA, swapped)["city"] == levels(ANNA, swapped)["postal_code"] == "same"


def test_a_short_form_of_which_the_letters_tell_nothing_is_known():
    assert levels({**ANNA, "first_name": "Bob"}, {**ANNA, "first_name": "Robert"})["first_name"] == "short"


def test_what_is_missing_on_one_side_says_nothing():
    bare = {"last_name": "Müller"}
    assert levels(ANNA, bare) == {"last_name": "same"}


def test_people_of_one_house_are_two():
    """Spouses and children share nearly everything but the first name and the birthday."""
    child = {**ANNA, "first_name": "Ben", "birth_date": date(2001, 7, 8), "email": None}
    spouse = {**ANNA, "first_name": "Jürgen", "birth_date": None, "email": "j@example.com"}
    assert score(ANNA, child) < duplicates.WARNED and score(ANNA, spouse) < duplicates.WARNED


def test_colleagues_with_one_switchboard_are_two():
    office = {"phone": "+49 30 1234567", "city": "Berlin", "street": "Hauptstraße 5", "company": "7"}
    one = {"first_name": "Anna", "last_name": "Müller", "email": "a.mueller@firm.example", **office}
    other = {"first_name": "Ben", "last_name": "Schulz", "email": "b.schulz@firm.example", **office}
    assert score(one, other) < duplicates.WARNED


def test_the_reasons_add_up_to_the_score_and_each_has_its_sentence():
    other = {**ANNA, "last_name": "Schulz", "phone": "+49 89 7654321"}
    seen = likeness.compare_people(likeness.person(ANNA), likeness.person(other))
    total = likeness.CONTACT_BIAS + sum(weight for _, _, weight in seen.reasons)
    assert likeness.percent(total) == seen.score
    weights = [abs(row["weight"]) for row in seen.as_rows()]
    assert weights == sorted(weights, reverse=True)
    assert {likeness.sentence(row["what"], row["level"]) for row in seen.as_rows()} >= {
        "The last names differ.",
        "Different phone numbers.",
    }


@pytest.mark.parametrize("table", [likeness.CONTACT_WEIGHTS, likeness.COMPANY_WEIGHTS])
def test_more_alike_never_weighs_less_and_what_differs_never_speaks_for_them(table):
    for what in {what for what, level in table if level == "far"}:
        steps = [table[what, level] for level in ("far", "near", "close", "same") if (what, level) in table]
        assert steps == sorted(steps) and steps[0] <= 0 <= steps[-1], what
    assert set(table) <= set(likeness.SENTENCES)


@pytest.mark.parametrize(
    "name, stem, form",
    [
        ("Müller & Söhne GmbH & Co. KG", "muller sohne", "gmbh co kg"),
        ("Société Durand S.A.R.L.", "societe durand", "sarl"),
        ("ACME, Inc.", "acme", "inc"),
        ("AG", "ag", ""),
    ],
)
def test_a_legal_form_is_told_from_the_name(name, stem, form):
    firm = likeness.firm({"name": name})
    assert (firm.name, firm.form) == (stem, form)


def test_companies_are_like_by_name_and_place_and_two_by_their_vat_ids():
    def alike(one, other):
        return score(one, other, likeness.compare_firms, likeness.firm)

    one = {"name": "Ernst Handel GmbH", "city": "Graz", "vat_id": "ATU12345678", "phone": "+43 316 123456"}
    assert alike(one, {"name": "Ernst Handel", "city": "Graz", "phone": "0316/123456"}) > 95
    assert alike(one, {**one, "name": "Ernst Handl"}) > 95
    assert alike(one, {**one, "vat_id": "ATU99999999", "phone": None}) < duplicates.WARNED
    assert alike(one, {"name": "Alfred Handel KG", "city": "Wien"}) < duplicates.WARNED


def test_a_code_that_someone_else_holds_in_another_script_is_folded():
    assert score({**ANNA, "last_name": "Петров"}, {**ANNA, "last_name": "Petrov"}) > 95


# --------------------------------------------------------------------------------------------- which of them meet


def test_a_large_block_stays_linear():
    block = list(range(5000))
    pairs = list(blocking.pairs_within(block))
    assert len(pairs) < blocking.NEIGHBOURS * len(block)
    assert len(list(blocking.pairs_within(block[:10]))) == 45


def test_damaged_records_still_meet():
    records = people.crowd(77, Crowd(400, share=1.0, wear=Wear(4, 2), known=0.5))
    kind = duplicates.KINDS[Contact]
    compared = prove.pairs_of([kind.prepared(record) for record in records], kind.keys_of)
    true = prove.true_pairs(records)
    assert len(true & compared) / len(true) > 0.98
    assert len(compared) < 6 * len(records)


def test_a_record_is_the_same_packed_and_unpacked():
    kind = duplicates.KINDS[Contact]
    one = kind.prepared({**ANNA, "mobile": "0170 1234567", "email": "a@x.de, b@y.de"})
    for person in (one, kind.prepared({"last_name": "Müller"})):
        assert duplicates._unpacked(kind, duplicates._packed(person)) == person


# --------------------------------------------------------------------------------------------- how many are found


@pytest.mark.skipif(
    not prove.FEBRL.is_dir(), reason="FEBRL's file does not lie in ../shared beside this checkout"
)
@on_both_engines
def test_febrl_is_found_as_promised(engine):
    outcome = prove.febrl(engine, prove.FEBRL / "dataset1.csv")
    assert outcome.recall >= prove.RECALL and outcome.precision >= prove.PRECISION


@pytest.mark.parametrize(
    "size, recall, precision",
    [
        (Crowd(300, share=1.0, wear=Wear(1, 1)), 0.98, 0.99),
        (Crowd(300, share=0.6, at_most=5, wear=Wear(6, 4)), 0.9, 0.99),
        (Crowd(300, share=1.0, at_least=3, at_most=3, wear=Wear(3, 2)), 0.97, 0.99),
        (Crowd(500, share=0.4, wear=Wear(2, 2, retyped=0.6), known=0.9, relatives=0.05), 0.88, 0.93),
    ],
)
def test_made_up_people_are_found_too(size, recall, precision):
    outcome = prove.crowd("small", size, 4711)
    assert outcome.recall >= recall and outcome.precision >= precision


def test_made_up_companies_are_found_too():
    outcome = prove.companies(4711)
    assert outcome.recall >= 0.9 and outcome.precision >= 0.93


def test_a_third_record_ties_two_that_have_little_in_common():
    pairs = {(1, 2): "a", (2, 3): "b", (7, 8): "c"}
    nothing = likeness.Likeness(10, (("last_name", "same", 0.2),))
    duplicates.link_thirds(pairs, lambda pair: nothing)
    assert pairs[1, 3].score == duplicates.KEPT and pairs[1, 3].reasons[0] == ("third", "linked", 0.0)
    assert set(pairs) == {(1, 2), (2, 3), (7, 8), (1, 3)}
    apart = likeness.Likeness(0, (("person", "another", -2.8),))
    pairs = {(1, 2): "a", (2, 3): "b"}
    duplicates.link_thirds(pairs, lambda pair: apart)
    assert (1, 3) not in pairs


# --------------------------------------------------------------------------------------------- for new records


@on_both_engines
@pytest.mark.parametrize("many", [1, duplicates.A_FEW + 1])
def test_a_new_record_finds_the_one_that_is_there(session, many):
    known = world.contact(session, **{**ANNA, "last_name": "Müller"})
    world.contact(session, "Petersen", first_name="Ole")
    typed = {"first_name": "Ana", "last_name": "Mueller", "birth_date": date(1970, 3, 4), "city": "Berlin"}
    strangers = [{"last_name": f"Stranger {number}", "city": "Oslo"} for number in range(many - 1)]
    found, *others = duplicates.candidates_for(session, Contact, [typed, *strangers])
    assert [(one.id, one.name) for one in found] == [(known.id, "Anna Müller")]
    assert found[0].likeness.score >= duplicates.WARNED and others == [[]] * (many - 1)


@pytest.mark.parametrize(
    "typed",
    [
        {"last_name": "Miller", "email": "anna@example.com"},
        {"last_name": "Müller", "first_name": "Anna", "phone": "030 1234567"},
        {"last_name": "Mulller", "first_name": "Anna", "postal_code": "10115", "street": "Hauptstr. 5"},
    ],
)
def test_a_new_record_is_known_by_what_it_has(session, typed):
    known = world.contact(session, **ANNA)
    assert [one.id for one in duplicates.candidates_for(session, Contact, [typed])[0]] == [known.id]


def test_a_record_is_no_candidate_for_itself(session):
    known = world.contact(session, **ANNA)
    assert duplicates.candidates_for(session, Contact, [{**ANNA, "id": known.id}]) == [[]]


def test_a_new_company_finds_the_one_that_is_there(session):
    known = world.company(session, "Ernst Handel GmbH")
    typed = {"name": "Ernst Handl", "city": "Graz"}
    assert [one.id for one in duplicates.candidates_for(session, Company, [typed])[0]] == [known.id]


def test_candidates_are_those_whom_the_person_sees(as_person, as_system):
    with as_system() as session:
        world.contact(session, **ANNA)
    with as_person("rep.south") as session:
        assert duplicates.candidates_for(session, Contact, [ANNA]) == [[]]
        assert duplicates.candidates_for(session, Contact, [ANNA] * 30) == [[]] * 30


def test_pairs_are_kept_of_contacts_and_companies_only():
    with pytest.raises(RuleBroken, match="among contacts and companies"):
        duplicates.pairs_to_look_at("deal")
