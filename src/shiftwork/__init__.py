"""Shiftwork: a trained network becomes a shift-only int8 accelerator for small FPGAs."""
