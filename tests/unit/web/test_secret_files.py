"""Secrets in the data directory: made once, private, said when damaged."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from web.server.configs import Secrets, load_secrets
from web.settings.options import OptionError
from web.settings.secret_files import load_api_key, load_host_key, load_seal_key, prepare_data_dir
from web.settings.sources import load_settings


def test_secrets_are_made_once_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    data = tmp_path / "data"
    settings = load_settings({"data": str(data)}, {})
    first = load_secrets(settings)
    assert load_secrets(settings) == first
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    files = list(data.iterdir())
    assert len(files) == 3
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)
    assert len(first.api_keys[0].secret) >= 40


def test_given_keys_make_no_file(tmp_path: Path) -> None:
    settings = load_settings({"data": str(tmp_path), "key": ["k:" + "s" * 32]}, {})
    assert load_secrets(settings).api_keys[0].key == "k"
    assert not (tmp_path / "api-key").exists()


def test_secrets_do_not_show_in_their_repr(tmp_path: Path) -> None:
    secret = load_secrets(load_settings({"data": str(tmp_path)}, {}))
    assert isinstance(secret, Secrets)
    assert not any(text in repr(secret) for text in secret.texts())


def test_damaged_files_are_said(tmp_path: Path) -> None:
    (tmp_path / "api-key").write_text("nonsense")
    (tmp_path / "seal-key").write_text("not hex")
    (tmp_path / "host-key").write_bytes(b"\xff\xff")
    for load in (load_api_key, load_seal_key, load_host_key):
        with pytest.raises(OptionError):
            load(tmp_path)


def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OptionError, match="data directory"):
        prepare_data_dir(tmp_path / "file" / "data")
