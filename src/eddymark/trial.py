"""Tries operators and looks into sources of fields before the first job.

What is wrong with them would else show after the simulation, or one by one.
"""

from __future__ import annotations

import warnings
from dataclasses import replace

from eddymark.config.findings import Problem
from eddymark.config.schema import Experiment
from eddymark.config.steppers import boosted_models
from eddymark.operators import OPERATORS

# Whatever needs torch is imported only when there is something to try.


def try_out(experiment: Experiment) -> list[Problem]:
    """Return what is wrong with sources and with operators; for arguments see these."""
    return [*inspect_sources(experiment), *try_operators(experiment)]


def inspect_sources(experiment: Experiment) -> list[Problem]:
    """Return what does not fit in the files of each source; no field is read.

    Arguments:
        experiment: an experiment with no other problem.
    """
    problems = []
    for name, flow in experiment.flows.items():
        if flow.source is None:
            continue
        from eddymark.external.catalogue import catalogue
        from eddymark.external.selection import check_lengths
        from eddymark.external.store import SourceError
        from eddymark.flows.build import build_flow

        try:
            check_lengths(build_flow(flow), catalogue(flow))
        except SourceError as error:
            problems.append(Problem(("flows", name, "source"), error.expected, f"{error.found} in {error.where}"))
    return problems


def try_operators(experiment: Experiment) -> list[Problem]:
    """Return what is wrong with the operators of the surrogates, each built and applied once on its LES grid.

    Arguments:
        experiment: an experiment with no other problem.
    """
    problems: list[Problem] = []
    on_processor = experiment.model_copy(update={"device": "cpu"})
    for name, flow in experiment.flows.items():
        # What is boosted comes first: what is wrong with it is said once, and not again for those which boost it.
        failed: set[str] = set()
        boosted = {model: boosted_models(flow, model) for model in flow.surrogates}
        for model in sorted(boosted, key=lambda model: len(boosted[model])):
            surrogate = flow.surrogates[model]
            if surrogate.operator is None or failed & set(boosted[model]):
                continue
            from eddymark.operators.build import OperatorError
            from eddymark.stepping.build import trainable_stepper

            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    if not _passes_by_its_shapes(experiment, name, model):
                        stepper = trainable_stepper(on_processor, name, model, surrogate.seeds[0], results=None)
                        if not any(parameter.requires_grad for parameter in stepper.parameters()):
                            found = Problem(("type",), "a module with parameters to train", "one without any")
                            raise OperatorError(surrogate.operator.type, found)
            except OperatorError as error:
                path = ("flows", name, "surrogates", model, "operator", *error.problem.path)
                problems.append(replace(error.problem, path=path))
                failed.add(model)
    return problems


def _passes_by_its_shapes(experiment: Experiment, flow: str, model: str) -> bool:
    """Return whether an operator of the package has nothing wrong on torch's meta device, where weights take no memory.

    One of another package is built for real: it may look at its numbers.
    """
    import torch

    from eddymark.flows.build import build_flow
    from eddymark.grid import SpectralSpace
    from eddymark.operators.build import OperatorError
    from eddymark.stepping.network import untrained_network

    built = build_flow(experiment.flows[flow])
    operator = experiment.flows[flow].surrogates[model].operator
    if operator is None or operator.type not in OPERATORS:
        return False
    static = built.static_fields(SpectralSpace(built.coarse_grid))
    try:
        with torch.device("meta"):
            untrained_network(built, model, static_fields=len(static))
    except OperatorError:
        return False
    return True
