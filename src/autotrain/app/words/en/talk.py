from types import MappingProxyType

WORDS = MappingProxyType(
    {
        "talk.waiting": "The run “{name}” hasn't finished. You can talk with its model once training has ended.",
        "talk.cloud": "The run “{name}” was trained in the cloud, and its result isn't on this machine. It is on the Hugging Face Hub.",
        "talk.gone": "“{name}” isn't there any more: its folder was deleted or moved.",
        "talk.link": "“{name}” can't be used: {file} is a link that leads out of the run folder; put the file itself there.",
        "talk.unfinished": "The run “{name}” has no model yet: it ended before one was saved. Resume it to go on with training.",
        "talk.no_base": "It isn't known which model “{name}” was made from, so there is nothing to compare with.",
        "talk.base_gone": "The base model {base}, which “{name}” was made from, can't be found. Put it back where it was, and try again.",
        "talk.memory": "There isn't enough memory for “{name}”: it needs about {needed} GB, and {free} GB are free. Close other programs, or wait until a training run has ended.",
        "talk.killed": "The system ended the model's process, most likely because memory ran out. Close other programs, and ask again.",
        "talk.crashed": "The model's process ended without being asked to. Ask again to start it anew. It last said: {reason}",
        "talk.put_away": "The model was put away in the meantime, to give its memory back or because its files changed. Ask again to load it anew.",
        "talk.busy": "Too many questions at once for “{name}”. Wait until some of them are answered.",
        "talk.failed": "That didn't work: {reason}",
        "talk.writes": "“{name}” writes answers and gives no scores. Scores come from reward models.",
        "talk.scores": "“{name}” is a reward model: it gives scores to answers, and writes none.",
    }
)
