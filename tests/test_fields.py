"""Hidden and read-only fields at every door: `python -m tests.prove.fields` in small, and what it leaves out."""

from sqlalchemy import select

from app import access
from app.models import Company, ComposedRole, Contact, Department, Membership, Product, TaxRate
from app.security import User
from app.views import forms
from tests.prove import fields
from tests.rules import world


def test_a_field_kept_from_somebody_comes_back_at_no_door_and_is_written_at_none():
    outcome = fields.prove("sqlite", fields.SOME[:2])
    assert outcome.faults == []
    assert outcome.fields == 2 and outcome.opened > 60 and outcome.named > 30 and outcome.writes > 20


def test_forms_share_nothing_of_their_fields(app):
    with app.test_request_context():
        kind = forms.form_class(Company, ("name", "notes"))
        first, second = kind(), kind()
        first.name.label.field_id, first.name.flags.required = "elsewhere", False
        first.name.validators.append(None)
        first.name.render_kw["maxlength"] = 1
        third = kind()
    for one in (second, third):
        assert one.name.label.field_id == "name" and one.name.flags.required
        assert None not in one.name.validators and one.name.render_kw["maxlength"] > 1
        assert one.name is not first.name and one.name.meta is one.meta


def test_what_names_records_or_is_computed_with_is_not_to_be_hidden():
    assert "name" not in access.hideable(Company) and "notes" in access.hideable(Company)
    assert not {"price", "is_active", "currency"} & set(access.hideable(Product))
    assert access.hideable(TaxRate) == ()
    assert len(fields.every_field()) > 30


def _hold(session, username, department, *grants):
    """Have somebody hold a role of these grants in a department, beside what he holds."""
    role = ComposedRole(name="more", grants=list(grants))
    owner_id = session.scalars(select(User.id).filter_by(username=username)).one()
    department_id = session.scalars(select(Department.id).filter_by(name=department)).one()
    session.add_all([role, Membership(owner_id=owner_id, department_id=department_id, role="more")])


def test_the_sheet_goes_by_the_row_and_the_list_by_the_entity(as_system, client_for):
    with as_system() as session:
        ids = {name: key for key, name in session.execute(select(Department.id, Department.name))}
        rows = {
            name: Contact(last_name=name, email=f"{name.lower()}@zq.example", department_id=ids[name])
            for name in ("North", "South")
        }
        session.add_all(rows.values())
        session.flush()
        keys = {name: row.id for name, row in rows.items()}
        grant = {"entity": "contact", "verbs": ["see", "export"], "reach": "all", "hidden": ["email"]}
        _hold(session, "rep.north", "North", grant)
    client = client_for("rep.north")
    assert "north@zq.example" in client.get(f"/contacts/{keys['North']}")
    assert "south@zq.example" not in client.get(f"/contacts/{keys['South']}")
    listed = client.get("/contacts/")
    assert "South" in listed and "@zq.example" not in listed
    client.get("/contacts/?email.has=zq", 400)


def test_nobody_takes_out_works_on_or_merges_more_than_he_was_granted_for_it(as_system, client_for):
    """A grant may reach less far for these verbs than for seeing."""
    with as_system() as session:
        ids = {name: key for key, name in session.execute(select(Department.id, Department.name))}
        rows = {name: Company(name=f"Firm {name}", department_id=ids[name]) for name in ("North", "South")}
        session.add_all(rows.values())
        session.flush()
        keys = {name: row.id for name, row in rows.items()}
        _hold(
            session,
            "agent",
            "South",
            {"entity": "company", "verbs": ["see", "edit", "delete"], "reach": "all"},
            {"entity": "company", "verbs": ["export", "bulk", "merge"], "reach": "department"},
        )
    client = client_for("agent")
    assert "Firm North" in client.get("/companies/")
    taken = client.get("/companies/export?format=csv")
    assert "Firm South" in taken and "Firm North" not in taken
    both = f"ids:{keys['North']}-{keys['South']}"
    data = {"selection": both, "deed": "edit", "set": "city", "city": "Linz", "confirm": "y", "expected": "2"}
    client.post("/companies/bulk/edit", data, 422)
    page = client.get(f"/duplicates/merge?entity=company&ids={keys['North']},{keys['South']}")
    said = {f"version.{key}": 1 for key in keys.values()} | {"entity": "company", "keep": keys["South"]}
    said["ids"] = f"{keys['South']},{keys['North']}"
    assert "not yours" in client.post("/duplicates/merge", said, 422)
    assert page.status == 200
    with as_system() as session:
        assert session.scalars(select(Company.city)).all() == [None, None]


def test_who_may_not_export_import_or_work_in_bulk_sees_no_button_and_is_refused(as_system, client_for):
    with as_system() as session:
        world.deal(session)
        _hold(session, "marketer", "Marketing", {"entity": "deal", "verbs": ["see", "edit"], "reach": "all"})
    client = client_for("marketer")
    page = client.get("/deals/")
    assert (
        "Spring order" in page
        and "Export" not in page
        and "Import" not in page
        and 'form="bulk"' not in page.html
    )
    client.get("/deals/export", 403)
    client.post("/deals/bulk/edit", {"selection": "ids:1", "set": "notes"}, 403)
    client.get("/deals/bulk?deed=edit&which=all", 403)
    assert "deal" not in client.get("/imports/").html.split("<select")[1].split("</select>")[0]
    agent = client_for("agent")
    agent.get("/companies/export", 403)
    agent.get("/duplicates/merge?entity=contact&ids=1,2", 403)


def test_a_search_finds_nobody_by_what_is_hidden(as_system, client_for):
    """Support does not see birthdays, though the index knows them."""
    with as_system() as session:
        department_id = session.scalars(select(Department.id).filter_by(name="North")).one()
        born = fields.date(1911, 4, 3)
        session.add(Contact(last_name="Vogel", birth_date=born, city="Graz", department_id=department_id))
    for username, found in (("agent", False), ("rep.north", True)):
        client = client_for(username)
        assert ("Vogel" in client.get("/contacts/?q=1911-04-03")) is found
        assert ("Vogel" in client.get("/contacts/pick?q=1911-04-03")) is found
        assert "Vogel" in client.get("/contacts/?q=vogel")
        assert ("Vogel" in client.get("/contacts/?q=vogel+1911")) is found


def test_an_invoice_is_not_drafted_by_who_does_not_see_what_it_says(as_system, client_for):
    with as_system() as session:
        deal = world.deal(session)
        key = deal.id
        grants = (
            {"entity": "deal", "verbs": ["see", "edit", "win"], "reach": "all", "hidden": ["amount"]},
            {"entity": "company", "verbs": ["see", "edit"], "reach": "all"},
            {"entity": "invoice", "verbs": ["see", "add", "edit"], "reach": "all"},
        )
        _hold(session, "marketer", "Marketing", *grants)
    client = client_for("marketer")
    client.post(f"/deals/{key}/win")
    assert "Draft the invoice" not in client.get(f"/deals/{key}")
    client.post("/invoices/draft", {"deal_id": key}, 422)
    client.post(f"/deals/{key}/lines", {"description": "x", "quantity": "1", "unit_price": "5"}, 403)


def test_what_was_erased_from_the_trash_is_gone_for_good(as_system, client_for):
    with as_system() as session:
        department_id = session.scalars(select(Department.id).filter_by(name="North")).one()
        contact = Contact(last_name="Fortwarder", notes="zqsecret", department_id=department_id)
        session.add(contact)
        session.flush()
        key = contact.id
    head, rep = client_for("head.sales"), client_for("rep.north")
    rep.post(f"/contacts/{key}/delete", {"version": 1})
    assert "Erase now" not in rep.get("/trash/")
    rep.get(f"/contacts/{key}/erase", 403)
    assert "Fortwarder" in head.get("/trash/") and "Erase now" in head.get("/trash/")
    client_for("head.support").get(f"/contacts/{key}/erase", 403)
    head.submit(f"/contacts/{key}/erase", f"/contacts/{key}/erase")
    assert "“Fortwarder” is gone for good" in head.get("/trash/")
    assert "Fortwarder" not in head.get("/trash/")
    head.get(f"/contacts/{key}/erase", 404)
    assert "Erased from the trash for good" in head.get("/changes/")
    with as_system() as session:
        said = session.connection().exec_driver_sql('SELECT "values" FROM change').all()
        assert not any("Fortwarder" in str(one) or "zqsecret" in str(one) for one in said)
