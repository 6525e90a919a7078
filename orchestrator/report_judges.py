"""What is known about the judges, as tables of text: whom they agree with, and what follows for the effects. Pure."""

import polars as pl

from .combined import ESTIMATES
from .effects import BELIEFS
from .findings import Findings
from .report_tables import Row, Table, interval, latest, series


def tables(findings: Findings) -> list[tuple[str, list[Table]]]:
    """The tables about judges, by heading; a heading without any has nothing to tell."""
    return [
        ("Agreement between judges", agreement(findings)),
        ("Errors by verdicts on all replies and dearer ones on a sample", combined(findings)),
        ("Judges against people's marks", calibration(findings)),
        ("Effects on error as judged, and corrected by people's marks", corrected(findings)),
        ("Verdicts that change with the style", flips(findings)),
    ]


def marked(findings: Findings) -> list[Table]:
    """What people's marks and other styles tell; nothing where neither was asked for."""
    return [*combined(findings), *calibration(findings), *corrected(findings), *flips(findings)]


def combined(findings: Findings) -> list[Table]:
    """What a cheap judge says of all replies, a dear one of a sample, and both together; none without a sample."""
    found = [
        latest(frame).filter(pl.col("belief").is_in(["all", "none", BELIEFS]))
        for frame in (findings.combined, findings.combined_effects)
        if len(frame)
    ]
    if not found:
        return []
    shares, differences = (series(each, findings).rows(named=True) for each in found)
    rows = [(*_who(row, row["series"]), *_combined(row, "pct", ".1f")) for row in shares]
    rows += [
        (*_who(row, f"{row['series']} vs {row['baseline']}"), *_combined(row, "pp", "+.1f")) for row in differences
    ]
    heads = ("model", "persona", "belief", "replies", "of them\nsampled", "cheap", "sample alone", "combined")
    judges = " and ".join(
        f"{row[1]} on all, {row[0]} on a sample"
        for row in findings.combined.select("judge", "sampled_from").unique().rows()
    )
    note = (
        f"{judges}; errors in %, differences in points; 95 % intervals over questions; combined: the difference "
        "estimator (prediction-powered inference), unbiased however biased the cheap judge is"
    )
    return [Table("", heads, rows, labels=3, note=note)]


def _who(row: Row, name: str) -> tuple[str, ...]:
    return row["model"], name, row["belief"], f"{row['n']:,}", f"{row['asked']:,}"


def _combined(row: Row, unit: str, form: str) -> tuple[str, ...]:
    values = [[row[f"{name}_{unit}{end}"] for end in ("", "_low", "_high")] for name in ESTIMATES]
    return tuple(f"{value:{form}} {interval(low, high, form)}" for value, low, high in values)


def agreement(findings: Findings) -> list[Table]:
    """How far judges agree; none where there is one judge."""
    heads = ("judges", "persona", "of", "replies", "alike, %", "Cohen's kappa", "Krippendorff's alpha")
    forms = ("", "", "", ",", ".1f", ".2f", ".2f")
    rows = [
        tuple("" if cell is None else f"{cell:{form}}" for cell, form in zip(row, forms, strict=True))
        for row in findings.agreement.rows()
    ]
    note = "of: whether they name the same outcome, or agree on whether it is an error"
    return [Table("", heads, rows, labels=3, note=note)] if rows else []


def calibration(findings: Findings) -> list[Table]:
    """How often each judge is right by persona, on errors and on the rest."""
    rows = [
        (
            row["judge"],
            row["persona"],
            str(row["n"]),
            str(row["errors"]),
            _share(row, "sensitivity"),
            _share(row, "specificity"),
        )
        for row in findings.calibration.rows(named=True)
    ]
    heads = ("judge", "persona", "marks", "errors", "sensitivity, %", "specificity, %")
    note = "marks weighted to stand for all replies of their persona; Wilson's 95 % intervals at the marks' worth"
    return [Table("", heads, rows, labels=2, note=note)] if rows else []


def _share(row: Row, name: str) -> str:
    if row[name] is None:
        return "not measured"
    low, high = (None if row[f"{name}_{end}"] is None else 100 * row[f"{name}_{end}"] for end in ("low", "high"))
    return f"{100 * row[name]:.1f} {interval(low, high, '.1f')}"


def corrected(findings: Findings) -> list[Table]:
    """Effects at the last epoch as judged and put right, beside one another."""
    found = series(latest(findings.corrected), findings) if len(findings.corrected) else findings.corrected
    rows = [
        (
            row["model"],
            f"{row['series']} vs {row['baseline']}",
            row["belief"],
            row["judge"],
            str(row["n"]),
            _effect(row, "effect_pp", "ci"),
            _effect(row, "corrected_pp", "corrected"),
        )
        for row in found.rows(named=True)
    ]
    heads = ("model", "persona", "belief", "judge", "pairs", "error as judged, pp", "error corrected, pp")
    note = (
        "corrected: Rogan and Gladen's estimate with each persona's own sensitivity and specificity; 95 % intervals "
        "over questions and marks drawn again"
    )
    return [Table("", heads, rows, labels=4, note=note)] if rows else []


def _effect(row: Row, value: str, ends: str) -> str:
    if row[value] is None:
        return "not known"
    return f"{row[value]:+.1f} {interval(row[f'{ends}_low_pp'], row[f'{ends}_high_pp'])}"


def flips(findings: Findings) -> list[Table]:
    """How many verdicts change when a reply is said in another style."""
    rows = [
        (
            row["judge"],
            row["style"],
            str(row["n"]),
            "not known"
            if not row["n"]
            else f"{row['flipped_pct']:.1f} {interval(row['flipped_low'], row['flipped_high'], '.1f')}",
            *("" if row[name] is None else f"{row[name]:.1f}" for name in ("to_error_pct", "to_right_pct")),
            str(row["unscored"]),
        )
        for row in findings.flips.rows(named=True)
    ]
    heads = ("judge", "style", "verdicts", "changed, %", "into errors, %", "out of errors, %", "unscored")
    note = "the same content in another style; `same` is the reply as it was: the judge's own noise"
    return [Table("", heads, rows, labels=2, note=note)] if rows else []
