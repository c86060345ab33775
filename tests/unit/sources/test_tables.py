"""Reading of tables: formats, encodings, delimiters, and places as a person counts them."""

import gzip
import io
import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.tables import MAX_COLUMNS, NestedCell, Table, TableError, read_table

ROWS = [{"id": "007", "label": "pass"}, {"id": "NA", "label": "fail"}, {"id": "null", "label": ""}]


def table(tmp_path: Path, content: bytes | str, *, encoding: str | None = None, delimiter: str | None = None) -> Table:
    path = tmp_path / "rows"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_table(path, encoding=encoding, delimiter=delimiter)


def cells(read: Table) -> list[dict[str, str]]:
    return [dict(row.cells) for row in read.rows]


def text(delimiter: str = ",", newline: str = "\n") -> str:
    return newline.join([f"id{delimiter}label", *(f"{row['id']}{delimiter}{row['label']}" for row in ROWS), ""])


@pytest.mark.parametrize(
    ("content", "form", "encoding"),
    [
        (text().encode(), "CSV, delimiter comma", "utf-8"),
        (text().rstrip().encode() + b",", "CSV, delimiter comma", "utf-8"),
        (text(newline="\r\n").encode(), "CSV, delimiter comma", "utf-8"),
        (text(newline="\r").encode(), "CSV, delimiter comma", "utf-8"),
        (text(";").encode("utf-8-sig"), "CSV, delimiter semicolon", "utf-8"),
        (b"sep=;\r\n" + text(";").encode(), "CSV, delimiter semicolon", "utf-8"),
        (text("|").encode(), "CSV, delimiter vertical bar", "utf-8"),
        (text("\t").encode(), "TSV", "utf-8"),
        (text("\t").encode("utf-16"), "TSV", "utf-16-le"),
        (text(";").encode("utf-16-be"), "CSV, delimiter semicolon", "utf-16-be"),
        (text(";").encode("utf-16-le"), "CSV, delimiter semicolon", "utf-16-le"),
        (b" id ,\tlabel \n" + text().partition("\n")[2].encode(), "CSV, delimiter comma", "utf-8"),
        (b"\n\n" + text().encode().replace(b"\n", b"\n\n"), "CSV, delimiter comma", "utf-8"),
        (gzip.compress(text().encode(), mtime=0), "CSV, delimiter comma", "utf-8"),
        (json.dumps(ROWS).encode(), "JSON array", "utf-8"),
        (json.dumps(ROWS, indent=2).encode("utf-8-sig"), "JSON array", "utf-8"),
        (json.dumps(ROWS).encode("utf-16"), "JSON array", "utf-16-le"),
        ("\r\n\r\n".join(map(json.dumps, ROWS)).encode(), "NDJSON", "utf-8"),
    ],
)
def test_every_format_and_encoding_has_the_same_rows(tmp_path: Path, content: bytes, form: str, encoding: str) -> None:
    read = table(tmp_path, content)
    assert (read.form, read.encoding, read.columns, cells(read), read.broken) == (
        form,
        encoding,
        ["id", "label"],
        ROWS,
        [],
    )


def test_standard_input_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text().encode())))
    read = read_table(Path("-"))
    assert (read.name, cells(read)) == ("standard input", ROWS)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1), min_size=1))
def test_a_cell_is_the_text_that_was_written(tmp_path_factory: pytest.TempPathFactory, values: list[str]) -> None:
    quoted = "".join(f'"{value.replace(chr(34), chr(34) * 2)}",x\n' for value in values)
    read = table(tmp_path_factory.mktemp("cells"), f"id,label\n{quoted}")
    assert [row["id"] for row in cells(read)] == values


def test_delimiters_inside_quotes_and_in_texts_do_not_divide(tmp_path: Path) -> None:
    read = table(tmp_path, 'id;text;label\n1;"a;b, c";pass\n2;"d, e, f";fail\n')
    assert cells(read)[0] == {"id": "1", "text": "a;b, c", "label": "pass"}


def test_a_given_delimiter_and_encoding_are_used(tmp_path: Path) -> None:
    read = table(tmp_path, b"id:caf\xe9\n1:x\n", encoding="windows-1252", delimiter=":")
    assert read.columns == ["id", "café"]


def test_lines_are_numbered_as_a_person_counts_them(tmp_path: Path) -> None:
    read = table(tmp_path, 'id,label\r\n\r\n1,"two\r\nlines"\r\n2,pass\r\n,\r\n3,fail')
    assert [(row.place, row.cells["id"]) for row in read.rows] == [("line 3", "1"), ("line 5", "2"), ("line 7", "3")]
    assert read.blank == 1
    assert [row.place for row in table(tmp_path, "sep=,\nid,label\n1,x\n").rows] == ["line 3"]
    assert [row.place for row in table(tmp_path, '\n{"id":1}\n\n{"id":2}').rows] == ["line 2", "line 4"]
    assert [row.place for row in table(tmp_path, '[{"id":1},\n\n{"id":2}]').rows] == ["object 1", "object 2"]


def test_numbers_of_json_keep_their_digits(tmp_path: Path) -> None:
    read = table(tmp_path, '[{"id":12345678901234567890123,"a":7.50,"b":true,"c":null,"d":NaN,"e":[1]}]')
    (row,) = cells(read)
    assert row == {"id": "12345678901234567890123", "a": "7.50", "b": "true", "c": "", "d": "NaN", "e": "an array"}
    assert isinstance(row["e"], NestedCell)
    assert type(row["id"]) is str


@pytest.mark.parametrize(
    ("content", "broken"),
    [
        ("id,label\n1\n2,pass\n", [("line 2", "has 1 cells, the header has 2")]),
        ("id,label\n1,pass,x\n2,pass,,\n", [("line 2", "has 3 cells, the header has 2")]),
        ('id,label\n2,pass\n3,"pass\n4,x\n', [("line 3", "invalid CSV up to line 4: a quoted cell does not end")]),
        ('id,label\n"1"x,pass\n2,pass\n', [("line 2", "invalid CSV: ',' expected after '\"'")]),
        ('{"id":2,"label":"pass"}\n[1]\n7\n', [("line 2", "is an array, expected an object"),
                                               ("line 3", "is a number, expected an object")]),
        ('[{"id":2,"label":"pass"},"x",null,true]', [("object 2", "is a string, expected an object"),
                                                     ("object 3", "is null, expected an object"),
                                                     ("object 4", "is a boolean, expected an object")]),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_read_is_named_and_the_others_are_read(
    tmp_path: Path, content: str, broken: list[tuple[str, str]]
) -> None:
    read = table(tmp_path, content)
    assert [(row.place, row.detail) for row in read.broken] == broken
    assert cells(read) == [{"id": "2", "label": "pass"}]


def test_a_line_of_broken_json_is_named(tmp_path: Path) -> None:
    read = table(tmp_path, '{"id":1}\n{"id":}\n' + '{"id":' + "[" * 100_000 + "\n")
    assert [row.place for row in read.broken] == ["line 2", "line 3"]
    assert read.broken[0].detail.startswith("invalid JSON: ")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty: expected a line with the names of the columns"),
        (b"\xef\xbb\xbf \n\n", "is empty"),
        (b"PK\x03\x04", "is a zip archive, or an Excel workbook; export it as CSV"),
        (b"PAR1", "is a Parquet file; convert it to CSV"),
        (b"id,label\nx,\xe9\n", "line 2 is not UTF-8: name the encoding with --encoding, such as windows-1252"),
        (b"id,label\nx,a\0b\n", "has NUL characters"),
        (b'id,"la"bel\n1,pass\n', "line 1: the names of the columns cannot be read: invalid CSV"),
        (b'id,"label\n1,pass\n', "line 1: the names of the columns cannot be read: invalid CSV up to line 2"),
        (b'[{"id": 1}', "is invalid JSON: "),
        (b'{"id": 1,\n"label": 2}', "is JSON with line breaks inside an object"),
    ],
)
def test_what_is_no_table_is_named(tmp_path: Path, content: bytes, problem: str) -> None:
    with pytest.raises(TableError, match=r"rows.*") as raised:
        table(tmp_path, content)
    assert problem in str(raised.value)
    assert raised.value.exit_code.code == 3


@pytest.mark.parametrize("encoding", ["klingon", "rot13", "undefined"])
def test_an_unknown_encoding_is_named(tmp_path: Path, encoding: str) -> None:
    with pytest.raises(TableError, match=f"encoding '{encoding}' is not known"):
        table(tmp_path, text(), encoding=encoding)


@pytest.mark.parametrize("form", ["CSV", "JSON"])
def test_a_table_of_very_many_columns_is_refused(tmp_path: Path, form: str) -> None:
    names = [f"c{number}" for number in range(MAX_COLUMNS + 1)]
    csv = ";".join(names) + "\n"
    with pytest.raises(TableError, match="has 10,001 columns, at most 10,000"):
        table(tmp_path, csv if form == "CSV" else json.dumps([dict.fromkeys(names, 1)]))
    assert len(table(tmp_path, csv.removesuffix(";c10000\n")).columns) == MAX_COLUMNS


def test_a_line_of_millions_of_cells_is_not_cut(tmp_path: Path) -> None:
    """Cut, it would take a gigabyte."""
    wide = b";" * (8 << 20)
    tracemalloc.start()
    try:
        with pytest.raises(TableError, match="8,388,608 delimiters in a line, at most 100,000"):
            table(tmp_path, wide, delimiter=";")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100 << 20
    broken = table(tmp_path, b"id;label\n1;pass\n" + wide + b"\n2;fail\n")
    assert cells(broken) == [{"id": "1", "label": "pass"}, {"id": "2", "label": "fail"}]
    assert [row.place for row in broken.broken] == ["line 3"]
