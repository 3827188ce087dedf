"""Talking with models: each loaded by a process of its own, asked by several people at once, put away when nobody asks.

Call from the event loop only.
"""

from autotrain.app.talks.conversation import Answer, Conversation, Settings, Turn
from autotrain.app.talks.problem import TalkProblem
from autotrain.app.talks.scoring import Scoring
from autotrain.app.talks.subject import Subject, embedded_subject, embedded_subjects, subject_of
from autotrain.app.talks.talks import Piece, Question, Talk, Talks

__all__ = [
    "Answer",
    "Conversation",
    "Piece",
    "Question",
    "Scoring",
    "Settings",
    "Subject",
    "Talk",
    "TalkProblem",
    "Talks",
    "Turn",
    "embedded_subject",
    "embedded_subjects",
    "subject_of",
]
