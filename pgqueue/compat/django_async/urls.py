"""The addresses of `slumber_operations`.

Take them in where Slumber had them: `path("slumber/async/", include("async.urls"))`, by the name
that the package has in your project.
"""

from django.urls import path, re_path

from pgqueue.compat.django_async import slumber_operations as operations

app_name = "django_async"

urlpatterns = [
    path("Job/schedule/", operations.Schedule.as_view(), name="job-schedule"),
    path("Job/health/", operations.Health.as_view(), name="job-health"),
    path("Job/data/<int:pk>/", operations.JobData.as_view(), name="job-data"),
    path("Group/data/<int:pk>/", operations.GroupData.as_view(), name="group-data"),
    # A reference may have a slash in it, which comes unquoted.
    re_path(
        r"^Group/progress/(?P<reference>.+)/$",
        operations.Progress.as_view(),
        name="group-progress",
    ),
]
