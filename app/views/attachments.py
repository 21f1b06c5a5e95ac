"""Files on the sheet of a record: brought by a plain form or dropped, handed out as downloads, taken off."""

from datetime import timedelta
from urllib.parse import quote

from flask import Response, abort, current_app, g, redirect, request
from flask_babel import gettext, ngettext

from app import access, blobs, jobs
from app.extensions import db
from app.rules import RuleBroken, attachments
from app.views.base import UPLOADS, allows, expose, wants_json
from app.views.errors import sentence
from app.views.past import flash_undoable
from app.views.reading import moment

ROUTES = ("attach", "download", "take_file_off")
MB = 1024 * 1024
SPARE = (
    2 * MB
)  # what a form weighs beside its file, and a little: who is just above the limit is told at the field
# A download is shown by no page of ours and runs nothing, whatever is in it.
SANDBOX = "default-src 'none'; sandbox; frame-ancestors 'none'"


class AttachmentRoutes:
    """Files of one record; mixed into every `RecordView`, open where records take files."""

    def __init__(self):
        if self.entity not in attachments.TAKERS:
            self.exclude_route_methods = {*self.exclude_route_methods, *ROUTES}
        UPLOADS[f"{type(self).__name__}.attach"] = lambda settings: settings.ATTACHMENT_MB * MB + SPARE
        super().__init__()

    @expose("/<int:pk>/files", methods=["POST"])
    @allows("edit")
    def attach(self, pk):
        """Hang one or several files on the record; what cannot be attached is said at the field, the others stay."""
        row, settings = self.find(pk), current_app.config["SETTINGS"]
        names, problems = [], []
        sent = [one for one in request.files.getlist("file") if one.filename] or [None]
        for one in sent:
            try:
                with db.session.begin_nested():
                    file = attachments.attach(
                        db.session(),
                        row,
                        name=one.filename if one else "",
                        stream=one.stream if one else None,
                        folder=blobs.folder_in(settings.FOYER_HOME),
                        most=settings.ATTACHMENT_MB * MB,
                        most_files=settings.ATTACHMENTS_PER_RECORD,
                    )
                names.append(file.name)
            except RuleBroken as error:
                problems.append(sentence(error))
        if names:
            said = ngettext(
                "“%(name)s” was attached.", "%(num)d files were attached.", len(names), name=names[0]
            )
            flash_undoable(said)
        db.session.commit()
        if problems:
            if wants_json():
                return {"message": " ".join(problems)}, 422
            return self.sheet(self.find(pk), status=422, file_error=" ".join(problems))
        return {"ok": True} if wants_json() else redirect(f"{self.path(row)}#files")

    @expose("/<int:pk>/files/<int:attachment_id>")
    @allows("see")
    def download(self, pk, attachment_id):
        file = self._file_on(self.find(pk), attachment_id)
        path = blobs.path_of(blobs.folder_in(current_app.config["SETTINGS"].FOYER_HOME), file.sha256)
        if not path.is_file():
            current_app.logger.error("the bytes of attachment %s are not there", file.id)
            abort(404)
        return handed_out(path, file)

    @expose("/<int:pk>/files/<int:attachment_id>/delete", methods=["POST"])
    @allows("edit")
    def take_file_off(self, pk, attachment_id):
        row = self.find(pk)
        file = self._file_on(row, attachment_id)
        name = file.name
        attachments.take_off(db.session(), file)
        flash_undoable(gettext("“%(name)s” was taken off.", name=name))
        db.session.commit()
        return redirect(f"{self.path(row)}#files")

    def _file_on(self, row, key):
        """A file of this very record, or 404: a foreign one answers like one that does not exist."""
        return attachments.on(db.session(), row, key) or abort(404)

    def files_box(self, row, error=None):
        """The files of a record as its sheet shows them, from one SELECT; None where records take none."""
        if self.entity not in attachments.TAKERS:
            return None
        may_edit, settings = g.principal.may("edit", self.entity), current_app.config["SETTINGS"]
        return {
            "files": [_told(self.path(row), one, may_edit) for one in attachments.of(db.session(), row)],
            "action": f"{self.path(row)}/files" if may_edit else None,
            "most": settings.ATTACHMENT_MB,
            "error": error,
        }


def _told(path, file, may_edit):
    href = f"{path}/files/{file.id}"
    return {
        "id": file.id,
        "name": file.name,
        "href": href,
        "size": size_in_words(file.size),
        "icon": ICONS.get(file.media_type, ICONS.get(file.media_type.split("/")[0], "file")),
        "at": moment(file.created_at),
        "moment": file.created_at,
        "take_off": f"{href}/delete" if may_edit else None,
    }


ICONS = {"application/pdf": "file-type-pdf", "text": "file-text"}


def handed_out(path, file):
    """The bytes of a file as a download that no page shows and that runs nothing."""
    response = Response(_pieces(path), mimetype=file.media_type, direct_passthrough=True)
    response.headers["Content-Length"] = str(path.stat().st_size)
    plain = "".join(letter if letter.isascii() and letter not in '"\\%' else "_" for letter in file.name)
    response.headers["Content-Disposition"] = (
        f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(file.name)}"
    )
    response.headers["Content-Security-Policy"] = SANDBOX
    return response


def _pieces(path):
    with path.open("rb") as file:
        while piece := file.read(MB):
            yield piece


def size_in_words(size):
    """A number of bytes as people read it."""
    if size < 1000:
        return gettext("%(size)s bytes", size=size)
    if size < 1000 * 1000:
        return gettext("%(size)s kB", size=round(size / 1000))
    return gettext("%(size)s MB", size=f"{size / 1000 / 1000:.1f}")


@jobs.daily
def sweep_files(settings, now):
    """Files that were taken off long ago go for good; then the bytes that nothing names any more."""
    folder = blobs.folder_in(settings.FOYER_HOME)
    with access.system_session("files that nothing leads to were removed") as session:
        if settings.TRASH_DAYS:
            attachments.forget_taken_off(session, now - timedelta(days=settings.TRASH_DAYS))
    with access.system_session("files that nothing leads to", writes=False) as session:
        needed = attachments.needed(session)
    blobs.sweep(folder, needed, now)
