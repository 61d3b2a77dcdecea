# ruff: noqa: E501
"""Bugs of the kind that people write, each a small change to one file of the package."""

from typing import NamedTuple


class Bug(NamedTuple):
    name: str
    family: str
    file: str
    old: str
    new: str
    tests: str
    """What is run: arguments of pytest, relative to tests/."""


def _of(family, file, tests, *rows):
    return [Bug(name, family, file, old, new, tests) for name, old, new in rows]


BUGS = [
    *_of(
        "engine",
        "engine/optimisers.py",
        "engine/test_algorithms.py",
        ("the norm of what leaves a unit", "1 - self.norm_over", "self.norm_over"),
        ("biases decay too", "p.ndim <= 1]", "p.ndim < 1]"),
    ),
    *_of(
        "engine",
        "engine/ema.py",
        "engine/test_algorithms.py",
        ("decay and its complement swapped", "            1.0 - decay,", "            decay,"),
        (
            "no ramp",
            "min(self.decay, (1 + self.num_updates) / (10 + self.num_updates))",
            "self.decay",
        ),
    ),
    *_of(
        "engine",
        "engine/ema.py",
        "engine/test_resume.py",
        (
            "count of updates lost on resume",
            'self.num_updates = int(state["num_updates"])',
            'int(state["num_updates"])',
        ),
    ),
    *_of(
        "engine",
        "engine/descend.py",
        "engine/test_resume.py",
        (
            "optimiser not restored",
            '        self.optimiser.load_state_dict(state["optimiser"])\n',
            "",
        ),
        (
            "chains not restored",
            '            self.objective.load_state_dict(state["objective"])',
            "            pass",
        ),
    ),
    *_of(
        "engine",
        "engine/descend.py",
        "engine/test_algorithms.py",
        ("parts of a batch weighted equally", "weight = len(x) / len(batch.x)", "weight = 1.0"),
        (
            "gradients not cleared",
            "        p.grad = None\n",
            "        p.grad = p.grad\n",
        ),
        (
            "no clipping",
            """    if settings.clip is not None:
        nn.utils.clip_grad_norm_(parameters, settings.clip)
""",
            "",
        ),
        (
            "schedule compounds",
            'group["lr"] = settings.learning_rate * factor',
            'group["lr"] *= factor',
        ),
        (
            "average not handed over",
            """        if self.ema is not None:
            self.ema.copy_to_module()""",
            "        pass",
        ),
    ),
    *_of(
        "engine",
        "engine/descend.py",
        "engine/test_distributed.py",
        (
            "gradients not averaged over processes",
            "    distributed.average_gradients(parameters)\n",
            "",
        ),
    ),
    *_of(
        "engine",
        "engine/distributed.py",
        "engine/test_distributed.py",
        (
            "gradients summed instead of averaged",
            "_reduce(tensors, 1.0 / world())",
            "_reduce(tensors, 1.0)",
        ),
        (
            "every process takes the first share",
            "rows.chunk(world())[rank()]",
            "rows.chunk(world())[0]",
        ),
        (
            "broadcast from nobody",
            "            dist.broadcast(whole, 0)\n",
            "",
        ),
    ),
    *_of(
        "engine",
        "engine/maximise.py",
        "engine/test_distributed.py",
        (
            "sums of the first process alone in a checkpoint",
            "        distributed.total(list(totals.values()))\n        return {",
            "        return {",
        ),
    ),
    *_of(
        "engine",
        "engine/maximise.py",
        "engine/test_algorithms.py models/test_ppca.py",
        ("sums not cleared", "        self.totals = {}\n        return", "        return"),
        (
            "the last batch replaces the sums",
            "self.totals[name] += value",
            "self.totals[name] = value.clone()",
        ),
    ),
    *_of(
        "engine",
        "engine/batches.py",
        "engine/test_loop.py",
        (
            "the same order every epoch",
            'address(seed, "epoch", epoch)',
            'address(seed, "epoch", 0)',
        ),
        (
            "the last batch counted but never given",
            "count = -(-self.num_examples // size) if whole else self.num_examples // size\n        chunks",
            "count = self.num_examples // size\n        chunks",
        ),
        ("skipping ignored", "for i in range(skip, count)", "for i in range(count)"),
        (
            "labels in stored order",
            "self.labels.index_select(0, rows)",
            "self.labels[: len(rows)]",
        ),
        (
            "processes see the same rows",
            "[rank::world]",
            "[::world]",
        ),
    ),
    *_of(
        "engine",
        "engine/loop.py",
        "engine/test_loop.py engine/test_resume.py",
        (
            "draws follow the process, not the step",
            'seed_now(address(run.seed, "step", progress.step, rank), place)',
            'seed_now(address(run.seed, "step", 0, rank), place)',
        ),
        (
            "the place in the epoch lost on resume",
            '("step", "epoch", "step_in_epoch", "seconds", "examples")',
            '("step", "epoch", "seconds", "examples")',
        ),
        (
            "time of callbacks counts",
            """        clock = time.perf_counter()


def _wait_for_device""",
            """

def _wait_for_device""",
        ),
        (
            "losses never looked at",
            '        run.losses.append(info["loss"])\n',
            "",
        ),
        (
            "seed of a checkpoint ignored",
            'if metadata["seed"] != self.seed:',
            "if False:",
        ),
    ),
    *_of(
        "engine",
        "engine/budget.py",
        "engine/test_loop.py",
        (
            "the last limit wins",
            "return min(limits, default=None)",
            "return max(limits, default=None)",
        ),
    ),
    *_of(
        "engine",
        "engine/checkpoint.py",
        "engine/test_resume.py",
        (
            "written in place",
            "        os.replace(temporary, path)",
            "        path.write_bytes(content)\n        os.unlink(temporary)",
        ),
        ("digest not checked", 'if header.get("sha256") != _digest(tensors, text):', "if False:"),
        (
            "temporary file left behind",
            "        Path(temporary).unlink(missing_ok=True)\n",
            "",
        ),
    ),
    *_of(
        "engine",
        "engine/alternate.py",
        "engine/test_algorithms.py engine/test_resume.py",
        (
            "every player moves",
            "            module.requires_grad_(False)",
            "            module.requires_grad_(True)",
        ),
        (
            "critic not restored",
            '        self.scaffolding.load_state_dict(state["scaffolding"])\n',
            "",
        ),
        (
            "turns off by one",
            "if progress.step % player.every:",
            "if (progress.step + 1) % player.every:",
        ),
    ),
    *_of(
        "engine",
        "engine/stages.py",
        "engine/test_algorithms.py engine/test_resume.py",
        (
            "stage not finished",
            "            stage.algorithm.finish()\n            self._enter",
            "            self._enter",
        ),
        ("start of a stage lost on resume", '        self.entered = float(state["entered"])\n', ""),
    ),
    *_of(
        "spaces",
        "spaces.py",
        "test_spaces.py",
        (
            "one level too many",
            "inside = (x >= 0) & (x <= top)",
            "inside = (x >= 0) & (x <= top + 1)",
        ),
        (
            "levels spread to [−1, 1)",
            "(2.0 / (self.levels - 1)) - 1.0",
            "(2.0 / self.levels) - 1.0",
        ),
        ("no rounding", ".round().clamp(0, top)", ".clamp(0, top)"),
        ("infinity is a number", "finite = torch.isfinite(x)", "finite = ~torch.isnan(x)"),
    ),
    *_of(
        "model",
        "model.py",
        "test_model.py",
        (
            "mask upside down",
            "torch.where(mask, batch, self._complete",
            "torch.where(~mask, batch, self._complete",
        ),
        (
            "dropout stays on in log_prob",
            """        given = self._check_condition(condition, len(batch))
        with _evaluating(self):
            return self._log_prob(batch, given)""",
            """        given = self._check_condition(condition, len(batch))
        return self._log_prob(batch, given)""",
        ),
        (
            "effort ignored",
            "            return self._lower_bound(batch, given, effort)",
            "            return self._lower_bound(batch, given, self.effort)",
        ),
    ),
    *_of(
        "ppca",
        "models/linear/ppca.py",
        "models/test_ppca.py",
        ("log-determinant dropped", "(distance + log_det + size", "(distance + size"),
        (
            "variance for its root",
            "return mean + self.variance.sqrt() * torch.randn_like(mean)",
            "return mean + self.variance * torch.randn_like(mean)",
        ),
        (
            "first components for last",
            "leading = vectors[:, -q:].flip(1)",
            "leading = vectors[:, :q].flip(1)",
        ),
        (
            "noise not taken from the eigenvalues",
            "(values[-q:].flip(0) - variance)",
            "(values[-q:].flip(0))",
        ),
        (
            "posterior covariance missing in EM",
            "        second[:-1, :-1] += len(x) * spread.double()\n",
            "",
        ),
        (
            "variance per datum, not per entry",
            'variance = residual / (totals["num_examples"] * len(model.mean))',
            'variance = residual / totals["num_examples"]',
        ),
        (
            "completion without the noise of z",
            "noise = self.variance.sqrt() * torch.randn_like(mean)",
            "noise = 0.0 * torch.randn_like(mean)",
        ),
        (
            "missing entries inform the code",
            "centred = (x.flatten(1) - self.mean) * mask",
            "centred = x.flatten(1) - self.mean",
        ),
        (
            "wrong triangle",
            "torch.linalg.solve_triangular(factor.mT, noise, upper=True)",
            "factor @ noise",
        ),
    ),
    *_of(
        "rbm",
        "models/boltzmann/kept.py",
        "models/test_rbm.py",
        (
            "a stale log Z",
            "if self.parameters is None or not all(",
            "if self.parameters is None or not any(",
        ),
        ("log Z kept when parameters change", "and torch.equal(a, b)\n", "\n"),
    ),
    *_of(
        "rbm",
        "models/boltzmann/rbm.py",
        "models/test_rbm.py test_contract.py -k 'rbm'",
        (
            "free energy loses its sign",
            "return own - self.hidden_units.log_partition(activation).sum(1)",
            "return own + self.hidden_units.log_partition(activation).sum(1)",
        ),
        (
            "means instead of draws in the chain",
            "hidden = self.hidden_units.draw(self.activation(self.states(x)))",
            "hidden = self.hidden_units.mean(self.activation(self.states(x)))",
        ),
        (
            "log Z with the wrong sign",
            "-self._free_energy(x).double() - log_partition",
            "-self._free_energy(x).double() + log_partition",
        ),
        (
            "observed units not clamped",
            "visible = torch.where(observed, given, visible)",
            "pass",
        ),
    ),
    *_of(
        "rbm",
        "models/boltzmann/clamped.py",
        "evaluation/test_held_out.py",
        (
            "the constant of the start without its hidden units",
            "self.hidden_units.log_partition(self.hidden_bias.double()).sum(1) + visible",
            "visible",
        ),
        (
            "what is held tempered too",
            "field = self.hidden_bias + beta * state.activation",
            "field = beta * (self.hidden_bias + state.activation)",
        ),
    ),
    *_of(
        "rbm",
        "inference/enumerate.py",
        "inference/test_enumerate.py",
        ("too many units summed all the same", "if len(near) > MOST_UNITS:", "if len(near) > 60:"),
        (
            "products that overflow",
            "together = int(LARGEST_EXPONENT / (float(most.clamp_min(0)) + 1.0))",
            "together = 64",
        ),
        (
            "the first units without their bias",
            "return (torch.stack(parts) + rows @ near[:num_first]).logsumexp(0)",
            "return torch.stack(parts).logsumexp(0)",
        ),
    ),
    *_of(
        "vae",
        "models/variational/vae.py",
        "test_contract.py -k 'conditional_log and vae'",
        (
            "samples of a mixture weighted as of its first part",
            "log_scale.sum(2).unsqueeze(1)).logsumexp(2)",
            "log_scale.sum(2).unsqueeze(1))[:, :, 0]",
        ),
        (
            "the missing part weighs the samples",
            "log_w = torch.where(known, each, 0.0).sum(2) +",
            "log_w = each.sum(2) +",
        ),
    ),
    *_of(
        "autoregressive",
        "models/autoregressive/made.py",
        "test_contract.py -k 'conditional_log and made'",
        (
            "evidence summed over the orders",
            "by_order.logsumexp(1) - math.log(self.num_orders)",
            "by_order.logsumexp(1)",
        ),
    ),
    *_of(
        "evaluation",
        "evaluation/effort.py",
        "evaluation/test_effort.py",
        (
            "groups joined rather than averaged",
            "return used.logsumexp(2).mean(1)",
            "return used.logsumexp(2).logsumexp(1)",
        ),
    ),
    *_of(
        "rbm",
        "models/boltzmann/tempered.py",
        "inference/test_annealing.py models/test_rbm.py",
        (
            "H log 2 forgotten",
            "return hidden.sum() + self.visible_units",
            "return self.visible_units",
        ),
    ),
    *_of(
        "rbm",
        "models/boltzmann/units.py",
        "inference/test_annealing.py models/test_rbm.py",
        (
            "bias of the base not tempered",
            "mixed = torch.lerp(base_bias, bias, beta)",
            "mixed = bias",
        ),
        ("β forgotten in the field", "weights.T, beta)", "weights.T)"),
    ),
    *_of(
        "rbm",
        "models/boltzmann/sums.py",
        "models/test_rbm.py models/test_rbm_units.py",
        (
            "biases swapped in the exact sum",
            "log_sum_pairs(path.weights.T, path.hidden_bias, path.visible_bias)",
            "log_sum_pairs(path.weights.T, path.hidden_bias, path.visible_bias * 0)",
        ),
        (
            "own energy of hidden states forgotten",
            "terms = rows @ held.T - own + visible @ free.T",
            "terms = rows @ held.T + visible @ free.T",
        ),
        (
            "held units in the precision",
            "scaled = path.visible_units.statistic(one) * free",
            "scaled = path.visible_units.statistic(one) * torch.ones_like(free)",
        ),
    ),
    *_of(
        "rbm",
        "models/boltzmann/gaussian_units.py",
        "models/test_rbm_units.py",
        (
            "variance for deviation in the draws",
            "self.precision(mean).detach().rsqrt()",
            "self.precision(mean).detach().reciprocal()",
        ),
        (
            "variance of the base forgotten",
            "base, now = self._base_precision(x), self.precision(x)",
            "base, now = self.precision(x), self.precision(x)",
        ),
        (
            "precision at β forgotten",
            "sent * (beta * now / total)",
            "sent * beta",
        ),
    ),
    *_of(
        "sigmoid belief",
        "distributions/bernoulli.py",
        "distributions/test_heads.py",
        ("bits and their complements swapped", "bits.to(odds.dtype)", "1 - bits.to(odds.dtype)"),
        ("half of an entropy", "log_().mul_(other)).neg_()", "log_().mul_(0)).neg_()"),
    ),
    *_of(
        "rbm",
        "models/boltzmann/potts_units.py",
        "models/test_rbm_units.py",
        (
            "variances of units added before squares",
            "means.square().sum(1)",
            "means.sum(1).square()",
        ),
        (
            "mask of entries in another order",
            "return mask.repeat_interleave(self.num_values, -1)",
            "return mask.repeat(1, self.num_values)",
        ),
    ),
    *_of(
        "rbm",
        "models/boltzmann/rectified_units.py",
        "models/test_rbm_units.py",
        (
            "levels weighed as single copies",
            "level.square() / 2 - (factors",
            "level / 2 - (factors",
        ),
        (
            "copies shifted by a half too much",
            "device=field.device) + 0.5",
            "device=field.device) + 1.0",
        ),
    ),
    *_of(
        "rbm",
        "models/boltzmann/rbm.py",
        "models/test_rbm_units.py objectives/test_score_matching.py",
        (
            "divergence with one power of the precision",
            "activation) @ precision.square()",
            "activation) @ precision",
        ),
    ),
    *_of(
        "rbm",
        "objectives/contrastive.py",
        "objectives/test_contrast_of_units.py",
        (
            "slope of variances without offsets",
            "change = change + self.visible_offset * torch.mv(W, caused)",
            "pass",
        ),
        (
            "squares of variances forgotten",
            "hidden_bias, spread - change]",
            "hidden_bias, -change]",
        ),
        (
            "sparsity that drives activity up",
            "hidden[:num_data] -= excess",
            "hidden[:num_data] += excess",
        ),
    ),
    *_of(
        "rbm",
        "objectives/score_matching.py",
        "objectives/test_score_matching.py",
        (
            "square without its half",
            "(0.5 * score.value",
            "(score.value",
        ),
    ),
    *_of(
        "rbm",
        "objectives/denoising_score_matching.py",
        "objectives/test_score_matching.py",
        (
            "noise pushed further out",
            "missed = noise - self.noise * slope",
            "missed = noise + self.noise * slope",
        ),
    ),
    *_of(
        "rbm",
        "objectives/ratio_matching.py",
        "objectives/test_ratio_matching.py",
        (
            "ratios not squared",
            "sigmoid().square().sum()",
            "sigmoid().sum()",
        ),
    ),
    *_of(
        "rbm",
        "inference/annealing.py",
        "inference/test_annealing.py models/test_rbm.py",
        (
            "β off by one",
            "        state = path.move(state, low)\n",
            "        state = path.move(state, high)\n",
        ),
        (
            "the last ratio is missing",
            "for low, high in pairwise(betas[1:]):",
            "for low, high in pairwise(betas[1:-1]):",
        ),
        (
            "mean of logs for log of mean",
            "return Estimated(top + mean.log(), weights.std()",
            "return Estimated(log_weights.mean(), weights.std()",
        ),
    ),
    *_of(
        "rbm",
        "objectives/contrastive.py",
        "objectives/test_contrastive.py test_contract.py -k 'contrastive or rbm'",
        (
            "offsets slow from the start",
            "part = newest(self.num_seen, share)",
            "part = 0.01",
        ),
        (
            "the energy of visible units with the wrong sign",
            "partition - energy",
            "partition + energy",
        ),
        (
            "phases swapped",
            "centred_slopes((visible, hidden), offsets, share, dtype)",
            "centred_slopes((visible, hidden), offsets, -share, dtype)",
        ),
        (
            "chains begin anew every step",
            "        self.chains = caused.draw(activation[len(data) :])\n",
            "",
        ),
        (
            "one Gibbs step too few",
            "for _ in range(self.k - 1):\n            hidden = caused.draw(last,",
            "for _ in range(self.k - 2):\n            hidden = caused.draw(last,",
        ),
        (
            "chains not kept in checkpoints",
            'return {**super().state_dict(), "chains": self.chains}',
            'return {**super().state_dict(), "chains": self.chains * 0}',
        ),
    ),
    *_of(
        "made",
        "nn/masked.py",
        "nn/test_masked.py models/test_made.py",
        (
            "an entry sees itself",
            "_masked(self.output, state, seen < targets.unsqueeze(1))",
            "_masked(self.output, state, seen <= targets.unsqueeze(1))",
        ),
        (
            "an entry sees itself directly",
            "_masked(self.direct, inputs, sources < targets.unsqueeze(1))",
            "_masked(self.direct, inputs, sources <= targets.unsqueeze(1))",
        ),
        (
            "hidden units see too little",
            "seen <= degrees.unsqueeze(1))",
            "seen < degrees.unsqueeze(1))",
        ),
        (
            "units of a wrong degree in the walk",
            "units = self.units[level][self.step]",
            "units = self.units[level][max(self.step - 1, 0)]",
        ),
        (
            "parameters laid out by entry",
            "targets = positions.repeat(self.num_parameters)",
            "targets = positions.repeat_interleave(self.num_parameters)",
        ),
    ),
    *_of(
        "made",
        "models/autoregressive/made.py",
        "models/test_made.py test_contract.py -k 'made'",
        (
            "logs of the orders averaged",
            "torch.stack(parts).logsumexp(0) - math.log(self.num_orders)",
            "torch.stack(parts).mean(0)",
        ),
        (
            "every draw in the first order",
            "orders = torch.randint(self.num_orders, (n,))",
            "orders = torch.zeros(n).long()",
        ),
        (
            "order not undone",
            "answers.append(done.x[:, back.argsort()])",
            "answers.append(done.x[:, back])",
        ),
    ),
    *_of(
        "made",
        "inference/particles.py",
        "inference/test_particles.py",
        (
            "particles never weighted",
            "weights = weights + gain.view(batch, num_particles)",
            "weights = weights + 0 * gain.view(batch, num_particles)",
        ),
        (
            "evidence not divided by the particles",
            "weights.logsumexp(1) - math.log(num_particles)",
            "weights.logsumexp(1)",
        ),
    ),
    *_of(
        "pixelcnn",
        "nn/causal.py",
        "nn/test_causal.py models/test_pixelcnn.py",
        (
            "the pixel sees itself",
            "self.horizontal = HorizontalConv(inputs, groups.repeat(2), self.reach, strict=first)",
            "self.horizontal = HorizontalConv(inputs, groups.repeat(2), self.reach, strict=False)",
        ),
        (
            "the row sees itself",
            "above = x[:, :, :-1] if self.strict else x\n        return self.last_row(F.pad(above, (0, 0, self.reach, 0)))",
            "above = x[:, :, 1:] if self.strict else x\n        return self.last_row(F.pad(above, (0, 0, self.reach, 0)))",
        ),
        (
            "channels not masked",
            "return self.weight if mask is None else self.weight * mask",
            "return self.weight",
        ),
        (
            "residual added twice",
            "h = h + new if layer.residual and layer.num_new else new",
            "h = h + h + new if layer.residual and layer.num_new else new",
        ),
        (
            "the cache of rows begins one too early",
            "self.above[0] = torch.cat([self.above[0], finished], 2)[:, :, 1:]",
            "self.above[0] = torch.cat([self.above[0], finished], 2)[:, :, :-1]",
        ),
        (
            "cache not selected with its rows",
            "        self.lines = [cache[rows] for cache in self.lines]\n        self.from_above",
            "        self.from_above",
        ),
    ),
    *_of(
        "pixelcnn",
        "models/autoregressive/pixelcnn.py",
        "models/test_pixelcnn.py test_contract.py -k 'pixelcnn'",
        (
            "height and width swapped",
            "x.reshape(-1, height, width, channel).permute(0, 3, 1, 2)",
            "x.reshape(-1, width, height, channel).permute(0, 3, 2, 1)",
        ),
    ),
    *_of(
        "vae",
        "models/variational/vae.py",
        "models/test_vae.py test_contract.py -k 'vae'",
        (
            "half of the KL is missing",
            "kl = 0.5 * (mean**2 + scale**2 - 1).sum(1) - log_scale.sum(1)",
            "kl = 0.5 * (mean**2 + scale**2 - 1).sum(1)",
        ),
        (
            "KL added",
            "return terms.log_likelihood - terms.kl",
            "return terms.log_likelihood + terms.kl",
        ),
        (
            "mean of logs",
            "part = self._log_weights(x, condition, count).logsumexp(1)",
            "part = self._log_weights(x, condition, count).mean(1) + math.log(count)",
        ),
        ("− log K forgotten", "return total - math.log(effort)", "return total"),
        (
            "variance for deviation",
            "        z = mean + scale * torch.randn_like(mean)\n        kl",
            "        z = mean + scale**2 * torch.randn_like(mean)\n        kl",
        ),
        (
            "q's density without its scale",
            "log_ratio = 0.5 * (noise**2 - z**2).sum(2) + log_scale.sum(1, keepdim=True)",
            "log_ratio = 0.5 * (noise**2 - z**2).sum(2)",
        ),
        (
            "data repeated in the wrong order",
            "self._log_likelihood(parameters, x.repeat_interleave(num_samples, 0))",
            "self._log_likelihood(parameters, x.repeat(num_samples, *[1] * (x.ndim - 1)))",
        ),
        (
            "every proposal accepted",
            "refused = torch.rand_like(ratio).log() >= ratio",
            "refused = torch.zeros_like(ratio).bool()",
        ),
    ),
    *_of(
        "vae",
        "objectives/variational.py",
        "objectives/test_variational.py",
        (
            "bound of the mean of logs",
            "bound = weights.logsumexp(1) - math.log(self.num_samples)",
            "bound = weights.mean(1)",
        ),
        (
            "β forgotten",
            "loss = reconstruction + (kl if self.beta == 1.0 else self.beta * kl)",
            "loss = reconstruction + kl",
        ),
    ),
    *_of(
        "heads",
        "distributions/logistic_mixture.py",
        "distributions/test_heads.py",
        (
            "highest bin cut off",
            "lowest, highest = value < half - 1.0, value > 1.0 - half",
            "lowest, highest = value < half - 1.0, value > 2.0",
        ),
        (
            "log-scale forgotten in the density",
            "inside = -scaled - log_scales - 2 * F.softplus(-scaled)",
            "inside = -scaled - 2 * F.softplus(-scaled)",
        ),
        (
            "components by their logits alone",
            "chosen = (log_weights - noise).argmax(1, keepdim=True)",
            "chosen = log_weights.argmax(1, keepdim=True)",
        ),
    ),
    *_of(
        "heads",
        "distributions/gaussian.py",
        "distributions/test_heads.py",
        (
            "variance without its half",
            "- scale.log() - 0.5 * math.log(2 * math.pi)",
            "- 2 * scale.log() - 0.5 * math.log(2 * math.pi)",
        ),
    ),
    *_of(
        "deep belief",
        "models/boltzmann/layer.py",
        "models/test_deep_belief.py",
        ("labels drawn without chance", "(odds + gumbel).argmax(1)", "odds.argmax(1)"),
        (
            "the bias of a label left out of F",
            "energy = energy - v[..., self.num_units :] @ self.visible_bias[self.num_units :]",
            "energy = energy + 0",
        ),
        (
            "noise of reals of deviation 1",
            "self.deviation * (field + torch.randn_like(field))",
            "self.deviation * field + torch.randn_like(field)",
        ),
        ("half a pull in the Gaussian integral", "(0.5 * pull + bias)", "(pull + bias)"),
        (
            "labels told apart without their bias",
            "return self.visible_bias[self.num_units :] + softplus(",
            "return 0 * self.visible_bias[self.num_units :] + softplus(",
        ),
    ),
    *_of(
        "deep belief",
        "models/boltzmann/layer.py",
        "objectives/test_up_down.py",
        (
            "the slope of the deviation turned round",
            "(self.log_deviation, own + joint)",
            "(self.log_deviation, -own - joint)",
        ),
    ),
    *_of(
        "deep belief",
        "models/boltzmann/layer_path.py",
        "models/test_deep_belief.py",
        (
            "chains of labels in the wrong order",
            "rows.repeat_interleave(self.num_chains, 0)",
            "rows.repeat(self.num_chains, 1)",
        ),
        (
            "held bias of h left out of a Gibbs step",
            "bernoulli(torch.add(self.hidden_bias, state.activation, alpha=beta).sigmoid_())",
            "bernoulli((beta * state.activation).sigmoid_())",
        ),
    ),
    *_of(
        "deep belief",
        "models/boltzmann/belief_stack.py",
        "models/test_deep_belief.py",
        (
            "recognised with the generative weights",
            "self.recognisers[number].T, layer.hidden_bias",
            "layer.weights.T, layer.hidden_bias",
        ),
        (
            "log q left out of the weights",
            "            total = total - log_bernoulli(odds, drawn)\n",
            "",
        ),
        (
            "the label left out of the bound",
            "layer.biases_of(labels).unsqueeze(1)",
            "layer.biases_of(None).unsqueeze(1)",
        ),
    ),
    *_of(
        "deep belief",
        "models/boltzmann/belief_stack.py",
        "models/test_deep_belief.py -k 'completions'",
        (
            "proposals not weighed by the top pair",
            "weights = weights - self.free_energy(several[-1], len(self.layers), labels)",
            "weights = weights + 0",
        ),
    ),
    *_of(
        "deep belief",
        "models/boltzmann/belief_stack.py",
        "models/test_deep_belief.py",
        (
            "features of labels that weigh alike",
            "shares = top.log_odds_of_labels(each).softmax(1)",
            "shares = (0 * top.log_odds_of_labels(each)).softmax(1)",
        ),
        (
            "every retry accepted",
            "kept = torch.rand_like(gain).log() < gain",
            "kept = gain < torch.inf",
        ),
        (
            "a retry looks at what is missing",
            "if number else (x, observed)",
            "if number else (x, None)",
        ),
    ),
    *_of(
        "deep belief",
        "models/boltzmann/belief_stack.py",
        "objectives/test_up_down.py",
        (
            "asleep the deviation of real data moves",
            "sent = self.layer(number).sent(below).detach()",
            "sent = self.layer(number).sent(below)",
        ),
    ),
    *_of(
        "deep belief",
        "models/boltzmann/greedy.py",
        "models/test_deep_belief.py",
        (
            "a layer without a transpose begins at odds of one half",
            "        above.visible_bias[:units] = log_odds(mean)\n",
            "        pass\n",
        ),
    ),
    *_of(
        "deep belief",
        "evaluation/layers.py",
        "evaluation/test_layers.py",
        ("an annealed layer called a bound", '"~" if error else ">="', '">="'),
        ("the error of log Z left out", "math.hypot(spread, error)", "math.hypot(spread, 0.0)"),
    ),
    *_of(
        "deep boltzmann",
        "evaluation/likelihood.py",
        "evaluation/test_annealed_bound.py",
        (
            "a bound less an annealed log Z called a bound",
            "if isinstance(model, AnnealedBound) and not model.sums_exactly:",
            "if isinstance(model, AnnealedBound) and model is None:",
        ),
    ),
    *_of(
        "deep boltzmann",
        "objectives/doubled.py",
        "objectives/test_deep_boltzmann_objectives.py",
        (
            "a third layer sees draws with the mean bias",
            "plus_product(self.left[number], units,",
            "plus_product(model.biases[number], units,",
        ),
    ),
    *_of(
        "deep boltzmann",
        "models/boltzmann/layered.py",
        "models/test_deep_boltzmann.py",
        (
            "the top counts what it is sent twice",
            "times = 2.0 if layer < len(given.weights) else 1.0",
            "times = 2.0",
        ),
        (
            "what is above left out",
            "self.weights[layer].T, scale)",
            "self.weights[layer].T, 0.0)",
        ),
        (
            "half of the entropy",
            "torch.special.entr(m).sum(1) + torch.special.entr(1 - m).sum(1)",
            "torch.special.entr(m).sum(1)",
        ),
        (
            "data that settle leave the wrong biases",
            "rows, machine = rows[going], machine.rows(going)",
            "rows, machine = rows[going], machine.rows(torch.arange(len(going)))",
        ),
        (
            "activations for means in the slopes of log Z",
            "products += rows.T @ weighed",
            "products += rows.T @ (p * activation)",
        ),
    ),
    *_of(
        "deep boltzmann",
        "models/boltzmann/tempered_layers.py",
        "models/test_deep_boltzmann.py",
        (
            "bias at full strength at every temperature",
            "odds = torch.add(self._bias(layer, beta), sent, alpha=beta)",
            "odds = torch.add(self.layers.biases[layer], sent, alpha=beta)",
        ),
        (
            "held pixels not held",
            "if layer == 0 and self.held is not None:",
            "if layer == 9 and self.held is not None:",
        ),
    ),
    *_of(
        "deep belief",
        "models/boltzmann/deep_belief.py",
        "models/test_deep_belief.py",
        ("log K left out of the bound", " - math.log(effort) - log_z", " - log_z"),
        (
            "labels of codes without their log Z",
            "labels = torch.multinomial(log_p.softmax(0), n, replacement=True)",
            "labels = torch.multinomial(top.visible_bias[top.num_units :].softmax(0), n, True)",
        ),
    ),
    *_of(
        "deep belief",
        "models/boltzmann/greedy.py",
        "models/test_deep_belief.py",
        (
            "recognition weights not tied",
            "    stack.recognisers[number].copy_(layer.weights)\n",
            "",
        ),
        (
            "the layer above begins without its hidden biases",
            "        above.hidden_bias.copy_(layer.visible_bias)\n",
            "",
        ),
        (
            "labels shown to every layer",
            "batch.condition if self.number == len(stack.recognisers) else None",
            "None",
        ),
    ),
    *_of(
        "deep belief",
        "objectives/layer_contrast.py",
        "objectives/test_up_down.py",
        ("phases swapped", "offsets, share, dtype)", "offsets, -share, dtype)"),
        (
            "persistent chains stand still",
            "            self.chains = bernoulli(activation[len(data) :].sigmoid())\n",
            "",
        ),
        ("one step too few", "for _ in range(self.k - 1):", "for _ in range(self.k - 2):"),
    ),
    *_of(
        "deep belief",
        "objectives/up_down.py",
        "objectives/test_up_down.py",
        (
            "dreams begin at the data",
            "model.descend(model.units_of(found.chains))",
            "model.descend(awake[-1])",
        ),
        (
            "the recogniser learns awake",
            "model.log_recognised(dreams)",
            "model.log_recognised(awake)",
        ),
    ),
    *_of(
        "deep belief",
        "models/boltzmann/classifier.py",
        "models/test_sigmoid_classifier.py",
        ("dropout while it answers", "        self.eval()\n", ""),
    ),
    *_of(
        "deep boltzmann",
        "models/boltzmann/classifier.py",
        "models/test_sigmoid_classifier.py",
        (
            "means of the layers above left out",
            "odds = odds + self.downs[number](means[number])",
            "odds = odds + 0.0 * self.downs[number](means[number])",
        ),
        (
            "couplings downwards halved",
            "down.weight.copy_(weights)",
            "down.weight.copy_(0.5 * weights)",
        ),
        (
            "biases of the layer below",
            "layer.bias.copy_(machine.biases[number + 1])",
            "layer.bias.zero_()",
        ),
        ("no dropout of the inputs", "self.input_dropout(given).split", "given.split"),
    ),
    *_of(
        "deep boltzmann",
        "models/boltzmann/companion.py",
        "models/test_sigmoid_classifier.py",
        ("mean field cut short", "explain(x, self.num_mean_field)", "explain(x, 1)"),
        ("the frozen machine stays blank", "kept.copy_(given)", "kept.zero_()"),
    ),
    *_of(
        "deep belief",
        "evaluation/error_rate.py",
        "evaluation/test_error_rate.py",
        (
            "right answers counted as wrong",
            "(total.argmax(1) != labels[: len(total)])",
            "(total.argmax(1) == labels[: len(total)])",
        ),
        ("one draw only", "data.redrawn(draw)", "data.redrawn(0)"),
    ),
    *_of(
        "sigmoid belief",
        "models/variational/sigmoid_belief.py",
        "models/test_sigmoid_belief.py",
        (
            "layers of p in the order of q",
            "for layer in reversed(self.layers):\n            drawn.insert(",
            "for layer in self.layers:\n            drawn.insert(",
        ),
        (
            "prior of the top left out",
            "total = log_bernoulli(self.top, hidden[-1])",
            "total = 0.0 * log_bernoulli(self.top, hidden[-1])",
        ),
        (
            "q's upper layers forgotten",
            "return lowest + self.log_upper(hidden)",
            "return lowest",
        ),
        (
            "every draw of a datum the same",
            "drawn = [bernoulli(at_least_float32(logits).sigmoid().expand(-1, num_samples, -1))]",
            "drawn = [bernoulli(at_least_float32(logits).sigmoid()).expand(-1, num_samples, -1)]",
        ),
        (
            "− log K forgotten",
            "return torch.cat(parts) - math.log(effort)",
            "return torch.cat(parts)",
        ),
        (
            "the last piece as large as the others",
            "sizes = [min(MOST_ROWS, effort - done) for",
            "sizes = [MOST_ROWS for",
        ),
        (
            "the present causes without their weight",
            "torch.cat([log_present, log_recognition], 1)",
            "torch.cat([0 * log_present, log_recognition], 1)",
        ),
        (
            "proposals unweighted",
            "chosen = torch.multinomial(weights.softmax(1), 1).squeeze(1)",
            "chosen = torch.multinomial((0 * weights).softmax(1), 1).squeeze(1)",
        ),
        (
            "a mixture of one version only",
            "log_r = lowest.logsumexp(2) + ",
            "log_r = lowest[:, :, 0] + ",
        ),
        (
            "upper layers missing in the conditional",
            "log_r = lowest.logsumexp(2) + self.recogniser.log_upper(hidden)",
            "log_r = lowest.logsumexp(2)",
        ),
    ),
    *_of(
        "sigmoid belief",
        "objectives/wake_sleep.py",
        "objectives/test_wake_sleep.py",
        (
            "baseline sees its own draw",
            "others = (weights.sum(1, keepdim=True) - weights) / (count - 1)",
            "others = weights.mean(1, keepdim=True).expand_as(weights)",
        ),
        (
            "signal through the weights of the wrong axis",
            "torch.where(own, others.unsqueeze(2), weights.unsqueeze(1))",
            "torch.where(own, others.unsqueeze(1), weights.unsqueeze(2))",
        ),
        (
            "score of q forgotten",
            '"loss": -(bound + _slope(score)).mean()',
            '"loss": -(bound + 0 * _slope(score)).mean()',
        ),
        (
            "arithmetic mean of draws",
            '_bound(weights).mean(),\n            "effective',
            'weights.mean(),\n            "effective',
        ),
        (
            "q's weights not held fixed",
            "weights = log_joint - log_recognition.detach()",
            "weights = log_joint - log_recognition",
        ),
        ("both phases whole", "half = 0.5 if self.recognition", "half = 1.0 if self.recognition"),
        (
            "dreams of one datum",
            "-model._dream(len(batch.x)).mean()",
            "-model._dream(len(batch.x)).sum()",
        ),
    ),
    *_of(
        "gan",
        "objectives/adversarial.py",
        "objectives/test_adversarial.py models/test_gan.py",
        (
            "generator against itself",
            '        """−log σ(fake)."""\n        return F.softplus(-fake)',
            '        """−log σ(fake)."""\n        return F.softplus(fake)',
        ),
        (
            "penalty without its half",
            'info["loss"] = loss + 0.5 * self.gamma * info["penalty"]',
            'info["loss"] = loss + self.gamma * info["penalty"]',
        ),
        ("norm instead of its square", ".flatten(1).square().sum(1)", ".flatten(1).norm(dim=1)"),
        (
            "penalty at the fakes",
            "gradient_penalty(real, data).mean()",
            "gradient_penalty(real, data).mean() * 0",
        ),
    ),
    *_of(
        "gan",
        "models/implicit/gan.py",
        "models/test_gan.py test_contract.py -k 'gan'",
        (
            "gradient stopped at the toss",
            "return output + (tossed - output).detach()",
            "return tossed",
        ),
        (
            "odds of the toss doubled",
            "2 * torch.rand_like(output) - 1 < output",
            "torch.rand_like(output) - 1 < output",
        ),
        (
            "labels not shown to the generator",
            "values = torch.cat([z, features(self.condition, condition, self.example)], dim=1)",
            "values = torch.cat([z, 0 * features(self.condition, condition, self.example)], dim=1)",
        ),
    ),
    *_of(
        "diffusion",
        "inference/path.py",
        "inference/test_path.py inference/test_solver.py models/test_diffusion.py models/test_diffusion_bound.py",
        (
            "sign of v",
            "return (alpha * x_t - sigma * value) / (alpha**2 + sigma**2)",
            "return (alpha * x_t + sigma * value) / (alpha**2 + sigma**2)",
        ),
        (
            "posterior variance of the next step",
            "ratio = self.sigma[s] ** 2 / self.sigma[t] ** 2",
            "ratio = self.sigma[t] ** 2 / self.sigma[t] ** 2",
        ),
        (
            "time off by one in the noise",
            "return widen(self.alpha[t], x0) * x0 + widen(self.sigma[t], x0) * noise",
            "return widen(self.alpha[t - 1], x0) * x0 + widen(self.sigma[t], x0) * noise",
        ),
        (
            "prior term without its half",
            "return 0.5 * (alpha**2 / total * square + constant)",
            "return alpha**2 / total * square + constant",
        ),
    ),
    *_of(
        "diffusion",
        "inference/solver.py",
        "inference/test_solver.py models/test_diffusion.py models/test_diffusion_bound.py",
        (
            "σ of DDIM without its share",
            "kept = (path.sigma[then] ** 2 - variance).sqrt()",
            "kept = path.sigma[then]",
        ),
        (
            "variance for deviation in the step back",
            "return mean + widen(variance.sqrt(), x) * torch.randn_like(x)",
            "return mean + widen(variance, x) * torch.randn_like(x)",
        ),
    ),
    *_of(
        "diffusion",
        "models/diffusion/bound.py",
        "models/test_diffusion_bound.py models/test_diffusion.py",
        (
            "drawn steps weighted alike",
            "weight = 1.0 / (num_times * law[index])",
            "weight = torch.full_like(law[index], len(law) / num_times)",
        ),
        ("prior term forgotten", "    bound = bound - path.prior_divergence(y)\n", ""),
        (
            "the last step forgotten",
            "for step in range(2, path.num_steps + 1):",
            "for step in range(2, path.num_steps):",
        ),
        (
            "mean of trajectories' logs",
            "return torch.stack(weights).logsumexp(0) - math.log(num_trajectories)",
            "return torch.stack(weights).mean(0)",
        ),
    ),
    *_of(
        "diffusion",
        "objectives/denoising.py",
        "objectives/test_denoising.py",
        (
            "target at another time",
            "target = path.from_x0(model.prediction, x0, x_t, t)",
            "target = path.from_x0(model.prediction, x0, x_t, (t - 1).clamp(min=1))",
        ),
        (
            "the first time never drawn",
            "return (1 + (uniform * num_steps).long()).clamp(max=num_steps)",
            "return (2 + (uniform * num_steps).long()).clamp(max=num_steps)",
        ),
    ),
    *_of(
        "diffusion",
        "models/diffusion/diffusion.py",
        "models/test_diffusion.py models/test_diffusion_bound.py test_contract.py -k 'diffusion'",
        (
            "guidance the wrong way",
            "without + guidance * (with_condition - without)",
            "with_condition + guidance * (with_condition - without)",
        ),
    ),
    *_of(
        "data",
        "data/steps.py",
        "data/test_steps.py",
        ("one level too many", "noise.bits(x, self.levels - 1)", "noise.bits(x, self.levels)"),
        (
            "volume of one pixel",
            "return -space.num_dimensions * math.log(self.levels)",
            "return -math.log(self.levels)",
        ),
        (
            "noise missing",
            "return ((x + middle) / self.levels)",
            "return ((x + 0 * middle) / self.levels)",
        ),
    ),
    *_of(
        "data",
        "data/splits.py",
        "data",
        (
            "test overlaps train",
            "train, valid, test = torch.randperm(n, generator=generator).split(sizes)",
            "train, valid, test = torch.randperm(n, generator=generator).split(sizes)\n    test = train[: len(test)]",
        ),
        (
            "parts stand as stored",
            "    return train, valid, test\n\n\ndef mixed",
            "    return train.sort().values, valid.sort().values, test.sort().values\n\n\ndef mixed",
        ),
    ),
    *_of(
        "data",
        "data/noise.py",
        "data/test_noise.py",
        (
            "every example the same noise",
            "rows = self.indices.to(self.device)[:, None] * k",
            "rows = self.indices.to(self.device)[:, None] * 0",
        ),
    ),
    *_of(
        "data",
        "data/noise.py",
        "data/test_steps.py",
        ("upside-down coin", "(uniform * top).lt_(x)", "(uniform * top).gt_(x)"),
        ("another coin", ".div(top)", ".div(top + 1)"),
        ("a coin that wears its picture", ".div(top)", ".div_(top)"),
    ),
    *_of(
        "data",
        "data/examples.py",
        "data/test_settled.py",
        (
            "a part settled by another's index",
            "self._fixed(self.store.read(some), some)\n",
            "self._fixed(self.store.read(some), some - some[0])\n",
        ),
        ("reals settled as bytes", "and drawn and isinstance(space, Binary)", "and drawn"),
        ("what is redrawn forgotten", "(Floats(), *rest)", "(Floats(),)"),
    ),
    *_of(
        "evaluation",
        "evaluation/frechet.py",
        "evaluation/test_frechet.py",
        (
            "biased covariance",
            "return cls(mean, root / (count - 1) ** 0.5, count)",
            "return cls(mean, root / count**0.5, count)",
        ),
        (
            "means of blocks forgotten",
            "rows += [root, between * (mean - centre)[None]]",
            "rows += [root]",
        ),
        (
            "trace once instead of twice",
            "return max(0.0, float(shift + spread - 2 * singular.sum()))",
            "return max(0.0, float(shift + spread - singular.sum()))",
        ),
    ),
    *_of(
        "evaluation",
        "evaluation/kernel_distance.py",
        "evaluation/test_kernel_distance.py",
        (
            "each datum with itself",
            "                tile.fill_diagonal_(0.0)\n",
            "                pass\n",
        ),
        ("kernel of degree two", "return base.square().mul_(base)", "return base.square()"),
    ),
    *_of(
        "evaluation",
        "evaluation/neighbours.py",
        "evaluation/test_neighbours.py",
        (
            "a point is its own neighbour",
            'tile.fill_diagonal_(float("inf"))',
            "tile.fill_diagonal_(0.0)",
        ),
        (
            "precision in the samples' balls",
            "inside = tile.sub_(reach[rows, None]).lt_(0)",
            "inside = tile.sub_(reach_of_samples[columns]).lt_(0)",
        ),
    ),
    *_of(
        "evaluation",
        "evaluation/parzen.py",
        "evaluation/test_parzen.py",
        (
            "width not squared",
            "(squares / (-2 * sigma**2)).logsumexp(1)",
            "(squares / (-2 * sigma)).logsumexp(1)",
        ),
        ("log n forgotten", "constant = math.log(len(centres)) + ", "constant = 0.0 + "),
    ),
    *_of(
        "evaluation",
        "evaluation/vendi.py",
        "evaluation/test_vendi.py",
        (
            "entropy of values that sum to n",
            "torch.linalg.eigh(similarity / len(similarity))",
            "torch.linalg.eigh(similarity)",
        ),
    ),
    *_of(
        "evaluation",
        "evaluation/effort.py",
        "evaluation/test_effort.py",
        (
            "mean of all logs",
            "return used.logsumexp(2).mean(1) - math.log(effort)",
            "return used.mean(2).mean(1)",
        ),
    ),
    *_of(
        "evaluation",
        "evaluation/memorisation.py",
        "evaluation/test_memorisation.py",
        (
            "held-out data beside themselves",
            "usual = nearest(unseen, learnt)[0][:, 0].double()",
            "usual = nearest(unseen, unseen)[0][:, 0].double()",
        ),
    ),
    *_of(
        "evaluation",
        "evaluation/reference.py",
        "evaluation/test_metrics.py",
        (
            "floor of data that samples are compared with",
            "real = self.halves()[1] if metric.about_training else self.train",
            "real = self.train if metric.about_training else self.halves()[1]",
        ),
    ),
    *_of(
        "boltzmann",
        "models/boltzmann/joined.py",
        "models/test_boltzmann_machine.py",
        (
            "a pair counted twice",
            "(self.couplings @ units).mul_(0.5)",
            "(self.couplings @ units).mul_(1.0)",
        ),
        ("β forgotten in the sweep", "units, alpha=beta)", "units)"),
        (
            "units of all colours at once",
            "colours = list(pairwise(self.ends))",
            "colours = [(0, self.ends[-1])]",
        ),
        (
            "sweeps go one way only",
            "if bool(torch.randint(2, ())) else colours",
            "if bool(torch.randint(2, ()) > 1) else colours",
        ),
        (
            "the first colour counts as certain",
            "units = torch.cat([activation.sigmoid(), rows], 1)",
            "units = torch.cat([activation.sign().relu(), rows], 1)",
        ),
        (
            "moments of chunks not brought to one scale",
            "mean = shrink * mean +",
            "mean = mean +",
        ),
        (
            "mean field all at once",
            "for begin, end in pairwise(ends):",
            "for begin, end in [(0, ends[-1])]:",
        ),
    ),
    *_of(
        "boltzmann",
        "models/boltzmann/hidden_machine.py",
        "models/test_boltzmann_machine.py",
        (
            "hidden couplings left out of the free energy",
            "within + softplus(activation)",
            "0 * within + softplus(activation)",
        ),
        (
            "hidden units in order of colour",
            "return torch.cat([v, hidden[:, place]], 1)",
            "return torch.cat([v, hidden], 1)",
        ),
        ("the likeliest state for a draw", "(log_f + gumbel).max(1)", "log_f.max(1)"),
    ),
    *_of(
        "boltzmann",
        "inference/colouring.py",
        "inference/test_colouring.py",
        (
            "joined units of one colour",
            "for other in neighbours[unit] if other in colour}",
            "for other in neighbours[unit] if other in colour and other < unit}",
        ),
    ),
    *_of(
        "boltzmann",
        "objectives/persistent.py",
        "objectives/test_boltzmann_objectives.py",
        (
            "phases swapped",
            "_products(data - self.offset) - _products(self.chains - self.offset)",
            "_products(self.chains - self.offset) - _products(data - self.offset)",
        ),
        (
            "centring without its correction",
            "mean = mean.index_add(0, first, -pairs * self.offset[second])",
            "mean = mean.clone()",
        ),
        (
            "chains begin anew every step",
            "self.chains = model.walk(self.chains, self.k)",
            "self.chains = model.walk(data, self.k)",
        ),
    ),
    *_of(
        "boltzmann",
        "engine/known.py",
        "objectives/test_boltzmann_objectives.py objectives/test_contrastive.py objectives/test_deep_boltzmann_objectives.py",
        ("the gradient of log Z lost", "slope * outputs[0] for", "slope * 0 for"),
    ),
    *_of(
        "engine",
        "engine/descend.py",
        "objectives/test_contrastive.py engine/test_algorithms.py",
        ("known slopes not taken", "parameter.grad = slope", "pass"),
    ),
    *_of(
        "deep belief",
        "models/boltzmann/deep_belief.py",
        "models/test_deep_belief.py -k rarely",
        (
            "only the lowest layer sparse",
            "for layer in self.stack.layers:\n            assert isinstance(layer, Layer)\n            layer.hidden_bias",
            "for layer in [self.stack.layer(0)]:\n            assert isinstance(layer, Layer)\n            layer.hidden_bias",
        ),
    ),
    *_of(
        "deep boltzmann",
        "models/boltzmann/deep_boltzmann.py",
        "models/test_deep_boltzmann.py -k rarely",
        (
            "the visible bias sparse too",
            "for bias in list(self.biases)[1:]:",
            "for bias in list(self.biases):",
        ),
    ),
    *_of(
        "boltzmann",
        "objectives/pseudo_likelihood.py",
        "objectives/test_boltzmann_objectives.py",
        ("mean over units for their sum", "terms.sum(1).mean()", "terms.mean()"),
    ),
    *_of(
        "boltzmann",
        "inference/tempering.py",
        "inference/test_tempering.py",
        ("swaps the wrong way round", ".log() < gain", ".log() < -gain"),
        ("every swap accepted", ".log() < gain", ".log() < gain + 99"),
        ("a copy for a swap", "places.flip(1).where(", "places[:, [0, 0]].where("),
    ),
    *_of(
        "boltzmann",
        "objectives/tempering.py",
        "objectives/test_tempered_contrast.py",
        ("the flat chains for the negative phase", "self.chains[:, -1]]", "self.chains[:, 0]]"),
    ),
    *_of(
        "boltzmann",
        "objectives/fast_persistent.py",
        "objectives/test_fast_persistent.py",
        ("fast weights of the wrong sign", "+ self.fast_rate * step", "- self.fast_rate * step"),
        (
            "fast weights do not drive the chains",
            "(model.weights + self.fast_weights).to(dtype)",
            "(model.weights + 0).to(dtype)",
        ),
        ("fast weights forgotten on resume", '("chains", *FAST):', '("chains",):'),
    ),
    *_of(
        "boltzmann",
        "recipes/monitors.py",
        "recipes/test_monitors.py",
        ("the gap the wrong way round", "means[1] - means[0]", "means[0] - means[1]"),
        (
            "flips of a step against itself",
            "self.before, self.now = self.now,",
            "self.before = self.now =",
        ),
        ("idle units by their least", "code.amax(0) < SELDOM", "code.amin(0) < SELDOM"),
    ),
    *_of(
        "boltzmann",
        "recipes/boltzmann.py",
        "recipes/test_rbm_settings.py",
        (
            "persistent chains know no target",
            "PersistentContrastiveDivergence(k, num_chains, centred=centred, sparsity=sparsity)",
            "PersistentContrastiveDivergence(k, num_chains, centred=centred)",
        ),
        (
            "centred all the same",
            "return ContrastiveDivergence(k, centred=centred,",
            "return ContrastiveDivergence(k, centred=True,",
        ),
        ("weights of any length", "schedule, max_norm=max_norm", "schedule, max_norm=None"),
        ("a cost without a target", "if cost is not None:", "if False:"),
    ),
    *_of(
        "boltzmann",
        "recipes/chains.py",
        "recipes/test_monitors.py",
        ("chains at the wrong temperature", "objective.chains[:, -1]", "objective.chains[:, 0]"),
    ),
    *_of(
        "boltzmann",
        "recipes/layer_monitor.py",
        "recipes/test_deep_layers.py",
        (
            "watching moves the draws",
            "with seeded(0, batch.x.device)",
            "with seeded(None, batch.x.device)",
        ),
        (
            "the bound counts its biases twice",
            "Explained(-bound, means[0])",
            "Explained(-bound - visible @ machine.biases[0], means[0])",
        ),
        (
            "up–down watched by draws in the place of means",
            "model.stack.means(batch.x)[-1]",
            "model.stack.ascend(batch.x)[-1]",
        ),
        (
            "labels hidden from the layer that learns them",
            "seen = batch if view is None else view(model, batch)",
            "seen = batch if view is None else view(model, Batch(batch.x, None))",
        ),
        (
            "the free energy of two copies where there is one",
            "pair.free_energy_at(visible, odds)",
            "0.5 * pair.free_energy_at(visible, odds)",
        ),
    ),
    *_of(
        "boltzmann",
        "recipes/deep_pictures.py",
        "recipes/test_deep_layers.py",
        (
            "fantasies move the draws",
            "with seeded(0, hidden.device)",
            "with seeded(None, hidden.device)",
        ),
        (
            "deep filters of the last two layers",
            "for below in reversed(weights[:-1]):",
            "for below in weights[-2:-1]:",
        ),
        (
            "fantasies from the wrong end",
            "for number in reversed(range(1, depth)):",
            "for number in reversed(range(1, 1)):",
        ),
    ),
    *_of(
        "boltzmann",
        "recipes/monitors.py",
        "recipes/test_deep_layers.py",
        (
            "chains of two stages compared",
            "self.objective, self.now = objective, None",
            "self.objective = objective",
        ),
    ),
    *_of(
        "boltzmann",
        "recipes/boltzmann_pictures.py",
        "recipes/test_pictures.py",
        ("one unit too many", "order < k, code", "order <= k, code"),
        ("the weakest units", "code.argsort(1, descending=True)", "code.argsort(1)"),
        (
            "means for draws",
            "bernoulli(model.encode(bernoulli(mean)))",
            "bernoulli(model.encode(mean.round()))",
        ),
        (
            "the other half hidden",
            "[:, :, x.shape[2] // 2 :] = False",
            "[:, :, : x.shape[2] // 2] = False",
        ),
    ),
    *_of(
        "recipes",
        "recipes/registry.py",
        "recipes/test_pictures.py",
        (
            "options of a recipe for any data",
            "(entry.loading if data is None else {})",
            "entry.loading",
        ),
    ),
    *_of(
        "engine",
        "engine/callbacks.py",
        "recipes/test_monitors.py",
        ("monitors asked at every line", "+ cost / share", "+ 0.0"),
        (
            "monitors not asked at the end",
            "            self.due = [0.0] * len(self.monitors)\n",
            "",
        ),
    ),
    *_of(
        "data",
        "data/scaling.py",
        "data/test_scaling.py",
        ("stretched, not cropped", "margin = (old - ratio * new) / 2", "margin = 0.0"),
        ("levels that overshoot wrap", ".round_().clamp_(0, top)", ".round_()"),
    ),
    *_of(
        "data",
        "data/selection.py",
        "data/test_selection.py",
        ("the first class lost", "labels >= 0", "labels > 0"),
        (
            "labels as they were",
            "Part(part.store.take(rows), labels[rows])",
            "Part(part.store.take(rows), part.labels[rows])",
        ),
    ),
    *_of(
        "rbm",
        "inference/products.py",
        "objectives/test_resting.py",
        (
            "biases rounded",
            "torch.add(bias, torch.mm",
            "torch.add(bias.to(x.dtype).bfloat16(), torch.mm",
        ),
        (
            "weights left in float32",
            "return weights.to(torch.get_autocast_dtype(kind))",
            "return weights",
        ),
        (
            "the gradient's product in float32",
            "    if below.dtype == dtype:",
            "    if True:",
        ),
        ("a scale lost in low precision", "weights), alpha=scale)", "weights))"),
    ),
    *_of(
        "rbm",
        "distributions/bernoulli.py",
        "models/test_rbm_units.py",
        ("a rare unit costs what it should not", "logit.clamp_min(0.0)", "logit"),
        ("logarithms of one half twice", "likelier = near * far", "likelier = near * near"),
    ),
    *_of(
        "rbm",
        "models/boltzmann/potts_units.py",
        "models/test_rbm_units.py",
        (
            "shares that do not add up",
            "(groups - log_partition.unsqueeze(-1)).exp_()",
            "groups.exp()",
        ),
    ),
    *_of(
        "rbm",
        "objectives/centred.py",
        "objectives/test_contrast_of_units.py",
        (
            "chains and data share alike",
            "share[:num_data] = -1.0 / num_data",
            "share[:num_data] = 1.0 / num_data",
        ),
    ),
    *_of(
        "rbm",
        "objectives/centred.py",
        "objectives/test_resting.py objectives/test_contrastive.py objectives/test_boltzmann_objectives.py objectives/test_deep_boltzmann_objectives.py",
        (
            "centring without its correction",
            "pulls[upper - 1] - torch.mv(above, back[upper])",
            "pulls[upper - 1]",
        ),
        (
            "the upper bias without its correction",
            "pulls[upper] - share * torch.mv(below, back[upper - 1])",
            "pulls[upper]",
        ),
        (
            "offsets that are carried forgotten",
            "offsets if carried is None else carried",
            "offsets",
        ),
        (
            "offsets slow from the start",
            "(num_seen + 1).to(like.dtype).reciprocal_().clamp_min_(SLIDE)",
            "torch.full((), SLIDE).to(like)",
        ),
    ),
    *_of(
        "rbm",
        "objectives/contrastive.py",
        "objectives/test_resting.py",
        (
            "the gap in low precision",
            "with torch.autocast(still.visible_bias.device.type, enabled=False):",
            "if True:",
        ),
    ),
    *_of(
        "deep belief",
        "objectives/layer_contrast.py",
        "objectives/test_resting.py",
        (
            "a layer in low precision",
            "with torch.autocast(data.device.type, enabled=False):",
            "if True:",
        ),
    ),
    *_of(
        "rbm",
        "recipes/runs.py",
        "cli/test_commands.py -k anneals",
        (
            "an untrained machine judged",
            "        model.load_state_dict(self.model.state_dict())\n",
            "",
        ),
    ),
    *_of(
        "rbm",
        "objectives/runaway.py",
        "objectives/test_runaway.py",
        ("only one sign of a gap watched", "gap.abs() >", "gap >"),
        ("nothing watched", "gap.abs() > MOST_TIMES * log_states", "gap.abs() > float('inf')"),
    ),
    *_of(
        "rbm",
        "objectives/contrastive.py",
        "objectives/test_runaway.py recipes/test_diverging.py",
        ("entries counted for units", "// units.width(1)\n", "// 1\n"),
        ("a gap that none watches", "gap = unless_runaway(gap, self.log_states)", "pass"),
    ),
    *_of(
        "engine",
        "engine/callbacks.py",
        "engine/test_loop.py",
        (
            "no early checkpoint",
            "due |= self.none_yet and run.progress.step >= WATCH_EVERY",
            "pass",
        ),
    ),
    *_of(
        "engine",
        "engine/counts.py",
        "models/test_rbm.py -k refused",
        (
            "nothing taken for none",
            "return default if value is None else check_count(name, value)",
            "return check_count(name, value or default)",
        ),
    ),
    *_of(
        "rbm",
        "inference/gibbs.py",
        "inference/test_gibbs.py",
        ("low bits shared by a call", "(*p.shape[:-1], 1) if p.ndim else ()", "()"),
        ("every block the first", "        key = key + BLOCK_STEP\n", ""),
        ("a sign bit that is not masked", "(1 << 37) - 1", "(1 << 38) - 1"),
        (
            "one key for all draws",
            "torch.randint(LEAST, -1 - LEAST, (), device=device)",
            "torch.tensor(LEAST)",
        ),
    ),
    *_of(
        "rbm",
        "inference/gibbs.py",
        "objectives/test_compiled.py -k draws",
        ("compiled steps draw elsewhere", "hashed(place + 1, key)", "hashed(place, key)"),
        ("compiled draws take other lanes", "(index & 3) * 16", "(index & 1) * 16"),
    ),
    *_of(
        "engine",
        "engine/compiled.py",
        "objectives/test_compiled.py -k cd",
        ("other draws where compiled", '"fallback_random": True', '"fallback_random": False'),
    ),
    *_of(
        "engine",
        "engine/descend.py",
        "objectives/test_compiled.py -k 'dbm or nobody'",
        (
            "the first step compiled too",
            "self._graphs if progress.step > 0 else None",
            "self._graphs",
        ),
        ("once compiled always compiled", "            self._graphs = None\n", ""),
    ),
    *_of(
        "engine",
        "engine/descend.py",
        "objectives/test_compiled.py -k pcd",
        ("the rate of the first step for all", " or self._kept_rate[0] != key:", ":"),
        (
            "compiled without a schedule",
            "set_rate(self.optimiser, self",
            "(lambda *_: 0)(self, self",
        ),
    ),
    *_of(
        "engine",
        "engine/moves.py",
        "engine/test_moves.py",
        ("no decay where compiled", "if decay else slope", "if False else slope"),
        ("a velocity that forgets all", "velocity.mul_(momentum)", "velocity.mul_(0.0)"),
        ("uphill where compiled", "parameter.sub_(", "parameter.add_("),
        ("clipping forgotten", "settings.clip is not None", "False"),
        ("too long weights where compiled", "settings.max_norm is not None", "False"),
        ("the frozen move where compiled", "if parameter.requires_grad:", "if True:"),
        ("velocities nobody keeps", 'state["momentum_buffer"] = torch', 'state["x"] = torch'),
    ),
    *_of(
        "engine",
        "engine/compiled.py",
        "engine/test_not_compiled.py",
        ("several processes compile", "if distributed.world() > 1:", "if False:"),
        ("no compiler goes unnoticed", "shutil.which(compiler()) is None", "False"),
    ),
    *_of(
        "engine",
        "engine/descend.py",
        "engine/test_not_compiled.py",
        (
            "parts of a batch compile",
            "if self.accumulation > 1:\n            raise",
            "if False:\n            raise",
        ),
    ),
    *_of(
        "rbm",
        "models/boltzmann/unit_kinds.py",
        "models/test_real_rbm.py",
        ("real data begin at the saddle", "if bold else 0.01", "if False else 0.01"),
    ),
    *_of(
        "rbm",
        "models/boltzmann/gaussian_units.py",
        "models/test_real_rbm.py",
        (
            "weights scaled by the variance",
            "(0.5 * (self.log_variance - before)).exp()",
            "(self.log_variance - before).exp()",
        ),
    ),
    *_of(
        "rbm",
        "models/boltzmann/rbm.py",
        "models/test_real_rbm.py",
        (
            "hidden units decided at the mean",
            "self.hidden_bias.copy_(-(units.statistic(bias) @ self.weights))",
            "pass",
        ),
    ),
    *_of(
        "rbm",
        "models/boltzmann/learning.py",
        "models/test_real_rbm.py",
        (
            "chains stuck in clusters",
            "if visible.log_variance is not None and not isinstance(hidden, Gaussian):",
            "if False:",
        ),
    ),
    *_of(
        "kernels",
        "kernels/contrast.cpp",
        "kernels/test_contrast.py -k 'not built'",
        (
            "offsets follow the chains",
            "offset += s.newest * (data - offset);",
            "offset += s.newest * (chains - offset);",
        ),
        ("b not carried back", "change - dot(slope, s.hidden_offset, H)", "change"),
        ("c not carried back", "slope -= each.pulled[j];", "slope -= 0.0f * each.pulled[j];"),
        ("chains weigh as data do", "? 1.0f / s.num_chains : 0.0f;", "? 1.0f / s.num_data : 0.0f;"),
        (
            "one sweep",
            "for (Size left = s.sweeps; left > 0; --left)",
            "for (Size left = 1; left > 0; --left)",
        ),
        ("chains forgotten", "last ? s.chains_after : nullptr", "nullptr"),
        (
            "a partner where there is none",
            "row < num_rows ? 1.0f / s.num_chains : 0.0f",
            "1.0f / s.num_chains",
        ),
    ),
    *_of(
        "kernels",
        "kernels/rows.h",
        "kernels/test_contrast.py -k 'not built'",
        (
            "softplus of the positive part alone",
            "sum += linear + std::log(product);",
            "sum += linear;",
        ),
    ),
    *_of(
        "kernels",
        "kernels/step.h",
        "kernels/test_contrast.py -k 'not built'",
        (
            "velocities never fade",
            "p.momentum * p.velocity[place] + change",
            "p.velocity[place] + change",
        ),
        ("no decay", "slope + p.decay * p.value[place]", "slope"),
    ),
    *_of(
        "kernels",
        "kernels/draws.h",
        "kernels/test_contrast.py -k 'not built'",
        ("hashed from the place before", "(place + 1) * 0x9E", "place * 0x9E"),
        ("a shift too few", "source->random() % 256", "source->random() % 255"),
        ("the same bits for every row", "draw, row * draw.number + begin", "draw, begin"),
    ),
    *_of(
        "kernels",
        "kernels/words.h",
        "kernels/test_contrast.py -k 'not built'",
        ("cut off in place of rounded", "0x7fff + (bits >> 16 & 1)", "0x0000"),
        ("a block that stays", "4, 5, 6, 7, 12, 13, 14, 15", "4, 5, 6, 7, 8, 9, 10, 11"),
    ),
    *_of(
        "kernels",
        "kernels/contrast.py",
        "kernels/test_contrast.py -k 'not built'",
        ("weights of others not seen", "not same or self._left != _state(weights)", "not same"),
        (
            "other weights not seen",
            "not same or self._left != _state(weights)",
            "self._left != _state(weights)",
        ),
        ("other widths let through", "and tensor.shape == each", "and True"),
        ("no rows let through", "and each[0] > 0", "and True"),
        (
            "nobody told of the change",
            "torch.autograd.graph.increment_version([move.parameter for move in how])",
            "pass",
        ),
        ("offsets overwritten", "(offset.clone() for offset in offsets)", "offsets"),
    ),
    *_of(
        "kernels",
        "objectives/contrastive.py",
        "objectives/test_compiled.py -k 'kernel'",
        (
            "offsets move though at rest",
            "newest_value(num_seen) if self.centred else 0.0",
            "newest_value(num_seen)",
        ),
        (
            "kernel without sparsity",
            "if self.sparsity or not self._logistic or not",
            "if not self._logistic or not",
        ),
        ("kernel for other units", "or not self._logistic or not", "or not"),
        ("kernel for another class", "if type(self) is not ContrastiveDivergence:", "if False:"),
        (
            "kernel for another class of PCD",
            "if type(self) is not PersistentContrastiveDivergence:",
            "if False:",
        ),
    ),
    *_of(
        "kernels",
        "objectives/layer_contrast.py",
        "objectives/test_compiled.py -k 'kernel'",
        ("kernel of labels", "self.centred and model.logistic", "self.centred"),
        ("kernel centres all", "self.centred and model.logistic", "model.logistic"),
        (
            "a share too late",
            "newest_value(self.num_seen), self.log_states",
            "newest_value(self.num_seen + 1), self.log_states",
        ),
    ),
    *_of(
        "kernels",
        "objectives/whole_steps.py",
        "objectives/test_compiled.py -k 'kernel'",
        ("runaways go on", "unless_runaway_value(found.gap, log_states)", "found.gap"),
        ("what stays is moved", "if len(moves) < len(parameters):", "if False:"),
        ("precision not asked for", 'bf16 = torch.is_autocast_enabled("cpu")', "bf16 = False"),
        ("a copy with another's memory", "return Kernels, ()", "return object, ()"),
    ),
]
