"""Where IT says which groups of the directory bring which role and department."""

from app import security
from app.extensions import N_, db
from app.models import GroupMapping
from app.rules import RuleBroken
from app.views.records import RecordView


class GroupMappingView(RecordView):
    """The mapping of groups; it is followed at each sign-in, and by `run.py directory sync`."""

    model = GroupMapping
    route_base = "/group-mappings"
    one, many, icon = N_("Group mapping"), N_("Group mappings"), "sitemap"
    list_columns = ("group_name", "source", "role", "department_id", "position")
    filter_columns = ("source", "department_id")
    default_sort = "position"

    def defaults(self):
        return super().defaults() | {"department_id": None}

    def prepare(self, form, row, formdata):
        form.role.suggestions = sorted(security.role_names(db.session))
        return super().prepare(form, row, formdata)

    def before_save(self, row, form):
        with db.session.no_autoflush:
            known = security.role_names(db.session)
        if row.role and row.role not in known:
            names = ", ".join(sorted(known))
            raise RuleBroken(N_("There is no such role; there are: %(names)s."), field="role", names=names)
        if not row.role and row.department_id is None:
            raise RuleBroken(N_("It gives nothing yet: name a role, a department, or both."), field="role")
