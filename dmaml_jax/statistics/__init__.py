"""Statistics of learning curves and evaluations, used by every table and picture.

Intervals are percentile bootstraps (scipy's), drawn from a fixed seed, so that the same
numbers give the same interval, but for those with a closed form: paired differences,
paired ratios and the probability of improvement. After Agarwal et al., Deep
Reinforcement Learning at the Edge of the Statistical Precipice, NeurIPS 2021.
"""

from dmaml_jax.statistics.compared import paired_difference as paired_difference
from dmaml_jax.statistics.compared import paired_ratio as paired_ratio
from dmaml_jax.statistics.compared import (
    probability_of_improvement as probability_of_improvement,
)
from dmaml_jax.statistics.interval import CONFIDENCE as CONFIDENCE
from dmaml_jax.statistics.interval import Interval as Interval
from dmaml_jax.statistics.resampled import crossed_bootstrap as crossed_bootstrap
from dmaml_jax.statistics.resampled import curve_intervals as curve_intervals
from dmaml_jax.statistics.resampled import interquartile_mean as interquartile_mean
from dmaml_jax.statistics.resampled import stratified_bootstrap as stratified_bootstrap
from dmaml_jax.statistics.thresholds import at_threshold as at_threshold
from dmaml_jax.statistics.thresholds import ema as ema
from dmaml_jax.statistics.thresholds import epochs_to_threshold as epochs_to_threshold
from dmaml_jax.statistics.thresholds import median_with_never as median_with_never
