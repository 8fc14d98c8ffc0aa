"""``nextrec data``: list, show, check."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from nextrec.cli.main import app
from nextrec.data.datasets import DATASETS, describe

RATINGS = "1\t2\t3\t881250949\n4\t2\t5\t881250950\n"


def run(*arguments: str):
    return CliRunner().invoke(app, ["data", *arguments])


def test_list_has_every_data_set():
    done = run("list")
    assert done.exit_code == 0
    lines = done.output.splitlines()
    assert lines[0].split() == ["name", "rows", "task", "what", "licence"]
    assert [line.split()[0] for line in lines[1:]] == sorted(DATASETS)
    frappe = next(line for line in lines if line.startswith("frappe"))
    for cell in ("288,609", "click", describe("frappe").what, describe("frappe").licence):
        assert cell in frappe


def test_list_needs_no_torch():
    code = "import sys; from nextrec.cli.data import show_list; show_list()"
    code += "; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("name", list(DATASETS))
def test_show_tells_all(name):
    done = run("show", name)
    assert done.exit_code == 0
    each = describe(name)
    words = " ".join(done.output.split())
    for text in (each.what, each.licence, each.source, each.citation, *each.notes):
        assert text in words
    for table in each.tables:
        assert f"Table {table.name} files: {' or '.join(table.files)} layout:" in words
        for column in table.columns:
            assert f"{column.name} {column.role} {column.meaning}" in words
    for count in each.counts:
        assert f"{count.label} {count.number:,}" in words


def test_an_alias_shows_the_same():
    assert run("show", "ML-1M").output == run("show", "movielens-1m").output


def test_an_unknown_name_is_told_with_the_likely_one():
    done = run("show", "criteoo")
    assert done.exit_code == 2
    assert "Did you mean 'criteo'?" in done.output


def test_check_counts(tmp_path):
    (tmp_path / "u.data").write_text(RATINGS)
    (tmp_path / "u.user").write_text("1|24|M|technician|85711\n")
    done = run("check", "ml-100k", str(tmp_path))
    assert done.exit_code == 0
    rows = [line.split("  ") for line in done.output.splitlines()]
    cells = [[cell.strip() for cell in row if cell] for row in rows]
    assert ["ratings: rows", "2", "100,000"] in cells
    assert ["ratings: distinct user_id", "2", "943"] in cells
    assert ["users: rows", "1", "943"] in cells
    assert "is not the whole published set: ratings: rows 2, published 100,000" in done.output


def test_check_strict_fails_on_a_difference(tmp_path):
    (tmp_path / "u.data").write_text(RATINGS)
    done = run("check", "ml-100k", str(tmp_path), "--strict")
    assert done.exit_code == 1
    assert "is not the whole published set" in done.stderr


def test_check_of_a_broken_file(tmp_path):
    (tmp_path / "u.data").write_text(RATINGS + "1\t2\t9\t1\n")
    done = run("check", "ml-100k", str(tmp_path))
    assert done.exit_code == 1
    assert "line 3: `rating` must be one of 1, 2, 3, 4, 5; got 9." in done.output
    assert "Traceback" not in done.output


def test_check_of_a_folder_without_files(tmp_path):
    done = run("check", "avazu", str(tmp_path))
    assert done.exit_code == 1
    assert "Looked for train: train.csv or train.csv.gz or train.gz or train." in done.output


def test_check_of_a_category_and_of_tables_that_have_no_published_count(tmp_path):
    (tmp_path / "sequences.txt").write_text("1 2 3\n")
    (tmp_path / "item_attributes.json").write_text('{"2": [1]}')
    done = run("check", "amazon", str(tmp_path), "--category", "Beauty")
    assert "sequences: rows            1      22,363" in done.output
    assert "attributes: rows           1      -" in done.output
    plain = run("check", "amazon", str(tmp_path))
    assert "sequences: rows   1      -" in plain.output
    assert "nothing differs" not in plain.output


def test_check_counts_what_is_streamed(tmp_path):
    row = "\t".join(["1", *["3"] * 13, *["05db9164"] * 26]) + "\n"
    for name in ("train", "valid"):
        (tmp_path / f"{name}.txt").write_text(row * 3)
    done = run("check", "criteo", str(tmp_path))
    assert "train: rows  3      45,840,617" in done.output
    assert "valid: rows  3      -" in done.output


def test_check_of_the_real_files(shared_data):
    done = run("check", "ml-100k", str(shared_data / "ml-100k"), "--strict")
    assert done.exit_code == 0
    assert "movielens-100k: nothing differs from the published counts." in done.output


def test_no_subcommand_shows_help():
    assert "check" in run().output
