"""Files on records: brought, told by content, handed out as downloads, scoped through their record, and swept."""

import io
import os
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from app import blobs
from app.models import Attachment, Change, ChangeSet
from app.rules import attachments
from app.views.attachments import sweep_files
from tests import databases, factories

PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 40


@pytest.fixture
def deal_id(as_system):
    with as_system() as session:
        department = factories.department(session, "North")
        return factories.make(session, "deal", name="With papers", department=department).id


def bring(client, deal_id, *files, status=302):
    client.get(f"/deals/{deal_id}")
    sent = [(io.BytesIO(content), name) for name, content in files]
    return client.post(f"/deals/{deal_id}/files", {"file": sent}, status=status)


def held(as_system):
    with as_system() as session:
        return [
            (one.name, one.media_type, one.size, one.sha256, one.id)
            for one in session.scalars(select(Attachment))
        ]


def folder(app):
    return blobs.folder_in(app.config["SETTINGS"].FOYER_HOME)


@databases.on_both_engines
def test_a_file_is_attached_shown_and_handed_out(client_for, as_system, app, deal_id):
    client = client_for("rep.north")
    bring(client, deal_id, ("Angebot „März“.png", PNG))
    ((name, media_type, size, sha256, key),) = held(as_system)
    assert (name, media_type, size) == ("Angebot „März“.png", "image/png", len(PNG))
    assert blobs.path_of(folder(app), sha256).read_bytes() == PNG
    page = client.get(f"/deals/{deal_id}")
    assert "Angebot „März“.png" in page and f"/deals/{deal_id}/files/{key}" in page.links
    answer = client.request("GET", f"/deals/{deal_id}/files/{key}", 200).response
    assert answer.data == PNG
    assert answer.headers["Content-Disposition"].startswith("attachment; filename=")
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_what_a_file_is_says_its_content_not_its_name(client_for, as_system, deal_id):
    client = client_for("rep.north")
    bring(client, deal_id, ("photo.png", b"<html><script>alert(1)</script>"), ("notes.txt", b"%PDF-1.7 x"))
    kinds = {name: media_type for name, media_type, *_ in held(as_system)}
    assert kinds == {"photo.png": "text/plain", "notes.txt": "application/pdf"}


def test_the_same_bytes_are_kept_once(client_for, as_system, app, deal_id):
    client = client_for("rep.north")
    bring(
        client,
        deal_id,
        ("one.txt", b"the very same"),
        ("two.txt", b"the very same"),
        ("one.txt", b"the very same"),
    )
    rows = held(as_system)
    assert [row[0] for row in rows] == ["one.txt", "two.txt"]
    assert len({row[3] for row in rows}) == 1
    assert blobs.path_of(folder(app), rows[0][3]).is_file()


def test_what_cannot_be_attached_is_said_at_the_field_and_the_rest_is_kept(
    client_for, as_system, app, deal_id
):
    client = client_for("rep.north")
    too_much = b"x" * (app.config["SETTINGS"].ATTACHMENT_MB * 1024 * 1024 + 1)
    page = bring(
        client, deal_id, ("large.bin", too_much), ("empty.txt", b""), ("good.txt", b"good"), status=422
    )
    assert "“large.bin” is larger than 25 MB." in page and "“empty.txt” is empty." in page
    assert [row[0] for row in held(as_system)] == ["good.txt"]
    assert bring(client, deal_id, status=422).text.count("Choose a file.") == 1
    assert not list(folder(app).glob("new-*")), "nothing half is left"


def test_far_too_much_is_refused_before_it_is_read(client_for, app, deal_id):
    client = client_for("rep.north")
    bring(
        client,
        deal_id,
        ("huge.bin", b"x" * ((app.config["SETTINGS"].ATTACHMENT_MB + 3) * 1024 * 1024)),
        status=413,
    )


@databases.on_both_engines
def test_a_foreign_file_answers_like_an_absent_one(client_for, as_system, deal_id):
    bring(client_for("rep.north"), deal_id, ("secret.txt", b"ours"))
    ((*_, key),) = held(as_system)
    with as_system() as session:
        south = factories.department(session, "South")
        other = factories.make(session, "deal", name="Theirs", department=south).id
    stranger = client_for("rep.south")
    foreign = stranger.get(f"/deals/{deal_id}/files/{key}", status=404).text
    through_own = stranger.get(f"/deals/{other}/files/{key}", status=404).text
    absent = stranger.get(f"/deals/{other}/files/{key + 100}", status=404).text
    assert foreign == through_own == absent
    stranger.post(f"/deals/{other}/files/{key}/delete", status=404)
    stranger.post(f"/deals/{deal_id}/files", status=404)
    assert len(held(as_system)) == 1


def test_who_only_reads_downloads_and_brings_nothing(client_for, as_system, deal_id):
    bring(client_for("rep.north"), deal_id, ("paper.txt", b"text"))
    ((*_, key),) = held(as_system)
    director = client_for("director")
    assert director.request("GET", f"/deals/{deal_id}/files/{key}", 200).response.data == b"text"
    assert f"/deals/{deal_id}/files" not in [form.action for form in director.get(f"/deals/{deal_id}").forms]
    director.post(f"/deals/{deal_id}/files", status=403)
    director.post(f"/deals/{deal_id}/files/{key}/delete", status=403)


@databases.on_both_engines
def test_a_file_that_was_taken_off_comes_back_by_undo(client_for, as_system, deal_id):
    client = client_for("rep.north")
    bring(client, deal_id, ("paper.txt", b"text"))
    ((*_, key),) = held(as_system)
    page = client.submit(f"/deals/{deal_id}", action=f"/deals/{deal_id}/files/{key}/delete", follow=True)
    assert "“paper.txt” was taken off." in page and held(as_system) == []
    undo = next(link for link in page.links if link.startswith("/changes/") and link.endswith("/undo"))
    client.submit(undo, action=undo)
    assert [row[0] for row in held(as_system)] == ["paper.txt"]
    assert client.request("GET", f"/deals/{deal_id}/files/{key}", 200).response.data == b"text"
    assert "File added" in client.get(f"/deals/{deal_id}/history")


def test_a_deleted_record_takes_its_files_along_and_brings_them_back(client_for, as_system, deal_id):
    client = client_for("rep.north")
    bring(client, deal_id, ("paper.txt", b"text"))
    page = client.submit(f"/deals/{deal_id}", action=f"/deals/{deal_id}/delete", follow=True)
    assert held(as_system) == []
    undo = next(link for link in page.links if link.endswith("/undo"))
    client.submit(undo, action=undo)
    assert [row[0] for row in held(as_system)] == ["paper.txt"]


@databases.on_both_engines
def test_bytes_go_when_nothing_leads_to_them_after_the_retention(client_for, as_system, app, deal_id):
    client, settings = client_for("rep.north"), app.config["SETTINGS"]
    bring(client, deal_id, ("kept.txt", b"kept"), ("gone.txt", b"gone"))
    files = {name: (key, blobs.path_of(folder(app), sha)) for name, _, _, sha, key in held(as_system)}
    client.submit(f"/deals/{deal_id}", action=f"/deals/{deal_id}/files/{files['gone.txt'][0]}/delete")
    for path in folder(app).glob("*/*"):
        long_ago = datetime.now(UTC).timestamp() - 3 * 24 * 3600
        os.utime(path, (long_ago, long_ago))
    now = datetime.now(UTC)
    with app.app_context():
        sweep_files(settings, now)
    assert files["gone.txt"][1].is_file(), "it can still be brought back"
    with as_system() as session:
        for one in session.scalars(select(ChangeSet)):
            one.at = now - timedelta(days=settings.TRASH_DAYS + 1)
    with app.app_context():
        sweep_files(settings, now)
    assert not files["gone.txt"][1].is_file() and files["kept.txt"][1].is_file()
    with as_system() as session:
        told = session.scalars(select(Change).where(Change.record_id == files["gone.txt"][0])).all()
        assert all(change.values == {} for change in told if change.entity == "attachment")


def test_an_orphan_of_today_is_left_alone(tmp_path):
    kept = blobs.keep(tmp_path, io.BytesIO(b"just brought"), most=100)
    assert blobs.sweep(tmp_path, set(), datetime.now(UTC)) == 0
    assert blobs.path_of(tmp_path, kept.sha256).is_file()
    assert blobs.sweep(tmp_path, set(), datetime.now(UTC) + timedelta(days=2)) == 1


@pytest.mark.parametrize(
    "head, media_type",
    [
        (
            b"PK\x03\x04" + b"\x00" * 26 + b"word/document.xml",
            "application/vnd.openxmlformats-officedocument.",
        ),
        (b"PK\x03\x04" + b"\x00" * 26 + b"thing.txt", "application/zip"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'>", "text/plain"),
        ("ä".encode() * 2048 + b"\xc3", "text/plain"),
        (b"\x00\x01\x02", "application/octet-stream"),
        (b"\xff\xfe\xfd", "application/octet-stream"),
    ],
)
def test_kinds_are_told_by_how_files_begin(head, media_type):
    assert blobs.media_type_of(head).startswith(media_type)


@pytest.mark.parametrize(
    "brought, kept",
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ann\\plan.pdf", "plan.pdf"),
        ("two\r\nlines\u202e.txt", "two lines.txt"),
        ("x" * 300 + ".pdf", "x" * 196 + ".pdf"),
    ],
)
def test_a_name_holds_no_folder_and_no_line_break(brought, kept):
    assert attachments.tidy_name(brought) == kept
