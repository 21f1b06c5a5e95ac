"""The activities on a sheet: where they are cut, a link leads to all of them."""

from app.views import activities
from tests.factories import make
from tests.rules import world


def test_a_long_timeline_leads_to_all_activities(client_for, as_system, monkeypatch):
    monkeypatch.setattr(activities, "SHOWN", 2)
    with as_system() as session:
        company, about = world.company(session), {"department_id": world.department(session).id}
        for subject in ("First word", "Second word", "Third word"):
            make(session, "activity", subject=subject, company_id=company.id, **about)
        url = f"/companies/{company.id}"
    north = client_for("rep.north")
    page = north.get(url)
    assert "First word" not in page
    assert "First word" in north.get(page.link_with(rel="next"))
    monkeypatch.setattr(activities, "SHOWN", 3)
    page = north.get(url)
    assert "First word" in page
    assert page.link_with(rel="next") is None
