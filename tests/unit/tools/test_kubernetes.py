"""The manifests are those that `make kubernetes` has rendered and checked."""

import pytest

from monitoring.prometheus_rules import TARGET, prometheus_rules
from tools.kubernetes import ACCEPTED, OVERLAYS, RECORDS, covers
from tools.records import changes, content_hashes, load


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nothing_has_changed_since_the_last_run(overlay: str) -> None:
    changed = changes(load(RECORDS).get(overlay), content_hashes(covers(overlay)))
    assert changed == [], "run `make kubernetes`"


def test_the_record_has_only_overlays_that_exist() -> None:
    assert load(RECORDS).keys() <= set(OVERLAYS)


def test_every_accepted_finding_has_a_reason() -> None:
    assert [accepted for accepted in ACCEPTED if len(accepted.why.split()) < 5] == []


def test_the_objects_have_the_rules_of_today() -> None:
    assert TARGET.read_text(encoding="utf-8") == prometheus_rules(), "run `make rules`"
