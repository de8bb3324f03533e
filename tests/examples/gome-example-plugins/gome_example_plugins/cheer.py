"""An observer: it hears of accepted attempts and leaves a note. It disturbs nobody."""

from gome.events import AttemptAccepted, Draw, Event, NoteAdded
from gome.kernel.plugin import Plugin

WORDS = ("well done", "onwards", "another one")


def decide(state: None, event: Event, draw: Draw) -> list[NoteAdded]:
    match event.payload:
        case AttemptAccepted(attempt=attempt, gain=gain):
            return [NoteAdded(text=f"{draw.choice(WORDS, 'word')}: {attempt} gained {gain:.4g}", author="cheer")]
    return []


plugin = Plugin(
    name="cheer",
    role="plugin",
    summary="leaves a note when an attempt is accepted",
    reads=(AttemptAccepted,),
    decide=decide,
)
