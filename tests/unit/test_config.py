"""Four layers of settings, and errors that say where a wrong one came from."""

from pathlib import Path

import pytest

from streaming.config import Config, ConfigError, load_config, variable_name


def test_defaults_listen_on_this_machine_only() -> None:
    config = load_config(environment={})
    assert config == Config()
    assert (config.server.host, config.engine.model, config.store.kind) == ("127.0.0.1", "tiny.en", "memory")


def test_flags_win_over_the_environment_which_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "tympan.toml"
    file.write_text('[server]\nport = 1\nmax_sessions = 1\nlog_level = "debug"\n[engine]\nmodel = "file"\n')
    environment = {"TYMPAN_SERVER_PORT": "2", "TYMPAN_SERVER_MAX_SESSIONS": "2", "TYMPAN_DATA": "/elsewhere"}
    config = load_config(file, environment, {"server.port": 3, "server.host": None})
    assert (config.server.port, config.server.max_sessions, config.server.log_level) == (3, 2, "debug")
    assert (config.engine.model, config.server.host) == ("file", "127.0.0.1")


def test_texts_become_the_types_of_their_settings() -> None:
    environment = {
        "TYMPAN_SERVER_ALLOWED_ORIGINS": "https://a.example, https://b.example",
        "TYMPAN_SERVER_DRAIN_TIMEOUT_S": "2.5",
        "TYMPAN_SESSION_AGREEMENT": "3",
    }
    config = load_config(environment=environment)
    assert config.server.allowed_origins == ("https://a.example", "https://b.example")
    assert (config.server.drain_timeout_s, config.session.agreement) == (2.5, 3)


@pytest.mark.parametrize(("text", "value"), [("false", False), ("0", False), ("True", True), ("1", True)])
def test_a_switch_is_true_or_false(text: str, value: bool, tmp_path: Path) -> None:
    assert load_config(environment={"TYMPAN_SESSION_EARLY_FINALS": text}).session.early_finals is value
    file = tmp_path / "tympan.toml"
    file.write_text(f"[session]\nearly_finals = {str(value).lower()}\n")
    assert load_config(file, {}).session.early_finals is value


@pytest.mark.parametrize(
    ("environment", "text"),
    [
        ({"TYMPAN_SERVER_PORT": "http"}, "server.port must be a whole number, not 'http' (from TYMPAN_SERVER_PORT)"),
        ({"TYMPAN_SERVER_PORT": "70000"}, "port must be from 0 to 65535, not 70000 (from TYMPAN_SERVER_PORT)"),
        ({"TYMPAN_SERVER_PROT": "1"}, "TYMPAN_SERVER_PROT: unknown setting; known in server: host, port"),
        ({"TYMPAN_STORE_KIND": "disk"}, "store.kind must be one of memory, redis, not 'disk'"),
        ({"TYMPAN_STORE_KIND": "redis"}, "store: a Redis URL reads redis://"),
        ({"TYMPAN_STORE_TIMEOUT_S": "0"}, "timeout_s must be from 0.05 to 60, not 0.0 (from TYMPAN_STORE_TIMEOUT_S)"),
        ({"TYMPAN_SESSION_EARLY_FINALS": "yes"}, "session.early_finals must be true or false, not 'yes'"),
        ({"TYMPAN_AUTH_KEYS": "short"}, "auth: a key has from 16 to 512 printable ASCII characters"),
        ({"TYMPAN_AUTH_KEYS": "sha256:12"}, "auth: sha256: is followed by 64 hexadecimal digits"),
        ({"TYMPAN_ENGINE_MODEL": ""}, "model and device must not be empty"),
        ({"TYMPAN_TELEPHONY_WEBHOOK_URL": "crm"}, 'telephony: webhook_url begins with "https://" or "http://"'),
        ({"TYMPAN_TELEPHONY_PUBLIC_URL": "https://a"}, 'public_url begins with "wss://" or "ws://"'),
        ({"TYMPAN_TELEPHONY_AUDIOHOOK_SECRET": "?"}, "audiohook_secret is base64, as Genesys shows it"),
        ({"TYMPAN_TELEPHONY_AUDIOSOCKET_PEERS": "10.0.0.1/8"}, "10.0.0.1/8 has host bits set"),
    ],
)
def test_errors_name_the_key_and_the_source(environment: dict[str, str], text: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(environment=environment)
    assert text in str(error.value)


def test_secrets_of_telephone_lines_are_shown_nowhere() -> None:
    names = ("WEBHOOK_SECRET", "TWILIO_SECRET", "AUDIOHOOK_SECRET")
    config = load_config(environment={f"TYMPAN_TELEPHONY_{name}": "aHVzaA==" for name in names})
    assert config.telephony.twilio_secret == "aHVzaA=="
    assert "aHVzaA" not in repr(config)


def test_a_store_with_a_password_shows_it_nowhere() -> None:
    environment = {"TYMPAN_STORE_KIND": "redis", "TYMPAN_STORE_URL": "redis://:hush@cache/1"}
    config = load_config(environment=environment)
    assert config.store.url == "redis://:hush@cache/1"
    assert "hush" not in repr(config)
    with pytest.raises(ConfigError, match="TYMPAN_STORE_URL") as error:
        load_config(environment=environment | {"TYMPAN_STORE_URL": "redis://:hush@cache:none"})
    assert "hush" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("[server]\nprot = 1\n", "unknown key server.prot; known in server: host, port"),
        ("[sever]\nport = 1\n", "unknown key sever.port; known sections: server, auth, media, engine, store, session"),
        ("port = 1\n", "port stands outside of a section"),
        ("[server]\nport = true\n", "server.port must be a whole number, not True"),
        ("[server]\nport = '1' '2'\n", "is not TOML"),
        ("[server]\nallowed_origins = [1]\n", "server.allowed_origins must be a list of texts"),
    ],
)
def test_errors_in_a_file_name_it(tmp_path: Path, content: str, text: str) -> None:
    file = tmp_path / "tympan.toml"
    file.write_text(content)
    with pytest.raises(ConfigError) as error:
        load_config(file, {})
    assert text in str(error.value)
    assert str(file) in str(error.value)


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "none.toml", {})


def test_a_variable_is_named_after_its_key() -> None:
    assert variable_name("server.max_sessions") == "TYMPAN_SERVER_MAX_SESSIONS"
