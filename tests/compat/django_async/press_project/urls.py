"""The addresses of a project that used django-async."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("slumber/async/", include("async.urls")),
]
