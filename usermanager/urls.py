"""Which path leads where."""

from django.contrib import admin
from django.urls import include, path, re_path

from usermanager.api_docs import DocsView, SchemaView
from usermanager.faults import UnknownPath
from usermanager.health import Live, Ready
from usermanager.metrics import Metrics

urlpatterns = [
    path("api/v1/", include("accounts.api.urls")),
    path("api/schema/", SchemaView.as_view(), name="schema"),
    path("api/docs/", DocsView.as_view(), name="docs"),
    re_path(r"^api/", UnknownPath.as_view()),
    path("health/live/", Live.as_view(), name="live"),
    path("health/ready/", Ready.as_view(), name="ready"),
    path("metrics", Metrics.as_view(), name="metrics"),
    path("admin/", admin.site.urls),
    path("", include("accounts.urls")),
]

handler400 = "usermanager.faults.bad_request"
handler403 = "usermanager.faults.forbidden"
handler404 = "usermanager.faults.not_found"
handler500 = "usermanager.faults.server_error"
