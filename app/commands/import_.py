"""Import a file of records, or the whole export of another system: all of it or nothing.

run.py import people.csv --entity contact [--dry-run] · run.py import northwind FOLDER · run.py import febrl FOLDER
"""

import importlib
import sys
from datetime import datetime
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table
from sqlalchemy import select

from app import access, create_app
from app.commands import CommandError, import_file
from app.commands.upgrade import upgrade
from app.exchange import loading, reading
from app.models import Department
from app.rules.invoices import Seller

RECIPES = ("northwind", "febrl")
SHOWN = 20  # refusals on the screen


def add_arguments(parser):
    recipes = " or ".join(RECIPES)
    parser.add_argument("what", metavar="WHAT", help=f"a file (CSV, XLSX, XLS, ODS, vCard), or {recipes}")
    parser.add_argument("folder", type=Path, nargs="?", help=f"for {recipes}: where the files lie")
    parser.add_argument("--department", default="Sales", help="whose the rows will be (default: Sales)")
    import_file.add_arguments(parser.add_argument_group("for a file"))


def run(args, settings):
    if args.what not in RECIPES:
        return import_file.run(args, settings)
    args.recipe = args.what
    if args.folder is None:
        raise CommandError(f"Say where the files of {args.recipe} lie: run.py import {args.recipe} FOLDER")
    if not args.folder.is_dir():
        raise CommandError(f"There is no folder {args.folder}.")
    console = Console(soft_wrap=True, highlight=False)
    app = create_app(settings)
    upgrade(app, say=partial(print, flush=True))
    with app.app_context():
        try:
            recipe, report = run_import(app, args.recipe, args.folder, args.department, console)
        except reading.Refused as refused:
            console.print(_rows_table(refused.report))
            _show_refusals(refused.report.refusals)
            raise CommandError(f"Nothing was imported from {args.folder}; the database is as it was.")
    return _show_report(console, recipe, report)


def run_import(app, recipe_name, folder, department_name, console):
    """Read, write and commit as one change set; returns the recipe and the report. Raises Refused."""
    settings = app.config["SETTINGS"]
    recipe = _recipe(recipe_name, folder)
    rows = reading.read(recipe, folder)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )
    with bar, access.system_session(recipe.name, door="import") as session:
        department = session.scalars(select(Department).where(Department.name == department_name)).first()
        if department is None:
            raise CommandError(f"There is no department “{department_name}”; name one with --department.")
        choices = {
            "department": department,
            "currency": settings.CURRENCY,
            "payment_days": settings.PAYMENT_DAYS,
            "seller": Seller(
                settings.COMPANY_NAME,
                settings.COMPANY_ADDRESS,
                settings.COMPANY_TAX_ID,
                settings.COMPANY_BANK,
            ),
        }
        total = sum(len(sheet_rows) for sheet_rows in rows.values())
        task = bar.add_task(recipe.name, total=total)

        def step(what, how_many):
            if what not in rows:  # work that follows from rows: the bar grows as it is found
                bar.update(task, total=bar.tasks[task].total + how_many)
            bar.update(task, description=what, advance=how_many)

        today = datetime.now(settings.zone).date()
        report = loading.load(session, recipe, rows, today=today, choices=choices, step=step)
        bar.update(task, description="saving")
    return recipe, report


def _recipe(name, folder):
    """The recipe of this name; one of a family of files looks into the folder first."""
    module = importlib.import_module(f"app.exchange.recipes.{name}")
    return module.recipe_for(folder) if hasattr(module, "recipe_for") else module.RECIPE


def _show_report(console, recipe, report):
    console.print(_rows_table(report))
    records = Table("Records", _right("created"))
    for entity, how_many in report.records.items():
        records.add_row(entity.replace("_", " "), f"{how_many:,}")
    console.print(records)
    money = Table("Money", _right("in the files"), _right("in Foyer"), "")
    for what, theirs, ours in report.money:
        money.add_row(what, f"{theirs:,.2f}", f"{ours:,.2f}", "" if theirs == ours else "differs")
    console.print(money)
    for why in dict.fromkeys(why for _, _, why in recipe.left_out):
        places = ", ".join(f"{file} {column}" for file, column, reason in recipe.left_out if reason == why)
        console.print(f"Not taken over ({why}): {places}.")


def _rows_table(report):
    table = Table(
        "File", *(_right(name) for name in ("read", "created", "skipped", "refused")), show_footer=True
    )
    refused = report.refused
    rows = [
        (file, read, report.created[file], report.skipped[file], refused[file])
        for file, read in report.read.items()
    ]
    for file, read, created, skipped, refused_here in rows:
        makes_records = file in report.created  # the others only lend words to the records of others
        shown = (f"{created:,}", f"{skipped:,}") if makes_records else ("–", "–")
        table.add_row(file, f"{read:,}", *shown, f"{refused_here:,}")
    table.columns[0].footer = "Together"
    for position, column in enumerate(table.columns[1:], start=1):
        column.footer = f"{sum(row[position] for row in rows):,}"
    return table


def _right(name):
    return Column(name, justify="right")


def _show_refusals(refusals):
    for refusal in refusals[:SHOWN]:
        print(refusal, file=sys.stderr)
    if len(refusals) > SHOWN:
        print(f"… and {len(refusals) - SHOWN} more.", file=sys.stderr)
