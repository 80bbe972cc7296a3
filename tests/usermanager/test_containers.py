"""docker-compose.yml and Dockerfile limit every container."""

import re
from typing import Any

import pytest
import yaml

from tests.usermanager.processes import PROJECT

COMPOSE: dict[str, Any] = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PINNED = re.compile(r"[a-z/]+:v?[0-9]+\.[0-9]+[0-9a-z.-]*@sha256:[0-9a-f]{64}")
NETWORKS = {
    "proxy": {"edge", "front"},
    "web": {"front", "back"},
    "prepare": {"back"},
    "worker": {"back", "mail"},
    "relay": {"back", "mail"},
    "postgres": {"back"},
    "rabbitmq": {"back"},
    "mailpit": {"mail"},
}
of_each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=list(SERVICES))


@of_each_service
def test_each_image_is_pinned(service: dict[str, Any]) -> None:
    assert service.get("build") == "." or PINNED.fullmatch(service["image"])


@of_each_service
def test_each_container_has_no_privileges(service: dict[str, Any]) -> None:
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert not service.get("privileged")
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert "/tmp" in service["tmpfs"]
    assert service.get("build") or service["user"] not in (
        "root",
        "0",
        "0:0",
    )  # our image has its user in the Dockerfile


@of_each_service
def test_each_container_has_limits_of_memory_and_processes(service: dict[str, Any]) -> None:
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert 0 < service["pids_limit"] <= 1000


def test_each_container_reaches_only_the_networks_it_needs() -> None:
    assert {name: set(service["networks"]) for name, service in SERVICES.items()} == NETWORKS
    assert {name for name, network in COMPOSE["networks"].items() if network} == {"front", "back"}
    assert all(network == {"internal": True} for network in COMPOSE["networks"].values() if network)
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"proxy": ["127.0.0.1:${PORT:-8000}:8080"], "mailpit": ["127.0.0.1:8025:8025"]}


def test_the_product_trusts_one_proxy() -> None:
    assert SERVICES["web"]["environment"]["TRUSTED_PROXIES"] == "${TRUSTED_PROXIES:-1}"


def test_our_image_uses_pinned_images_and_runs_without_root() -> None:
    text = (PROJECT / "Dockerfile").read_text()
    images = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert images
    assert all(map(PINNED.fullmatch, images))
    assert re.findall(r"^USER (.+)", text, re.MULTILINE) == ["10001:10001"]
