"""docker-compose.yml and deploy/ fit the specifications, each other, and the program that they run."""

from __future__ import annotations

import argparse
import re
import subprocess
import sysconfig
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from dockerfile_parse import DockerfileParser
from starlette.routing import Route

from streaming.app import make_app
from streaming.cli import serve
from streaming.cli.errors import UserError
from streaming.config import Config, load_config
from streaming.session.service import LAST_FINALS_S, Service
from tests.support.deployment import BALANCER, ROOT, compose, haproxy_binary, variables

SECRET = "0123456789abcdef"
FILE = compose({"REDIS_PASSWORD": SECRET})
GATEWAYS = ("gateway", "gateway-gpu")
PINNED = re.compile(r"[\w./-]+:\d+\.\d+\.\d+(-[\w.-]+)?")


def environment(service: str) -> dict[str, str]:
    return {name: str(value) for name, value in FILE["services"][service]["environment"].items()}


def seconds(duration: str) -> float:
    """Such as "1m5s"."""
    units = {"h": 3600, "m": 60, "s": 1}
    return sum(int(count) * units[unit] for count, unit in re.findall(r"(\d+)([hms])", duration))


@pytest.fixture(scope="module")
def dockerfile(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    parser = DockerfileParser(path=str(tmp_path_factory.mktemp("docker")))
    parser.content = (ROOT / "deploy" / "Dockerfile").read_text("utf-8")
    steps: list[dict[str, Any]] = parser.structure
    return steps


def values(dockerfile: list[dict[str, Any]], instruction: str) -> list[str]:
    return [step["value"] for step in dockerfile if step["instruction"] == instruction]


def routes() -> set[str]:
    return {route.path for route in make_app(Service()).routes if isinstance(route, Route)}


# -- docker-compose.yml -----------------------------------------------------------------------------------------------


def test_a_password_must_be_set() -> None:
    with pytest.raises(ValueError, match="set REDIS_PASSWORD"):
        compose({})


def test_what_the_file_asks_for_is_in_the_example_with_the_same_defaults() -> None:
    lines = (ROOT / ".env.example").read_text("utf-8").splitlines()
    example = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert example.pop("COMPOSE_PROFILES") == "cpu"
    assert example == {name: default or "" for name, default in variables().items()}


def test_there_are_two_gateways_a_balancer_and_a_redis() -> None:
    assert set(FILE["services"]) == {"balancer", "redis", *GATEWAYS}
    for name in GATEWAYS:
        assert FILE["services"][name]["deploy"]["replicas"] == 2


def test_each_profile_has_its_gateways_and_all_have_the_rest() -> None:
    profiles = {name: service.get("profiles") for name, service in FILE["services"].items()}
    assert profiles == {"balancer": None, "redis": None, "gateway": ["cpu"], "gateway-gpu": ["gpu"]}
    for service in FILE["services"].values():
        assert not set(service.get("depends_on", {})) & set(GATEWAYS), "one of them is not there"


@pytest.mark.parametrize("name", GATEWAYS)
def test_the_settings_of_a_gateway_are_settings(name: str) -> None:
    config = load_config(environment=environment(name))
    assert config.store.kind == "redis"
    assert config.store.url == f"redis://:{SECRET}@redis:6379/0"
    assert (config.server.host, config.server.port) == ("0.0.0.0", Config().server.port)
    assert config.engine.device == {"gateway": "cpu", "gateway-gpu": "cuda"}[name]


@pytest.mark.parametrize("name", GATEWAYS)
def test_gateways_start_with_keys_or_where_they_are_said_to_be_open(name: str) -> None:
    def config(**variables: str) -> Config:
        file = compose({"REDIS_PASSWORD": SECRET, **variables})
        return load_config(environment=dict(file["services"][name]["environment"]))

    with pytest.raises(UserError, match="no API keys"):
        serve.check_access(config())
    serve.check_access(config(OPEN="true"))
    serve.check_access(config(API_KEYS="a key that is long enough,and another one of them"))


@pytest.mark.parametrize("name", GATEWAYS)
def test_a_gateway_is_left_the_time_to_drain(name: str) -> None:
    service = FILE["services"][name]
    drain_s = load_config(environment=environment(name)).server.drain_timeout_s
    assert service["stop_signal"] == "SIGTERM"
    assert seconds(service["stop_grace_period"]) >= drain_s + LAST_FINALS_S + 5


def test_health_is_asked_where_it_is_answered() -> None:
    for name in GATEWAYS:
        (url,) = re.findall(r"http://127\.0\.0\.1:8765(/\w+)", str(FILE["services"][name]["healthcheck"]["test"]))
        assert url in routes()
    assert "http://127.0.0.1:8080/balancer" in str(FILE["services"]["balancer"]["healthcheck"]["test"])
    assert "monitor-uri /balancer" in BALANCER.read_text("utf-8")


def test_only_the_balancer_can_be_reached_from_outside() -> None:
    ports = {name: service["ports"] for name, service in FILE["services"].items() if "ports" in service}
    assert ports == {"balancer": ["8080:8080"]}
    assert "bind :8080" in BALANCER.read_text("utf-8")
    assert FILE["networks"]["inside"]["internal"] is True
    assert FILE["services"]["redis"]["networks"] == ["inside"]


@pytest.mark.parametrize("name", sorted(FILE["services"]))
def test_every_service_is_bounded_pinned_watched_and_without_rights(name: str) -> None:
    service = FILE["services"][name]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    assert "healthcheck" in service
    assert "stop_grace_period" in service
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "build" in service or PINNED.fullmatch(service["image"])


def test_the_password_is_no_processs_argument() -> None:
    for service in FILE["services"].values():
        assert SECRET not in str(service.get("command", ""))


def test_redis_has_room_beyond_its_data() -> None:
    limit = FILE["services"]["redis"]["deploy"]["resources"]["limits"]["memory"]
    settings = (ROOT / "deploy" / "redis.conf").read_text("utf-8")
    assert "maxmemory 1gb\n" in settings
    assert limit in ("1536m", "1536mb")
    assert "maxmemory-policy noeviction\n" in settings


def test_files_that_are_mounted_or_built_from_exist() -> None:
    for service in FILE["services"].values():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert (ROOT / source).is_file() if source.startswith(".") else source in FILE["volumes"]
        if "build" in service:
            assert (ROOT / service["build"]["dockerfile"]).is_file()


# -- Dockerfile -------------------------------------------------------------------------------------------------------


def test_the_dockerfile_has_nothing_that_a_linter_minds() -> None:
    linter = Path(sysconfig.get_path("scripts")) / "hadolint"
    done = subprocess.run([linter, ROOT / "deploy" / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_image_is_built_in_stages_from_a_pinned_one(dockerfile: list[dict[str, Any]]) -> None:
    bases = [value.partition(" AS ")[0] for value in values(dockerfile, "FROM")]
    assert len(bases) == 2
    assert all(PINNED.fullmatch(base) for base in bases)


def test_the_image_runs_as_nobody_in_particular_and_says_when_it_is_ready(dockerfile: list[dict[str, Any]]) -> None:
    (user,) = values(dockerfile, "USER")
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user)
    assert values(dockerfile, "EXPOSE") == [str(Config().server.port)]
    (check,) = values(dockerfile, "HEALTHCHECK")
    (url,) = re.findall(r"http://127\.0\.0\.1:8765(/\w+)", check)
    assert url in routes()
    assert values(dockerfile, "STOPSIGNAL") == ["SIGTERM"]


def test_the_images_command_is_a_command(dockerfile: list[dict[str, Any]]) -> None:
    assert values(dockerfile, "ENTRYPOINT") == ['["tympan"]']
    (command,) = values(dockerfile, "CMD")
    parser = argparse.ArgumentParser()
    serve.add_parser(parser.add_subparsers())
    assert parser.parse_args(re.findall(r'"([^"]+)"', command)).host == "0.0.0.0"


def test_what_is_copied_is_there_and_is_sent_to_the_builder(dockerfile: list[dict[str, Any]]) -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    sent = {line[1:] for line in ignored if line.startswith("!")}
    copied = {
        source
        for value in values(dockerfile, "COPY")
        if not value.startswith("--from")
        for source in value.split()[:-1]
    }
    assert all((ROOT / source).exists() for source in copied)
    assert copied == sent
    assert not any(fnmatch(name, ".env*") or name.startswith(".git") for name in sent)


def test_the_bundled_model_is_looked_for_when_the_image_is_built(dockerfile: list[dict[str, Any]]) -> None:
    assert any("bundled_folder" in value for value in values(dockerfile, "RUN"))


# -- HAProxy ----------------------------------------------------------------------------------------------------------


def test_the_balancers_settings_are_valid() -> None:
    done = subprocess.run([haproxy_binary(), "-c", "-f", BALANCER], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_balancer_asks_for_readiness_at_the_name_that_the_gateways_share() -> None:
    text = BALANCER.read_text("utf-8")
    (route,) = re.findall(r"http-check send meth GET uri (\S+)", text)
    assert route in routes()
    (name, port) = re.findall(r"server-template gateway \S+ (\w+):(\d+)", text)[0]
    for gateway in GATEWAYS:
        assert FILE["services"][gateway]["networks"]["inside"]["aliases"] == [name]
        assert environment(gateway)["TYMPAN_SERVER_PORT"] == port


def test_the_balancer_does_not_log_session_ids() -> None:
    """Log variables of the path and the request line: %HP, %HU, %HQ, %HPO, %r, %{+Q}r."""
    (form,) = re.findall(r'log-format "(.*)"', BALANCER.read_text("utf-8"))
    assert not re.search(r"%(\{\S*\})?(HP|HU|HQ|r\b)", form)
    assert "option httplog" not in BALANCER.read_text("utf-8")
