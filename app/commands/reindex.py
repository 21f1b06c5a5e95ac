"""Make the index of words anew from all records; pages stay usable meanwhile."""

from rich.progress import Progress
from sqlalchemy import func, select

from app import access, create_app, search
from app.models import ENTITIES


def add_arguments(parser):
    """It takes none."""


def run(args, settings):
    searched = {name: model for name, model in ENTITIES.items() if model.__search__}
    with (
        create_app(settings).app_context(),
        access.system_session("the index of words") as session,
        Progress() as bars,
    ):
        tasks = {}
        for name, model in searched.items():
            total = session.scalar(select(func.count(model.id)))
            tasks[name] = bars.add_task(name, total=total) if total else None

        def step(name, how_many):
            bars.advance(tasks[name], how_many)

        search.rebuild(session, step)
    print("The index of words is made anew.")
