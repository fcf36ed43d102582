"""Questions of six kinds, as in TREC-coarse: the text says which kind, to somebody who reads it.

The real questions (the validated set that comes with OOLONG) can be used instead: `load`. Ours are made of templates,
so that they can be shipped; as many distinct ones as the real set has, in the same style ("... ?").
"""

import random
from pathlib import Path

from tests.bench.rlm.instances import DataError, words
from tests.bench.rlm.real_files import records, text_of

LABELS = (
    "abbreviation",
    "entity",
    "description and abstract concept",
    "human being",
    "location",
    "numeric value",
)
TREC_FIELDS = frozenset({"input", "label"})
DISTINCT_QUESTIONS = 5_400

_PLACES = words("Bolivia Canada Denmark Egypt Fiji Ghana Hungary Iceland Jordan Kenya Laos Malta Nepal Oman Peru Qatar")
_THINGS = words(
    "telescope typewriter submarine piano compass bicycle zipper thermometer parachute barometer microscope gramophone "
    "lighthouse windmill printing-press steam-engine umbrella pencil harmonica elevator"
)
_ANIMALS = words("otter badger heron lynx ibex tapir walrus gecko condor marmot bison osprey")
_CONCEPTS = words(
    "osmosis inflation irony entropy photosynthesis perjury gravity nostalgia erosion arbitrage dementia sonar "
    "quarantine federalism meditation torque"
)
_YEARS = range(1850, 1990)

_TEMPLATES: dict[str, tuple[str, ...]] = {
    "abbreviation": (
        "What does {letters} stand for ?",
        "What is the abbreviation of the {place} {thing} society ?",
        "What is the full form of {letters} ?",
        "What does the acronym {letters} mean in {concept} ?",
    ),
    "entity": (
        "What {animal} is shown on the coat of arms of {place} ?",
        "What instrument was played beside the {thing} in {year} ?",
        "What is a young {animal} called in {place} ?",
        "What dish is eaten with a {thing} in {place} ?",
    ),
    "description and abstract concept": (
        "What is {concept} as taught in {place} ?",
        "Why does a {thing} make an {animal} nervous in {year} ?",
        "How does a {thing} work in {place} ?",
        "What is the origin of the word {concept} in {place} ?",
    ),
    "human being": (
        "Who invented the {thing} of {year} ?",
        "Who was the first {thing} maker of {place} ?",
        "Name the painter of the {animal} and the {thing} .",
        "Which actress kept an {animal} in {place} ?",
    ),
    "location": (
        "Where in {place} is the {thing} museum ?",
        "What city in {place} was famous for its {thing} ?",
        "What country exported the {thing} in {year} ?",
        "Which river in {place} has the {animal} ?",
    ),
    "numeric value": (
        "How many {animal}s lived in {place} in {year} ?",
        "When was the {thing} brought to {place} ?",
        "How much did a {thing} weigh in {year} ?",
        "What is the population of the {animal} in {place} ?",
    ),
}


def generated() -> dict[str, str]:
    """The label of each question, by its text. Always the same ones."""
    chance = random.Random("trec-coarse-like questions")
    labels: dict[str, str] = {}
    while len(labels) < DISTINCT_QUESTIONS:
        label = LABELS[len(labels) % len(LABELS)]
        labels.setdefault(
            chance.choice(_TEMPLATES[label]).format(
                letters="".join(chance.choices("ABCDEFGHILMNOPRSTUW", k=chance.randint(3, 5))),
                place=chance.choice(_PLACES),
                thing=chance.choice(_THINGS),
                animal=chance.choice(_ANIMALS),
                concept=chance.choice(_CONCEPTS),
                year=chance.choice(_YEARS),
            ),
            label,
        )
    return labels


def load(path: Path) -> dict[str, str]:
    """The same from a file like OOLONG's trec_coarse_validated.jsonl: {"input": question, "label": label} a line."""
    labels: dict[str, str] = {}
    for record in records(path, TREC_FIELDS, "OOLONG's trec_coarse_validated.jsonl"):
        label = text_of(record, "label", path)
        if label not in LABELS:
            raise DataError(f"{path}: {label!r} is not one of the labels {', '.join(LABELS)}")
        labels[" ".join(text_of(record, "input", path).split())] = label
    absent = sorted(set(LABELS) - set(labels.values()))
    if absent:
        raise DataError(f"{path} has no questions with the label {', '.join(absent)}")
    return labels
