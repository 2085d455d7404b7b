"""What a model is shown when it is asked, by the name that its lines in predictions.jsonl have.

Beside the right image stand controls, of which an evaluation says beforehand which it asks. What a score is with a
control is what it is worth without seeing, in one sense or another; the difference is a gain.
"""

from __future__ import annotations

from typing import Literal, get_args

WITH_IMAGE, OUTSIDE = "image", "outside"
PRIOR = "prior"

Control = Literal["prior", "mean_image", "other_answer", "no_image", "shuffled"]
CONTROLS: tuple[Control, ...] = get_args(Control)
USUAL: tuple[Control, ...] = ("prior", "mean_image", "other_answer")
"""Those of an evaluation that names none."""

GAIN = "visual_gain"
"""The first metric with the image less that under the control named by `gain_against`; `visual_gain.<control>` under
each."""

ASKED_WITH = "controls"
"""In a record's provenance: the control that the gain is against, and of each how many questions it left out."""

BLIND = "blind"
"""In a record's provenance: that the encoder gives the same tokens for every image."""
