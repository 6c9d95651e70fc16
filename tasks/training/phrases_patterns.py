"""The sentences round a word of feeling: "#" is the word; "(a|b)" and "{person}" as in the scenes beside this file.

They stand for every emotion alike, so that nothing but the word itself tells the feeling.
"""

from __future__ import annotations

ADJECTIVE: tuple[str, ...] = (
    "#", "#", "#", "{they} is #", "{they} sounds #", "{they} looks #", "a # (voice|face|expression|person|tone|look)",
    "in a # (tone|voice|way|mood)", "make it #", "{they} feels # {day}", "(looking|sounding|feeling|being|getting) #",
    "be #", "I'm (so |)# {day}", "# (about|because of|after|at) {thing}", "# when {person} talks about {thing}",
    "# {place}", "# because {person} called", "(he|she) (seems|became|grew|appears|was) #", "# (and|but) quiet",
    "it makes {them} #", "(leaves|left) # by {thing}", "#, talking to {person}", "{person} is #", "you (look|seem) #",
    "# that {person} is {place}", "# to (see|hear|meet) {person}", "# as can be", "like (someone|a person) who is #",
    "so # that {they} can hardly speak", "# (with|towards) {person}", "# to the core", "# beyond words",
)  # fmt: skip
ADVERB: tuple[str, ...] = (
    "#", "#", "{they} speaks #", "speak #", "(says|said) it #", "talking #", "{they} (answers|replies|looks up) #",
    "# (asking|telling|answering) {person}", "{they} talks # about {thing}", "# {place}", "speaking # to {person}",
)  # fmt: skip
NOUN: tuple[tuple[str, ...], ...] = (
    ("a (hint|touch|trace|flicker) of #", "some #", "a little #", "with (mild|slight|faint|a bit of) #"),
    (
        "with #", "#", "#", "(expressing|showing|feeling) #", "full of #", "# in (his|her|the) (voice|eyes|face)",
        "(voice|face|look) of #", "# (about|over|because of) {thing}", "a (feeling|sense|tone|moment) of #",
        "filled with #", "# at the sight of {person}", "{they} speaks with #",
    ),
    (
        "pure #", "(overwhelming|extreme|boundless|utter) #", "nothing but #", "overcome (by|with) #", "mad with #",
        "(consumed|seized) by #", "the (greatest|deepest) #", "such # as never before",
    ),
)  # fmt: skip
VERB: dict[str, tuple[str, ...]] = {
    "ing": (
        "#", "#", "{they} is #", "(keeps|starts|cannot stop|stands there|speaking while) #", "# {place}", "#, {day}",
        "# as {person} talks about {thing}", "{person}, #", "# (about|because of) {thing}",
    ),
    "s": ("{they} #", "(he|she) #", "{person} #", "(he|she) # {place}", "{they} # when {person} comes in"),
    "base": ("#", "(I want to|about to|it makes {them}|enough to make one) #", "I # {day}", "they # {place}"),
}  # fmt: skip
SCENE: tuple[str, ...] = (
    "#", "#", "#", "#", "{they} speaks, #", "{they} is talking #", "as if #", "# {day}", "#, {they} says", "#!",
    "like someone who thinks: #",
)  # fmt: skip
DENIED: tuple[str, ...] = (
    "not #", "not # at all", "no longer #", "neither # nor anything else", "{they} is not #", "without being #",
    "(he|she) (isn't|is no longer|never gets) #", "don't be #",
)  # fmt: skip
BESIDE: tuple[str, ...] = (
    "# {place}", "# {day}", "{person}, #", "talking about {thing}, #", "#, talking to {person}", "#, {person} {place}",
    "{place}, #", "#, with {thing}", "# as {person} listens", "when it comes to {thing}, #", "{thing}: #",
    "{they} {deed}, #", "{they} {deed}, #", "#, {they} {deed}", "as {they} {deed}, #", "# when {person} {deed}",
    "(like|as) someone who {deed}, #",
)  # fmt: skip
