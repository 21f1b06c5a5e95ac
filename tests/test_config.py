"""The settings: what may be set, from where, and how a wrong one is refused in one sentence."""

import os
import stat
from multiprocessing import get_context

import pytest

from config import Settings, WrongSetting, load_settings


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch, tmp_path):
    """Nothing set but an empty instance folder."""
    for field, info in Settings.model_fields.items():
        monkeypatch.delenv(info.validation_alias or field, raising=False)
    monkeypatch.setenv("FOYER_HOME", str(tmp_path))


@pytest.fixture
def file(tmp_path):
    """The settings file; write text to it."""
    return tmp_path / "foyer.env"


def refusal():
    with pytest.raises(WrongSetting) as refused:
        load_settings()
    sentence = str(refused.value)
    assert "\n" not in sentence and sentence[-1] in ".?"
    return sentence


def test_it_works_with_nothing_set(tmp_path):
    settings = load_settings()
    assert (settings.HOST, settings.PORT, settings.CURRENCY) == ("127.0.0.1", 8080, "EUR")
    assert settings.DATABASE_URL == f"sqlite:///{tmp_path}/foyer.db"
    assert settings.is_sqlite and settings.is_loopback


def test_every_setting_has_its_reason_and_says_what_it_expects():
    for name, field in Settings.model_fields.items():
        assert field.description and field.json_schema_extra["expects"], name


def test_the_environment_wins_over_the_file(file, monkeypatch):
    file.write_text('PORT=9000\n# a remark\nCOMPANY_NAME="Müller & Söhne"\n')
    monkeypatch.setenv("PORT", "9001")
    settings = load_settings()
    assert (settings.PORT, settings.COMPANY_NAME) == (9001, "Müller & Söhne")


def test_an_empty_variable_is_not_set(monkeypatch):
    monkeypatch.setenv("PORT", "")
    assert load_settings().PORT == 8080


def test_an_argument_wins_over_everything(tmp_path, monkeypatch):
    monkeypatch.setenv("PORT", "9001")
    assert load_settings(PORT=9002).PORT == 9002
    assert load_settings(FOYER_HOME=tmp_path / "other").FOYER_HOME == tmp_path / "other"


@pytest.mark.parametrize(
    "url", ["postgresql://foyer:secret@db/foyer", "postgresql+psycopg://foyer:secret@db/foyer"]
)
def test_postgresql_is_reached_through_psycopg_and_shown_without_its_password(url, monkeypatch):
    monkeypatch.setenv("DATABASE_URL", url)
    settings = load_settings()
    assert settings.DATABASE_URL == "postgresql+psycopg://foyer:secret@db/foyer"
    assert settings.database_shown == "postgresql+psycopg://foyer:***@db/foyer"
    assert "secret" not in repr(settings)
    assert not settings.is_sqlite


@pytest.mark.parametrize("text", ["1 Long Road | Oslo|Norway", r"1 Long Road\nOslo\nNorway"])
def test_an_address_has_one_line_for_each_part(text, monkeypatch):
    monkeypatch.setenv("COMPANY_ADDRESS", text)
    settings = load_settings()
    assert settings.company_address_lines == ["1 Long Road", "Oslo", "Norway"]
    assert settings.COMPANY_ADDRESS == "1 Long Road\nOslo\nNorway"


def test_the_desktop_s_own_language_variable_is_left_alone(monkeypatch):
    monkeypatch.setenv("LANGUAGE", "en_GB:en")
    assert load_settings().LANGUAGE == "en"


def test_only_loopback_counts_as_loopback():
    assert all(
        load_settings(HOST=host).is_loopback for host in ("127.0.0.1", "127.8.8.8", "localhost", "::1")
    )
    assert not any(
        load_settings(HOST=host).is_loopback for host in ("0.0.0.0", "10.0.0.1", "::", "127.example.com")
    )


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PORT", "abc", "a whole number from 1 to 65535"),
        ("PORT", "0", "a whole number from 1 to 65535"),
        ("PORT", "65536", "a whole number from 1 to 65535"),
        ("HOST", "not a host", "an address or name of this machine"),
        ("WORKERS", "0", "a whole number from 1 to 64"),
        ("WORKERS", "two", "a whole number from 1 to 64"),
        ("CURRENCY", "EURO", "the three capital letters of a currency"),
        ("CURRENCY", "eur", "the three capital letters of a currency"),
        ("CURRENCY", "EUX", "the three capital letters of a currency"),
        ("FOYER_LANGUAGE", "xx", "the code of a language that Foyer speaks"),
        ("TIMEZONE", "Mars/Olympus", "the name of a time zone"),
        ("PAYMENT_DAYS", "-1", "a whole number from 0 to 365"),
        ("COMPANY_NAME", "x" * 201, "1 to 160 characters"),
        ("LOG_LEVEL", "loud", "one of debug, info, warning, error"),
        ("TRUSTED_HOSTS", "crm.example.com/x", "host names separated by commas"),
        ("DATABASE_URL", "foyer.db", "sqlite:///path/to/file or postgresql://"),
        ("DATABASE_URL", "sqlite://", "sqlite:///path/to/file or postgresql://"),
        ("DATABASE_URL", "postgresql://db", "sqlite:///path/to/file or postgresql://"),
        ("DATABASE_URL", "postgresql://db:port/foyer", "sqlite:///path/to/file or postgresql://"),
    ],
)
def test_a_wrong_value_is_one_sentence_with_the_name_the_value_and_what_is_expected(
    name, value, expected, monkeypatch
):
    monkeypatch.setenv(name, value)
    sentence = refusal()
    assert sentence.startswith(f"{name} is “{value}”, but must be {expected}")


def test_a_refused_database_does_not_show_its_password(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "mysql://root:sec@ret@db/foyer")
    assert "mysql://root:***@db/foyer" in refusal()


def test_a_name_that_does_not_exist_is_refused_with_the_one_it_resembles(file):
    file.write_text("PROT=9000\n")
    assert refusal() == f"PROT in {file} is no setting of Foyer; did you mean PORT?"


@pytest.mark.parametrize("line", ["PORT 9000", "PORT", "= 9000"])
def test_a_line_that_sets_nothing_is_refused_with_its_number(line, file):
    file.write_text(f"HOST=127.0.0.1\n{line}\n")
    assert refusal() == f"Line 2 of {file} is “{line}”, but must be NAME=value."


def test_a_file_in_another_encoding_is_refused(file):
    file.write_bytes(b"COMPANY_NAME=M\xfcller\n")
    assert str(file) in refusal()


def test_the_instance_folder_is_not_set_in_the_file_that_lies_in_it(file):
    file.write_text("FOYER_HOME=/elsewhere\n")
    assert refusal().startswith(f"FOYER_HOME cannot be set in {file}")


def test_an_instance_folder_that_cannot_be_made_is_refused(tmp_path, monkeypatch):
    (tmp_path / "taken").write_text("a file, not a folder")
    monkeypatch.setenv("FOYER_HOME", str(tmp_path / "taken"))
    assert refusal().startswith(
        f"FOYER_HOME is “{tmp_path / 'taken'}”, but must be a folder that Foyer may write to"
    )


def test_an_instance_folder_that_cannot_be_written_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with get_context("fork").Pool(1, initializer=_be_no_longer_root) as pool:
        assert "must be a folder that Foyer may write to" in pool.apply(refusal)


def _be_no_longer_root():
    if os.geteuid() == 0:
        os.setuid(65534)  # root may write everywhere


def test_the_key_is_made_once_and_only_its_owner_reads_it():
    settings = load_settings()
    key = settings.secret_key()
    path = settings.keys / "secret_key"
    assert len(key) >= 32 and settings.secret_key() == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["secret_key"]


def test_every_installation_has_a_key_of_its_own(tmp_path):
    keys = {load_settings(FOYER_HOME=tmp_path / name).secret_key() for name in "abc"}
    assert len(keys) == 3


def test_processes_that_start_together_agree_on_one_key(tmp_path):
    processes = get_context("fork")
    for number in range(5):
        settings = load_settings(FOYER_HOME=tmp_path / str(number))
        with processes.Pool(8) as pool:
            keys = pool.map(_key_of, [settings] * 16, chunksize=1)
            pool.close()  # they end by themselves: one that waits for a lock may not hear that it is told to end
            pool.join()
        assert len(set(keys)) == 1


def _key_of(settings):
    return settings.secret_key()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_that_others_can_read_is_refused(mode):
    settings = load_settings()
    settings.secret_key()
    path = settings.keys / "secret_key"
    path.chmod(mode)
    with pytest.raises(WrongSetting, match=f"run: chmod 600 {path}"):
        settings.secret_key()


def test_a_short_key_is_refused():
    settings = load_settings()
    path = settings.keys / "secret_key"
    path.write_text("changeme")
    path.chmod(0o600)
    with pytest.raises(WrongSetting, match="shorter than 32 bytes"):
        settings.secret_key()


@pytest.mark.parametrize("key", ["my-secret-key-that-is-long-enough-to-pass", "a" * 40, "0123456789" * 4])
def test_a_key_that_somebody_thought_up_is_refused_where_others_reach_the_server(key):
    path = load_settings().keys / "secret_key"
    path.write_text(key)
    path.chmod(0o600)
    assert load_settings().secret_key() == key.encode()
    for public in ({"HOST": "0.0.0.0"}, {"PUBLIC_URL": "https://crm.example.com"}):
        with pytest.raises(WrongSetting, match="can be guessed"):
            load_settings(**public).secret_key()


def test_a_made_key_is_never_taken_for_one_that_was_thought_up(tmp_path):
    for number in range(50):
        assert load_settings(FOYER_HOME=tmp_path / str(number), HOST="0.0.0.0").secret_key()


def test_the_public_address_says_what_cookies_hosts_and_links_are():
    settings = load_settings(PUBLIC_URL="https://crm.example.com")
    config = settings.flask_config()
    assert settings.address == "https://crm.example.com"
    assert config["TRUSTED_HOSTS"] == ["crm.example.com", "localhost", "127.0.0.1"]
    assert config["SESSION_COOKIE_NAME"] == "__Host-foyer" and config["SESSION_COOKIE_SECURE"]
    plain = load_settings()
    assert plain.address == "http://127.0.0.1:8080" and plain.trusted_hosts is None
    assert plain.flask_config()["SESSION_COOKIE_NAME"] == "foyer"
    assert load_settings(TRUSTED_HOSTS="a.example", PUBLIC_URL="https://b.example").trusted_hosts == [
        "a.example"
    ]


@pytest.mark.parametrize(
    "url", ["crm.example.com", "https://crm.example.com/path", "ftp://x", "javascript:x"]
)
def test_a_public_address_that_is_none_is_refused(url, monkeypatch):
    monkeypatch.setenv("PUBLIC_URL", url)
    assert refusal().startswith(f"PUBLIC_URL is “{url}”, but must be an address without a path")


def test_flask_gets_what_keeps_strangers_out():
    config = load_settings(TRUSTED_HOSTS="crm.example.com, localhost").flask_config()
    assert config["SESSION_COOKIE_HTTPONLY"] and config["SESSION_COOKIE_SAMESITE"] == "Lax"
    assert config["TRUSTED_HOSTS"] == ["crm.example.com", "localhost"]
    assert config["MAX_CONTENT_LENGTH"] == 16 * 1024 * 1024
    assert config["JWT_TOKEN_LOCATION"] == ["headers"]
    for stock in ("FAB_CREATE_DB", "FAB_UPDATE_PERMS", "FAB_ADD_SECURITY_VIEWS", "FAB_ADD_OPENAPI_VIEWS"):
        assert config[stock] is False
