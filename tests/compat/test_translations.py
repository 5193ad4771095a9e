"""The facades speak the language that is active."""

import pytest


@pytest.mark.usefixtures("market")
def test_names_of_models_and_messages_are_translated() -> None:
    from django.apps import apps
    from django.utils.translation import override

    from pgqueue.compat.django_q.conf import Conf

    def name(model: str) -> str:
        return str(apps.get_model(model)._meta.verbose_name_plural)

    with override("de"):
        assert name("django_q.failure") == "Fehlgeschlagene Aufgaben"
        assert name("django_future.scheduledjob") == "geplante Aufträge"
        assert name("async.group") == "Gruppen"
        assert str(Conf.STOPPING) == "Hält an"
    assert name("django_q.failure") == "Failed tasks"


@pytest.mark.usefixtures("market")
def test_pages_of_the_admin_are_translated() -> None:
    from django.contrib.auth.models import User
    from django.test import Client
    from django.urls import reverse
    from django.utils.translation import override

    pages = {
        "django_q_failure": "Fehlgeschlagene Aufgaben",
        "django_q_schedule": "Geplante Aufgaben",
        "django_q_ormq": "Wartende Aufgaben",
        "django_future_scheduledjob": "geplante Aufträge",
        "async_job": "Aufträge",
    }
    client = Client()
    client.force_login(User.objects.create_superuser("root"))
    with override("de"):
        for page, words in pages.items():
            found = client.get(reverse(f"admin:{page}_changelist"))
            assert found.status_code == 200
            assert words.lower() in found.content.decode().lower(), page
