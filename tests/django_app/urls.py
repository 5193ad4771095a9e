"""The admin, and a second one beside it."""

from django.contrib import admin
from django.urls import path

ops = admin.AdminSite(name="ops")
for _model, _page in admin.site._registry.items():
    ops.register(_model, type(_page))

urlpatterns: list[object] = [path("admin/", admin.site.urls), path("ops/", ops.urls)]
