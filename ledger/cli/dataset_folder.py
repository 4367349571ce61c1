"""The reference server's datasets: every file of a folder, under its name without its endings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from estimator import DatasetProfile
from estimator.cli.terminal import CommandFailed
from estimator.files.datasets import profile_dataset
from ledger.cli.runs import dataset_id_of


def read_folder(folder: Path, *, tell: Callable[[Path], None] = lambda _: None) -> Mapping[str, DatasetProfile]:
    """The profile of each dataset by its id; every file is read once, and `tell` is called before each.

    Raises `CommandFailed` for a folder without files, and for two files of one id; `DatasetError` for a file that is no
    dataset.
    """
    if not folder.is_dir():
        raise CommandFailed("folder_missing", f"{str(folder)!r} is no folder. Name one that holds your datasets.")
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    if not files:
        message = f"The folder {str(folder)!r} holds no file. Put a .jsonl, .csv or .parquet file there."
        raise CommandFailed("folder_empty", message)
    profiles: dict[str, DatasetProfile] = {}
    for path in files:
        dataset_id = dataset_id_of(path)
        if dataset_id in profiles:
            message = f"Two files of {str(folder)!r} are named {dataset_id!r}. Rename {path.name!r}, or move it away."
            raise CommandFailed("dataset_doubled", message)
        tell(path)
        profiles[dataset_id] = profile_dataset(path)
    return profiles
