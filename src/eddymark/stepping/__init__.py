"""Steppers advance a batch of states by one output interval; `rollout` drives them all."""
