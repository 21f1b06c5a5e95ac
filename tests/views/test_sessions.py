"""Sessions and tokens end with the password they were begun with."""

from app import security


def test_a_new_password_ends_the_sessions_begun_with_the_old_one(client_for, as_system):
    client = client_for("agent")
    client.get("/tickets/")
    with as_system() as session:
        security.set_password(session, _id_of(session, "agent"), "another password")
    page = client.request("GET", "/tickets/", None)
    assert "/login/" in page.location


def test_a_token_ends_with_the_password_too(app, as_system):
    client = app.test_client()
    sent = {"username": "agent", "password": "demo", "provider": "db"}
    token = client.post("/api/v1/security/login", json=sent).json["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    assert client.get("/api/v1/tickets/", headers=headers).status_code == 200
    with as_system() as session:
        security.set_password(session, _id_of(session, "agent"), "another password")
    assert client.get("/api/v1/tickets/", headers=headers).status_code == 401


def _id_of(session, username):
    return session.query(security.User.id).filter_by(username=username).scalar()
