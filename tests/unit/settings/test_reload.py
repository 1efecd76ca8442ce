"""A mounted configuration that changes: in place, by rename, and by the kubelet's swap of ``..data``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.model import Mode
from agent.settings import RulesFile, SettingsError

ONE = "rules: [{name: one, mode: single}]\n"
TWO = "rules: [{name: two, mode: group}]\n"


class ConfigMap:
    """A volume as the kubelet lays it out: ``config.yaml`` → ``..data/config.yaml``, ``..data`` → a folder of its own."""

    def __init__(self, mount: Path) -> None:
        self.mount = mount
        self.versions = 0
        self.path = mount / "config.yaml"

    def write(self, text: str) -> None:
        self.versions += 1
        folder = self.mount / f"..2026_11_21_{self.versions}"
        folder.mkdir()
        (folder / "config.yaml").write_text(text)
        (self.mount / "..data_tmp").symlink_to(folder.name)
        (self.mount / "..data_tmp").rename(self.mount / "..data")
        if not self.path.is_symlink():
            self.path.symlink_to("..data/config.yaml")


@pytest.fixture
def volume(tmp_path: Path) -> ConfigMap:
    found = ConfigMap(tmp_path)
    found.write(ONE)
    return found


def test_a_file_that_nobody_touches_never_changes(volume: ConfigMap) -> None:
    file = RulesFile(volume.path)
    assert [file.changed() for _ in range(3)] == [False, False, False]
    assert file.load().rules[0].name == "one"


def test_the_swap_of_a_config_map_is_noticed_once_and_gives_the_new_rules(volume: ConfigMap) -> None:
    file = RulesFile(volume.path)
    volume.write(TWO)
    assert file.changed()
    assert not file.changed()
    (rule,) = file.load().rules
    assert (rule.name, rule.mode) == ("two", Mode.GROUP)


def test_a_swap_to_the_same_text_is_a_change_too(volume: ConfigMap) -> None:
    """Another inode: reading it once more costs nothing."""
    file = RulesFile(volume.path)
    volume.write(ONE)
    assert file.changed()


def test_a_file_written_in_place_or_renamed_over_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "plain.yaml"
    path.write_text(ONE)
    file = RulesFile(path)
    path.write_text(TWO + "# longer\n")
    assert file.changed()
    other = tmp_path / "other"
    other.write_text(TWO + "# longer\n")
    other.rename(path)
    assert file.changed()


def test_the_same_length_at_another_time_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "plain.yaml"
    path.write_text(ONE)
    file = RulesFile(path)
    path.write_text(ONE.replace("one", "two"))
    os.utime(path, ns=(1, 1))
    assert file.changed()


def test_a_file_that_is_away_for_a_moment_is_no_change_until_it_is_back(volume: ConfigMap) -> None:
    file = RulesFile(volume.path)
    (volume.mount / "..data").unlink()
    assert not file.changed()
    volume.write(TWO)
    assert file.changed()


def test_a_file_that_comes_into_being_later_is_noticed(tmp_path: Path) -> None:
    file = RulesFile(tmp_path / "later.yaml")
    assert not file.changed()
    (tmp_path / "later.yaml").write_text(ONE)
    assert file.changed()


def test_a_bad_new_file_is_refused_and_the_next_good_one_is_read(volume: ConfigMap) -> None:
    file = RulesFile(volume.path)
    volume.write("rules: [{mode: singel}]\n")
    assert file.changed()
    with pytest.raises(SettingsError, match="'singel' is not a mode"):
        file.load()
    assert not file.changed()
    volume.write(TWO)
    assert file.changed()
    assert file.load().rules[0].name == "two"


def test_a_changed_setting_waits_for_a_restart_until_it_is_changed_back(volume: ConfigMap) -> None:
    volume.write(ONE + "logLevel: debug\nnri: 'off'\n")
    file = RulesFile(volume.path)
    volume.write(TWO + "logLevel: debug\nkillRetentionDays: 7\n")
    assert file.load().rules[0].name == "two", "rules do not wait"
    assert list(file.waiting) == ["nri", "killRetentionDays"], "one that was removed, one that is new"
    volume.write(TWO + "nri: 'off'\nlogLevel: debug\n")
    file.load()
    assert list(file.waiting) == []


def test_a_value_written_differently_is_no_change(volume: ConfigMap) -> None:
    volume.write(ONE + "resyncInterval: 10m\n")
    file = RulesFile(volume.path)
    volume.write(ONE + "resyncInterval: 600s\n")
    file.load()
    assert list(file.waiting) == []


def test_a_mistake_in_any_key_is_said_at_the_reload_and_not_at_the_next_restart(volume: ConfigMap) -> None:
    file = RulesFile(volume.path)
    volume.write(TWO + "logLevel: loud\nlisten: nowhere\n")
    with pytest.raises(SettingsError) as caught:
        file.load()
    assert len(caught.value.problems) == 2
