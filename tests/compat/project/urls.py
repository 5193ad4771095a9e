"""The admin; facades with pages of their own add them here."""

from django.contrib import admin
from django.urls import include, path

urlpatterns: list[object] = [
    path("admin/", admin.site.urls),
    path("slumber/async/", include("pgqueue.compat.django_async.urls")),
]
