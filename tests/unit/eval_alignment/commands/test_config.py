"""`config show`: every setting with its source, and no secret."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from eval_alignment.commands.config import config
from eval_alignment.settings import Settings, SettingsError


def test_every_setting_is_shown_with_its_value_and_source(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('policy = "latest"\npass_stars = 4\n[metrics.relevance]\nthreshold = 0.5\n')
    environment = {"EVAL_ALIGNMENT_CONFIG": str(file), "EVAL_ALIGNMENT_PASS_STARS": "5"}
    result = CliRunner().invoke(config, ["show", "--json"], env=environment, catch_exceptions=False)
    settings = json.loads(result.stdout)
    assert settings.keys() == Settings.model_fields.keys()
    assert settings["policy"] == {"value": "latest", "source": "file"}
    assert settings["pass_stars"] == {"value": 5, "source": "environment"}
    assert settings["metrics"]["value"] == {"relevance": {"threshold": 0.5, "direction": "higher"}}
    assert settings["http"] == {"value": "127.0.0.1:8390", "source": "default"}


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_secret_is_never_shown(options: list[str]) -> None:
    environment = {"EVAL_ALIGNMENT_SASL_PASSWORD": "open sesame", "EVAL_ALIGNMENT_GROUP": "a\x1b[31mb"}
    result = CliRunner().invoke(config, ["show", *options], env=environment, catch_exceptions=False)
    assert "sasl_password" in result.stdout
    assert "sesame" not in result.output
    assert "\x1b[31m" not in result.output


def test_invalid_settings_are_not_shown() -> None:
    result = CliRunner().invoke(config, ["show"], env={"EVAL_ALIGNMENT_PASS_STARS": "9"})
    assert isinstance(result.exception, SettingsError)
