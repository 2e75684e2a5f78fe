"""Every branch of the verdict, on standings whose outcome is known."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from eddymark.report.standings import (
    DECORRELATION,
    PRODUCTION,
    REYNOLDS_STRESS,
    SKEWNESS,
    SPECTRUM,
    UPPER_SPECTRUM,
    Activity,
    Estimate,
    Score,
    Standing,
    rank,
)
from eddymark.report.verdict import Verdict, verdict

FLOOR = 0.01


def around(value: float, half: float, floor: float = math.nan) -> Estimate:
    return Estimate(value, value - half, value + half, floor)


def row(
    name: str,
    kind: str,
    error: float,
    *,
    half: float = 0.005,
    cost: float = 1.0,
    survived: int = 8,
    others: dict[Score, Estimate] | None = None,
    **more: Any,
) -> Standing:
    estimates = {SPECTRUM.key: around(error, half, FLOOR)}
    estimates |= {score.key: estimate for score, estimate in (others or {}).items()}
    return Standing(
        name,
        kind,
        estimates=estimates,
        survived=survived,
        rollouts=8,
        failure_time=math.nan if survived == 8 else 12.0,
        cost_batch=Estimate(cost),
        cost_single=Estimate(2 * cost),
        **more,
    )


NO_MODEL = row("no_model", "les", 0.2, cost=0.5)
FITTED = row("fitted", "les", 0.08, cost=1.0)


def judge(*rows: Standing, no_model: str | None = "no_model", dimensions: int = 2, **more: Any) -> Verdict:
    return verdict(rows, dimensions=dimensions, no_model=no_model, **more)


def detail(result: Verdict, beginning: str) -> str:
    matching = [text for text in result.details if text.startswith(beginning)]
    assert len(matching) == 1, result.details
    return matching[0]


def test_a_learned_model_below_the_best_les_outside_the_intervals_wins() -> None:
    text = judge(NO_MODEL, FITTED, row("cnn", "hybrid", 0.04)).sentence
    assert text.startswith(
        "A learned model wins: the hybrid cnn has a spectrum error of 0.040 [0.035, 0.045] "
        "decades, 4.0 × the sampling floor, below that of the best LES, fitted (0.080 [0.075, 0.085], 8.0 × "
        "the sampling floor), outside the 95 % intervals; 8 of 8 rollouts of cnn survived"
    )


def test_a_learned_model_above_the_best_les_outside_the_intervals_loses() -> None:
    text = judge(NO_MODEL, FITTED, row("fno", "surrogate", 0.12)).sentence
    assert text.startswith("The surrogate loses: the best learned model, fno, has")
    assert "above that of the best LES, fitted (0.080 [0.075, 0.085]" in text
    assert "wins" not in text


def test_overlapping_intervals_are_no_difference_beyond_chance() -> None:
    text = judge(NO_MODEL, FITTED, row("fno", "surrogate", 0.075)).sentence
    assert text.startswith("No difference beyond chance: the best learned model, the surrogate fno, has")
    assert "their 95 % intervals overlap" in text


def test_touching_intervals_do_not_separate() -> None:
    touching = row("fno", "surrogate", 0.0625, half=0.0125)
    assert judge(NO_MODEL, FITTED, touching).sentence.startswith("No difference beyond chance")


def test_unknown_intervals_never_separate() -> None:
    unknown = Standing("fno", "surrogate", estimates={SPECTRUM.key: Estimate(0.001)}, survived=8, rollouts=8)
    text = judge(NO_MODEL, FITTED, unknown).sentence
    assert text.startswith("No difference beyond chance")
    assert "its cost was not measured" in text


def test_the_best_learned_model_is_the_one_compared() -> None:
    text = judge(NO_MODEL, FITTED, row("fno", "surrogate", 0.12), row("cnn", "hybrid", 0.04)).sentence
    assert "the hybrid cnn has" in text
    assert "fno" not in text


@pytest.mark.parametrize("survived", [1, 7])
def test_a_learned_model_with_failed_rollouts_cannot_win(survived: int) -> None:
    lucky = row("cnn", "hybrid", 0.04, survived=survived)
    result = judge(NO_MODEL, FITTED, row("fno", "surrogate", 0.12), lucky)
    assert result.sentence.startswith("The surrogate loses: the best learned model, fno, has")
    assert "cnn" not in result.sentence
    assert detail(result, "Lowest spectrum error").startswith(f"Lowest {SPECTRUM.title}: the LES fitted")
    lost = detail(result, "Not ranked")
    assert f"cnn ({survived} of 8 survived, median failure at 12.0 turnover times" in lost
    assert "spectrum error of those that did not blow up 0.040 [0.035, 0.045] decades)" in lost


def test_an_les_with_failed_rollouts_is_no_opponent() -> None:
    result = judge(NO_MODEL, row("fitted", "les", 0.03, survived=6), row("cnn", "hybrid", 0.04))
    assert "below that of the best LES, no_model" in result.sentence
    assert "fitted (6 of 8 survived" in detail(result, "Not ranked")


def test_a_win_is_doubted_while_an_les_that_lost_few_rollouts_is_not_separated() -> None:
    cnn, opponent = row("cnn", "hybrid", 0.04, cost=5.0), row("smagorinsky", "les", 0.3)
    lost = row("fitted", "les", 0.05, half=0.02, survived=7)
    doubt = (
        "outside the 95 % intervals, but not beyond doubt: fitted, not ranked as it lost 1 of its 8 rollouts, is not "
        "separated from it (0.050 [0.030, 0.070], at 0.20 × the cost); 8 of 8"
    )
    assert doubt in judge(opponent, lost, cnn).sentence
    better = judge(opponent, row("fitted", "les", 0.02, survived=7), cnn).sentence
    assert "fitted, not ranked as it lost 1 of its 8 rollouts, has less (0.020 [0.015, 0.025], at 0.20 ×" in better
    by_default = judge(lost, cnn).sentence
    assert "wins by default: no LES survived all of its rollouts, but not beyond doubt: fitted" in by_default
    for harmless in (
        row("fitted", "les", 0.08, survived=7),
        row("fitted", "les", 0.05, half=0.02, survived=4),
        row("fitted", "les", 0.05, half=0.02, survived=7, fewer_shells=5),
        row("fitted", "les", math.nan, survived=7),
    ):
        assert "doubt" not in judge(opponent, harmless, cnn).sentence
    assert "doubt" not in judge(row("best", "les", 0.01), lost, cnn).sentence


def test_a_learned_model_without_a_surviving_rollout_cannot_win() -> None:
    result = judge(NO_MODEL, FITTED, row("fno", "surrogate", 0.001, survived=0))
    assert result.sentence.startswith("The learned models lose: none survived all of its rollouts, while the LES")
    lost = detail(result, "Not ranked")
    assert "fno (0 of 8 survived, median failure at 12.0 turnover times" in lost


def test_a_learned_model_wins_by_default_when_no_les_survives() -> None:
    text = judge(row("fitted", "les", 0.08, survived=0), row("fno", "surrogate", 0.2)).sentence
    assert text.startswith("The surrogate fno (0.200 [0.195, 0.205] decades) wins by default: no LES survived all")
    assert "among LES on the same grid (up to 1.1 × its 1.00 s per turnover time) there is no LES that survived" in text
    coarse = row("fitted-12", "les", 0.08, fewer_shells=3, on_alternative_grid=True)
    text = judge(row("fitted", "les", 0.08, survived=0), coarse, row("fno", "surrogate", 0.2)).sentence
    assert "wins by default: no LES that resolves all shells survived all of its rollouts; 8 of 8" in text


def test_nobody_wins_when_nothing_survives() -> None:
    rows = (row("fitted", "les", 0.08, survived=0), row("fno", "surrogate", 0.2, survived=0))
    assert judge(*rows).sentence == "Nobody wins: no LES and no learned model survived all of its rollouts."


def test_without_learned_models_the_best_les_is_named() -> None:
    text = judge(NO_MODEL, FITTED).sentence
    assert text.startswith("No learned model took part; the best LES in the spectrum error is the LES fitted")


def test_no_headroom_is_said_first_and_questions_the_case() -> None:
    result = judge(row("no_model", "les", 0.016), row("cnn", "hybrid", 0.002, half=0.001))
    assert result.sentence.startswith(
        "The case has no headroom, so it proves nothing for either side: the no-model LES is already within "
        "1.6 × the sampling floor in the spectrum error (0.016 [0.011, 0.021] against 0.0100 decades). A learned"
    )


def test_headroom_is_a_multiple_of_the_floor() -> None:
    assert judge(NO_MODEL, FITTED).headroom.startswith("There is headroom: the no-model LES is at 20 × the sam")


def test_the_upper_shells_alone_can_leave_headroom() -> None:
    upper = {UPPER_SPECTRUM: around(0.3, 0.01, floor=0.01)}
    result = judge(row("no_model", "les", 0.016, others=upper))
    assert "and 30 × the floor in that of the upper shells" in result.headroom
    assert "no headroom" not in result.sentence
    exhausted = judge(row("no_model", "les", 0.016, others={UPPER_SPECTRUM: around(0.02, 0.01, floor=0.01)}))
    assert exhausted.sentence.startswith("The case has no headroom")


def test_a_model_named_like_its_kind_is_named_once() -> None:
    assert "wins: the hybrid has" in judge(NO_MODEL, FITTED, row("hybrid", "hybrid", 0.04)).sentence


def test_a_failing_no_model_les_leaves_headroom() -> None:
    text = judge(row("no_model", "les", 0.011, survived=0), FITTED)
    assert text.headroom.startswith("There is headroom: no rollout of the no-model LES survived")
    assert "no headroom" not in text.sentence
    some = judge(row("no_model", "les", 0.011, survived=3), FITTED)
    assert some.headroom.startswith("There is headroom: only 3 of 8 rollouts of the no-model LES survived")
    assert "no headroom" not in some.sentence


def test_headroom_is_unknown_without_a_no_model_les_or_a_floor() -> None:
    assert judge(FITTED, no_model=None).headroom.startswith("Headroom unknown: the experiment has no LES without")
    bare = Standing("no_model", "les", estimates={SPECTRUM.key: Estimate(0.2)}, survived=1, rollouts=1)
    assert judge(bare).headroom.startswith("Headroom unknown: no sampling floor")


def test_at_equal_cost_an_expensive_les_does_not_count() -> None:
    costly = row("dynamic", "les", 0.02, cost=5.0)
    text = judge(NO_MODEL, costly, row("fno", "surrogate", 0.1, cost=1.0)).sentence
    assert text.startswith("The surrogate loses")
    assert (
        "at equal cost among LES on the same grid (up to 1.1 × its 1.00 s per turnover time) it beats the best LES "
        "there, no_model (0.200 [0.195, 0.205] decades, 0.500 s)" in text
    )
    assert "it is on the cost–accuracy Pareto front" in text


def test_at_equal_cost_a_cheap_les_can_still_win_or_draw() -> None:
    best = row("dynamic", "les", 0.02, cost=5.0)
    loses = judge(best, FITTED, row("fno", "surrogate", 0.15, cost=1.0)).sentence
    assert "it loses to fitted (0.080 [0.075, 0.085] decades, 1.00 s), and it is not on the cost" in loses
    draws = judge(best, FITTED, row("fno", "surrogate", 0.078, cost=1.0)).sentence
    assert "it does not differ from the best LES there, fitted" in draws


def test_ten_per_cent_more_counts_as_equal_cost() -> None:
    costly = row("dynamic", "les", 0.02, cost=5.0)
    within = judge(costly, row("les", "les", 0.3, cost=1.09), row("fno", "surrogate", 0.1)).sentence
    assert "it beats the best LES there, les" in within
    beyond = judge(costly, row("les", "les", 0.3, cost=1.11), row("fno", "surrogate", 0.1)).sentence
    assert "there is no LES that survived all of its rollouts, and" in beyond


def test_the_same_rival_at_equal_cost_is_not_repeated() -> None:
    text = judge(NO_MODEL, FITTED, row("cnn", "hybrid", 0.04, cost=2.0)).sentence
    assert "the outcome is the same, as fitted takes 1.00 s" in text


def test_the_converse_question_is_asked_of_a_costlier_winner() -> None:
    winner = row("cnn", "hybrid", 0.04, cost=2.0)
    alone = judge(NO_MODEL, FITTED, winner).sentence
    assert alone.endswith("at the lower cost of the best LES (1.00 s) no learned model is affordable and the LES wins.")
    better = judge(FITTED, winner, row("fno", "surrogate", 0.06)).sentence
    assert "at the lower cost of the best LES (1.00 s) a learned model wins: fno" in better
    worse = judge(FITTED, winner, row("fno", "surrogate", 0.16)).sentence
    assert "the LES wins; the best affordable learned model is fno" in worse
    equal = judge(FITTED, winner, row("fno", "surrogate", 0.08)).sentence
    assert "the best affordable learned model, fno (0.080" in equal
    assert "lower cost of the best LES" not in judge(FITTED, row("cnn", "hybrid", 0.04, cost=0.9)).sentence
    failed = judge(FITTED, winner, row("fno", "surrogate", 0.06, survived=7)).sentence
    assert failed.endswith("(1.00 s) no affordable learned model survived all of its rollouts, and the LES wins.")


@pytest.mark.parametrize(("dimensions", "score"), [(2, PRODUCTION), (3, SKEWNESS)])
def test_each_score_has_its_own_leader(dimensions: int, score: Score) -> None:
    les = row("a", "les", 0.1, others={score: around(0.5, 0.1), UPPER_SPECTRUM: around(0.1, 0.01)})
    learned = row("b", "hybrid", 0.1, others={score: around(0.1, 0.1), UPPER_SPECTRUM: around(0.2, 0.01)})
    result = judge(les, learned, dimensions=dimensions)
    assert "the hybrid b (0.10 [0.00, 0.20])" in detail(result, f"Lowest {score.title}")
    assert "ahead of the LES a" in detail(result, f"Lowest {score.title}")
    assert "the LES a" in detail(result, f"Lowest {UPPER_SPECTRUM.title}")
    assert "not separated by the intervals from b" in detail(result, f"Lowest {SPECTRUM.title}:")


def test_a_longer_decorrelation_time_is_better() -> None:
    les = row("a", "les", 0.1, others={DECORRELATION: around(3.0, 0.1)})
    learned = row("b", "hybrid", 0.1, others={DECORRELATION: around(4.6, 0.1)})
    result = judge(les, learned)
    assert detail(result, "Longest").startswith("Longest decorrelation time: the hybrid b (4.60 [4.50, 4.70]")
    assert detail(result, "In the other scores") == (
        "In the other scores, b against a is better in decorrelation time."
    )


def test_a_decorrelation_time_beyond_the_data_is_no_number() -> None:
    rows = [
        row("a", "les", 0.1, others={DECORRELATION: around(6.0, 0)}),
        row("b", "hybrid", 0.1, others={DECORRELATION: around(6.0, 0)}),
        row("c", "surrogate", 0.1, others={DECORRELATION: around(4.0, 0)}),
    ]
    assert detail(judge(*rows, longest_lead=6.0), "Longest") == (
        "Longest decorrelation time: longer than the DNS data (6.00 turnover times) for a and b."
    )


def test_the_speed_up_over_dns_is_that_of_the_best_one_at_a_time() -> None:
    dns = Standing("dns", "floor", cost_single=Estimate(90.0))
    rows = [NO_MODEL, FITTED, row("cnn", "hybrid", 0.04, cost=1.5)]
    assert detail(judge(dns, *rows), "Speed-up over DNS") == (
        "Speed-up over DNS on the same device, one trajectory at a time: 30.0 × for the hybrid cnn and 45.0 × for the "
        "LES fitted (DNS: 90.0 s per turnover time)."
    )
    for untimed in ([], [Standing("dns", "floor")]):
        assert not [text for text in judge(*untimed, *rows).details if "Speed-up" in text]


def test_training_is_repaid_only_by_a_cheaper_model() -> None:
    cheap = row("cnn", "hybrid", 0.04, cost=0.5, training_seconds=100.0)
    text = detail(judge(FITTED, cheap, data_seconds=60.0), "The learned model cnn took")
    assert "100 s of training and 60.0 s of data generation, repaid against fitted after 320 simulated" in text
    costly = row("cnn", "hybrid", 0.04, cost=1.5, training_seconds=100.0)
    assert "never repays" in detail(judge(FITTED, costly), "The learned model cnn took")


def test_a_fitted_opponent_has_cost_the_same_data_and_a_training_too() -> None:
    cheap = row("cnn", "hybrid", 0.04, cost=0.5, training_seconds=100.0)
    fitted = row("fitted", "les", 0.08, cost=1.0, training_seconds=20.0)
    text = detail(judge(fitted, cheap, data_seconds=60.0), "The learned model cnn took")
    assert "100 s of training and 60.0 s of data generation, fitted the same data and 20.0 s of training, " in text
    assert text.endswith("repaid against fitted after 160 simulated turnover times.")
    quick = row("cnn", "hybrid", 0.04, cost=0.5, training_seconds=10.0)
    text = detail(judge(fitted, quick, data_seconds=60.0), "The learned model cnn took")
    assert text.endswith("repaid against fitted after 0 simulated turnover times.")


def test_matched_noise_is_exposed_by_the_statistic_that_catches_fakes() -> None:
    learned = row("cnn", "hybrid", 0.04, others={PRODUCTION: around(0.01, 0.005)})
    noise = row("matched_noise", "control", 0.01, others={PRODUCTION: around(0.08, 0.005)})
    text = detail(judge(FITTED, learned, noise), "The spectrum alone")
    assert "the control matched_noise is no worse in it than cnn" in text
    assert "palinstrophy production error exposes it (0.0800 against" in text
    hidden = row("matched_noise", "control", 0.01, others={PRODUCTION: around(0.012, 0.005)})
    assert detail(judge(FITTED, learned, hidden), "The spectrum alone").endswith("does not expose it.")
    # A layer has Reynolds stresses as well.
    stresses = [
        replace(one, estimates=one.estimates | {REYNOLDS_STRESS.key: around(value, 0.1)})
        for one, value in ((learned, 0.2), (hidden, 10.0))
    ]
    text = detail(judge(FITTED, *stresses), "The spectrum alone")
    assert text.endswith("but the Reynolds stress error exposes it (10.0 against 0.20 [0.10, 0.30]).")


def test_a_control_never_wins_and_persistence_is_no_fake() -> None:
    frozen = row("persistence", "control", 0.0)
    result = judge(NO_MODEL, FITTED, row("cnn", "hybrid", 0.04), frozen)
    assert "persistence" not in result.sentence + " ".join(result.details)


def constrained(name: str, error: float, **more: Any) -> Standing:
    return row(name, "surrogate", error, activities=(Activity("shell_energy_cap", 0.12, 0.003),), noise="noise", **more)


def test_a_model_that_noise_through_its_constraints_matches_does_not_win() -> None:
    noise = row("noise", "control", 0.045)
    result = judge(NO_MODEL, FITTED, constrained("capped", 0.04), noise)
    assert result.sentence.startswith(
        "No learned model wins: capped is no better in the spectrum error than noise pushed through its own "
        "constraints, so that these alone earn the score; the best LES is the LES fitted (0.080 [0.075, 0.085] decades)"
    )
    assert detail(result, "Not ranked, because noise") == (
        "Not ranked, because noise pushed through the model's own constraints is as good, so that these alone earn the "
        "score: capped in the spectrum error (0.040 [0.035, 0.045] against 0.045 [0.040, 0.050])."
    )
    # The next best learned model takes its place.
    both = judge(NO_MODEL, FITTED, constrained("capped", 0.04), row("cnn", "hybrid", 0.06), noise)
    assert both.sentence.startswith("A learned model wins: the hybrid cnn has")
    costly = judge(NO_MODEL, FITTED, constrained("capped", 0.04), row("cnn", "hybrid", 0.06, cost=2.0), noise)
    assert costly.sentence.endswith(
        "(1.00 s) no affordable learned model is better than noise through its constraints, and the LES wins."
    )
    only = judge(constrained("capped", 0.04), noise)
    assert only.sentence.startswith("No learned model wins: capped is no better")


def test_a_constrained_model_that_beats_its_noise_wins_and_is_named_as_constrained() -> None:
    result = judge(NO_MODEL, FITTED, constrained("capped", 0.04), row("noise", "control", 0.3))
    assert result.sentence.startswith(
        "A learned model wins: the surrogate capped, under constraints from reference data, has a spectrum error of"
    )
    assert not any("Not ranked, because noise" in text for text in result.details)


def test_each_score_is_lost_to_noise_by_itself() -> None:
    others = {PRODUCTION: around(0.01, 0.002), DECORRELATION: around(3.0, 0.1)}
    noise = row("noise", "control", 0.041, others={PRODUCTION: around(0.08, 0.002), DECORRELATION: around(0.2, 0.1)})
    model, rest = constrained("capped", 0.04, others=others), row("cnn", "hybrid", 0.2)
    rows = [FITTED, model, rest, noise]
    assert [one.name for one in rank(rows, SPECTRUM)] == ["fitted", "cnn"]
    assert [one.name for one in rank(rows, PRODUCTION)] == ["capped"]
    assert [one.name for one in rank(rows, DECORRELATION)] == ["capped"]
    # Noise whose rollouts all blew up earned nothing.
    lost = replace(noise, estimates={})
    assert [one.name for one in rank([FITTED, model, lost], SPECTRUM)] == ["capped", "fitted"]
