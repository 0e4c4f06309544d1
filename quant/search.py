"""Searches for the recipe that suits a network: a strategy, which is told what each one is worth.

Weights are narrowed first, then each pass of the quantizer is tried in turn, the others held, then
layers get wider weights one after the other. That takes some twenty trials, where all combinations
would be thousands. ``docs/search.md`` has the reasons.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from shiftwork.errors import CapacityError, ModelError
from shiftwork.quant.options import QuantizerOptions, Weights
from shiftwork.quant.search_bounds import Bounds, Trial

NARROW: tuple[Weights, ...] = ("int4", "shared16", "pow2")
PASSES: tuple[tuple[str, str, tuple[Any, ...]], ...] = (
    ("scales", "scales", ("mse", "max", "percentile", "kl")),
    ("headroom", "headroom", (1.0, 1.25, 1.5, 2.0)),
    ("equalization", "equalization", (True, False)),
    ("range filling", "range_fill", (True, False)),
    ("activations", "activations", ("unsigned", "signed")),
    ("channel scales", "per_channel", (True, False)),
    ("rounding", "rounding", ("compensated", "nearest")),
    ("bias correction", "bias_correction", (True, False)),
)
"""Name, option and values of each pass, in the order in which they are tried."""
LEAST_GAIN_DB = 0.1
"""A pass is changed for no less: smaller differences are noise of the samples."""
ROUNDS = 2

Measure = Callable[[QuantizerOptions], Trial]
Effects = Callable[[QuantizerOptions], Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class Gain:
    """What a pass is worth in the recipe that was chosen.

    Attributes:
        name: of the pass.
        value: what it is set to.
        other: the best of its other values.
        gain_db: how much more SQNR the value gave than the other, all else equal.
    """

    name: str
    value: Any
    other: Any
    gain_db: float


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a search found.

    Attributes:
        trials: in the order in which they were made.
        choice: one of them.
        reason: why, in a sentence.
        gains: of each pass, the greatest first.
    """

    trials: tuple[Trial, ...]
    choice: Trial
    reason: str
    gains: tuple[Gain, ...]


def search(
    measure: Measure,
    base: QuantizerOptions,
    bounds: Bounds,
    *,
    layers: Mapping[str, int],
    effects: Effects,
    widenable: Mapping[str, int] | None = None,
    wide_outputs: Sequence[str] = (),
) -> Found:
    """The recipe that keeps ``bounds``.

    With a bound of quality it is the one with the fewest bytes of weights, of those with as many
    the one with the greatest SQNR; else the one with the greatest SQNR.

    Args:
        measure: quantizes by a recipe, and measures it.
        base: the recipe that the search begins with.
        bounds: what the choice must keep.
        layers: those that may have sums as weights, and how many weights each has.
        effects: for a recipe, the power of the noise that each layer's own error makes in the
            output, by the layer's name.
        widenable: layers that may have weights of 16 bits, and how many each has. They get them
            where nothing else keeps the bounds.
        wide_outputs: layers whose outputs may have 16 bits. They get them where weights of 16 bits
            do not keep the bounds either.

    Raises:
        CapacityError: if no recipe that was tried keeps the bounds.
    """
    found = _Search(measure, bounds, layers, effects, widenable or {}, wide_outputs)
    choice = found.choose(base)
    gains = [gain for name in PASSES if (gain := found.gain(choice, *name)) is not None]
    return Found(
        trials=tuple(found.trials.values()),
        choice=choice,
        reason=found.reason(choice),
        gains=tuple(sorted(gains, key=lambda gain: -gain.gain_db)),
    )


def difference(options: QuantizerOptions, base: QuantizerOptions) -> str:
    """How ``options`` differ from ``base``, in words; their weights in any case."""
    parts: list[str] = [options.weights]
    if options.sums:
        parts.append(f"sums in {_counted(options.sums)}")
    if options.wide:
        parts.append(f"16 bits in {_counted(options.wide)}")
    if options.wide_activations:
        parts.append(f"outputs of 16 bits in {_counted(options.wide_activations)}")
    for name, key, _ in PASSES:
        value = getattr(options, key)
        if value != getattr(base, key):
            parts.append(described(name, value))
    return ", ".join(parts)


def _counted(names: Sequence[str]) -> str:
    return f"{len(names)} layer{'s' if len(names) > 1 else ''}"


def described(name: str, value: Any) -> str:
    """A pass and its value in words."""
    match value:
        case bool():
            return name if value else f"no {name}"
        case float():
            return f"{name} {value:g}"
        case _:
            return f"{name} {value}"


class _Search:
    """The trials so far, and where the next ones are."""

    def __init__(
        self,
        measure: Measure,
        bounds: Bounds,
        layers: Mapping[str, int],
        effects: Effects,
        widenable: Mapping[str, int],
        wide_outputs: Sequence[str],
    ) -> None:
        self.trials: dict[QuantizerOptions, Trial] = {}
        self._measure, self._bounds = measure, bounds
        self._layers, self._effects = layers, effects
        self._widenable, self._wide_outputs = widenable, wide_outputs

    def choose(self, base: QuantizerOptions) -> Trial:
        """The best recipe that keeps the bounds."""
        base = _plain(base)
        wide = self._trial(replace(base, weights="int8"))
        if self._bounds.hold(wide.weight_bytes) and not self._bounds.of_quality:
            return self._improved(wide)
        narrow = self._narrowed(wide)
        if narrow is not None:
            narrow = self._improved(narrow)
            candidates = [narrow, *self._widened(narrow)]
            met = [trial for trial in candidates if self._bounds.met(trial)]
            if met:
                return min(met, key=self._order)
            wide = max(wide, self._trial(replace(narrow.options, weights="int8")), key=_sqnr_db)
        if self._bounds.hold(wide.weight_bytes):
            wide = wide if self._bounds.met(wide) else self._improved(wide)
        candidates = [wide, *self._finer(wide)]
        met = [trial for trial in candidates if self._bounds.met(trial)]
        if not met:
            raise self._refusal()
        return min(met, key=self._order)

    def gain(self, choice: Trial, name: str, key: str, values: Iterable[Any]) -> Gain | None:
        """What a pass is worth in ``choice``, as far as its other values were tried.

        Layers with sums or of 16 bits were chosen after the passes: they do not count as a
        difference.
        """
        alone = self.trials.get(_plain(choice.options), choice)
        value = getattr(alone.options, key)
        others = [
            self.trials[options]
            for other in values
            if other != value and (options := replace(alone.options, **{key: other})) in self.trials
        ]
        if not others:
            return None
        best = max(others, key=_sqnr_db)
        return Gain(
            name=name,
            value=value,
            other=getattr(best.options, key),
            gain_db=_sqnr_db(alone) - _sqnr_db(best),
        )

    def reason(self, choice: Trial) -> str:
        """Why ``choice`` was chosen."""
        fewest = min(trial.weight_bytes for trial in self.trials.values())
        what = (
            f"{choice.quality.sqnr_db:.1f} dB and a loss of {choice.quality.loss:.2f} points on "
            f"{choice.quality.samples} samples with {choice.weight_bytes:,} bytes of weights"
        )
        if not self._bounds.of_quality:
            return f"{what}: the greatest SQNR of the recipes tried with {self._bounds.text}"
        if choice.weight_bytes == fewest:
            return f"{what}: no weights tried are smaller, and it keeps {self._bounds.text}"
        return f"{what}: the smallest weights tried that keep {self._bounds.text}"

    def _trial(self, options: QuantizerOptions) -> Trial:
        if options not in self.trials:
            self.trials[options] = self._measure(options)
        return self.trials[options]

    def _possible(self, options: QuantizerOptions) -> Trial | None:
        """A trial; None if the network, quantized already, keeps its weights as they are."""
        try:
            return self._trial(options)
        except ModelError:
            return None

    def _narrowed(self, wide: Trial) -> Trial | None:
        """The best of the narrow kinds of weights; None where the network takes none."""
        kinds = (self._possible(replace(wide.options, weights=weights)) for weights in NARROW)
        found = [trial for trial in kinds if trial is not None]
        if not found:
            return None
        if not self._bounds.hold(found[0].weight_bytes):
            raise CapacityError(
                f"the network's weights take {found[0].weight_bytes:,} bytes at 4 bits each, the "
                f"fewest there are, and only {self._bounds.weight_bytes:,} are allowed; allow "
                "more, or train a smaller network"
            )
        return max(found, key=_sqnr_db)

    def _improved(self, best: Trial) -> Trial:
        """Each pass set to what suits the others."""
        for _ in range(ROUNDS):
            start = best
            for _, key, values in PASSES:
                options = best.options
                others = [replace(options, **{key: value}) for value in values]
                challenger = max(map(self._trial, others), key=_sqnr_db)
                if _sqnr_db(challenger) >= _sqnr_db(best) + LEAST_GAIN_DB:
                    best = challenger
            if best is start:
                break
        return best

    def _widened(self, narrow: Trial) -> list[Trial]:
        """Recipes with sums of two values as weights in some layers, where they serve a bound."""
        least = min(self._layers.values(), default=0) // 2
        room = self._bounds.hold(narrow.weight_bytes + least)
        if not self._layers or not room or (self._bounds.of_quality and self._bounds.met(narrow)):
            return []
        single = self._possible(replace(narrow.options, weights="shared16"))
        if single is None:
            return []
        after = self._with_sums(single, self._layers)
        order = self._worth(single, after, self._layers)
        if not self._bounds.of_quality:
            chosen = self._fitting(order, single.weight_bytes)
            return [self._with_sums(single, chosen)]
        counts = [n for n in range(1, len(order) + 1) if self._fits(order[:n], single)]
        return self._bisected(counts, lambda count: self._with_sums(single, order[:count]))

    def _finer(self, single: Trial) -> list[Trial]:
        """Recipes with 16 bits in some layers, where nothing else keeps the bounds.

        Weights are tried first, as they cost no memory for maps; then outputs, which cost no
        weights; then outputs beside weights of 16 bits wherever these may be.
        """
        if not self._bounds.hold(single.weight_bytes) or self._bounds.met(single):
            return []
        outputs = dict.fromkeys(self._wide_outputs, 0)
        tried = self._with_16_bits(single, "wide", self._widenable)
        for start in (single, *tried[:1]):
            if not self._any_met(tried) and self._bounds.hold(start.weight_bytes):
                tried += self._with_16_bits(start, "wide_activations", outputs)
        return tried

    def _any_met(self, trials: Iterable[Trial]) -> bool:
        return any(self._bounds.met(trial) for trial in trials)

    def _with_16_bits(self, start: Trial, key: str, layers: Mapping[str, int]) -> list[Trial]:
        """Recipes with 16 bits in all ``layers``, which is the first, and in some of them.

        Args:
            start: the recipe without them.
            key: of the option: what gets 16 bits.
            layers: those that may, and the bytes that each takes more.
        """
        after = self._possible(_with_layers(start.options, key, layers)) if layers else None
        if after is None:
            return []
        order = self._worth(start, after, layers)
        counts = [
            count
            for count in range(1, len(order) + 1)
            if self._bounds.hold(start.weight_bytes + sum(layers[name] for name in order[:count]))
        ]
        if counts and counts[-1] == len(order) and not self._bounds.met(after):
            return [after]

        def trial(count: int) -> Trial:
            chosen = set(order[:count])
            names = [name for name in layers if name in chosen]
            return self._trial(_with_layers(start.options, key, names))

        return [after, *self._bisected(counts, trial)]

    def _bisected(self, counts: list[int], trial: Callable[[int], Trial]) -> list[Trial]:
        """What was tried to find the least of ascending ``counts`` that keeps the bounds."""
        tried = []
        while counts:
            middle = len(counts) // 2
            tried.append(trial(counts[middle]))
            counts = counts[:middle] if self._bounds.met(tried[-1]) else counts[middle + 1 :]
        return tried

    def _worth(self, before: Trial, after: Trial, layers: Mapping[str, int]) -> list[str]:
        """The layers, those first whose noise falls most for each byte that they take more."""
        noise, rest = self._effects(before.options), self._effects(after.options)
        worth = {
            name: (noise.get(name, 0.0) - rest.get(name, 0.0)) / max(count, 1)
            for name, count in layers.items()
        }
        return sorted(worth, key=lambda name: -worth[name])

    def _fitting(self, order: Iterable[str], taken: int) -> list[str]:
        """As many of the layers, the first ones first, as the bytes allow."""
        chosen = []
        for name in order:
            more = -(-self._layers[name] // 2)
            if self._bounds.hold(taken + more):
                chosen.append(name)
                taken += more
        return chosen

    def _fits(self, names: Iterable[str], single: Trial) -> bool:
        more = sum(-(-self._layers[name] // 2) for name in names)
        return self._bounds.hold(single.weight_bytes + more)

    def _with_sums(self, single: Trial, names: Iterable[str]) -> Trial:
        """In the network's order, so that equal choices are equal recipes."""
        chosen = set(names)
        sums = tuple(name for name in self._layers if name in chosen)
        return self._trial(replace(single.options, sums=sums))

    def _order(self, trial: Trial) -> tuple[int, int, float]:
        """Of two recipes that keep the bounds the lesser is better; wide outputs take cycles."""
        size, outputs = trial.weight_bytes, len(trial.options.wide_activations)
        return *((size, outputs) if self._bounds.of_quality else (0, 0)), -_sqnr_db(trial)

    def _refusal(self) -> CapacityError:
        allowed = [t for t in self.trials.values() if self._bounds.hold(t.weight_bytes)]
        nearest = max(allowed or self.trials.values(), key=_sqnr_db)
        quality = nearest.quality
        return CapacityError(
            f"no recipe that was tried keeps {self._bounds.text}; the nearest, "
            f"{_weights_of(nearest.options)} of {nearest.weight_bytes:,} bytes, has "
            f"{quality.sqnr_db:.1f} dB and a loss of {quality.loss:.2f} points on "
            f"{quality.samples} samples: relax a bound, or give more calibration samples"
        )


def _weights_of(options: QuantizerOptions) -> str:
    """What weights are, in words."""
    more = f" ({_counted(options.wide)} of 16 bits)" if options.wide else ""
    if options.wide_activations:
        more += f" and outputs of 16 bits in {_counted(options.wide_activations)}"
    return f"{options.weights} weights{more}"


def _with_layers(options: QuantizerOptions, key: str, names: Iterable[str]) -> QuantizerOptions:
    """The option ``key`` names these layers."""
    changes: dict[str, Any] = {key: tuple(names)}
    return replace(options, **changes)


def _plain(options: QuantizerOptions) -> QuantizerOptions:
    """The same in all layers."""
    return replace(options, sums=(), wide=(), wide_activations=())


def _sqnr_db(trial: Trial) -> float:
    return trial.quality.sqnr_db


def as_record(trial: Trial) -> dict[str, Any]:
    """A trial as JSON values, without the time it took."""
    return {
        "options": asdict(trial.options),
        "weight_bytes": trial.weight_bytes,
        **asdict(trial.quality),
        "loss": trial.quality.loss,
    }
