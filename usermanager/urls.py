"""Which path leads where."""

from django.contrib import admin
from django.urls import include, path, re_path
from django.views.decorators.cache import cache_page
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from usermanager.faults import UnknownPath
from usermanager.health import Live, Ready
from usermanager.metrics import Metrics

# It takes a fifth of a second to make and is the same for everybody.
schema = cache_page(60)(SpectacularAPIView.as_view())
docs = SpectacularSwaggerSplitView.as_view(url_name="schema", template_name="usermanager/docs.html")

urlpatterns = [
    path("api/v1/", include("accounts.api.urls")),
    path("api/schema/", schema, name="schema"),
    path("api/docs/", docs, name="docs"),
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
