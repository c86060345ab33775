"""No package of the image has a licence that is not allowed."""

from email.message import Message
from importlib.metadata import PackageNotFoundError, metadata

import pytest

from tools.sbom import licences, locked_packages, refused


def described(**fields: str) -> Message:
    """The metadata of a package; `_` stands for `-`."""
    message = Message()
    for name, value in fields.items():
        message[name.replace("_", "-")] = value
    return message


def is_installed(name: str) -> bool:
    try:
        metadata(name)
    except PackageNotFoundError:
        return False
    return True


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.skipif(not is_installed(name), reason="for other systems or Pythons"))
        for name in locked_packages()
    ],
)
def test_the_licence_of_a_package_is_allowed(name: str) -> None:
    assert refused(name) == set()


@pytest.mark.parametrize(
    ("package", "named"),
    [
        (described(License_Expression="MPL-2.0 AND (Apache-2.0 OR MIT)"), {"MPL-2.0", "Apache-2.0", "MIT"}),
        (described(License="Apache 2.0"), {"Apache-2.0"}),
        (described(License="Copyright (c) A\nall of it", Classifier="License :: OSI Approved :: BSD License"), {"BSD"}),
        (described(Name="x"), set()),
    ],
)
def test_a_package_names_its_licence_in_one_of_three_ways(package: Message, named: set[str]) -> None:
    assert licences(package) == named


@pytest.mark.parametrize(
    "package",
    [
        described(Name="x"),
        described(License_Expression="GPL-3.0-only"),
        described(License_Expression="MIT OR AGPL-3.0-or-later"),
        described(License="GPL v3"),
        described(Classifier="License :: OSI Approved :: GNU General Public License v3 (GPLv3)"),
    ],
)
def test_another_licence_or_none_is_refused(package: Message) -> None:
    assert refused("x", package)
