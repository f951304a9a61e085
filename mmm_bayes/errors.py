"""Every error and warning that this package raises.

Errors derive from the built-in one that fits (``ValueError``, ``RuntimeError``, ...). Those that
check a table or settings report everything at once, in ``findings``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmm_bayes.runtime.lazy_import import lazy_names

if TYPE_CHECKING:
    from mmm_bayes.augmentation.table import AugmentationWarning
    from mmm_bayes.causal.graph.checks import GraphError
    from mmm_bayes.causal.identify.criteria import IdentificationError
    from mmm_bayes.causal_mmm.networks.training_checkpoint import TrainingWarning
    from mmm_bayes.inference.chain_runner import NoFiniteStartError
    from mmm_bayes.inference.checkpoint import SamplingWarning
    from mmm_bayes.inference.memory import FitMemoryError
    from mmm_bayes.inference.sharding import DevicesError
    from mmm_bayes.many_fits.fit_cells import FolderError
    from mmm_bayes.many_fits.fit_map import FitMapError
    from mmm_bayes.many_fits.map_fits import FitsWarning
    from mmm_bayes.model.checks import ModelDataError
    from mmm_bayes.model.spec_file import ModelSpecError
    from mmm_bayes.present.report.write import ReportError
    from mmm_bayes.runtime.arguments import ArgumentError
    from mmm_bayes.runtime.artifact_errors import FitFileError
    from mmm_bayes.runtime.atomic_write import WriteError
    from mmm_bayes.runtime.findings import DataError, DataWarning
    from mmm_bayes.runtime.jobs.dask_cluster import ClusterWarning
    from mmm_bayes.runtime.jobs.store import ResultsError
    from mmm_bayes.runtime.jobs.tasks import RunError, WorkerError
    from mmm_bayes.runtime.outputs import OutputError
    from mmm_bayes.runtime.run_folder import RunFolderError
    from mmm_bayes.runtime.settings import SettingsError

__all__ = [
    "ArgumentError",
    "AugmentationWarning",
    "ClusterWarning",
    "DataError",
    "DataWarning",
    "DevicesError",
    "FitFileError",
    "FitMapError",
    "FitMemoryError",
    "FitsWarning",
    "FolderError",
    "GraphError",
    "IdentificationError",
    "ModelDataError",
    "ModelSpecError",
    "NoFiniteStartError",
    "OutputError",
    "ReportError",
    "ResultsError",
    "RunError",
    "RunFolderError",
    "SamplingWarning",
    "SettingsError",
    "TrainingWarning",
    "WorkerError",
    "WriteError",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "ArgumentError": "runtime.arguments",
        "AugmentationWarning": "augmentation.table",
        "ClusterWarning": "runtime.jobs.dask_cluster",
        "DataError": "runtime.findings",
        "DataWarning": "runtime.findings",
        "DevicesError": "inference.sharding",
        "FitFileError": "runtime.artifact_errors",
        "FitMapError": "many_fits.fit_map",
        "FitMemoryError": "inference.memory",
        "FitsWarning": "many_fits.map_fits",
        "FolderError": "many_fits.fit_cells",
        "GraphError": "causal.graph.checks",
        "IdentificationError": "causal.identify.criteria",
        "ModelDataError": "model.checks",
        "ModelSpecError": "model.spec_file",
        "NoFiniteStartError": "inference.chain_runner",
        "OutputError": "runtime.outputs",
        "ReportError": "present.report.write",
        "ResultsError": "runtime.jobs.store",
        "RunError": "runtime.jobs.tasks",
        "RunFolderError": "runtime.run_folder",
        "SamplingWarning": "inference.checkpoint",
        "SettingsError": "runtime.settings",
        "TrainingWarning": "causal_mmm.networks.training_checkpoint",
        "WorkerError": "runtime.jobs.tasks",
        "WriteError": "runtime.atomic_write",
    },
)
