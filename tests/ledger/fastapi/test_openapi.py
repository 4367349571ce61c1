"""The OpenAPI document: whole, and beside the reference that the routes were written from, field by field."""

from __future__ import annotations

from typing import Any

import pytest

from tests.ledger.fastapi.conftest import Service

SEED_REQUEST: dict[str, tuple[str, ...]] = {
    "brand_controls.hallucination_mitigation": ("boolean",),
    "brand_controls.length": ("minimal", "concise", "detailed", "extensive"),
    "brand_controls.safety_categories": ("array",),
    "column_mapping.prompt": ("string",),
    "column_mapping.chat": ("string",),
    "column_mapping.completion": ("string",),
    "column_mapping.context": ("array",),
    "estimate": ("boolean",),
    "job_specification.idempotency_key": ("string",),
    "job_specification.max_rows": ("number",),
    "recipe_specification.recipes.deduplication": ("boolean",),
    "recipe_specification.recipes.preference_pairs": ("boolean",),
    "recipe_specification.recipes.prompt_metadata_injection": ("boolean",),
    "recipe_specification.recipes.prompt_rephrase": ("boolean",),
    "recipe_specification.recipes.reasoning_traces": ("boolean",),
    "recipe_specification.version": ("string",),
}
"""Each field of the first reference with its type or its values."""

LATER_REQUEST: dict[str, tuple[str, ...]] = {
    "brand_controls.blueprint": ("string",),
    "column_mapping.universal_prompt": ("string",),
    "column_mapping.image": ("string",),
    "training_type": ("instruction_dataset", "preference_pairs"),
    "language_expansion.type": ("translate", "localize"),
    "language_expansion.languages": ("array",),
    "language_expansion.pairs": ("array",),
    "language_expansion.sample_rate": ("number",),
}
"""What later clients send beside them."""

SEED_RESPONSE = {
    "estimate": "boolean",
    "estimatedCreditsConsumed": "number",
    "estimatedMinutes": "number",
    "run_id": "string",
}


@pytest.fixture
def document(service: Service) -> dict[str, Any]:
    """The document, in which every reference leads somewhere."""
    found: dict[str, Any] = service.client.get("/openapi.json").json()
    return found


def plain(schema: dict[str, Any]) -> dict[str, Any]:
    """A field's schema without its null."""
    options = [option for option in schema.get("anyOf", []) if option.get("type") != "null"]
    return schema | options[0] if options else schema


def fields(schema: dict[str, Any], prefix: str = "") -> dict[str, dict[str, Any]]:
    """The fields of an object and of those within it, by their path."""
    found: dict[str, dict[str, Any]] = {}
    for name, value in plain(schema).get("properties", {}).items():
        path = f"{prefix}{name}"
        inner = fields(value, f"{path}.")
        found |= inner or {path: plain(value)}
    return found


def body_of(document: dict[str, Any], path: str) -> dict[str, Any]:
    content = document["paths"][f"/api/v1/datasets/{{dataset_id}}/{path}"]["post"]["requestBody"]["content"]
    schema: dict[str, Any] = content["application/json"]["schema"]
    return schema


@pytest.mark.parametrize("path", ["run", "adapt"])
def test_a_request_has_the_fields_of_both_generations_and_no_others(document: dict[str, Any], path: str) -> None:
    found = fields(body_of(document, path))
    assert set(found) == set(SEED_REQUEST) | set(LATER_REQUEST)
    for name, expected in (SEED_REQUEST | LATER_REQUEST).items():
        assert tuple(found[name].get("enum", [found[name].get("type")])) == expected, name
    assert found["job_specification.max_rows"]["minimum"] == 1
    assert body_of(document, path).get("required", []) == []


def test_a_response_has_the_fields_of_the_reference_in_its_own_spelling(document: dict[str, Any]) -> None:
    answer = document["components"]["schemas"]["RunAnswer"]
    for name, kind in SEED_RESPONSE.items():
        assert plain(answer["properties"][name])["type"] == kind
        assert name in answer["required"]
    assert {"multimodalPricingApplied", "creditMultiplier"} <= set(answer["properties"])


def described(schema: Any, where: str = "") -> list[str]:
    """Fields that nothing is said about."""
    if isinstance(schema, list):
        return [missing for item in schema for missing in described(item, where)]
    if not isinstance(schema, dict):
        return []
    missing = [
        f"{where}.{name}"
        for name, value in schema.get("properties", {}).items()
        if isinstance(value, dict) and not value.get("description")
    ]
    return missing + [found for name, value in schema.items() for found in described(value, f"{where}.{name}")]


def test_every_field_of_a_request_and_every_route_is_described(document: dict[str, Any]) -> None:
    assert described(body_of(document, "run")) == []
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["summary"], path
            assert operation["description"], path
            assert operation["security"] == [{"HTTPBearer": []}], path
            assert {"200", "401", "503"} <= set(operation["responses"]), path


def test_every_refusal_of_a_run_has_a_model_and_an_example_of_its_own(document: dict[str, Any]) -> None:
    responses = document["paths"]["/api/v1/datasets/{dataset_id}/run"]["post"]["responses"]
    for status in ("400", "401", "402", "404", "408", "409", "413", "422", "503"):
        content = responses[status]["content"]["application/json"]
        assert content["schema"] == {"$ref": "#/components/schemas/RefusalAnswer"}
        assert content["example"]["statusCode"] == int(status)


def test_answers_have_the_fields_of_their_models(service: Service, document: dict[str, Any]) -> None:
    run = service.post().json()
    models = {"balance": "Balance", "statement": "Statement", "reservations": "Reservations"}
    models["datasets/d1/status"] = "Status"
    shown = {"Run": run} | {name: service.get(path).json() for path, name in models.items()}
    shown["Reservation"] = shown["Reservations"]["reservations"][0]
    shown["Entry"] = shown["Statement"]["entries"][0]
    for name, answer in shown.items():
        model = document["components"]["schemas"][f"{name}Answer"]
        assert set(model.get("required", [])) <= set(answer) <= set(model["properties"]), name
