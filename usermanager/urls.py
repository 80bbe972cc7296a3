"""Maps paths to views."""

from django.contrib import admin
from django.urls import include, path, re_path

from accounts.api import well_known
from accounts.api.jwks import jwks
from usermanager.api_docs import DocsView, SchemaView
from usermanager.error_handlers import UnknownPathView
from usermanager.health import LiveView, ReadyView
from usermanager.metrics import MetricsView

admin.autodiscover()

urlpatterns = [
    path("api/v1/", include("accounts.api.urls")),
    path(".well-known/jwks.json", jwks),
    path(".well-known/webauthn", well_known.webauthn),
    path(".well-known/assetlinks.json", well_known.asset_links),
    path(".well-known/apple-app-site-association", well_known.apple_app_site_association),
    path("api/schema/", SchemaView.as_view(), name="schema"),
    path("api/docs/", DocsView.as_view(), name="docs"),
    re_path(r"^api/", UnknownPathView.as_view()),
    path("health/live/", LiveView.as_view(), name="live"),
    path("health/ready/", ReadyView.as_view(), name="ready"),
    path("metrics", MetricsView.as_view(), name="metrics"),
    path("admin/", admin.site.urls),
    path("", include("accounts.pages.urls")),
]

handler400 = "usermanager.error_handlers.bad_request"
handler403 = "usermanager.error_handlers.forbidden"
handler404 = "usermanager.error_handlers.not_found"
handler500 = "usermanager.error_handlers.server_error"
