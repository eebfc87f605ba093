"""Chapter 8's experiment as one object: its two halves, pickers, and what is learned without labels."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from chapters.ch08_first_breaks.picking_study import PickingStudy
from chapters.ch08_first_breaks.sections_study import SectionsStudy
from companion.jobs import LongWork, Part

if TYPE_CHECKING:  # what settings may be changes no result
    from chapters.ch08_first_breaks.settings import Settings


class Study(LongWork):
    """Both halves at the sizes of ``settings`` (08_first_breaks of notebooks/profiles.yml); neither needs the other."""

    settings: "Settings"

    @cached_property
    def picking(self) -> PickingStudy:
        """Of first breaks."""
        return PickingStudy(self.settings.picking, self.seed, self.store, self.tell)

    @cached_property
    def sections(self) -> SectionsStudy:
        """Of autoencoders and generators."""
        return SectionsStudy(self.settings.sections, self.seed, self.store, self.tell)

    @cached_property
    def halves(self) -> dict[Part, PickingStudy | SectionsStudy]:
        """Part -> the half that it belongs to."""
        return {part: half for half in (self.picking, self.sections) for part in half.parts}

    @property
    def parts(self) -> Sequence[Part]:
        return list(self.halves)

    def needs(self, part: Part) -> Sequence[Part]:
        return self.halves[part].needs(part)  # type: ignore[arg-type]  # a half's own

    def arguments(self, part: Part) -> dict:
        return self.halves[part].arguments(part)  # type: ignore[arg-type]

    def work(self, part: Part, earlier: Callable[[Part], Any]) -> Any:
        return self.halves[part].work(part, earlier)  # type: ignore[arg-type]

    def run(self) -> None:
        super().run()
        for part, result in self._results.items():
            self.halves[part]._results[part] = result
