"""The settings of the house: a change of a stage or a pipeline never takes cards out of sight or out of the figures."""

from app.models import Pipeline, Stage
from tests.rules import world


def saved(client, url, status, **values):
    """Change these fields of a record's form."""
    return client.submit(f"{url}/edit", f"{url}/edit", status=status, **values)


def test_a_stage_with_cards_keeps_its_outcome_and_its_pipeline(client_for, as_system):
    with as_system() as session:
        stage = world.stage(session, "New")
        other = Pipeline(name="Second way", kind="deal")
        session.add(other)
        session.flush()
        world.deal(session, at="New")
        url, other_id = f"/stages/{stage.id}", other.id
    admin = client_for("admin")
    for change in ({"outcome": "won"}, {"pipeline_id": other_id}):
        assert "move them first" in saved(admin, url, 422, **change)
    saved(admin, url, 302, name="Fresh", probability=15)


def test_a_stage_without_cards_may_change(client_for, as_system):
    with as_system() as session:
        pipeline = Pipeline(name="Second way", kind="deal")
        session.add(pipeline)
        session.flush()
        stage = Stage(name="Nearly", pipeline_id=pipeline.id, outcome="open")
        session.add(stage)
        session.flush()
        url = f"/stages/{stage.id}"
    saved(client_for("admin"), url, 302, outcome="won")


def test_a_pipeline_with_cards_keeps_its_kind(client_for, as_system):
    with as_system() as session:
        url = f"/pipelines/{world.ticket(session).stage.pipeline_id}"
    assert "it keeps its kind" in saved(client_for("admin"), url, 422, kind="deal")


def test_the_last_pipeline_of_a_kind_with_an_open_stage_stays(client_for, as_system):
    with as_system() as session:
        url = f"/pipelines/{world.stage(session, 'New', 'ticket').pipeline_id}"
    assert "last pipeline of its kind" in saved(client_for("admin"), url, 422, kind="deal")


def test_a_pipeline_whose_stages_do_not_fit_keeps_its_kind(client_for, as_system):
    with as_system() as session:
        pipeline = Pipeline(name="Second way", kind="deal")
        session.add(pipeline)
        session.flush()
        stage = Stage(name="Sold", pipeline_id=pipeline.id, outcome="won")
        session.add(stage)
        session.flush()
        url, stage_url = f"/pipelines/{pipeline.id}", f"/stages/{stage.id}"
    admin = client_for("admin")
    assert "stages that end otherwise" in saved(admin, url, 422, kind="ticket")
    saved(admin, stage_url, 302, outcome="open")
    saved(admin, url, 302, kind="ticket")
