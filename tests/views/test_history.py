"""The history of a record: what does not fit on one page stands on the next."""

from app.views import history
from tests.rules import world


def test_a_long_history_goes_on_on_the_next_page(client_for, as_system, monkeypatch):
    monkeypatch.setattr(history, "SHOWN", 2)
    with as_system() as session:
        company = world.company(session, name="First")
        url = f"/companies/{company.id}/history"
        for name in ("Second", "Third"):
            company.name = name
            session.flush()
    north = client_for("rep.north")
    page = north.get(url)
    assert page.html.count('class="event ') == 2
    older = north.get(page.link_with(rel="next"))
    assert older.html.count('class="event ') == 1
    assert older.link_with(rel="next") is None
    north.get(f"{url}?before=x", status=400)
