"""Imports: a file is brought, its columns are mapped, every row's fate is shown, and only then a job writes it.

The file and all that was chosen lie in a job that is being prepared; it outlives browser, worker and restart.
"""

import json
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime

from flask import Response, abort, current_app, flash, g, make_response, redirect, request
from flask_babel import force_locale, gettext
from sqlalchemy import select

from app import filters, jobs
from app.exchange import files, importing
from app.exchange.files import Choice, limits
from app.exchange.files.delimited import DELIMITERS, ENCODINGS
from app.exchange.importing import ACTIONS, House, Mapping
from app.exchange.importing.cells import as_text
from app.exchange.importing.mapping import CREATED, MISSING, MODES, problems, suggested_match
from app.exchange.importing.preview import preview
from app.exchange.importing.targets import MATCHES, TARGETS
from app.exchange.reading import Refused, in_general
from app.extensions import N_, db
from app.models import ENTITIES, Job, JobFile
from app.rules import RuleBroken
from app.views import cells
from app.views.base import UPLOADS, PageView, allows, expose
from app.views.lists import may_import
from app.views.reading import day, moment
from app.views.sealed import for_rows
from config import BASE, languages

ROWS_A_PAGE = 50
SAMPLES = 3  # cells of a column shown beside its mapping
# Files up to this many bytes are planned while one waits; a job plans larger ones.
QUICK = {"CSV": 400_000, "vCard": 400_000}
QUICK_WORKBOOK = 60_000

WORDS = {
    "company": N_("Companies"),
    "contact": N_("Contacts"),
    "deal": N_("Deals"),
    "ticket": N_("Tickets"),
    "activity": N_("Activities"),
    "campaign": N_("Campaigns"),
    "product": N_("Products"),
}
ACTION_WORDS = {
    "create": (N_("New"), "green"),
    "update": (N_("Changed"), "blue"),
    "unchanged": (N_("As it is"), "grey"),
    "skipped": (N_("Passed over"), "grey"),
    "refused": (N_("Refused"), "red"),
}
DAY_ORDERS = {"dmy": N_("day, month, year"), "mdy": N_("month, day, year"), "ymd": N_("year, month, day")}
DECIMALS = {".": N_("a point: 1234.50"), ",": N_("a comma: 1234,50")}
DELIMITER_WORDS = {",": N_("comma"), ";": N_("semicolon"), "\t": N_("tab"), "|": N_("bar")}


UPLOADS["ImportView.index"] = limits.FILE_BYTES + 1024 * 1024


class ImportView(PageView):
    """From a file to records, in three steps and a job."""

    entity = "job"
    route_base = "/imports"
    default_view = "index"

    # ---- 1. the file

    @expose("/", methods=["GET", "POST"])
    @allows("add")
    def index(self):
        entity = request.values.get("entity", "")
        if request.method == "GET":
            return self._upload_page(entity)
        upload = request.files.get("file")
        raw = upload.read() if upload else b""
        if entity not in importable():
            abort(403) if entity in TARGETS else abort(400)
        if not raw:
            return self._upload_page(entity, [gettext("Choose a file that holds something.")], 422)
        try:
            table = files.open_table(raw, upload.filename)
        except Refused as refused:
            return self._upload_page(entity, _sentences(refused), 422)
        fields = importing.fields_for(db.session, entity)
        mapping = importing.remembered(db.session, entity, table, fields)
        is_remembered = mapping is not None
        mapping = mapping or importing.suggest(entity, table, fields)
        params = {
            "entity": entity,
            "name": table.name,
            "mapping": mapping.as_json(),
            "known": is_remembered,
        }
        title = gettext("Import: %(what)s from %(file)s", what=gettext(WORDS[entity]), file=table.name)
        media_type = (upload.mimetype or "application/octet-stream")[:100]
        file = ("upload", table.name, media_type, raw)
        job = jobs.start(db.session, "import", title, params, [file], state="draft")
        db.session.commit()
        return redirect(f"{self.route_base}/{job.id}")

    def _upload_page(self, entity, errors=(), status=200):
        mine = select(Job).where(Job.kind == "import", Job.owner_id == g.principal.id)
        recent = db.session.scalars(mine.order_by(Job.id.desc()).limit(10)).all()
        return self.page(
            "imports/index.html",
            status=status,
            entity=entity,
            entities=[(one, gettext(WORDS[one])) for one in importable()],
            errors=errors,
            most=limits.FILE_BYTES // 2**20,
            recent=[_recent(job) for job in recent],
        )

    # ---- 2. the columns

    @expose("/<int:pk>", methods=["GET", "POST"])
    @allows("edit")
    def columns(self, pk):
        job = self._find(pk)
        if job.state != "draft":
            return self._result(job)
        if request.method == "POST":
            choice, mapping = _sent(job)
            job.params = {**job.params, "choice": choice, "mapping": mapping.as_json(), "check": None}
            db.session.commit()
        try:
            table, fields = self._opened(job)
        except Refused as refused:
            job.params = {**job.params, "choice": {}}
            table, fields = self._opened(job)
            return self._columns_page(job, table, fields, _sentences(refused), 422)
        if request.method == "GET":
            return self._columns_page(job, table, fields)
        if request.form.get("do") != "check":
            # Read otherwise, the file may have other columns: what is not known yet is suggested anew.
            suggested = importing.suggest(job.params["entity"], table, fields)
            kept = {h: n for h, n in mapping.columns.items() if h in table.headers}
            if not kept:
                job.params = {**job.params, "mapping": suggested.as_json()}
                db.session.commit()
            return redirect(f"{self.route_base}/{pk}")
        wrong = problems(job.params["entity"], mapping, fields, table.headers)
        if wrong:
            said = [gettext(message, **_translated(values)) for message, values in wrong]
            return self._columns_page(job, table, fields, said, 422)
        if g.principal.may("add", "import_mapping"):
            importing.remember(db.session, job.params["entity"], table, mapping)
            db.session.commit()
        return redirect(f"{self.route_base}/{pk}/plan")

    def _columns_page(self, job, table, fields, errors=(), status=200):
        mapping, entity = Mapping.from_json(job.params["mapping"]), job.params["entity"]
        own = [*MATCHES[entity], mapping.match, suggested_match(entity, mapping.columns)]
        return self.page(
            "imports/columns.html",
            status=status,
            job=job,
            table=table,
            mapping=mapping,
            errors=errors,
            what=gettext(WORDS[entity]),
            notes=[gettext(note.message, **note.values) for note in table.notes],
            facts=_facts(table),
            columns=[
                {
                    "position": position,
                    "header": header,
                    "samples": _samples(table, position),
                    "field": mapping.columns.get(header, ""),
                }
                for position, header in enumerate(table.headers)
            ],
            fields=sorted(((name, gettext(one.label)) for name, one in fields.items()), key=_by_words),
            matches=[
                (",".join(one), " + ".join(gettext(fields[name].label) for name in one))
                for one in dict.fromkeys(own)
                if one and all(name in fields for name in one)
            ],
            modes=[(value, gettext(words)) for value, words in MODES.items()],
            day_orders=[(value, gettext(words)) for value, words in DAY_ORDERS.items()],
            decimals=[(value, gettext(words)) for value, words in DECIMALS.items()],
            links=[
                {
                    "name": one.name,
                    "label": gettext(one.label),
                    "ways": [
                        (value, gettext(words))
                        for value, words in MISSING.items()
                        if value != "create" or (one.target in CREATED and g.principal.may("add", one.target))
                    ],
                    "chosen": mapping.missing.get(one.name, "refuse"),
                }
                for one in fields.values()
                if one.kind == "link" and one.name in mapping.columns.values()
            ],
            encodings=[(one, one.upper()) for one in dict.fromkeys((table.encoding, *ENCODINGS)) if one],
            sheets=[(one, one) for one in table.sheets],
            delimiters=[(one, gettext(DELIMITER_WORDS[one])) for one in DELIMITERS],
            samples=[record.cells for record in table.head[:5]],
            known=job.params.get("known"),
        )

    # ---- 3. what would become of each row

    @expose("/<int:pk>/plan", methods=["GET", "POST"])
    @allows("edit")
    def plan(self, pk):
        job = self._find(pk)
        if job.state != "draft":
            return redirect(f"{self.route_base}/{pk}")
        found = self._planned(job)
        if isinstance(found, Job):
            done, total, _ = jobs.progress_of(found)
            return _again(self.page("imports/checking.html", job=job, done=done, total=total))
        if found is None:
            return redirect(f"{self.route_base}/{pk}")
        shown = request.args.get("show", "")
        page = filters.natural(request.args.get("page", "1")) or 1
        rows = [row for row in found["rows"] if shown in ("", row["action"])]
        first = (page - 1) * ROWS_A_PAGE
        fields = importing.fields_for(db.session, job.params["entity"])
        counts = {action: found["counts"].get(action, 0) for action in ACTIONS}
        listed = [action for action in ("create", "update", "refused") if counts[action]]
        return self.page(
            "imports/plan.html",
            tabs_shown=[
                (gettext("All"), "?", not shown),
                *((_action(action)[0], f"?show={action}", shown == action) for action in listed),
            ],
            job=job,
            counts=[(action, *_action(action), number) for action, number in counts.items()],
            total=sum(counts.values()),
            to_write=counts["create"] + counts["update"],
            refused=counts["refused"],
            made=found["made"],
            warned=found["warned"],
            shown=shown,
            rows=_rows_in_words(rows[first : first + ROWS_A_PAGE], fields, job.params["entity"]),
            kept=len(found["rows"]),
            next_href=_page_href(shown, page + 1) if len(rows) > first + ROWS_A_PAGE else None,
            prev_href=_page_href(shown, page - 1) if page > 1 else None,
        )

    def _planned(self, job):
        """The plan, the job that is making it, or None when the file cannot be planned as it is mapped."""
        check = db.session.get(Job, job.params["check"]) if job.params.get("check") else None
        if check is not None and not check.is_over:
            return check
        if check is not None and check.state == "done":
            content = db.session.scalar(
                select(JobFile.content).where(JobFile.job_id == check.id, JobFile.role == "plan")
            )
            return json.loads(content)
        if check is not None:
            flash(check.error or gettext("The file could not be looked through."), "warning")
            return None
        try:
            table, _ = self._opened(job)
            size = db.session.scalar(select(JobFile.size).where(JobFile.job_id == job.id))
            if size > QUICK.get(table.format, QUICK_WORKBOOK):
                return self._begin_check(job)
            settings = current_app.config["SETTINGS"]
            desk = _desk(db.session, table, job.params, settings, for_rows(g.principal, settings))
            return json.loads(json.dumps(preview(desk)))
        except Refused as refused:
            for sentence in _sentences(refused):
                flash(sentence, "warning")
            return None

    def _begin_check(self, job):
        title = gettext("Look through %(file)s", file=job.params["name"])
        check = jobs.start(db.session, "import-check", title, {"import": job.id})
        job.params = {**job.params, "check": check.id}
        db.session.commit()
        return check

    @expose("/<int:pk>/start", methods=["POST"])
    @allows("edit")
    def start(self, pk):
        job = self._find(pk)
        if job.state != "draft":
            raise RuleBroken(N_("This import has been started already."))
        job.params = {**job.params, "skip_bad": request.form.get("bad") == "skip"}
        jobs.release(db.session, job)
        db.session.commit()
        return redirect(f"{self.route_base}/{pk}")

    @expose("/<int:pk>/discard", methods=["POST"])
    @allows("delete")
    def discard(self, pk):
        job = self._find(pk)
        if job.state != "draft":
            raise RuleBroken(N_("This import has been started already."))
        db.session.delete(job)
        db.session.commit()
        flash(gettext("The import was put aside. Nothing was stored."), "success")
        return redirect(f"{self.route_base}/")

    # ---- what became of it

    def _result(self, job):
        result, refused = job.result or {}, self._refused_file(job)
        counts = {action: (result.get("counts") or {}).get(action, 0) for action in ACTIONS}
        done, total, _ = jobs.progress_of(job)
        page = self.page(
            "imports/result.html",
            job=job,
            counts=[(action, *_action(action), number) for action, number in counts.items()],
            made=result.get("made", 0),
            is_stored=result.get("is_stored", False),
            reasons=[
                {"title": in_general(gettext(message)), "end": str(number)}
                for message, number in result.get("reasons", ())
            ],
            refused=refused,
            done=done,
            total=total,
            percent=f"{100 * done // total} %" if total else gettext("waiting"),
            change_set_href=f"/changes/{job.change_set_id}" if job.change_set_id else None,
            list_href=cells.PATHS.get(job.params["entity"]),
            what=gettext(WORDS[job.params["entity"]]),
            finished=moment(job.finished_at) if job.finished_at else None,
        )
        return page if job.is_over else _again(page)

    def _refused_file(self, job):
        this = select(JobFile).where(JobFile.job_id == job.id, JobFile.role == "refused")
        return db.session.scalars(this).first()

    @expose("/<int:pk>/refused")
    @allows("see")
    def refused(self, pk):
        """The rows that were refused, to be mended and brought again."""
        found = self._refused_file(self._find(pk))
        if found is None:
            abort(404)
        response = Response(found.content, mimetype="text/csv")
        response.headers.set("Content-Disposition", "attachment", filename=found.name)
        return response

    # ---- small things

    def _find(self, pk):
        job = db.session.get(Job, pk)
        if job is None or job.kind != "import" or job.owner_id != g.principal.id:
            abort(404)
        return job

    def _opened(self, job):
        raw = db.session.scalar(
            select(JobFile.content).where(JobFile.job_id == job.id, JobFile.role == "upload")
        )
        table = files.open_table(raw, job.params["name"], Choice(**job.params.get("choice") or {}))
        return table, importing.fields_for(db.session, job.params["entity"])


def importable():
    """The entities of which the principal may add or change records."""
    return [one for one in TARGETS if may_import(g.principal, one)]


# --------------------------------------------------------------------------------------------- the jobs


@jobs.kind("import")
def bring_in(run):
    """Write the file: all of it or nothing, unless the good rows are asked for; what is refused is kept beside."""
    params = run.params
    with _in_words(), run.reading() as session, force_locale(run.principal.language):
        table = files.open_table(run.file("upload"), params["name"], Choice(**params.get("choice") or {}))
        desk = _desk(session, table, params, run.settings)
        outcome = importing.bring_in(
            desk,
            begin=lambda: run.session,
            skip_bad=params.get("skip_bad", False),
            progress=run.progress,
            say=sentence_of,
        )
    if outcome.refused_file:
        name = f"{params['name'].rsplit('.', 1)[0]}-refused.csv"
        run.keep("refused", name, "text/csv", outcome.refused_file)
    return {
        "counts": dict(outcome.counts),
        "made": outcome.made["company"],
        "warned": outcome.warnings,
        "is_stored": outcome.is_stored,
        "reasons": outcome.reasons.most_common(10),
        "links": [{"label": N_("What came of it"), "href": f"/imports/{run.id}"}],
        "done": outcome.read,
        "total": outcome.read,
    }


@jobs.kind("import-check")
def check(run):
    """Plan a long file, and keep the plan to be leafed through."""
    with _in_words(), run.reading() as session:
        job = session.get(Job, run.params["import"])
        if job is None:
            raise RuleBroken(N_("The import was put aside."))
        content = select(JobFile.content).where(JobFile.job_id == job.id, JobFile.role == "upload")
        params = job.params
        table = files.open_table(
            session.scalar(content), params["name"], Choice(**params.get("choice") or {})
        )
        outside = for_rows(run.principal, run.settings)
        found = preview(_desk(session, table, params, run.settings, outside), run.progress)
    run.keep("plan", "plan.json", "application/json", json.dumps(found).encode())
    rows = sum(found["counts"].values())
    link = {"label": N_("What would change"), "href": f"/imports/{run.params['import']}/plan"}
    return {"rows": rows, "done": rows, "total": rows, "links": [link]}


@contextmanager
def _in_words():
    """A file that cannot be read ends its job with the sentence why."""
    try:
        yield
    except Refused as refused:
        raise RuleBroken("%(why)s", why=" ".join(_sentences(refused)))


def _desk(session, table, params, settings, look_outside=None):
    catalogues = str(BASE / "app" / "translations")
    house = House.of(settings, datetime.now(UTC), languages=languages(), catalogues=catalogues)
    house = replace(house, look_outside=look_outside)
    return importing.Desk(session, table, params["entity"], Mapping.from_json(params["mapping"]), house)


def _sent(job):
    """(how the file is to be read, the mapping) as they were sent."""
    form, params = request.form, job.params
    choice = {
        name: form[name] for name in ("encoding", "delimiter", "sheet") if form.get(name) not in (None, "")
    }
    header_row = filters.natural(form.get("header_row", "")) if form.get("header_row") != "0" else 0
    if header_row is not None:
        choice["header_row"] = header_row
    headers = form.getlist("header")
    columns = {header: field for header, field in zip(headers, form.getlist("field"), strict=False) if field}
    missing = {
        name.removeprefix("missing."): value for name, value in form.items() if name.startswith("missing.")
    }
    old = Mapping.from_json(params["mapping"])
    mapping = old.but(
        columns=columns,
        match=tuple(part for part in form.get("match", "").split(",") if part),
        mode=form.get("mode", "both"),
        dates=form.get("dates", "dmy"),
        decimal=form.get("decimal", "."),
        clear=form.get("clear", "").strip()[:20],
        empty_clears=form.get("empty_clears") == "y",
        missing=missing,
        source=form.get("source", "").strip()[:60],
    )
    return choice, mapping


def _facts(table):
    """What was found out about the file, as (label, value)."""
    facts = [(gettext("Format"), table.format)]
    if table.encoding:
        facts.append((gettext("Encoding"), table.encoding.upper()))
    if table.delimiter:
        words = DELIMITER_WORDS.get(table.delimiter)
        facts.append((gettext("Delimiter"), gettext(words) if words else table.delimiter))
    if table.sheet:
        facts.append((gettext("Sheet"), table.sheet))
    if table.header_row:
        facts.append((gettext("Header"), gettext("row %(number)s", number=table.header_row)))
    facts.append((gettext("Columns"), str(len(table.headers))))
    return facts


def _samples(table, position):
    texts = (as_text(record.cells[position]).strip() for record in table.head if position < len(record.cells))
    return [text[:60] for text in texts if text][:SAMPLES]


def _recent(job):
    color = {"done": "green", "failed": "red", "running": "blue"}.get(job.state, "grey")
    return {
        "href": f"/imports/{job.id}",
        "title": job.title,
        "end": moment(job.created_at),
        "badge": (gettext(Job.__table__.c.state.info["choices"][job.state]), color),
    }


def _action(action):
    words, color = ACTION_WORDS[action]
    return gettext(words), color


def _sentences(refused):
    """What is wrong with a file, in the reader's language."""
    return [sentence_of(one) for one in refused.report.refusals[:10]]


def sentence_of(refusal):
    return f"{refusal.place}: {gettext(refusal.message, **_translated(refusal.values))}"


def _translated(values):
    """Names of fields within a message, in the reader's language."""
    return {
        name: gettext(value) if name in ("field", "name", "fields", "why") and value else value
        for name, value in values.items()
    }


def _again(page):
    """The page renews itself, without any script."""
    response = make_response(page)
    response.headers["Refresh"] = "2"
    return response


def _page_href(shown, page):
    return f"?show={shown}&page={page}" if shown else f"?page={page}"


def _by_words(one):
    return one[1].casefold()


# --------------------------------------------------------------------------------------------- rows in words


def _rows_in_words(rows, fields, entity):
    """The rows of a plan as a person reads them; names of linked records are asked for once a page."""
    names = _names_of(rows, fields)
    shown = []
    for row in rows:
        words, color = _action(row["action"])
        shown.append(
            {
                "row": row["row"],
                "action": words,
                "color": color,
                "name": row["name"] or "–",
                "href": f"{cells.PATHS[entity]}/{row['id']}" if row["id"] else None,
                "changes": [
                    {
                        "label": gettext(fields[name].label) if name in fields else name,
                        "before": _value(name, before, fields, names),
                        "after": _value(name, after, fields, names),
                    }
                    for name, before, after in row["changes"]
                ],
                "is_new": row["action"] == "create",
                "reasons": [
                    (f"{column}: " if column else "") + gettext(message, **_translated(values))
                    for column, message, values in row["reasons"]
                ],
                "warnings": [gettext(message, **_translated(values)) for message, values in row["warnings"]],
            }
        )
    return shown


def _names_of(rows, fields):
    """(entity, id) -> what the linked records are called."""
    wanted = {}
    for row in rows:
        for name, *values in row["changes"]:
            one = fields.get(name)
            if one is not None and one.kind == "link":
                keys = wanted.setdefault(one.target, set())
                keys.update(value for value in values if isinstance(value, int))
    return {
        (entity, found.id): str(found)
        for entity, keys in wanted.items()
        if keys
        for found in db.session.scalars(select(ENTITIES[entity]).where(ENTITIES[entity].id.in_(keys)))
    }


def _value(name, value, fields, names):
    one = fields.get(name)
    if value is None or value == "":
        return "–"
    if isinstance(value, dict) and "new" in value:
        return gettext("%(name)s (new)", name=value["new"])
    if one is not None and one.kind == "link":
        return names.get((one.target, value)) or gettext("not visible")
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    column = one.column if one is not None else None
    if column is not None and "choices" in column.info:
        return gettext(column.info["choices"].get(value, value))
    if isinstance(value, list):
        return ", ".join(str(part) for part in value)
    if column is not None and getattr(column.type, "python_type", None) is date:
        return day(date.fromisoformat(value))
    text = str(value)
    return text if len(text) <= 120 else f"{text[:120]}…"
