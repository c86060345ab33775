"""Credentials: errors name the file and the key, and never a value."""

from pathlib import Path

import pytest

from sources.pulls.credentials import Credentials, CredentialsError

SECRET = "sk-lf-invented"


def credentials(tmp_path: Path, text: str) -> Credentials:
    path = tmp_path / "langfuse.toml"
    path.write_text(text)
    return Credentials("support", path)


def test_a_value_is_read_without_white_space_around_it(tmp_path: Path) -> None:
    assert credentials(tmp_path, f'LANGFUSE_SECRET_KEY = " {SECRET} "').require("LANGFUSE_SECRET_KEY") == SECRET


def test_a_key_that_is_missing_is_named_with_those_that_exist(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError) as raised:
        credentials(tmp_path, f'LANGFUSE_SECRET = "{SECRET}"').require("LANGFUSE_SECRET_KEY")
    assert str(raised.value) == (f"{tmp_path}/langfuse.toml: key LANGFUSE_SECRET_KEY not found, it has LANGFUSE_SECRET")


def test_without_a_file_the_setting_is_named() -> None:
    none = Credentials("support", None)
    assert none.get("PHOENIX_API_KEY") is None
    with pytest.raises(
        CredentialsError, match=r"^sources\.support\.credentials_file is not set: .* LANGSMITH_API_KEY$"
    ):
        none.require("LANGSMITH_API_KEY")


@pytest.mark.parametrize("value", ['""', '" "', "7", '["x"]', r'"sk\nlf"'])
def test_a_value_that_is_no_text_of_one_line_is_invalid(tmp_path: Path, value: str) -> None:
    with pytest.raises(CredentialsError, match="LANGFUSE_SECRET_KEY must be a text") as raised:
        credentials(tmp_path, f"LANGFUSE_SECRET_KEY = {value}").get("LANGFUSE_SECRET_KEY")
    assert "sk" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "problem"),
    [(f"LANGFUSE_SECRET_KEY = {SECRET}".encode(), "is not TOML: Invalid value"), (b"A = '\xff'", "is not UTF-8")],
)
def test_a_file_that_is_not_toml_is_named_without_its_content(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "langfuse.toml"
    path.write_bytes(content)
    with pytest.raises(CredentialsError, match=problem) as raised:
        Credentials("support", path)
    assert str(path) in str(raised.value)
    assert SECRET not in str(raised.value)


def test_a_file_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError, match=r"cannot read .*/none\.toml: No such file"):
        Credentials("support", tmp_path / "none.toml")


def test_the_text_has_the_keys_that_were_used_and_the_representation_no_value(tmp_path: Path) -> None:
    read = credentials(tmp_path, f'LANGFUSE_PUBLIC_KEY = "pk"\nLANGFUSE_SECRET_KEY = "{SECRET}"\nOTHER = "x"')
    assert str(read) == "no credential was sent: set sources.support.credentials_file"
    read.require("LANGFUSE_PUBLIC_KEY")
    read.require("LANGFUSE_SECRET_KEY")
    assert str(read) == f"LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY in {tmp_path}/langfuse.toml"
    assert SECRET not in repr(read)
