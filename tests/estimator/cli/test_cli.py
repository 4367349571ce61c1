"""`profile`, `estimate` and `card`: what they print, and what they refuse."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

import estimator.cli
from estimator import RateCard, diagnosis_sql, shipped, shipped_card, sql
from tests.command_line import Credits


def test_profile_counts_rows_and_names_columns(command: Credits, dataset: Path) -> None:
    assert command.json("profile", str(dataset)) == {
        "dataset": str(dataset),
        "row_count": 120,
        "columns": ["question", "answer"],
    }
    table = command("profile", str(dataset))
    assert "120" in table
    assert "question, answer" in table


def test_profile_shows_markup_and_control_characters_as_they_are(command: Credits, tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    path.write_text(json.dumps({"[red]x[/red]": 1, "a\x1b[31mb": 2, "half \ud800": 3}) + "\n", encoding="utf-8")
    table = command("profile", str(path))
    assert "[red]x[/red], a\\x1b[31mb, half \\ud800" in table
    assert command.json("profile", str(path))["columns"] == ["[red]x[/red]", "a\x1b[31mb", "half \ud800"]


def test_profile_of_a_thousand_columns_lists_the_first_and_counts_the_rest(command: Credits, tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    path.write_text(",".join(f"c{n}" for n in range(1000)) + "\n" + "," * 999 + "\n", encoding="utf-8")
    table = command("profile", str(path))
    assert "c29, ... and 970 more" in " ".join(table.split())
    assert len(command.json("profile", str(path))["columns"]) == 1000


def test_estimate_itemises_under_the_observed_card_by_default(command: Credits, dataset: Path) -> None:
    estimate = command.json("estimate", str(dataset))
    assert (estimate["card_name"], estimate["credits"], estimate["units"]) == ("observed", "2", 2)
    assert estimate["response"]["estimatedCreditsConsumed"] == 2
    assert estimate["response"]["run_id"] is None


def test_estimate_amounts_are_decimal_text(command: Credits, dataset: Path) -> None:
    estimate = command.json("estimate", str(dataset), "--card", "example")
    assert estimate["credits"] == "1.45"
    assert [(item["code"], item["credits"]) for item in estimate["line_items"]] == [("base", "1.2"), ("fee", "0.25")]


def test_estimate_prints_the_items_and_their_total(command: Credits, dataset: Path) -> None:
    printed = command("estimate", str(dataset), "--card", "example").splitlines()
    assert printed[0].startswith("Rate card example: 120 rows in, 120 rows out, about 4.02 minutes")
    assert [row.split() for row in printed if row.startswith(("Base", "Fee", "Total"))] == [
        ["Base", "price", "120", "0.01", "1.2"],
        ["Fee", "per", "run", "0.25"],
        ["Total", "1.45"],
    ]


def test_every_option_of_a_request_reaches_the_plan(command: Credits, dataset: Path) -> None:
    options = ["--length", "detailed", "--grounding", "--safety", "hate", "--max-rows", "50", "--card", "example"]
    options += ["--recipe", "reasoning_traces", "--no-recipe", "deduplication", "--discount", "team"]
    options += ["--voucher", "welcome", "--map", "prompt=question", "--map", "context=answer"]
    plan = command.json("estimate", str(dataset), *options)["plan"]
    assert plan == {
        "modality": "text",
        "rows": 50,
        "sample_ppm": 0,
        "targets": 0,
        "length": "detailed",
        "recipes": ["reasoning_traces"],
        "training_type": "instruction_dataset",
        "grounding": True,
        "safety": True,
        "discount": "team",
        "voucher": "welcome",
    }


def test_a_request_is_read_from_a_file_or_from_standard_input(command: Credits, dataset: Path, tmp_path: Path) -> None:
    body = {"job_specification": {"max_rows": 50.0}, "brand_controls": {"length": "minimal"}}
    path = tmp_path / "request.json"
    path.write_text(json.dumps(body), encoding="utf-8")
    from_file = command.json("estimate", str(dataset), "--request", str(path))
    assert (from_file["plan"]["rows"], from_file["plan"]["length"]) == (50, "minimal")
    assert command.json("estimate", str(dataset), "--request", "-", stdin=json.dumps(body)) == from_file


def test_an_option_overrides_the_same_part_of_the_request_and_no_other(command: Credits, dataset: Path) -> None:
    body = json.dumps({"brand_controls": {"length": "minimal", "hallucination_mitigation": True}, "estimate": False})
    plan = command.json("estimate", str(dataset), "--request", "-", "--length", "extensive", stdin=body)["plan"]
    assert (plan["length"], plan["grounding"]) == ("extensive", True)


def test_a_folder_of_cards_is_priced_at_the_moment_given(command: Credits, dataset: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cards"
    folder.mkdir()
    for name, card in shipped().items():
        (folder / f"{name}.json").write_text(card.to_json(), encoding="utf-8")
    early = command.json("estimate", str(dataset), "--card", str(folder), "--at", "2025-06-01T00:00:00Z")
    late = command.json("estimate", str(dataset), "--card", str(folder), "--at", "2026-06-01T00:00:00+02:00")
    assert (early["card_name"], late["card_name"]) == ("observed", "example")
    assert "Say with --at" in command("estimate", str(dataset), "--card", str(folder), status=2)


WRONG_ESTIMATES = [
    (["--request", "-"], "[1]", "The request on standard input is not a JSON object."),
    (["--request", "-"], "{", "is not JSON"),
    (["--request", "-"], '{"max": NaN}', "NaN is no JSON value"),
    (["--request", "-"], "[" * 100_000, "is not JSON"),
    (["--request", "-"], '{"brand_controls": 5}', "brand_controls: must be an object"),
    (["--request", "-", "--length", "minimal"], '{"brand_controls": 5}', "brand_controls: must be an object"),
    (["--request", "x" * 300], None, "File name too long"),
    (["--request", "-"], '{"job_specification": {"max_rows": 1.5}}', "job_specification.max_rows: must be a whole"),
    (["--request", "nowhere.json"], None, "The request in 'nowhere.json' cannot be read"),
    (["--length", "huge"], None, "brand_controls.length: must be"),
    (["--max-rows", "0"], None, "job_specification.max_rows: must be a whole number from 1"),
    (["--max-rows", "many"], None, "Invalid value for '--max-rows'"),
    (["--recipe", "magic"], None, "recipe_specification.recipes.magic: is not a field"),
    (["--recipe", "deduplication", "--no-recipe", "deduplication"], None, "is both on and off"),
    (["--map", "question"], None, "names no role and column"),
    (["--map", "prompt=question", "--map", "prompt=answer"], None, "--map gives prompt twice"),
    (["--map", "promt=question"], None, "Did you mean 'prompt'?"),
    (["--map", "prompt=qestion"], None, "question"),
    (["--discount", "team"], None, "discount: 'team' is not on the rate card 'observed'"),
    (["--card", "nope"], None, "Use one of example, observed"),
    (["--card", "nope.toml"], None, "cannot be read"),
    (["--card", "example", "--at", "2020-01-01T00:00:00Z"], None, "No rate card is in force"),
    (["--at", "2026-01-01T00:00:00"], None, "has no time zone"),
    (["--at", "yesterday"], None, "is no ISO 8601"),
    (["--at", "0001-01-01T00:00:00+14:00"], None, "is out of range"),
    (["--colour"], None, "No such option"),
]


@pytest.mark.parametrize(("options", "stdin", "sentence"), WRONG_ESTIMATES)
def test_a_wrong_estimate_is_one_sentence_and_status_2(
    command: Credits, dataset: Path, options: list[str], stdin: str | None, sentence: str
) -> None:
    assert sentence in command("estimate", str(dataset), *options, status=2, stdin=stdin)


def test_a_request_that_is_not_text_is_named_with_its_place(command: Credits, dataset: Path, tmp_path: Path) -> None:
    path = tmp_path / "request.json"
    path.write_bytes(b'{"a": "\xff"}')
    assert "is not UTF-8 at byte 7" in command("estimate", str(dataset), "--request", str(path), status=2)


def test_a_name_that_no_file_can_have_is_one_sentence(command: Credits) -> None:
    assert "File name too long" in command("profile", "x" * 300 + ".csv", status=2)


class Terminal(io.StringIO):
    """A standard error that a person watches."""

    def isatty(self) -> bool:
        return True


def test_a_person_who_waits_for_a_large_file_sees_how_far_it_is(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Terminal()
    monkeypatch.setattr("sys.stderr", watched)
    quick = estimator.cli.read_profile(dataset, quiet=False)
    assert watched.getvalue() == ""
    monkeypatch.setattr(estimator.cli, "PROGRESS_FROM_BYTES", 1)
    assert estimator.cli.read_profile(dataset, quiet=False) == quick
    assert "Reading" in watched.getvalue()


def test_a_refusal_in_json_lists_every_issue(command: Credits, dataset: Path) -> None:
    result = command("estimate", str(dataset), "--length", "huge", "--max-rows", "0", "--json", status=2)
    error = json.loads(result)
    assert error["code"] == "request_rejected"
    assert [issue["path"] for issue in error["issues"]] == ["brand_controls.length", "job_specification.max_rows"]


WRONG_DATASETS = [
    ("missing.jsonl", None, "does not exist"),
    ("empty.jsonl", "", "is empty"),
    ("broken.jsonl", '{"a": 1}\n{"a": \n', "broken.jsonl, line 2: is not JSON"),
    ("rows.txt", "a\n", "is of no kind that can be profiled"),
    ("fake.parquet", "not parquet", "is not a whole Parquet file"),
]


@pytest.mark.parametrize(("name", "content", "sentence"), WRONG_DATASETS)
@pytest.mark.parametrize("name_of_command", ["profile", "estimate", "tour"])
def test_a_dataset_that_cannot_be_read_is_one_sentence_and_status_2(
    command: Credits, tmp_path: Path, name_of_command: str, name: str, content: str | None, sentence: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content, encoding="utf-8")
    assert sentence in command(name_of_command, str(path), status=2)
    assert json.loads(command(name_of_command, str(path), "--json", status=2))["code"] == "dataset_unreadable"


def test_card_show_lists_the_cards_that_ship(command: Credits) -> None:
    assert {card["name"]: card["id"] for card in command.json("card", "show")} == {
        name: card.id for name, card in shipped().items()
    }
    assert "Inferred from public statements" in command("card", "show")


def test_card_show_spells_a_card_out_so_that_it_can_be_read_again(command: Credits) -> None:
    document = command.json("card", "show", "example")
    assert RateCard.from_dict(document["content"]).id == document["id"] == shipped_card("example").id
    table = command("card", "show", "example")
    assert ["text.grounding.add", "0.012"] in [row.split() for row in table.splitlines()]


def test_card_check_names_the_id_of_a_sound_card(command: Credits, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(shipped_card("example").to_json(), encoding="utf-8")
    assert command.json("card", "check", str(path))["id"] == shipped_card("example").id
    assert "is sound" in command("card", "check", str(path))


def test_card_check_says_whether_an_engine_of_doubles_is_right(command: Credits, tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    path.write_text(
        'name = "small"\neffective_from = 2026-01-01T00:00:00Z\nrows_max = 1000\ntargets_max = 0\n[text]\nrow = "1"\n',
        encoding="utf-8",
    )
    assert command.json("card", "check", str(path))["exact_everywhere"] is True
    assert "Exact everywhere" in command("card", "check", str(path))
    assert command.json("card", "check", "example")["exact_everywhere"] is False
    assert "some amounts pass 2^53" in " ".join(command("card", "check", "example").split())


def test_card_sql_prints_a_statement_that_can_be_pasted(command: Credits) -> None:
    written = command("card", "sql", "example", "--dialect", "duckdb", "--columns", "rows, length", "--keep", "account")
    card = shipped_card("example")
    assert written.strip() == sql(card, "duckdb", ["rows", "length"], keep=["account"])
    listed = command("card", "sql", "example", "--dialect", "spark", "--columns", "rows", "--problems")
    assert listed.strip() == diagnosis_sql(card, "spark", ["rows"])


def test_card_sql_refuses_an_engine_that_never_executed_it(command: Credits) -> None:
    assert "never executed" in " ".join(command("card", "sql", "example", "--dialect", "bigquery", status=2).split())
    assert "DIV(" in command("card", "sql", "example", "--dialect", "bigquery", "--untested")


def test_card_check_names_everything_that_is_wrong(command: Credits, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\ncolour = "red"\nrows_max = 10\n[text]\nrow = "-1"\n', encoding="utf-8")
    sentence = command("card", "check", str(path), status=2)
    assert "effective_from: is required" in sentence
    assert "colour: is not a field" in sentence
    assert "text.row" in sentence
    assert json.loads(command("card", "check", str(path), "--json", status=2))["code"] == "rate_card_invalid"


def test_card_schema_is_the_json_schema_of_a_card(command: Credits) -> None:
    schema: dict[str, Any] = command.json("card", "schema")
    assert schema == RateCard.model_json_schema() == json.loads(command("card", "schema"))
