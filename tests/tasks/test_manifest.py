"""Tables of users: the usual ways to write one work, mistakes are named by line."""

from pathlib import Path

import pytest

from storage.errors import UsageError
from tasks.manifest import located, read_table


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_csv_with_any_usual_delimiter_and_byte_order_mark(tmp_path: Path, delimiter: str, mark: str) -> None:
    path = tmp_path / "m.csv"
    lines = [["video", "audio", "emotion"], ["a b.mp4", "ä.wav", ""], ["c.mp4", "d.wav", "happy"]]
    path.write_text(mark + "\n".join(delimiter.join(line) for line in lines) + "\n", encoding="utf-8")
    assert read_table(path) == [
        {"video": "a b.mp4", "audio": "ä.wav", "emotion": None},
        {"video": "c.mp4", "audio": "d.wav", "emotion": "happy"},
    ]


def test_quoted_cells_keep_their_commas(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text('video,emotion\na.mp4,"happy, with a smile"\n')
    assert read_table(path)[0]["emotion"] == "happy, with a smile"


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('{"video": "a.mp4", "intensity": 2}\n\n{"video": "b.mp4", "emotion": null}\n')
    assert read_table(path) == [{"video": "a.mp4", "intensity": 2}, {"video": "b.mp4", "emotion": None}]


@pytest.mark.parametrize(
    ("name", "text", "named"),
    [("m.jsonl", '{"video": 1}\nnot json\n', "line 2"), ("m.jsonl", "[1]\n", "line 1"), ("m.txt", "x", "no manifest")],
)
def test_mistakes_are_named(tmp_path: Path, name: str, text: str, named: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=named):
        read_table(tmp_path / name)


def test_missing_and_binary_files_are_usage_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_table(tmp_path / "none.csv")
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(UsageError, match="cannot be read"):
        read_table(tmp_path / "b.csv")


def test_relative_paths_lie_beside_the_manifest(tmp_path: Path) -> None:
    assert located("clips/a.mp4", tmp_path) == str(tmp_path / "clips" / "a.mp4")
    assert located("/x/a.mp4", tmp_path) == "/x/a.mp4"
    assert located(None, tmp_path) is None
