"""Where the bus is said to be: by the caller, in variables, in a context of the `nats` command."""

import json
from pathlib import Path

import pytest
from segue.bus import BusSettingsError, Settings, settings
from segue.bus.settings import connect_options


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "nats" / "context").mkdir(parents=True)
    return tmp_path


def context(home: Path, name: str, *, chosen: bool = False, **fields: object) -> dict[str, str]:
    """Write a context as `nats context add` does and give the environment it is in."""
    file = home / "nats" / "context" / f"{name}.json"
    file.write_text(json.dumps({"description": "", "color_scheme": "", **fields}))
    if chosen:
        (home / "nats" / "context.txt").write_text(f"{name}\n")
    return {"XDG_CONFIG_HOME": str(home)}


def test_without_any_word_it_is_on_this_machine(home: Path) -> None:
    assert settings({"XDG_CONFIG_HOME": str(home)}).urls == ["nats://127.0.0.1:4222"]


def test_the_caller_comes_before_variables_and_they_before_the_context(home: Path) -> None:
    env = context(home, "prod", url="nats://context", user="context", password="c") | {
        "NATS_CONTEXT": "prod",
        "NATS_USER": "variable",
        "NATS_PASSWORD": "v",
    }
    made = settings(env, password="caller", user=None)
    assert (made.url, made.user, made.password) == ("nats://context", "variable", "caller")


def test_the_chosen_context_counts_until_a_url_is_given(home: Path) -> None:
    env = context(home, "prod", chosen=True, url="nats://prod", token="secret", tls_first=True)
    assert settings(env).urls == ["nats://prod"]
    assert settings(env).token == "secret"
    assert settings(env).tls_first
    elsewhere = settings(env | {"NATS_URL": "nats://other"})
    assert (elsewhere.url, elsewhere.token) == ("nats://other", "")


def test_a_context_of_the_home_directory_is_found(tmp_path: Path) -> None:
    (tmp_path / ".config" / "nats" / "context").mkdir(parents=True)
    context(tmp_path / ".config", "prod", chosen=True, url="nats://prod")
    assert settings({"HOME": str(tmp_path)}).url == "nats://prod"


@pytest.mark.parametrize(
    ("env", "named"),
    [
        ({"NATS_CREDS": "nowhere.creds"}, r"NATS_CREDS names nowhere\.creds"),
        ({"NATS_NKEY": "nowhere.nk"}, r"NATS_NKEY names nowhere\.nk"),
        ({"NATS_URL": "http://x"}, r"NATS_URL has the server 'http://x'.*nats://127"),
        ({"NATS_URL": "nats://u:hunter2@x:port"}, r"NATS_URL has the server 'nats://x:port'"),
        ({"NATS_URL": " , "}, "NATS_URL has the server ''"),
        (
            {"NATS_CONTEXT": "none"},
            r"NATS_CONTEXT names the context 'none'.*none\.json.*context ls",
        ),
        ({"NATS_CERT": __file__}, "set NATS_CERT and NATS_KEY"),
        ({"NATS_CONTEXT": "broken"}, r"broken\.json cannot be read"),
        ({"NATS_CONTEXT": "bad"}, r"bad\.json names nowhere\.ca for `ca`"),
        ({"NATS_CONTEXT": "inbox"}, r"inbox_prefix 'a b'.*inbox\.json"),
    ],
)
def test_a_wrong_setting_is_named(home: Path, env: dict[str, str], named: str) -> None:
    (home / "nats" / "context" / "broken.json").write_text("{")
    context(home, "bad", ca="nowhere.ca")
    context(home, "inbox", inbox_prefix="a b")
    with pytest.raises(BusSettingsError, match=named) as error:
        settings({"XDG_CONFIG_HOME": str(home)} | env)
    assert "hunter2" not in str(error.value)


def test_a_chosen_context_that_is_gone_is_named(home: Path) -> None:
    (home / "nats" / "context.txt").write_text("gone")
    with pytest.raises(BusSettingsError, match=r"context\.txt names the context 'gone'"):
        settings({"XDG_CONFIG_HOME": str(home)})


def test_a_missing_file_of_the_caller_is_the_callers(home: Path) -> None:
    with pytest.raises(BusSettingsError, match=r"the caller names nowhere for `creds`"):
        settings({"XDG_CONFIG_HOME": str(home)}, creds="nowhere")


def test_secrets_are_shown_nowhere() -> None:
    made = Settings(url="nats://u:hunter2@a:4222,nats://b", password="hunter2", token="hunter2")
    assert made.shown_url == "nats://a:4222,nats://b"
    assert "hunter2" not in f"{made!r} {made}"


def test_a_user_without_a_password_is_a_token() -> None:
    assert connect_options(Settings(user="alone"))["token"] == "alone"
    assert connect_options(Settings(user="u", password="p"))["user"] == "u"


def test_files_are_passed_on_with_the_home_directory_in_their_names(home: Path) -> None:
    options = connect_options(Settings(creds="~/x.creds", nkey="~/x.nk"))
    assert options["user_credentials"] == str(Path("~/x.creds").expanduser())
    assert options["nkeys_seed"] == str(Path("~/x.nk").expanduser())


def test_certificates_that_are_none_are_named() -> None:
    with pytest.raises(BusSettingsError, match="cannot be used"):
        connect_options(Settings(ca=__file__))
