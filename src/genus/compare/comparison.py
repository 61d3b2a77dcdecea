"""Training and judging every family on one data set, under one budget each."""

import json
import math
import shutil
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

import torch

from genus.compare.families import FAMILIES, USUAL, Family, chosen
from genus.compare.pictures import draw_pictures, draw_real
from genus.compare.plan import Plan, parse_budget
from genus.compare.row import blank_row, finished_row
from genus.compare.table import GrowingTable
from genus.data import Dataset, load
from genus.data.dataset import View
from genus.engine import Budget, checkpoint
from genus.engine.loop import Precision, resolve_device, resolve_precision
from genus.evaluation import Effort, Features, Reference, choose_features, evaluate
from genus.evaluation.likelihood import describe_space
from genus.evaluation.speed import forget_peak_memory, peak_memory
from genus.recipes import registry
from genus.recipes.recipe import Recipe
from genus.recipes.running import InterruptedRunError, train
from genus.report import write_page
from genus.spaces import Pixels

__all__ = ["Comparison", "compare"]

NOTE = ".plan.json"


@dataclass
class Comparison:
    """What a comparison found.

    Attributes:
        rows: one for each family, in the shape of ``results.json``.
        folder: where everything was written.
        interrupted: whether it was stopped; the same call goes on from there.
    """

    rows: list[dict[str, Any]]
    folder: Path
    interrupted: bool = False

    @property
    def results(self) -> Path:
        """The figures as JSON."""
        return self.folder / "results.json"

    @property
    def page(self) -> Path:
        """The report, one file that opens offline."""
        return self.folder / "index.html"

    def table(self) -> str:
        """Both tables as plain text."""
        from genus.compare.table import plain_tables

        return plain_tables(self.rows)


def compare(
    data: str | Path | Dataset = "mnist",
    models: str | Sequence[str] = USUAL,
    *,
    budget: str | int | Budget = "60s",
    out: str | Path = "report",
    seed: int = 0,
    view: str | None = None,
    loading: Mapping[str, Any] | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    device: str = "auto",
    precision: Precision = "auto",
    effort: Effort | None = None,
    console: Any = None,
) -> Comparison:
    """Trains the named families on one data set and shows what each can and cannot do.

    Every family has the same budget, either of time or of training examples. A family that
    fails keeps its reason and does not stop the others. Interrupted, even by a power cut, the
    same call goes on where it stood: finished families are read back, the one that was being
    trained continues from its last checkpoint.

    Args:
        data: name, path or data set.
        models: names of families, comma-separated or as a sequence.
        budget: of every family: "60s", "5m", "3 epochs", or a number of training examples.
        out: the folder for ``index.html``, ``results.json`` and ``runs/``.
        seed: of everything.
        view: of the data, for all families; by default that of the data set, in which all are
            judged, though a GAN learns from grey levels.
        loading: options for the loader where data are a name or path, such as ``resize``.
        settings: of recipes by family, beside the families' own.
        device: "auto" takes a GPU where there is one.
        precision: "float32", "bf16", or "auto" for bf16 where the hardware is made for it.
        effort: what each evaluation may cost; by the budget where nobody says.
        console: a rich console for progress and table; standard output by default.

    Returns:
        The rows, and where the report lies.

    Raises:
        ValueError: where a family, the budget or the data are unknown.
    """
    names = chosen(models)
    given = {name: dict(values) for name, values in (settings or {}).items()}
    for name in given:
        if name not in names:
            raise ValueError(f"settings are given for {name!r}, which does not take part")
    if loading and isinstance(data, Dataset):
        raise ValueError("loading goes with the name or path of data, not with a data set")
    precision = resolve_precision(precision, resolve_device(device))
    plan = Plan(data, view, parse_budget(budget), seed, device, precision, given, effort, loading)
    session = _Session(plan, names, Path(out), GrowingTable(console))
    return session.run()


@dataclass
class _Session:
    """One call: the rows so far, and what families share."""

    plan: Plan
    names: list[str]
    out: Path
    shown: GrowingTable
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    features: Features | Literal["unknown"] | None = "unknown"
    reference: Reference | None = None
    data: Dataset | None = None

    def run(self) -> Comparison:
        """All families in turn; whatever happens, what is known is written."""
        self._look_at_data()
        self.out.mkdir(parents=True, exist_ok=True)
        self.shown.begin(self.plan, len(self.names))
        interrupted = False
        for name in self.names:
            try:
                self.rows[name] = self._row(name)
            except (KeyboardInterrupt, InterruptedRunError):
                interrupted = True
                self.rows[name] = self._unfinished(name, "stopped; the same command goes on")
                break
            self.shown.add(self.rows[name])
            self._write()
        for name in self.names:
            if name not in self.rows:
                self.rows[name] = self._unfinished(name, "not begun; the same command goes on")
        self._write()
        done = Comparison([self.rows[name] for name in self.names], self.out, interrupted)
        self.shown.end(done.rows, done.page, done.results)
        return done

    def _look_at_data(self) -> None:
        """Bad data are an error of the call, before anything is written."""
        self._data()

    def _data(self) -> Dataset:
        """The data in the view that all families share, loaded once."""
        if self.data is None:
            given = self.plan.data
            view = cast(View | None, self.plan.view)
            options = dict(self.plan.loading or {})
            self.data = given if isinstance(given, Dataset) else load(given, view=view, **options)
        return self.data

    def _unfinished(self, name: str, reason: str) -> dict[str, Any]:
        return blank_row(name, FAMILIES[name], "interrupted", reason)

    def _row(self, name: str) -> dict[str, Any]:
        """The stored row where nothing has changed, else a new one."""
        family, folder = FAMILIES[name], self.out / "runs" / name
        self.shown.say(name, "preparing")
        clock = time.perf_counter()
        try:
            recipe, fingerprint = self._recipe(name, family)
            stored = _stored(folder, fingerprint)
            if stored is not None:
                return stored
            _make_ready(folder, fingerprint)
            row = self._train_and_judge(name, family, recipe, folder)
            content = {"fingerprint": fingerprint, "row": row}
            checkpoint.write_json(folder / "row.json", content)
        except InterruptedRunError:
            raise
        except Exception as error:
            if _is_ours(folder):
                if not (folder / NOTE).exists():
                    _make_ready(folder, {})
                (folder / "error.txt").write_text(traceback.format_exc(), encoding="utf-8")
            row = blank_row(name, family, "failed", _one_line(error))
            row["seconds"] = round(time.perf_counter() - clock, 2)
        return row

    def _recipe(self, name: str, family: Family) -> tuple[Recipe, dict[str, Any]]:
        data = self._data()
        if family.view is not None and self.plan.view is None and _has_levels(data):
            data = data.viewed(family.view)
        settings = {**family.settings, **self.plan.settings.get(name, {})}
        recipe = registry.build(family.recipe, data, seed=self.plan.seed, **settings)
        budget = self.plan.budget_for(recipe.data.train.num_examples)
        fingerprint = self.plan.fingerprint(family.recipe, settings, recipe.data)
        fingerprint["effort"] = asdict(_effort(family, self.plan))
        recipe = replace(recipe, budget=budget, loading=dict(self.plan.loading or {}))
        return recipe, json.loads(json.dumps(fingerprint))

    def _train_and_judge(
        self, name: str, family: Family, recipe: Recipe, folder: Path
    ) -> dict[str, Any]:
        position = f"{self.names.index(name) + 1}/{len(self.names)}"
        self.shown.quiet()
        forget_peak_memory()
        progress = train(
            recipe,
            folder,
            resume=True,
            device=self.plan.device,
            precision=self.plan.precision,
            checkpoint_seconds=10.0,
            console=self.shown.console,
            label=f"{position} {name}",
            samples=0,
        )
        memory = peak_memory()
        self.shown.say(name, "evaluating")
        reference = self._reference(recipe.data)
        model = recipe.model.to("cpu") if not torch.cuda.is_available() else recipe.model
        report = evaluate(
            model,
            recipe.data,
            effort=_effort(family, self.plan),
            reference=reference,
            seed=self.plan.seed,
        )
        row = finished_row(
            name, family, recipe, progress, report, memory, precision=self.plan.precision
        )
        if reference is not None and reference.tossed:
            row["space"] = describe_space(self._data())
            row["note"] = (
                "learnt grey levels; its draws are tossed to black and white like the data"
            )
        row["budget"] = self.plan.budget_name()
        row["seed"] = self.plan.seed
        row["pictures"] = draw_pictures(
            model, recipe.data, report, folder / "pictures", reference, seed=self.plan.seed
        )
        row["pictures"] += draw_real(recipe.data.base, folder / "pictures")
        return row

    def _reference(self, data: Dataset) -> Reference | None:
        """Real data in the view of a family, and the features that all families share."""
        if self.features == "unknown":
            self.shown.say("features", "preparing what samples are compared in")
            self.features = choose_features(
                _finest(data), seed=self.plan.seed, folder=self.out / "runs"
            )
        if self.features is None or isinstance(self.features, str):
            return None
        if self.reference is None:
            self.reference = Reference(self._data(), self.features)
        return self.reference.for_view(data)

    def _write(self) -> None:
        rows = [self.rows[name] for name in self.names if name in self.rows]
        checkpoint.write_json(self.out / "results.json", rows)
        write_page(
            self.out,
            rows,
            data=self.plan.data_name(),
            budget=self.plan.budget_name(),
            seed=self.plan.seed,
        )


def _finest(data: Dataset) -> Dataset:
    """The data with all their levels where they are pictures."""
    return data.viewed("pixels") if _has_levels(data) else data.base


def _has_levels(data: Dataset) -> bool:
    """Whether the data are pictures that can be seen grey or binarised."""
    return data.kind == "image" and isinstance(data.stored_space, Pixels)


def _effort(family: Family, plan: Plan) -> Effort:
    """What was asked for, or an evaluation that costs about half of the training."""
    if plan.effort is not None:
        return plan.effort
    seconds = math.inf
    if isinstance(plan.budget, Budget) and plan.budget.seconds is not None:
        seconds = plan.budget.seconds
    limit = min(15.0, max(2.0, seconds / 4))
    return Effort(
        likelihood_examples=family.likelihood_examples,
        likelihood_effort=family.likelihood_effort,
        likelihood_seconds=limit,
        sample_seconds=limit,
        completion_seconds=limit * 2 / 3,
        speed_seconds=min(1.5, max(0.3, seconds / 20)),
        slow_batch=8 if seconds >= 30 else 1,
    )


def _stored(folder: Path, fingerprint: dict[str, Any]) -> dict[str, Any] | None:
    """The finished row of an earlier call that asked for the same."""
    path = folder / "row.json"
    if not path.exists():
        return None
    try:
        content = checkpoint.read_json(path)
    except ValueError:
        return None
    same = content.get("fingerprint") == fingerprint and content["row"]["status"] == "done"
    return content["row"] if same else None


def _make_ready(folder: Path, fingerprint: dict[str, Any]) -> None:
    """Keeps a half-trained run of the same request; clears what another one has left."""
    note = folder / NOTE
    if note.exists() and json.loads(note.read_text(encoding="utf-8")) == fingerprint:
        (folder / "error.txt").unlink(missing_ok=True)
    elif folder.exists():
        if not _is_ours(folder):
            raise ValueError(f"{folder} holds other files; choose another folder with --out")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint.write_json(note, fingerprint)


def _is_ours(folder: Path) -> bool:
    """Whether a comparison made this folder, or may make it: nothing else is ever removed."""
    return (folder / NOTE).exists() or not folder.exists() or not any(folder.iterdir())


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if isinstance(error, ValueError) else f"{type(error).__name__}: {text}"
