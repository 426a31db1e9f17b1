"""Deployments: their state, starting and stopping them, a request to try, and the explanation that comes back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from deepcube.embedded.console.charts import Attribution, attribution_bars
from deepcube.embedded.console.models import read_json
from deepcube.embedded.console.pages import Page, Pages
from deepcube.embedded.errors import ApiError

pages = Pages("/{project_id:int}/deployments", "deployments")

LOG_LINES = 300
MAX_BARS = 15
MAX_EXPLANATIONS = 20
_ACTIONS = {"start": "START", "stop": "STOP"}

Json = dict[str, Any]


@pages.get()
def deployments(page: Page) -> Response:
    """List the deployments."""
    found = page.items("serving")
    found.sort(key=lambda deployment: deployment["name"])
    return page.html("deployments.html", deployments=found)


@pages.get("/{id:int}")
def deployment(page: Page) -> Response:
    """Show a deployment, with a form to try a request."""
    document = _deployment(page)
    return _html(page, document, request=_example(page, document))


def _deployment(page: Page) -> Json:
    document: Json = page.get("serving", page.path["id"])
    return document


def _html(page: Page, document: Json, **context: Any) -> Response:
    blank: Json = {"request": "", "answer": None, "explanations": [], "more": 0, "problem": ""}
    here = f"{page.base}/deployments/{document['id']}"
    return page.html(
        "deployment.html", deployment=document, here=here, logs=_logs(page, document), **{**blank, **context}
    )


def _example(page: Page, document: Json) -> str:
    """Return the request that the form starts with: the model's own input example, explained."""
    name, version = document.get("modelName"), document.get("modelVersion")
    example = read_json(page, f"Models/{name}/{version}/input_example.json") if name else None
    if isinstance(example, dict) and "instances" in example:
        request: Json = example
    else:
        request = {"instances": [] if example is None else [example]}
    return json.dumps({**request, "explain": True}, indent=2)


def _logs(page: Page, document: Json) -> list[Json]:
    """Return the end of the log of each instance of the predictor and the transformer."""
    found: list[Json] = []
    for component in ("predictor", "transformer"):
        if component == "predictor" or document.get("transformer"):
            found += page.items("serving", document["id"], "logs", component=component, tail=LOG_LINES)
    return [{"name": log.get("instanceName") or "", "text": log.get("content") or ""} for log in found]


@pages.get("/{id:int}/news")
def news(page: Page) -> Response:
    """Return state and logs, for the page's script."""
    document = _deployment(page)
    return page.json({"status": document.get("status"), "logs": _logs(page, document)})


@pages.post("/{id:int}/{action}")
def act(page: Page) -> Response:
    """Start or stop a deployment, or send it the request of the form."""
    document = _deployment(page)
    if page.path["action"] == "predict":
        return _predict(page, document)
    action = _ACTIONS.get(page.path["action"])
    if action is None:
        raise ApiError(404, 120001, f"a deployment can {', '.join(_ACTIONS)} or predict")
    page.rest.post("project", page.project.id, "serving", document["id"], action=action)
    return page.redirect(f"{page.base}/deployments/{document['id']}", f"Asked {document['name']} to {action.lower()}.")


def _predict(page: Page, document: Json) -> Response:
    text = page.form.get("request", "")
    try:
        request = json.loads(text)
    except ValueError as error:
        return _html(page, document, request=text, problem=f"The request is not JSON: {error}")
    try:
        answer = page.rest.post(
            "project", page.project.id, "inference", "models", f"{document['name']}:predict", document=request
        )
    except ApiError as error:
        return _html(page, document, request=text, problem=error.message)
    found = read_explanations(answer)
    more = max(0, len(found) - MAX_EXPLANATIONS)
    return _html(page, document, request=text, answer=answer, explanations=found[:MAX_EXPLANATIONS], more=more)


@dataclass(frozen=True)
class Explanation:
    """Why one output of one instance is what it is.

    Attributes
    ----------
    instance : int
        Position in the request, from 1.
    output : str
        Name of the output; empty if there is only one.
    bars : list of Attribution
        The largest attributions.
    left_out : int
        How many smaller ones are not shown.
    inputs : dict
        Value of each feature, if the answer says.
    facts : list of (str, object)
        What else is said: the prediction, method, base value, completeness error, ...
    """

    instance: int
    output: str
    bars: list[Attribution]
    left_out: int
    inputs: Json
    facts: list[tuple[str, Any]]


def read_explanations(answer: Any) -> list[Explanation]:
    """Find the explanations in the answer of a predictor.

    Parameters
    ----------
    answer : object
        JSON. An explanation has ``attributions``: by feature name, or by output name and then feature name; numbers
        beside it may be given per output too. It stands under ``explanation`` in a prediction, beside ``prediction``
        and ``inputs``, or for all instances in a list ``explanations`` beside ``predictions``.
    """
    if not isinstance(answer, dict):
        return []
    predictions, apart = _as_list(answer.get("predictions")), _as_list(answer.get("explanations"))
    result = []
    for position in range(max(len(predictions), len(apart))):
        found = predictions[position] if position < len(predictions) else None
        whole = found if isinstance(found, dict) and "explanation" in found else {"prediction": found}
        document = apart[position] if position < len(apart) else whole.get("explanation")
        if isinstance(document, dict) and isinstance(document.get("attributions"), dict):
            result += _outputs(position + 1, whole, document)
    return result


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _outputs(instance: int, whole: Json, document: Json) -> list[Explanation]:
    attributions = document["attributions"]
    nested = {output: values for output, values in attributions.items() if isinstance(values, dict)}
    inputs = whole["inputs"] if isinstance(whole.get("inputs"), dict) else {}
    said = {"prediction": whole.get("prediction"), **document}
    result = []
    for output, values in (nested or {"": attributions}).items():
        bars = attribution_bars({str(name): float(value) for name, value in values.items() if _is_number(value)})
        facts = [
            (name.replace("_", " "), value[output] if isinstance(value, dict) and output in value else value)
            for name, value in said.items()
            if name != "attributions" and value is not None
        ]
        result.append(Explanation(instance, output, bars[:MAX_BARS], max(0, len(bars) - MAX_BARS), inputs, facts))
    return result


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
