"""A project with an admin: its tables are made once, and each test has a copy of them."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from pgqueue.db.embedded import EmbeddedServer
from tests.django_app.conftest import _project
from tests.fixtures.databases import Database, _create, _drop, settle

Connection = psycopg.Connection[Any]


@pytest.fixture(scope="session")
def desk_template(server: EmbeddedServer, template: str) -> str:
    """Name of a database with the tables of Django's apps and a superuser named root."""
    made = _create(server, template)
    with _project(made):
        from django.contrib.auth.models import User
        from django.core.management import call_command

        call_command("migrate", verbosity=0)
        User.objects.create_superuser("root", password="root")
    settle(server, made.name)
    return made.name


@pytest.fixture
def desk(server: EmbeddedServer, desk_template: str) -> Iterator[Database]:
    """The database of a project whose admin is used."""
    database = _create(server, desk_template)
    with _project(database):
        from django.template.base import Template
        from django.test.utils import instrumented_test_render

        from pgqueue.django.admin import dashboard

        dashboard.forget()
        # So that a response has the context it was made of.
        plain, Template._render = Template._render, instrumented_test_render
        try:
            yield database
        finally:
            Template._render = plain
    try:
        problems = database.problems()
        assert problems == []
    finally:
        _drop(database)


@pytest.fixture
def c(desk: Database) -> Connection:
    """A connection of the test's own."""
    return desk.connect()


@pytest.fixture
def login(desk: Database) -> Callable[..., Any]:
    """Give a browser of somebody with these permissions; without any, of a superuser."""
    from django.contrib.auth.models import Permission, User
    from django.test import Client

    def log_in(*permissions: str) -> Any:
        client = Client(headers={"Accept-Language": "en"})
        if not permissions:
            client.force_login(User.objects.get(username="root"))
            return client
        user = User.objects.create_user(f"user {User.objects.count()}", is_staff=True)
        found = Permission.objects.filter(
            content_type__app_label="pgqueue", codename__in=permissions
        )
        assert {one.codename for one in found} == set(permissions)
        user.user_permissions.set(found)
        client.force_login(user)
        return client

    return log_in


@pytest.fixture
def root(login: Callable[..., Any]) -> Any:
    """A browser of a superuser."""
    return login()


def text_of(response: Any) -> str:
    """The page."""
    return str(response.content.decode())


def messages_of(response: Any) -> list[str]:
    """What the next page says, after a redirect that was followed."""
    return [str(message) for message in response.context["messages"]]
