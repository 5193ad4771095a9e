"""What all pages share: they look, and what may be done is asked of each act's own permission."""

from typing import Any, ClassVar, TypeVar

import django
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, DELETION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import reverse

from pgqueue.api.default import default_app
from pgqueue.db.statements.base import Statement
from pgqueue.django.admin.show import zone
from pgqueue.django.router import LABEL

T = TypeVar("T")


def ask(statement: Statement[T]) -> T:
    """Make a call of the queue over Django's connection."""
    return default_app().clients.sync.run(statement)


def may(request: HttpRequest, permission: str) -> bool:
    """Tell whether the user has a permission of this app."""
    return bool(request.user.has_perm(f"{LABEL}.{permission}"))


def note(
    request: HttpRequest, model: Any, names: dict[Any, str], what: str, *, deleted: bool = False
) -> None:
    """Write into the admin's log who did what.

    Args:
        model: of the rows.
        names: of the rows, by their keys.
        what: was done to them, in words.
        deleted: whether they are gone now.
    """
    kind = ContentType.objects.get_for_model(model, for_concrete_model=False)
    LogEntry.objects.bulk_create(
        [
            LogEntry(
                user_id=request.user.pk,
                content_type_id=kind.pk,
                object_id=str(key),
                object_repr=name[:200],
                action_flag=DELETION if deleted else CHANGE,
                change_message=what,
            )
            for key, name in names.items()
        ],
        batch_size=1000,
    )


class QueuePage(admin.ModelAdmin):
    """A page over a table of the queue. Rows are neither added, nor edited, nor deleted by forms.

    Subclasses may be registered in the place of ours, to show more, or less.
    """

    class Media:
        css: ClassVar = {"all": ("pgqueue/admin.css",)}

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse: rows are made by the queue."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse: rows are not edited; what can be done with them has permissions of its own."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Refuse, unless the page says otherwise."""
        return False

    def page(
        self, request: HttpRequest, template: str, title: Any, **context: Any
    ) -> TemplateResponse:
        """Answer with a template of ours, inside the admin."""
        request.current_app = self.admin_site.name
        return TemplateResponse(
            request,
            f"admin/pgqueue/{template}.html",
            {
                **self.admin_site.each_context(request),
                "title": title,
                "opts": self.opts,
                "media": self.media,
                "crumbs_are_list": django.VERSION >= (6, 1),
                "zone": zone(),
                **context,
            },
        )

    @property
    def address(self) -> str:
        """The address of the list."""
        name = f"{self.opts.app_label}_{self.opts.model_name}_changelist"
        return str(reverse(f"{self.admin_site.name}:{name}"))

    def say(self, request: HttpRequest, text: Any, *, well: bool = True) -> None:
        """Leave a message for the next page."""
        level = messages.SUCCESS if well else messages.WARNING
        self.message_user(request, text, level)
