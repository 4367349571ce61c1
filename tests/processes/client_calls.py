"""What an engineer does with the public client, told as JSON: `python client_calls.py URL TOKEN DATASET`.

It imports nothing of this project, so that it runs with any version of the client, in that version's environment.
"""

from __future__ import annotations

import asyncio
import json
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import adaption
    from adaption import Adaption, AsyncAdaption

MAPPING = {"prompt": "question", "completion": "answer", "context": ["topic"]}
EVERY_ARGUMENT: dict[str, Any] = {
    "column_mapping": MAPPING,
    "recipe_specification": {
        "version": "1",
        "recipes": {"deduplication": True, "prompt_rephrase": True, "reasoning_traces": True},
    },
    "brand_controls": {"length": "detailed", "hallucination_mitigation": True, "safety_categories": ["hate"]},
    "job_specification": {"max_rows": 250, "idempotency_key": "every"},
    "estimate": False,
}
LATER_ARGUMENTS: dict[str, Any] = {
    "training_type": "instruction_dataset",
    "language_expansion": {"type": "translate", "languages": ["fr", "de"], "sample_rate": 0.5},
}
OLDER_RECIPES: Any = {"version": "1", "recipes": {"preference_pairs": True, "prompt_metadata_injection": True}}
CALLERS = 64


def answered(response: Any) -> dict[str, Any]:
    return {
        "run_id": response.run_id,
        "estimate": response.estimate,
        "credits": response.estimated_credits_consumed,
        "minutes": response.estimated_minutes,
    }


def refused(call: Callable[[], Any]) -> dict[str, Any]:
    """The error that a call raises: its class, its body, and whether it may be sent again."""
    try:
        call()
    except adaption.APIStatusError as error:
        return {
            "class": type(error).__name__,
            "body": error.body,
            "x-should-retry": error.response.headers.get("x-should-retry"),
        }
    raise SystemExit("the call was not refused")


def calls(url: str, token: str, dataset: str) -> dict[str, Any]:
    """Every kind of call, in turn; `dataset` has 300 rows, the account some credits."""
    client = Adaption(api_key=token, base_url=url)
    run = client.datasets.run
    told: dict[str, Any] = {
        "version": adaption.__version__,
        "plain estimate": answered(run(dataset, estimate=True)),
        "every argument": answered(run(dataset, **EVERY_ARGUMENT)),
    }
    with ThreadPoolExecutor(CALLERS) as callers:
        runs = callers.map(lambda _: run(dataset, **EVERY_ARGUMENT), range(CALLERS))
        told["sync run ids"] = sorted({str(response.run_id) for response in runs})
    told["async run ids"] = asyncio.run(together(url, token, dataset))
    told["key conflict"] = refused(lambda: run(dataset, **(EVERY_ARGUMENT | {"column_mapping": {"prompt": "answer"}})))
    told["active run"] = refused(lambda: run(dataset, column_mapping={"prompt": "question"}))
    told["wrong rows"] = refused(lambda: run(dataset, estimate=True, job_specification={"max_rows": 1.5}))
    told["unknown dataset"] = refused(lambda: run("never", estimate=True))
    stranger = Adaption(api_key="nobody's", base_url=url)
    told["wrong token"] = refused(lambda: stranger.datasets.run(dataset, estimate=True))
    told["too dear"] = refused(lambda: run("dear", column_mapping={"prompt": "question"}))
    told["status"] = client.datasets.get_status(dataset).status
    told["raw"] = json.loads(client.datasets.with_raw_response.run(dataset, estimate=True).text())
    if hasattr(client.datasets, "adapt"):
        told |= later_calls(client, url, token, dataset)
    else:
        told["older recipes"] = answered(run(dataset, estimate=True, recipe_specification=OLDER_RECIPES))
    return told


def later_calls(client: Any, url: str, token: str, dataset: str) -> dict[str, Any]:
    """What only newer clients say; they take an argument that is None for a null."""
    adapt, mapping = client.datasets.adapt, {"prompt": "question"}
    translated = EVERY_ARGUMENT | LATER_ARGUMENTS
    expanding: dict[str, Any] = {"column_mapping": mapping} | LATER_ARGUMENTS
    told: dict[str, Any] = {
        "later arguments": answered(adapt(dataset, **(translated | {"estimate": True}))),
        "replay by adapt": answered(adapt(dataset, **EVERY_ARGUMENT)),
        "contradiction": refused(
            lambda: adapt(
                dataset,
                estimate=True,
                training_type="instruction_dataset",
                extra_body={"recipe_specification": {"recipes": {"preference_pairs": True}}},
            )
        ),
    }
    image = {"prompt": "question", "context": ["topic"], "image": "topic"}
    told["image"] = json.loads(
        client.datasets.with_raw_response.adapt(dataset, estimate=True, column_mapping=image).text()
    )
    for name, mode in {
        "chat": {"chat": "question"},
        "universal prompt": {"universal_prompt": "Answer.", "context": ["topic"]},
    }.items():
        told[name] = answered(adapt(dataset, estimate=True, column_mapping=mode))
    # The one run of `hundred` sets the expansion, which its estimates then keep, clear or replace.
    told["expanding"] = answered(adapt("hundred", **expanding))
    told["expansion kept"] = answered(adapt("hundred", estimate=True))
    told["expansion null"] = answered(adapt("hundred", estimate=True, language_expansion=None))
    three = {"type": "translate", "languages": ["fr", "de", "es"], "sample_rate": 1}
    told["expansion other"] = answered(adapt("hundred", estimate=True, language_expansion=three))
    told |= asyncio.run(later_async(url, token, dataset))
    return told


async def later_async(url: str, token: str, dataset: str) -> dict[str, Any]:
    """The same by the asynchronous client."""
    async with AsyncAdaption(api_key=token, base_url=url) as client:
        arguments = EVERY_ARGUMENT | LATER_ARGUMENTS | {"estimate": True}
        return {
            "async later arguments": answered(await client.datasets.adapt(dataset, **arguments)),
            "async status": (await client.datasets.get_status(dataset)).status,
        }


async def together(url: str, token: str, dataset: str) -> list[str]:
    """The run ids that many tasks get for one key."""
    async with AsyncAdaption(api_key=token, base_url=url) as client:
        sent = (client.datasets.run(dataset, **EVERY_ARGUMENT) for _ in range(CALLERS))
        return sorted({str(response.run_id) for response in await asyncio.gather(*sent)})


if __name__ == "__main__":
    print(json.dumps(calls(*sys.argv[1:])))
