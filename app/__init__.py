"""Foyer, assembled: this reads like a table of contents."""

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from app.extensions import db, migrate
from config import load_settings


class Plain(Flask):
    """Flask without asking of each function, at each request, whether it is a coroutine: none of ours is."""

    def ensure_sync(self, func):
        return func


def create_app(settings=None):
    """The application for these settings (default: those of the environment and the instance folder)."""
    from app import access, ledger, models, search, security, sessions, views, wall  # noqa: F401  (guards listen)

    settings = settings or load_settings()
    app = Plain(__name__, instance_path=str(settings.FOYER_HOME), static_folder=None)
    app.config.from_mapping(settings.flask_config())
    security.use_zone(settings.zone)
    if settings.PROXIES:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=settings.PROXIES, x_proto=settings.PROXIES)
    wall.use_key(app.config["SECRET_KEY"])
    db.init_app(app)
    migrate.init_app(app, db)
    with app.app_context():
        views.install(app)
    return app
