"""Settings: their sources, errors that list all problems, and secrets that no error shows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from aggregator.policy import Policy
from eval_alignment import kafka_wiring, settings, wiring
from eval_alignment.client.connection import TOKEN_FILE_VARIABLE, TOKEN_VARIABLE, URL_VARIABLE
from eval_alignment.environment import CONFIG_VARIABLE
from eval_alignment.setting_checks import address
from eval_alignment.settings import MetricSettings, Settings, SettingsError
from sources.rules import JudgeRule, SourceSettings
from streams.events.decoder import MetricDefaults


def problems(**given: object) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        settings.load(**given)
    return list(caught.value.problems)


def test_the_defaults_are_valid() -> None:
    chosen = settings.load()
    assert (chosen.policy, chosen.pass_stars, chosen.http) == (Policy.EACH, 3, "127.0.0.1:8390")
    assert kafka_wiring.topics(chosen).queue_items == "alignment.queue-items.v1"
    assert wiring.partitions(chosen) is None


def test_options_win_over_the_environment_and_that_over_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('policy = "latest"\npass_stars = 4\nseries_limit = 500\n[metrics.toxicity]\ndirection = "lower"\n')
    monkeypatch.setenv(CONFIG_VARIABLE, str(file))
    monkeypatch.setenv("EVAL_ALIGNMENT_PASS_STARS", "5")
    monkeypatch.setenv("EVAL_ALIGNMENT_SERIES_LIMIT", "600")
    chosen = settings.load(series_limit=700, pass_stars=None)
    assert (chosen.policy, chosen.pass_stars, chosen.series_limit) == (Policy.LATEST, 5, 700)
    assert chosen.metrics == {"toxicity": MetricSettings(direction="lower")}
    assert wiring.decoder(chosen).metrics == {"toxicity": MetricDefaults(direction="lower")}


def test_tables_and_lists_are_json_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVAL_ALIGNMENT_CRITERION_METRICS", '{"tone":["politeness"]}')
    monkeypatch.setenv("EVAL_ALIGNMENT_ALLOWED_HOSTS", '["a.test","b.test"]')
    chosen = settings.load()
    assert wiring.counting_rules(chosen).criterion_metrics == {"tone": ["politeness"]}
    assert chosen.allowed_hosts == ["a.test", "b.test"]


def test_all_problems_are_reported_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVAL_ALIGNMENT_PARTITIONS", "none")
    monkeypatch.setenv("EVAL_ALIGNMENT_POLICY", "sometimes")
    monkeypatch.setenv("EVAL_ALIGNMENT_PARTITION", "8")
    errors = problems(pass_stars=9)
    assert {line.split(":")[0] for line in errors} == {
        "EVAL_ALIGNMENT_PARTITION",
        "partitions",
        "policy",
        "pass_stars",
    }


def test_the_tags_of_gauges_are_names_of_tags() -> None:
    assert settings.load(segment_gauges=["model"]).segment_gauges == ["model"]
    with pytest.raises(SettingsError, match="segment_gauges"):
        settings.load(segment_gauges=["Model version"])


def test_variables_of_the_client_are_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (URL_VARIABLE, TOKEN_VARIABLE, TOKEN_FILE_VARIABLE):
        monkeypatch.setenv(name, "x")
    settings.load()


def test_contradicting_settings_are_reported_together() -> None:
    (errors,) = problems(
        security_protocol="SASL_SSL",
        ssl_key_file=Path("key.pem"),
        topic_facts="same",
        topic_tallies="same",
        http="nowhere",
        brokers="host:1,host",
    )
    for part in ("sasl_username", "ssl_certificate_file", "two topics", "http: 'nowhere'", "brokers: 'host'"):
        assert part in errors


def test_a_secret_is_never_in_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVAL_ALIGNMENT_SASL_PASSWORD", "hunter2-secret")
    monkeypatch.setenv("EVAL_ALIGNMENT_PARTITIONS", "hunter2-secret")
    assert "hunter2" not in "".join(problems())
    monkeypatch.delenv("EVAL_ALIGNMENT_PARTITIONS")
    assert "hunter2" not in repr(settings.load())


@pytest.mark.parametrize("content", ["policy = ", 'policy = "latest"\npolicies = 1\n', None])
def test_an_unusable_settings_file_is_reported(
    content: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "settings.toml"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv(CONFIG_VARIABLE, str(file))
    assert any("policies" in line or str(file) in line for line in problems())


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("127.0.0.1:8390", ("127.0.0.1", 8390)),
        ("[::1]:80", ("::1", 80)),
        (" kafka:9092", ("kafka", 9092)),
        ("::1:80", ("::1", 80)),
        ("fe80::1%eth0:80", ("fe80::1%eth0", 80)),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, parsed: tuple[str, int]) -> None:
    assert address(text) == parsed


@pytest.mark.parametrize(
    "text",
    [
        "8390",
        "host",
        "host:",
        ":80",
        "host:eighty",
        "host:65536",
        "host:-1",
        "[::1:80",
        "::1]:80",
        "[]:80",
        "[a]:80",
        "a b:80",
        "a\0:80",
        "http://a:80",
        "a:\N{FULLWIDTH DIGIT EIGHT}",
    ],
)
def test_an_invalid_address_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        address(text)


def test_a_prefix_is_an_installation_of_its_own() -> None:
    names = kafka_wiring.topics(settings.load(topic_prefix="team-a."))
    assert (names.facts, names.dead_letters) == ("team-a.alignment.facts.v1", "team-a.alignment.dead-letters.v1")


def test_sasl_and_tls_reach_the_client(tmp_path: Path) -> None:
    login = {"sasl_username": "me", "sasl_password": "hunter2"}
    chosen = settings.load(brokers="a:1, b:2", security_protocol="SASL_SSL", **login)
    client = kafka_wiring.client(chosen)
    assert client.brokers == ["a:1", "b:2"]
    assert client.settings["sasl_plain_password"] == "hunter2"
    assert client.settings["ssl_context"].check_hostname
    with pytest.raises(SettingsError, match="ssl_ca_file"):
        kafka_wiring.client(settings.load(security_protocol="SSL", ssl_ca_file=tmp_path / "none.pem"))


def numbers_of(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        if "float" in str(field.annotation):
            yield field.alias or name


MODELS = (Settings, MetricSettings, SourceSettings, JudgeRule)
NUMBERS = [(model, name) for model in MODELS for name in numbers_of(model)]


@pytest.mark.parametrize(("model", "name"), NUMBERS)
@pytest.mark.parametrize("number", ["nan", "inf", "-inf"])
def test_every_number_is_finite(model: type[BaseModel], name: str, number: str) -> None:
    given = {"tool": "langfuse"} if model is SourceSettings else {}
    with pytest.raises(ValidationError, match="finite number"):
        model(**given, **{name: float(number)})


def test_a_threshold_of_the_file_is_finite(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("[metrics.m]\nthreshold = nan\n")
    monkeypatch.setenv(CONFIG_VARIABLE, str(file))
    assert problems() == ["metrics.m.threshold: Input should be a finite number"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("item_url", "https://t.test/{item:>1000000000}"),
        ("item_url", "https://t.test/{item.__class__}"),
        ("item_url", "https://t.test/{item!r}"),
        ("item_url", "https://t.test/{queue}"),
        ("item_url", "https://t.test/{"),
        ("item_url", "javascript:alert({item})"),
        ("item_url", "/{item}"),
        ("item_url", "https://[::1/{item}"),
        ("item_url", "https://t.test/\n{item}"),
        ("queue_url", "https:///{queue}"),
        ("queue_url", "https://t.test/a b/{queue}"),
        ("queue_url", "https://t.test/{item}"),
        ("topic_prefix", "team\n"),
        ("topic_facts", "facts/v1"),
        ("topic_facts", "f" * 250),
        ("topic_facts", ""),
        ("http", "[::1"),
        ("data_dir", "data\0"),
        ("token_file", "token\0"),
        ("sources", {"support": {"tool": "langfuse", "queue": "q", "secret_file": "secret\0"}}),
    ],
)
def test_a_text_that_cannot_be_what_it_is_for_is_refused_by_name(name: str, value: object) -> None:
    (problem,) = problems(**{name: value})
    assert problem.startswith(name) and "\n" not in problem and "\0" not in problem


@pytest.mark.parametrize(
    "given",
    [
        {"item_url": "https://t.test:8080/{level}/{item}?q=%7B{item}%7D#x", "queue_url": "http://[::1]/{queue}"},
        {"item_url": "https://{item}.t.test", "queue_url": ""},
        {"topic_prefix": "a-B_c.9.", "topic_facts": "facts"},
        {"data_dir": "data of\nme"},
    ],
)
def test_a_text_that_can_be_what_it_is_for_is_taken(given: dict[str, Any]) -> None:
    settings.load(**given)
