"""Open small ONNX models that ship inside packages, on one thread; none of the packages is run."""

import hashlib
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mella.decode import MissingPackageError
from mella.errors import MellaError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_RUNTIME = "onnxruntime"


class ModelError(MellaError, ValueError):
    """A model other than the one that the scores of mella are made by."""


@dataclass(frozen=True)
class PackedModel:
    """A model in an installed package.

    Attributes:
        package: Name of the import package.
        file: In its folder.
        sha256: Of the file: another model gives other scores.
        install: What pip is asked for, to get this very file.
    """

    package: str
    file: str
    sha256: str
    install: str

    def find(self) -> Path:
        """Return the file, which holds the model; no package is imported, for some import a lot.

        Raises:
            MissingPackageError: The package or ONNX Runtime is not installed.
            ModelError: The package holds another model, or none.
        """
        specs = [util.find_spec(name) for name in (self.package, _RUNTIME)]
        folders = specs[0].submodule_search_locations if specs[0] else None
        if not folders or None in specs:
            raise MissingPackageError(
                f"The model {self.file} needs the packages {self.package} and {_RUNTIME}: "
                f"pip install {self.install}, or take the model out of [safety]."
            )
        path = Path(folders[0]) / self.file
        try:
            with path.open("rb") as file:
                got = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ModelError(
                f"{path} cannot be read: {error}. Install it: pip install {self.install}"
            ) from error
        if got != self.sha256:
            raise ModelError(
                f"{path} has the SHA-256 {got}, not {self.sha256}: its scores would not compare "
                f"with those made before. Install the right one: pip install {self.install}"
            )
        return path

    def open(self) -> "Session":
        """Load the model; it raises what `find` does."""
        return Session(self.find().read_bytes())


class Session:
    """A loaded model."""

    def __init__(self, data: bytes) -> None:
        """Load a model from the bytes of its file."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # Each worker process of a build has a core to itself.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session: Any = onnxruntime.InferenceSession(
            data, options, providers=["CPUExecutionProvider"]
        )
        self._input = self._session.get_inputs()[0].name

    def run(self, batch: "npt.NDArray[np.float32]") -> "npt.NDArray[np.float32]":
        """Return the first output for a batch, of the shapes that the model has."""
        made: npt.NDArray[np.float32] = self._session.run(None, {self._input: batch})[0]
        return made
