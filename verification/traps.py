"""Mistakes found in published code of this field, and the tests which would notice them here."""

from __future__ import annotations

TRAPS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "T1",
        "physical arguments swapped because they are given by position",
        (
            "tests/verification/test_traps.py::test_physical_arguments_can_only_be_given_by_name",
            "tests/closures/test_properties.py::test_constants_can_only_be_given_by_name",
            "tests/solvers/test_residual.py::test_viscosity_and_the_model_each_have_their_own_place",
        ),
    ),
    (
        "T2",
        "transforms normalised differently there and back: a divergence 32³ times too small",
        (
            "tests/test_grid.py::test_transforms_are_inverse_to_each_other",
            "tests/test_grid.py::test_coefficients_are_amplitudes",
            "tests/test_grid.py::test_parseval",
            "tests/statistics/test_balance.py::test_relative_divergence_is_the_ratio_of_rms_values",
            "tests/solvers/test_residual.py::test_divergence_has_its_size_on_every_grid",
        ),
    ),
    (
        "T3",
        "a relative L2 error that is divided by √(number of frames), summed over the batch, or of another norm",
        (
            "tests/statistics/test_errors.py::test_relative_l2_error_of_a_scaled_field_is_its_excess_per_trajectory_and_time",
            "tests/statistics/test_errors.py::test_relative_l2_error_takes_the_norm_over_all_components",
            "tests/training/test_objective.py::test_loss_is_the_relative_error_per_sample_and_time_averaged",
        ),
    ),
    (
        "T4",
        "periodic coordinates that hold both end points",
        (
            "tests/verification/test_traps.py::test_periodic_coordinates_leave_the_right_end_point_out",
            "tests/operators/test_every_operator.py::test_commutes_with_translations",
        ),
    ),
    (
        "T5",
        "windows of one trajectory in training and test, or the best epoch chosen on test data",
        (
            "tests/flows/test_flows.py::test_splits_never_overlap_and_keep_the_gap",
            "tests/training/test_train.py::test_validation_and_test_data_leave_training_untouched",
        ),
    ),
    (
        "T6",
        "networks that go on learning statistics while they are tested",
        (
            "tests/operators/test_every_operator.py::test_has_no_batch_normalisation_and_learns_nothing_outside_its_parameters",
            "tests/operators/test_fno.py::test_inference_is_deterministic_and_leaves_training_possible",
        ),
    ),
    (
        "T7",
        "padding with zeros in a periodic flow",
        (
            "tests/operators/test_convolutional.py::test_commutes_with_translations_across_the_boundary",
            "tests/operators/test_periodic_convolution.py::test_convolution_is_the_sum_over_neighbours_around_the_box",
        ),
    ),
    (
        "T8",
        "modes counted per sign or in total, corner blocks that are missing",
        (
            "tests/operators/test_fno.py::test_each_corner_block_acts_on_its_own_modes",
            "tests/operators/test_fno.py::test_equals_full_transforms_mode_by_mode",
            "tests/operators/test_fno.py::test_equals_the_convolution_of_neuraloperator",
        ),
    ),
    (
        "T9",
        "scales fitted to data other than those of the training, or not kept with the weights",
        (
            "tests/training/test_train.py::test_normaliser_is_fitted_to_the_training_data",
            "tests/stepping/test_steppers.py::test_surrogate_scales_come_from_the_windows_and_are_stored",
        ),
    ),
    (
        "T10",
        "a schedule of the learning rate that is never stepped or not resumed",
        (
            "tests/training/test_train.py::test_the_optimiser_uses_the_learning_rate_of_the_history",
            "tests/training/test_resuming.py::test_a_killed_training_resumes_to_the_identical_result",
        ),
    ),
    (
        "T11",
        "a best epoch that is the last one because its record is forgotten",
        (
            "tests/training/test_selection.py::test_best_epoch_is_remembered_when_later_ones_improve_on_worse_ones",
            "tests/training/test_selection.py::test_stored_weights_are_the_best_average_and_give_its_validation_error",
        ),
    ),
    (
        "T12",
        "runs with other parameters that overwrite each other",
        ("tests/test_plan.py::test_a_change_alters_the_signatures_of_what_depends_on_it",),
    ),
    (
        "T13",
        "an odd derivative of the Nyquist mode; a safe inverse Laplacian that damps the mean flow",
        (
            "tests/test_grid.py::test_odd_derivative_of_the_nyquist_mode_is_zero",
            "tests/test_grid.py::test_projection_makes_solenoidal_keeps_the_mean_and_is_idempotent",
            "tests/solvers/test_periodic.py::test_mean_flow_is_not_damped_by_viscosity",
            "tests/solvers/test_residual.py::test_mean_flow_has_no_friction_and_counts_in_every_norm",
        ),
    ),
    (
        "T14",
        "optimisation at test time that is left out of the cost",
        (
            "tests/statistics/test_cost.py::test_timing_alternates_between_steppers_and_orders_them",
            "tests/statistics/test_cost.py::test_every_output_starts_from_a_given_state_and_never_from_what_the_stepper_made",
        ),
    ),
    (
        "T15",
        "layers that are not connected to the output",
        (
            "tests/operators/test_every_operator.py::test_all_parameters_are_trained",
            "tests/closures/test_closures.py::test_every_fitted_constant_receives_a_gradient",
        ),
    ),
    (
        "T16",
        "given initial states that enter the score",
        (
            "tests/statistics/test_measure.py::test_initial_state_and_spin_up_enter_neither_averages_nor_errors",
            "tests/statistics/test_measure.py::test_window_includes_its_ends_and_never_the_initial_state",
        ),
    ),
    (
        "T17",
        "a correlation threshold or a unit of time that is not stated",
        (
            "tests/report/test_page.py::test_the_threshold_of_correlation_and_the_unit_of_time_are_stated",
            "tests/statistics/test_errors.py::test_decorrelation_time_is_the_interpolated_first_crossing",
        ),
    ),
    (
        "–",
        "a Runge–Kutta method of lower order than its name (classical weights in a low-storage recursion)",
        ("tests/solvers/test_time_integration.py::test_order_of_convergence",),
    ),
    (
        "–",
        "an infinite gradient of |S| where the strain rate vanishes",
        (
            "tests/closures/test_properties.py::test_gradients_are_finite_at_rest_and_right_in_turbulence",
            "tests/solvers/test_residual.py::test_gradients_are_finite_where_there_is_no_strain",
        ),
    ),
    (
        "–",
        "central differences in time alone, of which n unknown states have n − 1 between them",
        ("tests/solvers/test_residual.py::test_without_ends_an_oscillation_between_outputs_passes_unseen",),
    ),
    (
        "–",
        "a residual that differentiates stored frames in time instead of the solver's own tendency",
        ("tests/solvers/test_periodic.py::test_tendency_is_the_derivative_of_the_solution_and_is_differentiable",),
    ),
    (
        "–",
        "held shells that multiply divergence and what the real transform never sees, until they take over",
        (
            "tests/solvers/test_forcing.py::test_held_shells_do_not_multiply_what_the_transform_cannot_see",
            "tests/solvers/test_forcing.py::test_long_single_precision_run_stays_at_its_statistics",
        ),
    ),
    (
        "–",
        "attention on a stretched axis without the weights of its points",
        ("tests/operators/test_ifactformer.py::test_weights_make_up_for_stretching",),
    ),
    (
        "–",
        "a norm whose ε exceeds the variance that it is given at the start",
        ("tests/operators/test_ifactformer.py::test_the_instance_norm_sees_more_than_its_epsilon",),
    ),
    (
        "–",
        "activations of real and imaginary parts, which do not commute with translations",
        (
            "tests/operators/test_every_operator.py::test_commutes_with_translations",
            "tests/operators/test_iafno.py::test_shrinkage_keeps_phases_and_has_a_gradient_at_zero",
        ),
    ),
    (
        "–",
        "a U-Net on a flattened grid, for which neighbours along two axes are far apart",
        ("tests/operators/test_implicit_operators.py::test_u_net_of_iufno_sees_all_axes_of_the_grid",),
    ),
    (
        "–",
        "transposed convolutions that are half a cell beside the strided ones, or see zeros around a periodic box",
        (
            "tests/operators/test_periodic_convolution.py::test_transposed_convolution_is_the_adjoint_of_the_strided_one",
            "tests/operators/test_periodic_convolution.py::test_transposed_convolution_interpolates_around_the_box_and_up_to_walls",
        ),
    ),
    (
        "–",
        "interpolation between grids that overshoots",
        ("tests/operators/test_sinenet.py::test_interpolation_does_not_overshoot_at_a_jump",),
    ),
    (
        "–",
        "a multigrid cycle that restricts the right-hand side instead of the residual, or has norms tied to one grid",
        (
            "tests/operators/test_mgno.py::test_with_the_weights_of_multigrid_it_solves_poissons_equation_across_the_boundary",
            "tests/operators/test_mgno.py::test_v_cycle_is_linear",
            "tests/operators/test_mgno.py::test_any_size_will_do_and_odd_axes_stay_as_they_are",
        ),
    ),
    (
        "–",
        "a basis with a function that is zero, sin 0",
        ("tests/operators/test_lsm.py::test_every_sine_counts",),
    ),
    (
        "–",
        "coefficients of an even continuation of a periodic field, or as many modes along all axes as along the first",
        (
            "tests/operators/test_transform_once.py::test_equals_sums_over_points_and_coefficients",
            "tests/operators/test_transform_once.py::test_drops_all_other_modes",
        ),
    ),
    (
        "–",
        "windows of attention with masks at a boundary that the flow has not",
        (
            "tests/operators/test_scot.py::test_attention_equals_swin_v2_pair_by_pair_in_windows_across_the_boundary",
            "tests/operators/test_every_operator.py::test_commutes_with_translations",
        ),
    ),
    (
        "–",
        "a variant of a network that cannot be built or called",
        (
            "tests/operators/test_every_operator.py::test_maps_the_channels",
            "tests/operators/test_shipped_surrogates.py::test_the_operator_fits_the_default_grids_and_starts_small",
        ),
    ),
)
"""Number in the project's list of recurring mistakes (T1–T17; – for others), what goes wrong, and tests."""
