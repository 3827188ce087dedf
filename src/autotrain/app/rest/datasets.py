"""/api/datasets: data sets are uploaded, listed, deleted; and looked into before they are trained on."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, HTTPException, Query, Request
from pydantic import ValidationError

from autotrain.app.inside import check_inside
from autotrain.app.state import AppState
from autotrain.app.uploads import DataSet, Datasets, Refused
from autotrain.config.base import describe
from autotrain.errors import AutoTrainError
from autotrain.trainers.clm.params import LLMTrainingParams

MAX_ROWS = 50


def routes(state: AppState) -> APIRouter:
    router = APIRouter(tags=["data"])
    add_uploading(router, state.datasets)
    add_reading(router, state.datasets)
    add_looking_into(router, state)
    return router


def add_uploading(router: APIRouter, datasets: Datasets) -> None:
    @router.post("/datasets", status_code=201)
    async def upload(request: Request, name: Annotated[str, Query(max_length=500)] = "data") -> dict[str, Any]:
        """Upload a data file: CSV, JSONL, JSON, Parquet or TXT.  The body is the file itself; `name` is shown, no more."""
        return await take(request, name, None)

    @router.post("/datasets/{identity}/valid", status_code=201)
    async def upload_valid(
        identity: str, request: Request, name: Annotated[str, Query(max_length=500)] = "data"
    ) -> dict[str, Any]:
        """Upload the file that this data set is validated on."""
        return await take(request, name, identity)

    async def take(request: Request, name: str, to: str | None) -> dict[str, Any]:
        try:
            return _described(await datasets.take(name, request.stream(), to))
        except Refused as refused:
            raise HTTPException(refused.status, refused.text) from None


def add_reading(router: APIRouter, datasets: Datasets) -> None:
    @router.get("/datasets")
    def list_datasets() -> list[dict[str, Any]]:
        """All uploads, the newest first."""
        return [_described(one) for one in datasets.all()]

    @router.get("/datasets/{identity}")
    def read(identity: str) -> dict[str, Any]:
        """One upload.  Train on it with data_path: its `data_path`, train_split: train."""
        return _described(found(identity))

    @router.delete("/datasets/{identity}", status_code=204)
    def delete(identity: str) -> None:
        """Delete an upload; runs that were trained on it stay."""
        found(identity)
        datasets.remove(identity)

    def found(identity: str) -> DataSet:
        try:
            return datasets.find(identity)
        except Refused as refused:
            raise HTTPException(refused.status, refused.text) from None


def add_looking_into(router: APIRouter, state: AppState) -> None:
    @router.post("/preview")
    async def preview(
        params: Annotated[dict[str, Any], Body()], rows: Annotated[int, Query(ge=1, le=MAX_ROWS)] = 5
    ) -> dict[str, Any]:
        """Which columns are recognised, the first rows as conversations and as tokens, and what stands in the way."""
        return await ask(params, rows)

    @router.post("/amounts")
    async def amounts(params: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
        """Rows, tokens, steps, memory and time of a run with these parameters, without starting it."""
        return await ask(params, None)

    async def ask(values: dict[str, Any], rows: int | None) -> dict[str, Any]:
        try:
            named: dict[str, Any] = {"project_name": "preview", **values}
            params = LLMTrainingParams(**named)
            check_inside(params, state.workspace, state.settings.custom_models)
            return await (state.previews.measure(params) if rows is None else state.previews.preview(params, rows))
        except ValidationError as error:
            raise HTTPException(422, str(describe(error, "params"))) from None
        except AutoTrainError as error:
            raise HTTPException(422, str(error)) from None


def _described(dataset: DataSet) -> dict[str, Any]:
    files = {
        split: {"name": file.name, "kind": file.kind, "bytes": file.num_bytes, "notes": [note.text for note in file.notes]}
        for split, file in dataset.files.items()
    }
    return {"id": dataset.identity, "data_path": str(dataset.folder), "uploaded": dataset.uploaded, "files": files}
