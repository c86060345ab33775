"""The credentials of a tool: a TOML file whose keys are the names of the variables that the tool's own SDK reads."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import final

from streams.runtime.errors import EvalAlignmentError
from streams.runtime.exit_codes import ExitCode
from streams.runtime.secret_files import read_secret_file


class CredentialsError(EvalAlignmentError):
    """Credentials are missing or invalid. The message names the file and the key, and never has a value."""

    exit_code = ExitCode.USAGE


@final
class Credentials:
    """The values of a credentials file. Its representation has none of them.

    Args:
        source: name of the source, for errors.
        path: the file; None: the source has no credentials.

    Raises CredentialsError for a file that cannot be read, or is not TOML.
    """

    def __init__(self, source: str, path: Path | None) -> None:
        self._setting = f"sources.{source}.credentials_file"
        self._path = path
        self._values: Mapping[str, object] = {} if path is None else self._read(path)
        self._used: list[str] = []

    def __repr__(self) -> str:
        return f"Credentials({self._path})"

    def __str__(self) -> str:
        """The keys that were used and their file, for the error of a tool that refuses them."""
        if not self._used:
            return f"no credential was sent: set {self._setting}"
        return f"{' and '.join(self._used)} in {self._path}"

    def get(self, key: str) -> str | None:
        """The value of a key; None if the file does not have it. Raises CredentialsError if it is no text."""
        value = self._values.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or not value.strip() or not value.isprintable():
            raise CredentialsError(f"{self._path}: {key} must be a text of printable characters that is not empty")
        if key not in self._used:
            self._used.append(key)
        return value.strip()

    def require(self, key: str) -> str:
        """The value of a key. Raises CredentialsError if the file does not have it, or there is no file."""
        value = self.get(key)
        if value is not None:
            return value
        if self._path is None:
            raise CredentialsError(f"{self._setting} is not set: expected a TOML file with the key {key}")
        found = f"it has {', '.join(sorted(self._values))}" if self._values else "it is empty"
        raise CredentialsError(f"{self._path}: key {key} not found, {found}")

    def _read(self, path: Path) -> Mapping[str, object]:
        try:
            return tomllib.loads(read_secret_file(path).decode())
        except OSError as error:
            raise CredentialsError(f"{self._setting}: cannot read {path}: {error.strerror}") from error
        except tomllib.TOMLDecodeError as error:
            raise CredentialsError(f"{self._setting}: {path} is not TOML: {error}") from None
        except UnicodeDecodeError:
            raise CredentialsError(f"{self._setting}: {path} is not UTF-8") from None
        except ValueError as error:
            raise CredentialsError(f"{self._setting}: {path} is {error}") from None
