"""Which runs are to be made, in which order, and what becomes of each."""

from . import environment
from .supervisor import Lost, Worker

__all__ = ["Runner", "budget", "expected"]

_LOAD_SECONDS = 600.0
# Sparse factors that decide the class may fill up without end; a probe decides then.
_CLASSIFY_SECONDS = 30.0
BUDGET_LEAST, BUDGET_MOST = 5_000, 40_000

# Only these are worth a repeat: a failure would be the same again.
_REPEATED = ("converged",)


def budget(n, given=None):
    """Return the products that a run may spend: 20 n, at least 5,000, at most 40,000."""
    return given or min(max(20 * n, BUDGET_LEAST), BUDGET_MOST)


def expected(rows, names, repeats):
    """Return the (method, repeat) still missing for a problem, repeats outermost.

    Parameters
    ----------
    rows : dict
        (method, repeat) -> row, those that are there.
    names : sequence of str
        Methods of this problem.
    repeats : int
        Wanted; only a method that converged in repeat 0 is repeated.
    """
    first = [(name, 0) for name in names if (name, 0) not in rows]
    again = [
        (name, repeat)
        for repeat in range(1, repeats)
        for name in names
        if (name, repeat) not in rows
        and rows.get((name, 0), {}).get("status", "converged") in _REPEATED
    ]
    return first + again


class Runner:
    """Runs every method on every problem, each problem in a process of its own.

    Parameters
    ----------
    journal : Journal
        Where rows go.
    settings : dict
        See `bench.run`.
    methods : dict
        Name -> Method, those that may be run.
    named : bool
        Whether the user named them: then they are also run on kinds of matrices that
        they are not meant for.
    progress : Progress
        Told what happens.
    """

    def __init__(self, journal, settings, methods, named, progress):
        self.journal = journal
        self.settings = settings
        self.methods = methods
        self.named = named
        self.progress = progress
        self.worker = None
        self._headed = False

    def _start(self):
        """Start a worker; the first one knows what the header tells."""
        self.worker = Worker(self.settings)
        if not self._headed:
            self.journal.append(environment.header(self.settings, self.worker.ready))
            self._headed = True

    def run(self, sources):
        """Make all rows that are missing."""
        try:
            for source in sources:
                self._problem(source)
        finally:
            self._end()

    def _rows(self, source):
        done = self.journal.done()
        return {(m, r): row for (p, m, r), row in done.items() if p == source.problem}

    def _names(self, kind):
        return [
            name
            for name, method in self.methods.items()
            if self.named or kind in method.classes
        ]

    def _problem(self, source):
        rows = self._rows(source)
        known = next(iter(rows.values()), None)
        if known is not None:
            names = self._names(known["class"])
            unusable = known["class"] is None
            if unusable or not expected(rows, names, self.settings["repeats"]):
                self.progress.problem(source, skipped=True)
                return
        self.progress.problem(source)
        facts = self._load(source)
        if facts["event"] != "loaded":
            self._write(source, facts, "none", 0, _verdict(facts))
            return
        self._methods(source, facts)
        # The next problem gets a process of its own.
        self._end()

    def _methods(self, source, facts):
        names = self._names(facts["kind"])
        for name, repeat in expected(self._rows(source), names, self.settings["repeats"]):
            first = self._rows(source).get((name, 0))
            if repeat and first and first["status"] not in _REPEATED:
                continue
            if self.worker is None:
                again = self._load(source, facts)
                if again["event"] != "loaded":
                    self._write(source, facts, name, repeat, _verdict(again))
                    continue
            self.progress.run(name, repeat)
            self._one(source, facts, name, repeat)

    def _end(self):
        if self.worker is not None:
            self.worker.end()
            self.worker = None

    def _load(self, source, facts=None):
        """Load a problem, in a fresh worker where there is none; return the answer."""
        request = {"do": "load", "source": source.to_dict()}
        if facts is not None:
            told = {"kind": facts["kind"], "evidence": facts["evidence"]}
            return self._ask(_LOAD_SECONDS, **request, **told)
        answer = self._ask(_CLASSIFY_SECONDS, **request)
        if answer["event"] == "timeout":
            answer = self._ask(_LOAD_SECONDS, **request, factorise=False)
        return answer

    def _ask(self, seconds, **request):
        try:
            if self.worker is None:
                self._start()
            return self.worker.ask(seconds, **request)
        except Lost as lost:
            self.worker = None
            return {"event": lost.status, "reason": f"loading: {lost.reason}"}

    def _one(self, source, facts, name, repeat):
        """Make one run and write its row."""
        limit = self.settings["time_limit"]
        allowed, why = self._budget(source, facts, name)
        solver = facts["solver"]
        record = repeat == 0 and (
            (solver == "cg" and facts["kind"] == "spd")
            or (self.settings["history"] and solver in ("cg", "bicgstab", "minres"))
        )
        request = {"do": "run", "method": name, "budget": allowed, "record": record}
        answer, more = {}, {}
        try:
            answer = self.worker.ask(limit, **request)
            if record and "iterations" in answer:
                more = self.worker.more(limit)
        except Lost as lost:
            # What was being recorded apart is lost alone; the row stands.
            answer = answer or {"status": lost.status, "reason": lost.reason}
            self.worker = None
        row = {k: v for k, v in {**answer, **more}.items() if k != "event"}
        if why and "budget of" in row.get("reason", ""):
            row["reason"] += why
        self._write(source, facts, name, repeat, {**row, "budget": allowed})

    def _budget(self, source, facts, name):
        """Return the products allowed: for cg no more than a multiple of plain CG's."""
        allowed = budget(facts["n"], self.settings["budget"])
        plain = self._rows(source).get(("none", 0))
        if name == "none" or facts["solver"] != "cg" or not plain:
            return allowed, ""
        if plain["status"] != "converged":
            return allowed, ""
        factor = self.settings["work_limit"]
        relative = max(int(factor * plain["products"]), BUDGET_LEAST)
        if relative >= allowed:
            return allowed, ""
        return relative, f" ({factor:g} times plain CG's, at least {BUDGET_LEAST})"

    def _write(self, source, facts, name, repeat, answer):
        row = {
            "kind": "row",
            "problem": source.problem,
            "source": source.source,
            "n": facts.get("n"),
            "nnz": facts.get("nnz"),
            "class": facts.get("kind"),
            "class_evidence": facts.get("evidence"),
            "field": facts.get("field"),
            "solver": facts.get("solver"),
            "method": name,
            "repeat": repeat,
            "status": "failed",
            "reason": "",
            "iterations": 0,
            "products": 0,
            "setup_products": 0,
            "applications": 0,
            "setup_seconds": 0.0,
            "solve_seconds": 0.0,
            "residual": None,
            "degree": None,
            "rtol": self.settings["rtol"],
            "budget": 0,
            "tolerances": {},
            "area": None,
            "rhs": "random seed 7",
        }
        row.update(answer)
        self.journal.append(row)
        self.progress.row(row)


def _verdict(answer):
    return {"status": answer["event"], "reason": answer["reason"]}
