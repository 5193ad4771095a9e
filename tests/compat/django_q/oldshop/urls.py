"""The pages of the shop."""

from django.contrib import admin
from django.urls import path
from shop import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("orders/<int:pk>/ship/", views.ship, name="ship"),
    path("tasks/<str:task_id>/", views.progress, name="progress"),
]
