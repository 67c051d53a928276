"""What was really dropped, counted on the device without a synchronisation, and read once at the log interval."""

from typing import Any

import torch
from torch import Tensor

from nasdrop.drop.paths import Draw, PathDrop


class Counts:
    """Counts of one PathDrop since the last reset.

    Args:
        path_drop: The module whose draws are counted.
    """

    def __init__(self, path_drop: PathDrop) -> None:
        self._path_drop = path_drop
        self.reset()

    def reset(self) -> None:
        """Forget everything counted."""
        self._rows = 0
        self._dropped: Tensor | None = None
        self._silent: Tensor | None = None
        self._columns: Tensor | None = None

    def add(self, draw: Draw) -> None:
        """Count a draw; nothing is read back from the device."""
        if draw.factors is not None:
            dropped = draw.factors == 0
            self._rows += draw.factors.shape[1]
            if draw.choices is None:
                self._silent = _plus(self._silent, self._path_drop.count_silent(dropped))
            self._dropped = _plus(self._dropped, dropped.sum(1))
        elif draw.choices is not None:
            self._rows += 1
            self._dropped = _plus(self._dropped, (~draw.choices).long())
        if draw.factors is not None and draw.choices is not None:
            drawn = torch.bincount(draw.choices + 1, minlength=self._path_drop.num_columns + 1)
            self._columns = _plus(self._columns, drawn)

    def dropped(self) -> list[float]:
        """Share of rows in which each path was dropped; empty when nothing was counted."""
        if self._dropped is None or self._rows == 0:
            return []
        shares: list[float] = (self._dropped.double() / self._rows).tolist()
        return shares

    def silent(self) -> float:
        """Silent nodes a row; 0 when nothing was counted."""
        return 0.0 if self._silent is None or self._rows == 0 else self._silent.item() / self._rows

    def columns(self) -> list[float]:
        """Shares of the local rule and of each column; empty where there are no columns."""
        if self._columns is None:
            return []
        shares: list[float] = (self._columns.double() / self._columns.sum()).tolist()
        return shares

    def state_dict(self) -> dict[str, Any]:
        """The counts as plain numbers."""
        tensors = {"dropped": self._dropped, "silent": self._silent, "columns": self._columns}
        return {"rows": self._rows} | {key: None if t is None else t.tolist() for key, t in tensors.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take counts back."""
        device = self._path_drop.rates.device
        self._rows = state["rows"]
        self._dropped, self._silent = (
            None if state[key] is None else torch.tensor(state[key], device=device) for key in ("dropped", "silent")
        )
        self._columns = None if state["columns"] is None else torch.tensor(state["columns"])


def _plus(total: Tensor | None, more: Tensor) -> Tensor:
    return more if total is None else total + more
