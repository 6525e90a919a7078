"""How long `warmth check` takes on a big run: half a million replies with a judge's verdicts, and their report.

python benchmarks/check.py [FOLDER]      prints what was found, and at the end one line of JSON: `seconds` (limit: 30),
`cpu_seconds` of the same and `peak_gb`. The run is made up as benchmarks/report.py does it, and reported. It is kept in
FOLDER if one is given, and used again if it is there. Then a letter of one reply is changed, which has to be found.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import report
from machine import here

from orchestrator import Study
from orchestrator.store import Store
from orchestrator.tables import Reply

SECONDS = 30


def main() -> int:
    """Make the run unless it is there, and time `warmth check` on it, whole and then not, as processes of their own."""
    with tempfile.TemporaryDirectory() as aside:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else aside).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        made = report.study(folder)
        if not (made.folder / "whole").exists():
            report.fill(made)
        if not (made.folder / "report" / "index.html").exists():
            command("report", made)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        whole, seconds, counted = checked(made)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
        changed = change(made)
        harmed, seconds_harmed, _ = checked(made)
        Store(made.folder).write_rows(*changed)
        figures = {
            "seconds": round(seconds, 1),
            "seconds_harmed": round(seconds_harmed, 1),
            "cpu_seconds": round(cpu, 1),
            "passes": whole,
            "found": not harmed,
            "replies": counted["replies"],
            "peak_gb": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6, 2),
        }
    print(f"{here()}: a run of {figures['replies']:,} replies, checked")
    print(json.dumps(figures))
    return 0 if seconds < SECONDS and whole and not harmed else 1


def command(name: str, made: Study, *more: str) -> str:
    """What a command says of the run; what it finds is no error here."""
    asked = [sys.executable, "-m", "orchestrator", name, *more, str(made.folder)]
    return subprocess.run(asked, check=False, capture_output=True, text=True).stdout


def checked(made: Study) -> tuple[bool, float, dict[str, int]]:
    """Whether the run passes, after how many seconds, and how much was looked at."""
    start = time.perf_counter()
    found = json.loads(command("check", made, "--json"))
    seconds = time.perf_counter() - start
    for each in found["found"][:10]:
        print(f"{each['kind']}: {each['file']}: {each['what']}; {each['cure']}")
    return found["passes"], seconds, found["counted"]


def change(made: Study) -> tuple[list[Reply], type[Reply], str, str, str]:
    """Change a letter of a reply; gives what stood there, to be written back."""
    place, store = made.plan().units[-1].replies, Store(made.folder)
    rows: list[Reply] = store.read_rows(Reply, *place)
    file = store.path(*place)
    file.write_bytes(file.read_bytes().replace(b" remember ", b" remamber ", 1))
    return (rows, Reply, *place)


if __name__ == "__main__":
    sys.exit(main())
