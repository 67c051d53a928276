"""The loop that all strategies share: alphas, then weights, step by step; a checkpoint every so many steps.

Everything random in a step is a function of (seed, epoch, step): a search on a CPU that was killed anywhere and called
again ends with the bits of one that was not.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nasdrop.drop import Draw
from nasdrop.errors import RunFolderError
from nasdrop.searchers.evaluators import Stopped
from nasdrop.searchers.gradient import diagnostics, records
from nasdrop.searchers.gradient.batches import Halves
from nasdrop.searchers.gradient.checks import check
from nasdrop.searchers.gradient.mixture import Mixture, Moment
from nasdrop.searchers.gradient.part import Part
from nasdrop.searchers.gradient.report import SearchEpoch
from nasdrop.searchers.gradient.stages import shrunk, stages
from nasdrop.searchers.gradient.stopping import stop
from nasdrop.searchers.result import Observer
from nasdrop.searchers.training import Training
from nasdrop.settings import GradientSettings
from nasdrop.space import Genotype
from nasdrop.train import Recorder, learning_rate
from nasdrop.train import checkpoint as checkpoints
from nasdrop.train.device import derive_seed, deterministic, isolated_rng, peak_memory, seed_rng
from nasdrop.train.optim import refuse_divergence
from nasdrop.train.ranks import ALONE, Ranks

WEIGHTS_LOSS, CORRECT, WEIGHTS_NORM, ALPHAS_LOSS, ALPHAS_NORM, ALPHAS_STEPS = range(6)


class Loop:
    """Trains a supernet and its alphas, from the start or from a checkpoint.

    Args:
        training: the experiment, its space and its data.
        settings: of the search.
        checkpoint: the file that the search is kept in; it stays when the search is over.
        observer: is told what happens.
        ranks: the processes that share the search.
        stop: when set, the search ends after its epoch.

    Raises:
        ConfigError: settings do not fit each other.
        DataError: there are too few images.
    """

    def __init__(
        self,
        training: Training,
        settings: GradientSettings,
        *,
        checkpoint: Path,
        observer: Observer,
        ranks: Ranks = ALONE,
        stop: threading.Event | None = None,
    ) -> None:
        self.stop = stop or threading.Event()
        self.training, self.settings, self.observer, self.ranks = training, settings, observer, ranks
        self.checkpoint, self.seed, self.space = checkpoint, training.experiment.seed, training.space
        self.stages = stages(settings)
        self.epochs = settings.epochs * len(self.stages)
        self.halves = Halves(training.data, settings, self.seed)
        self.history: list[SearchEpoch] = []
        self.step = 0
        check(settings, ranks, training.device)
        self.part = self._make_part(0)
        self._clear()

    def run(self) -> Genotype:
        """Search until the budget is spent or a rule stops the search; the cell that it ends with.

        Raises:
            DivergedError: a loss is NaN or infinite.
            RunFolderError: the checkpoint is damaged or belongs to another search.
            Stopped: `stop` was set before the budget was spent.
        """
        if self.checkpoint.exists():
            self._resume()
        for report in self.history:
            self._tell(report)
        exact = deterministic(enabled=self.settings.deterministic)
        with exact, isolated_rng(self.training.device), self._recorder() as recorder:
            while (stopped := self._stopped()) is None and len(self.history) < self.epochs:
                if self.stop.is_set():
                    raise Stopped
                self._run_epoch(recorder)
        self.part.supernet.eval()
        kept = self.history[-1] if stopped is None else self.history[stopped[0]]
        if stopped is not None:
            self.observer.note(f"stopped after epoch {len(self.history)}: {stopped[1]}; kept: epoch {kept.epoch + 1}")
        return Genotype.from_json(kept.genotype)

    def _run_epoch(self, recorder: Recorder | None) -> None:
        epoch = len(self.history)
        stage, local = divmod(epoch, self.settings.epochs)
        if self.step == 0:
            self._enter(stage, local)
        self._train(epoch, local)
        report = self._report(epoch, stage)
        self.history.append(report)
        self.step = 0
        self._clear()
        if recorder:
            records.record(recorder, self.history, self.part)
        self._save()
        self._tell(report)

    def _train(self, epoch: int, local: int) -> None:
        """The steps of an epoch, from where a checkpoint left it."""
        self._started, self._first = time.perf_counter(), self.step
        self.part.supernet.train()
        self.part.enter_epoch(local)
        batches = self.halves.batches(epoch, self.step)
        alpha_batches = self.halves.alpha_batches(epoch, self.step)
        for batch in batches:
            self._take_step(epoch, local, self._rows(batch), alpha_batches)
            self.step += 1
            if self.step % self.settings.checkpoint_steps == 0 and self.step < self.halves.steps:
                self._save()

    def _take_step(self, epoch: int, local: int, batch: tuple[Tensor, Tensor], alpha_batches: Any) -> None:
        """The alphas' step, then the weights', on rows of this rank."""
        part, step, totals = self.part, self.step, self.totals
        whole = local * self.halves.steps + step
        rate = learning_rate(self.settings, whole, self.halves.steps, self.settings.epochs)
        learns = part.strategy.has_alphas and local >= self.settings.alpha_start
        if part.strategy.one_level:
            mixture, paths = self._draw(epoch, step, len(batch[1]))
            found = part.learner.step_both(batch, mixture, paths, rate, learns=learns)
            totals[WEIGHTS_LOSS : WEIGHTS_NORM + 1] += found[:3]
            totals[ALPHAS_NORM] += found[3]
            totals[ALPHAS_STEPS] += float(learns)
            return
        if learns:
            totals[ALPHAS_LOSS : ALPHAS_NORM + 1] += self._step_alphas(
                epoch, batch, self._rows(next(alpha_batches)), rate
            )
            totals[ALPHAS_STEPS] += 1.0
        mixture, paths = self._draw(epoch, step, len(batch[1]))
        totals[WEIGHTS_LOSS : WEIGHTS_NORM + 1] += part.learner.step_weights(batch, mixture, paths, rate)

    def _step_alphas(
        self, epoch: int, train: tuple[Tensor, Tensor], valid: tuple[Tensor, Tensor], rate: float
    ) -> Tensor:
        learner = self.part.learner
        mixture, paths = self._draw(epoch, self.step, len(valid[1]), "alphas")
        if getattr(self.settings, "order", 1) == 1:
            return learner.step_alphas(valid, mixture, paths)
        inner = self.part.paths(len(train[1]), epoch, self.step, "unrolled")
        return learner.step_unrolled(train, valid, (inner, paths), rate)

    def _draw(self, epoch: int, step: int, rows: int, purpose: str = "") -> tuple[Mixture, Draw]:
        """Mixture and masks of a pass; then torch's generators are seeded for what layers draw in it."""
        seed_rng(self.part.device, derive_seed(self.seed, epoch, step, purpose, "mixture"))
        mixture = self.part.learner.mix(Moment(self.seed, epoch, self.epochs, step))
        paths = self.part.paths(rows, epoch, step, purpose)
        seed_rng(self.part.device, derive_seed(self.seed, epoch, step, purpose, self.ranks.rank))
        return mixture, paths

    def _rows(self, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return self.ranks.rows(batch[0]), self.ranks.rows(batch[1])

    def _report(self, epoch: int, stage: int) -> SearchEpoch:
        part = self.part
        self.ranks.average([self.totals])
        self.ranks.average([buffer for buffer in part.supernet.buffers() if buffer.is_floating_point()])
        totals = (self.totals / self.halves.steps).tolist()
        seconds = time.perf_counter() - self._started
        refuse_divergence("training", totals[WEIGHTS_LOSS], epoch)
        alpha_steps = totals[ALPHAS_STEPS]
        alphas_loss = totals[ALPHAS_LOSS] / alpha_steps if alpha_steps and not part.strategy.one_level else None
        shares = part.shares()
        genotype = part.genotype()
        counts = part.draws.counts(epoch)
        before = Genotype.from_json(self.history[-1].genotype) if self.history else genotype
        steps = self.halves.steps
        return SearchEpoch(
            epoch=epoch,
            epochs=self.epochs,
            stage=stage,
            weights_loss=totals[WEIGHTS_LOSS],
            train_accuracy=totals[CORRECT],
            alphas_loss=alphas_loss,
            valid=part.score(self.training.data),
            entropy=diagnostics.entropy(shares),
            skip_share=diagnostics.skip_shares(shares, part.strategy.columns),
            skips=diagnostics.skips(genotype),
            kept={cell.name: len(cell.edges) for cell in genotype.cells},
            changes=diagnostics.changes(genotype, before),
            moved=diagnostics.largest_change(shares, part.first_shares),
            weights_norm=totals[WEIGHTS_NORM],
            alphas_norm=totals[ALPHAS_NORM] / alpha_steps if alpha_steps else 0.0,
            eigenvalue=self._eigenvalue(epoch),
            learning_rate=learning_rate(
                self.settings, epoch % self.settings.epochs * steps + steps - 1, steps, self.settings.epochs
            ),
            seconds=time.perf_counter() - self._started,
            genotype=genotype.to_json(),
            planned=counts["planned"],
            realised=counts["realised"],
            silent=counts["silent"],
            skip_elements=part.skip_elements(),
            images_per_second=(self.step - self._first) * self.settings.batch_size / seconds,
            memory_mib=peak_memory(part.device),
        )

    def _eigenvalue(self, epoch: int) -> float | None:
        every = self.settings.hessian_epochs
        if not every or (epoch % every and epoch + 1 < self.epochs):
            return None
        batch = self._rows(next(self.halves.alpha_batches(epoch)))
        generator = torch.Generator().manual_seed(derive_seed(self.seed, epoch, "eigenvalue"))
        return self.ranks.agree(self.part.eigenvalue(batch, generator), self.part.device)

    def _stopped(self) -> tuple[int, str] | None:
        return stop(self.history, self.settings) if self.history else None

    def _enter(self, stage: int, local: int) -> None:
        """What changes before an epoch: a new stage, or candidates that are shrunk away."""
        if stage and local == 0:
            self._enter_stage(stage)
        for epoch, count in self.settings.shrink:
            if epoch == local:
                self.part.narrow(shrunk(self.part.strategy.columns, self.part.strengths(), count, self.space))

    def _enter_stage(self, number: int) -> None:
        """A fresh supernet; its candidates are the strongest of the stage before."""
        columns = shrunk(self.part.strategy.columns, self.part.strengths(), self.stages[number].operations, self.space)
        self.part = self._make_part(number)
        self.part.narrow(columns)

    def _make_part(self, number: int) -> Part:
        total = len(self.stages)
        return Part(self.training, self.settings, self.stages[number], number, total, self.halves.steps, self.ranks)

    def _tell(self, report: SearchEpoch) -> None:
        """Tell the observer of an epoch, and of what is wrong with it."""
        if not self.ranks.leads:
            return
        self.observer.search_epoch(report.epoch + 1, report.epochs, report.facts())
        so_far = self.history[: report.epoch + 1]
        last = report.epoch + 1 == self.epochs
        for line in diagnostics.warnings(so_far, learns=self.part.strategy.has_alphas, last=last):
            self.observer.note(line)

    @contextmanager
    def _recorder(self) -> Iterator[Recorder | None]:
        if not self.ranks.leads:
            yield None
            return
        with self.training.record("search") as recorder:
            if not self.history:
                records.begin(recorder, self.part, self.training)
            yield recorder

    def _identity(self) -> dict[str, Any]:
        """What must be equal for a search to go on."""
        data, drop = self.training.data, self.training.schedule()
        return {
            "space": self.space.name,
            "data": data.name,
            "images": len(data.train),
            "seed": self.seed,
            "schedule": repr(drop),
            "world_size": self.ranks.world_size,
            **self.settings.model_dump(mode="json", exclude={"checkpoint_steps", "validation_epochs"}),
        }

    def _clear(self) -> None:
        self.totals = torch.zeros(6, dtype=torch.float64, device=self.training.device)

    def _save(self) -> None:
        if not self.ranks.leads:
            return
        state = {
            "identity": self._identity(),
            "history": [report.state() for report in self.history],
            "step": self.step,
            "totals": self.totals,
            **self.part.state(),
        }
        checkpoints.save(self.checkpoint, state)

    def _resume(self) -> None:
        state = checkpoints.load_own(self.checkpoint, self._identity(), "search", self.training.device)
        try:
            self.history = [SearchEpoch.from_state(report) for report in state["history"]]
            self.step, self.totals = state["step"], state["totals"]
            done = len(self.history) - (self.step == 0 and len(self.history) > 0)
            stage = done // self.settings.epochs
            if stage:
                self.part = self._make_part(stage)
            self.part.load_state(state)
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            reason = " ".join(str(error).split())[:200]
            raise RunFolderError(f"{self.checkpoint}: belongs to another search, or is damaged ({reason})") from error
