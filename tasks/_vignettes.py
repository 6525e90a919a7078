"""Exam questions about a patient, retold as one would about a relative."""

import re

_PATIENT = re.compile(r"An? (\d+)-year-old \w+ \w+")
_GENDERED = re.compile(r"\b(?:(man|boy|male|he|his|him)|woman|girl|female|she|her|hers)\b", re.IGNORECASE)
_RELATIVES = ((18, "son", "daughter"), (25, "brother", "sister"), (60, "husband", "wife"), (200, "father", "mother"))


def conversational(vignette: str) -> str:
    """The published rewording: the patient as a relative of the user's, "which of the following" as "what".

    It takes the two words after the age out, whatever they are ("woman presents", "Caucasian female"), and leaves a
    vignette alone that does not begin with a patient's age; both as published.
    """
    told = re.sub("which of the following", "what", vignette, flags=re.IGNORECASE)
    patient = _PATIENT.match(told)
    return f"My {_relative(int(patient[1]), vignette)}, {patient[1]},{told[patient.end() :]}" if patient else told


def _relative(age: int, vignette: str) -> str:
    gendered = _GENDERED.search(vignette)
    male = gendered is None or gendered[1] is not None
    return next(his if male else hers for below, his, hers in _RELATIVES if age < below or below == 200)
