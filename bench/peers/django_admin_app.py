"""Stock Django admin: one ModelAdmin over the contact table. As a script it makes its own tables and the account."""

import os
from urllib.parse import parse_qs, urlsplit

import django
from django.conf import settings


def _database(url):
    if url.startswith("sqlite"):
        options = {"init_command": "PRAGMA journal_mode=wal;", "transaction_mode": "IMMEDIATE"}
        path = url.removeprefix("sqlite:///")
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": path, "OPTIONS": options}
    parts = urlsplit(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path[1:],
        "USER": parts.username,
        "HOST": parse_qs(parts.query)["host"][0],
        "CONN_MAX_AGE": 600,
    }


settings.configure(
    SECRET_KEY="measured" * 8,
    DEBUG=False,
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    DATABASES={"default": _database(os.environ["PEER_DATABASE"])},
    USE_TZ=False,
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    STATIC_URL="/static/",
    INSTALLED_APPS=[
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "django.contrib.messages",
        "django.contrib.staticfiles",
    ],
    MIDDLEWARE=[
        "django.middleware.security.SecurityMiddleware",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ],
)
django.setup()

from django.contrib import admin  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import models  # noqa: E402
from django.urls import path  # noqa: E402


class Contact(models.Model):
    """A person, as one row."""

    name = models.CharField(max_length=170)
    email = models.CharField(max_length=200, null=True, blank=True)
    phone = models.CharField(max_length=40, null=True, blank=True)
    city = models.CharField(max_length=80, null=True, blank=True)
    company = models.CharField(max_length=160, null=True, blank=True)
    notes = models.TextField(null=True, blank=True)
    created_on = models.DateTimeField(null=True, editable=False)

    class Meta:
        app_label = "auth"
        db_table = "contact"
        managed = False


class ContactAdmin(admin.ModelAdmin):
    """List, search and form of a contact."""

    list_display = ["name", "email", "phone", "city", "company"]
    search_fields = ["name"]
    list_per_page = 25


admin.site.register(Contact, ContactAdmin)
urlpatterns = [path("admin/", admin.site.urls)]
application = get_wsgi_application()

if __name__ == "__main__":
    from django.contrib.auth.models import User
    from django.contrib.contenttypes.models import ContentType
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    if not User.objects.filter(username="admin").exists():
        User.objects.create_superuser("admin", "admin@peer.example", "admin")
    ContentType.objects.get_or_create(app_label="auth", model="contact")
