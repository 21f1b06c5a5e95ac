"""Stock Flask-AppBuilder: one ModelView over the contact table, defaults but for the columns it lists."""

import os

from flask import Flask
from flask_appbuilder import AppBuilder, Model, ModelView
from flask_appbuilder.models.sqla.interface import SQLAInterface
from flask_appbuilder.utils.legacy import get_sqla_class
from sqlalchemy import Column, DateTime, Integer, String, Text

app = Flask(__name__)
app.config.update(
    SECRET_KEY="measured" * 8,
    SQLALCHEMY_DATABASE_URI=os.environ["PEER_DATABASE"],
    WTF_CSRF_ENABLED=True,
    AUTH_TYPE=1,
    APP_NAME="Contacts",
    RATELIMIT_ENABLED=False,  # the browser that measures signs in again and again
)
db = get_sqla_class()()


class Contact(Model):
    """A person, as one row."""

    __tablename__ = "contact"

    id = Column(Integer, primary_key=True)
    name = Column(String(170), nullable=False)
    email = Column(String(200))
    phone = Column(String(40))
    city = Column(String(80))
    company = Column(String(160))
    notes = Column(Text)
    created_on = Column(DateTime)

    def __repr__(self):
        return self.name


class ContactView(ModelView):
    """List, search, form and record of a contact."""

    datamodel = SQLAInterface(Contact)
    list_columns = ["name", "email", "phone", "city", "company"]
    edit_columns = ["name", "email", "phone", "city", "company", "notes"]
    page_size = 25


appbuilder = AppBuilder()
with app.app_context():
    db.init_app(app)
    appbuilder.init_app(app, db.session)
    appbuilder.add_view(ContactView, "Contacts")
    if not appbuilder.sm.find_user("admin"):
        appbuilder.sm.add_user(
            "admin", "Ad", "Min", "admin@peer.example", appbuilder.sm.find_role("Admin"), password="admin"
        )
