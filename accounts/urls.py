"""The paths outside the API: the public keys, and the pages behind mailed links."""

from django.urls import path

from accounts import jwks

urlpatterns = [path(".well-known/jwks.json", jwks.jwks)]
