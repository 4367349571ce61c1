"""A file is there whole, or what was there before is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from estimator.files.writing import written_whole


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    with written_whole(path) as file:
        file.write("né")
        assert not path.exists()
    assert path.read_bytes() == "né".encode()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_was_there_stays_when_writing_ends_early(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "out.csv"
    path.write_text("before")

    def write_half() -> None:
        with written_whole(path) as file:
            file.write("half")
            raise error

    with pytest.raises(error):
        write_half()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_may_be_read_as_any_other_new_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with written_whole(tmp_path / "out.csv"):
            pass
        assert (tmp_path / "out.csv").stat().st_mode & 0o777 == 0o640
    finally:
        os.umask(before)


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with written_whole(path) as file:
            file.write("said")
        assert os.read(reading, 10) == b"said"
    finally:
        os.close(reading)
    assert path.is_fifo()


def test_the_file_that_a_link_leads_to_is_written_and_the_link_stays(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    target, link = tmp_path / "kept" / "out.csv", tmp_path / "latest.csv"
    target.write_text("before")
    link.symlink_to(target)
    with written_whole(link) as file:
        file.write("after")
    assert link.is_symlink()
    assert target.read_text() == "after"
