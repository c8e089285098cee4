"""Figures from arrays and plain records; the only module that imports matplotlib, and one that never sees a model.

Every function returns a `Picture`: a matplotlib figure outside pyplot, so that nothing is shown twice or left open.
"""

from course_utils.plots.cells import dependence_grids, dependence_maps, text_windows, token_grids
from course_utils.plots.curves import RunCurves, TrainingCurves
from course_utils.plots.explorer import ExplorerPicture
from course_utils.plots.microscope import microscope_picture
from course_utils.plots.network import unrolled_picture
from course_utils.plots.picture import BLUE, GREEN, GREY, PURPLE, VERMILION, Picture
from course_utils.plots.ribbon import ribbon_picture
from course_utils.plots.sampling import sampling_arms
from course_utils.plots.series import bars, lines, panels
from course_utils.plots.shapes import shape_picture
from course_utils.plots.stepper import stepper_picture
from course_utils.plots.telescope import telescope_picture
