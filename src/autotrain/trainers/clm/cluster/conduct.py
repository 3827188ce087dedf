"""Ray Train's part: so many workers, with so much each, started anew so often.  Runs on the cluster, as a task."""

import shutil
import tempfile
from dataclasses import dataclass

from autotrain.trainers.clm.cluster.errand import Errand


@dataclass(frozen=True)
class Crew:
    """resources: of each worker, by Ray's names."""

    num_workers: int
    resources: dict[str, float]
    max_restarts: int


def conduct(errand: Errand, crew: Crew) -> dict[int, str]:
    """Returns what Ray knows about workers that failed, by rank; -1 stands for Ray Train itself."""
    from ray import train  # pyright: ignore[reportMissingImports]  an extra
    from ray.train.torch import TorchConfig, TorchTrainer  # pyright: ignore[reportMissingImports]  an extra

    from autotrain.trainers.clm.cluster.worker import work

    storage = tempfile.mkdtemp(prefix="autotrain-")  # for Ray's own notes
    trainer = TorchTrainer(
        work,
        train_loop_config={"errand": errand},
        # Only the workers' watchers are in this group, and they use no GPU.
        torch_config=TorchConfig(backend="gloo"),
        scaling_config=train.ScalingConfig(
            num_workers=crew.num_workers,
            use_gpu=crew.resources.get("GPU", 0) > 0,
            resources_per_worker=crew.resources,
        ),
        run_config=train.RunConfig(
            name=errand.number,
            storage_path=storage,
            failure_config=train.FailureConfig(max_failures=crew.max_restarts),
        ),
    )
    try:
        trainer.fit()
    except train.WorkerGroupError as error:  # pyright: ignore[reportAttributeAccessIssue]
        return {rank: _first_line(failure) for rank, failure in error.worker_failures.items()}
    except train.TrainingFailedError as error:
        return {-1: _first_line(error)}
    finally:
        shutil.rmtree(storage, ignore_errors=True)
    return {}


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
