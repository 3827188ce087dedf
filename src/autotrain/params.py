"""The documented door to the parameters: `from autotrain.params import LLMTrainingParams`."""

from autotrain.trainers.clm.params import LLMTrainingParams

__all__ = ["LLMTrainingParams"]
