"""Jobs: what works in the background for me, how far it is, and what it brought."""

from io import BytesIO

from flask import abort, flash, make_response, redirect, send_file
from flask_babel import gettext
from sqlalchemy import select
from sqlalchemy.orm import undefer

from app import jobs
from app.extensions import N_, db
from app.models import Job, JobFile
from app.views import cells
from app.views.base import allows, expose
from app.views.lists import ListView
from app.views.reading import moment, number

COLORS = {
    "running": "blue",
    "waiting": "grey",
    "draft": "grey",
    "done": "green",
    "failed": "red",
    "stopped": "amber",
}
# What the results of jobs are called; a result may bring words of its own.
WORDS = {
    "added": N_("Added"),
    "changed": N_("Changed"),
    "unchanged": N_("Unchanged"),
    "deleted": N_("Deleted"),
    "refused": N_("Refused"),
    "found": N_("Found"),
    "restored": N_("Restored"),
    "would": N_("Would be restored"),
    "left": N_("Left alone"),
    "rows": N_("Rows"),
}


class JobView(ListView):
    """One's own jobs. A running one shows how far it is; the page renews itself without any script."""

    model, route_base = Job, "/jobs"
    one, many, icon = N_("Job"), N_("Jobs"), "clock"
    list_columns = ("title", "state", "created_at", "finished_at")
    filter_columns = ("state",)

    def __init__(self):
        self.entity = "job"
        super().__init__()
        cells.PATHS["job"] = self.route_base

    def may_add(self):
        return False

    def path(self, row):
        return f"{self.route_base}/{row.id}"

    @expose("/<int:pk>")
    @allows("see")
    def show(self, pk):
        job = self.find(pk)
        done, total, note = jobs.progress_of(job)
        page = self.page(
            "jobs/job.html",
            job=job,
            badge=(gettext(job.__table__.c.state.info["choices"][job.state]), COLORS[job.state]),
            done=done,
            total=total,
            note=note,
            facts=self._facts(job),
        )
        response = make_response(page)
        if job.state in ("waiting", "running"):
            response.headers["Refresh"] = "2"
        return response

    @expose("/<int:pk>/stop", methods=["POST"])
    @allows("edit")
    def stop(self, pk):
        """What has not begun need not begin."""
        job = self.find(pk)
        if job.state not in ("waiting", "draft"):
            flash(gettext("“%(title)s” has begun already.", title=job), "warning")
        else:
            job.state = "stopped"
            db.session.commit()
            flash(gettext("“%(title)s” will not be done.", title=job), "success")
        return redirect(self.path(job))

    @expose("/<int:pk>/files/<int:file_id>")
    @allows("see")
    def file(self, pk, file_id):
        """A file of the job, as a download."""
        this = select(JobFile).where(JobFile.id == file_id, JobFile.job_id == pk)
        file = db.session.scalars(this.options(undefer(JobFile.content))).first()
        if file is None:
            abort(404)
        return send_file(BytesIO(file.content), file.media_type, as_attachment=True, download_name=file.name)

    def find(self, pk):
        """The job, or 404: foreign and absent answer alike."""
        return db.session.get(Job, pk) or abort(404)

    def _facts(self, job):
        facts = [
            {"label": gettext("Asked for"), "value": moment(job.created_at)},
            {"label": gettext("Began"), "value": moment(job.started_at) if job.started_at else None},
            {"label": gettext("Ended"), "value": moment(job.finished_at) if job.finished_at else None},
        ]
        for name, value in job.result.items():
            if isinstance(value, int | str) and name in WORDS:
                shown = number(value) if isinstance(value, int) else value
                facts.append({"label": gettext(WORDS[name]), "value": shown})
        return facts
