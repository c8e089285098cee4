"""Figures from arrays and plain records; the only module that imports matplotlib, and one that never sees a model.

Every function returns a `Picture`: a matplotlib figure outside pyplot, so that nothing is shown twice or left open.
"""

from course_utils.plots.curves import RunCurves, TrainingCurves, training_curves
from course_utils.plots.grids import dependence_grids, dependence_maps, text_windows, token_grids
from course_utils.plots.layout import ARM_NAMES, batch_against_time, layout_runs, loss_ways, steps_against_layers
from course_utils.plots.lines import bars, lines, panels
from course_utils.plots.microscope import microscope
from course_utils.plots.network import unrolled_picture
from course_utils.plots.picture import (
    BLUE,
    FAINT,
    GREEN,
    GREY,
    INK,
    LAYER_COLOURS,
    ORANGE,
    PURPLE,
    SHIFT,
    SKY,
    VERMILION,
    YELLOW,
    FixedPicture,
    Picture,
)
from course_utils.plots.ribbon import ribbon
from course_utils.plots.sampling import cold_starts, sampling_arms, truncation_cliffs, window_lengths
from course_utils.plots.shapes import shape_picture
from course_utils.plots.telescope import telescope
from course_utils.plots.writing import (
    distributions,
    fine_tunings,
    loop_sentence,
    prediction_steps,
    prefix_curves,
    readings,
)
