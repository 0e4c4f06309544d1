"""When the array is busy, filling and draining: the cycles of a schedule, taken apart.

Every layer, or pass of one, runs through the same phases in the same order. Their cycles add up to
the layer's, and the layers' to the frame's. ``docs/hardware.md`` explains the phases.
"""

from dataclasses import dataclass

from shiftwork.hw import layouts, weight_copier
from shiftwork.hw.fetch import ROW_LATENCY
from shiftwork.hw.schedule import LayerPlan, Schedule
from shiftwork.hw.sequencer import LOAD_OVERHEAD


@dataclass(frozen=True, kw_only=True)
class LayerPhases:
    """The phases of a layer, or of a pass over some of its channels, in cycles and in order.

    Attributes:
        name, kind: of the program's op.
        begin: cycle of the frame in which it begins.
        loading: its descriptor is read from the program ROM.
        copying: its weights move from activation memory to the columns; 0 with ROMs.
        filling: from the first turn of the fetch unit to the first byte at the first element.
        walking: from there to the last byte at the first element.
        waiting: cycles among ``walking`` in which nothing is fetched, since the tile before has to
            leave the drain first; spread evenly, behind every tile but the last.
        draining: from there until the last word is written and the sequencer knows.
        macs: useful multiply-accumulates, all of them while ``walking`` and just after, as far as
            elements lag the first one.
        elements: of the array.
        pooling: maxima or averages, which do not count as multiply-accumulates.
    """

    name: str
    kind: str
    begin: int
    loading: int
    copying: int
    filling: int
    walking: int
    waiting: int
    draining: int
    macs: int
    elements: int
    pooling: bool

    @property
    def cycles(self) -> int:
        """Of all phases."""
        return self.loading + self.copying + self.filling + self.walking + self.draining

    @property
    def fetching(self) -> int:
        """Cycles among ``walking`` in which the first element gets bytes, or could."""
        return self.walking - self.waiting

    @property
    def utilization(self) -> float:
        """Useful work as a share of what all elements could do in ``fetching``; 0 for pooling."""
        return self.macs / (self.fetching * self.elements)


PHASES = ("loading", "copying", "filling", "fetching", "waiting", "draining")
"""What the cycles of a layer are; every cycle is one of them."""


def timeline(schedule: Schedule) -> tuple[LayerPhases, ...]:
    """The phases of every layer and pass of a frame, in execution order."""
    load = layouts.descriptor_words(schedule.config.fields) + LOAD_OVERHEAD
    found, begin = [], 0
    for layer in schedule.layers:
        phases = _phases(layer, begin, load, elements=schedule.config.shape.elements)
        found.append(phases)
        begin += phases.cycles
    return tuple(found)


def _phases(layer: LayerPlan, begin: int, load: int, *, elements: int) -> LayerPhases:
    chunks, last = layer.tiles * layer.groups, layer.walks[-1]
    windows = layer.chunk_cycles - layer.chunk_pad
    walking = (chunks - 1) * layer.chunk_cycles + windows - last.cycles + last.last_token + 1
    copying = 0
    if layer.descriptor.get("copies"):
        copying = layer.descriptor["copy_words"] + weight_copier.LATENCY
    return LayerPhases(
        name=layer.name,
        kind=layer.kind,
        begin=begin,
        loading=load,
        copying=copying,
        filling=ROW_LATENCY,
        walking=walking,
        waiting=(chunks - 1) * layer.chunk_pad,
        draining=layer.cycles - load - copying - ROW_LATENCY - walking,
        macs=layer.macs,
        elements=elements,
        pooling=layer.macs == 0,
    )
