"""Folders and patterns as contexts: their texts by path, and nothing that a hostile folder could smuggle in."""

import os
from pathlib import Path
from typing import Any

import pytest

from divebell import Context, ContextError, Sandbox
from divebell.context.kinds import folders


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    root = tmp_path / "docs"
    for path, text in {
        "b.md": "second", "a.md": "first", "deep/c.md": "third", "deep/er/d.txt": "fourth", "deep/er/x/e.md": "fifth", "empty.md": "",
        ".hidden.md": "no", ".git/config": "no", "deep/.cache/f.md": "no",
    }.items():  # fmt: skip
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(500))
    return root


def contents(context: Context) -> Any:
    with Sandbox(context) as box:
        return box["context"]


def test_a_path_may_be_a_pattern(tmp_path: Path) -> None:
    for name in ("a.md", "b.md", "c.txt"):
        (tmp_path / name).write_text(name)
    with Sandbox(tmp_path / "*.md") as box:
        assert box.run("list(context.values())").value == ["a.md", "b.md"]
    (tmp_path / "[x].md").write_text("a file of that name")
    assert Context.of(tmp_path / "[x].md").copy_out() == "a file of that name"


def test_a_folder_is_its_texts_by_path_sorted(docs: Path) -> None:
    expected = {
        "a.md": "first", "b.md": "second", "deep/c.md": "third", "deep/er/d.txt": "fourth", "deep/er/x/e.md": "fifth", "empty.md": ""
    }  # fmt: skip
    for context in (Context.from_folder(docs), Context.of(docs), Context.from_folder(str(docs))):
        found = contents(context)
        assert found == expected
        assert list(found) == list(expected)
        assert context.notes == (
            "3 hidden files or folders were left out: '.git', '.hidden.md', 'deep/.cache'",
            "1 binary file was left out: 'photo.png'",
        )


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.md", ["a.md", "b.md", "empty.md"]),
        ("**/*.md", ["a.md", "b.md", "deep/c.md", "deep/er/x/e.md", "empty.md"]),
        ("deep/*", ["deep/c.md"]),
        ("deep/**", ["deep/c.md", "deep/er/d.txt", "deep/er/x/e.md"]),
        ("deep/**/*", ["deep/c.md", "deep/er/d.txt", "deep/er/x/e.md"]),
        ("**/er/**/*.md", ["deep/er/x/e.md"]),
        ("*/*/[a-d].*", ["deep/er/d.txt"]),
        ("./?.md", ["a.md", "b.md"]),
        ("**/**/**/e.md", ["deep/er/x/e.md"]),
        ("a.md", ["a.md"]),
    ],
)
def test_patterns(docs: Path, pattern: str, found: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(contents(Context.from_folder(docs, pattern))) == found
    assert (
        list(contents(Context.from_glob(f"{docs}/{pattern}")))
        == [f"{docs}/{path}" for path in found if pattern[0] != "."]
        or pattern[0] == "."
    )
    monkeypatch.chdir(docs.parent)
    if pattern[0] != ".":
        assert list(contents(Context.from_glob(f"docs/{pattern}"))) == [f"docs/{path}" for path in found]


def test_a_pattern_that_matches_nothing_says_what_was_left_out(docs: Path) -> None:
    with pytest.raises(
        ContextError, match=r"no text in .*docs matches \*\.png; 1 binary file was left out: 'photo.png'"
    ):
        Context.from_folder(docs, "*.png")
    with pytest.raises(ContextError, match="there is no folder"):
        Context.from_folder(docs / "none")


def test_bounds_are_said(docs: Path) -> None:
    with pytest.raises(
        ContextError, match=r"has 7 files that match .*over the limit of 3: narrow the pattern, or raise max_files"
    ):
        Context.from_folder(docs, "**/*", max_files=3)
    with pytest.raises(ContextError, match="more than 10 bytes: narrow the pattern, or raise max_bytes"):
        Context.from_folder(docs, "*.md", max_bytes=10)
    assert Context.from_folder(docs, "*.md", max_bytes=11, max_files=3).length == 3


def test_names_are_bounded_whatever_the_pattern(docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "MAX_NAMES", 5)
    with pytest.raises(ContextError, match="holds more than 5 names"):
        Context.from_folder(docs, "a.md")


def test_progress_is_told(docs: Path) -> None:
    told: list[tuple[int, int]] = []
    Context.from_folder(docs, "*.md", on_progress=lambda files, size: told.append((files, size)))
    assert told == [(1, 5), (2, 11), (3, 11)]


def test_texts_in_other_encodings_are_said(docs: Path) -> None:
    for number in range(9):
        (docs / f"old{number}.txt").write_bytes("Größe".encode("cp1252"))
    notes = Context.from_folder(docs, "*.txt").notes
    assert notes[0] == "'old0.txt' is not UTF-8: read as windows-1252, which is a guess"
    assert notes[5] == "4 more files were not plain UTF-8 either"


def test_several_paths_are_a_dict_of_what_each_is(docs: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"a": 1}\n')
    (tmp_path / "x.txt").write_text("text")
    (tmp_path / "x.gif").write_bytes(b"GIF89a")
    several: list[Path | str] = [
        docs / "deep",
        tmp_path / "rows.jsonl",
        f"{docs}/[ab].md",
        tmp_path / "x.txt",
        tmp_path / "x.gif",
    ]
    context = Context.from_paths(several)
    assert contents(context) == {
        f"{docs}/deep/c.md": "third", f"{docs}/deep/er/d.txt": "fourth", f"{docs}/deep/er/x/e.md": "fifth",
        f"{tmp_path}/rows.jsonl": [{"a": 1}], f"{docs}/a.md": "first", f"{docs}/b.md": "second", f"{tmp_path}/x.txt": "text",
        f"{tmp_path}/x.gif": {"media_type": "image/gif", "data": b"GIF89a"},
    }  # fmt: skip
    assert "'rows.jsonl' was read as JSON Lines: a list of 1 records" in context.notes
    assert contents(Context.from_paths([tmp_path / "x.txt"])) == "text"
    assert contents(Context.from_paths([f"{docs}/a.*"])) == {f"{docs}/a.md": "first"}


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "a[1].txt").write_text("itself")
    (tmp_path / "a1.txt").write_text("another")
    assert contents(Context.from_paths([tmp_path / "a[1].txt"])) == "itself"


def test_several_paths_that_make_no_context_say_so(docs: Path) -> None:
    wrong: tuple[tuple[list[Path | str], str], ...] = (
        ([], "there is no context"),
        ([docs / "a.md", docs / "a.md"], "a.md is given twice"),
        ([docs / "a.md", f"{docs}/*.md"], "a.md is given twice"),
        ([docs / "a.md", docs / "empty.md"], "empty.md is empty"),
        ([docs / "a.md", docs / "none"], "cannot read .*none: No such file"),
    )
    for paths, says in wrong:
        with pytest.raises(ContextError, match=says):
            Context.from_paths(paths)


def test_links_out_of_the_folder_are_not_followed(docs: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.md"
    secret.write_text("the secret")
    (tmp_path / "docs-too").mkdir()
    (tmp_path / "docs-too" / "s.md").write_text("the secret")
    (docs / "out.md").symlink_to(secret)
    (docs / "relative.md").symlink_to("../secret.md")
    (docs / "sibling.md").symlink_to("../docs-too/s.md")
    (docs / "folder").symlink_to(tmp_path)
    (docs / "passwd.md").symlink_to("/etc/passwd")
    (docs / "broken.md").symlink_to("nowhere")
    (docs / "self.md").symlink_to("self.md")
    (docs / "chain.md").symlink_to("out.md")
    (docs / "hidden.md").symlink_to(".hidden.md")
    (docs / "inside.md").symlink_to("deep/c.md")
    context = Context.from_folder(docs, "**/*.md")
    found = contents(context)
    assert "the secret" not in repr(found)
    assert "root:" not in repr(found)
    assert found["deep/c.md"] == "third"
    assert "no" not in found.values()
    assert any(note.startswith("9 symbolic links were not followed") for note in context.notes), context.notes


def test_a_loop_of_folders_ends(docs: Path) -> None:
    for name in ("one", "two", "three"):
        (docs / "deep" / name).symlink_to("..")
    assert len(contents(Context.from_folder(docs))) == 6


def test_what_is_no_file_is_not_opened(docs: Path) -> None:
    """A FIFO would wait for ever, and a device never end."""
    os.mkfifo(docs / "fifo.md")
    (docs / "zero.md").symlink_to("/dev/zero")
    assert "fifo.md" not in contents(Context.from_folder(docs, "*.md"))


def test_a_file_that_becomes_a_link_while_it_is_read_is_not_followed(
    docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret.md").write_text("the secret")
    walk = folders._walk

    def swapping_walk(root: Path, pattern: list[str], left_out: object) -> object:
        found = list(walk(root, pattern, left_out))  # type: ignore[arg-type]
        (docs / "a.md").unlink()
        (docs / "a.md").symlink_to(tmp_path / "secret.md")
        return iter(found)

    monkeypatch.setattr(folders, "_walk", swapping_walk)
    context = Context.from_folder(docs, "*.md")
    assert "the secret" not in repr(contents(context))
    assert "1 file could not be read: 'a.md'" in context.notes


def test_hostile_names_are_escaped(docs: Path) -> None:
    for name in ("\x1b[2J", "new\nline", "\u202egnp.md", os.fsdecode(b"\xff\xfe.md")):
        (docs / name).write_text("x")
        (docs / f".{name}").write_text("x")
    context = Context.from_folder(docs)
    assert contents(context)[os.fsdecode(b"\xff\xfe.md")] == "x"
    for text in (*context.notes, context.describe(), context.preview()):
        assert text.isprintable(), text


def test_a_deep_folder_does_not_end_in_a_recursion_error(tmp_path: Path) -> None:
    path = tmp_path
    for _ in range(300):
        path = path / "deep"
    path.mkdir(parents=True)
    (path / "end.txt").write_text("bottom")
    assert list(contents(Context.from_folder(tmp_path)).values()) == ["bottom"]


def test_a_pattern_of_many_stars_takes_no_time(tmp_path: Path) -> None:
    path = tmp_path
    for _ in range(30):
        path = path / "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    path.mkdir(parents=True)
    (path / "end.txt").write_text("x")
    with pytest.raises(ContextError, match="no text"):
        Context.from_folder(tmp_path, "**/" * 40 + "*a*/" * 20 + "b")


def test_folders_in_which_nothing_can_match_are_not_looked_into(docs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scanned: list[str] = []
    scan = os.scandir

    def noting_scan(path: Path) -> object:
        scanned.append(Path(path).relative_to(docs).as_posix())
        return scan(path)

    monkeypatch.setattr(os, "scandir", noting_scan)
    for pattern, looked_into in {
        "*.md": ["."],
        "deep/*.md": [".", "deep"],
        "d*/*.md": [".", "deep"],
        "deep/er/*": [".", "deep", "deep/er"],
        "**/*.md": [".", "deep", "deep/er", "deep/er/x"],
        "deep/**/x/*": [".", "deep", "deep/er", "deep/er/x"],
    }.items():
        scanned.clear()
        Context.from_folder(docs, pattern)
        assert sorted(scanned) == looked_into, pattern


@pytest.mark.parametrize("failing", ["is_symlink", "is_dir", "is_file"])
def test_an_entry_that_cannot_be_looked_at_is_left_out(
    failing: str, docs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of processes that end while /proc is read."""

    class Entry:
        def __init__(self, entry: "os.DirEntry[str]") -> None:
            self.entry, self.name, self.path = entry, entry.name, entry.path

        def __getattr__(self, name: str) -> object:
            if name == failing and self.name == "b.md":
                raise PermissionError(13, "Permission denied")
            return getattr(self.entry, name)

    scan = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: map(Entry, scan(path)))
    context = Context.from_folder(docs, "*.md")
    assert "1 file could not be read: 'b.md'" in context.notes
    assert "a.md" in contents(context)


@pytest.mark.parametrize("pattern", ["/*.no-such-ending", "/proc/*.no-such-ending", "/proc/*/fd/*.no-such-ending"])
def test_a_pattern_over_the_systems_own_folders_ends_with_a_sentence(pattern: str) -> None:
    with pytest.raises(ContextError, match=r"no text in|there is no folder"):
        Context.from_glob(pattern)
