"""A folder of datasets: each file under its name without its endings, read once."""

from __future__ import annotations

from pathlib import Path

import pytest

from estimator.cli.terminal import CommandFailed
from ledger.cli.dataset_folder import read_folder


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_text('{"question": "q"}\n' * 3, encoding="utf-8")


def test_every_file_is_a_dataset_and_hidden_files_and_folders_are_none(tmp_path: Path) -> None:
    write(tmp_path, "b.jsonl", "a.train.jsonl", ".hidden.jsonl")
    (tmp_path / "folder").mkdir()
    told: list[str] = []
    profiles = read_folder(tmp_path, tell=lambda path: told.append(path.name))
    assert {name: profile.row_count for name, profile in profiles.items()} == {"a": 3, "b": 3}
    assert told == ["a.train.jsonl", "b.jsonl"]


@pytest.mark.parametrize(
    ("names", "code"), [((), "folder_empty"), (("a.jsonl", "a.x.jsonl"), "dataset_doubled"), (None, "folder_missing")]
)
def test_a_folder_that_cannot_be_served_is_refused(tmp_path: Path, names: tuple[str, ...] | None, code: str) -> None:
    folder = tmp_path / "none" if names is None else tmp_path
    write(tmp_path, *(names or ()))
    with pytest.raises(CommandFailed) as refused:
        read_folder(folder)
    assert refused.value.code == code
