"""The files of a store are set aside and deleted together, under numbers that nothing has."""

from pathlib import Path

from sinks.store.store_files import delete, set_aside, stores_aside


def make(path: Path, content: str) -> Path:
    for suffix in ("", "-wal", "-shm"):
        Path(f"{path}{suffix}").write_text(content + suffix)
    return path


def contents(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in directory.iterdir()}


def test_all_files_of_a_store_are_renamed(tmp_path: Path) -> None:
    assert set_aside(make(tmp_path / "view.sqlite3", "x"), "reload") == tmp_path / "reload-1.sqlite3"
    assert contents(tmp_path) == {f"reload-1.sqlite3{suffix}": f"x{suffix}" for suffix in ("", "-wal", "-shm")}


def test_no_store_is_replaced_and_they_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for number in (2, 9):
        make(tmp_path / f"reload-{number}.sqlite3", str(number))
    make(tmp_path / "reload-x.sqlite3", "of somebody else")
    make(tmp_path / "damaged-reload-30.sqlite3", "of another prefix")
    assert set_aside(make(tmp_path / "view.sqlite3", "x"), "reload").name == "reload-10.sqlite3"
    assert [path.name for path in stores_aside(tmp_path, "reload")] == [
        f"reload-{number}.sqlite3" for number in (2, 9, 10)
    ]
    assert (tmp_path / "reload-9.sqlite3").read_text() == "9"


def test_all_files_of_a_store_are_deleted(tmp_path: Path) -> None:
    store = make(tmp_path / "reload-1.sqlite3", "x")
    (tmp_path / "reload-11.sqlite3").touch()
    delete(store)
    delete(store)
    assert contents(tmp_path) == {"reload-11.sqlite3": ""}
