"""Steers requests to models that are there, and keeps their answers short: two tokens tell as much as a thousand."""

import os
import zlib

import schemathesis

LANGUAGE = os.environ.get("HITHER_LANGUAGE_MODEL", "smollm2-135m")
TENSORS = os.environ.get("HITHER_TENSOR_MODEL", "fraud")
# Jobs wait for hours by design; what they ask is asked here without them, too.
TEXT = {
    "/v1/chat/completions": "max_tokens",
    "/v1/completions": "max_tokens",
    "/v1/responses": "max_output_tokens",
    "/v1/embeddings": None,
    "/api/chat": "num_predict",
    "/api/generate": "num_predict",
    "/api/embed": None,
    "/api/embeddings": None,
    "/api/show": None,
}


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    path = case.operation.path
    # Not drawn: the same request is steered the same way each time.
    steered = zlib.crc32(repr((case.path_parameters, case.body)).encode()) % 4
    if "/repository/" not in path and "model" in (case.path_parameters or {}) and steered:
        case.path_parameters["model"] = LANGUAGE if path.startswith("/v1/") else TENSORS
        if "version" in case.path_parameters:
            case.path_parameters["version"] = "1"
    if path in TEXT and isinstance(case.body, dict):
        if steered and isinstance(case.body.get("model"), str):
            case.body["model"] = LANGUAGE
        field = TEXT[path]
        if field == "num_predict":
            case.body["options"] = {**(case.body.get("options") or {}), field: 2}
        elif field:
            case.body.pop("max_completion_tokens", None)
            case.body.pop("min_tokens", None)
            case.body[field] = 2
        if (case.body.get("n") or 1) > 2:
            case.body["n"] = 2
            case.body.pop("best_of", None)
